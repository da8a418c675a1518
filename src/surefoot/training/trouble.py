"""Has the training come to grief?  The losses so far, and those before anything moved -> the trouble, or none.

Every rule is a pure function of losses in the order of their steps. What is called far is counted in three units at once, so that neither the
noise of small batches nor a loss with another scale is taken for trouble: the spread of the losses before, what had been gained until
then, and, where neither says anything yet, the loss itself.

Thresholds: chosen on runs of ``line``, ``bowl``, ``digits-linear`` and ``digits-mlp`` at rates from 0.1 to 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from surefoot.trace import Column

WINDOW = 50  # rows before the suspicious ones that say what is usual
FAR = 10.0  # spreads above the median
GAIN = 0.1  # share of what had been gained: smaller rises are not worth a mending
SCALE = 0.5  # of the loss itself, where neither spread nor gain is known yet
HASTY = 3  # rows above the limit that are enough at the start, where nothing can be lost by starting over
WORSE, WORSE_ROWS = 3.0, 20  # spreads above the loss at the start, and for how many rows
DEAD_AFTER, DEAD_SHARE = 30, 0.05  # rows, or share of the horizon, by which weights that were blown up must have learnt something
REPLACED = 2.0  # times their norm at the start: the weights are others


class Trouble(NamedTuple):
    """What went wrong.

    Attributes:
        onset: step from which on the losses are not to be trusted.
        before: the usual loss before it.
        after: the loss it went to.
        kind: ``"diverged"`` (not finite), ``"rose"`` (far up, and not coming back) or ``"died"`` (blown up, and nothing learnt since).
    """

    onset: int
    before: float
    after: float
    kind: str


class Level(NamedTuple):
    """What is usual: the median of some losses, and their spread."""

    middle: float
    spread: float


def level(losses: Column | Sequence[float]) -> Level:
    """Median and spread (1.48 times the median distance from it, the standard deviation of a normal distribution).

    >>> level([1.0, 1.0, 2.0, 3.0, 100.0]).middle
    2.0
    """
    middle = float(np.median(losses))
    return Level(middle, 1.4826 * float(np.median(np.abs(np.asarray(losses) - middle))))


def rose(losses: Column, calm: Level, start: Column, patience: int, hasty: bool) -> Trouble | None:
    """Whether the last losses are all far above what was usual before them.

    Args:
        losses: of every step so far, from step 0.
        calm: `level` of ``start``.
        start: losses before anything moved.
        patience: rows that a rise must last; a bad batch that the training recovers from is none.
        hasty: at the start three rows are enough.

    Example:
        >>> start, falling = np.full(10, 8.0), 8 * 0.9 ** np.arange(60)
        >>> rose(np.append(falling, [50.0] * 9), level(start), start, 10, False)
        >>> rose(np.append(falling, [50.0] * 10), level(start), start, 10, False).onset
        60
        >>> rose(np.append(falling, [50.0] * 9 + [0.1]), level(start), start, 10, False)
    """
    lasting = patience if not hasty or len(losses) > 2 * patience else HASTY
    if len(losses) <= lasting:
        return None
    tail, head = losses[-lasting:], np.concatenate([start, losses[:-lasting]])[-WINDOW:]
    usual = level(head)
    gained = calm.middle - usual.middle
    known = gained > FAR * calm.spread and gained > 0
    least = GAIN * gained if known else SCALE * abs(calm.middle)
    if tail.min() <= usual.middle + max(FAR * usual.spread, least):
        return None
    return Trouble(len(losses) - lasting, usual.middle, float(np.median(tail)), "rose")


def worse(losses: Column, calm: Level, patience: int) -> Trouble | None:
    """Whether the loss has for long been above where it started: a slow divergence, which takes what is usual along with it.

    Example:
        >>> swinging_up = 8 * 1.02 ** np.arange(40)
        >>> worse(swinging_up, Level(8.0, 0.1), 10).onset
        0
    """
    rows = max(patience, WORSE_ROWS)
    if len(losses) < rows:
        return None
    recent = losses[-rows:]
    limit = calm.middle + max(WORSE * calm.spread, 0.02 * abs(calm.middle))
    if np.median(recent) <= limit or np.median(recent[-rows // 2 :]) <= limit:
        return None
    lows = smoothed(losses)
    return Trouble(int(lows.argmin()), float(lows.min()), float(np.median(recent[-rows // 2 :])), "rose")


def died(losses: Column, weight_norms: Column, calm: Level, steps: int) -> Trouble | None:
    """Whether the loss shot up early, came back to where it began, and the weights are others: units that no gradient reaches any more.

    Looked at once, when the training should have learnt something; the losses alone look like those of a slow starter.

    Example:
        >>> losses = np.array([2.3, 2.4, 900.0] + [2.3] * 27)
        >>> norms = np.array([9.0, 9.1] + [300.0] * 28)
        >>> died(losses, norms, Level(2.3, 0.02), 100).kind
        'died'
    """
    if len(losses) != due(steps):
        return None
    top = calm.middle + max(FAR * calm.spread, SCALE * abs(calm.middle))
    above = np.flatnonzero(losses > top)
    recent = float(np.median(losses[-len(losses) // 3 :]))
    learnt = calm.middle - recent > max(calm.spread, 0.02 * abs(calm.middle))
    replaced = weight_norms[-1] > REPLACED * weight_norms[0] > 0
    if not len(above) or learnt or not replaced:
        return None
    return Trouble(int(above[0]), calm.middle, float(losses[above].max()), "died")


def due(steps: int) -> int:
    """The number of rows at which `died` looks."""
    return max(DEAD_AFTER, round(DEAD_SHARE * steps))


def smoothed(losses: Column, rows: int = 5) -> Column:
    """The running median of so many rows, each with those before it."""
    padded = np.concatenate([np.full(rows - 1, losses[0]), losses])
    medians: Column = np.median(np.lib.stride_tricks.sliding_window_view(padded, rows), axis=1)
    return medians


def diverged(losses: Column, start: Column) -> Trouble:
    """The trouble of a training whose last loss, or weights, are no finite numbers: it began where the loss was last usual.

    Example:
        >>> losses = np.array([4.0, 2.0, 1.0, 50.0, 1e6, 1e20, np.inf])
        >>> diverged(losses, np.full(10, 4.0)).onset
        3
    """
    finite = losses[np.isfinite(losses)]
    history = np.concatenate([start, finite])[: -(len(finite) // 4) or None][-WINDOW:]
    usual = level(history)
    limit = usual.middle + max(FAR * usual.spread, SCALE * abs(usual.middle))
    calm_rows = np.flatnonzero(finite <= limit)
    onset = int(calm_rows[-1]) + 1 if len(calm_rows) else 0
    return Trouble(min(onset, len(losses) - 1), usual.middle, float(losses[-1]), "diverged")
