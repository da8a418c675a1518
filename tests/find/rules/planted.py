"""A curve with a known shape.  Parameters and learning rates -> losses of a range test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curve:
    """``loss(lr) = start - fall * sigmoid((log10 lr - steepest) / width) + (lr / edge)^2``, plus normal noise per row.

    Without the last term the curve is steepest per log-rate at ``10^steepest``; with it, it has one minimum below the edge.
    """

    start: float = 2.3
    fall: float = 1.5
    steepest: float = -3.0
    width: float = 0.4
    edge: float = 1.0
    noise: float = 0.0
    seed: int = 0

    def __call__(self, lr: np.ndarray) -> np.ndarray:
        falling = self.fall / (1 + np.exp(-(np.log10(lr) - self.steepest) / self.width))
        noise = self.noise * np.random.default_rng(self.seed).standard_normal(10_000)[: len(lr)]
        return self.start - falling + (lr / self.edge) ** 2 + noise


def ladder(low: float = 1e-7, high: float = 10.0, steps: int = 100) -> np.ndarray:
    """Rates with one ratio between neighbours."""
    return np.geomspace(low, high, steps)
