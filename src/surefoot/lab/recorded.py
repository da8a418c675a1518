"""What was asked for when a run was made?  recorded runs -> the state that asks for them, and whether it says all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from surefoot.lab.chosen import MADE_WITH
from surefoot.lab.state import OWN, RACED, RIVALS, WEIGHTS, Refused, State, read, value_of
from surefoot.problems import names
from surefoot.run import Run

# What the lab has no control for: with any other value the state cannot ask for the run.
PLAIN: Mapping[str, Any] = {"clip_norm": None, "accumulate": 1, "autocast": None, "report": None}


def asked_for(runs: Sequence[Run]) -> tuple[State, bool]:
    """The state of a page that shows these runs, the first one as its main descent.

    Args:
        runs: recorded descents of one problem, at most six.

    Returns:
        The state, and whether descending as it says makes these very runs again: there are settings that the lab has no control for, rates and
        seeds that it refuses, and runs that were interrupted.

    Example:
        >>> from surefoot import descend, problems
        >>> runs = [descend(problems.load("line"), lr=rate, steps=20, progress=False) for rate in (0.1, 0.5)]
        >>> state, all_said = asked_for(runs)
        >>> state.problem, state.lr, state.race, all_said
        ('line', 0.1, ({'lr': 0.5},), True)
    """
    states = [_state(run) for run in runs]
    main = states[0]
    race = tuple({key: getattr(each, key) for key in RACED if getattr(each, key) != getattr(main, key)} for each in states[1:])
    alike = all(replace(each, **{key: getattr(main, key) for key in RACED}) == main for each in states)
    return replace(main, race=race[:RIVALS]), alike and all(_says_all(run) for run in runs)


def _state(run: Run) -> State:
    return read({key: value for key, value in _settings(run) if _fits(key, value)})


def _says_all(run: Run) -> bool:
    """Whether a state can hold everything that made the run."""
    config, recipe = run.config, run.config.get("recipe") or {}
    made_with = MADE_WITH.get(recipe.get("name", ""), ())
    walked = run.ended == "diverged" or (run.ended == "steps" and len(run.trace) == config.get("steps"))
    # one seed is everything's in the lab: the problem's and the descent's
    seeds = "seed" not in made_with or recipe.get("seed", State.seed) == config.get("seed", State.seed)
    known = set(recipe) <= {"name", "at", *made_with}
    plain = all(config.get(key, usual) == usual for key, usual in PLAIN.items())
    return bool(recipe) and walked and seeds and known and plain and all(_fits(key, value) for key, value in _settings(run))


def _settings(run: Run) -> Iterator[tuple[str, Any]]:
    config, recipe = run.config, run.config.get("recipe") or {}
    name = recipe.get("name", "")
    yield "problem", name if name in names() else OWN
    yield from ((key, config[key]) for key in ("lr", "steps", "optimizer", "schedule", "seed") if key in config)
    yield from ((key, recipe[key]) for key in MADE_WITH.get(name, ()) if key in recipe and key != "seed")
    if "at" in recipe:
        yield "start", list(recipe["at"])
    size = config.get("batch_size")
    if size is not None:
        yield "batch", {"full": "full", 1: "single"}.get(size, "mini")
    if isinstance(size, int) and size > 1:
        yield "batch_size", size


def _fits(key: str, value: Any) -> bool:
    if key == "start" and len(value) > WEIGHTS:
        return False
    try:
        value_of(key, value)
    except Refused:
        return False
    return True
