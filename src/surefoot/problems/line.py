"""The first thing to descend.  A true line + noise -> points, and two numbers to find again."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.problem import Problem
from surefoot.problems import options
from surefoot.problems.least_squares import least_squares

TRUE_W, TRUE_B = 0.1, 0.5
START_W, START_B = 0.0, -1.0


class Line(nn.Module):
    """The line ``w x + b``, which also remembers the line that the points were made from.

    Attributes:
        w: the slope, a scalar parameter.
        b: the height at 0, a scalar parameter.
        true_w: the slope of the line under the noise.
        true_b: its height at 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(START_W, dtype=torch.float32))
        self.b = nn.Parameter(torch.tensor(START_B, dtype=torch.float32))
        self.true_w, self.true_b = TRUE_W, TRUE_B

    def forward(self, x: Tensor) -> Tensor:
        """The heights of the line at ``x``, in the shape of ``x``."""
        return self.w * x + self.b


def line(points: int = 100, noise: float = 0.02, seed: int = 0) -> Problem:
    """Fitting a line ``w x + b`` to noisy points by mean squared error.

    The points are ``y = 0.1 x + 0.5 + noise`` with x spread evenly over [0, 1]; descents start at w = 0, b = -1.

    Args:
        points: how many, 2 or more.
        noise: standard deviation of the Gaussian noise on y, in units of y, 0 or more.
        seed: what the noise is drawn from, 0 or more.

    Returns:
        A full-batch problem with the parameters ``w`` and ``b``; the true line is in ``model.true_w`` and ``model.true_b``.

    Raises:
        SettingError: an option makes no sense.

    Example:
        >>> problem = line()
        >>> round(problem.answer.curvature, 2), problem.answer.stability_limit < 0.8
        (2.54, True)
    """
    x = np.linspace(0, 1, options.count("points", points, least=2)).astype(np.float32)
    drawn = np.random.default_rng(options.count("seed", seed, least=0)).normal(size=len(x))
    y = (TRUE_W * x + TRUE_B + options.number("noise", noise) * drawn).astype(np.float32)
    return Problem(
        Line(),
        (torch.from_numpy(x), torch.from_numpy(y)),
        loss=nn.functional.mse_loss,
        batch_size="full",
        name="line",
        answer=least_squares(x, y),
        source=f"made here: {len(x)} points on y = {TRUE_W} x + {TRUE_B}, x from 0 to 1, Gaussian noise of {noise:g} on y",
    )
