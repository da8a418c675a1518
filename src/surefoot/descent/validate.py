"""How good are the weights on held-out data?  model + data -> mean loss, without a footprint in modes, random state or weights."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.optim import Optimizer

from surefoot.descent.batches import Source, samples
from surefoot.descent.snapshot import random_state, set_random_state
from surefoot.problem import Problem


@contextlib.contextmanager
def evaluating(model: nn.Module, optimizer: Optimizer | None = None) -> Iterator[None]:
    """Inside, the model is as it would be deployed; afterwards modes, weights and random state are bitwise what they were.

    An optimizer that keeps the deployed weights apart (``optimizer.eval()``, as schedulefree's do) is asked for them.
    """
    modes = [(module, module.training) for module in model.modules()]
    outside = random_state()
    averaged = optimizer is not None and callable(getattr(optimizer, "eval", None))
    kept = copy.deepcopy(model.state_dict()) if averaged else None
    try:
        if averaged:
            optimizer.eval()  # type: ignore[union-attr]
        model.eval()
        yield
    finally:
        if averaged:
            optimizer.train()  # type: ignore[union-attr]
            assert kept is not None
            model.load_state_dict(kept)  # going there and back rounds
        for module, training in modes:
            module.training = training
        set_random_state(outside)


def mean_loss(problem: Problem, model: nn.Module, data: Source) -> float:
    """The loss over all batches, each weighted by its samples: the mean, if the loss function averages over samples."""
    total, weight = summed_loss(problem, model, data)
    return total / weight if weight else float("nan")


@torch.no_grad()
def summed_loss(problem: Problem, model: nn.Module, data: Source) -> tuple[float, float]:
    """The sum of the losses of all batches, each times its samples; and how many samples there are."""
    total = weight = 0.0
    for batch in data.epoch(0, 0):
        size = samples(batch)
        total += float(problem.loss_on(model, batch)) * size
        weight += size
    return total, weight
