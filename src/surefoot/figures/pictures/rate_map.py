"""Two knobs at once.  descents at several rates -> the loss over rate and number of steps, and the best rate for each number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from surefoot.figures.layers import Heat, Limits, Marks, Points
from surefoot.figures.pictures.ends import ends_of, grown, name_of
from surefoot.figures.scales import edges, number, scale_of
from surefoot.run import Run
from surefoot.trace import Column, Trace

ROWS = 16  # numbers of steps, a constant factor apart
COLOUR_DECADES = 1.0  # where the losses span more, their colours are spaced by the logarithm


def map_picture(runs: Sequence[Run | Trace]) -> Marks:
    """The loss after so many steps at such a rate.

    Args:
        runs: descents at two or more learning rates; several at one rate (other seeds) are averaged.

    Returns:
        Marks with a `Heat`: x the rates, y the numbers of steps, values the mean loss over the last tenth of those steps, NaN where
        the descent was not walked so far; ``diverged`` where the loss is not finite or, never having been negative, a thousand
        times the one at the start; and `Points` at the best rate for every number of steps.

    Raises:
        SettingError: there are fewer than two rates, or a descent has no steps.

    Example:
        >>> from surefoot.trace import Row
        >>> fall = lambda lr: Trace.of([Row(k, 0.0, lr, (1 - lr) ** k, 1.0, 0.1, 1.0, float("nan"), 0.0) for k in range(10)])
        >>> picture = map_picture([fall(0.1), fall(0.5)])
        >>> picture.of(Heat)[0].values[-1].round(4).tolist(), set(picture.of(Points)[0].x.tolist())
        ([0.3874, 0.002], {0.5})
    """
    ends = ends_of(runs, "A map")
    rates, steps, start = ends.rates, _numbers_of_steps(ends.losses.shape[1]), ends.start
    cells = np.array([ends.after(int(count)) for count in steps])
    diverged = ends.blown_up(cells)
    values = np.where(diverged, np.nan, cells)
    name = name_of(runs)
    return Marks(
        title=f"{name}: loss over rate and steps" if name else "Loss over rate and steps",
        x_label="learning rate",
        y_label="steps",
        x_limits=_outer(rates),
        y_limits=_outer(steps),
        x_scale="log",
        y_scale="log",
        layers=(_heat(rates, steps, values, diverged, start), _best(rates, steps, values)),
        notes=_notes(values, diverged, start, ends.signed),
    )


def _numbers_of_steps(most: int) -> Column:
    first = min(most, max(2, most // 1000))  # the loss before the first update is the same at every rate
    return np.unique(np.geomspace(first, most, ROWS).round())


def _heat(rates: Column, steps: Column, values: Column, diverged: Column, start: float) -> Heat:
    shown = values[np.isfinite(values)]
    low, high = (float(shown.min()), float(min(shown.max(), max(start, shown.min())))) if len(shown) else (0.0, 1.0)
    scale = scale_of(np.array([low, high]), COLOUR_DECADES)
    if not high > low:  # one value only: it still needs a scale of some width
        low, high = low - 0.5 * abs(low), high + 0.5 * abs(high) or 1.0
    return Heat(rates, steps, values, diverged, (low, high), scale, "loss")


def _best(rates: Column, steps: Column, values: Column) -> Points:
    seen = np.isfinite(values).any(axis=1)
    lowest = np.nanargmin(values[seen], axis=1) if seen.any() else np.empty(0, dtype=int)
    return Points(rates[lowest], steps[seen], "ink", "best rate for so many steps", "circle")


def _outer(centres: Column) -> Limits:
    at = edges(centres)
    return float(at[0]), float(at[-1])


def _notes(values: Column, diverged: Column, start: float, signed: bool) -> tuple[str, ...]:
    notes = ["Loss: mean over the last tenth of the steps."]
    if (values > start).any():
        notes.append(f"Losses above {number(start)}, the one at the start, all have its colour.")
    if diverged.any():
        notes.append(f"Grey, x: diverged (not a finite number{grown(signed)}).")
    if (np.isnan(values) & ~diverged).any():
        notes.append("Blank: not walked so far.")
    return tuple(notes)
