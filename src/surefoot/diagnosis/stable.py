"""What is the largest learning rate from which the loss comes back?  a lost run + its problem -> short descents from its start."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np

from surefoot.descent.population import Population, descend_many
from surefoot.diagnosis.forks import settings_of
from surefoot.errors import SurefootWarning
from surefoot.problem import Problem
from surefoot.run import Run

AT_ONCE = 8  # rates tried together
FACTORS = (2.0, 8.0, 64.0, 1024.0)  # between them, one round after the other while all are lost
FINER = (0.5946, 0.7071, 0.8409)  # of the lowest lost rate: quarters of an octave
LONGEST = 100  # steps of a descent
WILD = 4.0  # times the loss at the start, above which a descent that came back again does not count


def largest_stable(
    problem: Problem, run: Run, seen: Callable[[int], None] | None = None, many: Callable[..., Population] = descend_many
) -> tuple[float, int]:
    """The largest rate below the run's at which a descent from its start ends below where it began.

    Args:
        problem: what is descended.
        run: the lost run.
        seen: as for `descend_many`.
        many: what walks them, called as `descend_many` is.

    Returns:
        The rate, NaN where none was stable; and the gradient evaluations spent.
    """
    rate = float(run.config["lr"])
    steps = int(min(LONGEST, max(20, len(run.trace))))
    search = _Search(problem, run, steps, seen, many)
    lost, kept = rate, math.nan
    for factor in FACTORS:
        lost, kept = search.narrowed(lost, [lost / factor ** (index + 1) for index in range(AT_ONCE)])
        if math.isfinite(kept):
            break
    while lost > 2.1 * kept:
        between = np.geomspace(kept, lost, AT_ONCE + 2)[1:-1]
        lost, higher = search.narrowed(lost, between.tolist())
        kept = kept if math.isnan(higher) else higher
    if math.isfinite(kept):
        _, higher = search.narrowed(lost, [lost * part for part in FINER if lost * part > kept])
        kept = kept if math.isnan(higher) else higher
    return kept, search.spent


class _Search:
    """Descents from the start of a run, and what they cost."""

    def __init__(
        self, problem: Problem, run: Run, steps: int, seen: Callable[[int], None] | None, many: Callable[..., Population]
    ) -> None:
        self.problem, self.run, self.steps, self.seen, self.many, self.spent = problem, run, steps, seen, many, 0

    def narrowed(self, lost: float, rates: list[float]) -> tuple[float, float]:
        """The lowest rate that is lost above the highest that is not, and that; NaN where all are lost."""
        if not rates:
            return lost, math.nan
        good, cost = _stable(self.problem, self.run, rates, self.steps, self.seen, self.many)
        self.spent += cost
        kept = max((rate for rate, ok in zip(rates, good, strict=True) if ok), default=math.nan)
        bad = [rate for rate, ok in zip(rates, good, strict=True) if not ok and not rate < kept]
        return min([lost, *bad]), kept


def _stable(
    problem: Problem, run: Run, rates: list[float], steps: int, seen: Callable[[int], None] | None, many: Callable[..., Population]
) -> tuple[list[bool], int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SurefootWarning)
        made = many(problem, lr=rates, steps=steps, validate_every=10**9, seen=seen, **settings_of(run))
    return [_came_back(each) for each in made.runs], made.gradients


def _came_back(run: Run) -> bool:
    loss = run.trace["loss"]
    if run.ended == "diverged" or not np.isfinite(loss).all():
        return False
    last = float(np.median(loss[-max(3, len(loss) // 5) :]))
    wild = float(np.max(loss)) > WILD * max(abs(float(loss[0])), 1e-30) + abs(float(loss[0]))
    return last < float(loss[0]) and not wild
