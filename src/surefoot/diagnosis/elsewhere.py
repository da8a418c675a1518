"""Is there a lower place than this?  run + problem -> descents at other rates and from places around, and the lowest of their ends."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.descent.path import flattened
from surefoot.descent.snapshot import World
from surefoot.diagnosis.forks import walkable
from surefoot.diagnosis.ground import Ground
from surefoot.problem import Problem, trainable
from surefoot.run import Run
from surefoot.surfaces.replay import hindrance, replayed
from surefoot.trace import Column

FASTER = (2.0, 4.0, 8.0)  # times the run's rate, from the run's start
KICKS = (0.5, 1.0, 2.0)  # of the way that the run made, or of the length of the weights, whichever is more
DIRECTIONS = 4
AFRESH = 2  # starts as the layers themselves draw them
LONGEST = 500  # steps of each descent
LARGE = 100_000  # weights: above, one kick of each size


@dataclass(frozen=True)
class Elsewhere:
    """The lowest end of the descents that were tried.

    Attributes:
        loss: there.
        rate: what led there from the run's own start; None if it was another start.
        start: the weights that led there at the run's own rate; None if it was another rate.
        gradients: evaluations spent.
    """

    loss: float
    rate: float | None
    start: Mapping[str, Tensor] | None
    gradients: int


def elsewhere(problem: Problem, run: Run, ground: Ground, begin: Column, end: Column) -> Elsewhere | None:
    """Descents at higher rates from the run's start, and at its own rate from places around its end; None where its settings cannot be taken up."""
    if not walkable(run) or hindrance(run):
        return None
    lr = float(run.config["lr"])
    size = max(float(np.linalg.norm(end - begin)), float(np.linalg.norm(end)), 1e-2)
    directions = 1 if len(end) > LARGE else DIRECTIONS
    anew = _anew(problem, int(run.config.get("seed") or 0))
    kicked = [end + kick * size * ground.direction() for kick in KICKS for _ in range(directions)] + anew
    rates = [lr * times for times in FASTER] + [lr] * len(kicked)
    starts = np.vstack([*([begin] * len(FASTER)), *kicked])
    shorter = replace(run, config={**run.config, "steps": min(int(run.config["steps"]), LONGEST), "validate_every": None})
    ends = replayed(problem, shorter, rates, torch.as_tensor(starts))
    losses = np.where(ends.walked, ground.losses(np.where(np.isfinite(ends.points), ends.points, end)), np.inf)
    losses[~np.isfinite(ends.points).all(axis=1)] = np.inf
    best = int(np.argmin(losses))
    by_rate = best < len(FASTER)
    start = None if by_rate else state_at(problem, run, starts[best])
    return Elsewhere(float(losses[best]), rates[best] if by_rate else None, start, ends.gradients)


def _anew(problem: Problem, seed: int) -> list[Column]:
    """The weights that the model's layers draw when they are made; none where they do not say how."""
    rows = []
    for drawn in range(seed + 1, seed + 1 + AFRESH):
        model = copy.deepcopy(problem.model)
        with World.seeded(drawn).entered():
            for module in model.modules():
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
        row = flattened([p.detach() for p in trainable(model).values()])
        if not torch.equal(row, flattened([p.detach() for p in trainable(problem.model).values()])):
            rows.append(row.double().cpu().numpy())
    return rows


def state_at(problem: Problem, run: Run, row: Column) -> dict[str, Any]:
    """The state dict of the model with these trainable weights."""
    model = copy.deepcopy(problem.model)
    model.load_state_dict(dict(run.weights))
    parameters = list(trainable(model).values())
    nn.utils.vector_to_parameters(torch.as_tensor(row).to(parameters[0]), parameters)
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
