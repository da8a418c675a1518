"""Where the loss is lowest.  rates + losses -> the rate at the minimum of the smoothed loss, or a tenth of it.

fastai 2.8.12 ``minimum`` is the tenth, smoothing and trimming as in `steepest`. The moving average lags behind, so that the minimum it
sees lies up to 19 times to the right of the true one: "divided by ten" takes about that back.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from surefoot.find.rules.pick import Curve, Pick, needs
from surefoot.find.rules.smoothing import beta_for, debiased

DIVISOR = 10.0  # Smith's and fastai's rule of thumb


def minimum(lr: Curve, loss: Curve) -> Pick:
    """The rate at which the smoothed loss is lowest: the edge, rarely a rate to train with."""
    first, last = len(lr) // 10, len(lr) - 5
    if (refused := needs(10, lr)) is not None:
        return refused
    at = first + int(np.argmin(debiased(loss, beta_for(lr))[first:last]))
    return Pick(float(lr[at]), at, "the smoothed loss is lowest here")


def minimum_over_ten(lr: Curve, loss: Curve) -> Pick:
    """A tenth of `minimum`; ``at`` is the row of the minimum."""
    pick = minimum(lr, loss)
    return (
        pick
        if pick.lr is None
        else replace(pick, lr=pick.lr / DIVISOR, reason=f"a tenth of {pick.lr:.3g}, where the smoothed loss is lowest")
    )
