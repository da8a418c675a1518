"""Which minimum does a place lead to?  places + the minima known -> for each the minimum in whose basin it lies, new ones found on the way.

The basin of a minimum is what flows into it. Minima are looked for on a grid, and one that the grid has missed is found when something flows
into it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from surefoot.problem import Problem
from surefoot.run import Run
from surefoot.surfaces.flow import CAUGHT, STILL, Rest, View, rests
from surefoot.surfaces.grid import Rows
from surefoot.surfaces.minima import Minimum, bottom
from surefoot.surfaces.surface import Surface, landscape
from surefoot.trace import Column

GRID = {1: 401, 2: 101}  # points along each axis that minima are looked for from
WORK = 2 * 10**7  # grid points times samples: more samples get a coarser grid, and
COARSEST = 31  # not less than this
WIDER = 4.0  # times what shows the run: where minima are looked for when the problem names none
FAR = 100.0  # widths of the picture in which the end of a run is followed before the picture is chosen


def surface_around(problem: Problem, run: Run, rows: Rows, end: Column, seed: int) -> Surface:
    """The surface around the run, the known minima and the place that the end flows to."""
    seen = run if bool(torch.isfinite(run.path.weights).all(1).any()) else ()
    sketch = landscape(problem, seen, resolution=3, data="train", seed=seed)
    view = View.of(sketch.axes, sketch.loss)
    beside = (WIDER - 1) / 2 * view.width * (problem.answer is None or not problem.answer.minima)
    low, high = view.low - beside, view.high + beside
    (rest,) = rests(rows, end[None], view, np.empty((0, rows.size)), FAR)
    if rest.how in ("minimum", "saddle", "level"):
        low, high = np.minimum(low, rest.point - view.width / 4), np.maximum(high, rest.point + view.width / 4)
    most = int((WORK / rows.count) ** (1 / rows.size))
    return landscape(
        problem,
        extent=np.stack([low, high], 1).ravel().tolist(),
        resolution=max(COARSEST, min(GRID[rows.size], most)),
        data="train",
        seed=seed,
    )


def basins_of(rows: Rows, places: Column, view: View, known: Sequence[Minimum]) -> tuple[Column, Rest, tuple[Minimum, ...]]:
    """The index of the minimum that each place flows to (-1: none), how the first one came to rest, and all minima, the lowest first."""
    found = list(known)
    ended = rests(rows, places, view, np.array([each.point for each in found]).reshape(-1, rows.size))
    indices = [_index(rows, rest, view, found) if rest.how == "minimum" else -1 for rest in ended]
    order = sorted(range(len(found)), key=lambda index: found[index].loss)
    rank = {-1: -1, **{old: new for new, old in enumerate(order)}}
    return np.array([rank[index] for index in indices]), ended[0], tuple(found[index] for index in order)


def _index(rows: Rows, rest: Rest, view: View, found: list[Minimum]) -> int:
    """Which of the minima this is; one that the grid had missed is added to them."""

    def nearest(point: Sequence[float]) -> int:
        away = [float(np.abs(np.subtract(each.point, point) / view.width).max()) for each in found]
        return int(np.argmin(away)) if away and min(away) <= CAUGHT else -1

    place = tuple(rest.point.tolist())
    if nearest(place) >= 0:
        return nearest(place)
    refined = bottom(rows, rest.point, view.width / GRID[rows.size], STILL * view.height)
    if not np.all(np.abs(np.subtract(refined.point, place)) <= CAUGHT * view.width):  # it leapt into another valley
        refined = Minimum(place, float(losses(rows, rest.point[None])[0]))
    if nearest(refined.point) >= 0:
        return nearest(refined.point)
    found.append(refined)
    return len(found) - 1


def losses(rows: Rows, places: Column) -> Column:
    """The loss (n,) at places (n, weights); NaN where those are."""
    at = torch.from_numpy(np.ascontiguousarray(places))
    return rows.losses(lambda first, last: at[first:last], len(at))
