"""How is a training loop of your own getting on?  model + optimizer -> what was seen of it, and a line with the verdict now and then."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from surefoot.descent.seen import Seen
from surefoot.descent.watch import watch as unjudged
from surefoot.diagnosis.diagnose import diagnose
from surefoot.trace import Trace


def judged(trace: Trace) -> str:
    """The verdict of a trace in a word, and how sure it is.

    Example:
        >>> from surefoot import Problem, descend
        >>> judged(descend(Problem.of(lambda x: (x**2).sum() / 2, start=[1.0]), lr=1e-4, steps=50).trace)
        'too-small (97%)'
    """
    found = diagnose(trace)
    return f"{found.verdict} ({found.confidence:.0%})" if found.verdict != "unsure" else ""


@functools.wraps(unjudged)
def watch(*args: Any, verdict: Callable[[Trace], str | None] | None = judged, **settings: Any) -> AbstractContextManager[Seen]:
    """`surefoot.descent.watch.watch`, with the verdict of `diagnose` where no other is given."""
    return unjudged(*args, verdict=verdict, **settings)
