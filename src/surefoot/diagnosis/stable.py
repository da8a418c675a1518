"""What is the largest learning rate from which the loss comes back?  a lost run + its problem -> short descents from its start."""

from __future__ import annotations

import math
import warnings

import numpy as np

from surefoot.descent.population import descend_many
from surefoot.diagnosis.forks import settings_of
from surefoot.errors import SurefootWarning
from surefoot.problem import Problem
from surefoot.run import Run

AT_ONCE, ROUNDS = 8, 3  # rates a factor of two apart, and how often that many more
FINER = (0.5946, 0.7071, 0.8409)  # of the lowest lost rate: quarters of an octave
LONGEST = 100  # steps of a descent
WILD = 4.0  # times the loss at the start, above which a descent that came back again does not count


def largest_stable(problem: Problem, run: Run) -> tuple[float, int]:
    """The largest rate below the run's at which a descent from its start ends below where it began.

    Returns:
        The rate, NaN where none was stable; and the gradient evaluations spent.
    """
    rate = float(run.config["lr"])
    steps = int(min(LONGEST, max(20, len(run.trace))))
    spent, lost, kept = 0, rate, math.nan
    for _ in range(ROUNDS):
        rates = [lost / 2 ** (index + 1) for index in range(AT_ONCE)]
        good, cost = _stable(problem, run, rates, steps)
        spent += cost
        if any(good):
            kept = max(each for each, ok in zip(rates, good, strict=True) if ok)
            lost = min([lost, *(each for each, ok in zip(rates, good, strict=True) if not ok and each > kept)])
            break
        lost = rates[-1]
    if math.isnan(kept):
        return math.nan, spent
    finer = [lost * part for part in FINER if lost * part > kept]
    good, cost = _stable(problem, run, finer, steps) if finer else ([], 0)
    return max([kept, *(each for each, ok in zip(finer, good, strict=True) if ok)]), spent + cost


def _stable(problem: Problem, run: Run, rates: list[float], steps: int) -> tuple[list[bool], int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SurefootWarning)
        made = descend_many(problem, lr=rates, steps=steps, validate_every=10**9, **settings_of(run))
    return [_came_back(each) for each in made.runs], made.gradients


def _came_back(run: Run) -> bool:
    loss = run.trace["loss"]
    if run.ended == "diverged" or not np.isfinite(loss).all():
        return False
    last = float(np.median(loss[-max(3, len(loss) // 5) :]))
    wild = float(np.max(loss)) > WILD * max(abs(float(loss[0])), 1e-30) + abs(float(loss[0]))
    return last < float(loss[0]) and not wild
