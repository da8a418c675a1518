"""Above which rate is nothing to be looked for?  a range test -> the rate from which the loss never comes back."""

from __future__ import annotations

import numpy as np

from surefoot.find.suggest import fall_and_noise
from surefoot.trace import Trace

SMOOTHED = 3  # rows: a blow-up takes several, a spike does not


def edge(test: Trace) -> float:
    """The rate of the first row from which on the loss stays above where it started; the last rate where there is none.

    Above where it started: by two standard deviations of the noise, and 0.1 % of the loss. A range test spends a row on each rate, so that what a
    rate breaks in the long run shows only some rows later: the true limit lies below, by a factor of up to about fifty.

    Example:
        >>> from surefoot import problems, range_test
        >>> 0.5 < edge(range_test(problems.load("line"), low=1e-4, high=1e3)) < 40  # the limit is 0.79
        True
    """
    loss, lr = test["loss"], test["lr"]
    width = max(SMOOTHED, len(loss) // 10)
    start = float(np.mean(loss[:width]))
    _, noise = fall_and_noise(test.finite["loss"]) if len(test.finite) > width else (0.0, 0.0)
    room = max(2 * noise, 1e-3 * abs(start))
    levels = np.array([np.mean(loss[max(0, row - SMOOTHED + 1) : row + 1]) for row in range(len(loss))])
    above = ~(levels <= start + room)  # not finite is above
    back = np.flatnonzero(~above)
    first = int(back[-1]) + 1 if len(back) else 0
    return float(lr[min(first, len(lr) - 1)])


def still_falling(test: Trace) -> bool:
    """Whether a range test that never lost anything ends before there was anything to lose: at its lowest loss, or with none lower than another."""
    if not np.isfinite(test["loss"]).all():
        return False
    fall, noise = fall_and_noise(test["loss"])
    return bool(fall <= 2 * noise or np.nanargmin(test["loss"]) > 0.9 * len(test))
