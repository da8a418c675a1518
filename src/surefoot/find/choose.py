"""The learning rate to train with.  range test -> a ladder of short descents below its edge -> longer ones around the best -> Found.

Every constant here was chosen on the tuning cases of ``benchmarks/regret``; how good the answers are is measured on others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.descent.population import ENGINES
from surefoot.errors import SettingError
from surefoot.find.bracket import edge, still_falling
from surefoot.find.doubt import doubt, noise
from surefoot.find.found import Found, FoundBy
from surefoot.find.progress import searching
from surefoot.find.range_test import check_rates, range_test
from surefoot.find.trials import Purse, Trial, Trials, compared_on, loss_at_start, repeatable
from surefoot.problem import Problem
from surefoot.run import Run
from surefoot.trace import Trace

RANGE_SHARE, RANGE_STEPS = 0.1, 100  # of the horizon, and at most
WIDER = 100.0  # how far beyond low and high the range test looks
LADDER, FACTOR = 6, 4.0  # rungs, and the factor between their rates
LADDER_SHARE = 0.25  # of what the range test has left
SPREAD = 3.0  # between the rates of the longer descents
LENGTHENED = 3  # times that the ladder is lengthened by two rungs
RICH = 1.5  # horizons left after the ladder from which on the longer descents are followed by still longer ones
REFINED_SHARE = 0.35  # of that for the former
FINAL, FINAL_SPREAD = 3, 2.0
REFINED = 4  # longer descents, three at once and one where they point
TIED = 0.1  # of what the best gained: the ladder is too short to tell such rates apart, and higher ones have more to come
MIDDLE = 3.0  # times the distance from the best trial to the middle one, if that is less than to the start
UNMOVED = 0.1  # of what the loss differs from batch to batch: less has not moved
LOWERED = 0.577  # the longer descents are hung half a step lower: short ones flatter high rates
AS_GOOD = 0.05  # the same, for the longer descents
FLAT = 9.0  # rates this far apart that are as good: nothing has been told yet
STAND_OFF = {
    "unmoved": 0.35,
    "flat": 0.5,
    "near": 0.6,
    "else": 0.75,
}  # what the best rate is multiplied by: its limit may lie lower in the long run
HORIZON = 0.35  # the best rate falls with the horizon to this power where noise limits it, and not where stability does
FEWEST = 4  # steps of a trial
MINIMUM = (
    60  # gradient evaluations: a range test of 10, six rungs of 4, four longer descents of 4, and the steps that choose the engine
)


def find_lr(
    problem: Problem,
    *,
    optimizer: Any = "adamw",
    steps: int = 1000,
    schedule: Any = "constant",
    batch_size: int | str | None = None,
    budget: float = 1.0,
    seed: int = 0,
    low: float = 1e-8,
    high: float = 10.0,
    device: Any = "auto",
    progress: bool | None = None,
    engine: str = "auto",
    start: Run | None = None,
    over: Mapping[str, Sequence[Any]] | None = None,
    clip_norm: float | None = None,
    accumulate: int | None = None,
    autocast: str | None = None,
) -> Any:
    """The learning rate to train with for ``steps`` steps under this optimizer and schedule.

    Real descents decide, under your own optimizer and batches and under the schedule compressed to their length. A range test finds the rate
    from which the loss never comes back; six short descents below it, a factor of 4 apart, find the region; four longer ones on fresh
    seeds find the rate in it. The loss on validation data decides where there is any. The answer stands off from the best rate tried: by how
    much depends on how near the limit is, how much longer the training will be than the trials, and whether the trials could tell rates apart.

    Args:
        problem: what will be trained.
        optimizer: as for `descend`; parameter groups keep their ratios.
        steps: the horizon, in steps.
        schedule: as for `descend`.
        batch_size: as for `descend`.
        budget: the most it may spend, in training runs of ``steps`` steps (gradient evaluations).
        seed: as for `descend`.
        low: the smallest rate expected; the search goes lower when the descents ask for it.
        high: the largest rate expected; the search goes higher when the descents ask for it.
        device: as for `descend`.
        progress: draw a progress bar; None: on a terminal.
        engine: how descents are walked: ``"auto"``, ``"vmap"`` (many in one pass), ``"sequential"`` or ``"processes"``.
        start: a run to go on from, for a rate in the middle of a training or for a new horizon; it stays as it is.
        over: one setting and the values to find a rate for, ``{"batch_size": [16, 64]}``; the answer is a `FoundBy`.
        clip_norm: as for `descend`.
        accumulate: as for `descend`.
        autocast: as for `descend`.

    Returns:
        `Found`. Where the descents do not allow an answer, ``confident`` is False and ``reason`` says why.

    Raises:
        SettingError: ``low`` is not below ``high``, the budget is too small, or ``over`` names no setting.
        ProblemError: as `descend`.

    Example:
        >>> from surefoot import problems
        >>> found = find_lr(problems.load("line"), optimizer="sgd", steps=400)
        >>> found.confident, found.lr < 0.79, found.gradients <= 400
        (True, True, True)
    """
    asked = {"optimizer": optimizer, "steps": steps, "schedule": schedule, "batch_size": batch_size, "budget": budget, "seed": seed, "low": low,
             "high": high, "device": device, "progress": progress, "engine": engine, "start": start, "clip_norm": clip_norm,
             "accumulate": accumulate, "autocast": autocast}  # fmt: skip
    if over is not None:
        return _by(problem, over, asked)
    _check(low, high, engine)
    purse = Purse(math.floor(budget * steps))
    if purse.left < MINIMUM:
        raise SettingError(
            f"budget * steps = {purse.left} gradient evaluations are too few to try rates: {MINIMUM} are needed. "
            f"Raise budget to {math.ceil(100 * MINIMUM / steps) / 100:g}, or steps."
        )
    settings = {"optimizer": optimizer, "batch_size": batch_size, "clip_norm": clip_norm, "accumulate": accumulate or 1,
                "autocast": autocast, "device": device}  # fmt: skip
    with searching(purse.evaluations, progress) as seen:
        trials = Trials(compared_on(problem), {**settings, "schedule": schedule}, purse, start, seen, engine)
        return _Search(problem, trials, settings, steps, seed).found(low, high)


@dataclass(frozen=True)
class _Shape:
    """What the longer descents look like, the best among them, and what as good ones there are."""

    best: Trial
    good: tuple[float, ...]
    unmoved: bool  # nothing was learnt yet
    limit: float  # between the last rate that held and the first that did not; infinite where none was lost

    @property
    def flat(self) -> bool:
        return self.unmoved or max(self.good) / min(self.good) >= 0.99 * FLAT

    @property
    def room(self) -> float:
        """Octaves from the rate chosen to the limit."""
        return math.log2(self.limit / self.chosen) if math.isfinite(self.limit) else math.inf

    @property
    def chosen(self) -> float:
        """The best rate; the highest of those as good where nothing has been told yet, for it gets farthest in the time."""
        return max(self.good) if self.flat else self.best.lr

    def horizon(self, steps: int, longer: int) -> float:
        """How much lower the best rate is for a longer horizon; not at all where nothing has been told yet."""
        return 1.0 if self.flat else _horizon(steps, longer, self.room)

    def stand_off(self) -> float:
        return STAND_OFF["unmoved" if self.unmoved else "flat" if self.flat else "near" if self.room < 1 else "else"]


def _horizon(steps: int, longer: int, room: float) -> float:
    """How much lower the best rate is for a longer horizon: not at all within an octave of the limit, fully from three octaves on."""
    return float((steps / longer) ** (HORIZON * min(1.0, max(0.0, (room - 1) / 2))))


class _Search:
    """One search for one rate."""

    def __init__(self, problem: Problem, trials: Trials, settings: dict[str, Any], steps: int, seed: int) -> None:
        self.problem, self.trials, self.settings, self.steps, self.seed = problem, trials, settings, steps, seed
        self.began = time.perf_counter()
        self.tests: list[Trace] = []

    def found(self, low: float, high: float) -> Found:
        top = self._top(low / WIDER, high * WIDER)
        if self.trials.purse.left >= 2 * MINIMUM and not repeatable(self.problem, self.trials):
            self.trials.repeats = 2
            self.trials.notes.append(
                "the forward pass gives another loss when repeated, so that each rate was tried twice and averaged"
            )
        self.calm = min(self.tests, key=lambda test: float(test["lr"][0]))
        self.start = loss_at_start(self.trials.problem, self.trials.start, self.calm)
        self.noise = noise(self.calm["loss"][: max(5, len(self.calm) // 4)])
        ladder, length = self._ladder(top)
        centre = self._centre(ladder)
        rich = self.trials.purse.left > RICH * self.steps
        longer = self._length(REFINED, length, REFINED_SHARE if rich else 1.0)
        if centre in [trial.lr for trial in ladder]:
            centre *= _horizon(length, longer, self._room(centre)) * LOWERED
        refined = self._refined(centre, longer)
        shape = self._shape(refined)
        if rich and shape is not None:
            last = self._length(FINAL, length, 1.0)
            centre = shape.chosen * shape.horizon(longer, last)
            final = self._rung([centre * FINAL_SPREAD, centre, centre / FINAL_SPREAD], last, self.seed + 2)
            return self._answer([*ladder, *refined], final)
        return self._answer(ladder, refined)

    def _ladder(self, top: float) -> tuple[list[Trial], int]:
        """Short descents below the edge; the ladder is lengthened downwards while its lowest rung is the best."""
        most = min(self.trials.purse.left, 1.5 * self.steps)
        length = max(FEWEST, int(LADDER_SHARE * most / LADDER / self.trials.repeats))
        ladder = self._rung([top / FACTOR**index for index in range(LADDER)], length, self.seed)
        kept = (REFINED * FEWEST + 8) * self.trials.repeats  # for the longer descents, and for choosing their engine
        for _ in range(LENGTHENED):
            if self.trials.purse.left < 2 * length * self.trials.repeats + kept:
                break
            if (self._unmoved(ladder) and self._near(ladder, TIED)) or min(ladder, key=lambda trial: trial.loss) is not ladder[-1]:
                break
            ladder += self._rung([ladder[-1].lr / FACTOR, ladder[-1].lr / FACTOR**2], length, self.seed)
        return ladder, length

    def _length(self, trials: int, length: int, share: float) -> int:
        """Steps of each of so many trials; a ladder's two rungs are kept for the ceiling, and a few steps for choosing engines."""
        each = self.trials.repeats
        left = share * (self.trials.purse.left - 2 * length * each - 2 * trials)
        return min(self.steps, max(FEWEST, int(left / (trials * each))))

    def _top(self, low: float, high: float) -> float:
        """Where the ladder hangs: the edge of a range test, repeated lower or higher where that has none."""
        steps = min(RANGE_STEPS, max(10, int(RANGE_SHARE * self.steps)))
        for _ in range(3):
            test = range_test(
                self.problem,
                low=low,
                high=high,
                steps=steps,
                seed=self.seed,
                start=self.trials.start,
                progress=False,
                **self.settings,
            )
            self.trials.purse.spent += len(test)
            self.trials.seen("range test", len(test))
            self.tests.append(test)
            top = edge(test)
            if self.trials.purse.left < MINIMUM:
                break
            if top < test["lr"][0] * (high / low) ** 0.1:  # lost from the first rows on
                low, high = low * 1e-8, top
            elif top == test["lr"][-1] and len(test) == steps and still_falling(test) and len(self.tests) == 1:
                low, high = high, high * 1e8
            else:
                break
        return top

    def _rung(self, rates: Sequence[float], steps: int, seed: int) -> list[Trial]:
        return sorted(self.trials.rung(rates, steps, seed), key=lambda trial: -trial.lr)

    def _centre(self, ladder: Sequence[Trial]) -> float:
        """The highest rate of the ladder that is about as good as its best."""
        near = self._near(ladder, TIED)
        if not near:
            return ladder[-1].lr / FACTOR
        return ladder[0].lr * FACTOR / 1.5 if near[0] == ladder[0].lr and not self._unmoved(ladder) else near[0]

    def _unmoved(self, trials: Sequence[Trial]) -> bool:
        """Whether nothing has been learnt yet at any rate: less than the loss differs from batch to batch."""
        return self.start - min(trial.loss for trial in trials) < UNMOVED * self.noise

    def _near(self, trials: Sequence[Trial], share: float) -> list[float]:
        """The rates that are about as good as the best, from the highest down; where nothing has moved, all that have done no harm.

        About as good: within a share of what the best is better by than the middle one of the trials, or than the start where that is less. (Where
        the start is very bad, every rate is much better than that.)
        """
        best = min(trial.loss for trial in trials)
        if self._unmoved(trials):
            return [trial.lr for trial in trials if trial.loss < self.start + UNMOVED * self.noise]
        middle = float(np.median([trial.loss for trial in trials if math.isfinite(trial.loss)]))
        room = share * min(self.start - best, MIDDLE * (middle - best))
        return [trial.lr for trial in trials if trial.loss <= best + room]

    def _refined(self, centre: float, steps: int) -> list[Trial]:
        """Three rates around the centre, then one more: beyond the best where it is at the end, else between it and its better neighbour."""
        refined = self._rung([centre * SPREAD, centre, centre / SPREAD], steps, self.seed + 1)
        while len(refined) < REFINED or all(self._lost(trial) for trial in refined):
            if self.trials.purse.left < steps * self.trials.repeats or len(refined) > 2 * REFINED:
                break
            refined = sorted([*refined, *self._rung([self._next(refined)], steps, self.seed + 1)], key=lambda trial: -trial.lr)
        return refined

    def _next(self, refined: Sequence[Trial]) -> float:
        if all(self._lost(trial) for trial in refined):
            return refined[-1].lr / FACTOR**2
        at = int(np.argmin([trial.loss for trial in refined]))
        if at == 0:
            above = self._limit(refined[0].lr)
            return refined[0].lr * (SPREAD if above > 2.5 * refined[0].lr else 1.6)
        if at == len(refined) - 1:
            return refined[-1].lr / SPREAD
        better = at - 1 if refined[at - 1].loss < refined[at + 1].loss else at + 1
        return math.sqrt(refined[at].lr * refined[better].lr)

    def _room(self, rate: float) -> float:
        """Octaves from a rate to the limit."""
        limit = self._limit(rate)
        return math.log2(limit / rate) if math.isfinite(limit) else math.inf

    def _lost(self, trial: Trial) -> bool:
        return not trial.loss < self.start + UNMOVED * self.noise

    def _limit(self, rate: float) -> float:
        """Between the last rate that held and the first above ``rate`` that did not."""
        lost = [trial.lr for trial in self.trials.made if trial.lr > rate and self._lost(trial)]
        if not lost:
            return math.inf
        held = [trial.lr for trial in self.trials.made if trial.lr < min(lost) and not self._lost(trial)]
        return math.sqrt(min(lost) * max(held, default=rate))

    def _shape(self, trials: Sequence[Trial]) -> _Shape | None:
        good = tuple(self._near(trials, AS_GOOD))
        if not good:
            return None
        best = min((trial for trial in trials if trial.lr in good), key=lambda trial: trial.loss)
        shape = _Shape(best, good, self._unmoved(trials), math.inf)
        return _Shape(best, good, shape.unmoved, self._limit(shape.chosen))

    def _answer(self, ladder: Sequence[Trial], refined: Sequence[Trial]) -> Found:
        shape = self._shape(refined)
        if shape is None:
            lowest = min(trial.lr for trial in self.trials.made)
            return self._told(lowest / FACTOR, lowest / FACTOR, lowest, None, ladder, refined)
        moved = shape.stand_off() * shape.horizon(shape.best.steps, self.steps)
        if shape.best.lr == min(trial.lr for trial in refined) and not shape.flat:
            moved /= math.sqrt(SPREAD)  # the best was the lowest: it lies lower still
        enough = self._saturated(refined, shape)
        lr = min(shape.chosen * moved, enough)
        ceiling = self._ceiling(shape)
        if ceiling is not None:
            lr = min(lr, STAND_OFF["near"] * ceiling)
        # half a step of the grid to either side, upwards without the stand-off: what was not tried was not told apart
        low, high = min(lr, min(shape.good) * moved) / math.sqrt(SPREAD), max(lr, max(shape.good)) * math.sqrt(SPREAD)
        return self._told(
            lr, low, high if ceiling is None else min(high, max(lr, ceiling / math.sqrt(2))), ceiling, ladder, refined
        )

    def _saturated(self, refined: Sequence[Trial], shape: _Shape) -> float:
        """The rate that gets as far in the whole training as the lowest as-good rate did in its trial, where going farther only over-fits.

        Over-fitting: at higher rates the training loss is lower by 15 % of what had been gained, and the validation loss is not.
        """
        if self.trials.problem.validation is None or shape.unmoved:
            return math.inf
        gain = self.start - shape.best.loss
        lowest = min((trial for trial in refined if trial.loss <= shape.best.loss + TIED * gain), key=lambda trial: trial.lr)
        begin = float(np.mean(self.calm["loss"][:5]))
        learnt = begin - lowest.training
        if learnt <= 0:
            return math.inf
        for trial in refined:
            more = (lowest.training - trial.training) / learnt
            if (
                trial.lr >= 1.5 * lowest.lr
                and not self._lost(trial)
                and more > 0.15
                and lowest.loss - trial.loss < 0.25 * more * gain
            ):
                return lowest.lr * lowest.steps / self.steps
        return math.inf

    def _ceiling(self, shape: _Shape) -> float | None:
        """The smallest rate that diverged, looked for between what held and what did not."""
        blown = [float(self.tests[-1]["lr"][-1])] if not np.isfinite(self.tests[-1]["loss"][-1]) else []

        def diverged() -> list[float]:
            return [*blown, *(trial.lr for trial in self.trials.made if trial.lr > shape.best.lr and trial.diverged)]

        above = min(diverged(), default=None)
        if above is None:
            return None
        held = max(trial.lr for trial in self.trials.made if trial.lr < above and not trial.diverged)
        ratio = above / held
        length = self.trials.purse.left // (2 * self.trials.repeats) - 2
        if ratio > 2 and length >= FEWEST:
            self._rung([held * ratio ** (1 / 3), held * ratio ** (2 / 3)], min(length, shape.best.steps), self.seed + 1)
        return min(diverged())

    def _told(
        self, lr: float, low: float, high: float, ceiling: float | None, ladder: Sequence[Trial], refined: Sequence[Trial]
    ) -> Found:  # fmt: skip
        confident, reason = doubt(self.calm, ladder, refined, self.start)
        best = min(refined, key=lambda trial: trial.loss)
        moved = (
            f"the answer is {lr / best.lr:.2g} times that: a training is longer than a trial, and too high costs more than too low"
        )
        notes = [note for note in self.trials.notes if "forward pass" in note or "memory" in note]
        reason = "; ".join([reason, *([moved] if confident else []), *notes])
        traces = (*self.tests, *(trial.trace for trial in self.trials.made))
        return Found(lr, low, high, ceiling, confident, reason, traces, self.trials.purse.spent, time.perf_counter() - self.began, self.steps,
                     self.trials.engine)  # fmt: skip


def _by(problem: Problem, over: Mapping[str, Sequence[Any]], asked: dict[str, Any]) -> FoundBy:
    """The table over one setting."""
    if len(over) != 1 or not set(over) <= set(asked) - {"start", "progress"}:
        raise SettingError(f"over takes one setting and its values, as over={{'batch_size': [16, 64]}}; got {dict(over)!r}.")
    ((setting, values),) = over.items()
    if isinstance(values, str) or not list(values):
        raise SettingError(f"over[{setting!r}] must list at least one value, got {values!r}.")
    return FoundBy(setting, tuple((value, find_lr(problem, **{**asked, setting: value})) for value in values))


def _check(low: float, high: float, engine: str) -> None:
    check_rates(low, high)
    if engine not in ENGINES:
        raise SettingError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}.")
