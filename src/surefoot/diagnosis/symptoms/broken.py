"""The loss does not follow its own gradient: a bug.  gradients against differences of the loss, steps against slopes -> finding."""

from __future__ import annotations

import math

from surefoot.diagnosis.evidence import Evidence, Remedy, number
from surefoot.diagnosis.finding import Finding, Measured

RATIO = (0.5, 2.0)  # of the measured slope over the gradient: right ones are within a thousandth of 1, apart from kinks
UPHILL = 0.3  # cosine of the first displacement and the gradient: descending ones are below 0
CLIMBS = 0.8  # of the steps that tell: on a trace alone
UPWARDS = -0.15  # fall of the loss over what the slopes promise: below, the steps go up
SLOW = 0.05  # growth of the logarithm of the loss per step: an instability grows faster where it is as efficient
RISES = 2.0  # standard errors of the rise over the last third
SOURCE = "first-order Taylor expansion; Godbole et al. 2023, Deep Learning Tuning Playbook: a loss that rises at any rate is a bug"

PICTURE = (
    "The slope that the steps follow is not the slope of the hill: however small the step, the foot does not come down where the "
    "slope promises. No learning rate can help, for it is not the length of the steps that is wrong but their direction."
)
FORMULA = (
    "For a small step h along the unit vector -g/|g| the loss must change by -h|g| (first order). Measured by central differences "
    "in float64, (L(w+hu) - L(w-hu)) / 2h over g.u is {ratio}; weights whose gradient is zero are moved by themselves to see "
    "whether the loss depends on them."
)


def broken(seen: Measured) -> Finding | None:
    """A wrong sign, a detached part, or a value that is not what is differentiated."""
    return _measured(seen) if seen.examination is not None else _traced(seen)


def _measured(seen: Measured) -> Finding | None:
    found = seen.examination
    assert found is not None
    for each in found.follows:
        if each.ratio < RATIO[0] or each.ratio > RATIO[1]:
            told = f"Down its own gradient the loss changes by {number(each.ratio)} of what the gradient says" + (
                ": it rises where it should fall." if each.ratio < 0 else "."
            )
            evidence = Evidence(
                "measured slope over the gradient, down the gradient", each.ratio, RATIO[0] if each.ratio < 1 else RATIO[1], SOURCE
            )
            what = (
                "the sign of the loss or of its gradient"
                if each.ratio < 0
                else "what is differentiated: it is not the loss that is told"
            )
            return _finding(told, evidence, f"Look at {what}; no learning rate helps.", each.ratio)
        if each.unreached:
            names = ", ".join(each.unreached[:3]) + (f" and {len(each.unreached) - 3} more" if len(each.unreached) > 3 else "")
            told = f"The loss depends on {names}, but no gradient arrives there."
            evidence = Evidence("tensors that the loss depends on without a gradient", float(len(each.unreached)), 0.0, SOURCE)
            return _finding(
                told,
                evidence,
                f"Look for .detach(), .data, no_grad or a round trip through NumPy behind {names}.",
                each.ratio,
            )
    if found.uphill > UPHILL and found.loss > found.begin:
        evidence = Evidence("cosine of the first displacement and the gradient", found.uphill, UPHILL, SOURCE)
        return _finding(
            "The steps go up the gradient, not down.", evidence, "Look at the optimizer: maximize=True, or a wrong sign.", 1.0
        )
    return None


def _traced(seen: Measured) -> Finding | None:
    read = seen.reading
    if read.unfit or not (read.end > read.start and (read.full or read.fall < -RISES)):
        return None
    pace = math.log(max(read.end, 1e-30) / read.start) / read.rows if read.start > 0 else math.inf
    if read.lost_at is None and pace < SLOW and read.efficiency < UPWARDS:
        quantity, value, threshold = "rise of the loss over what the slopes promise of steps upwards", -read.efficiency, -UPWARDS
    elif read.full and read.climbs > CLIMBS:
        quantity, value, threshold = (
            "share of the steps at which the loss rose as the slopes on both sides promise of a step upwards",
            read.climbs,
            CLIMBS,
        )
    else:
        return None
    told = f"The loss rose from {number(read.start)} to {number(read.end)}, as it would if every step went up its own gradient."
    evidence = Evidence(quantity, value, threshold, SOURCE)
    return _finding(told, evidence, "Look at the sign of the loss, and for maximize=True in the optimizer.", math.nan)


def _finding(told: str, evidence: Evidence, remedy: str, ratio: float) -> Finding:
    formula = FORMULA.format(ratio=number(ratio) if not math.isnan(ratio) else "not known from a trace")
    return Finding("broken", told, (evidence,), Remedy(remedy, None, None), PICTURE, formula)
