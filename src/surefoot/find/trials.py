"""How far does a rate get?  rates + steps -> short real descents, each with its loss at the end.

A trial walks the user's own problem, optimizer and batches, under the schedule compressed to the length of the trial. Trials of one rung start
from one state and see the same batches, so that the differences between them are those of the rate.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from surefoot.descent.abreast import alike_over_ranks, mean_over_ranks
from surefoot.descent.batches import order, validation_source
from surefoot.descent.population import descend_many
from surefoot.descent.settings import Settings
from surefoot.descent.snapshot import World, carried_generators, random_state, set_random_state
from surefoot.descent.validate import evaluating, summed_loss
from surefoot.descent.walk import stream
from surefoot.problem import Problem, is_pair
from surefoot.run import Run
from surefoot.trace import Trace

HELD_OUT = 500  # validation samples that trials are compared on: short descents must not cost more to judge than to walk
REPEATED = 4  # times that a loss is computed: what differs little may round to the same twice
TAIL = 5  # the last fifth of a trial's rows tells its training loss


@dataclass(frozen=True)
class Trial:
    """One short descent.

    Attributes:
        lr: its rate.
        steps: its length.
        loss: at its end: on validation data where there is any, else `training`; infinite where it overflowed.
        training: the mean of the last fifth of its rows; infinite where it overflowed.
        trace: its rows.
    """

    lr: float
    steps: int
    loss: float
    training: float
    trace: Trace

    @property
    def diverged(self) -> bool:
        """Whether it overflowed, or its loss rose from third to third of its rows, above where it began by more than the first rows differ."""
        if not math.isfinite(self.loss):
            return True
        rows = self.trace["loss"]
        first, second, third = (float(np.mean(part)) for part in np.array_split(rows, 3))
        early = rows[: max(2, len(rows) // 6)]
        return first < second < third and third > float(2 * np.max(early) - np.min(early))


@dataclass
class Purse:
    """Gradient evaluations to spend."""

    evaluations: int
    spent: int = 0

    @property
    def left(self) -> int:
        """How many are left."""
        return self.evaluations - self.spent


@dataclass
class Trials:
    """All the descents of one search.

    Attributes:
        problem: what is descended, its validation data cut to what a comparison needs.
        settings: what `descend_many` takes beside rates, seeds and steps.
        purse: what they may cost.
        start: the run they go on from, or None.
        made: the trials so far.
        engine: how the last ones were walked.
        notes: what is to be said about that.
        repeats: seeds per rate, more than one where a forward pass cannot be repeated.
    """

    problem: Problem
    settings: Mapping[str, Any]
    purse: Purse
    start: Run | None
    seen: Callable[[str, int], None]
    engine: str = "auto"
    repeats: int = 1
    made: list[Trial] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def rung(self, rates: Sequence[float], steps: int, seed: int) -> list[Trial]:
        """Tries each rate for so many steps; several at once where that is possible."""
        asked = [rate for rate in rates for _ in range(self.repeats)]
        seeds = [seed + index for _ in rates for index in range(self.repeats)]
        told = f"{steps} steps at {', '.join(f'{rate:.2g}' for rate in sorted(rates))}"
        population = descend_many(
            self.problem, lr=asked, seed=seeds, steps=steps, start=self.start, engine=self.engine, validate_every=steps,
            seen=lambda count: self.seen(told, count), **self.settings,
        )  # fmt: skip
        self.purse.spent += population.gradients
        self.engine = population.engine
        if population.note and population.note not in self.notes:
            self.notes.append(population.note)
        walked = [self._trial(rate, steps, run) for rate, run in zip(asked, population.runs, strict=True)]
        trials = [_mean(walked[index : index + self.repeats]) for index in range(0, len(walked), self.repeats)]
        self.made += trials
        return trials

    def _trial(self, rate: float, steps: int, run: Run) -> Trial:
        trace = run.trace[len(self.start.trace) :] if self.start is not None else run.trace
        if run.ended == "diverged":
            return Trial(rate, steps, math.inf, math.inf, trace)
        training = float(np.mean(trace["loss"][-max(3, len(trace) // TAIL) :]))
        held_out = float(trace["validation_loss"][-1])
        loss = training if self.problem.validation is None else held_out
        return Trial(rate, steps, loss if math.isfinite(loss) else math.inf, training, trace)


def _mean(trials: Sequence[Trial]) -> Trial:
    first = trials[0]
    if len(trials) == 1:
        return first
    return Trial(
        first.lr, first.steps, float(np.mean([t.loss for t in trials])), float(np.mean([t.training for t in trials])), first.trace
    )


def compared_on(problem: Problem) -> Problem:
    """The problem with no more validation samples than comparing trials needs, the same ones for all of them."""
    held_out = problem.validation
    if held_out is None or not is_pair(held_out) or len(held_out[0]) <= HELD_OUT:
        return problem
    picked = order(len(held_out[0]), 0, 0)[:HELD_OUT]
    return problem.with_(validation=tuple(part[picked if isinstance(part, torch.Tensor) else picked.numpy()] for part in held_out))


def loss_at_start(problem: Problem, start: Run | None, test: Trace) -> float:
    """The loss, of the kind that trials are compared by, before anything moves.

    Args:
        problem: what is descended.
        start: the run it goes on from, or None.
        test: a range test, whose first rows tell where there is no validation data.
    """
    if problem.validation is None:
        return float(np.mean(test["loss"][: max(3, len(test) // 10)]))
    model = copy.deepcopy(problem.model)
    if start is not None:
        model.load_state_dict(dict(start.weights))
    first = next(model.parameters())
    world = World.seeded(0, carried_generators(problem.data, problem.validation))
    with world.entered(), evaluating(model):
        sums = summed_loss(problem, model, validation_source(problem.validation, first.device, first.dtype))
        return mean_over_ranks(problem, *sums)


def repeatable(problem: Problem, trials: Trials) -> bool:
    """Whether the loss on a batch is the same when it is computed again from the same random state."""
    settings = Settings(lr=1.0, **{**trials.settings, "schedule": "constant", "optimizer": "sgd"})
    model = copy.deepcopy(problem.model)
    first = next(model.parameters())
    feed, world = stream(problem, settings, None, settings.chosen_device(model), first.dtype)
    model.to(settings.chosen_device(model))
    losses = []
    with world.entered(), torch.no_grad():
        batch = feed.take(1)[0]
        before = random_state(world.carried)
        for _ in range(REPEATED):
            set_random_state(before, world.carried)
            losses.append(float(problem.loss_on(copy.deepcopy(model), batch)))
    return alike_over_ranks(problem, len(set(losses)) == 1 or not all(map(math.isfinite, losses)))
