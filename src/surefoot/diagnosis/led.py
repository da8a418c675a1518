"""Who measures, where several processes descend together?  problem + run + what to measure -> the same Diagnosis on every rank.

Rank 0 measures, and decides what to measure next: on its own data what needs one process (losses over a sample, curvature, gradients of single
batches). Where descents are asked for, it says so, and all ranks walk them, each on its own data. At the end it tells what it found.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

from surefoot.descent.population import Population, descend_many
from surefoot.descent.ranks import Ranks, alone, ranks_of
from surefoot.diagnosis.diagnosis import Diagnosis
from surefoot.errors import SurefootWarning
from surefoot.problem import Problem
from surefoot.run import Run
from surefoot.trace import Trace

Many: TypeAlias = Callable[..., Population]  # what is called as `descend_many` is


def led(problem: Any, run: Run | Trace, measure: Callable[[Any, Many, int], Diagnosis]) -> Diagnosis:
    """What ``measure`` finds on rank 0, or in the only process there is.

    Args:
        problem: as `together` gives it; None for none.
        run: what is diagnosed; each rank's own has its place in its own data.
        measure: takes the problem of this process alone, what walks several descents, and how many processes walk them.
    """
    ranks = ranks_of(problem)
    if ranks is None:
        return measure(problem, descend_many, 1)
    ranks.alike({"what is diagnosed": type(run).__name__})
    if not ranks.leads:
        return _following(problem, run, ranks)
    found = measure(alone(problem), functools.partial(_announced, problem, ranks), ranks.size)
    ranks.news(found)
    return found


def _announced(
    problem: Problem, ranks: Ranks, at: Problem, *, start: Run | None = None, seen: Any = None, **settings: Any
) -> Population:
    """Descents from the weights of ``at``, which the other ranks are told to walk as well."""
    ranks.news((at.model.state_dict(), start is not None, settings))
    return descend_many(problem.with_(model=at.model, validation=None), start=start, seen=seen, **settings)


def _following(problem: Problem, run: Run | Trace, ranks: Ranks) -> Diagnosis:
    """Walks what rank 0 says until it tells the end."""
    while not isinstance(told := ranks.news(), Diagnosis):
        weights, goes_on, settings = told
        model = copy.deepcopy(problem.model)
        model.load_state_dict(weights)
        start = run if goes_on and isinstance(run, Run) else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SurefootWarning)  # the run has complained already
            descend_many(problem.with_(model=model, validation=None), start=start, **settings)
    return told
