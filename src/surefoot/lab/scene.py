"""What does the page show of a descent?  State + runs -> the message "scene": every step of every racer as numbers, and the pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from surefoot.diagnosis.diagnose import diagnose
from surefoot.diagnosis.diagnosis import DEPTHS, Diagnosis
from surefoot.figures.layers import Band, Layer, Line, Marks, Points
from surefoot.figures.marks import marks
from surefoot.figures.pictures.landscape import PATHS, STYLES
from surefoot.figures.pictures.loss import loss_picture
from surefoot.figures.pictures.series import labels_of, series_of
from surefoot.figures.scales import number
from surefoot.lab import chosen, panes
from surefoot.lab.snippet import snippet
from surefoot.lab.state import FIELDS, RACED, State, plain, rival
from surefoot.lab.wire import picture
from surefoot.problem import Problem
from surefoot.problems import describe, names
from surefoot.run import Run

Picture: TypeAlias = Mapping[str, Any]

SLOW = 5.0  # seconds of descending: from there on the page measures nothing more before it is asked to
SEEN_ONLY = {field.key for field in FIELDS if field.seen_only}


@dataclass(frozen=True)
class Racer:
    """A descent on the page: what was asked for, and what came of it."""

    state: State
    run: Run


def racing(state: State) -> list[State]:
    """The states of all racers, the main one first."""
    return [rival(state, {}), *(rival(state, other) for other in state.race)]


def key_of(state: State, problem: Problem, *, of: str) -> str:
    """A text that is the same as long as the ``"data"``, the ``"surface"``, the ``"rates"``, the ``"verdict"`` need not be made anew."""
    values = {key: value for key, value in plain(state).items() if key not in SEEN_ONLY}
    left_out: set[str] = set()
    if of == "data" or (of == "surface" and chosen.count_of(problem) <= 2):
        left_out = {*RACED, "race", "steps"} | ({"seed"} if state.problem != "line" else set())
    elif of == "rates":
        left_out = {"lr", "race"}
    return json.dumps({key: value for key, value in values.items() if key not in left_out}, sort_keys=True)


def scene(
    racers: Sequence[Racer], problem: Problem, state: State, setup: chosen.Setup, *, partial: bool = False, exact: bool = True,
    verdicts: Sequence[Diagnosis] | None = None, notes: Sequence[str] = (), data: Picture | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The message.

    Args:
        racers: the main descent first; of a partial scene those that have begun.
        problem: what they descend.
        state: of the page.
        setup: what the lab was started with.
        partial: more is to come.
        exact: the descents are those of `surefoot.descend`, bit for bit.
        verdicts: what is known about each; None: what its trace tells.
        notes: what else is to be said.
        data: the picture of the data, where it is at hand.
    """
    runs = [racer.run for racer in racers]
    known = verdicts if verdicts is not None else [None if partial else diagnose(run) for run in runs]
    labels = labels_of([run.config for run in runs]) if len(runs) > 1 else [f"lr {number(runs[0].config['lr'])}"]
    steps = min(state.steps, chosen.most_steps(problem))
    batches, whole = chosen.has_samples(problem), chosen.count_of(problem) <= 2
    return {
        "kind": "scene",
        "partial": partial,
        "exact": exact,
        "state": plain(state),
        "notes": [*_notes(state, steps), *notes],
        "keys": {of: key_of(state, problem, of=of) for of in ("data", "surface", "rates", "verdict")},
        "problem": described(problem, state),
        "racers": [raced(*each, problem, place, partial) for place, each in enumerate(zip(racers, labels, known, strict=True))],
        "slow": sum(float(run.trace["seconds"][-1]) for run in runs if len(run.trace)) > SLOW,
        "pictures": {"loss": picture(_losses(runs)), "data": data if data is not None else panes.data(problem)},
        "field": None if partial else panes.field(problem, runs[0]),
        "samples": None if partial else panes.samples(problem, runs),
        "code": snippet(state, setup, steps, batches, whole),
    }


def _losses(runs: Sequence[Run]) -> Marks:
    """The loss curves, in the colours and strokes that the racers have in all panes."""
    made = loss_picture(runs)
    known = {each.colour: look(place) for place, each in enumerate(series_of(runs))}
    return replace(made, layers=tuple(_recoloured(layer, known) for layer in made.layers))


def _recoloured(layer: Layer, known: Mapping[Any, tuple[str, str]]) -> Layer:
    colour, style = known.get(getattr(layer, "colour", None), ("", ""))
    if isinstance(layer, Line) and colour:
        return replace(layer, colour=colour, style=layer.style if layer.faint else style)
    if isinstance(layer, Band | Points) and colour:
        return replace(layer, colour=colour)
    return layer


def look(place: int) -> tuple[str, str]:
    """Colour and stroke of a racer."""
    return PATHS[place % len(PATHS)], STYLES[place % len(STYLES)]


def described(problem: Problem, state: State) -> dict[str, Any]:
    """What the page has to know about the problem."""
    weights = chosen.count_of(problem)
    return {
        "name": state.problem,
        "title": problem.called,
        "line": describe(state.problem) if state.problem in names() else problem.source.partition("\n")[0],
        "source": problem.source.partition("\n")[0],
        "weights": weights,
        "names": chosen.weight_names(problem),
        "start": panes.start_of(problem) if weights <= 2 else [],
        "minima": [list(each) for each in problem.answer.minima] if problem.answer is not None and weights <= 2 else [],
        "dims": weights if weights <= 2 else 0,
        "samples": chosen.samples_of(problem),
        "loss": panes.convention(problem),
        "batches": chosen.has_samples(problem),
        "uses": uses(problem, state),
        "most_steps": chosen.most_steps(problem),
        "slider": list(chosen.SLIDER),
        "limits": chosen.limits_of(state, problem),
    }


def uses(problem: Problem, state: State) -> list[str]:
    """The keys that matter for this problem as it is set."""
    keys = ["problem", "lr", "steps", "optimizer", "schedule", "seed", "race"]
    keys += ["momentum"] if state.optimizer in chosen.WITH_MOMENTUM | chosen.WITH_BETA else []
    if chosen.has_samples(problem):
        keys += ["batch", *(["batch_size"] if state.batch == "mini" else [])]
    keys += [key for key in chosen.MADE_WITH.get(state.problem, ()) if key not in keys]
    keys += ["start"] if chosen.count_of(problem) <= 2 else []
    return [*keys, *(["target"] if state.problem == "table" else [])]


UNDER_WAY: Mapping[str, Any] = {
    "verdict": "unsure", "ill": False, "confidence": 0.0, "title": "On its way", "told": "The verdict comes at the end.", "basis": "trace",
    **dict.fromkeys(DEPTHS, "The verdict comes at the end."), "evidence": [], "remedy": None,
}  # fmt: skip


def verdict(found: Diagnosis | None) -> Mapping[str, Any]:
    """A diagnosis as a part of a message, at all three depths; None: the descent goes on."""
    if found is None:
        return UNDER_WAY
    remedy = found.remedy
    return {
        "verdict": found.verdict,
        "ill": found.ill,
        "confidence": found.confidence,
        "title": found.explain("basic").splitlines()[0].rstrip("."),
        "told": found.told,
        "basis": found.basis,
        **{depth: found.explain(depth) for depth in DEPTHS},
        "evidence": [{"quantity": each.quantity, "value": each.value, "threshold": each.threshold, "source": each.source}
                     for each in found.evidence],
        "remedy": None if remedy is None else {"text": remedy.text, "setting": remedy.setting, "value": remedy.value},
    }  # fmt: skip


def judged(found: Sequence[Diagnosis], key: str) -> dict[str, Any]:
    """The message "verdicts": what was measured on the problem about each racer."""
    forks = [picture(marks(each)) if each.forks else None for each in found]
    return {"kind": "verdicts", "key": key, "verdicts": [verdict(each) for each in found], "forks": forks}


def told(run: Run, problem: Problem | None) -> str:
    """How a descent went, in a line; of one that diverged also why, where that is known."""
    rate, steps = float(run.config["lr"]), len(run.trace)
    limit = problem.answer.stability_limit if problem is not None and problem.answer is not None else None
    plain_descent = run.config.get("optimizer") == "sgd" and run.config.get("batch_size") in (None, "full")
    above = f": {number(rate)} is above the stability limit {number(limit)}" if limit and plain_descent and rate > limit else ""
    if run.ended == "diverged":
        return f"diverged at step {run.diverged_at:,}{above}"
    losses = run.trace["loss"]
    first, last = float(losses[0]), float(losses[-1])
    grown = above if last > first else ""
    return f"{steps:,} step{'s' * (steps != 1)}: loss {number(first)} to {number(last)}{grown}"


def raced(
    racer: Racer, label: str, found: Diagnosis | None, problem: Problem | None, place: int, partial: bool = False
) -> dict[str, Any]:
    """One racer of the message; without its problem what the trace tells of it."""
    run, trace = racer.run, racer.run.trace
    measured = np.isfinite(trace["validation_loss"]).any()
    finals = trace.finite["loss"]
    return {
        "label": label,
        "colour": look(place)[0],
        "style": look(place)[1],
        **{key: getattr(racer.state, key) for key in ("lr", "optimizer", "batch")},
        "samples_per_step": _per_step(run, problem),
        "ended": run.ended,
        "diverged_at": run.diverged_at,
        "told": told(run, problem),
        "rows": len(trace),
        "loss": trace["loss"],
        "rate": trace["lr"],
        "grad_norm": trace["grad_norm"],
        "update_norm": trace["update_norm"],
        "validation": trace["validation_loss"] if measured else None,
        "seconds": float(trace["seconds"][-1]) if len(trace) else math.nan,
        "final": float(finals[-1]) if len(finals) else None,
        **({"path": None, "rule": None, "fit": None} if partial or problem is None else panes.walked(problem, run)),
        "verdict": verdict(found),
    }


def _per_step(run: Run, problem: Problem | None) -> int:
    size, samples = run.config.get("batch_size"), chosen.samples_of(problem) if problem is not None else 0
    return samples if size == "full" else min(int(size), samples or int(size)) if size is not None else min(64, samples)


def _notes(state: State, steps: int) -> list[str]:
    if state.steps <= steps:
        return []
    return [
        f"{state.steps:,} steps were asked for; of this problem the lab walks at most {steps:,}. surefoot descend takes any number."
    ]
