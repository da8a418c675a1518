"""It learns by heart.  validation loss that rises while the training loss falls -> finding, with the step to stop at."""

from __future__ import annotations

import math

from surefoot.diagnosis.evidence import Evidence, Remedy
from surefoot.diagnosis.finding import Finding, Measured

RISE = 0.08  # of the lowest validation loss: how far it may end above that
GAP = 0.1  # of what was gained, where the loss is not above 0
SINCE = 0.05  # of the training loss: how far it must have fallen since
SOURCE = (
    "Amazon SageMaker Debugger, rule Overfit (0.1); Prechelt 1998, Early Stopping - But When?; calibrated on benchmarks/verdicts"
)

PICTURE = (
    "The model goes on getting better at the samples it sees, by remembering them. On samples it has never seen it gets worse: "
    "what it learns now is of no use there."
)
FORMULA = (
    "Rise = validation loss at the end / its lowest level - 1, both means of three measurements; early stopping takes the step of "
    "the lowest level."
)


def overfitting(seen: Measured) -> Finding | None:
    """The validation loss has left its lowest level for good."""
    read = seen.reading
    rose, limit = (read.rise, RISE) if math.isfinite(read.rise) else (read.gap, GAP)
    if read.unfit or read.best_step is None or not rose > limit or not read.since > SINCE:
        return None
    told = f"The training loss falls, but the validation loss was lowest near step {read.best_step:,} and has risen since."
    evidence = (
        Evidence("rise of the validation loss above its lowest level, in share of that", rose, limit, SOURCE),
        Evidence("fall of the training loss since then, in share of it", read.since, SINCE, SOURCE),
    )
    steps = max(1, read.best_step + 1)
    remedy = Remedy(
        f"Stop after {steps:,} steps, or regularise (weight decay, dropout, more data); the learning rate is not to blame.",
        "steps",
        steps,
    )
    return Finding("overfitting", told, evidence, remedy, PICTURE, FORMULA)
