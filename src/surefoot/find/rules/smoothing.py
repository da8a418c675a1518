"""The moving averages of the published finders.  raw losses -> smoothed losses."""

from __future__ import annotations

import numpy as np

from surefoot.find.rules.pick import Curve

FASTAI_BETA = 0.98  # fastai and Lightning
FASTAI_LAST = 5  # rows at the end that its suggestions leave out
FASTAI_DENSITY = 100 / 8  # rows per factor of ten at fastai's defaults: 100 from 1e-7 to 10


def debiased(loss: Curve, beta: float = FASTAI_BETA, head_start: int = 0) -> Curve:
    """``s_i = a_i / (1 - beta^(i + 1 + head_start))`` with ``a_i = beta a_(i-1) + (1 - beta) loss_i`` and ``a_(-1) = 0``.

    fastai's recorder (``head_start=0``); Lightning counts one step more and so starts at half the loss (``head_start=1``).

    >>> debiased(np.array([2.0, 2.0, 2.0])).round(12).tolist()
    [2.0, 2.0, 2.0]
    """
    return _average(loss, beta, 0.0) / (1 - beta ** (np.arange(1, len(loss) + 1) + head_start))


def seeded(loss: Curve, new: float = 0.05) -> Curve:
    """``s_i = new * loss_i + (1 - new) * s_(i-1)`` with ``s_0 = loss_0``: torch-lr-finder's ``smooth_f``.

    >>> seeded(np.array([1.0, 2.0]), new=0.5).tolist()
    [1.0, 1.5]
    """
    return _average(loss, 1 - new, loss[0])


def beta_for(lr: Curve) -> float:
    """The beta that averages over the same span of rates as fastai's 0.98 does at fastai's own density of rows."""
    per_decade = (len(lr) - 1) / np.log10(lr[-1] / lr[0])
    return float(FASTAI_BETA ** (FASTAI_DENSITY / per_decade))


def fastai_first(rows: int) -> int:
    """The first row that fastai's suggestions look at: a tenth of the rows *asked for*, so 10 by its default, also when the test stopped early.

    >>> fastai_first(84), fastai_first(400)
    (10, 40)
    """
    return max(10, rows // 10)


def _average(loss: Curve, beta: float, before: float) -> Curve:
    averages, average = np.empty(len(loss)), before
    for row, value in enumerate(loss):
        average = beta * average + (1 - beta) * value
        averages[row] = average
    return averages
