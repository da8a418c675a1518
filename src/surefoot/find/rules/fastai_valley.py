"""fastai 2.8.12 ``valley``, as published.  rates + losses -> the middle of the longest descent.

The longest falling subsequence of the smoothed losses is found, of ``length`` values and first ended in row ``end``; the answer stands in row
``end - length + floor(length / 3) + floor(length / 6)``. Known defects: the span is computed as if the subsequence had no gaps, so that on a
noisy curve its start is too far right; without gaps it starts one row too early, so that a descent over the first two rows alone gives row -1,
the *largest* rate.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from surefoot.find.rules.pick import Curve, Pick, needs
from surefoot.find.rules.smoothing import FASTAI_LAST, debiased, fastai_first


def fastai_valley(lr: Curve, loss: Curve) -> Pick:
    """The rate that ``Learner.lr_find()`` suggests by default."""
    first, last = fastai_first(len(lr)), len(lr) - FASTAI_LAST
    if (refused := needs(10 + 2 + FASTAI_LAST, lr)) is not None:
        return refused
    lengths = _falling_lengths(debiased(loss)[first:last])
    end = int(np.argmax(lengths))
    length = lengths[end]
    if length < 2:
        return Pick(None, None, "the smoothed loss never falls from one row to a later one")
    within = end - length + length // 3 + length // 6  # -1 where length is 2 and end is 1: the last row, as published
    at = first + within % len(lengths)
    return Pick(float(lr[at]), at, "fastai's valley: the middle of the longest descent")


def _falling_lengths(values: Curve) -> list[int]:
    """Of the longest strictly falling subsequence that ends in each row: how many values it has. O(n log n), patience sorting.

    >>> _falling_lengths(np.array([3.0, 1.0, 2.0, 0.0, 0.0]))
    [1, 2, 2, 3, 3]
    """
    lowest: list[float] = []  # [k]: minus the highest value in which a falling subsequence of k + 1 values ends
    lengths = []
    for value in values:
        at = bisect_left(lowest, -value)
        lowest[at : at + 1] = [-value]
        lengths.append(at + 1)
    return lengths
