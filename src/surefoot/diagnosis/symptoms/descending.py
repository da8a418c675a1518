"""All is well.  the loss falls, and neither a smaller nor a larger rate would do clearly better -> finding."""

from __future__ import annotations

import math

from surefoot.diagnosis.evidence import Evidence, number
from surefoot.diagnosis.examine import Examination
from surefoot.diagnosis.finding import Finding, Measured

FALLING = 3.0  # standard errors of the fall over the last third
LEAST = 1e-4  # of what was gained
PICTURE = "The way leads down, the steps are about as long as they should be. Let it go on."
FORMULA = (
    "The fall over the last third of the rows exceeds three of its standard errors, and no fork at lr/10 or 3 lr does clearly "
    "better."
)


def descending(seen: Measured) -> Finding | None:
    """Falling, with nothing to complain about."""
    read, found = seen.reading, seen.examination
    share, sure = found.trend if found is not None else (math.nan, math.nan)
    falls = sure > FALLING and share > LEAST if math.isfinite(sure) else read.fall > FALLING
    if found is not None and found.forks is not None:
        falls = falls or (_gains(found) and (read.full or found.annealed))
    gained = read.gained > 4 * read.error and found is None  # no sign of anything else: a trace that fell
    if read.unfit or not read.end < read.start or not (falls or gained):
        return None
    evidence = [
        Evidence(
            "fall of the loss over the last third of the rows, in standard errors", read.fall, FALLING, "t statistic of two means"
        )
    ]
    if found is not None and found.forks is not None:
        evidence.append(Evidence("what three times the rate would gain", found.better(3.0)[0], None, "fork"))
        evidence.append(Evidence("what a tenth of the rate would gain", found.better(0.1)[0], None, "fork"))
    told = f"The loss falls, from {number(read.start)} to {number(read.end)} so far, and is still falling."
    return Finding("descending", told, tuple(evidence), None, 0.75 if falls else 0.5, PICTURE, FORMULA)


def _gains(found: Examination) -> bool:
    return found.own > 0 and max(found.own / found.scale, found.left) > LEAST
