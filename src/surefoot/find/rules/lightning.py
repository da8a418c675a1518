"""Lightning 2.6.6, as published.  rates + losses -> the steepest point per unit of *linear* rate.

``argmin d s / d lr`` by second-order differences on the uneven grid, s the average with beta 0.98, without the first ten rows and the last one. Known
defect (issue #21141, since 2.5.3): on an exponential ladder the division by the rate pulls the answer to the lowest rates, 4.5 decades
low at 0.4 % noise.
"""

from __future__ import annotations

import numpy as np

from surefoot.find.rules.pick import Curve, Pick, needs
from surefoot.find.rules.smoothing import debiased

SKIP_BEGIN, SKIP_END = 10, 1


def lightning(lr: Curve, loss: Curve) -> Pick:
    """The rate that ``Tuner.lr_find(...).suggestion()`` returns."""
    if (refused := needs(SKIP_BEGIN + SKIP_END + 2, lr)) is not None:
        return refused
    smoothed = debiased(loss, head_start=1)[SKIP_BEGIN:-SKIP_END]
    at = SKIP_BEGIN + int(np.argmin(np.gradient(smoothed, lr[SKIP_BEGIN:-SKIP_END])))
    return Pick(float(lr[at]), at, "Lightning's steepest gradient, per unit of rate (see its issue #21141)")
