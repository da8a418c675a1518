"""What is descended in the lab, and how?  State -> the problem, and the keywords of `surefoot.descend`.

The page names what was there when the lab was started: built-in problems, a table that was dropped on it (numbers and texts, read by pandas), and
the one from the command line. It never names a file and never brings code.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch

from surefoot.curvature.limits import stability_limit
from surefoot.errors import SurefootError, SurefootWarning
from surefoot.lab.state import OWN, TABLE, Refused, State
from surefoot.problem import Problem, is_pair, trainable
from surefoot.problems import load

Options: TypeAlias = tuple[tuple[str, Any], ...]

SLIDER = (1e-6, 10.0)  # the rates that can be dragged to, in 40 steps per decade
PER_DECADE = 40
MOST_STEPS = 20_000  # of problems of few weights: about 5 s
MOST_STEPS_NETWORK = 3_000
SMALL = 1_000  # weights: paths are kept whole, and many descents at once cost little
# What a problem opens with, where the defaults of the state would show nothing or take long.
USUAL: Mapping[str, Mapping[str, Any]] = {
    "beale": {"lr": 0.005},
    "bowl": {"lr": 0.05},
    "breast-cancer": {"lr": 0.05},
    "diabetes": {"lr": 0.05},
    "digits-cnn": {"lr": 0.1, "steps": 150},
    "digits-linear": {"lr": 0.1, "steps": 300},
    "digits-mlp": {"lr": 0.1, "steps": 300},
    "himmelblau": {"lr": 0.005},
    "photo-patches": {"lr": 0.002, "steps": 300, "optimizer": "adamw"},
    "rastrigin": {"lr": 0.001},
    "rosenbrock": {"lr": 0.001, "steps": 1000},
    "saddle": {"lr": 0.1},
    "spirals": {"lr": 0.02, "steps": 1000, "optimizer": "adam"},
    "text": {"lr": 0.003, "steps": 60, "optimizer": "adamw"},
    "valley": {"lr": 0.05},
}
WITH_MOMENTUM = {"momentum", "nesterov"}
WITH_BETA = {"adam", "adamw", "nadam", "adamax"}
MADE_WITH = {"line": ("points", "noise", "seed")}  # options of a problem that are controls
KEPT = 8  # problems that are kept made


@dataclass(frozen=True)
class Setup:
    """What the lab was started with.

    Attributes:
        own: the problem from the command line or the notebook.
        own_name: how Python gets it, such as ``train.py:problem``.
        initial: the state that a page without a link begins with.
        store: the file of runs that is followed.
    """

    own: Problem | None = None
    own_name: str = ""
    initial: State = field(default_factory=State)
    store: str | None = None


@dataclass(frozen=True)
class Table:
    """A table that was dropped on the page, in a file of its own in a folder that is deleted with the page."""

    path: str
    name: str


def problem_of(state: State, setup: Setup, table: Table | None = None) -> Problem:
    """The problem of a state, started where the state says.

    Raises:
        Refused: there is no such problem here, or the start does not fit it.
        SurefootError: the table cannot be made into a problem.
    """
    problem = _problem(state, setup, table)
    if not state.start:
        return problem
    weights = count_of(problem)
    if len(state.start) != weights:
        raise Refused("start", f"{problem.called} has {weights:,} weight{'s' * (weights != 1)}, got a start of {len(state.start)}.")
    return problem.at(state.start)


def notes_of(state: State, table: Table | None) -> list[str]:
    """What was to be said when the problem was made, such as columns that were left out."""
    return list(_made(table.path, _target(state))[1]) if state.problem == TABLE and table is not None else []


def _problem(state: State, setup: Setup, table: Table | None) -> Problem:
    if state.problem == OWN:
        if setup.own is None:
            raise Refused("problem", "This lab was started without a problem of its own: surefoot lab train.py:problem")
        return setup.own
    if state.problem == TABLE:
        if table is None:
            raise Refused("problem", "There is no table yet: drop a CSV file on the page.")
        try:
            made = _made(table.path, _target(state))[0]
        except SurefootError as error:  # in the words of the page, which knows the table by its name
            raise Refused("target", str(error).replace(table.path, table.name)) from error
        return made.with_(source=made.source.replace(table.path, table.name))
    return _made(state.problem, tuple((key, getattr(state, key)) for key in MADE_WITH.get(state.problem, ())))[0]


def _target(state: State) -> Options:
    return (("target", state.target),) if state.target else ()


@functools.lru_cache(maxsize=KEPT)
def _made(name: str, options: Options) -> tuple[Problem, tuple[str, ...]]:
    """The problem, and what was warned of while it was made."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        problem = load(name, **dict(options))
    return problem, tuple(str(each.message) for each in said if issubclass(each.category, SurefootWarning))


def asked(state: State, problem: Problem) -> dict[str, Any]:
    """The keywords of `descend` and `descend_many`, but for the rate.

    Raises:
        Refused: the problem has no batches to choose.
    """
    return {
        "optimizer": optimizer_of(state),
        "steps": min(state.steps, most_steps(problem)),
        "schedule": state.schedule,
        "batch_size": batch_of(state, problem),
        "seed": state.seed,
    }


def optimizer_of(state: State) -> Any:
    """A name, or a `functools.partial` where the momentum is not the usual one."""
    if state.momentum == State.momentum or state.optimizer not in WITH_MOMENTUM | WITH_BETA:
        return state.optimizer
    if state.optimizer in WITH_MOMENTUM:
        return functools.partial(torch.optim.SGD, momentum=state.momentum, nesterov=state.optimizer == "nesterov")
    return functools.partial(_CLASSES[state.optimizer], betas=(state.momentum, 0.999))


_CLASSES: Mapping[str, Any] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "adamax": torch.optim.Adamax,
}


def batch_of(state: State, problem: Problem) -> int | str | None:
    """The batch size as `descend` takes it; None: as the problem has it."""
    if state.batch == "own" or not has_samples(problem):
        return None
    chosen: dict[str, int | str] = {"full": "full", "single": 1, "mini": state.batch_size}
    return chosen[state.batch]


def has_samples(problem: Problem) -> bool:
    """Whether batches can be chosen: data that counts its samples."""
    return is_pair(problem.data) or (hasattr(problem.data, "__getitem__") and not isinstance(problem.data, list | tuple))


def samples_of(problem: Problem) -> int:
    """How many samples there are; 0 where that is not known or there are none."""
    return len(problem.data[0]) if is_pair(problem.data) else len(problem.data) if has_samples(problem) else 0


def count_of(problem: Problem) -> int:
    """How many weights there are."""
    return sum(p.numel() for p in trainable(problem.model).values())


def most_steps(problem: Problem) -> int:
    """The most steps that the lab walks."""
    return MOST_STEPS if count_of(problem) <= SMALL else MOST_STEPS_NETWORK


def weight_names(problem: Problem) -> list[str]:
    """What one or two weights are called; nothing where there are more."""
    if count_of(problem) > 2:
        return []
    return [
        name if parameter.numel() == 1 else f"{name}{'xy'[place]}" if name != "x" else "xy"[place]
        for name, parameter in trainable(problem.model).items()
        for place in range(parameter.numel())
    ]


def limits_of(state: State, problem: Problem) -> list[dict[str, Any]]:
    """The marks that a known curvature sets on the slider, for this optimizer with its momentum."""
    curvature = problem.answer.curvature if problem.answer is not None else None
    if not curvature or state.optimizer not in ("sgd", *WITH_MOMENTUM) or batch_of(state, problem) not in (None, "full"):
        return []
    limit = stability_limit(curvature, state.optimizer, momentum=state.momentum)
    plain = state.optimizer == "sgd"
    marks = [
        {
            "lr": 1 / curvature,
            "label": "1/L",
            "text": f"1/L = {1 / curvature:.3g}: straight to the bottom along the steepest direction",
        }
    ]
    name = "2/L" if plain else "limit"
    return [
        *(marks if plain else []),
        {"lr": limit, "label": name, "text": f"{name}{' =' if plain else ''} {limit:.3g}: above it no number of steps helps"},
    ]


def rates() -> list[float]:
    """Every rate that the slider can be dragged to, to three digits.

    >>> rates()[0], rates()[200], len(rates())
    (1e-06, 0.1, 281)
    """
    low, high = (math.log10(end) for end in SLIDER)
    return [float(f"{10 ** (low + place / PER_DECADE):.3g}") for place in range(round((high - low) * PER_DECADE) + 1)]
