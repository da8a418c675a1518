"""Loss against step.  runs or traces -> their raw losses, the smoothed curve, the validation loss, where they diverged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from surefoot.figures.layers import Band, Layer, Limits, Line, Marks, Points, Scale
from surefoot.figures.pictures.curve import drawable, positive, raw_layer, smooth_layer, smoothing_note
from surefoot.figures.pictures.series import Series, series_of
from surefoot.figures.scales import before_blow_up, kept, number, padded, scale_of
from surefoot.figures.smoothing import Smoothed, smoothed
from surefoot.run import Run
from surefoot.trace import Trace

RAW_OF = 3  # more noisy bands than this hide each other
HEADROOM = 10.0  # times the highest loss of the runs that did not diverge: so far a diverging one is followed
# A single batch can be fitted by luck, a thousand times better than all others: that is no reason for three more decades.
BELOW = 10.0  # times: so far below the smoothed loss are raw losses shown on a logarithmic axis


def loss_picture(answer: Run | Trace | Sequence[Run | Trace]) -> Marks:
    """The loss of one or several descents against the step.

    Args:
        answer: a run, a trace, or a sequence of them.

    Returns:
        Marks with, for each descent, the raw losses (a `Band` where several steps share a bin; none with more than three
        descents), a smoothed `Line`, the validation losses and a cross where the loss stopped being a finite number.

    Raises:
        SettingError: there is no descent, or one has no steps.

    Example:
        >>> from surefoot.trace import Row
        >>> trace = Trace.of([Row(k, 0.0, 0.1, 10.0**-k, 1.0, 0.1, 1.0, float("nan"), 0.0) for k in range(4)])
        >>> picture = loss_picture(trace)
        >>> picture.y_scale, picture.of(Line)[0].y.tolist()
        ('log', [1.0, 0.1, 0.01, 0.001])
    """
    members = series_of(answer if isinstance(answer, Sequence) else [answer])
    curves = [smoothed(member.steps, member.losses) for member in members]
    scale = _scale(members, curves)
    limits = _y_limits(members, curves, scale)
    layers = [
        layer
        for member, curve in zip(members, curves, strict=True)
        for layer in _layers(member, curve, scale, limits, len(members))
    ]
    return Marks(
        title=_title(members),
        x_label="step",
        y_label="loss",
        x_limits=_x_limits(members),
        x_whole=True,
        y_limits=limits,
        y_scale=scale,
        layers=tuple(sorted(layers, key=_depth)),
        notes=(*_noted(members), *_of_curves(members, curves), *_of_axis(members, scale, limits)),
    )


def _scale(members: Sequence[Series], curves: Sequence[Smoothed]) -> Scale:
    if any((member.losses < 0).any() for member in members):
        return "linear"  # the mean of a bin can be positive where some of its losses are not
    return scale_of(np.concatenate([curve.mean for curve in curves]))


def _x_limits(members: Sequence[Series]) -> Limits:
    first, last = min(member.first for member in members), max(member.last for member in members)
    return padded(first, last, "linear", 0.02) if last > first else (first - 0.5, last + 0.5)


def _y_limits(members: Sequence[Series], curves: Sequence[Smoothed], scale: Scale) -> Limits:
    walked = [member for member in members if len(member.losses)]
    if not walked:
        return 0.0, 1.0
    if scale == "linear":
        lows, highs = zip(*map(_range, walked), strict=True)
        return padded(min(lows), max(highs), "linear")
    shown = np.concatenate([values for member in members for values in (member.losses, member.validation)])
    means = positive(np.concatenate([curve.mean for curve in curves]))
    low, high = max(positive(shown).min(), means.min() / BELOW), shown.max()
    steady = [member.losses.max() for member in members if member.diverged_at is None]
    if steady and len(steady) < len(members):
        high = min(high, HEADROOM * max(steady))
    return padded(low, max(low, high), "log")


def _range(member: Series) -> Limits:
    """What a linear axis should show of a descent: where it starts, and all but its outliers or its blow-up."""
    if member.diverged_at is not None:
        return before_blow_up(member.losses)
    low, high = kept(np.concatenate([member.losses, member.validation]))
    return min(low, float(member.losses[0])), max(high, float(member.losses[0]))


def _layers(member: Series, curve: Smoothed, scale: Scale, limits: Limits, count: int) -> list[Layer]:
    alone = count == 1
    layers: list[Layer] = []
    if curve.reach and count <= RAW_OF:
        layers.append(raw_layer(curve, scale, limits, member.colour, "raw" if alone else ""))
    label = ("smoothed" if curve.reach else "loss" if len(member.validation) else "") if alone else member.label
    layers.append(smooth_layer(curve, scale, member.colour, label, member.style))
    if len(member.validation):
        colour = "orange" if alone else member.colour
        measured = drawable(member.validation, scale)
        layers.append(Points(member.validated, measured, colour, "validation" if alone else "", "circle"))
        layers += [Line(member.validated, measured, colour, style="dashed", faint=True)] if alone else []
    return layers + _end(member, limits, alone)


def _end(member: Series, limits: Limits, alone: bool) -> list[Layer]:
    if member.diverged_at is None:
        return []
    last = member.losses[-1] if len(member.losses) else limits[1]
    height = float(np.clip(last, *limits))
    label = f"diverged at step {member.diverged_at:,}" if alone else ""
    return [Points(np.array([member.diverged_at]), np.array([height]), "red" if alone else member.colour, label, "cross")]


def _noted(members: Sequence[Series]) -> list[str]:
    notes = [members[0].settings] if len(members) == 1 and members[0].settings else []
    several = len(members) > 1
    if several and any(len(member.validation) for member in members):
        notes.append("Circles: validation loss.")
    empty = [member for member in members if not len(member.losses)]
    return notes + [
        f"{member.label}: no loss is a finite number." if several else "No loss is a finite number." for member in empty
    ]


def _of_curves(members: Sequence[Series], curves: Sequence[Smoothed]) -> list[str]:
    reach = max(curve.reach for curve in curves)
    hidden = ["Raw losses are left out: so many would hide each other."] if reach and len(members) > RAW_OF else []
    return [*smoothing_note(reach), *hidden]


def _of_axis(members: Sequence[Series], scale: Scale, limits: Limits) -> list[str]:
    losses = np.concatenate([member.losses for member in members])
    notes = []
    if scale == "log" and (losses == 0).any():
        notes.append(f"{int((losses == 0).sum()):,} losses of exactly 0 have no place on a logarithmic axis.")
    if len(losses) and losses.max() > limits[1]:
        notes.append(f"The axis is cut off: the highest loss is {number(float(losses.max()))}.")
    return notes


def _title(members: Sequence[Series]) -> str:
    names = {member.problem for member in members}
    what = (
        f"loss of {len(members)} descents"
        if len(members) > 1
        else f"loss over {members[0].count:,} step{'s' * (members[0].count > 1)}"
    )
    name = names.pop() if len(names) == 1 else ""
    return f"{name}: {what}" if name else what.capitalize()


def _depth(layer: Layer) -> int:
    """Raw values behind, curves before them, points in front."""
    return 2 if isinstance(layer, Points) else 0 if isinstance(layer, Band) or (isinstance(layer, Line) and layer.faint) else 1
