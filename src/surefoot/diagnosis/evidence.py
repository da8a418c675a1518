"""What was measured, and what is to be changed.  a quantity with its value, threshold and source -> a line that a person can check."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


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
