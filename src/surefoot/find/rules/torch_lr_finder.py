"""torch-lr-finder 0.2.2, as published.  rates + losses -> the steepest point per row of its smoothed history.

``argmin numpy.gradient(s)``, s = 0.05 of the new loss + 0.95 of the last average, without the first ten and the last five rows. Known
defects: per row, not per log-rate, so only right on an exponential ladder; a NaN in the history is taken for the minimum (here the rows
from the first loss on that is not finite are cut before).
"""

from __future__ import annotations

import numpy as np

from surefoot.find.rules.pick import Curve, Pick, needs
from surefoot.find.rules.smoothing import seeded

SKIP_START, SKIP_END = 10, 5


def torch_lr_finder(lr: Curve, loss: Curve) -> Pick:
    """The rate that ``LRFinder.plot(suggest_lr=True)`` prints."""
    if (refused := needs(SKIP_START + SKIP_END + 2, lr)) is not None:
        return refused
    at = SKIP_START + int(np.argmin(np.gradient(seeded(loss)[SKIP_START:-SKIP_END])))
    return Pick(float(lr[at]), at, "torch-lr-finder's steepest gradient, per row")
