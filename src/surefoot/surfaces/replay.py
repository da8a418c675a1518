"""What becomes of a run's settings at other rates and from other starts?  problem + run + (rate, start) pairs -> where each descent ends.

All of them are walked in one batched pass (`Herd`), whose copies are put at their starts before the first step; what cannot be batched is
descended one by one.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surefoot.descent import optimizer
from surefoot.descent.herd import Herd
from surefoot.descent.loop import descend
from surefoot.descent.path import flattened
from surefoot.descent.schedule import named
from surefoot.descent.settings import Settings
from surefoot.descent.stacked import Unbatchable
from surefoot.descent.walk import Walk
from surefoot.errors import ProblemError, SettingError, SurefootWarning
from surefoot.problem import Problem, is_pair, trainable
from surefoot.run import Run
from surefoot.surfaces.flow import View
from surefoot.trace import Column, Row

KEPT = ("optimizer", "steps", "schedule", "batch_size", "seed", "clip_norm", "accumulate", "autocast", "validate_every")
RANGE = 100.0  # times the run's rate, and one over it: the rates that are tried
AT_ONCE = 10**6  # samples of all copies together in one pass
PATIENCE = 5.0  # seconds for descents one by one: fewer are tried where all of them would take longer
COMPARED = 3  # steps that are also walked alone, and
AGREEMENT = 1e-3  # how well the losses must agree: as for `descend_many`


@dataclass(frozen=True)
class Ends:
    """Where descents ended.

    Attributes:
        points: (descents, weights), float64; NaN where they diverged.
        walked: (descents,) whether it was: not all are where they cannot be walked in one pass and take long.
        gradients: gradient evaluations made.
        note: why not in one pass; "" where they were.
    """

    points: Column
    walked: Column
    gradients: int
    note: str


def begin_of(problem: Problem, run: Run) -> Tensor | None:
    """The weights that a run started from, (weights,); None where neither its path nor the problem tells."""
    if len(run.path) and run.path.steps[0] == 0:
        return run.path[0]
    own = _row(problem)
    known = len(run.trace) > 0 and run.trace[0].step == 0
    same = known and bool(np.isclose(float(own.norm()), run.trace[0].weight_norm, rtol=1e-4, atol=1e-7))
    return own if same else None


def hindrance(run: Run) -> str:
    """Why a run cannot be walked again from its record; "" where it can."""
    config = run.config
    lacking = [key for key in ("lr", "optimizer", "steps") if config.get(key) is None]
    if lacking:
        return f"the run's record lacks {', '.join(lacking)}"
    if config["optimizer"] not in optimizer.names():
        return f"the run's optimizer was given as code ({config['optimizer']}), of which its record holds no more than the name"
    try:
        named(config.get("schedule", "constant"))
    except SettingError:
        return f"the run's schedule was given as code ({config['schedule']}), of which its record holds no more than the name"
    return "the run was continued, maybe under other settings than its last" if len(run.trace) > config["steps"] else ""


def replayed(problem: Problem, run: Run, rates: Sequence[float], starts: Tensor) -> Ends:
    """Descends under the settings of a run, but for rate and start.

    Args:
        problem: what the run descended.
        run: one without a `hindrance`.
        rates: of each descent.
        starts: (descents, weights).

    Example:
        >>> from surefoot import problems
        >>> valley = problems.load("valley")
        >>> run = descend(valley, lr=0.1, steps=50)
        >>> replayed(valley, run, [0.1, 0.25, 0.1], torch.tensor([[-2.2], [-2.2], [1.0]])).points.round(3).ravel().tolist()
        [-1.0, 2.0, 2.0]
    """
    starts = starts.to(_row(problem).dtype)
    kept = {key: run.config[key] for key in KEPT if run.config.get(key) is not None}
    first = problem.with_(model=_at(problem, starts[0]))
    most = max(1, AT_ONCE // _samples(problem))
    walked, note = np.ones(len(rates), dtype=bool), ""
    try:
        runs: list[Run | None] = []
        while len(runs) < len(rates):
            portion = slice(len(runs), len(runs) + most)
            runs += _in_one_pass(first, [Settings(lr=float(rate), **kept) for rate in rates[portion]], starts[portion])
    except (Unbatchable, RuntimeError, NotImplementedError) as error:  # torch.func refuses with a RuntimeError
        why = (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0]
        own = np.array(
            [rate == run.config["lr"] and torch.equal(start, starts[0]) for rate, start in zip(rates, starts, strict=True)]
        )
        runs, walked = _one_by_one(problem, rates, starts, kept, own)
        note = f"descended one by one, and only {walked.sum()} of {len(rates)}" if not walked.all() else "descended one by one"
        note = f"{note}: {why}"
    points = np.stack([_end(first, each) for each in runs])
    return Ends(points, walked, sum(len(each.trace) for each in runs if each is not None), note)


def _one_by_one(
    problem: Problem, rates: Sequence[float], starts: Tensor, kept: dict[str, Any], own: Column
) -> tuple[list[Run | None], Column]:
    """As many of the descents as there is time for, evenly spread, and the run's own in any case."""
    began = time.perf_counter()
    index = int(np.flatnonzero(own)[0]) if own.any() else 0
    known = _alone(problem, rates[index], starts[index], kept)
    most = int(PATIENCE / max(time.perf_counter() - began, 1e-9))
    walked = own.copy()
    walked[np.unique(np.linspace(0, len(rates) - 1, max(2, min(most, len(rates)))).round().astype(int))] = True
    runs = [
        (known if own[at] else _alone(problem, rates[at], starts[at], kept)) if walked[at] else None for at in range(len(rates))
    ]
    return runs, walked


def tries(run: Run, start: Column, view: View, rates: int, starts: int) -> tuple[Column, Column]:
    """The rates, rising, with the run's own among them, and the starts, the run's own first."""
    if rates:
        lr = float(run.config["lr"])
        tried = np.geomspace(lr / RANGE, lr * RANGE, rates)
        tried[np.argmin(np.abs(np.log(tried / lr)))] = lr
    grid = np.stack(np.meshgrid(*(np.linspace(low, high, starts) for low, high in zip(view.low, view.high, strict=True))), -1)
    places = np.vstack([start, grid.reshape(-1, len(start))]) if starts else np.empty((0, len(start)))
    return (tried if rates else np.empty(0)), places


def tried_out(problem: Problem, run: Run, start: Column, rates: Column, starts: Column) -> Ends:
    """Where the descents end: those at the rates from the run's start, then those from the starts at the run's rate."""
    if not len(rates) + len(starts):
        return Ends(np.empty((0, len(start))), np.empty(0, dtype=bool), 0, "")
    every = [*rates.tolist(), *[float(run.config["lr"])] * len(starts)]
    with np.errstate(all="ignore"):  # of a loss computed with NumPy, where a descent diverges
        return replayed(problem, run, every, torch.from_numpy(np.vstack([np.repeat(start[None], len(rates), 0), starts])))


def _in_one_pass(problem: Problem, settings: list[Settings], starts: Tensor) -> list[Run | None]:
    alone = Walk(problem, settings[0], None, (), ())
    rows: list[Row] = []
    with warnings.catch_warnings(), alone.world.entered():
        warnings.simplefilter("ignore", SurefootWarning)  # the run has complained already
        while alone.ended is None and len(rows) < COMPARED:
            rows.append(alone.advance())
    herd = Herd(problem, settings, alone)
    parts = _split(problem, starts)
    with torch.no_grad():
        for slot in herd.weights.slots:
            slot.of(herd.weights.rows).copy_(parts[slot.name])
    with herd.entered():
        while not herd.over:
            herd.advance()
    if torch.equal(starts[0], _row(problem)):
        for one, other in zip(herd.table.rows(0), rows, strict=False):
            if not np.isclose(one.loss, other.loss, rtol=AGREEMENT, atol=1e-9, equal_nan=True):
                raise Unbatchable("a batched copy does not walk as it does alone")
    return list(herd.runs())


def _alone(problem: Problem, rate: float, start: Tensor, kept: dict[str, Any]) -> Run | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SurefootWarning)
            return descend(problem.with_(model=_at(problem, start)), lr=float(rate), progress=False, **kept)
    except ProblemError:  # no finite loss at this start
        return None


def _end(problem: Problem, run: Run | None) -> Column:
    """As `end_of`; NaN where it diverged."""
    return np.full(len(_row(problem)), np.nan) if run is None or run.ended == "diverged" else end_of(problem, run)


def end_of(problem: Problem, run: Run) -> Column:
    """The weights at the end of a run as they would be deployed, (weights,) float64, in the order of the model's parameters."""
    return torch.cat([run.weights[name].detach().reshape(-1).double().cpu() for name in trainable(problem.model)]).numpy()


def _at(problem: Problem, row: Tensor) -> torch.nn.Module:
    """A copy of the model with these weights."""
    model = copy.deepcopy(problem.model)
    with torch.no_grad():
        for name, part in _split(problem, row[None]).items():
            model.get_parameter(name).copy_(part[0])
    return model


def _split(problem: Problem, rows: Tensor) -> dict[str, Tensor]:
    """The parameters' shares of rows (n, weights), each (n, *its shape)."""
    named = trainable(problem.model)
    parts = torch.split(rows, [p.numel() for p in named.values()], dim=1)
    return {name: part.reshape(len(rows), *p.shape) for (name, p), part in zip(named.items(), parts, strict=True)}


def _row(problem: Problem) -> Tensor:
    return flattened(list(trainable(problem.model).values()))


def _samples(problem: Problem) -> int:
    return max(1, len(problem.data[0])) if is_pair(problem.data) else 1
