"""Arrived.  nothing moves the loss any more and no lower place is known -> finding."""

from __future__ import annotations

import math

from surefoot.diagnosis.evidence import Evidence, number
from surefoot.diagnosis.examine import STILL
from surefoot.diagnosis.finding import Finding, Measured

LEFT = 1e-4  # of what was gained: what other descents show to be left
RECENT = 0.01  # on a trace: share of the fall in the last fifth of the way
RECENT_FULL = 1e-4  # the same where every step sees all data
LEVEL = 3e-3  # on a trace: what the gradient promises over the length of the weights, over the loss or what was gained
SOURCE = "fork: the same steps at a tenth, one and three times the rate"

PICTURE = "The bottom of the valley is reached: whichever way the foot moves, it goes up. More steps change nothing any more."
FORMULA = (
    "No fork lowers the loss by more than a thousandth of what was gained, other descents show no more than a ten-thousandth to be left, and the "
    "gradient is nearly zero."
)


def converged(seen: Measured) -> Finding | None:
    """Still, at the bottom of what is known."""
    read, found = seen.reading, seen.examination
    if found is not None and found.forks is not None:
        if not (found.still and found.left <= LEFT):
            return None
        evidence = [
            Evidence("the most that any fork lowers the loss", found.moved, STILL * found.scale, SOURCE),
            Evidence("what is left to be gained, over what was", found.left, LEFT, SOURCE),
        ]
        if math.isfinite(found.smallest):
            evidence.append(Evidence("smallest eigenvalue of the Hessian", found.smallest, 0.0, "Lanczos iteration"))
        told = f"The loss has come to rest at {number(found.loss)}; neither smaller nor larger steps would lower it."
        return Finding("converged", told, tuple(evidence), None, PICTURE, FORMULA)
    if (
        read.unfit
        or not read.end < read.start
        or not read.recent < (RECENT_FULL if read.full else RECENT)
        or not read.slope < LEVEL
    ):
        return None
    told = f"The loss has come to rest at {number(read.end)} and the gradient has died down; that it is the lowest place a trace cannot tell."
    evidence = [
        Evidence(
            "share of the fall in the last fifth of the way",
            read.recent,
            RECENT,
            "calibrated on benchmarks/verdicts (calibration runs)",
        ),
        Evidence(
            "what the gradient promises over the length of the weights, over what was gained",
            read.slope,
            LEVEL,
            "calibrated on benchmarks/verdicts (calibration runs)",
        ),
    ]
    return Finding("converged", told, tuple(evidence), None, PICTURE, FORMULA)
