"""Axes.  values -> linear or log, limits, ticks, and numbers a person can read."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from surefoot.figures.layers import Limits, Scale
from surefoot.trace import Column

LOG_DECADES = 1.5  # where the values span more, a linear axis shows only the largest of them
MARGIN = 0.04  # of the axis, on either side
ABOVE = 0.6  # of the height of a descent: so much of a blow-up is shown above it
FLAT = 0.1  # of the loss: the least height of a descent, so that a curve that never falls looks flat
# On a linear axis, values further out than so many times the range of the middle 90 % are cut off: they would flatten all the rest.
OUTLYING = 10.0


def scale_of(values: Column, decades: float = LOG_DECADES) -> Scale:
    """``"log"`` where no value is negative and the positive ones span more than so many decades, else ``"linear"``.

    >>> scale_of(np.array([1.0, 100.0])), scale_of(np.array([1.0, 10.0])), scale_of(np.array([-1.0, 100.0]))
    ('log', 'linear', 'linear')
    """
    positive = values[values > 0]
    if not len(positive) or (values < 0).any():
        return "linear"
    return "log" if math.log10(positive.max()) - math.log10(positive.min()) > decades else "linear"


def padded(low: float, high: float, scale: Scale, margin: float = MARGIN) -> Limits:
    """Limits with a margin around ``low`` and ``high``, in the units of the axis; two equal ones are set apart.

    >>> padded(0.0, 1.0, "linear", 0.1), padded(0.01, 1.0, "log", 0.5)
    ((-0.1, 1.1), (0.001, 10.0))
    """
    if scale == "log":
        low, high = math.log10(low), math.log10(high)
    room = margin * (high - low) or (0.5 if scale == "log" else 0.1 * abs(high) or 1.0)
    low, high = low - room, high + room
    # the largest exponent of a float64 is 308: a loss beside it has no room for a margin
    return (10 ** max(low, -320.0), 10 ** min(high, 308.0)) if scale == "log" else (low, high)


def kept(values: Column) -> Limits:
    """The lowest and the highest value that a linear axis should show: `OUTLYING` ones are left out.

    >>> kept(np.array([0.0, 1.0, 2.0] * 40 + [1e30]))
    (0.0, 22.0)
    """
    low, high = np.quantile(values, [0.05, 0.95])
    room = OUTLYING * (high - low)
    return float(max(values.min(), low - room)), float(min(values.max(), high + room))


def before_blow_up(losses: Column) -> Limits:
    """The lowest loss, and a little more than the highest one before it: what came after would flatten all the rest.

    >>> before_blow_up(np.array([3.0, 2.0, 1.0, 1e30]))
    (1.0, 4.2)
    """
    low = float(losses.min())
    high = float(losses[: int(np.argmin(losses)) + 1].max())
    return low, high + ABOVE * max(high - low, FLAT * abs(high))


def number(value: float, digits: int = 3) -> str:
    """A number as a person writes it, with so many digits that count.

    >>> [number(value) for value in (0.001, 1e-05, 20000.0, 1e30, 0.31622, 0.0, -1234567.0, 12.0)]
    ['0.001', '1e-5', '20,000', '1e30', '0.316', '0', '-1.23e6', '12']
    """
    if abs(value) < 1e6 and value == int(value):
        return f"{int(value):,}"
    if 1000 <= abs(value) < 1e6 and digits <= 6:
        return f"{value:,.0f}"
    # Python writes 0.0001 and 1e-05; both are easier to compare as 1e-4 and 1e-5
    text = f"{value:.{digits - 1}e}" if 0 < abs(value) < 1e-3 else f"{value:.{digits}g}"
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return mantissa
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"


def ticks(limits: Limits, scale: Scale, most: int, whole: bool = False) -> Sequence[float]:
    """At most ``most`` round numbers within the limits; on a log axis powers of ten, with 2 and 5 between them where there is room.

    With ``whole`` there is none between two whole numbers, and none below zero.

    >>> ticks((0.0, 300.0), "linear", 5), ticks((1e-4, 1.0), "log", 5), ticks((0.02, 0.9), "log", 6)
    ([0.0, 100.0, 200.0, 300.0], [0.0001, 0.001, 0.01, 0.1, 1.0], [0.02, 0.05, 0.1, 0.2, 0.5])
    """
    candidates = _log_grids(*limits) if scale == "log" else _linear_grids(*limits)
    if whole:
        candidates = [[tick for tick in grid if tick >= 0 and tick == int(tick)] for grid in candidates]
    return next((grid for grid in candidates if len(grid) <= most), [])


def tick_labels(positions: Sequence[float]) -> list[str]:
    """The ticks as numbers, with as many digits as it takes to tell them apart.

    >>> tick_labels([0.001, 0.01]), tick_labels([0.50012, 0.50014])
    (['0.001', '0.01'], ['0.50012', '0.50014'])
    """
    attempts = ([number(position, digits) for position in positions] for digits in range(3, 17))
    return next((labels for labels in attempts if len(set(labels)) == len(positions)), [repr(position) for position in positions])


def edges(centres: Column, scale: Scale = "log") -> Column:
    """(n + 1,) the edges of cells around n rising centres on an axis of that scale.

    >>> edges(np.array([0.01, 1.0])).round(6).tolist(), edges(np.array([-1.0, 1.0]), "linear").tolist()
    ([0.001, 0.1, 10.0], [-2.0, 0.0, 2.0])
    """
    at = np.log10(centres) if scale == "log" else centres
    if len(at) == 1:
        found = at[0] + np.array([-0.5, 0.5])
    else:
        middle = (at[1:] + at[:-1]) / 2
        found = np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])
    return np.asarray(10**found if scale == "log" else found)


def _linear_grids(low: float, high: float) -> list[list[float]]:
    """From the finest to the coarsest."""
    decade = math.floor(math.log10((high - low) or 1.0))
    steps = [(factor, power) for power in range(decade - 1, decade + 2) for factor in (1, 2, 5)]
    return [_multiples(low, high, factor, power) for factor, power in steps]


def _multiples(low: float, high: float, factor: int, power: int) -> list[float]:
    step = factor * 10.0**power
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # decimal text, because 3 * 0.1 is not the float64 nearest to 0.3
    return [float(f"{count * factor}e{power}") for count in range(first, last + 1)]


def _log_grids(low: float, high: float) -> list[list[float]]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [[float(f"{factor}e{power}") for power in powers for factor in factors] for factors in ((1, 2, 5), (1, 3), (1,))]
    sparse = [[float(f"1e{power}") for power in powers if power % stride == 0] for stride in (2, 3, 5, 10, 20, 50, 100)]
    inside = [[tick for tick in grid if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)] for grid in every + sparse]
    return [*inside, []]
