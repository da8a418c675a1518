"""Which rate leads furthest down?  descents at several rates -> the final loss of each against its rate, and the best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from surefoot.figures.layers import Layer, Limits, Line, Marks, Points, Scale
from surefoot.figures.pictures.ends import ends_of, grown, name_of
from surefoot.figures.pictures.series import FINAL
from surefoot.figures.scales import ABOVE, number, padded, scale_of
from surefoot.run import Run
from surefoot.trace import Column, Trace

DOTTED = 40  # rates: so few are also drawn as points


def final_picture(runs: Sequence[Run | Trace]) -> Marks:
    """The final loss of descents against their learning rates.

    Args:
        runs: descents at two or more learning rates; several at one rate (other seeds) are averaged.

    Returns:
        Marks with a `Line` of the mean loss over the last tenth of the steps, with a gap where a descent diverged (as on the map: the
        loss is not finite or, never having been negative, a thousand times the one at the start) and a cross there at the upper
        edge, and a star at the lowest loss. Losses far above the one at the start are beyond the upper edge.

    Raises:
        SettingError: there are fewer than two rates, or a descent has no steps.

    Example:
        >>> from surefoot.trace import Row
        >>> fall = lambda lr: Trace.of([Row(k, 0.0, lr, (1 - lr) ** (2 * k), 1.0, 0.1, 1.0, float("nan"), 0.0) for k in range(20)])
        >>> picture = final_picture([fall(lr) for lr in (0.1, 0.5, 2.5)])
        >>> picture.of(Line)[0].y.round(3).tolist(), {points.shape: points.x.tolist() for points in picture.of(Points)}
        ([0.02, 0.0, nan], {'circle': [0.1, 0.5], 'cross': [2.5], 'star': [0.5]})
    """
    ends = ends_of(runs, "Final loss against learning rate")
    means = ends.final()
    lost = ends.blown_up(means)
    held = np.where(lost, np.nan, means)
    scale, limits = _y_axis(held[np.isfinite(held)], ends.start)
    name = name_of(runs)
    longest = np.unique(ends.walked[~ends.lost])
    return Marks(
        title=f"{name}: final loss against the learning rate" if name else "Final loss against the learning rate",
        x_label="learning rate",
        y_label="loss",
        x_limits=padded(float(ends.rates[0]), float(ends.rates[-1]), "log"),
        y_limits=limits,
        x_scale="log",
        y_scale=scale,
        layers=tuple(_layers(ends.rates, held, lost, scale, limits)),
        notes=_notes(longest, bool(lost.any()), ends.signed),
    )


def _y_axis(held: Column, start: float) -> tuple[Scale, Limits]:
    if not len(held):
        return "linear", (0.0, 1.0)
    low, high = float(held.min()), float(held.max())
    if low < start < high:
        high = min(high, start + ABOVE * (start - low))
    scale = scale_of(np.clip(held, None, high))
    return scale, padded(float(held[held > 0].min()) if scale == "log" else low, high, scale)


def _layers(rates: Column, held: Column, lost: Column, scale: Scale, limits: Limits) -> list[Layer]:
    # a loss of zero has no place on a logarithmic axis, and yet it is no gap
    drawn = np.maximum(held, limits[0]) if scale == "log" else held
    seen = np.isfinite(held)
    layers: list[Layer] = [Line(rates, drawn, "blue", "final loss")]
    if len(rates) <= DOTTED and seen.any():
        layers.append(Points(rates[seen], drawn[seen], "blue", "", "circle"))
    if lost.any():
        layers.append(Points(rates[lost], np.full(int(lost.sum()), limits[1]), "red", "diverged", "cross"))
    if seen.any():
        best = int(np.nanargmin(held))
        layers.append(Points(rates[[best]], drawn[[best]], "green", f"lowest at {number(float(rates[best]))}", "star"))
    return layers


def _notes(steps: Column, diverged: bool, signed: bool) -> tuple[str, ...]:
    notes = [f"Final loss: mean over the last {FINAL:.0%} of the steps."]
    if len(steps) > 1:
        notes.append(f"The descents are of {steps[0]:,} to {steps[-1]:,} steps: longer ones have an advantage.")
    if diverged:
        notes.append(f"Crosses: diverged (not a finite number{grown(signed)}).")
    return tuple(notes)
