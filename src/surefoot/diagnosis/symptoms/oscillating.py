"""From wall to wall.  a smaller rate drops the loss at once, and no noise is there to blame -> finding, with a rate below the limit."""

from __future__ import annotations

import math

from surefoot.diagnosis.evidence import Evidence, Remedy, number
from surefoot.diagnosis.finding import Finding, Measured, nice

DROP = 0.01  # of what was gained (or is left): how much lower a tenth of the rate gets
OF_LOSS = 0.25  # of the loss, where that is less
BEHIND = 0.7  # alpha: steps that land nearly as far behind the minimum as they began before it
IDLE, ALIVE = (
    0.02,
    0.2,
)  # on a trace: fall of the loss over what the slopes promise, while the gradient stays above this share of its highest level
TREMBLES, FALLS = 0.05, 3.0  # on a trace: share of rises and standard errors of the fall, above which it goes down all the same
STAND_OFF = 0.5
SOURCE = "fork: the same steps at a tenth of the rate; stability limit of a quadratic, 2/L for gradient descent"

PICTURE = (
    "Every step jumps across the valley to the opposite wall, about as high as where it came from, and the next one jumps back. "
    "Nearly all of the way is made sideways. Shorter steps would land at the bottom."
)
FORMULA = (
    "With alpha = -(g1.d)/(g0.d) at 1 a step lands exactly as far behind the minimum along its line as it began before it: lr L = "
    "2. Best is lr L = 1."
)


def oscillating(seen: Measured) -> Finding | None:
    """Noise-free, at the limit, and hardly getting anywhere."""
    read, found = seen.reading, seen.examination
    if read.unfit or not read.full:
        return None
    if found is not None and found.forks is not None:
        return _measured(seen)
    if read.rising > TREMBLES and read.fall > FALLS:  # the edge of stability
        return None
    zigzag = read.efficiency < IDLE and read.gradient > ALIVE
    if not (zigzag or (read.alpha > BEHIND and read.gradient > 1e-3)):
        return None
    told = f"Steps land about as far behind the minimum along their line as they began before it; the loss stays near {number(read.end)}."
    evidence = (
        Evidence("fall of the loss over what the slopes promise", read.efficiency, IDLE, SOURCE)
        if zigzag
        else Evidence("where steps land on their line (alpha)", read.alpha, BEHIND, SOURCE)
    )
    rate = nice(STAND_OFF * seen.lr) if math.isfinite(seen.lr) else None
    return Finding("oscillating", told, (evidence,), _remedy(rate), PICTURE, FORMULA)


def _measured(seen: Measured) -> Finding | None:
    found = seen.examination
    assert found is not None
    assert found.forks is not None
    forks = found.forks
    lower, _ = found.better(0.1)
    least = max(min(DROP * found.scale, OF_LOSS * abs(found.loss)), 1e-9 * found.scale)
    share = found.trend[0] if math.isfinite(found.trend[0]) else 0.0
    if not lower > max(least, share * found.scale):  # a fall that is slower than it trembles
        return None
    told = f"At a tenth of the rate the loss is lower by {number(lower)} after {forks.steps} steps from here, without any noise to blame."
    evidence = [Evidence("fall of the loss at a tenth of the rate beyond that at the rate", lower, least, SOURCE)]
    if math.isfinite(found.limit):
        evidence.append(Evidence("learning rate over the limit by the largest curvature", seen.lr / found.limit, 1.0, SOURCE))
    if math.isfinite(found.alpha):
        evidence.append(Evidence("where steps land on their line (alpha)", found.alpha, 1.0, "Schneider et al. 2021, Cockpit"))
    base = found.limit if math.isfinite(found.limit) and found.limit < 1.5 * seen.lr else seen.lr
    return Finding("oscillating", told, tuple(evidence), _remedy(nice(STAND_OFF * base)), PICTURE, FORMULA)


def _remedy(rate: float | None) -> Remedy:
    if rate is None:
        return Remedy("Halve the learning rate.", None, None)
    return Remedy(f"Use a learning rate of {number(rate)}, half of what is stable here.", "lr", rate)
