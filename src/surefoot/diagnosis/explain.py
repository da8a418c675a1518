"""How is a finding told?  Diagnosis + depth -> words for a learner, a practitioner or an engineer."""

from __future__ import annotations

from collections.abc import Callable

from surefoot.diagnosis.diagnosis import Diagnosis, Evidence, number
from surefoot.errors import unknown


def explained(found: Diagnosis, depth: str) -> str:
    """The finding in words.

    Args:
        found: what was found.
        depth: ``"basic"``: a picture in words and what to do, without a formula; ``"medium"``: the finding, the numbers and the remedy;
            ``"detailed"``: all of it with formulas, thresholds and sources.

    Raises:
        SettingError: there is no such depth.
    """
    if depth not in DEPTHS:
        raise unknown("depth", depth, DEPTHS)
    return "\n".join(line for line in DEPTHS[depth](found) if line)


def headline(found: Diagnosis) -> str:
    """The verdict and how sure it is, in one line."""
    sure = f" ({found.confidence:.0%} sure)" if found.verdict != "unsure" else ""
    return f"{found.verdict}{sure}: {found.told}"


def _basic(found: Diagnosis) -> list[str]:
    return [f"{_title(found)}.", found.words.get("picture", "") or found.told, _to_do(found)]


def _medium(found: Diagnosis) -> list[str]:
    return [headline(found), *(f"  {each}" for each in found.evidence), _to_do(found)]


def _detailed(found: Diagnosis) -> list[str]:
    formula = found.words.get("formula", "")
    basis = (
        "From the trace alone; with the problem at hand more can be measured."
        if found.basis == "trace"
        else f"Measured on the problem with {number(found.gradients)} gradient evaluations."
    )
    return [headline(found), *(_sourced(each) for each in found.evidence), formula, _to_do(found), basis]


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
