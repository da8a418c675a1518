"""A training forced to begin at a hundred times the stable rate ends as the best constant rate does, which a grid of plain descents tells."""

import math

import pytest
import torch

from surefoot import Problem, descend, problems
from surefoot.training.train import train

FLOOR = 1e-6  # of the loss at the start, where float32 decides


def full_loss(problem, run):
    model = torch.nn.Module() if problem.data is None else problem.model
    if problem.data is None:
        return run.trace["loss"][-1]
    x, y = problem.data
    with torch.no_grad():
        return float(problem.loss(torch.func.functional_call(model, dict(run.weights), (x,)), y))


def best_constant(problem, rates, **settings):
    runs = [descend(problem, lr=lr, validate_every=settings["steps"], **settings) for lr in rates]
    return min(full_loss(problem, run) for run in runs if run.ended == "steps")


@pytest.mark.parametrize("curvatures", [(1.0, 4.0), (3.0,), (1.0, 10.0, 30.0)])
def test_a_bowl_from_a_hundred_times_its_limit(curvatures):
    """The limit of gradient descent is 2 / curvature; the best rate is 2 / (smallest + largest)."""
    limit = 2 / max(curvatures)
    bowl = problems.load("bowl", curvatures=curvatures)
    run = train(bowl, steps=400, optimizer="sgd", schedule="constant", lr=100 * limit)
    assert run.ended == "steps"
    assert run.config["lr"] < limit
    contraction = 1 - 2 / (1 + max(curvatures) / min(curvatures))
    start = sum(curvatures) / 2
    assert run.trace["loss"][-1] <= 2 * max(start * contraction ** (2 * 399), FLOOR * start)
    first = run.trace["attempt"] == 0
    assert run.trace["loss"][first].max() > 1e3 * start  # it did blow up


# Rates at which plain descents of these problems end no lower than they began, times 100 where the optimizer's own limit is lower still.
FORCED = [
    ("digits-linear", "sgd", 1e5, (1, 3, 10, 30)),
    ("digits-linear", "momentum", 3e4, (0.3, 1, 3)),
    ("digits-linear", "adamw", 750.0, (0.03, 0.1, 0.3)),
    ("digits-mlp", "sgd", 191.0, (0.2, 0.6, 1.0)),
    ("digits-mlp", "momentum", 56.0, (0.06, 0.2)),
    ("digits-mlp", "adamw", 19.0, (0.003, 0.01, 0.03)),
]


@pytest.mark.parametrize(("name", "optimizer", "lr", "grid"), FORCED)
def test_a_network_from_a_hundred_times_its_limit(name, optimizer, lr, grid):
    problem = problems.load(name)
    steps = 300 if name == "digits-linear" else 200
    settings = {"steps": steps, "optimizer": optimizer}
    run = train(problem, lr=lr, schedule="constant", validate_every=steps, **settings)
    assert run.ended == "steps"
    assert full_loss(problem, run) <= 2 * best_constant(problem, grid, **settings)
    assert len(run.config["report"]) >= 1
    assert run.trace["attempt"][-1] >= 1


def test_trouble_in_the_middle_goes_back_to_the_middle():
    """The curvature grows a hundredfold as the walk comes near: the rate that was fine at first no longer is."""

    def gorge(x):
        return torch.where(x[0] > 1, x[0] * 1.0, (x[0] ** 2 + 1) / 2) + 40 * torch.sigmoid(20 * (1.5 - x[0])) * x[1] ** 2

    problem = Problem.of(gorge, start=[10.0, 0.1])
    plain = descend(problem, lr=0.1, steps=300)
    assert not math.isfinite(plain.trace["loss"][-1]) or plain.trace["loss"][-1] > 2
    run = train(problem, steps=300, optimizer="sgd", schedule="constant", lr=0.1)
    assert run.ended == "steps"
    assert run.trace["loss"][-1] < 1.5
    again = run.trace["step"][run.trace["attempt"] == 1][0]
    assert 20 < again < 100
    assert run.config["lr"] < 0.1
    assert f"back to step {again}" in run.config["report"][0]


def test_mendings_are_bounded_and_the_best_state_is_returned():
    calls = 0

    def cursed(x):
        """Falls for a while, then is beyond repair, whatever the rate."""
        nonlocal calls
        calls += 1
        return (x**2).sum() * (1 if calls < 150 else torch.inf)

    run = train(Problem.of(cursed, start=[1.0, 1.0]), steps=400, optimizer="sgd", lr=1e-3, schedule="constant")
    assert run.ended == "diverged"
    assert sum("back to step" in line for line in run.config["report"]) == 8
    assert "8 mendings are used up" in run.config["report"][-1]
    assert all(torch.isfinite(value).all() for value in run.weights.values())
    assert run.weights["x"].abs().max() < 1
