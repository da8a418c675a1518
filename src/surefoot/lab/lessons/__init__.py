"""What is there to learn in the lab?  predict, run, explain -> the lessons, in the order of a course.

A new lesson is one file and one row; `tests/lab/test_lessons_true.py` measures every number that it says.
"""

from __future__ import annotations

from typing import Any

from surefoot.lab.lessons import (
    decay,
    divergence,
    guessing,
    loss,
    momentum,
    mountain_pass,
    network,
    noise,
    overshoot,
    range_test,
    too_small,
    two_knobs,
    two_valleys,
)
from surefoot.lab.lessons.lesson import Lesson

__all__ = ["LESSONS", "Lesson", "plain"]

LESSONS: tuple[Lesson, ...] = (
    loss.LESSON,
    guessing.LESSON,
    too_small.LESSON,
    overshoot.LESSON,
    divergence.LESSON,
    two_knobs.LESSON,
    two_valleys.LESSON,
    mountain_pass.LESSON,
    noise.LESSON,
    decay.LESSON,
    range_test.LESSON,
    momentum.LESSON,
    network.LESSON,
)


def plain(lesson: Lesson) -> dict[str, Any]:
    """The lesson as JSON can say it, field by field; nothing of it is shared with the lesson.

    Example:
        >>> plain(LESSONS[0])["state"]
        {'lr': 0.5, 'noise': 0.1, 'start': [0.1, 0.5]}
    """
    return {name: _plain(value) for name, value in vars(lesson).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
