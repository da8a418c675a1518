"""In the wrong valley.  a standstill at a minimum while a lower place is known -> finding, with the rate or the start that leads there."""

from __future__ import annotations

import math

from surefoot.diagnosis.evidence import Evidence, Remedy, number
from surefoot.diagnosis.finding import Finding, Measured, nice

LOWER = 0.01  # of what was gained: how much lower the other place is
SOURCE = "descents at higher rates from the same start, and at this rate from places around the end"

PICTURE = (
    "This is the bottom of a valley, but not of the deepest one: behind the next ridge it goes further down. From here every way "
    "leads up first."
)
FORMULA = (
    "The gradient is zero and no eigenvalue of the Hessian negative: a minimum. It is a bad one only because another descent ended"
    " lower."
)


def local_minimum(seen: Measured) -> Finding | None:
    """A minimum, and not the lowest that is known."""
    found = seen.examination
    if found is None or not found.still or (found.lower is None and math.isnan(found.known)):
        return None
    margin = LOWER * found.scale
    other = min(found.lower.loss if found.lower is not None else math.inf, found.known if math.isfinite(found.known) else math.inf)
    if not found.loss - other > margin:
        return None
    told = f"The loss stands at {number(found.loss)} in a minimum; another place is known at {number(other)}."
    evidence = (Evidence("loss above the lowest place known", found.loss - other, margin, SOURCE),)
    return Finding("local-minimum", told, evidence, _remedy(seen, margin), PICTURE, FORMULA)


def _remedy(seen: Measured, margin: float) -> Remedy:
    found = seen.examination
    assert found is not None
    lower = found.lower
    if lower is None or not found.loss - lower.loss > margin:
        if not math.isfinite(seen.lr):
            return Remedy("Begin elsewhere, or with longer steps that leave this valley.", None, None)
        rate = nice(4 * seen.lr)
        return Remedy(f"Begin elsewhere, or with longer steps that leave this valley, such as {number(rate)}.", "lr", rate)
    if lower.rate is not None:
        rate = nice(lower.rate)
        return Remedy(f"Use a learning rate of {number(rate)}: from the same start it gets to {number(lower.loss)}.", "lr", rate)
    return Remedy(
        f"Begin elsewhere: from the remedy's weights the same descent gets to {number(lower.loss)}.", "start", lower.start
    )
