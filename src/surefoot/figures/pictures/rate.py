"""Loss against learning rate.  a range test, or what was found -> the curve, cut off where it blows up, and its rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from surefoot.errors import SettingError
from surefoot.figures.layers import Layer, Limits, Marks, Points, Rule, Scale, Span
from surefoot.figures.pictures.curve import positive, raw_layer, smooth_layer, smoothing_note
from surefoot.figures.pictures.rate_map import map_picture
from surefoot.figures.pictures.series import DISTINCT, config_of, diverged_at, mean_of_last, trace_of
from surefoot.figures.scales import before_blow_up, number, padded, scale_of
from surefoot.figures.smoothing import Smoothed, smoothed
from surefoot.find.found import Found
from surefoot.find.rules import RULES
from surefoot.find.suggest import Suggestion, suggest
from surefoot.trace import Column, Trace

RISE = 10.0  # a range test raises the rate at least so many times, and never lowers it
FOOT = 0.1  # of the height shown: where a blow-up is this high it has begun
BELOW = 2.0  # times: so far below the smoothed loss are raw losses shown on a logarithmic axis
ROOM = 3.0  # times: so far the axis reaches beyond the rates where there is no range test


def range_picture(trace: Trace) -> Marks:
    """The loss of a range test against the learning rate, with the answer of every rule.

    Args:
        trace: a descent whose learning rate rises from row to row.

    Returns:
        Marks with the raw and the smoothed loss, a `Rule` at the rate of every rule that has one, and a note for the others.

    Raises:
        SettingError: the rate does not rise from row to row.
    """
    if not is_range_test(trace_of(trace)):
        raise SettingError(
            "Loss against learning rate needs a trace whose rate rises from row to row; range_test(problem) makes one."
        )
    answers = [suggest(trace, rule) for rule in RULES]
    return _picture("Loss while the learning rate rises", trace, [], _rules(answers), _silent(answers))


def found_picture(found: Found) -> Marks:
    """The learning rate that was found, on the range test and the trials that it rests on.

    Args:
        found: the answer of `find_lr`.

    Returns:
        Marks with the loss of the range test (if there was one), the final loss of every other trial at its rate, the `Span` of the
        rates that are as good, and a `Rule` at the rate itself and at the rate that diverges.

    Example:
        >>> picture = found_picture(Found(0.03, 0.01, 0.1, 0.5, True, "verified", (), 400, 1.5, 1000))
        >>> [rule.at for rule in picture.of(Rule)], picture.of(Span)[0].low
        ([0.03, 0.5], 0.01)
    """
    test = next((trial for trial in found.trials if is_range_test(trial)), None)
    trials = [trial for trial in found.trials if trial is not test and len(trial)]
    doubt = "" if found.confident else " (not confident)"
    title = f"Learning rate {found.lr:.3g} for {found.steps:,} steps{doubt}"
    return _picture(title, test, trials, _answer(found), [f"{found.reason[:1].upper()}{found.reason[1:]}"])


def found_map(found: Found) -> Marks:
    """The loss over rate and number of steps, as far as the trials were walked.

    Raises:
        SettingError: there are fewer than two rates among the trials.
    """
    return map_picture([trial for trial in found.trials if len(trial) and not is_range_test(trial)])


def with_limits(picture: Marks, curvature: float | None) -> Marks:
    """The picture with the rates that a curvature L sets: 1/L, which goes straight to the bottom, and 2/L, beyond which gradient descent leaves it.

    >>> picture = Marks("", "learning rate", "loss", (0.01, 1.0), (0.0, 1.0), x_scale="log")
    >>> [(rule.label, rule.at) for rule in with_limits(picture, 4.0).of(Rule)]
    [('1/L 0.25', 0.25), ('2/L 0.5', 0.5)]
    """
    if curvature is None:
        return picture
    if not curvature > 0:
        raise SettingError(f"curvature must be positive to limit the learning rate, got {curvature!r}.")
    rules = [Rule(factor / curvature, f"{factor}/L {number(factor / curvature, 2)}", "ink", "dotted") for factor in (1, 2)]
    low, high = picture.x_limits
    limits = min(low, rules[0].at / ROOM), max(high, rules[1].at * ROOM)
    note = f"L = {number(curvature)}: the largest curvature; plain gradient descent cannot stay at a minimum of it above 2/L."
    return replace(picture, x_limits=limits, layers=(*picture.layers, *rules), notes=(*picture.notes, note))


def is_range_test(trace: Trace) -> bool:
    """Whether the learning rate of a trace rises all the way, at least tenfold.

    >>> from surefoot.trace import Row
    >>> rows = [Row(k, 0.0, 10.0**k, 1.0, 1.0, 0.1, 1.0, float("nan"), 0.0) for k in range(3)]
    >>> is_range_test(Trace.of(rows)), is_range_test(Trace.of(rows[::-1]))
    (True, False)
    """
    rates = trace["lr"]
    return len(rates) > 1 and rates[0] > 0 and bool((np.diff(rates) >= 0).all()) and bool(rates[-1] >= RISE * rates[0])


def _picture(title: str, test: Trace | None, trials: Sequence[Trace], rules: Sequence[Layer], notes: Sequence[str]) -> Marks:
    curve = _curve(test)
    ends = [
        (config_of(trial).get("lr", math.nan), _final(trial), 0 if diverged_at(trial) is not None else len(trial))
        for trial in trials
    ]
    scale, limits = _y_axis(test, curve, np.array([loss for _, loss, steps in ends if steps]))
    layers = [*rules, *_of_test(test, curve, scale, limits, "range test" if trials else ""), *_of_trials(ends, limits)]
    return Marks(
        title=title,
        x_label="learning rate",
        y_label="loss",
        x_limits=_x_limits(test, [rate for rate, *_ in ends], rules),
        y_limits=limits,
        x_scale="log",
        y_scale=scale,
        layers=tuple(layers),
        notes=(*notes, *smoothing_note(curve.reach)),
    )


def _x_limits(test: Trace | None, trials: Sequence[float], rules: Sequence[Layer]) -> Limits:
    rates = [*trials, *(rate for layer in rules for rate in _rates(layer))]
    if test is None:
        rates += [min(rates, default=1.0) / ROOM, max(rates, default=1.0) * ROOM]
    else:  # where there are trials, what is far below them is of no interest
        rates += [max(float(test["lr"][0]), min(trials) / 100) if trials else float(test["lr"][0]), float(test["lr"][-1])]
    return padded(float(np.nanmin(rates)), float(np.nanmax(rates)), "log")


def _curve(test: Trace | None) -> Smoothed:
    """The smoothed loss up to the blow-up, whose first rows are added as they are: they would lift the mean of those before."""
    rates, losses = (np.empty(0), np.empty(0)) if test is None else (test.finite["lr"], test.finite["loss"])
    foot, top = _blow_up(losses) if len(losses) else (0, 0)
    curve = smoothed(rates[:foot], losses[:foot])
    low, high, mean = (np.append(column, losses[foot:top]) for column in (curve.low, curve.high, curve.mean))
    return replace(curve, x=np.append(curve.x, rates[foot:top]), low=low, high=high, mean=mean)


def _blow_up(losses: Column) -> tuple[int, int]:
    """How many losses there are before the blow-up, and up to the first one that is too high to be shown."""
    low, top = before_blow_up(losses)
    high = np.flatnonzero((losses > top) & (np.arange(len(losses)) > np.argmin(losses)))
    if not len(high):
        return len(losses), len(losses)
    return int(np.flatnonzero(losses[: high[0]] <= low + FOOT * (top - low))[-1]) + 1, int(high[0]) + 1


def _y_axis(test: Trace | None, curve: Smoothed, ends: Column) -> tuple[Scale, Limits]:
    ranges = [before_blow_up(test.finite["loss"])] if test is not None and len(test.finite) else []
    ranges += [(float(ends.min()), float(ends.max()) if not ranges else ranges[0][1])] if len(ends) else []
    if not ranges:
        return "linear", (0.0, 1.0)
    low, top = min(low for low, _ in ranges), max(top for _, top in ranges)
    means = np.concatenate([curve.mean[curve.mean <= top], ends])
    scale: Scale = "linear" if low < 0 else scale_of(means)
    return scale, padded(max(low, positive(means).min() / BELOW) if scale == "log" else low, top, scale)


def _of_test(test: Trace | None, curve: Smoothed, scale: Scale, limits: Limits, name: str) -> list[Layer]:
    if test is None:
        return []
    everything = smoothed(test.finite["lr"], test.finite["loss"])
    rows = len(test.finite)
    hidden = curve.reach or (rows and _blow_up(test.finite["loss"])[1] < rows)
    raw = [raw_layer(everything, scale, limits, "blue", "raw" if curve.reach else "")] if hidden else []
    return [*raw, smooth_layer(curve, scale, "blue", "smoothed" if curve.reach else name), *_end(test, limits)]


def _end(test: Trace, limits: Limits) -> list[Layer]:
    step = diverged_at(test)
    if step is None:
        return []
    rate = float(test["lr"][test["step"] == step][0])
    return [Points(np.array([rate]), np.array([limits[1]]), "red", f"diverged at {number(rate)}", "cross")]


def _of_trials(ends: Sequence[tuple[float, float, int]], limits: Limits) -> list[Layer]:
    """Trials of one length belong together: only they can be compared. A length of 0 stands for those that diverged."""
    layers: list[Layer] = []
    for place, length in enumerate(sorted({steps for *_, steps in ends if steps})):
        walked = sorted((rate, loss) for rate, loss, steps in ends if steps == length)
        rates, losses = (np.array(column) for column in zip(*walked, strict=True))
        colour = ("orange", "purple", "brown")[place % 3]
        layers.append(Points(rates, np.clip(losses, *limits), colour, f"trials of {length} steps", "circle"))
    lost = [rate for rate, _, steps in ends if not steps]
    if lost:
        layers.append(Points(np.array(lost), np.full(len(lost), limits[1]), "red", "trials that diverged", "cross"))
    return layers


def _rules(answers: Sequence[Suggestion]) -> list[Layer]:
    known = sorted((answer.lr, answer.rule) for answer in answers if answer.lr is not None)
    return [
        Rule(rate, f"{rule} {number(rate, 2)}", DISTINCT[1 + place % (len(DISTINCT) - 1)], "dashed")
        for place, (rate, rule) in enumerate(known)
    ]


def _silent(answers: Sequence[Suggestion]) -> list[str]:
    """The rules without a rate, those with the same reason together."""
    reasons = dict.fromkeys(answer.reason for answer in answers if answer.lr is None)
    return [
        f"No rate from {', '.join(answer.rule for answer in answers if answer.reason == reason)}: {reason}." for reason in reasons
    ]


def _answer(found: Found) -> list[Layer]:
    layers: list[Layer] = []
    if found.high > found.low:
        layers.append(Span(found.low, found.high, f"as good: {number(found.low, 2)} to {number(found.high, 2)}"))
    layers.append(Rule(found.lr, f"use {number(found.lr)}", "green"))
    if found.ceiling is not None:
        layers.append(Rule(found.ceiling, f"diverges {number(found.ceiling, 2)}", "red", "dashed"))
    return layers


def _final(trial: Trace) -> float:
    return mean_of_last(trial.finite["loss"]) if len(trial.finite) else math.nan


def _rates(layer: Layer) -> tuple[float, ...]:
    return (layer.low, layer.high) if isinstance(layer, Span) else (layer.at,) if isinstance(layer, Rule) else ()
