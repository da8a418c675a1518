"""How far has the examination got?  a function of the caller's -> one to call when a stage begins and between the pieces of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

STAGES = ("the ground", "the course", "the forks", "the noise", "the curvature", "other places", "the verdict")
Tell: TypeAlias = Callable[..., None]


def stages(progress: Callable[[str, int, int], None] | None) -> Tell:
    """A function to call with the stage that begins, and with nothing within it; not every examination has every stage.

    Args:
        progress: called with the stage, how many come before it, and how many come before the last.

    Example:
        >>> tell = stages(print)
        >>> tell("the forks"), tell(), tell("the verdict")
        the forks 2 6
        the forks 2 6
        the verdict 6 6
        (None, None, None)
    """
    at = 0

    def tell(stage: str = "") -> None:
        nonlocal at
        at = STAGES.index(stage) if stage else at
        if progress is not None:
            progress(STAGES[at], at, len(STAGES) - 1)

    return tell


SILENT = stages(None)
