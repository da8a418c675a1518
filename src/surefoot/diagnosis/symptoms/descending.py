"""All is well.  the loss falls, and neither a smaller nor a larger rate would do clearly better -> finding."""

from __future__ import annotations

import math

from surefoot.diagnosis.evidence import Evidence, number
from surefoot.diagnosis.finding import Finding, Measured
from surefoot.diagnosis.reading import Reading

FALLING = 3.0  # standard errors of the fall over the last third
T_TEST = "t statistic of two means"
FORK = "the same steps on the same batches at other rates"
LEAST = 1e-4  # of what was gained
PICTURE = "The way leads down, the steps are about as long as they should be. Let it go on."
FORMULA = (
    "The fall over the last third of the rows exceeds three of its standard errors, and no fork at lr/10 or 3 lr does clearly "
    "better."
)


def descending(seen: Measured) -> Finding | None:
    """Falling, with nothing to complain about."""
    read = seen.reading
    if read.unfit or not read.end < read.start:
        return None
    evidence = _falls(seen)
    if not evidence:
        return None
    told = f"The loss falls, from {number(read.start)} to {number(read.end)} so far, and is still falling."
    return Finding("descending", told, (*evidence, *_forks(seen)), None, PICTURE, FORMULA)


def _falls(seen: Measured) -> list[Evidence]:
    """What shows that the loss falls: the first of these that does."""
    read, found = seen.reading, seen.examination
    share, sure = found.trend if found is not None else (math.nan, math.nan)
    known = math.isfinite(sure)
    if (sure if known else read.fall) > FALLING and (not known or share > LEAST):
        over = "the loss over a sample" if known else "the loss"
        return [
            Evidence(
                f"fall of {over} over the last third of the run, in standard errors", sure if known else read.fall, FALLING, T_TEST
            )
        ]
    if found is not None and found.forks is not None and (read.full or found.annealed):
        gains = max(found.own / found.scale, found.left)
        return (
            [Evidence("what is still to be gained, over what was", gains, LEAST, FORK)] if found.own > 0 and gains > LEAST else []
        )
    if found is None and read.gained > 4 * _error(read):  # no sign of anything else: a trace that fell
        if not _error(read):
            return [Evidence("fall of the loss from start to end", read.gained, 0.0, "steps over all of the data have no noise")]
        return [Evidence("fall of the loss from start to end, in standard errors", read.gained / _error(read), 4.0, T_TEST)]
    return []


def _error(read: Reading) -> float:
    """Of the fall from start to end; of few rows each level is one row, or two, whose noise the rows around them tell."""
    return read.error or (0.0 if read.full else math.sqrt(2) * read.noise)


def _forks(seen: Measured) -> list[Evidence]:
    found = seen.examination
    if found is None or found.forks is None:
        return []
    return [
        Evidence("what three times the rate would gain in the fork", found.better(3.0)[0], None, FORK),
        Evidence("what a tenth of the rate would gain in the fork", found.better(0.1)[0], None, FORK),
    ]
