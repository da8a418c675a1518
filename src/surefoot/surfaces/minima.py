"""Where are the valleys?  the loss on a grid over all of one or two weights -> its local minima, to the last digits.

Every grid point that none of its neighbours undercuts is a candidate; from each a quasi-Newton descent in float64 goes to the bottom. Where several
end at one point, as on the floor of a winding valley, it is one minimum.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
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


def minima(
    problem: Problem,
    axes: Sequence[Column],
    loss: Column,
    data: str | int,
    seed: int = 0,
    seen: Callable[[int, int], None] = lambda done, count: None,
) -> tuple[Minimum, ...]:
    """The local minima inside the grid, the lowest first.

    Args:
        problem: of one or two weights.
        axes: one or two rising arrays of coordinates.
        loss: (n,) or (ny, nx) there.
        data: what the loss is the mean over, as for `landscape`.
        seed: which samples.
        seen: called with how many places were followed to the bottom, and how many there are.

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
    rows = Rows(problem.with_(model=copy.deepcopy(problem.model).double()), data, seed)
    widths = np.array([axis[-1] - axis[0] for axis in axes])
    step = widths / [len(axis) - 1 for axis in axes]
    finite = loss[np.isfinite(loss)]
    flat = 1e-9 * float(np.ptp(finite)) if len(finite) else 0.0  # beyond, float64 has nothing left to tell
    found: list[Minimum] = []
    candidates = _candidates(axes, loss)[:MOST]
    for place, start in enumerate(candidates):
        end = bottom(rows, start, step, flat)
        inside = all(axis[0] < x < axis[-1] for axis, x in zip(axes, end.point, strict=True))
        known = any((np.abs(np.subtract(each.point, end.point)) < SAME * widths).all() for each in found)
        if inside and not known and np.isfinite(end.loss):
            found.append(end)
        seen(place + 1, len(candidates))
    return tuple(sorted(found, key=lambda each: each.loss))


def bottom(rows: Rows, start: Column, step: Column, flat: float) -> Minimum:
    """Where a quasi-Newton descent from a point ends; a minimum where it began near one.

    Args:
        rows: the loss, best in float64.
        start: (weights,) where it begins.
        step: (weights,) lengths along the axes that are small beside a valley: the first step should not leap into the next one.
        flat: slope per step below which it is over.
    """
    from scipy.optimize import minimize  # here, for loading it takes a third of the time that torch takes

    def value(place: Column) -> tuple[float, Column]:
        height, slope = rows.loss_and_gradient(torch.tensor(start + step * place, dtype=torch.float64, device=rows.device))
        return height, step * slope

    with rows.world.entered(), np.errstate(all="ignore"):
        end = minimize(value, np.zeros(len(start)), jac=True, method="BFGS", options={"gtol": flat})
    return Minimum(tuple(float(x) for x in start + step * end.x), float(end.fun))


def _candidates(axes: Sequence[Column], loss: Column) -> list[Column]:
    """The inner grid points that no neighbour undercuts, but some neighbour exceeds (a plateau is no valley), the lowest first."""
    height = np.where(np.isfinite(loss), loss, np.inf)
    inner = tuple(slice(1, -1) for _ in axes)
    middle = height[inner]
    lowest, exceeded = np.isfinite(middle), np.zeros(middle.shape, dtype=bool)
    for shift in itertools.product((-1, 0, 1), repeat=len(axes)):
        if any(shift):
            beside = height[tuple(slice(1 + s, (s - 1) or None) for s in shift)]
            lowest &= middle <= beside
            exceeded |= middle < beside
    lowest &= exceeded
    places = np.argwhere(lowest)
    places = places[np.argsort(middle[lowest], kind="stable")]
    # rows of the array are the second axis
    return [np.array([axis[at + 1] for axis, at in zip(axes, reversed(place), strict=True)]) for place in places]
