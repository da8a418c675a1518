"""Has a constant rate given what it can?  The losses so far -> whether only noise is left, and the schedule for the rest.

At a constant rate the weights end up circling the minimum at a distance that grows with the rate and the noise of the batches; from then on the loss
stays where it is, and only a smaller rate brings it further down (Robbins and Monro 1951; Bottou, Curtis and Nocedal 2018, theorem 4.6).
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.descent.schedule import Schedule
from surefoot.trace import Column
from surefoot.training.trouble import Level

SHARE, FEWEST = 0.4, 40  # of the horizon, and in rows: how long the loss must have stayed where it is
BLOCKS = 10  # means of consecutive rows, so that what neighbouring rows share does not pass for certainty
FALLS = 0.0  # standard errors: a slope below that still falls
EARLIEST = 0.5  # share of the horizon: before, what looks flat may be a stage on the way
LEARNT = 0.5  # share of the loss at the start, and at least its spread, that must have been gained: a plateau is no noise


def noise_limited(losses: Column, calm: Level, steps: int) -> bool:
    """Whether the loss has fallen, and does not fall any more.

    The trend is the slope of a straight line through the means of ten blocks of the last 40 % of the horizon, in its own standard errors.

    Args:
        losses: of every step so far.
        calm: the loss before anything moved.
        steps: the horizon.

    Example:
        >>> noise = np.random.default_rng(1).normal(0, 0.1, 400)
        >>> noise_limited(1 + noise, Level(9.0, 0.1), 600)
        True
        >>> noise_limited(np.linspace(9, 1, 400) + noise, Level(9.0, 0.1), 600)
        False
    """
    rows = max(FEWEST, round(SHARE * steps))
    if len(losses) < max(1.5 * rows, EARLIEST * steps):
        return False
    recent = losses[-rows:]
    gained = calm.middle - float(np.median(recent))
    within = float(np.std(np.diff(recent))) / math.sqrt(2)
    if gained <= max(calm.spread, LEARNT * abs(calm.middle)) or within == 0:
        return False
    return slope(np.array([float(part.mean()) for part in np.array_split(recent, BLOCKS)])) > FALLS


def slope(means: Column) -> float:
    """The slope of a least-squares line in its standard errors.

    >>> slope(np.array([3.0, 2.1, 0.9, 0.1])) < -5
    True
    """
    places = np.arange(len(means)) - (len(means) - 1) / 2
    steepness = float(places @ means / (places @ places))
    rest = means - means.mean() - steepness * places
    error = math.sqrt(float(rest @ rest) / (len(means) - 2) / float(places @ places))
    return steepness / error if error > 0 else math.copysign(math.inf, steepness)


def cosine_from(at: int) -> Schedule:
    """1 until step ``at``, then a half cosine down to 0 at the end.

    >>> [round(cosine_from(50)(step, 100), 6) for step in (0, 50, 75, 100)]
    [1.0, 1.0, 0.5, 0.0]
    """

    def schedule(step: int, steps: int) -> float:
        return 1.0 if step < at else 0.5 * (1 + math.cos(math.pi * (step - at) / max(1, steps - at)))

    return schedule
