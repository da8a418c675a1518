"""What does the loss look like around a descent?  problem + runs -> Surface: the loss on a line or plane, and the paths over it.

A picture of a surface can lie in two ways: the path is not in the plane, and the loss under the path is not that on it. Both are measured for
every point of every path, and carried along with the numbers.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surefoot import html
from surefoot.descent.live import Progress
from surefoot.descent.ranks import alone
from surefoot.errors import SettingError
from surefoot.problem import Problem
from surefoot.run import Run
from surefoot.surfaces.grid import MEMORY, Rows
from surefoot.surfaces.minima import Minimum, minima
from surefoot.surfaces.planes import BY_CHANCE, Plane
from surefoot.surfaces.progressive import filled
from surefoot.surfaces.slice import PLANES, chosen
from surefoot.trace import Column

SHOWN = 2000  # training samples at most, where nothing else is asked for
MARGIN = 0.25  # of the width of what is shown, on each side of it
NARROWEST = 2.0  # times: one weight is shown over at least this part of the width of the other
POINTS = 300  # of a path that are shown at most
NEAR = 10.0  # times what the paths gained, above where they started: points with a higher loss do not widen the picture
MOST = 10_000  # grid points along an axis: a plane of more does not fit into memory


@dataclass(frozen=True, eq=False)
class PathOn:
    """A descent seen on a line or plane.

    Attributes:
        steps: (points,) updates made at each point.
        coordinates: (points, 1 or 2) of the nearest points of the plane.
        loss: (points,) on the path itself, over the data of the surface.
        under: (points,) of the plane at those coordinates.
        distance: (points,) from the path to the plane, in the norm of the weights.
        explained: share of the path's variance along the plane; NaN for a path that does not move.
        config: the settings of the run.
        ended: how the run ended.
    """

    steps: Column
    coordinates: Column
    loss: Column
    under: Column
    distance: Column
    explained: float
    config: Mapping[str, Any] = field(default_factory=dict)
    ended: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Surface:
    """The loss on a line or a plane through the weights, and the descents over it.

    Attributes:
        axes: one or two rising 1-D arrays of coordinates; the second is the vertical one.
        loss: (n,) or (ny, nx), float64; NaN and infinite where the loss is.
        paths: one per run.
        explained: the share of the variance of all paths along the plane; NaN without paths.
        by_chance: what `explained` must be compared with. In principal directions: that share for a random walk of many steps in many dimensions;
            in others: for directions drawn at random.
        plane: where in the weights this is.
        samples: how many samples the loss is the mean over.
        minima: the local minima inside, the lowest first; empty where this is a slice.
        exact: whether this is all there is: a problem of one or two weights.
        note: what is to be said about it.
        seconds: wall time spent.
        slope: (n,) with one axis: how fast the loss rises along it, from the gradient; None with two.

    Example:
        >>> from surefoot import descend
        >>> bowl = Problem.of(lambda x: (x * x * x.new_tensor([1.0, 4.0])).sum(), start=[2.0, 1.0], name="bowl")
        >>> surface = landscape(bowl, [descend(bowl, lr=0.1, steps=20)], resolution=21)
        >>> surface.loss.shape, surface.exact, float(surface.paths[0].distance.max())
        ((21, 21), True, 0.0)
    """

    axes: tuple[Column, ...]
    loss: Column
    paths: tuple[PathOn, ...]
    explained: float
    by_chance: float
    plane: Plane
    samples: int
    minima: tuple[Minimum, ...]
    exact: bool
    note: str
    seconds: float
    slope: Column | None = None

    @property
    def barrier(self) -> float:
        """How far the loss rises along a line above the straight way between its losses at 0 and 1; NaN with two axes.

        Between the ends of two runs: 0 where one can walk from one to the other without climbing (linear mode connectivity). The straight
        way as in Frankle, Dziugaite, Roy and Carbin 2020, section 2.
        """
        if len(self.axes) != 1:
            return math.nan
        (x,) = self.axes
        between = (x >= -1e-9) & (x <= 1 + 1e-9)
        if not between.any():
            return math.nan
        ends = np.interp([0.0, 1.0], x, self.loss)
        above = self.loss[between] - (ends[0] + (ends[1] - ends[0]) * x[between])
        rise = float(above.max())
        return 0.0 if rise <= 1e-9 * np.ptp(self.loss[between]) else rise  # what is left is rounding

    def __repr__(self) -> str:
        return f"<Surface: {str(self).splitlines()[0]}>"

    def __str__(self) -> str:
        finite = self.loss[np.isfinite(self.loss)]
        shape = " x ".join(str(len(axis)) for axis in self.axes)
        span = f"loss {finite.min():.4g} to {finite.max():.4g}" if len(finite) else "the loss is finite nowhere"
        over = f", over {self.samples:,} samples" if self.samples > 1 else ""
        lines = [f"{shape} points ({self.plane.kind}), {span}{over}"]
        lines += [f"{self.loss.size - len(finite):,} points have no finite loss"] if len(finite) < self.loss.size else []
        if self.exact:
            lines.append("exact: these are all the weights there are")
            lines += [
                f"minimum at {', '.join(format(x, '.4g') for x in each.point)}: loss {round(each.loss, 10) + 0.0:.4g}"
                for each in self.minima[:5]
            ]
            lines += [f"and {len(self.minima) - 5} more, higher ones"] if len(self.minima) > 5 else []
        elif self.paths:
            share, distance, apart = _held(self)
            lines.append(f"motion of the path held: {share}")
            lines.append(
                f"a path is up to {distance:.3g} away from it, and its loss differs by up to {apart:.3g} from that under it"
            )
        if self.plane.kind == "line":
            lines.append(f"between the two ends the loss rises {self.barrier:.3g} above the straight way")
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def _repr_html_(self) -> str:
        columns = (*self.plane.names, "loss")
        known = html.grid(columns, self.minima, "minima", lambda each: (*each.point, each.loss), ends=3) if self.minima else ""
        return html.table(f"the loss on a {'line' if len(self.axes) == 1 else 'plane'}", _rows(self), [self.note]) + known


def landscape(
    problem: Problem,
    runs: Run | Sequence[Run] = (),
    *,
    plane: str | Plane = "auto",
    resolution: int = 51,
    extent: Sequence[float] | None = None,
    data: str | int = SHOWN,
    seed: int = 0,
    keep: str | os.PathLike[str] | None = None,
    memory_limit: int = MEMORY,
    progress: Progress = None,
) -> Surface:
    """The loss around descents: all of it for one or two weights, else on the plane that shows most of the paths.

    A grid that takes many passes is filled coarse first; Ctrl-C then returns the finest level that was complete. One that will take more than a
    minute says so in a `SurefootWarning` before it goes on.

    Args:
        problem: what is shown; its model stays bitwise as it is.
        runs: one run, or several from one start that race on one surface.
        plane: what is shown.
            ``"axes"``: the weights themselves, where there are one or two;
            ``"path"``: the two principal directions of the paths;
            ``"line"``: from the end of the first run to that of the second, or from the start of a single run to its end;
            ``"ends"``: the plane through the ends of two runs, and the end of a third or their start;
            ``"curvature"``: the two steepest directions, at the end of the first run or at the problem's own weights;
            ``"random"``: filter-normalised directions there;
            a `Plane` of your own;
            ``"auto"``: the first of axes, path and random that there is.
        resolution: grid points along each axis, 2 to 10,000; one more than an even number has the middle on the grid.
        extent: ``(low, high)`` or ``(low, high, low of the second axis, high of it)`` in coordinates of the plane; None: what shows the paths.
        data: ``"train"``, ``"validation"``, or a number of training samples.
        seed: draws the samples and the random directions.
        keep: a file for the losses, written on the way; where it is there already, the grid goes on from it.
        memory_limit: bytes that a batched pass may take.
        progress: draw a bar with the time left on standard error; None: if that is a terminal. Or a function, called after each pass
            with what is being measured, how many points were and how many will be; what it raises ends it and comes out.

    Returns:
        `Surface`.

    Raises:
        SettingError: a setting makes no sense, the runs are of another problem, or their paths do not span a plane.
        StoreError: the file cannot be read or written.
        KeyboardInterrupt: Ctrl-C before the coarsest level was complete.

    Example:
        >>> from surefoot import problems
        >>> surface = landscape(problems.load("line"), resolution=11)
        >>> surface.loss.shape, surface.exact
        ((11, 11), True)
    """
    began, problem = time.perf_counter(), alone(problem)
    _check(plane, resolution)
    many = [runs] if isinstance(runs, Run) else list(runs)
    told = progress if callable(progress) else lambda what, done, count: None
    rows = Rows(problem, data, seed, memory_limit)
    paths = [_path(run, rows, index) for index, run in enumerate(many)]
    losses = [rows.losses(_cut(points), len(points), partial(told, "the paths")) for _, points in paths]
    near = [points[torch.from_numpy(_near(problem, loss, losses))] for (_, points), loss in zip(paths, losses, strict=True)]
    shown, remark = chosen(plane, rows, near, data, seed)
    coordinates = [shown.coordinates(points).numpy() for points in near]
    lines = _lines(shown, coordinates, rows, extent, resolution)
    grid = filled(rows, shown, lines, keep, progress)
    lines = tuple(line[:: grid.stride] for line in lines)
    notes = [remark, rows.note, "batch normalisation: statistics of the data shown" if rows.normalised else ""]
    notes.append(f"interrupted: every {grid.stride}th of {resolution:,} points along each axis" if grid.stride > 1 else "")
    placed = [
        _on(shown, rows, run, *path, loss, partial(told, "under the paths"))
        for run, path, loss in zip(many, paths, losses, strict=True)
    ]
    return Surface(
        axes=lines,
        loss=grid.loss,
        paths=tuple(placed),
        explained=shown.explained(torch.cat(near)) if near else math.nan,
        by_chance=BY_CHANCE[len(lines)] if shown.kind == "path" else min(1.0, len(lines) / rows.size),
        plane=shown,
        samples=rows.count,
        minima=minima(problem, lines, grid.loss, data, seed, partial(told, "the minima")) if shown.kind == "axes" else (),
        exact=shown.kind == "axes",
        note="; ".join(filter(None, notes)),
        seconds=time.perf_counter() - began,
        slope=rows.slopes(shown.rows(torch.from_numpy(lines[0])[:, None]), shown.directions[0]) if len(lines) == 1 else None,
    )


def _check(plane: str | Plane, resolution: int) -> None:
    if not isinstance(plane, Plane) and plane not in PLANES:
        raise SettingError(f"plane must be a Plane or one of {', '.join(PLANES)}, got {plane!r}.")
    if isinstance(resolution, bool) or not isinstance(resolution, int) or not 2 <= resolution <= MOST:
        raise SettingError(
            f"resolution must be an int from 2 to {MOST:,}, got {resolution!r}: one point is no surface, "
            f"and {MOST:,} x {MOST:,} are a hundred million already."
        )


def check_descended(problem: Problem, run: Run, which: str) -> None:
    """Refuses a run that says it descended another problem.

    Raises:
        SettingError: it does.
    """
    its = run.config.get("problem")
    if its and its != problem.called:
        raise SettingError(f"{which} descended {its!r}, and this is {problem.called!r}. Give the problem that the run descended.")


def _path(run: Run, rows: Rows, index: int) -> tuple[Column, Tensor]:
    """The points of a run that are shown: the last one and evenly spread ones, with finite weights."""
    check_descended(rows.problem, run, f"Run {index}")
    if run.path.weights.shape[1] != rows.size:
        raise SettingError(
            f"Run {index} has {run.path.weights.shape[1]:,} weights, the problem {rows.size:,}: it is of another problem."
        )
    kept = np.unique(np.linspace(0, len(run.path) - 1, min(POINTS, len(run.path))).round().astype(int))
    points = run.path.weights[torch.from_numpy(kept)].to(rows.dtype)
    finite = torch.isfinite(points).all(1)
    if not bool(finite.any()):
        raise SettingError(
            f"Run {index} has no point with finite weights on its path: there is nothing of it to show. Leave it out."
        )
    return np.asarray(run.path.steps)[kept][finite.numpy()], points[finite]


def _lines(
    plane: Plane, coordinates: Sequence[Column], rows: Rows, extent: Sequence[float] | None, resolution: int
) -> tuple[Column, ...]:
    """The coordinates along each axis."""
    dimensions = len(plane.directions)
    if extent is not None:
        bounds = [float(value) for value in extent] if isinstance(extent, Sequence | np.ndarray) else []
        if len(bounds) != 2 * dimensions or not all(map(math.isfinite, bounds)) or not all(np.diff(bounds)[::2] > 0):
            wanted = "low, high" if dimensions == 1 else "low, high, low of the second axis, high of it"
            raise SettingError(f"extent must be ({wanted}), each low below its high, got {extent!r}.")
        return tuple(np.linspace(bounds[2 * axis], bounds[2 * axis + 1], resolution) for axis in range(dimensions))
    known: list[Any] = list(coordinates) if plane.kind != "random" else []  # which holds next to nothing of a path
    if plane.kind == "axes":
        start, answer = rows.start().double().cpu().numpy(), rows.problem.answer
        minima = answer.minima if answer is not None else ()
        known += [start[None], np.array(minima, dtype=float).reshape(-1, dimensions)]
    elif not known:
        known = [np.array([[-1.0] * dimensions, [1.0] * dimensions]) / (1 + 2 * MARGIN)]
    points = np.concatenate(known)
    lows, highs = points.min(0), points.max(0)
    widths = highs - lows
    widths = np.where(widths > 0, widths, widths.max() if widths.max() > 0 else 2 * np.maximum(1, np.abs(lows)))
    if plane.kind == "axes":  # a start that happens to lie beside a minimum is no reason to show a strip
        widths = np.maximum(widths, widths.max() / NARROWEST)
    middles = (lows + highs) / 2
    half = (0.5 + MARGIN) * widths
    return tuple(np.linspace(middle - width, middle + width, resolution) for middle, width in zip(middles, half, strict=True))


def _near(problem: Problem, loss: Column, losses: Sequence[Column]) -> Column:
    """Which points of a path belong in the picture: where it diverges, its last ones lie beyond all that can be seen."""
    finite = [each[np.isfinite(each)] for each in losses if np.isfinite(each).any()]
    if not finite:
        return np.asarray(np.isfinite(loss))
    start, best = max(each[0] for each in finite), min(each.min() for each in finite)
    known = problem.answer.loss if problem.answer is not None and problem.answer.loss is not None else best
    gained = start - min(best, known) or abs(start)  # none where it diverges from its first step on
    return np.asarray(np.isfinite(loss) & (loss <= start + NEAR * gained))


def _cut(rows: Tensor) -> Callable[[int, int], Tensor]:
    return lambda first, last: rows[first:last]


def _on(
    plane: Plane, rows: Rows, run: Run, steps: Column, points: Tensor, loss: Column, seen: Callable[[int, int], None]
) -> PathOn:
    at = plane.coordinates(points)
    under = rows.losses(lambda first, last: plane.rows(at[first:last]), len(points), seen)
    far = plane.distance(points).numpy()
    return PathOn(steps, at.numpy(), loss, under, far, plane.explained(points), run.config, run.ended)


def _held(surface: Surface) -> tuple[str, float, float]:
    """How much of the paths' motion is seen, how far they are from what is seen, and their loss from that under them, at most."""
    chance = "a random walk shows" if surface.plane.kind == "path" else "random directions would hold"
    share = f"{surface.by_chance:.0%}" if surface.by_chance >= 0.005 else f"{100 * surface.by_chance:.1g}%"
    held = "none: no path moves" if math.isnan(surface.explained) else f"{surface.explained:.0%} ({chance} {share})"
    far = np.concatenate([path.distance for path in surface.paths])
    with np.errstate(invalid="ignore"):  # infinite on the path and under it
        apart = np.abs(np.concatenate([path.under - path.loss for path in surface.paths]))
    return held, float(np.max(far, initial=0.0)), float(np.max(apart[~np.isnan(apart)], initial=0.0))


def _rows(surface: Surface) -> Iterator[tuple[str, Any]]:
    """What a notebook shows above the minima."""
    finite = surface.loss[np.isfinite(surface.loss)]
    yield "points", " x ".join(f"{len(axis):,}" for axis in surface.axes)
    yield "directions", ", ".join(surface.plane.names)
    yield "loss", f"{html.number(finite.min())} to {html.number(finite.max())}" if len(finite) else "finite nowhere"
    if 0 < len(finite) < surface.loss.size:
        yield "points without a finite loss", f"{surface.loss.size - len(finite):,}"
    yield "samples", f"{surface.samples:,}"
    if surface.exact:
        yield "exact", "these are all the weights there are"
    elif surface.paths:
        share, distance, apart = _held(surface)
        yield "motion of the paths in it", share
        yield "paths away from it by up to", html.number(distance)
        yield "loss under a path differs by up to", html.number(apart)
    if surface.plane.kind == "line":
        yield "rise above the straight way between the ends", html.number(surface.barrier)
