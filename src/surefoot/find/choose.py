"""The learning rate to train with.  range test -> a ladder of short descents below its edge -> longer ones where they point -> Found.

Every constant here was chosen on the tuning cases of ``benchmarks/regret``; how good the answers are is measured on others.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np

from surefoot.descent.cluster import held
from surefoot.descent.live import Progress
from surefoot.descent.population import check_engine
from surefoot.descent.ranks import leads, ranks_of, together
from surefoot.errors import SettingError
from surefoot.find.bracket import edge, still_falling
from surefoot.find.doubt import doubt, lags, noise
from surefoot.find.forecast import forecast
from surefoot.find.found import Found, FoundBy
from surefoot.find.progress import searching
from surefoot.find.range_test import check_rates, range_test
from surefoot.find.trials import Purse, Trial, Trials, compared_on, loss_at_start, repeatable
from surefoot.problem import Problem
from surefoot.run import Run
from surefoot.trace import Column, Trace

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
UNMOVED = 0.1  # of what the loss differs from batch to batch: less has not moved
HARMLESS = 0.35  # where nothing has moved yet, the answer is this times the highest rate that did no harm
AS_GOOD = 0.05  # of what was gained: rates with as little more to expect are as good
NEAR = 0.6  # of the ceiling: the answer stays below
FEWEST = 4  # steps of a trial
BEYOND, FINE = 8, 16  # octaves below the lowest trial to read forecasts at, and rates per octave
MINIMUM = (
    60  # gradient evaluations: a range test of 10, six rungs of 4, four longer descents of 4, and the steps that choose the engine
)


@overload
def find_lr(
    problem: Problem, *, over: None = None, optimizer: Any = ..., steps: int = ..., schedule: Any = ..., batch_size: int | str | None = ...,
    budget: float = ..., seed: int = ..., low: float = ..., high: float = ..., device: Any = ..., progress: Progress = ..., engine: str = ...,
    start: Run | None = ..., clip_norm: float | None = ..., accumulate: int | None = ..., autocast: str | None = ...,
) -> Found: ...  # fmt: skip
@overload
def find_lr(
    problem: Problem, *, over: Mapping[str, Sequence[Any]], optimizer: Any = ..., steps: int = ..., schedule: Any = ...,
    batch_size: int | str | None = ..., budget: float = ..., seed: int = ..., low: float = ..., high: float = ..., device: Any = ...,
    progress: Progress = ..., engine: str = ..., start: Run | None = ..., clip_norm: float | None = ..., accumulate: int | None = ...,
    autocast: str | None = ...,
) -> FoundBy: ...  # fmt: skip
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
    progress: Progress = None,
    engine: str = "auto",
    start: Run | None = None,
    over: Mapping[str, Sequence[Any]] | None = None,
    clip_norm: float | None = None,
    accumulate: int | None = None,
    autocast: str | None = None,
) -> Found | FoundBy:
    """The learning rate to train with for ``steps`` steps under this optimizer and schedule.

    Real descents decide, under your own optimizer and batches and under the schedule compressed to their length. A range test finds the rate
    from which the loss never comes back; six short descents below it, a factor of 4 apart, find the region; four longer ones on fresh
    seeds find the rate in it. The loss on validation data decides where there is any. All of them together forecast the loss at the end of
    the training for every rate (`surefoot.find.forecast`), and the rate with the lowest forecast is the answer: as a rule it is lower than
    the best rate tried, for short descents flatter high rates.

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
        progress: draw a progress bar; None: on a terminal. Or a function, called between two steps with what is being tried, and how many
            gradient evaluations were made and may be made; what it raises ends the search and comes out.
        engine: how descents are walked: ``"auto"``, ``"vmap"`` (many in one pass), ``"sequential"``, ``"processes"``, or ``"ray"``: on a
            cluster, as for `surefoot.descent.population.descend_many`; the range test stays here, and the first steps, which choose how the
            workers walk, are walked both here and there and counted once.
        start: a run to go on from, for a rate in the middle of a training or for a new horizon; it stays as it is.
        over: one setting and the values to find a rate for, ``{"batch_size": [16, 64]}``; the answer is a `FoundBy`.
        clip_norm: as for `descend`.
        accumulate: as for `descend`.
        autocast: as for `descend`.

    Returns:
        `Found`. Where the descents do not allow an answer, ``confident`` is False and ``reason`` says why.

    Raises:
        SettingError: ``low`` is not below ``high``, ``steps`` is no positive int, the budget is too small, or ``over`` names no setting.
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
    check_rates(low, high)
    check_engine(engine)
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise SettingError(f"steps must be a positive int, got {steps!r}.")
    purse = Purse(math.floor(budget * steps))
    if purse.left < MINIMUM:
        raise SettingError(
            f"budget * steps = {purse.left} gradient evaluations are too few to try rates: {MINIMUM} are needed. "
            f"Raise budget to {math.ceil(100 * MINIMUM / steps) / 100:g}, or steps."
        )
    settings = {"optimizer": optimizer, "batch_size": batch_size, "clip_norm": clip_norm, "accumulate": accumulate or 1,
                "autocast": autocast, "device": device}  # fmt: skip
    with contextlib.ExitStack() as around:
        problem = around.enter_context(together(problem))
        around.enter_context(held(engine if ranks_of(problem) is None else "sequential"))
        seen = around.enter_context(searching(purse.evaluations, progress if leads(problem) else False))
        trials = Trials(compared_on(problem), {**settings, "schedule": schedule}, purse, start, seen, engine)
        return _Search(problem, trials, settings, steps, seed).found(low, high)


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
        rich = self.trials.purse.left > RICH * self.steps
        longer = self._length(REFINED, length, REFINED_SHARE if rich else 1.0)
        refined = self._refined(self._centre(longer), longer)
        if not rich:
            return self._answer(ladder, refined)
        last = self._length(FINAL, length, 1.0)
        centre = self._centre(last)
        final = self._rung([centre * FINAL_SPREAD, centre, centre / FINAL_SPREAD], last, self.seed + 2)
        return self._answer([*ladder, *refined], final)

    def _ladder(self, top: float) -> tuple[list[Trial], int]:
        """Short descents below the edge; the ladder is lengthened downwards while its lowest rung is the best."""
        most = min(self.trials.purse.left, 1.5 * self.steps)
        length = max(FEWEST, int(LADDER_SHARE * most / LADDER / self.trials.repeats))
        ladder = self._rung([top / FACTOR**index for index in range(LADDER)], length, self.seed)
        kept = (REFINED * FEWEST + 8) * self.trials.repeats  # for the longer descents, and for choosing their engine
        for _ in range(LENGTHENED):
            if self.trials.purse.left < 2 * length * self.trials.repeats + kept:
                break
            if (self._unmoved() and self._harmless()) or min(ladder, key=lambda trial: trial.loss) is not ladder[-1]:
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
                progress=lambda *_: self.trials.seen("range test", 1),
                **self.settings,
            )
            self.trials.purse.spent += len(test)
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

    def _unmoved(self) -> bool:
        """Whether nothing has been learnt yet at any rate: less than the loss differs from batch to batch."""
        return not self.start - min(trial.loss for trial in self.trials.made) > UNMOVED * self.noise

    def _harmless(self) -> list[float]:
        """The rates of the longest trials below any that did harm."""
        harmful = min((trial.lr for trial in self.trials.made if self._lost(trial)), default=math.inf)
        longest = max(trial.steps for trial in self.trials.made)
        return [trial.lr for trial in self.trials.made if trial.lr < harmful and trial.steps == longest]

    def _lost(self, trial: Trial) -> bool:
        return not trial.loss < self.start + UNMOVED * self.noise

    def _expected(self, steps: int) -> tuple[Column, Column]:
        """Rates, and the excess loss to expect at each after so many steps."""
        tried = [math.log2(trial.lr) for trial in self.trials.made]
        rates = 2 ** np.arange(min(tried) - BEYOND, max(tried) + 1, 1 / FINE)
        longest = max(trial.steps for trial in self.trials.made)
        best = min((trial for trial in self.trials.made if trial.steps == longest), key=lambda trial: trial.loss)
        over_fits = best.loss < self.start and lags(self.calm, best, self.start, self.steps)
        return rates, forecast(self.trials.made, self.start, steps, rates, self.start + UNMOVED * self.noise, over_fits)

    def _centre(self, steps: int) -> float:
        """Where to hang descents of so many steps."""
        if self._unmoved():
            return max(self._harmless(), default=min(trial.lr for trial in self.trials.made) / FACTOR)
        rates, expected = self._expected(steps)
        return float(rates[expected.argmin()])

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
            lost = min((trial.lr for trial in self.trials.made if trial.lr > refined[0].lr and self._lost(trial)), default=math.inf)
            return refined[0].lr * (SPREAD if lost > 4 * refined[0].lr else 1.6)
        if at == len(refined) - 1:
            return refined[-1].lr / SPREAD
        better = at - 1 if refined[at - 1].loss < refined[at + 1].loss else at + 1
        return math.sqrt(refined[at].lr * refined[better].lr)

    def _answer(self, ladder: Sequence[Trial], refined: Sequence[Trial]) -> Found:
        if self._unmoved():
            harmless = self._harmless()
            highest = max(harmless, default=min(trial.lr for trial in self.trials.made) / FACTOR)
            lr, low, high = HARMLESS * highest, HARMLESS * min(harmless, default=highest), highest
            why = f"hardly anything has moved yet, so the answer is {HARMLESS:g} times the highest rate that did no harm"
        else:
            rates, expected = self._expected(self.steps)
            good = rates[expected <= expected.min() + AS_GOOD]
            lr, low, high = float(rates[expected.argmin()]), float(good.min()), float(good.max())
            why = f"{lr:.3g} has the lowest loss forecast for {self.steps:,} steps (short descents flatter high rates)"
        ceiling = self._ceiling(lr)
        if ceiling is not None:
            high = min(high, ceiling / math.sqrt(2))
            if lr > NEAR * ceiling:
                lr, why = NEAR * ceiling, f"the answer is {NEAR:g} times the rate that diverged"
        # half a step of the trials to either side: what was not tried was not told apart
        return self._told(lr, min(lr, low / SPREAD**0.5), max(lr, high * SPREAD**0.5), ceiling, why, ladder, refined)

    def _ceiling(self, chosen: float) -> float | None:
        """The smallest rate that diverged, looked for between what held and what did not."""
        blown = [float(self.tests[-1]["lr"][-1])] if not np.isfinite(self.tests[-1]["loss"][-1]) else []

        def diverged() -> list[float]:
            return [*blown, *(trial.lr for trial in self.trials.made if trial.lr > chosen and trial.diverged)]

        above = min(diverged(), default=None)
        if above is None:
            return None
        held = max(
            (trial.lr for trial in self.trials.made if trial.lr < above and not trial.diverged), default=min(chosen, above / FACTOR)
        )
        ratio = above / held
        length = self.trials.purse.left // (2 * self.trials.repeats) - 2
        if ratio > 2 and length >= FEWEST:
            self._rung(
                [held * ratio ** (1 / 3), held * ratio ** (2 / 3)],
                min(length, max(trial.steps for trial in self.trials.made)),
                self.seed + 1,
            )
        return min(diverged())

    def _told(
        self, lr: float, low: float, high: float, ceiling: float | None, why: str, ladder: Sequence[Trial], refined: Sequence[Trial]
    ) -> Found:  # fmt: skip
        confident, reason = doubt(self.calm, ladder, refined, self.start, self.steps)
        notes = [note for note in self.trials.notes if "forward pass" in note or "memory" in note or "Distributed" in note]
        reason = "; ".join([reason, *([why] if confident else []), *notes])
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
    with held(str(asked["engine"])):
        return FoundBy(setting, tuple((value, find_lr(problem, **{**asked, setting: value})) for value in values))
