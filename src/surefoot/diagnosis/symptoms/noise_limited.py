"""As low as this noise allows.  the loss stands, a tenth of the rate drops it at once, and the batches disagree -> finding: let the rate decay."""

from __future__ import annotations

import math

from surefoot.diagnosis.evidence import Evidence, Remedy, number
from surefoot.diagnosis.finding import Finding, Measured

DROP = 0.01  # of what was gained: how much lower a tenth of the rate gets
OF_LOSS = 0.1  # of the loss, where that is less
CLEAR = 0.4  # of the loss over the sample, or of what was gained: a drop that needs no error
DECAYED = 0.3  # of its highest: a rate that has decayed is what the remedy would be
SEEN = 1.5  # standard errors of that, while the loss over the sample agrees
STANDS = 4.0  # standard errors of the fall over the last third, up to which it stands
FALLING, SURE = (
    0.005,
    2.0,
)  # fall of the loss over the sample, last third against the middle one: of what was gained, and in standard errors
IDLE, WAY = 0.016, 8.0  # on a trace: fall of the loss over what the slopes promise, and the way made in lengths of the weights
GRADIENT = 0.03  # on a trace: of its highest level, above which the gradients of the batches have not died down
SOURCE = "McCandlish et al. 2018, An Empirical Model of Large-Batch Training (noise scale); fork at a tenth of the rate"

PICTURE = (
    "Each batch shows a slightly different mountain, and each step follows the one it sees. Near the bottom the steps therefore "
    "wander about at random, as far as they are long. Shorter steps towards the end let the foot come to rest."
)
FORMULA = (
    "Near a minimum the excess loss settles at about lr tr(S) / (4 B), S the covariance of a sample's gradient and B the batch: it"
    " falls with the rate. Noise to signal of a step: tr(S) / (B |G|^2)."
)


def noise_limited(seen: Measured) -> Finding | None:
    """Mini-batches, a loss that has stopped falling, and a smaller rate that makes it fall again."""
    read, found = seen.reading, seen.examination
    if read.unfit or read.full or read.annealed < DECAYED:
        return None
    if found is not None and found.forks is not None:
        return _measured(seen)
    wanders = read.efficiency < IDLE and read.travel > WAY
    if not (read.fall < STANDS and read.gradient > GRADIENT and wanders):
        return None
    told = f"The loss has stopped falling near {number(read.end)}, and the gradients of the batches have not died down."
    evidence = (
        Evidence("fall over the last third, in standard errors", read.fall, STANDS, "t statistic of two means"),
        Evidence(
            "fall of the loss over what the slopes promise",
            read.efficiency,
            IDLE,
            "calibrated on benchmarks/verdicts (calibration runs)",
        ),
    )
    return Finding("noise-limited", told, evidence, _remedy(), PICTURE, FORMULA)


def _measured(seen: Measured) -> Finding | None:
    read, found = seen.reading, seen.examination
    assert found is not None
    assert found.forks is not None
    lower, error = found.forks.better(0.1)
    share, sure = found.trend
    stands = (share < FALLING or sure < SURE) if math.isfinite(share) else read.fall < STANDS
    drop = found.ends[1.0] - found.ends[0.1]
    seen_twice = drop > 0 and (lower > SEEN * error or drop > CLEAR * min(abs(found.ends[1.0]), found.scale))
    if not (stands and seen_twice and max(lower, drop) > min(DROP * found.scale, OF_LOSS * abs(found.loss))):
        return None
    told = f"The loss has stopped falling near {number(found.loss)}; at a tenth of the rate it falls by {number(lower)} in {found.forks.steps} steps."
    evidence = (
        Evidence("fall of the loss at a tenth of the rate beyond that at the rate", lower, DROP * found.scale, SOURCE),
        Evidence("noise to signal of a step, tr(S) / (B |G|^2)", found.noise, None, SOURCE),
    )
    return Finding("noise-limited", told, evidence, _remedy(), PICTURE, FORMULA)


def _remedy() -> Remedy:
    return Remedy('Let the rate decay: schedule="cosine" over the same steps (or a larger batch).', "schedule", "cosine")
