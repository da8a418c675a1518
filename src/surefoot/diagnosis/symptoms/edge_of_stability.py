"""It trembles and yet goes down: healthy.  curvature at the limit, a loss that rises now and then and falls over tens -> finding."""

from __future__ import annotations

import math

from surefoot.diagnosis.evidence import Evidence, number
from surefoot.diagnosis.finding import Finding, Measured

NEAR = (0.8, 1.4)  # the rate over the limit by curvature: within it, and briefly above
RISING = (0.05, 0.65)  # share of the last steps at which the loss rose
ALPHA = 0.5  # on a trace: steps that land behind the minimum along their line
FALLS = 3.0  # on a trace: standard errors of the fall over the last third
SOURCE = "Cohen et al. 2021, Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability"

PICTURE = (
    "The valley is so steep on both sides that every step lands on the other wall, a little higher or a little lower: the loss "
    "trembles. But along the valley's floor it still goes down, and the walls get no steeper than the steps can bear. That is how "
    "large steps look when all is well."
)
FORMULA = (
    "The largest eigenvalue of the Hessian hovers at the limit of the rate ({limit}); the loss is not monotone over a few steps "
    "and falls over tens."
)


def edge_of_stability(seen: Measured) -> Finding | None:
    """Full batch, at the limit, and still going down."""
    read, found = seen.reading, seen.examination
    if read.unfit or not read.full or not read.end < read.start or not RISING[0] <= read.rising <= RISING[1]:
        return None
    if found is not None and math.isfinite(found.limit) and found.limit > 0:
        share = seen.lr / found.limit
        if not NEAR[0] <= share <= NEAR[1]:
            return None
        evidence = Evidence("learning rate over the limit by the largest curvature", share, 1.0, SOURCE)
    elif not (read.alpha > ALPHA and read.fall > FALLS):
        return None
    else:
        evidence = Evidence("share of the last steps at which the loss rose", read.rising, RISING[0], SOURCE)
    fell = f"falls all the same, from {number(read.start)} to {number(read.end)}"
    told = f"The loss trembles (it rose at {read.rising:.0%} of the last steps) and {fell}."
    return Finding("edge-of-stability", told, (evidence,), None, PICTURE, FORMULA.format(limit="2/lr for gradient descent"))
