"""Where can a training go back to?  A walk under way -> a few of its states in memory, the first one and the best one among them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from surefoot.descent.walk import Walk

RECENT = 3  # of the latest: one of them lies before any trouble that lasts no longer than their distance


@dataclass(frozen=True)
class Checkpoint:
    """A state to go on from.

    Attributes:
        step: updates made.
        level: the usual loss there.
        state: as `Run.state`, with tensors of its own.
    """

    step: int
    level: float
    state: Mapping[str, Any]


Kept = tuple[Checkpoint, ...]


def taken(walk: Walk, level: float) -> Checkpoint:
    """The state of a walk between two steps."""
    return Checkpoint(walk.step, level, copy.deepcopy(walk.state()))


def with_another(kept: Kept, new: Checkpoint) -> Kept:
    """The first one, the best one, the latest ones and the new one.

    >>> kept: Kept = ()
    >>> for step, loss in enumerate([9.0, 8.0, 2.0, 5.0, 6.0, 7.0]):
    ...     kept = with_another(kept, Checkpoint(10 * step, loss, {}))
    >>> [checkpoint.step for checkpoint in kept]
    [0, 20, 30, 40, 50]
    """
    everything = (*kept, new)
    chosen = {everything[0].step, best(everything).step, *(checkpoint.step for checkpoint in everything[-RECENT:])}
    return tuple(checkpoint for checkpoint in everything if checkpoint.step in chosen)


def best(kept: Kept) -> Checkpoint:
    """The one with the lowest loss."""
    return min(kept, key=lambda checkpoint: checkpoint.level if math.isfinite(checkpoint.level) else math.inf)


def up_to(kept: Kept, step: int) -> Kept:
    """Those that are at most so many updates old; the first one always."""
    return tuple(checkpoint for index, checkpoint in enumerate(kept) if index == 0 or checkpoint.step <= step)
