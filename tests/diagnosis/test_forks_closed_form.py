"""Forks and the largest stable rate, against closed forms on quadratics and a planted order of the data."""

import copy
import math

import numpy as np
import pytest
import torch

import surefoot as sf
from surefoot.diagnosis.forks import climbed, forked, length
from surefoot.diagnosis.stable import largest_stable
from tests.diagnosis.planted import quadratic, regression

CURVATURES = np.array([0.5, 2.0, 5.0])


def by_hand(rate, steps, start=1.0):
    """The losses of plain descent on the quadratic."""
    w = start * (1 - rate * CURVATURES) ** np.arange(steps)[:, None]
    return (CURVATURES * w**2 / 2).sum(axis=1)


def descended(lr=0.05, steps=80, **settings):
    problem = quadratic(*CURVATURES)
    return problem, sf.descend(problem, lr=lr, steps=steps, **{"optimizer": "sgd", **settings})


# ---- forks


@pytest.mark.parametrize("from_the_end", [True, False])
def test_losses_of_each_fork(from_the_end):
    problem, run = descended()
    forks = forked(problem, run, 0.05, run if from_the_end else None, times=(0.1, 1.0, 3.0, 8.5), steps=25)
    start = (1 - 0.05 * CURVATURES) ** 80 if from_the_end else 1.0
    assert set(forks.losses) == {0.1, 1.0, 3.0, 8.5}
    for times, losses in forks.losses.items():
        assert losses == pytest.approx(by_hand(0.05 * times, 25, start), rel=1e-9)
        assert forks.level(times) == pytest.approx(by_hand(0.05 * times, 25, start)[-6:].mean(), rel=1e-9)
        assert forks.points[times][-1] == pytest.approx(start * (1 - 0.05 * times * CURVATURES) ** 25, rel=1e-9)
    assert forks.gradients >= 4 * 25


def test_momentum_is_taken_along():
    problem, run = descended(optimizer="momentum", lr=0.02, steps=40)
    forks = forked(problem, run, 0.02, run, steps=30)
    straight = descended(optimizer="momentum", lr=0.02, steps=70)[1]
    assert forks.losses[1.0] == pytest.approx(straight.trace["loss"][40:], rel=1e-9)


def test_better_and_best():
    problem, run = descended()
    forks = forked(problem, run, 0.05, None, times=(0.1, 1.0, 3.0), steps=20)
    expected = (by_hand(0.05, 20) - by_hand(0.15, 20))[-5:].mean()
    assert forks.better(3.0)[0] == pytest.approx(expected, rel=1e-9)
    assert forks.better(0.1)[0] < 0
    assert forks.best == 3.0


def test_forks_of_a_diverging_rate_are_infinite():
    problem = quadratic(1.0, dtype=torch.float32)
    run = sf.descend(problem, lr=0.5, steps=20, optimizer="sgd")
    forks = forked(problem, run, 0.5, None, times=(1.0, 1e6), steps=20)
    assert np.isfinite(forks.losses[1.0]).all()
    first = int(np.argmax(np.isinf(forks.losses[1e6])))
    assert 0 < first < 8  # a factor of 5e5 per step, squared: beyond 3e38 after four
    assert np.isinf(forks.losses[1e6][first:]).all()
    assert math.isinf(forks.level(1e6))
    assert forks.better(1e6) == (-math.inf, 0.0)
    assert forks.best == 1.0


def test_the_run_stays_as_it_is():
    problem = regression()
    run = sf.descend(problem, lr=0.02, steps=40, optimizer="momentum")
    before = copy.deepcopy(run)
    weights = copy.deepcopy(problem.model.state_dict())
    climbed(problem, run, forked(problem, run, 0.02, run), run)
    assert run.trace == before.trace
    assert all(torch.equal(run.weights[name], before.weights[name]) for name in before.weights)
    assert torch.equal(run.path.weights, before.path.weights)
    assert same(dict(run.state), dict(before.state))
    assert same(weights, problem.model.state_dict())


def same(a, b):
    if isinstance(a, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor | np.ndarray):
        return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
    return bool(a == b)


def told_by_batches(count=40):
    """A problem whose loss tells which samples are in the batch, whatever the weights are."""
    x = 2.0 ** torch.arange(count, dtype=torch.float64)

    def objective(model, batch):
        return batch[0].mean() + 1e-9 * model.weight.sum()

    model = torch.nn.Linear(1, 1, bias=False).double()
    return sf.Problem(model, (x, x), objective=objective, batch_size=4)


def test_all_rates_see_the_batches_that_the_run_would_have_seen():
    problem = told_by_batches()
    run = sf.descend(problem, lr=0.01, steps=23, optimizer="sgd", seed=3)
    longer = sf.descend(problem, lr=0.01, steps=48, optimizer="sgd", seed=3).trace["loss"][23:]
    forks = forked(problem, run, 0.01, run, steps=25)
    for losses in forks.losses.values():
        assert losses == pytest.approx(longer, rel=1e-6)
    assert len(set(np.round(longer, 3))) > 10  # the batches differ


def test_climbs_as_long_as_higher_is_better():
    problem, run = descended(lr=1e-4, steps=40)
    forks = climbed(problem, run, forked(problem, run, 1e-4, None), None)
    ends = {times: by_hand(1e-4 * times, forks.steps + 1)[-1] for times in forks.losses}
    assert forks.best == min(ends, key=ends.get)
    assert 300 <= forks.best <= 3000  # 2 / (0.5 + 5) is best for both ends, 0.4 the limit
    assert max(forks.losses) > forks.best


@pytest.mark.parametrize(("rows", "steps"), [(8, 20), (400, 50), (10**5, 200)])
def test_length(rows, steps):
    _, run = descended(steps=8)
    longer = sf.Trace({name: np.resize(run.trace[name], rows) for name in run.trace.columns})
    assert length(sf.Run(longer, run.weights, run.path, "steps", run.config)) == steps


# ---- the largest stable rate


@pytest.mark.parametrize("curvature", [0.03, 1.0, 700.0])
@pytest.mark.parametrize(("optimizer", "limit"), [("sgd", 2.0), ("momentum", 2 + 2 * 0.9)])
@pytest.mark.parametrize("beyond", [1.3, 30.0, 5000.0])
def test_largest_stable_rate_of_a_quadratic(curvature, optimizer, limit, beyond):
    problem = quadratic(curvature)
    run = sf.descend(problem, lr=beyond * limit / curvature, steps=100, optimizer=optimizer)
    stable, spent = largest_stable(problem, run)
    assert 2**-0.25 * 0.99 < stable * curvature / limit < 1.0 + 1e-9 or optimizer == "momentum"
    if optimizer == "momentum":  # within a hundred steps the transient of a rate just below the limit has not died away
        assert 2**-0.75 < stable * curvature / limit < 1.0 + 1e-9
    assert spent > 0


def test_no_rate_is_stable_where_the_loss_rises_at_any():
    problem = sf.Problem.of(lambda w: -(w**2).sum() + 2 * (w**2).sum().detach(), start=[1.0])
    run = sf.descend(problem, lr=0.5, steps=50, optimizer="sgd")
    stable, _ = largest_stable(problem, run)
    assert math.isnan(stable)
