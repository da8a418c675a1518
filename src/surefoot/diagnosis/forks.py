"""Would another learning rate do better from here?  run + problem -> the same steps at a tenth of the rate, at it, and at three times.

The decisive test: it needs no theory of the loss, only a few real steps.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from surefoot.descent import optimizer as optimizers
from surefoot.descent.path import flattened
from surefoot.descent.population import Population, descend_many
from surefoot.errors import SurefootWarning
from surefoot.problem import Problem, trainable
from surefoot.run import Run
from surefoot.trace import Column

TIMES = (0.1, 1.0, 3.0)
SHARE, FEWEST, MOST = 8, 20, 200  # steps of a fork: the run's over the first, within the others
LADDER = (10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6)  # tried as long as the last one was the best
POINTS = 11  # of a fork at which the loss over the sample is taken, beside its end
KEPT = ("optimizer", "batch_size", "seed", "clip_norm", "accumulate", "autocast")


@dataclass(frozen=True)
class Forks:
    """What became of the loss at each rate.

    Attributes:
        rate: the rate that the forks are multiples of.
        steps: of each fork.
        losses: by multiple, the batch losses along the fork, (steps,); infinite from where it diverged.
        points: by multiple, weights over the last half of the fork, (points, weights); the last is its end.
        gradients: evaluations spent.
    """

    rate: float
    steps: int
    losses: Mapping[float, Column]
    points: Mapping[float, Column]
    gradients: int

    def level(self, times: float) -> float:
        """The mean loss over the last quarter of a fork."""
        return float(np.mean(self.losses[times][-max(1, self.steps // 4) :]))

    def better(self, times: float) -> tuple[float, float]:
        """How much lower the loss is at this multiple than at the rate itself over the last quarter, and the standard error of that.

        The batches are the same, so that their noise cancels.
        """
        last = max(4, self.steps // 4)
        with np.errstate(invalid="ignore"):
            differences = self.losses[1.0][-last:] - self.losses[times][-last:]
        if np.isnan(differences).any() or np.isinf(differences).any():
            return -math.inf, 0.0
        blocks = np.array([part.mean() for part in np.array_split(differences, 4)])  # neighbours are alike: errors from blocks
        return float(differences.mean()), float(blocks.std(ddof=1) / 2)

    @property
    def best(self) -> float:
        """The multiple with the lowest level at the end."""
        return min(self.losses, key=lambda times: (not math.isfinite(self.level(times)), self.level(times), times))


def forked(
    problem: Problem,
    run: Run,
    rate: float,
    start: Run | None,
    times: Sequence[float] = TIMES,
    steps: int | None = None,
    seen: Callable[[int], None] | None = None,
    many: Callable[..., Population] = descend_many,
) -> Forks:
    """The same steps at multiples of a rate.

    Args:
        problem: whose model stands where the forks begin, where ``start`` is None.
        run: whose settings are kept, but for the schedule: the rates are constant.
        rate: the rate.
        start: the run to go on from, with its optimizer's state and its place in the data.
        times: the multiples.
        steps: of each; None for an eighth of the run's, 20 to 200.
        seen: as for `descend_many`.
        many: what walks them, called as `descend_many` is.
    """
    count = steps or length(run)
    kept = {key: run.config[key] for key in KEPT if run.config.get(key) is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SurefootWarning)
        made = many(
            problem,
            lr=[rate * each for each in times],
            steps=count,
            start=start,
            engine="auto",
            validate_every=10**9,
            seen=seen,
            **kept,
        )
    before = len(start.trace) if start is not None else 0
    losses = {each: _padded(fork.trace["loss"][before:], count) for each, fork in zip(times, made.runs, strict=True)}
    points = {each: _points(problem, fork, count) for each, fork in zip(times, made.runs, strict=True)}
    return Forks(rate, count, losses, points, made.gradients)


def climbed(
    problem: Problem,
    run: Run,
    forks: Forks,
    start: Run | None,
    seen: Callable[[int], None] | None = None,
    many: Callable[..., Population] = descend_many,
) -> Forks:
    """The forks with higher multiples beside them, as long as the highest is the best."""
    while forks.best == max(forks.losses) and max(forks.losses) < LADDER[-1]:
        higher = [times for times in LADDER if times > max(forks.losses)][:2]
        more = forked(problem, run, forks.rate, start, higher, forks.steps, seen, many)
        spent = forks.gradients + more.gradients
        forks = Forks(forks.rate, forks.steps, {**forks.losses, **more.losses}, {**forks.points, **more.points}, spent)
    return forks


def length(run: Run) -> int:
    """Steps of a fork of this run."""
    return int(min(MOST, max(FEWEST, len(run.trace) // SHARE)))


def walkable(run: Run) -> bool:
    """Whether the run's settings can be taken up again: its optimizer is known by name, and its rate."""
    return run.config.get("optimizer") in optimizers.names() and float(run.config.get("lr") or 0) > 0


def _padded(losses: Column, count: int) -> Column:
    out = np.full(count, np.inf)
    out[: min(count, len(losses))] = losses[:count]
    out[~np.isfinite(out)] = np.inf
    if np.isinf(out).any():
        out[int(np.flatnonzero(np.isinf(out))[0]) :] = np.inf
    return out


def _points(problem: Problem, run: Run, count: int) -> Column:
    """Some of the path's points over the last half, and the end."""
    end = flattened([run.weights[name] for name in trainable(problem.model)]).double().cpu().numpy()
    late = np.flatnonzero(run.path.steps >= run.path.steps[-1] - count // 2)[:-1]
    picked = late[np.unique(np.linspace(0, len(late) - 1, min(POINTS, len(late))).round().astype(int))] if len(late) else late
    return np.vstack([*(run.path[int(index)].double().cpu().numpy() for index in picked), end])


def settings_of(run: Run) -> dict[str, Any]:
    """What a new descent with the run's settings takes, but for rate, steps and schedule."""
    return {key: run.config[key] for key in KEPT if run.config.get(key) is not None}


def finite(weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether every weight is a finite number."""
    return all(bool(torch.isfinite(value).all()) for value in weights.values() if value.is_floating_point())
