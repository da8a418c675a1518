"""What does a trace show by itself?  rows -> levels, noise, trends, spikes and how far the steps went, one number for each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.trace import Column, Trace

FEWEST = 8  # rows below which nothing is said about trends
NAN = math.nan
SPIKE = (
    10.0  # robust standard deviations above the running median (OLMo 2, arXiv 2501.00656: 7, which small batches reach in health)
)
APART = 2.0  # times the highest score that is none
FEW_ROWS = 200  # over the rows: how much further apart in short traces, where a long tail shows a few steps only
SPIKE_HEIGHT = 0.1  # of what the run has gained: what stands out by less is none
SLOW_MEDIAN = 200_000  # rows times window: from there on loading scipy costs less than sorting every window
MOST_SPIKES = 0.03  # of the rows: what happens more often is noise
WINDOWS = 24  # into which the rows are cut for levels; fewer where a window would hold less than 4 rows


@dataclass(frozen=True)
class Reading:
    """What the rows of a trace show, without the problem. Levels are medians over windows.

    Attributes:
        rows: the finite ones.
        lost_at: the step whose loss or update is not a finite number, or None.
        unfit: why the rows say nothing (too few, no loss, constant), "" where they do.
        full: whether every step sees the same data, so that nothing is noise.
        first: the very first loss, finite or not.
        start, end, lowest: levels of the loss.
        error: standard error of the difference of ``end`` and ``start``.
        noise: standard deviation of the loss from step to step at the end, about its trend; what is left of it on a full batch is oscillation.
        rising: the share of the last steps at which the loss rose.
        fall: the fall of the loss over the last third of the way, in standard errors of its mean; negative where it rose.
        late: the share of the whole fall that was made in the second half of the way; 0.5 for a straight line.
        recent: the share of the whole fall that was made in the last fifth of the way.
        gradient: the gradient's norm at the end, over its largest level.
        slope: what the gradient at the end promises over the length of the weights, over the loss or what was gained: near 0 on level ground.
        ratio: the length of an update over that of the weights, at the median.
        travel: the lengths of all updates over that of the weights at the start.
        alpha: where steps landed on their line as the trace tells it (plain gradient descent on a full batch; else NaN): at the end,
        steepest: and the largest over the windows: at no time were the steps longer.
        efficiency: the fall of the loss over what it would be were every step as good as its slope promised (the sum of gradient norm
            times update norm); negative where the loss rose.
        climbs: steps that went up their own gradient, in share of those that tell.
        spikes: (count,) the steps at which spikes began.
        spike: the height of the highest one above the running median.
        usual: the gradient's norm that nine of ten steps stay below.
        gap: how far the validation loss ended above its lowest level (means of three), over how far it or the training loss fell; NaN without.
        rise: the same over that level itself; NaN where that is not above 0.
        since: how far the training loss fell since then, over what it was.
        best_step: the step of the lowest validation loss, or None.
        annealed: the rate at the end over the highest one.
        rate: the highest rate.
        last_rate: the rate at the end.
    """

    rows: int
    lost_at: int | None
    unfit: str
    full: bool
    first: float
    start: float
    end: float
    lowest: float
    error: float
    noise: float
    rising: float
    fall: float
    late: float
    recent: float
    gradient: float
    slope: float
    ratio: float
    travel: float
    alpha: float
    steepest: float
    efficiency: float
    climbs: float
    spikes: tuple[int, ...]
    spike: float
    usual: float
    gap: float
    rise: float
    since: float
    best_step: int | None
    annealed: float
    rate: float
    last_rate: float

    @property
    def gained(self) -> float:
        """How far the loss fell from its start to its end."""
        return self.start - self.end


def read(trace: Trace, config: Mapping[str, Any] | None = None) -> Reading:
    """What the rows show.

    Args:
        trace: the rows, in the order in which they were made; where a step comes again, those before it count no more. Rows without a loss are
            left out.
        config: the settings of the run, where they are known.

    Example:
        >>> from surefoot import Problem, descend
        >>> run = descend(Problem.of(lambda x: (x**2).sum() / 2, start=[1.0]), lr=0.5, steps=20)
        >>> seen = read(run.trace, run.config)
        >>> seen.full, round(seen.alpha, 3), seen.fall > 0  # alpha + 1 = rate x curvature
        (True, -0.5, True)
    """
    trace = _way(trace)
    lost = _lost(trace)
    kept = _kept(trace if lost is None else trace[:lost])
    loss = kept["loss"]
    full = _full(trace, config or {})
    edge = _edge(loss, full)
    level = _levels(loss)
    start = float(np.median(loss[:edge])) if len(loss) else NAN
    end = float(np.median(loss[-edge:])) if len(loss) else NAN
    lowest = float(level.min()) if len(level) else NAN
    spikes, spike = _spikes(loss, kept["step"], max(start - lowest, 0.0), full)
    clock = _clock(kept)
    alpha, steepest = _alphas(kept, config or {}) if full else (NAN, NAN)
    gap, rise, since, best_step = _validation(kept, start - end, end)
    rate = float(np.nanmax(kept["lr"])) if np.isfinite(kept["lr"]).any() else NAN
    last_rate = _last(kept["lr"])
    return Reading(
        rows=len(loss),
        lost_at=None if lost is None else int(trace["step"][lost]),
        unfit=_unfit(loss),
        full=full,
        first=float(trace["loss"][0]) if len(trace) else NAN,
        start=start,
        end=end,
        lowest=min(lowest, end) if len(loss) else NAN,
        error=_error(loss[:edge], loss[-edge:]),
        noise=_noise(loss[-max(FEWEST, len(loss) // 3) :]),
        rising=float(np.mean(np.diff(loss[-max(FEWEST, len(loss) // 4) :]) > 0)) if len(loss) > 1 else NAN,
        fall=_fall(loss),
        late=_share(loss, clock, 0.5, start, end),
        recent=_share(loss, clock, 0.8, start, end),
        gradient=_shrunk(kept["grad_norm"]),
        slope=_slope(kept, start, end),
        ratio=_median(kept["update_norm"] / np.maximum(kept["weight_norm"], 1e-30)),
        travel=_travel(kept),
        alpha=alpha,
        steepest=steepest,
        efficiency=_efficiency(kept, start, end),
        climbs=_climbs(kept, full),
        spikes=spikes,
        spike=spike,
        usual=_usual(kept["grad_norm"]),
        gap=gap,
        rise=rise,
        since=since,
        best_step=best_step,
        annealed=last_rate / rate if rate else NAN,
        rate=rate,
        last_rate=last_rate,
    )


# ---- which rows


def _way(trace: Trace) -> Trace:
    """The rows without those that were gone back behind: of a log that was resumed, of the abandoned tries of `train`."""
    step = trace["step"]
    if not len(step) or (np.diff(step) > 0).all():
        return trace
    later = np.minimum.accumulate(step[::-1])[::-1]
    kept = np.append(step[:-1] < later[1:], True)
    return Trace({name: trace[name][kept] for name in trace.columns})


def _lost(trace: Trace) -> int | None:
    """The first row whose loss is infinite, or not a number although it was one before or never was; or whose update is not finite."""
    loss = trace["loss"]
    told = np.isfinite(loss)
    bad = np.isinf(loss) | np.isinf(trace["grad_norm"]) | np.isinf(trace["update_norm"])
    if len(loss) and not told.any():
        bad = bad | np.isnan(loss)
    if told.any():  # gaps in a log are followed by numbers, or stand beside a gradient that is one; a loss that broke is not
        last = int(np.flatnonzero(told)[-1])
        bad[last + 1 :] |= np.isnan(loss[last + 1 :]) & ~np.isfinite(trace["grad_norm"][last + 1 :])
        measured = np.isfinite(trace["update_norm"])
        if last == len(loss) - 1 and measured.sum() > len(loss) // 2 and not measured[last] and measured[max(0, last - 1)]:
            bad[last] = True  # the update of a run that ended there was not finite
    where = np.flatnonzero(bad)
    return int(where[0]) if len(where) else None


def _kept(trace: Trace) -> dict[str, Column]:
    """The columns where there is a loss."""
    rows = np.flatnonzero(np.isfinite(trace["loss"]))
    return {name: trace[name][rows] for name in trace.columns}


def _unfit(loss: Column) -> str:
    if len(loss) == 0:
        return "no row has a loss"
    if len(loss) < FEWEST:
        return f"{len(loss)} row{'s' * (len(loss) != 1)} with a loss are too few to say anything; {FEWEST} are needed"
    return ""


def _full(trace: Trace, config: Mapping[str, Any]) -> bool:
    """Whether every step is a pass over all of the data."""
    if config.get("batch_size") == "full":
        return True
    epochs = trace["epoch"]
    known = epochs[np.isfinite(epochs)]
    steps = trace["step"][np.isfinite(epochs)]
    return len(known) > 1 and bool((np.diff(known) >= np.diff(steps) * (1 - 1e-9)).all() and (np.diff(known) > 0).all())


# ---- levels and trends


def _edge(loss: Column, full: bool) -> int:
    """Rows whose median is a level at the first and at the last row."""
    return max(1, len(loss) // 100) if full else max(1, min(20, len(loss) // 12))


def _levels(loss: Column) -> Column:
    count = max(1, min(WINDOWS, len(loss) // 4))
    return np.array([np.median(part) for part in np.array_split(loss, count)]) if len(loss) else loss


def _error(*ends: Column) -> float:
    """Of the difference of two medians, from the noise within each; 0 where a level is a single row."""
    return math.hypot(*(1.25 * _noise(end) / math.sqrt(len(end)) if len(end) > 2 else 0.0 for end in ends))


def _noise(loss: Column) -> float:
    """From second differences, for which a slope does not count; robust against single rows."""
    bends = np.diff(loss, 2)
    return float(1.4826 * np.median(np.abs(bends)) / math.sqrt(6)) if len(bends) else NAN


def _fall(loss: Column) -> float:
    """Of the last third against the middle one, in standard errors."""
    third = len(loss) // 3
    if third < 3:
        return NAN
    before, after = loss[-2 * third : -third], loss[-third:]
    error = math.hypot(*(_noise(part) / math.sqrt(third) for part in (before, after)))
    resolution = 4 * float(np.finfo(np.float32).eps) * max(abs(float(np.median(before))), 1e-30)
    return float(np.mean(before) - np.mean(after)) / max(error, resolution)


def _clock(kept: Mapping[str, Column]) -> Column:
    """How far the descent is at each row, from 0 to 1: in rate times steps, for half the rate goes half the way."""
    rates = kept["lr"]
    counted = rates if np.isfinite(rates).all() and rates.sum() > 0 else np.ones(len(rates))
    total = np.cumsum(counted)
    return total / total[-1] if len(total) else total


def _share(loss: Column, clock: Column, since: float, start: float, end: float) -> float:
    if len(loss) < FEWEST or not start > end:
        return NAN
    at = int(np.searchsorted(clock, since - 1e-9))  # the sum of the rates is rounded: at a tie the unit of the rate would decide
    reach = max(1, len(loss) // 24)
    return float((np.median(loss[max(0, at - reach) : at + reach + 1]) - end) / (start - end))


def _shrunk(norms: Column) -> float:
    known = norms[np.isfinite(norms)]
    if not len(known):
        return NAN
    level = _levels(known)
    most = float(max(level.max(), known[0]))
    return float(np.median(known[-max(1, len(known) // 50) :])) / most if most else NAN


def _slope(kept: Mapping[str, Column], start: float, end: float) -> float:
    norms, weights = kept["grad_norm"][np.isfinite(kept["grad_norm"])], kept["weight_norm"]
    if not len(norms) or not np.isfinite(weights).any():
        return NAN
    size = max(_last(weights), 1e-2)
    return float(np.median(norms[-max(1, len(norms) // 20) :])) * size / max(abs(end), start - end, 1e-30)


def _travel(kept: Mapping[str, Column]) -> float:
    updates, weights = kept["update_norm"], kept["weight_norm"]
    known = np.isfinite(updates)
    if not known.any() or not len(weights) or not weights[0] > 0:
        return NAN
    return float(np.mean(updates[known]) * len(updates) / weights[0])


# ---- where the steps landed


def _alphas(kept: Mapping[str, Column], config: Mapping[str, Any]) -> tuple[float, float]:
    """Of plain gradient descent: the loss, the slope before the step and the step's length tell where on its line it landed."""
    rates, slopes, updates = kept["lr"][:-1], kept["grad_norm"][:-1], kept["update_norm"][:-1]
    promised = slopes * updates
    plain = np.isclose(updates, rates * slopes, rtol=1e-3)
    loss = kept["loss"]
    change = np.diff(loss)
    tells = plain & (promised > 0) & (np.abs(change) > 1e-5 * np.abs(loss[:-1]))
    if config.get("optimizer", "sgd") != "sgd" or tells.sum() < 3 or plain.mean() < 0.9:
        return NAN, NAN
    alpha = np.full(len(change), np.nan)
    alpha[tells] = 1 + 2 * change[tells] / promised[tells]
    known = alpha[np.isfinite(alpha)]
    steepest = np.median(np.lib.stride_tricks.sliding_window_view(known, 3), axis=1).max()
    return float(np.median(known[-max(3, len(known) // WINDOWS) :])), float(steepest)


def _efficiency(kept: Mapping[str, Column], start: float, end: float) -> float:
    promised = float(np.nansum(kept["grad_norm"] * kept["update_norm"]))
    return (start - end) / promised if promised > 0 else NAN


def _climbs(kept: Mapping[str, Column], full: bool) -> float:
    """Share of the rows at which the loss rose by what the two slopes promise of a step up both of them.

    With u the length of the step, a step up its gradient changes the loss by (g0 + g1) u / 2, one that leaps too far by (g1 - g0) u / 2.
    """
    loss, slopes, updates = kept["loss"], kept["grad_norm"], kept["update_norm"]
    if len(loss) < FEWEST:
        return NAN
    if not full:  # the losses of two batches differ by more than a step: over windows
        parts = max(1, min(WINDOWS, len(loss) // 4))
        loss, slopes = (np.array([np.median(part) for part in np.array_split(each, parts)]) for each in (loss, slopes))
        updates = np.array([np.nansum(part) for part in np.array_split(updates, parts)])
    change = np.diff(loss)
    up, over = (slopes[1:] + slopes[:-1]) * updates[:-1] / 2, (slopes[1:] - slopes[:-1]) * updates[:-1] / 2
    tells = np.isfinite(up) & (up > 1e-6 * np.abs(loss[:-1]))
    if tells.sum() < 3:
        return NAN
    return float(np.mean(np.abs(change[tells] - up[tells]) < np.abs(change[tells] - over[tells])))


# ---- spikes and held-out data


def _spikes(loss: Column, step: Column, gained: float, full: bool) -> tuple[tuple[int, ...], float]:
    """Where the loss leaps far above its running median, if what leaps stands apart from the noise; and by how much at most.

    Losses of batches have long tails: high scores alone are no spikes. What makes spikes is a gap between their scores and all others.
    """
    count = len(loss)
    if full or count < 3 * FEWEST:
        return (), 0.0
    reach = max(4, count // 40)
    above = loss - _running(loss, reach)
    wide = max(12, count // 12)
    spread = 1.4826 * _running(np.abs(above), wide)
    score = above / np.maximum(spread, max(1e-12 * float(np.abs(loss).max()), 1e-300))  # a loss of 0 throughout has no spread
    score[: max(2, count // 10)] = 0.0  # while the loss falls fast, leaps are part of it
    tops: list[tuple[float, int]] = []
    while len(tops) <= MOST_SPIKES * count + 1:
        at = int(score.argmax())
        tops.append((float(score[at]), at))
        score[max(0, at - 2) : at + reach + 1] = 0.0
    apart = [high / max(low, 1.0) for (high, _), (low, _) in itertools.pairwise(tops)]
    last = int(np.argmax(apart)) if apart else 0
    if not apart or apart[last] < APART + FEW_ROWS / count or tops[last][0] < SPIKE or above[tops[0][1]] < SPIKE_HEIGHT * gained:
        return (), 0.0
    places = sorted(at for _, at in tops[: last + 1])
    return tuple(int(step[at]) for at in places), float(max(above[at] for at in places))


def _running(values: Column, reach: int) -> Column:
    if len(values) * reach > SLOW_MEDIAN:
        from scipy.ndimage import median_filter  # here, for loading it takes a fifth of the time that torch takes

        return np.asarray(median_filter(values, 2 * reach + 1, mode="mirror"))  # the same, a thousand times as fast for 20,000 rows
    padded = np.pad(values, reach, mode="reflect")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=1))


def _validation(kept: Mapping[str, Column], gained: float, end: float) -> tuple[float, float, float, int | None]:
    held_out = kept["validation_loss"]
    rows = np.flatnonzero(np.isfinite(held_out))
    if len(rows) < 5:
        return NAN, NAN, NAN, None
    values = np.convolve(held_out[rows], np.ones(3) / 3, "valid")
    best = int(values.argmin())
    low, last = float(values[best]), float(values[-1])
    scale = max(float(values[0]) - low, gained, 1e-30)
    at = int(rows[best + 1])
    reach = max(1, len(held_out) // 24)
    training = float(np.median(kept["loss"][max(0, at - reach) : at + reach + 1]))
    since = (training - end) / abs(training) if training else NAN
    return (last - low) / scale, last / low - 1 if low > 0 else NAN, since, int(kept["step"][at])


def _usual(norms: Column) -> float:
    known = norms[np.isfinite(norms)]
    return float(f"{np.percentile(known, 90):.2g}") if len(known) else NAN


def _median(values: Column) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else NAN


def _last(values: Column) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else NAN
