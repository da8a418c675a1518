"""What a rule reads from a curve.  rates + losses -> a rate and the row it was read at, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Curve: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"  # (rows,)


@dataclass(frozen=True)
class Pick:
    """A rate and where it was read.

    Attributes:
        lr: the rate, or None where the rule has no answer.
        at: the row it was read at, or None.
        reason: what the rule looks for, or why it has no answer.
    """

    lr: float | None
    at: int | None
    reason: str


def nothing(reason: str) -> Pick:
    """No answer, and why."""
    return Pick(None, None, reason)


def needs(rows: int, lr: Curve) -> Pick | None:
    """No answer where there are fewer rows than the rule needs, else None: go on."""
    return nothing(f"the rule needs at least {rows} rows with a finite loss, there are {len(lr)}") if len(lr) < rows else None
