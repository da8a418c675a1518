"""On a pass.  a standstill from which one direction curves downwards -> finding, with weights a nudge further down."""

from __future__ import annotations

from surefoot.diagnosis.evidence import Evidence, Remedy, number
from surefoot.diagnosis.finding import Finding, Measured

DOWNWARDS = 0.01  # of the largest curvature: how far the smallest must be below zero
SOURCE = (
    "Dauphin et al. 2014, Identifying and Attacking the Saddle Point Problem; here Lanczos iteration, and the loss along that "
    "direction"
)

PICTURE = (
    "The ground is level here as at the bottom of a valley, but it is a mountain pass: to the left and to the right it goes down. "
    "The slope is so small that the steps hardly move. A nudge sideways is enough."
)
FORMULA = (
    "The gradient is nearly zero and the Hessian's smallest eigenvalue negative: L(w +- s v) = L(w) - |lambda| s^2 / 2 along its "
    "eigenvector v."
)


def saddle(seen: Measured) -> Finding | None:
    """Nothing moves, and one direction leads down."""
    found = seen.examination
    if (
        found is None
        or not found.still
        or not found.smallest < -max(DOWNWARDS * abs(found.largest), 3 * found.residual)
        or not found.down > 1e-3 * found.scale
    ):
        return None
    told = f"The loss stands at {number(found.loss)}; along one direction it curves downwards and is {number(found.down)} lower a nudge away."
    evidence = (
        Evidence("smallest eigenvalue of the Hessian, per weight squared", found.smallest, -DOWNWARDS * abs(found.largest), SOURCE),
        Evidence("fall of the loss along its direction", found.down, 1e-3 * found.scale, SOURCE),
    )
    remedy = Remedy(
        "Go on from weights nudged along that direction (they are the remedy's value), or use noise: smaller batches.",
        "start",
        found.nudged,
    )
    return Finding("saddle", told, evidence, remedy, PICTURE, FORMULA)
