"""What a symptom is asked with and what it answers.  what was measured -> a finding, or None."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from surefoot.diagnosis.evidence import Evidence, Remedy
from surefoot.diagnosis.examine import Examination
from surefoot.diagnosis.reading import Reading


@dataclass(frozen=True)
class Measured:
    """All that was measured of a run.

    Attributes:
        reading: what the trace shows.
        examination: what the problem says; None from a trace alone.
        config: the settings of the run, as far as they are known.
    """

    reading: Reading
    examination: Examination | None
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lr(self) -> float:
        """The rate of the run: the one it was given, or the highest in the trace; NaN where neither tells."""
        rate = float(self.config.get("lr") or self.reading.rate)
        return rate if rate > 0 else math.nan

    @property
    def gained(self) -> float:
        """How far the loss fell: over the sample where that was measured, else by the levels of the trace."""
        found = self.examination
        if found is not None and math.isfinite(found.loss):
            return found.begin - found.loss
        return self.reading.gained


@dataclass(frozen=True)
class Finding:
    """What a symptom says.

    Attributes:
        verdict: its verdict.
        told: what is happening, in a sentence with numbers.
        evidence: what was measured.
        remedy: what to change.
        picture: the same for a learner, without a formula.
        formula: the same for an engineer.
    """

    verdict: str
    told: str
    evidence: tuple[Evidence, ...]
    remedy: Remedy | None
    picture: str
    formula: str


def nice(rate: float) -> float:
    """A rate with two digits, for nobody sets more."""
    return float(f"{rate:.2g}")
