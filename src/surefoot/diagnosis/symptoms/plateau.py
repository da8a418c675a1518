"""On level ground.  gradient and curvature far smaller than around, and nothing moves -> finding."""

from __future__ import annotations

import math

from surefoot.diagnosis.diagnosis import Evidence, Remedy, number
from surefoot.diagnosis.examine import NOTHING
from surefoot.diagnosis.finding import Finding, Seen, nice

LEVEL = 0.05  # of the loss, or of what was gained: the most that slope and curvature can change within a length of the weights
LEVEL_SLOPE, MOVED = 1e-3, 0.1  # on a trace: the same of the gradient alone, while the loss fell by less than this share
NOWHERE = 0.05  # on a trace: the way made, in lengths of the weights
DEAD = 0.7  # of the weights without any gradient (AUTOTRAINER, Zhang et al. 2021)
DEAD_MOVES = 0.1  # of what was gained: what the living rest may still do
SOURCE = "Taylor's second order at these weights: |g| s + |H| s^2 / 2 with s the length of the weights or of the way made"

PICTURE = (
    "The ground is level in every direction, like a high plain: the foot feels no slope and hardly moves, although lower ground exists somewhere. It is no valley, "
    "for there are no walls either."
)
FORMULA = "Gradient and Hessian are both near zero (|g| s + |H| s^2 / 2 below 5 % of the loss, s the length of the weights): saturated units, dead ReLUs, a power higher than two."


def plateau(seen: Seen) -> Finding | None:
    """Still, and neither slope nor walls."""
    found = seen.examination
    if found is None:
        return _traced(seen)
    dead = found.dead > DEAD and found.moved < DEAD_MOVES * found.scale
    if not dead and not (found.still and found.flat < LEVEL and abs(found.loss) > NOTHING * found.scale):
        return None
    told = f"The loss stands at {number(found.loss)} on level ground: " + (
        f"{found.dead:.0%} of the weights get no gradient at all." if dead else "there is neither slope nor curvature to speak of."
    )
    evidence: tuple[Evidence, ...] = (
        Evidence("what slope and curvature can change within a length of the weights, over the loss", found.flat, LEVEL, SOURCE),
        Evidence("share of the weights with a gradient of exactly zero", found.dead, DEAD, "Zhang et al. 2021, AUTOTRAINER"),
    )
    if found.lower is not None and found.lower.loss < found.loss - 1e-3 * found.scale:
        if found.lower.rate is not None:
            rate = nice(found.lower.rate)
            remedy = Remedy(
                f"Use a learning rate of {number(rate)}: from the same start it gets to {number(found.lower.loss)}.", "lr", rate
            )
        else:
            text = f"Begin elsewhere: from the remedy's weights the same descent gets to {number(found.lower.loss)}. Other activations or a smaller start help too."
            remedy = Remedy(text, "start", found.lower.start)
    else:
        rate = nice(10 * seen.lr)
        remedy = Remedy(f"Use a much larger learning rate, such as {number(rate)}, or another start.", "lr", rate)
    return Finding("plateau", told, evidence, remedy, 0.8, PICTURE, FORMULA)


def _traced(seen: Seen) -> Finding | None:
    read = seen.reading
    if read.unfit or not read.slope < LEVEL_SLOPE or not read.gained < MOVED * abs(read.start) or read.travel > NOWHERE:
        return None
    told = f"The loss stands at {number(read.end)}, where it began, and the gradient promises next to nothing."
    evidence = Evidence("what the gradient promises over the length of the weights, over the loss", read.slope, LEVEL_SLOPE, SOURCE)
    rate = nice(10 * seen.lr) if math.isfinite(seen.lr) else None
    remedy = Remedy(
        "Use a much larger learning rate or another start: smaller weights, other activations.", "lr" if rate else None, rate
    )
    return Finding("plateau", told, (evidence,), remedy, 0.6, PICTURE, FORMULA)
