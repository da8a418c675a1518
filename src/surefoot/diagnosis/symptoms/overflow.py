"""The numbers ran out.  a loss, a gradient or an update that is not finite -> finding."""

from __future__ import annotations

import math

from surefoot.diagnosis.evidence import Evidence, Remedy, number
from surefoot.diagnosis.finding import Finding, Measured
from surefoot.diagnosis.symptoms.diverging import limits, rate_remedy

SOURCE = "IEEE 754: what leaves the range of the format becomes infinite, and then not a number"

PICTURE = (
    "Every step jumped over the valley and landed higher up on the other side than it had started, where the ground is steeper "
    "still and the next jump longer. In the end the numbers were too large to be written down."
)
FORMULA = (
    "Along a direction of curvature L gradient descent multiplies the distance to the minimum by 1 - lr L at every step: beyond lr"
    " = 2/L it grows without end."
)


def overflow(seen: Measured) -> Finding | None:
    """Not finite any more."""
    read = seen.reading
    if read.lost_at is None:
        return None
    evidence = Evidence("step at which the loss or the update stopped being a finite number", float(read.lost_at), None, SOURCE)
    if read.rows == 0 and not math.isfinite(read.first):
        told = "The loss is not a number from the first step on, before any update: the learning rate cannot be the reason."
        remedy = Remedy(
            "Look for NaN or infinities in the data, and for a logarithm, root or division at 0 in the loss.", None, None
        )
        return Finding("overflow", told, (evidence,), remedy, PICTURE, FORMULA)
    if read.rows == 0:
        told = f"The loss was {number(read.first)} at the first step, and the first update is not a finite number."
        return Finding("overflow", told, (evidence, *limits(seen)), rate_remedy(seen), PICTURE, FORMULA)
    told = f"The loss went from {number(read.start)} to {number(read.end)} and stopped being a number at step {read.lost_at:,}."
    return Finding("overflow", told, (evidence, *limits(seen)), rate_remedy(seen), PICTURE, FORMULA)
