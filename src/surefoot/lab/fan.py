"""What becomes of the descent at every rate of the slider?  problem + settings -> one run per rate, walked in one pass.

A finger on the slider asks for another descent sixty times a second, and one of 200 steps takes some 40 ms: so all of them are walked at once,
beforehand, and dragging looks them up. The members of a population are the descents one by one (law 3), to 1e-4 of their losses in float32; when
the slider rests the page is given the descent itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from surefoot.descent.population import descend_many
from surefoot.lab.chosen import SMALL, count_of, rates, samples_of
from surefoot.lab.state import WEIGHTS
from surefoot.problem import Problem
from surefoot.run import Run

STEPS = 1_000  # more take seconds, and the page is told to wait for the descent itself
SAMPLES = 20_000  # that each of the copies looks at in a step, at most
COARSE = 20  # of the rates of the slider, for what cannot be walked beforehand: two per decade


def worth_it(problem: Problem, settings: Mapping[str, Any]) -> bool:
    """Whether all rates are walked beforehand: of few weights, little data and not too many steps, with what one pass can do."""
    small = count_of(problem) <= WEIGHTS and samples_of(problem) <= SAMPLES and settings["steps"] <= STEPS
    return small and settings["optimizer"] != "random" and "plateau" not in settings["schedule"]


def fan(problem: Problem, settings: Mapping[str, Any], waiting: Callable[[], None]) -> dict[float, Run]:
    """The run at each rate of the slider, by rate; of a problem of many weights at two rates per decade.

    Args:
        problem: what is descended.
        settings: the keywords of `descend` but for the rate.
        waiting: called after every step.
    """
    chosen = rates() if worth_it(problem, settings) else rates()[::COARSE]
    engine = "vmap" if count_of(problem) <= SMALL else "sequential"
    made = descend_many(problem, lr=chosen, engine=engine, paths=True, seen=lambda count: waiting(), **settings)
    return dict(zip(chosen, made.runs, strict=True))
