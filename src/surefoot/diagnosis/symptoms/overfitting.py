"""It learns by heart.  validation loss that rises while the training loss falls -> finding, with the step to stop at."""

from __future__ import annotations

from surefoot.diagnosis.diagnosis import Evidence, Remedy, number
from surefoot.diagnosis.finding import Finding, Seen

GAP = 0.1  # of what was gained: how far the validation loss may end above its lowest level
SOURCE = "Amazon SageMaker Debugger, rule Overfit (0.1); Prechelt 1998, Early Stopping - But When?"

PICTURE = (
    "The model goes on getting better at the samples it sees, by remembering them. On samples it has never seen it gets worse: what it learns now is of "
    "no use there."
)
FORMULA = "Gap = (validation loss at the end - its lowest level) / (how far the loss fell); early stopping takes the step of the lowest level."


def overfitting(seen: Seen) -> Finding | None:
    """The validation loss has left its lowest level for good."""
    read = seen.reading
    if read.unfit or not read.gap > GAP or read.best_step is None or not read.end < read.start:
        return None
    told = f"The training loss falls, but the validation loss was lowest at step {read.best_step:,} and has risen since."
    evidence = (Evidence("rise of the validation loss above its lowest level, over what was gained", read.gap, GAP, SOURCE),)
    steps = max(1, read.best_step + 1)
    remedy = Remedy(f"Stop after {steps:,} steps, or regularise (weight decay, dropout, more data); the learning rate is not to blame.", "steps", steps)
    return Finding("overfitting", told, evidence, remedy, 0.9, PICTURE, FORMULA)
