"""What is the ground like here?  problem + weights -> the loss, its gradient, and whether that is right.

Everything is measured on a copy of the model in evaluation mode, in float64 where its code allows it, over a fixed sample.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surefoot.diagnosis.stages import SILENT, Tell
from surefoot.problem import Problem, is_pair
from surefoot.surfaces.grid import Rows
from surefoot.trace import Column

SAMPLE, FEWER = 2048, (512, 128)  # training samples that losses and gradients are measured on, and how many where a pass takes
DEAR = 0.02  # seconds or more: a diagnosis makes some hundred passes
STEP = 1e-5  # of the weights' length, in float64: differences of the loss this far apart are exact to about ten digits
COARSE_STEP = 3e-3  # the same in float32
TENSORS = 24  # without a gradient that are looked at


class Ground:
    """The loss of a problem as a function of its trainable weights in one row."""

    def __init__(self, problem: Problem, seed: int = 0, tell: Tell = SILENT) -> None:
        self.tell = tell
        self.rows, self.exact = _rows(problem, _samples(problem, SAMPLE), seed)
        tell()
        for fewer in FEWER:
            if self.rows.seconds > DEAR and self.rows.count > fewer:
                self.rows, self.exact = _rows(problem, _samples(problem, fewer), seed)
                tell()
        self.random = np.random.default_rng(seed)
        self.gradients = 0

    def loss(self, row: Column) -> float:
        """The loss at one row of weights."""
        return float(self.losses(row[None])[0])

    def losses(self, rows: Column) -> Column:
        """The loss at each of some rows."""
        tensors = torch.as_tensor(np.asarray(rows, dtype=float))
        self.gradients += len(rows) // 3 + 1  # a forward pass is about a third of a gradient
        return self.rows.losses(lambda first, last: tensors[first:last], len(rows), lambda done, count: self.tell())

    def gradient(self, row: Column) -> tuple[float, Column]:
        """The loss and its gradient at one row."""
        self.gradients += 1
        with self.rows.world.entered():
            return self.rows.loss_and_gradient(torch.as_tensor(row).to(self.rows.device, self.rows.dtype))

    def slope(self, row: Column, along: Column) -> float:
        """How fast the loss rises along a unit vector, from two losses and no gradient."""
        step = (STEP if self.exact else COARSE_STEP) * max(float(np.linalg.norm(row)), 1e-2)
        ahead, behind = self.losses(np.stack([row + step * along, row - step * along]))
        return float(ahead - behind) / (2 * step)

    def direction(self) -> Column:
        """A random unit vector."""
        vector = self.random.standard_normal(self.rows.size)
        return np.asarray(vector / np.linalg.norm(vector))


@dataclass(frozen=True)
class Followed:
    """Whether the loss follows its own gradient.

    Attributes:
        ratio: how fast the loss really falls down its gradient over what the gradient says: 1 where it is right, -1 for a wrong sign; NaN
            where there is no gradient to follow.
        slope: length of the gradient.
        unreached: names of weights that the loss depends on and that get no gradient.
    """

    ratio: float
    slope: float
    unreached: tuple[str, ...]


def followed(ground: Ground, row: Column) -> Followed:
    """The gradient against differences of the loss, down the gradient itself and along weights that get none."""
    _, gradient = ground.gradient(row)
    length = float(np.linalg.norm(gradient))
    ratio = math.nan
    if length > 0 and math.isfinite(length):
        measured = -ground.slope(row, -gradient / length)
        ratio = measured / length if _measurable(ground, row, length) else math.nan
    return Followed(ratio, length, tuple(_unreached(ground, row, gradient)))


# ---- within


def _rows(problem: Problem, data: str | int, seed: int) -> tuple[Rows, bool]:
    """In float64 where the model's code allows it, and whether it did."""
    try:
        doubled = problem.with_(model=copy.deepcopy(problem.model).double())
        rows = Rows(doubled, data, seed)
        return rows, not getattr(rows.model, "narrow", False)  # another framework may have answered in float32
    except (RuntimeError, TypeError, ValueError):
        return Rows(problem, data, seed), False


def _samples(problem: Problem, most: int) -> str | int:
    """All of the training data, or so many samples of it."""
    if is_pair(problem.data):
        return "train" if len(problem.data[0]) <= most else most
    return "train" if _plain(problem) else most


def _plain(problem: Problem) -> bool:
    """Whether there is no data but one batch: a function of the weights, or a list of few batches."""
    return isinstance(problem.data, list | tuple) and len(problem.data) <= 8


def _measurable(ground: Ground, row: Column, slope: float) -> bool:
    """Whether the loss differs by more than rounding over the step that slopes are measured with."""
    step = (STEP if ground.exact else COARSE_STEP) * max(float(np.linalg.norm(row)), 1e-2)
    resolution = (1e-14 if ground.exact else 1e-6) * max(abs(ground.loss(row)), 1e-12)
    return 2 * step * slope > (1e4 if ground.exact else 1e2) * resolution


def _unreached(ground: Ground, row: Column, gradient: Column) -> list[str]:
    """The names of tensors whose gradient is zero throughout although the loss changes with them."""
    found, at, looked = [], 0, 0
    for name, shape in ground.rows.parameters.items():
        part = slice(at, at + shape.numel())
        at += shape.numel()
        if gradient[part].any() or looked >= TENSORS:
            continue
        looked += 1
        along = np.zeros_like(row)
        along[part] = ground.random.standard_normal(shape.numel())
        along /= np.linalg.norm(along)
        size = max(float(np.linalg.norm(row[part])), 1e-2)
        ahead, further = ground.losses(np.stack([row, row + 0.01 * size * along, row + 0.1 * size * along]))[1:] - ground.loss(row)
        resolution = (1e-10 if ground.exact else 1e-5) * max(abs(ground.loss(row)), 1e-12)
        slope = abs(ground.slope(row, along))
        # what is level near by is a dead unit, what rises with the square of the way a minimum: a missing gradient is a straight line
        if abs(ahead) > resolution and slope * 0.01 * size > 0.3 * abs(ahead) > 1e-4 * abs(further):
            found.append(name)
    return found


def row_of(weights: Tensor) -> Column:
    """A flat tensor of trainable weights as a row of float64."""
    return weights.detach().double().cpu().numpy().ravel()
