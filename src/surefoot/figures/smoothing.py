"""What the eye needs of a noisy column.  (x, raw values) -> bins: their lowest, highest and smoothed value.

The smoothed curve is the mean over a triangular window that looks as far back as ahead, so that it neither lags nor hides where a
curve turns.  At the two ends it is cut off, but where the first values fall steeply it narrows to the first one instead.
Smoothing is for looking: no answer is computed from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surefoot.trace import Column

BINS = 400  # about two per character of a wide terminal, half the pixels of a picture: more cannot be told apart
# Noise turns at two thirds of its points (Bienayme 1874, the turning point test); a curve without noise hardly ever does.
NOISELESS_TURNS = 0.05
# Times the usual distance of neighbours: noise alone sets the first value apart from the mean by more in one of 10,000 curves.
STEEP = 4.0


@dataclass(frozen=True)
class Smoothed:
    """A column in at most `BINS` bins.

    Attributes:
        x: (bins,) the x in the middle of each bin.
        low, high: (bins,) the lowest and the highest raw value in each bin.
        mean: (bins,) the smoothed value.
        per_bin: how many raw values are in a bin, about; 1: every raw value is its own bin.
        reach: how many raw values the smoothing looks to either side, about; 0: there is no noise and ``mean`` is the raw column.
    """

    x: Column
    low: Column
    high: Column
    mean: Column
    per_bin: int
    reach: int


def smoothed(x: Column, values: Column, bins: int = BINS) -> Smoothed:
    """The bins of a column of finite numbers, and their smoothed mean.

    Args:
        x: (n,) where each value belongs.
        values: (n,) finite numbers.
        bins: at most so many bins.

    Returns:
        Bins of nearly equal numbers of values; the window reaches about the square root of their number to either side.

    Example:
        >>> falling = np.array([8.0, 4.0, 2.0, 1.0])
        >>> smoothed(np.arange(4.0), falling).mean.tolist(), smoothed(np.arange(4.0), falling).reach
        ([8.0, 4.0, 2.0, 1.0], 0)
    """
    starts = _starts(len(values), bins)
    counts = np.diff(np.append(starts, len(values)))
    means = np.add.reduceat(values / np.repeat(counts, counts), starts) if len(values) else values
    width = round(len(means) ** 0.5) if _noisy(means) else 1
    low, high = (function.reduceat(values, starts) if len(values) else values for function in (np.minimum, np.maximum))
    per_bin = max(1, round(len(values) / max(1, len(starts))))
    return Smoothed(x[starts + counts // 2], low, high, windowed(means, width), per_bin, (width - 1) * per_bin)


def windowed(values: Column, width: int) -> Column:
    """The mean over a triangular window that falls to zero ``width`` places to either side.

    >>> windowed(np.array([0.0, 0.0, 4.0, 0.0, 0.0]), 2).tolist()
    [0.0, 1.0, 2.0, 1.0, 0.0]
    """
    width = min(width, (len(values) + 1) // 2)
    if width <= 1:
        return values
    with np.errstate(over="ignore"):  # a loss near the largest float64 divided by a window that is cut off
        mean = _same_length(values, _triangle(width)) / _same_length(np.ones(len(values)), _triangle(width))
    if abs(values[0] - mean[0]) > STEEP * np.median(np.abs(np.diff(values[: 2 * width]))):
        mean[:width] = [_triangle(place + 1) @ values[: 2 * place + 1] for place in range(width)]
    return mean


def _triangle(width: int) -> Column:
    return (1 - np.abs(np.arange(1 - width, width)) / width) / width


def _same_length(values: Column, window: Column) -> Column:
    """``numpy.convolve`` of mode "same", which is as long as the longer of the two, cut to the values."""
    reach = len(window) // 2
    return np.convolve(values, window)[reach : reach + len(values)]


def _starts(count: int, bins: int) -> Column:
    if count <= bins:
        return np.arange(count)
    return np.linspace(0, count, bins, endpoint=False).astype(np.int64)


def _noisy(values: Column) -> bool:
    signs = np.sign(np.diff(values))
    return len(signs) > 1 and float(np.mean(signs[1:] * signs[:-1] < 0)) > NOISELESS_TURNS
