"""The symptoms.  all that was measured of a run -> the first of them that is there, in the order in which one excludes the next."""

from __future__ import annotations

from collections.abc import Callable

from surefoot.diagnosis.finding import Finding, Measured
from surefoot.diagnosis.symptoms.broken import broken
from surefoot.diagnosis.symptoms.converged import converged
from surefoot.diagnosis.symptoms.descending import descending
from surefoot.diagnosis.symptoms.diverging import diverging
from surefoot.diagnosis.symptoms.edge_of_stability import edge_of_stability
from surefoot.diagnosis.symptoms.local_minimum import local_minimum
from surefoot.diagnosis.symptoms.noise_limited import noise_limited
from surefoot.diagnosis.symptoms.oscillating import oscillating
from surefoot.diagnosis.symptoms.overfitting import overfitting
from surefoot.diagnosis.symptoms.overflow import overflow
from surefoot.diagnosis.symptoms.plateau import plateau
from surefoot.diagnosis.symptoms.saddle import saddle
from surefoot.diagnosis.symptoms.spiking import spiking
from surefoot.diagnosis.symptoms.too_small import too_small

SYMPTOMS: tuple[Callable[[Measured], Finding | None], ...] = (
    broken,
    overflow,
    diverging,
    spiking,
    overfitting,
    plateau,
    saddle,
    local_minimum,
    converged,
    too_small,
    oscillating,
    edge_of_stability,
    noise_limited,
    descending,
)
