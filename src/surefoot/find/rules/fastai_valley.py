"""fastai 2.8.12 ``valley``, as published.  rates + losses -> the middle of the longest descent.

The longest falling subsequence of the smoothed losses is found; of the rows it is taken to span, ``end - length .. end``, the answer
stands at one third plus half a third. Known defect: the span is computed as if the subsequence had no gaps, so that on a noisy
curve its start is too far right.
"""

from __future__ import annotations

import numpy as np

from surefoot.find.rules.pick import Curve, Pick, needs
from surefoot.find.rules.smoothing import debiased


def fastai_valley(lr: Curve, loss: Curve) -> Pick:
    """The rate that ``Learner.lr_find()`` suggests by default."""
    first, last = len(lr) // 10, len(lr) - 5
    if (refused := needs(12, lr)) is not None:
        return refused
    end, length = _longest_descent(debiased(loss)[first:last])
    if length < 2:
        return Pick(None, None, "the smoothed loss never falls from one row to a later one")
    start = max(0, end - length)
    third = (end - start) / 3
    at = first + start + int(third) + int(third / 2)
    return Pick(float(lr[at]), at, "fastai's valley: the middle of the longest descent")


def _longest_descent(loss: Curve) -> tuple[int, int]:
    """Where the longest falling subsequence ends (the earliest such row), and how many rows it has."""
    lengths = np.ones(len(loss), dtype=int)
    for row in range(1, len(loss)):
        higher = loss[:row] > loss[row]
        lengths[row] = 1 + (lengths[:row][higher].max() if higher.any() else 0)
    end = int(np.argmax(lengths))
    return end, int(lengths[end])
