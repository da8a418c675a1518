"""fastai 2.8.12 ``slide``, as published.  rates + losses -> the left edge of a window that slides in from the right.

A window of 15 rows slides left from the end while the gradients (per row) of the smoothed loss at its two edges differ by more than 0.005; the
answer is the last left edge for which they did. Known defect: 0.005 is absolute, so the answer changes when the loss is multiplied by a constant.
"""

from __future__ import annotations

import numpy as np

from surefoot.find.rules.pick import Curve, Pick, needs
from surefoot.find.rules.smoothing import FASTAI_LAST, debiased, fastai_first

WINDOW, THRESHOLD = 15, 0.005


def fastai_slide(lr: Curve, loss: Curve) -> Pick:
    """The rate that ``Learner.lr_find(suggest_funcs=slide)`` suggests."""
    first, last = fastai_first(len(lr)), len(lr) - FASTAI_LAST
    if (refused := needs(10 + WINDOW + 1 + FASTAI_LAST, lr)) is not None:
        return refused
    gradient = np.gradient(debiased(loss)[first:last])
    right = len(gradient) - 1
    left = at = right - WINDOW
    while left >= 0 and abs(gradient[right] - gradient[left]) > THRESHOLD:
        at, right, left = left, right - 1, left - 1
    return Pick(float(lr[first + at]), first + at, "fastai's slide: the gradient settles to the left of here")
