"""The answer to "what is going on?".  verdict, evidence and remedy -> a value that explains itself at three depths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from surefoot import html
from surefoot.diagnosis.verdicts import VERDICTS
from surefoot.trace import Column


@dataclass(frozen=True)
class Evidence:
    """One thing that was measured.

    Attributes:
        quantity: what, with its unit.
        value: how much.
        threshold: what it is held against; None where it only tells.
        source: where the threshold or the quantity comes from.
    """

    quantity: str
    value: float
    threshold: float | None
    source: str

    def __str__(self) -> str:
        held = "" if self.threshold is None else f" (threshold {number(self.threshold)})"
        return f"{self.quantity}: {number(self.value)}{held}"


@dataclass(frozen=True)
class Remedy:
    """What to change.

    Attributes:
        text: in plain words, with the number.
        setting: the keyword of `descend` that changes (``"lr"``, ``"schedule"``, ``"steps"``, ``"clip_norm"``), ``"start"`` for other weights
            to begin from, or None where it is no setting.
        value: what it becomes; for ``"start"`` a state dict of the model.
    """

    text: str
    setting: str | None
    value: Any


@dataclass(frozen=True)
class Diagnosis:
    """What is happening to a descent, how that is known, and what to change.

    Attributes:
        verdict: one of ``surefoot.diagnosis.verdicts.VERDICTS``.
        confidence: from 0 to 1: how often such a verdict was right on the labelled runs it was calibrated on, less where the measurements are near
            their thresholds.
        evidence: what was measured.
        remedy: what to change; None where nothing is to be.
        told: the finding in a sentence.
        basis: ``"trace"`` or ``"problem"``: what it rests on.
        gradients: gradient evaluations spent on it.
        forks: the batch losses of the fork test by learning rate, (steps,) each; empty where there was none.
        words: how each depth of `explain` puts it.

    Example:
        >>> from surefoot import descend, problems
        >>> from surefoot.diagnosis.diagnose import diagnose
        >>> line = problems.load("line")
        >>> found = diagnose(descend(line, lr=1e-4, steps=200), line)
        >>> found.verdict, found.remedy.setting, 0.01 < found.remedy.value < 0.79
        ('too-small', 'lr', True)
    """

    verdict: str
    confidence: float
    evidence: tuple[Evidence, ...]
    remedy: Remedy | None
    told: str
    basis: str
    gradients: int
    forks: Mapping[float, Column]
    words: Mapping[str, str]

    @property
    def ill(self) -> bool:
        """Whether something should be changed."""
        return VERDICTS[self.verdict]

    def explain(self, depth: str = "medium") -> str:
        """The finding for a learner (``"basic"``), a practitioner (``"medium"``) or an engineer (``"detailed"``).

        Raises:
            SettingError: there is no such depth.
        """
        from surefoot.diagnosis.explain import explained  # the words need this value

        return explained(self, depth)

    def __str__(self) -> str:
        return self.explain("medium")

    def _repr_html_(self) -> str:
        rows = [(each.quantity, f"{number(each.value)}{_held(each)}") for each in self.evidence]
        remedy = [] if self.remedy is None else [("what to do", self.remedy.text)]
        return html.table(f"{self.verdict} ({self.confidence:.0%})", [*rows, *remedy], [self.told])


def number(value: Any) -> str:
    """A number as a sentence shows it: three digits, thousands with commas."""
    if not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 and abs(value) < 1e7 else f"{value:.3g}"


def plain(remedy: Remedy | None) -> dict[str, Any] | None:
    """A remedy as JSON can hold it: of weights only the few that a person would read."""
    if remedy is None:
        return None
    value = remedy.value
    if isinstance(value, Mapping):
        count = sum(part.numel() for part in value.values() if isinstance(part, Tensor))
        value = {name: part.tolist() for name, part in value.items()} if count <= 8 else None
    return {"text": remedy.text, "setting": remedy.setting, "value": value}


def _held(evidence: Evidence) -> str:
    return "" if evidence.threshold is None else f" (threshold {number(evidence.threshold)})"
