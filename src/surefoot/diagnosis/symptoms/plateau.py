"""On level ground.  gradient and curvature far smaller than around, and nothing moves -> finding."""

from __future__ import annotations

import math

from surefoot.diagnosis.evidence import Evidence, Remedy, number
from surefoot.diagnosis.examine import DEAD, FLAT, NOTHING, Examination
from surefoot.diagnosis.finding import Finding, Measured, nice

LEVEL_SLOPE, MOVED = 1e-3, 0.1  # on a trace: the same of the gradient alone, while the loss fell by less than this share
NOWHERE = 0.05  # on a trace: the way made, in lengths of the weights
SOURCE = "Taylor's second order at these weights: |g| s + |H| s^2 / 2 with s the length of the weights or of the way made"

PICTURE = (
    "The ground is level in every direction, like a high plain: the foot feels no slope and hardly moves, although lower ground "
    "exists somewhere. It is no valley, for there are no walls either."
)
FORMULA = (
    "Gradient and Hessian are both near zero (|g| s + |H| s^2 / 2 below 5 % of the loss, s the length of the weights): saturated "
    "units, dead ReLUs, a power higher than two."
)


def plateau(seen: Measured) -> Finding | None:
    """Still, and neither slope nor walls."""
    found = seen.examination
    if found is None:
        return _traced(seen)
    dead = found.lifeless
    if not dead and not (found.still and found.flat < FLAT and abs(found.loss) > NOTHING * found.scale):
        return None
    told = f"The loss stands at {number(found.loss)} on level ground: " + (
        f"{found.dead:.0%} of the weights get no gradient at all." if dead else "there is neither slope nor curvature to speak of."
    )
    evidence: tuple[Evidence, ...] = (
        Evidence("what slope and curvature can change within a length of the weights, over the loss", found.flat, FLAT, SOURCE),
        Evidence("share of the weights with a gradient of exactly zero", found.dead, DEAD, "Zhang et al. 2021, AUTOTRAINER"),
    )
    remedy = _remedy(seen, found)
    return Finding("plateau", told, evidence, remedy, PICTURE, FORMULA)


def _traced(seen: Measured) -> Finding | None:
    read = seen.reading
    if read.unfit or not read.slope < LEVEL_SLOPE or not read.gained < MOVED * abs(read.start) or read.travel > NOWHERE:
        return None
    told = f"The loss stands at {number(read.end)}, where it began, and the gradient promises next to nothing."
    evidence = Evidence("what the gradient promises over the length of the weights, over the loss", read.slope, LEVEL_SLOPE, SOURCE)
    rate = nice(10 * seen.lr) if math.isfinite(seen.lr) else None
    much = f", such as {number(rate)}," if rate else ""
    text = f"Use a much larger learning rate{much} or another start: smaller weights, other activations."
    remedy = Remedy(text, "lr" if rate else None, rate or None)
    return Finding("plateau", told, (evidence,), remedy, PICTURE, FORMULA)


def _remedy(seen: Measured, found: Examination) -> Remedy:
    lower = found.lower
    if lower is not None and lower.loss < found.loss - 1e-3 * found.scale:
        if lower.rate is not None:
            rate = nice(lower.rate)
            return Remedy(
                f"Use a learning rate of {number(rate)}: from the same start it gets to {number(lower.loss)}.", "lr", rate
            )
        there = f"from the remedy's weights the same descent gets to {number(lower.loss)}"
        return Remedy(
            f"Begin elsewhere: {there}. Other activations or smaller weights to start from help too.", "start", lower.start
        )
    if found.nudged is not None and found.down > 1e-3 * found.scale:
        there = f"the loss is {number(found.down)} lower along the direction that curves downwards most"
        return Remedy(f"Go on from the remedy's weights: {there}.", "start", found.nudged)
    if not math.isfinite(seen.lr):
        return Remedy("Use a much larger learning rate, or another start.", None, None)
    rate = nice(found.best * seen.lr if found.best > 3 else 100 * seen.lr)
    return Remedy(f"Use a much larger learning rate, such as {number(rate)}, or another start.", "lr", rate)
