"""What else is measured on the way, and when?  a moment of the descent -> one more column of the trace."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.descent.batches import validation_source
from surefoot.descent.ranks import alone
from surefoot.descent.validate import evaluating
from surefoot.errors import SettingError
from surefoot.problem import Problem
from surefoot.run import Run


@dataclass(frozen=True)
class Moment:
    """What a probe may look at; it must leave all of it as it is.

    Attributes:
        step: index of the step.
        problem: what is descended.
        model: the copy that is being trained.
        optimizer: its optimizer.
        batches: the batches of this step (one, unless gradients are accumulated).
        loss: the loss of this step.
        weights_before: the trainable weights before the update, one tensor per parameter that gets a gradient (only after the update).
        gradients: the gradients of this step, after clipping, beside ``weights_before``.
    """

    step: int
    problem: Problem
    model: nn.Module
    optimizer: Optimizer
    batches: Sequence[Any]
    loss: float
    weights_before: Sequence[Tensor] = field(default=())
    gradients: Sequence[Tensor] = field(default=())


@dataclass(frozen=True)
class Probe:
    """One more column of the trace.

    Args:
        name: of the column.
        measure: the number at a moment of the descent.
        every: steps between two measurements (NaN in between).
        after: measure after the update rather than before it.
    """

    name: str
    measure: Callable[[Moment], float]
    every: int = 1
    after: bool = False


def weight(name: str, index: int = 0, *, every: int = 1) -> Probe:
    """The value of one weight before the update: entry ``index`` of the flattened parameter ``name``.

    Example:
        >>> from surefoot import Problem, descend
        >>> run = descend(Problem.of(lambda x: (x**2).sum(), start=[1.0]), lr=0.25, steps=3, probes=[weight("x")])
        >>> run.trace["x"].tolist()
        [1.0, 0.5, 0.25]
    """

    def measure(moment: Moment) -> float:
        return float(moment.model.get_parameter(name).detach().reshape(-1)[index])

    return Probe(f"{name}[{index}]" if index else name, measure, every)


def accuracy(data: Any = None, *, every: int = 20) -> Probe:
    """The share of samples whose largest output is at the target class, after the update, in evaluation mode.

    Args:
        data: any form of classified data; None for the problem's validation data.
        every: steps between two measurements.
    """
    return Probe("accuracy", lambda moment: _accuracy(moment.problem, moment.model, data), every, after=True)


def accuracy_of(problem: Problem, run: Run, data: Any = None) -> float:
    """The share of samples that a finished run classifies rightly.

    Args:
        problem: what was descended.
        run: the run whose weights are judged.
        data: any form of classified data; None for the problem's validation data.

    Example:
        >>> from surefoot import descend, problems
        >>> digits = problems.load("digits-linear")
        >>> accuracy_of(digits, descend(digits, lr=0.5, steps=200)) > 0.9
        True
    """
    model = copy.deepcopy(alone(problem).model)
    model.load_state_dict(dict(run.weights))
    return _accuracy(problem, model, data)


def _accuracy(problem: Problem, model: nn.Module, data: Any) -> float:
    parameter = next(model.parameters())
    held_out = problem.validation if data is None else data
    if held_out is None:
        raise SettingError("The problem has no validation data to measure accuracy on; give data=.")
    hits = count = 0
    with evaluating(model), torch.no_grad():
        for inputs, targets in validation_source(held_out, parameter.device, parameter.dtype).epoch(0, 0):
            hits += int((model(inputs).argmax(-1) == targets).sum())
            count += targets.numel()
    return hits / count if count else float("nan")
