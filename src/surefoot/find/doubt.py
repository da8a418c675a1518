"""Is the answer to be trusted?  the trials it rests on -> yes or no, and why in plain words."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from surefoot.find.trials import Trial
from surefoot.trace import Column, Trace

SIGNIFICANT = 4.0  # standard errors by which the training loss must have fallen
ACCELERATED = 1.3  # a loss without a lower bound falls faster and faster, and its gradient grows
FAR = 30.0  # times the loss at the start: negative log-likelihoods go less far below zero in a trial
LAGS = 0.3  # of what was gained, by which the validation loss may lag behind the training loss
LAGS_LATER = 0.1  # the same, where the training will see every sample often
OFTEN = 20  # passes over the data


def doubt(test: Trace, ladder: Sequence[Trial], refined: Sequence[Trial], start: float, steps: int) -> tuple[bool, str]:
    """Whether the trials allow an answer, and the reason why or why not.

    Args:
        test: the range test, whose first rows tell the training loss before anything moved, and its noise.
        ladder: the short descents.
        refined: the longer ones, on another seed.
        start: the loss, of the kind that decides, before anything moved.
        steps: the length of the training.
    """
    best = min(refined, key=lambda trial: trial.loss)
    whole = [*ladder, *refined]
    for check in (_all_lost, _never_better, _within_noise, _without_bound, _at_the_end, functools.partial(_over_fits, steps)):
        reason = check(test, whole, refined, best, start)
        if reason:
            return False, reason
    tried = ", ".join(f"{trial.lr:.2g}" for trial in sorted(refined, key=lambda trial: trial.lr))
    return (
        True,
        f"descents of {best.steps} steps at {tried} were compared; at {best.lr:.2g} the loss went from {start:.4g} to {best.loss:.4g}",
    )


def _all_lost(test: Trace, whole: Sequence[Trial], refined: Sequence[Trial], best: Trial, start: float) -> str:
    if any(math.isfinite(trial.loss) for trial in whole):
        return ""
    return f"every rate that was tried overflowed, the lowest at {min(trial.lr for trial in whole):.2g}: no rate will do, look at the loss"


def _never_better(test: Trace, whole: Sequence[Trial], refined: Sequence[Trial], best: Trial, start: float) -> str:
    if best.loss < start:
        return ""
    lowest, highest = min(trial.lr for trial in whole), max(trial.lr for trial in whole)
    rose = [trial for trial in whole if trial.loss - start > 4 * noise(test["loss"][: max(5, len(test) // 4)])]
    if not rose:
        return (
            f"the loss stays at {start:.4g}, within its noise, at every rate from {lowest:.2g} to {highest:.2g}: "
            "the descents cannot tell. Does it depend on the weights, and are there enough steps?"
        )
    return (
        f"at no rate from {lowest:.2g} to {highest:.2g} did the loss fall below where it started ({start:.4g}): either "
        "these weights are as good as they get, or the loss does not follow its gradient (a wrong sign, a detached part)"
    )


def _within_noise(test: Trace, whole: Sequence[Trial], refined: Sequence[Trial], best: Trial, start: float) -> str:
    first, error = _mean(test["loss"][: max(5, len(test) // 4)])
    last, its_error = _mean(best.trace["loss"][-max(5, len(best.trace) // 5) :])
    together = math.hypot(error, its_error)
    resolution = 4 * float(np.finfo(np.float32).eps) * abs(first)
    if first - last > max(SIGNIFICANT * together, resolution):
        return ""
    fell = f"at the best rate tried, {best.lr:.2g}, the loss went from {first:.4g} to {last:.4g}"
    return f"{fell}, no fall by {SIGNIFICANT:g} standard errors of its batches ({together:.2g} each): the descents cannot tell"


def _without_bound(test: Trace, whole: Sequence[Trial], refined: Sequence[Trial], best: Trial, start: float) -> str:
    """A loss whose sign is wrong falls for ever: the faster the higher the rate, with a gradient that grows."""
    rows = best.trace
    third = max(1, len(rows) // 3)
    begin, middle, end = (float(np.mean(rows["loss"][at : at + third])) for at in (0, third, len(rows) - third))
    grown = float(np.median(rows["grad_norm"][-third:]) / max(np.median(test["grad_norm"][:5]), 1e-30))
    sunk = [t for t in whole if not math.isfinite(t.loss) and len(t.trace.finite) and t.trace.finite["loss"][-1] < min(start, end)]
    accelerates = middle - end > ACCELERATED * (begin - middle) > 0 and grown > 2
    if (accelerates and end < 0 and begin - end > FAR * abs(begin)) or sunk:
        return (
            f"the loss falls faster and faster, to {end:.3g} at {best.lr:.2g}: it seems to have no lower bound; is its sign right?"
        )
    return ""


def _at_the_end(test: Trace, whole: Sequence[Trial], refined: Sequence[Trial], best: Trial, start: float) -> str:
    as_good = [trial.lr for trial in refined if trial.loss <= best.loss + 0.05 * (start - best.loss)]
    longer = [trial.lr for trial in whole if trial.steps > min(each.steps for each in whole)]
    if best.lr == min(longer, default=0.0) and max(as_good) < 3 * best.lr:
        return f"the best rate of the longer descents, {best.lr:.2g}, is also their lowest one; still lower ones may be better. Raise budget"
    if not [trial for trial in whole if trial.lr > best.lr] and np.isfinite(test["loss"]).all():
        return f"the best rate tried, {best.lr:.2g}, is also the highest one; still higher ones may be better. Raise budget"
    return ""


def _over_fits(steps: int, test: Trace, whole: Sequence[Trial], refined: Sequence[Trial], best: Trial, start: float) -> str:
    """Where the validation loss has stopped following, what is best depends on the length of the training more than trials can tell."""
    if not lags(test, best, start, steps):
        return ""
    return (
        f"over-fits: after {best.steps} steps at {best.lr:.2g} the validation loss is {best.loss:.4g} and the training loss "
        f"{best.training:.4g}; in a longer training lower rates may be better. Raise budget, or stop early"
    )


def lags(test: Trace, trial: Trial, start: float, steps: int) -> bool:
    """Whether the validation loss lags behind the training loss: the less is needed the more often the training will see each sample."""
    began = start - float(np.mean(test["loss"][:5]))
    lag = trial.loss - trial.training
    passes = float(trial.trace["epoch"][-1] - trial.trace["epoch"][0]) * steps / len(trial.trace) if len(trial.trace) else 0.0
    return min(lag, lag - began) > (LAGS_LATER if passes > OFTEN else LAGS) * (start - trial.loss)


def noise(losses: Column) -> float:
    """The standard deviation from row to row, from second differences, for which a slope does not count; infinite for under four rows."""
    bends = np.diff(losses, 2)
    return float(np.sqrt(np.mean(bends**2) / 6)) if len(bends) > 1 and np.isfinite(bends).all() else math.inf


def _mean(losses: Column) -> tuple[float, float]:
    """The mean of a few rows and its standard error."""
    return float(np.mean(losses)), noise(losses) / math.sqrt(len(losses))
