"""The learning rate to train with.  range test -> its minimum / 10 -> short real descents around it -> Found."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from surefoot.descent.loop import descend
from surefoot.errors import SettingError
from surefoot.find.found import Found
from surefoot.find.range_test import MINIMUM_STEPS, range_test
from surefoot.find.suggest import suggest
from surefoot.problem import Problem
from surefoot.run import Run
from surefoot.trace import Column, Trace

RULE = "minimum/10"  # the best of the published rules where they were measured against each other: mean regret 0.063
RANGE_STEPS = 100  # as the published finders
RANGE_SHARE = 0.3  # of the budget at most
FACTOR = 3.0  # between the rates that are tried: about an octave and a half, below which noise decides
RETREATS = 4  # how often the rate is divided by FACTOR when the descent at it diverges
MINIMUM_TRIAL = 5  # steps
SIGNIFICANT = 3.0  # standard errors by which the loss must have fallen for the answer to be trusted


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
    clip_norm: float | None = None,
    accumulate: int | None = None,
    autocast: str | None = None,
) -> Found:
    """The learning rate to train with for ``steps`` steps under this optimizer and schedule.

    A range test from ``low`` to ``high`` suggests a rate (its minimum divided by ten), and three short descents from the start (a
    third of it, itself, three times it, under the schedule compressed to their length) verify it: the best of them by validation loss where
    there is one, else by the loss at their end, is the answer; while they diverge, the rate retreats.

    Args:
        problem: what will be trained.
        optimizer: as for `descend`.
        steps: the horizon, in steps.
        schedule: as for `descend`.
        batch_size: as for `descend`.
        budget: the most it may spend, in training runs of ``steps`` steps (gradient evaluations).
        seed: as for `descend`.
        low: the smallest rate looked at.
        high: the largest rate looked at.
        device: as for `descend`.
        progress: draw progress bars; None: on a terminal.
        engine: how descents are run; ``"auto"`` and ``"sequential"``: one after the other.
        clip_norm: as for `descend`.
        accumulate: as for `descend`.
        autocast: as for `descend`.

    Returns:
        The answer; where the curve or the descents do not allow one, ``confident`` is False and ``reason`` says why.

    Raises:
        SettingError: ``low`` is not below ``high``, or the budget does not allow a range test and three descents.
        ProblemError: as `descend`.

    Example:
        >>> from surefoot import problems
        >>> found = find_lr(problems.load("line"), optimizer="sgd", steps=400)
        >>> found.confident, found.lr < 0.79, found.gradients <= 400
        (True, True, True)
    """
    began = time.perf_counter()
    if engine not in ("auto", "sequential"):
        raise SettingError(f"engine must be 'auto' or 'sequential', got {engine!r}.")
    shared = {"optimizer": optimizer, "batch_size": batch_size, "seed": seed, "clip_norm": clip_norm, "accumulate": accumulate,
              "autocast": autocast, "device": device, "progress": progress}  # fmt: skip
    purse = _Purse(math.floor(budget * steps))
    length = min(RANGE_STEPS, math.floor(RANGE_SHARE * purse.left))
    if length < MINIMUM_STEPS:
        need = math.ceil(MINIMUM_STEPS / RANGE_SHARE)
        raise SettingError(
            f"budget * steps = {purse.left} gradient evaluations are too few: {need} are needed. Raise budget or steps."
        )
    test = range_test(problem, low=low, high=high, steps=length, **shared)
    purse.pay(test)
    suggestion = suggest(test, RULE)
    guess = suggestion.lr
    if guess is None:
        return _unsure(test, suggestion.reason, purse, began, steps)
    runs = _verify(problem, guess, schedule, purse, shared)
    return _answer(test, runs, purse, began, steps)


class _Purse:
    """Gradient evaluations still to be spent."""

    def __init__(self, evaluations: int) -> None:
        self.left, self.spent = evaluations, 0

    def pay(self, trace: Trace) -> None:
        self.left -= len(trace)
        self.spent += len(trace)


def _verify(problem: Problem, guess: float, schedule: Any, purse: _Purse, shared: dict[str, Any]) -> dict[float, Run]:
    """Short descents at a third of the guess, at it and at three times it; lower ones while the lowest diverges."""
    length = max(MINIMUM_TRIAL, purse.left // 4)  # three, and one for a retreat
    runs: dict[float, Run] = {}

    def tried(rate: float) -> bool:
        if purse.left < length:
            return False
        runs[rate] = descend(problem, lr=rate, steps=length, schedule=schedule, **shared)
        purse.pay(runs[rate].trace)
        if runs[rate].ended == "interrupted":
            raise KeyboardInterrupt  # the descent ended in good order; the search as a whole has no answer
        return runs[rate].ended != "diverged"

    rate, retreats = guess, 0
    while not tried(rate) and rate in runs and retreats < RETREATS:
        rate, retreats = rate / FACTOR, retreats + 1
    for other in (rate * FACTOR, rate / FACTOR):
        if other not in runs:
            tried(other)
    return runs


def _answer(test: Trace, runs: dict[float, Run], purse: _Purse, began: float, steps: int) -> Found:
    alive = {rate: _final(run) for rate, run in runs.items() if run.ended != "diverged"}
    broken = [rate for rate, run in runs.items() if run.ended == "diverged"]
    if not np.isfinite(test["loss"][-1]):
        broken.append(float(test["lr"][-1]))
    trials = (test, *(run.trace for run in runs.values()))
    ceiling = min(broken, default=None)
    if not alive:
        reason = f"every descent that was tried diverged, the lowest at {min(runs):.3g}; look below it: find_lr(..., high={min(runs):.1g})"
        return Found(min(runs) / FACTOR, low=min(runs) / FACTOR**2, high=min(runs) / FACTOR, ceiling=ceiling, confident=False, reason=reason,
                     trials=trials, gradients=purse.spent, seconds=time.perf_counter() - began, steps=steps)  # fmt: skip
    best = min(alive, key=lambda rate: alive[rate][0])
    loss, noise = alive[best]
    good = [rate for rate, (other, its_noise) in alive.items() if other - loss <= 2 * math.hypot(noise, its_noise)]
    confident, reason = _verdict(test, runs[best].trace, best, sorted(alive))
    return Found(best, low=min(good), high=max(good), ceiling=ceiling, confident=confident, reason=reason, trials=trials,
                 gradients=purse.spent, seconds=time.perf_counter() - began, steps=steps)  # fmt: skip


def _verdict(test: Trace, trial: Trace, best: float, tried: list[float]) -> tuple[bool, str]:
    """Whether the descent at the best rate got anywhere, in words.

    The range test's first rows, where the rate is still far too small to move anything, tell the loss at the start and its noise from batch to batch.
    """
    first, first_error = _mean(test["loss"][: max(3, len(test) // 10)])
    last, last_error = _tail(trial)
    noise = math.hypot(first_error, last_error)
    fell = f"at {best:.3g} the loss went from {first:.4g} to {last:.4g}"
    if not first - last > SIGNIFICANT * noise:
        return False, f"{fell}, which is within the noise of its batches ({noise:.2g}): the descents cannot tell"
    return True, f"short descents at {', '.join(f'{rate:.2g}' for rate in tried)} were compared; {fell}"


def _final(run: Run) -> tuple[float, float]:
    """The loss at the end and its standard error: on validation data where there is any, else the mean of the last tenth."""
    mean, error = _tail(run.trace)
    validated = run.trace["validation_loss"][np.isfinite(run.trace["validation_loss"])]
    return (float(validated[-1]) if len(validated) else mean), error


def _tail(trace: Trace) -> tuple[float, float]:
    return _mean(trace["loss"][-max(3, len(trace) // 10) :])


def _mean(losses: Column) -> tuple[float, float]:
    """The mean and its standard error."""
    return float(losses.mean()), float(losses.std(ddof=1) / math.sqrt(len(losses)))


def _unsure(test: Trace, why: str, purse: _Purse, began: float, steps: int) -> Found:
    finite = test.finite
    rates = finite["lr"] if len(finite) else test["lr"]
    middle = float(np.sqrt(rates[0] * rates[-1]))
    ceiling = None if np.isfinite(test["loss"][-1]) else float(test["lr"][-1])
    return Found(middle, float(rates[0]), float(rates[-1]), ceiling, False, f"the range test gives no answer: {why}", (test,), purse.spent,
                 time.perf_counter() - began, steps)  # fmt: skip
