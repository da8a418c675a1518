"""The answer to "what is going on?".  verdict, evidence and remedy -> a value that explains itself at three depths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from surefoot import html
from surefoot.diagnosis.evidence import Evidence, Remedy, number
from surefoot.diagnosis.verdicts import VERDICTS
from surefoot.errors import unknown
from surefoot.trace import Column


@dataclass(frozen=True)
class Diagnosis:
    """What is happening to a descent, how that is known, and what to change.

    Attributes:
        verdict: one of ``surefoot.diagnosis.verdicts.VERDICTS``.
        confidence: from 0 to 1: how often such a verdict was right on the labelled runs it was calibrated on; 0 for ``unsure``.
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
    def headline(self) -> str:
        """The verdict, how sure it is, and the finding in a line."""
        sure = f" ({self.confidence:.0%} sure)" if self.verdict != "unsure" else ""
        return f"{self.verdict}{sure}: {self.told}"

    @property
    def ill(self) -> bool:
        """Whether something should be changed."""
        return VERDICTS[self.verdict]

    def explain(self, depth: str = "medium") -> str:
        """The finding for a learner (``"basic"``), a practitioner (``"medium"``) or an engineer (``"detailed"``).

        Args:
            depth: ``"basic"``: a picture in words and what to do, without a formula; ``"medium"``: the finding, the numbers and the remedy;
                ``"detailed"``: all of it with formulas, thresholds and sources.

        Raises:
            SettingError: there is no such depth.
        """
        if depth not in DEPTHS:
            raise unknown("depth", depth, DEPTHS)
        return "\n".join(line for line in DEPTHS[depth](self) if line)

    def __str__(self) -> str:
        return self.explain("medium")

    def _repr_html_(self) -> str:
        rows = [(each.quantity, f"{number(each.value)}{_held(each)}") for each in self.evidence]
        remedy = [] if self.remedy is None else [("what to do", self.remedy.text)]
        return html.table(f"{self.verdict} ({self.confidence:.0%})", [*rows, *remedy], [self.told])


def _basic(found: Diagnosis) -> list[str]:
    return [f"{_title(found)}.", found.words.get("picture", "") or found.told, _to_do(found)]


def _medium(found: Diagnosis) -> list[str]:
    return [found.headline, *(f"  {each}" for each in found.evidence), _to_do(found)]


def _detailed(found: Diagnosis) -> list[str]:
    formula = found.words.get("formula", "")
    basis = (
        "From the trace alone; with the problem at hand more can be measured."
        if found.basis == "trace"
        else f"Measured on the problem with {number(found.gradients)} gradient evaluations."
    )
    return [found.headline, *(_sourced(each) for each in found.evidence), formula, _to_do(found), basis]


def _sourced(evidence: Evidence) -> str:
    return f"  {evidence}\n    source: {evidence.source}"


def _to_do(found: Diagnosis) -> str:
    if found.remedy is not None:
        return f"What to do: {found.remedy.text}"
    return "Nothing needs to be changed." if found.verdict != "unsure" else ""


def _title(found: Diagnosis) -> str:
    return _TITLES[found.verdict]


_TITLES = {
    "converged": "The descent has arrived",
    "descending": "The descent goes well",
    "edge-of-stability": "The descent trembles, and goes well",
    "too-small": "The learning rate is too small",
    "oscillating": "The descent jumps from wall to wall",
    "noise-limited": "The noise of the batches keeps the loss up",
    "diverging": "The learning rate is too large, and the loss runs away",
    "overflow": "The numbers ran out",
    "local-minimum": "The descent sits in a valley that is not the deepest",
    "saddle": "The descent lingers on a mountain pass",
    "plateau": "The descent is stuck on level ground",
    "spiking": "Single steps throw the loss up",
    "broken": "The loss does not follow its own gradient",
    "overfitting": "The model learns its samples by heart",
    "unsure": "Nothing certain can be said",
}

DEPTHS: dict[str, Callable[[Diagnosis], list[str]]] = {"basic": _basic, "medium": _medium, "detailed": _detailed}


def _held(evidence: Evidence) -> str:
    return "" if evidence.threshold is None else f" (threshold {number(evidence.threshold)})"
