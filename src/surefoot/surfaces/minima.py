"""Where are the valleys?  the loss on a grid over all of one or two weights -> its local minima, to the last digits.

Every grid point that none of its neighbours undercuts is a candidate; from each a quasi-Newton descent in float64 goes to the bottom. Where several
end at one point, as on the floor of a winding valley, it is one minimum.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from surefoot import html
from surefoot.problem import Problem
from surefoot.surfaces.grid import Rows
from surefoot.trace import Column

MOST = 400  # candidates that are followed, the lowest ones first
SAME = 1e-4  # of the width of what is shown: nearer minima are one


@dataclass(frozen=True)
class Minimum:
    """A local minimum.

    Attributes:
        point: its coordinates, the weights.
        loss: there.
    """

    point: tuple[float, ...]
    loss: float

    def _repr_html_(self) -> str:
        return html.table("a local minimum", [("at", html.point(self.point)), ("loss", self.loss)])


def minima(problem: Problem, axes: Sequence[Column], loss: Column, data: str | int, seed: int = 0) -> tuple[Minimum, ...]:
    """The local minima inside the grid, the lowest first.

    Args:
        problem: of one or two weights.
        axes: one or two rising arrays of coordinates.
        loss: (n,) or (ny, nx) there.
        data: what the loss is the mean over, as for `landscape`.
        seed: which samples.

    Returns:
        None at the edge of the grid: there the loss may go on falling.

    Example:
        >>> from surefoot import problems
        >>> x = np.linspace(-3, 3, 61)
        >>> valley = problems.load("valley")
        >>> height = (x - 2) ** 2 * (3 * x**2 + 8 * x + 8) / 12
        >>> [round(each.point[0], 6) for each in minima(valley, [x], height, "train")]
        [2.0, -1.0]
    """
    from scipy.optimize import minimize  # here, for loading it takes a third of the time that torch takes

    rows = Rows(problem.with_(model=copy.deepcopy(problem.model).double()), data, seed)
    widths = np.array([axis[-1] - axis[0] for axis in axes])

    # in steps of the grid, for the first step of the quasi-Newton descent has length 1, and should not leap into the next valley
    step = widths / [len(axis) - 1 for axis in axes]

    def value(place: Column, start: Column) -> tuple[float, Column]:
        height, slope = rows.loss_and_gradient(torch.tensor(start + step * place, dtype=torch.float64, device=rows.device))
        return height, step * slope

    finite = loss[np.isfinite(loss)]
    flat = 1e-9 * float(np.ptp(finite)) if len(finite) else 0.0  # beyond, float64 has nothing left to tell
    found: list[Minimum] = []
    for start in _candidates(axes, loss)[:MOST]:
        with rows.world.entered(), np.errstate(all="ignore"):
            end = minimize(value, np.zeros(len(axes)), args=(start,), jac=True, method="BFGS", options={"gtol": flat})
        point = start + step * end.x
        inside = all(axis[0] < x < axis[-1] for axis, x in zip(axes, point, strict=True))
        known = any((np.abs(np.array(each.point) - point) < SAME * widths).all() for each in found)
        if inside and not known and np.isfinite(end.fun):
            found.append(Minimum(tuple(float(x) for x in point), float(end.fun)))
    return tuple(sorted(found, key=lambda each: each.loss))


def _candidates(axes: Sequence[Column], loss: Column) -> list[Column]:
    """The inner grid points that no neighbour undercuts, the lowest first."""
    height = np.where(np.isfinite(loss), loss, np.inf)
    inner = tuple(slice(1, -1) for _ in axes)
    middle = height[inner]
    lowest = np.isfinite(middle)
    for shift in itertools.product((-1, 0, 1), repeat=len(axes)):
        if any(shift):
            lowest &= middle <= height[tuple(slice(1 + s, (s - 1) or None) for s in shift)]
    places = np.argwhere(lowest)
    places = places[np.argsort(middle[lowest], kind="stable")]
    # rows of the array are the second axis
    return [np.array([axis[at + 1] for axis, at in zip(axes, reversed(place), strict=True)]) for place in places]
