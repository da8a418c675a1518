"""What is a lesson?  a task, a question with choices, a state of the lab -> one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Something to predict, to run and to understand.

    Attributes:
        id: one word or several with hyphens, as in the address of the page.
        title: what it is called in the list.
        minutes: how long it takes.
        task: what to look at before the question is answered.
        state: the fields of the lab's state in which it differs from its default.
        question: what to predict.
        choices: three or four answers, of which exactly one is right.
        answer: the index of the right one, from 0.
        explain: what is to be read once the run was seen, with its numbers.
        wonder: what to try next.
        terms: words of the glossary that it uses.
        hide: controls and panes that would distract from it.
    """

    id: str
    title: str
    minutes: int
    task: str
    state: Mapping[str, Any]
    question: str
    choices: tuple[str, ...]
    answer: int
    explain: str
    wonder: str
    terms: tuple[str, ...]
    hide: tuple[str, ...] = ()
