"""The loss runs away.  its level at the end above that at the start -> finding, with the largest rate from which it comes back."""

from __future__ import annotations

import math

from surefoot.diagnosis.evidence import Evidence, Remedy, number
from surefoot.diagnosis.finding import Finding, Measured, nice

RISE = 0.05  # of the loss at the start (and three times its noise), by which it must have risen
FAR = 2.0  # times the very first loss, for where everything was lost within the first steps
DECADE = 10.0  # a smaller rate by this much, where no stable one was measured
QUARTER = 1.2  # of an octave, about
STAND_OFF = 0.5  # of the largest stable rate: the edge itself is no place to train
SOURCE = "Cohen et al. 2021, Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability: unstable beyond 2/L"
MEASURED = "short descents from the same start at halved rates: the largest that ends below where it began"

PICTURE = (
    "The steps are too long: each one jumps over the valley and comes down higher on the other side. The ground is steeper there, "
    "so the next jump is longer still. More steps only lead further away."
)
FORMULA = (
    "Along a direction of curvature L gradient descent multiplies the distance to the minimum by 1 - lr L at every step: it grows "
    "when lr > 2/L."
)


def diverging(seen: Measured) -> Finding | None:
    """Above where it started, and finite."""
    read, found = seen.reading, seen.examination
    margin = max(RISE * abs(read.start), 4 * read.error)
    above = read.end > read.start + margin or read.end > FAR * abs(read.first) + read.first + 4 * read.noise
    if read.unfit or not above or not read.end > read.lowest + min(margin, RISE * abs(read.end)):
        return None
    if found is not None and not found.loss > found.begin + RISE * abs(found.begin):
        return None
    told = f"The loss rose from {number(read.start)} to {number(read.end)}: no number of steps will help at {_rate(seen)}."
    evidence = Evidence(
        "loss at the end", read.end, read.start + margin, "its own start; Godbole et al. 2023, Deep Learning Tuning Playbook"
    )
    return Finding("diverging", told, (evidence, *limits(seen)), rate_remedy(seen), PICTURE, FORMULA)


def limits(seen: Measured) -> tuple[Evidence, ...]:
    """The largest stable rate as measured, and as the curvature has it."""
    found = seen.examination
    if found is None:
        return ()
    stable = [Evidence("learning rate", seen.lr, found.stable, MEASURED)] if math.isfinite(found.stable) else []
    curved = (
        [Evidence("learning rate against the limit by the curvature at the start", seen.lr, found.limit, SOURCE)]
        if math.isfinite(found.limit)
        else []
    )
    return (*stable, *curved)


def rate_remedy(seen: Measured) -> Remedy:
    """A rate from which the loss comes back."""
    found = seen.examination
    if found is not None and math.isfinite(found.stable):
        # the search ends within a quarter of an octave below: where the curvature's limit lies there too, that is exact
        largest = found.limit if found.stable <= found.limit <= QUARTER * found.stable else found.stable
        rate = nice(STAND_OFF * largest)
        text = f"No number of steps will help: the largest stable rate here is {number(largest)}. Use {number(rate)}."
        return Remedy(text, "lr", rate)
    if not math.isfinite(seen.lr):
        return Remedy("Use a learning rate ten times smaller.", None, None)
    rate = nice(seen.lr / DECADE)
    return Remedy(
        f"Use a learning rate of {number(rate)} or smaller; with the problem at hand the largest stable rate is measured.",
        "lr",
        rate,
    )


def _rate(seen: Measured) -> str:
    return f"a learning rate of {number(seen.lr)}" if math.isfinite(seen.lr) else "this learning rate"
