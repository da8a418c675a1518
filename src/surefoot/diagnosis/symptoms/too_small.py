"""Far too short steps.  three times the rate does three times as much, with much to do -> finding, with a better rate."""

from __future__ import annotations

import math

from surefoot.diagnosis.evidence import Evidence, Remedy, number
from surefoot.diagnosis.finding import Finding, Measured, nice

TRIPLE = 2.0  # times the progress at three times the rate: 3 where the loss falls in a straight line
WORTH = 0.1  # of all that was gained so far: what the best of the forks gains beyond the rate's own
SHORT = -0.5  # alpha: steps that stay far before the minimum along their line
LATE = 0.2  # share of the fall made in the second half: half of it in a straight line
TRAVEL = 0.5  # lengths of the weights, all steps together
STRAIGHT = (0.36, 0.65)  # on a trace without alpha: share of the fall made in the second half, of a fall in a straight line
LAST = 0.12  # of such a fall: share made in the last fifth
NOWHERE, ALIVE = 0.06, 0.3  # the same, where even the fall is lost in noise; and the gradient over its highest level
FLAT = 1e-3  # of the loss: what the gradient promises over the length of the weights; below it the ground is level
STAND_OFF = 0.5
SOURCE = "fork: the same steps on the same batches at other rates"
FORKED = "calibrated on benchmarks/verdicts (calibration runs)"

PICTURE = (
    "The steps are so short that the walk down the mountain would take days: every step goes the right way, there is nothing in "
    "the way, and longer ones would get there sooner."
)
FORMULA = (
    "While lr L is far below 1 the loss falls by lr |g|^2 per step: k steps at 3 lr do what 3k steps at lr do. alpha = "
    "-(g1.d)/(g0.d) near -1 says that the slope is the same before and after a step."
)


def too_small(seen: Measured) -> Finding | None:
    """More would be gained at once with longer steps."""
    return _measured(seen) if seen.examination is not None and seen.examination.forks is not None else _traced(seen)


def _measured(seen: Measured) -> Finding | None:
    found, read = seen.examination, seen.reading
    assert found is not None
    assert found.forks is not None
    forks = found.forks
    own, more = found.own, found.ends[1.0] - found.ends[3.0]
    best = found.ends[1.0] - found.ends[found.best]
    if not (own > 0 and more > (TRIPLE - 1) * own and best > WORTH * found.scale):
        return None
    rate = nice(STAND_OFF * found.best * forks.rate) if found.best > 3 else nice(found.best * forks.rate)
    fell = f"the loss falls by {number(own)} at {number(forks.rate)} and by {number(own + more)} at three times that"
    told = f"In {forks.steps} steps from here {fell}."
    evidence = [
        Evidence(
            "fall of the loss at three times the rate over that at the rate",
            (own + more) / own if own > 0 else math.inf,
            TRIPLE,
            SOURCE,
        )
    ]
    if math.isfinite(found.alpha):
        evidence.append(
            Evidence(
                "where steps land on their line (alpha: -1 no way, 0 the minimum, 1 the limit)",
                found.alpha,
                SHORT,
                "Schneider et al. 2021, Cockpit",
            )
        )
    steps = read.rows * rate / forks.rate
    text = f"Use {number(rate)}: at this rate about {number(float(f'{steps:.1g}'))} steps would be needed for what that does in {read.rows:,}."
    return Finding("too-small", told, tuple(evidence), Remedy(text, "lr", rate), PICTURE, FORMULA)


def _traced(seen: Measured) -> Finding | None:
    read = seen.reading
    if read.unfit or read.slope < FLAT or not read.end < read.start + 3 * read.error:
        return None
    if read.travel < NOWHERE and read.gradient > ALIVE:
        went = f"the loss went from {number(read.start)} to {number(read.end)}"
        told = f"All steps together moved the weights by {read.travel:.2g} of their length; {went}."
        evidence = [Evidence("length of all steps together, in lengths of the weights", read.travel, NOWHERE, FORKED)]
    else:
        known = math.isfinite(read.steepest)
        short = (
            read.steepest < SHORT
            if known
            else read.travel < TRAVEL or (STRAIGHT[0] < read.late < STRAIGHT[1] and read.recent > LAST)
        )
        if not (read.end < read.start and read.late > LATE and short):
            return None
        told = (
            f"The loss falls in a nearly straight line, from {number(read.start)} to {number(read.end)}, and the steps are short."
        )
        evidence = [Evidence("share of the fall made in the second half", read.late, LATE, FORKED)]
        if math.isfinite(read.steepest):
            evidence.append(
                Evidence(
                    "where steps land on their line (alpha), the largest of the run",
                    read.steepest,
                    SHORT,
                    "Schneider et al. 2021, Cockpit",
                )
            )
        else:
            evidence.append(Evidence("length of all steps together, in lengths of the weights", read.travel, TRAVEL, FORKED))
    rate = nice(_times(read.steepest) * seen.lr) if math.isfinite(seen.lr) else None
    text = f"Use a larger rate, such as {number(rate)}." if rate else "Use a rate ten times larger."
    return Finding("too-small", told, tuple(evidence), Remedy(text, "lr" if rate else None, rate), PICTURE, FORMULA)


def _times(steepest: float) -> float:
    """How much larger a rate would land steps on the minimum along their line where that was nearest; 10 where alpha is not known."""
    return min(1000.0, max(3.0, 1 / max(1 + steepest, 1e-3))) if math.isfinite(steepest) else 10.0
