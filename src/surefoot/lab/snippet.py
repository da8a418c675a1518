"""The same in Python?  State -> the lines that make what the page shows."""

from __future__ import annotations

from typing import Any

from surefoot.lab.chosen import MADE_WITH, WITH_BETA, WITH_MOMENTUM, Setup
from surefoot.lab.state import OWN, TABLE, State, rival

_CLASS = {"adam": "Adam", "adamw": "AdamW", "nadam": "NAdam", "adamax": "Adamax"}


def snippet(state: State, setup: Setup, steps: int, batches: bool, exact: bool) -> str:
    """Python code that descends what a page shows, draws it, and says what is happening.

    Args:
        state: what is set.
        setup: what the lab was started with.
        steps: as many as are walked.
        batches: whether the problem has samples to choose a batch of.
        exact: whether all weights can be shown, so that the surface is theirs.

    Example:
        >>> print(snippet(State(), Setup(), 200, True, True))
        import surefoot as sf
        <BLANKLINE>
        problem = sf.problems.load("line")
        run = sf.descend(problem, lr=0.1, steps=200)
        print(sf.diagnose(run, problem))
        sf.plot(run).figure.savefig("loss.png")
        sf.plot(sf.landscape(problem, run)).figure.savefig("landscape.png")
    """
    states = [state, *(rival(state, other) for other in state.race)]
    imports = ["import functools", "", "import torch"] if any(_changed(each) for each in states) else []
    calls = [_call(each, steps, batches) for each in states]
    if len(calls) == 1:
        walked, name = [f"run = {calls[0]}", "print(sf.diagnose(run, problem))"], "run"
    else:
        walked, name = ["runs = [", *(f"    {call}," for call in calls), "]"], "runs"
        walked += ["for run in runs:", "    print(sf.diagnose(run, problem))"]
    return "\n".join([
        *imports, "import surefoot as sf", "", *_problem(state, setup), *walked,
        f'sf.plot({name}).figure.savefig("loss.png")',
        f'sf.plot(sf.landscape(problem, {name}{"" if exact else ", resolution=21, data=512"})).figure.savefig("landscape.png")',
    ])  # fmt: skip


def _problem(state: State, setup: Setup) -> list[str]:
    at = f".at({list(state.start)!r})" if state.start else ""
    if state.problem == OWN:
        if setup.own_name:
            return [f"problem = sf.problems.load({_quoted(setup.own_name)}){at}"]
        return ["# problem is the one that this lab was opened with", *([f"problem = problem{at}"] if at else [])]
    if state.problem == TABLE:
        return [
            f'problem = sf.problems.load("points.csv"{_given("target", state.target, "")}){at}  # the table that was dropped here'
        ]
    options = "".join(_given(key, getattr(state, key), getattr(State, key)) for key in MADE_WITH.get(state.problem, ()))
    return [f"problem = sf.problems.load({_quoted(state.problem)}{options}){at}"]


def _call(state: State, steps: int, batches: bool) -> str:
    batch = {"own": None, "full": "full", "mini": state.batch_size, "single": 1}[state.batch] if batches else None
    optimizer = "" if state.optimizer == "sgd" else f", optimizer={_optimizer(state)}"
    rest = _given("schedule", state.schedule, "constant") + _given("batch_size", batch, None) + _given("seed", state.seed, 0)
    return f"sf.descend(problem, lr={state.lr!r}{optimizer}, steps={steps}{rest})"


def _optimizer(state: State) -> str:
    if not _changed(state):
        return _quoted(state.optimizer)
    if state.optimizer in WITH_MOMENTUM:
        nesterov = ", nesterov=True" if state.optimizer == "nesterov" else ""
        return f"functools.partial(torch.optim.SGD, momentum={state.momentum!r}{nesterov})"
    return f"functools.partial(torch.optim.{_CLASS[state.optimizer]}, betas=({state.momentum!r}, 0.999))"


def _changed(state: State) -> bool:
    """Whether the momentum is not the usual one."""
    return state.momentum != State.momentum and state.optimizer in WITH_MOMENTUM | WITH_BETA


def _given(name: str, value: Any, default: Any) -> str:
    return "" if value == default else f", {name}={_quoted(value) if isinstance(value, str) else repr(value)}"


def _quoted(text: str) -> str:
    """A literal of Python, in double quotes where that can be."""
    return f'"{text}"' if text.isprintable() and '"' not in text and "\\" not in text else repr(text)
