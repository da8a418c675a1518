"""What becomes of the learning rate at another batch size?  a rate, its batch size and the noise scale -> the rate that a rule expects.

A rule of thumb, shown beside the rate that `find_lr` finds, and never instead of it.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from surefoot.batch.noise_scale import NoiseScale
from surefoot.descent.optimizer import make
from surefoot.problem import Problem
from surefoot.start import copy_of

LINEAR, ROOT = "in proportion to 1 / (1 + noise scale / batch size)", "with the square root of 1 / (1 + noise scale / batch size)"
PLAIN = (torch.optim.SGD, torch.optim.ASGD)  # the update is proportional to the gradient


def rule_of(problem: Problem, optimizer: Any) -> str:
    """How the best rate of this optimizer grows with the batch size: SGD's as its steps gain, that of one that normalises gradients as the root.

    Source:
        McCandlish et al. 2018, An Empirical Model of Large-Batch Training, equation 2.6 and section 4.1.
    """
    made, _ = make(optimizer, copy_of(problem.model, "an optimizer is made for a copy"), 1e-3)
    return LINEAR if isinstance(made, PLAIN) else ROOT


def predicted(lr: float, at: float, to: float, noise: NoiseScale, rule: str) -> float:
    """The rate that the rule expects at batch size ``to``, from the one found at batch size ``at``.

    Example:
        >>> noise = NoiseScale(100.0, 5.0, 90.0, 1.0, 100.0, 64, 100, 100, 0.1, None, "")
        >>> predicted(0.1, 100, 300, noise, LINEAR), round(predicted(0.1, 100, 300, noise, ROOT), 4)  # 2 against 4/3 times the fewest steps
        (0.15, 0.1225)
    """
    if not math.isfinite(noise.value):
        return math.nan
    gain = noise.steps_at(at) / noise.steps_at(to)
    return lr * (gain if rule == LINEAR else math.sqrt(gain))
