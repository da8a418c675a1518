"""What is happening to a descent, and what is to be changed?  run or trace, and the problem where it is at hand -> Diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from surefoot.descent.path import flattened
from surefoot.descent.ranks import together
from surefoot.diagnosis.diagnosis import Diagnosis
from surefoot.diagnosis.examine import examine
from surefoot.diagnosis.finding import Finding, Measured
from surefoot.diagnosis.led import Many, led
from surefoot.diagnosis.reading import Reading, read
from surefoot.diagnosis.stages import stages
from surefoot.diagnosis.symptoms import SYMPTOMS
from surefoot.diagnosis.verdicts import confidence
from surefoot.errors import SettingError
from surefoot.problem import Problem, trainable
from surefoot.run import Path, Run
from surefoot.trace import Trace


def diagnose(
    run: Run | Trace,
    problem: Problem | None = None,
    *,
    optimizer: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Diagnosis:
    """Says what is happening to a descent, with evidence, and what to change.

    From a trace alone it says what the rows can show: they cannot tell a minimum from a better one elsewhere, nor from a saddle. With the
    problem it measures: it goes on from the run's end at a tenth of the rate, at it and at three times, on the same batches (the fork test, which
    decides), holds the gradient against differences of the loss, and where the loss stands, looks at the curvature and around. That costs some
    hundred gradients (docs/verdicts.md), of long runs a small part. Nothing of the problem or the run is changed.

    Args:
        run: a finished run, or a trace: of `watch`, of `read_log`, of a run that still goes on.
        problem: what was descended. With a trace, its model must stand where the trace ended.
        optimizer: of the loop that a trace tells of, by name (default ``"adamw"``); a run knows its own.
        progress: a function to call between the measurements on the problem: with the stage, how many come before it, and how many there are.
            What it raises ends the diagnosis and comes out.

    Returns:
        `Diagnosis`: one of the verdicts ``converged``, ``descending``, ``edge-of-stability`` (healthy), ``too-small``, ``oscillating``,
        ``noise-limited``, ``diverging``, ``overflow``, ``local-minimum``, ``saddle``, ``plateau``, ``spiking``, ``broken``, ``overfitting``, or
        ``unsure``. How often they are right is measured in docs/verdicts.md.

    Raises:
        SettingError: the first argument is neither a run nor a trace, or the second no problem.
        ProblemError: the problem's loss cannot be computed.

    Example:
        >>> from surefoot import descend, problems
        >>> line = problems.load("line")
        >>> found = diagnose(descend(line, lr=10, steps=100), line)
        >>> found.verdict, found.remedy.setting, 0.3 < found.remedy.value < 0.79
        ('overflow', 'lr', True)
    """
    if not isinstance(run, Run | Trace):
        raise SettingError(
            f"diagnose takes a Run or a Trace, got a {type(run).__name__}. surefoot.read_log reads the logs of other tools."
        )
    if problem is not None and not isinstance(problem, Problem):
        raise SettingError(f"The second argument must be the Problem that was descended, got a {type(problem).__name__}.")
    with together(problem) as problem:
        return led(problem, run, partial(_diagnosed, run, optimizer, progress))


def _diagnosed(
    run: Run | Trace,
    optimizer: str | None,
    progress: Callable[[str, int, int], None] | None,
    problem: Problem | None,
    many: Many,
    processes: int,
) -> Diagnosis:
    trace, config = (run.trace, dict(run.config)) if isinstance(run, Run) else (run, {})
    if optimizer is not None:
        config["optimizer"] = optimizer
    reading = read(trace, config)
    if problem is None or (reading.unfit and reading.lost_at is None):
        return told(Measured(reading, None, config))
    if not isinstance(run, Run):
        run = _as_run(run, problem, config, reading)
    tell = stages(progress)
    seen = examine(problem, run, reading, tell, many)
    seen = replace(seen, noise=seen.noise / processes)  # it is measured on batches of one, and a step is the mean over all
    found = told(Measured(reading, seen, run.config))
    tell("the verdict")
    return found


def told(seen: Measured) -> Diagnosis:
    """What the first symptom that is there says."""
    finding = next((found for found in (symptom(seen) for symptom in SYMPTOMS) if found is not None), None) or _unsure(seen)
    found = seen.examination
    basis = "trace" if found is None else "problem"
    forks = found.forks if found is not None else None
    return Diagnosis(
        verdict=finding.verdict,
        confidence=confidence(finding.verdict, basis),
        evidence=finding.evidence,
        remedy=finding.remedy,
        told=finding.told,
        basis=basis,
        gradients=0 if found is None else found.gradients,
        forks={} if forks is None else {forks.rate * times: losses for times, losses in sorted(forks.losses.items())},
        words={"picture": finding.picture, "formula": finding.formula},
    )


def _unsure(seen: Measured) -> Finding:
    why = seen.reading.unfit or "what was measured fits none of the verdicts clearly"
    more = (
        "" if seen.examination is not None or seen.reading.unfit else " With the problem at hand, diagnose(run, problem) measures."
    )
    picture = "There is too little to see here, or the signs contradict each other. A guess would be no help."
    return Finding("unsure", f"Nothing certain can be said: {why}.{more}", (), None, picture, "")


def _as_run(trace: Trace, problem: Problem, config: Mapping[str, Any], seen: Reading) -> Run:
    """The end of somebody else's loop, as far as the trace and the model tell."""
    model = problem.model
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    row = flattened([p.detach() for p in trainable(model).values()])
    settings = {
        "optimizer": "adamw",
        "seed": 0,
        "batch_size": problem.batch_size,
        "schedule": "constant",
        **config,
        "lr": seen.rate,
        "steps": len(trace),
    }
    ended = "diverged" if seen.lost_at is not None else "steps"
    return Run(trace, weights, Path(np.array([len(trace)]), torch.stack([row])), ended, settings, {})  # type: ignore[arg-type]
