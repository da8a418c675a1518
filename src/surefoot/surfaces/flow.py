"""Where does the loss lead from here?  points of one or two weights -> where each comes to rest on its way downhill, many in one pass.

The way is that of the gradient flow dx/dt = -gradient, whose limits divide the weights into basins. Over a step the loss is taken for its
quadratic Taylor polynomial, whose flow is known in closed form; the step is as long as the next term allows. On a quadratic one step leads to
the bottom, however stiff it is, and a point beside a ridge leaves it as fast as it does in the flow. This is the exponential Rosenbrock-Euler
method with the error estimate of exprb32 (Hochbruck, Ostermann and Schweitzer 2009, SIAM Journal on Numerical Analysis 47, 786-803).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch

from surefoot.surfaces.grid import Rows
from surefoot.trace import Column

How: TypeAlias = Literal["minimum", "saddle", "level", "outside", "moving", "broken"]

STEPS = 1000  # of the flow; a winding valley takes about 100
TOLERANCE = 1e-5  # error of a step, and
CAUGHT = 1e-3  # distance to a known minimum at which a point is in its basin, and
DIFFERENCE = 1e-3  # distance between points whose losses are compared: all in widths of the picture
STILL = 1e-10  # of the height of the picture: what the loss falls over one width of it, where a point has come to rest
BENT = 1e-6  # likewise: what curvature adds to the loss over one width of it
AROUND = 2.0  # widths beside the picture at which a point is given up


@dataclass(frozen=True)
class View:
    """The part of the weights that is looked at.

    Attributes:
        low: (weights,) and
        high: (weights,) its edges.
        height: differences of the loss that matter in it.
    """

    low: Column
    high: Column
    height: float

    @classmethod
    def of(cls, axes: Sequence[Column], loss: Column) -> View:
        """That of a grid; the height is from the lowest loss to the median, for walls at the edge may be of any height."""
        finite = loss[np.isfinite(loss)]
        height = float(np.median(finite) - finite.min()) if len(finite) else 0.0
        return cls(np.array([axis[0] for axis in axes]), np.array([axis[-1] for axis in axes]), height)

    @property
    def width(self) -> Column:
        """(weights,) from edge to edge."""
        return np.asarray(self.high - self.low)

    def holds(self, points: Column, around: float) -> Column:
        """Which of the points (n, weights) lie in it, or at most so many widths beside it."""
        beside = around * self.width
        return np.asarray(((points >= self.low - beside) & (points <= self.high + beside)).all(1))


@dataclass(frozen=True)
class Rest:
    """Where the gradient flow ends.

    Attributes:
        point: (weights,) the end, or the last point that was seen.
        how: ``"minimum"``; ``"saddle"``: a point level to all sides that is no minimum, or a hilltop; ``"level"``: a plateau; ``"outside"``: far
            beside the picture; ``"moving"``: after all steps; ``"broken"``: no finite loss.
    """

    point: Column
    how: How


def rests(rows: Rows, points: Column, view: View, known: Column, around: float = AROUND) -> list[Rest]:
    """Where the gradient flow leads from each of the points.

    Args:
        rows: the loss, best in float64.
        points: (n, weights), one or two weights; they may be NaN.
        view: what is looked at.
        known: (m, weights) minima; whoever comes near one is there.
        around: widths beside the picture at which a point is given up.

    Example:
        >>> from surefoot import Problem
        >>> wells = Problem.of(lambda x: ((x**2 - 1) ** 2).sum(), start=torch.tensor([0.5], dtype=torch.float64))
        >>> view = View(np.array([-2.0]), np.array([2.0]), 1.0)
        >>> ends = rests(Rows(wells, "train", 0), np.array([[-0.01], [0.0], [1.7]]), view, np.empty((0, 1)))
        >>> [(round(float(each.point[0]), 6) + 0.0, each.how) for each in ends]
        [(-1.0, 'minimum'), (0.0, 'saddle'), (1.0, 'minimum')]
    """
    points = np.array(points, dtype=float)
    how: list[How] = ["broken"] * len(points)
    with np.errstate(all="ignore"):
        here = _taylor(rows, points, view)
        step = 0.01 / np.maximum(np.abs(here.curvatures).max(1), 1e-300)
        going = np.flatnonzero(here.finite)
        for _ in range(STEPS):
            words = _arrived(here.of(going), view, known, around)
            for index, word in zip(going, words, strict=True):
                how[index] = word or "moving"
            going = going[[word is None for word in words]]
            if not len(going):
                break
            there, step[going], kept = _stepped(rows, here.of(going), step[going], view)
            here.take(there.of(kept), going[kept])
    return [Rest(point, word) for point, word in zip(here.points, how, strict=True)]


class _Taylor:
    """The loss around points to second order: value (n,), slope (n, weights), curvatures (n, weights) along directions (n, weights, weights)."""

    def __init__(self, *parts: Column) -> None:
        self.points, self.loss, self.slope, self.hessian, self.noise, self.curvatures, self.directions = parts

    @property
    def parts(self) -> tuple[Column, ...]:
        return self.points, self.loss, self.slope, self.hessian, self.noise, self.curvatures, self.directions

    @property
    def finite(self) -> Column:
        return np.asarray(np.isfinite(self.loss) & np.isfinite(self.slope).all(1) & np.isfinite(self.hessian).all((1, 2)))

    def of(self, index: Column) -> _Taylor:
        return _Taylor(*(part[index] for part in self.parts))

    def take(self, other: _Taylor, index: Column) -> None:
        for part, new in zip(self.parts, other.parts, strict=True):
            part[index] = new


def _taylor(rows: Rows, points: Column, view: View) -> _Taylor:
    """By central differences in float64, all points in one pass: any loss that can be evaluated has them, and a kink has a curvature."""
    count, weights = points.shape
    apart = DIFFERENCE * view.width
    axes = [sign * axis for axis in np.eye(weights) for sign in (1, -1, 2, -2)]
    corners = list(itertools.product((1, -1), repeat=2)) if weights == 2 else []
    pattern = np.array([np.zeros(weights), *axes, *corners])
    at = torch.from_numpy((points[:, None] + pattern * apart).reshape(-1, weights))
    loss = rows.losses(lambda first, last: at[first:last], len(at)).reshape(count, len(pattern))
    middle, slope, hessian = loss[:, 0].copy(), np.empty((count, weights)), np.empty((count, weights, weights))
    for i, own in enumerate(apart):  # of fourth order: those of second move a ridge by more than rounding does
        ahead, behind, far_ahead, far_behind = loss[:, 1 + 4 * i : 5 + 4 * i].T
        slope[:, i] = (8 * (ahead - behind) - (far_ahead - far_behind)) / (12 * own)
        hessian[:, i, i] = (16 * (ahead + behind) - (far_ahead + far_behind) - 30 * middle) / (12 * own**2)
    if weights == 2:
        hessian[:, 0, 1] = hessian[:, 1, 0] = loss[:, 9:] @ [1, -1, -1, 1] / (4 * apart[0] * apart[1])
    curvatures, directions = np.linalg.eigh(np.where(np.isfinite(hessian), hessian, 0.0))
    return _Taylor(points, middle, slope, hessian, 4 * np.finfo(float).eps * np.abs(middle), curvatures, directions)


def _arrived(here: _Taylor, view: View, known: Column, around: float) -> list[How | None]:
    """How each point came to rest; None for those that go on."""
    near = (np.abs(here.points[:, None] - known) < CAUGHT * view.width).all(2).any(1)
    outside = ~view.holds(here.points, around)
    still = (np.abs(here.slope * view.width) <= (STILL * view.height + here.noise / DIFFERENCE)[:, None]).all(1)
    # curvatures over one width of the picture; between two widths the direction decides
    bent = here.curvatures * (here.directions**2 * view.width[:, None] ** 2).sum(1)
    level = BENT * view.height + 4 * here.noise / DIFFERENCE**2
    upward, downward = (bent > level[:, None]).any(1), (bent < -level[:, None]).any(1)
    rest = np.where(downward, "saddle", np.where(upward, "minimum", "level"))
    words = np.where(near, "minimum", np.where(outside, "outside", np.where(still, rest, "")))
    return [word or None for word in words.tolist()]


def _stepped(rows: Rows, here: _Taylor, step: Column, view: View) -> tuple[_Taylor, Column, Column]:
    """One step each: the loss around where it leads, the length of the next one, and which are taken."""
    z = -step[:, None] * here.curvatures
    one, three = _phi(np.minimum(z, 50.0))  # e^50 leads out of every picture
    move = _along(here, -step[:, None] * one * _across(here, here.slope))
    there = _taylor(rows, here.points + move, view)
    beyond = there.slope - here.slope - (here.hessian @ move[:, :, None])[:, :, 0]  # what the quadratic does not know
    error = _along(here, 2 * step[:, None] * three * _across(here, beyond))
    share = np.abs(error / view.width).max(1) / TOLERANCE
    # the zero of a central difference is not quite the lowest point: a rise by so little is no ridge that was leapt over
    rose = there.loss > here.loss + here.noise + STILL * view.height
    fine = there.finite & ~rose & (share <= 1)
    factor = np.clip(0.9 * np.maximum(share, 1e-12) ** (-1 / 3), 0.2, 8.0)  # the error grows with the third power of the step
    factor = np.where(fine, factor, np.minimum(np.where(np.isfinite(factor), factor, 0.2), 0.5))
    return there, np.clip(step * factor, 1e-300, 1e300), fine


def _across(here: _Taylor, vectors: Column) -> Column:
    """Their components along the directions of curvature."""
    return np.asarray((here.directions.swapaxes(1, 2) @ vectors[:, :, None])[:, :, 0])


def _along(here: _Taylor, components: Column) -> Column:
    """The vectors of these components."""
    return np.asarray((here.directions @ components[:, :, None])[:, :, 0])


def _phi(z: Column) -> tuple[Column, Column]:
    """phi_1(z) = (e^z - 1) / z and phi_3(z) = (e^z - 1 - z - z^2 / 2) / z^3, by their series where the differences cancel."""
    small = np.abs(z) < 0.1
    safe = np.where(small, 1.0, z)
    one = np.expm1(safe) / safe
    three = ((one - 1) / safe - 0.5) / safe
    series = 1 / 6 + z / 24 + z**2 / 120 + z**3 / 720 + z**4 / 5040
    return np.where(small, 1 + z / 2 + z**2 / 6 + z**3 / 24 + z**4 / 120, one), np.where(small, series, three)
