"""Noise, curvature, lower places and dead weights, against what was planted."""

import numpy as np
import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot.diagnosis.elsewhere import elsewhere
from surefoot.diagnosis.examine import examine
from surefoot.diagnosis.ground import Ground
from surefoot.diagnosis.reading import read
from tests.diagnosis.planted import quadratic, regression, run, tilted


def examined(problem, **settings):
    made = sf.descend(problem, **{"optimizer": "sgd", "steps": 100, **settings})
    return examine(problem, made, read(made.trace, made.config)), made


# ---- the noise of a step


@pytest.mark.parametrize("batch", [4, 32])
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_noise_of_a_step_with_a_known_covariance(batch, spread):
    """The gradient of the mean of w.x is the mean of x: its covariance is that of x over the batch."""
    random = np.random.default_rng(0)
    mean = random.standard_normal(400)
    scales = spread * np.linspace(0.5, 1.5, 400)
    x = torch.as_tensor(mean + scales * random.standard_normal((1024, 400)))
    model = nn.Linear(400, 1, bias=False).double()
    problem = sf.Problem(model, (x, x), objective=lambda m, b: m(b[0]).mean(), batch_size=batch)
    found, _ = examined(problem, lr=1e-3, steps=16)
    assert found.noise == pytest.approx((scales**2).sum() / batch / (mean**2).sum(), rel=0.25)


def test_the_same_batch_over_and_over_has_no_noise():
    x = torch.ones(64, 3)
    problem = regression(loss=None, objective=lambda m, b: (m(b[0] * 0 + 1) ** 2).mean()).with_(data=(x, x[:, :1]))
    found, _ = examined(problem, lr=1e-3, steps=16)
    assert found.noise == pytest.approx(0, abs=1e-6)


# ---- curvature


def rotated(curvatures):
    """A pass in five directions: the first curves downwards, and rises again far out."""
    size = len(curvatures)
    turn, _ = np.linalg.qr(np.random.default_rng(4).standard_normal((size, size)))
    axes, each = torch.as_tensor(turn), torch.tensor(curvatures, dtype=torch.float64)

    def loss(w):
        along = axes.T @ w
        return (each * along**2).sum() / 2 + along[0] ** 4 / 4

    start = turn @ np.array([0.0, *np.ones(size - 1)])
    return sf.Problem.of(loss, start=torch.as_tensor(start)), turn


def test_both_ends_of_the_spectrum_at_a_saddle():
    problem, turn = rotated([-0.5, 1.0, 2.0, 3.0, 4.0])
    found, made = examined(problem, lr=0.3, steps=60)  # more, and rounding would have left the ridge
    assert found.still
    assert found.smallest == pytest.approx(-0.5, rel=0.02)
    assert found.largest == pytest.approx(4, rel=0.02)
    nudged = turn.T @ found.nudged["x"].double().numpy()
    assert np.abs(nudged[0]) > 10 * np.abs(nudged[1:]).max()  # along the first axis

    def by_hand(along):
        return (np.array([-0.5, 1, 2, 3, 4]) * along**2).sum() / 2 + along[0] ** 4 / 4

    end = turn.T @ made.weights["x"].double().numpy()
    assert by_hand(nudged) < by_hand(end)
    assert found.down == pytest.approx(by_hand(end) - by_hand(nudged), rel=1e-6)


def test_a_nudge_from_the_ridge_leads_down():
    problem, made = run("saddle")
    found = examine(problem, made, read(made.trace, made.config))
    x, y = found.nudged["x"].tolist()
    assert found.smallest == pytest.approx(-1, rel=0.02)
    assert x**2 / 2 + (y**2 - 1) ** 2 / 4 < 0.25
    assert abs(y) > abs(x)


@pytest.mark.parametrize("lr", [0.1, 0.45])
def test_limit_and_alpha_on_a_quadratic(lr):
    found, _ = examined(quadratic(4.0), lr=lr, steps=10)
    assert found.largest == pytest.approx(4, rel=0.01)
    assert found.limit == pytest.approx(0.5, rel=0.01)
    assert found.alpha == pytest.approx(4 * lr - 1, abs=1e-3)


def test_losses_and_lengths():
    found, made = examined(quadratic(1.0, 3.0), lr=0.05, steps=40)
    end = (1 - 0.05 * np.array([1.0, 3.0])) ** 40
    assert found.begin == pytest.approx(2.0)
    assert found.loss == pytest.approx((np.array([1, 3]) * end**2).sum() / 2, rel=1e-6)
    assert found.gradient == pytest.approx(np.linalg.norm([1, 3] * end), rel=1e-6)
    assert found.uphill == pytest.approx(-1)
    assert found.course == pytest.approx(made_course(made), rel=1e-6)


def made_course(made):
    picked = np.unique(np.linspace(0, len(made.path) - 1, 48).round().astype(int))
    points = np.asarray(made.path)[picked]
    return (np.array([1, 3]) * points**2).sum(axis=1) / 2


def test_steps_up_the_gradient_show():
    problem = quadratic(1.0, 3.0)
    made = sf.descend(problem, lr=0.05, steps=40, optimizer="sgd")
    there = sf.Path(made.path.steps, made.path.weights.flip(0))
    assert examine(problem, sf.Run(made.trace, made.weights, there, "steps", made.config), read(made.trace)).uphill > 0.5


# ---- lower places


@pytest.mark.parametrize("start", [1.2, 0.7])
def test_the_deeper_well_is_found(start):
    problem = tilted(start)
    made = sf.descend(problem, lr=0.1, steps=200, optimizer="sgd")
    end = made.weights["x"].double().numpy()
    wells = np.roots([1.0, 0.0, -1.0, 0.1])  # of the derivative x^3 - x + 0.1
    deep, shallow = wells.min(), wells.max()
    assert end == pytest.approx(shallow, abs=1e-3)
    lower = elsewhere(problem, made, Ground(problem), np.array([start]), end)
    assert lower.loss == pytest.approx((deep**2 - 1) ** 2 / 4 + 0.1 * deep, abs=1e-3)
    again = problem.with_(model=type(problem.model)({"x": nn.Parameter(lower.start["x"])})) if lower.start is not None else problem
    there = sf.descend(again, lr=lower.rate or 0.1, steps=200, optimizer="sgd")
    assert there.weights["x"].item() == pytest.approx(deep, abs=1e-2)


def test_nothing_lower_than_a_bowl():
    problem, made = run("converged")
    lower = elsewhere(problem, made, Ground(problem), np.ones(2), made.weights["x"].double().numpy())
    assert lower.loss >= -1e-12
    assert lower.gradients > 0


# ---- dead weights


@pytest.mark.parametrize("dead", [True, False])
def test_share_of_dead_weights(dead):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    with torch.no_grad():
        model[0].bias.fill_(-100.0 if dead else 5.0)
    found, _ = examined(regression(model=model), lr=1e-3, steps=16)
    assert found.dead == pytest.approx(40 / 41 if dead else 0.0)  # of 24 + 8 + 8 + 1 weights the last bias is alive
