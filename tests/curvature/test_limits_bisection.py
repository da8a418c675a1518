"""Stability limits against torch's own optimizers on a parabola, the largest rate that stays found by bisection."""

import functools
import math

import pytest
import torch

from surefoot import SettingError
from surefoot.curvature.limits import LIMITS, stability_limit

STEPS = 800


def stays(maker, lr, curvature):
    """Whether torch's optimizer goes towards the minimum of curvature/2 x^2: whether the last of its steps lie within the first."""
    x = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = maker([x], lr=lr)
    seen = [1.0]
    for _ in range(STEPS):
        optimizer.zero_grad()
        (curvature / 2 * x**2).sum().backward()
        optimizer.step()
        seen.append(abs(x.item()))
        if seen[-1] > 1e6:
            return False
    return max(seen[-20:]) < max(seen[:20])


def stays_preconditioned(beta1, lr, curvature):
    """The same for Adam whose preconditioner stands still: ``curvature`` is that of the preconditioned Hessian."""
    x, average, seen = 1.0, 0.0, [1.0]
    for _ in range(STEPS):
        average = beta1 * average + (1 - beta1) * curvature * x
        x -= lr * average
        seen.append(abs(x))
        if seen[-1] > 1e6:
            return False
    return max(seen[-20:]) < max(seen[:20])


def bisected(stays_at, top):
    low, high = 0.0, top
    while high - low > 2e-4 * top:
        middle = (low + high) / 2
        low, high = (middle, high) if stays_at(middle) else (low, middle)
    return (low + high) / 2


SGD = torch.optim.SGD
ORACLES = {
    "sgd": lambda b, b1, L: bisected(lambda lr: stays(SGD, lr, L), 8 / L),
    "momentum": lambda b, b1, L: bisected(lambda lr: stays(functools.partial(SGD, momentum=b), lr, L), 8 / L),
    "nesterov": lambda b, b1, L: bisected(lambda lr: stays(functools.partial(SGD, momentum=b, nesterov=True), lr, L), 8 / L),
    "adam": lambda b, b1, L: bisected(lambda lr: stays_preconditioned(b1, lr, L), 80 / L),
    "adamw": lambda b, b1, L: bisected(lambda lr: stays_preconditioned(b1, lr, L), 80 / L),
}


def test_every_formula_has_an_oracle():
    assert set(ORACLES) == set(LIMITS)


@pytest.mark.parametrize(("momentum", "beta1", "curvature"), [(0.9, 0.9, 1.0), (0.5, 0.8, 30.0)])
@pytest.mark.parametrize("name", LIMITS)
def test_limit_is_the_largest_rate_that_stays(name, momentum, beta1, curvature):
    found = ORACLES[name](momentum, beta1, curvature)
    assert stability_limit(curvature, name, momentum=momentum, beta1=beta1) == pytest.approx(found, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "limit"), [("sgd", 2.0), ("momentum", 3.8), ("nesterov", 3.8 / 2.8), ("adam", 38.0), ("AdamW", 38.0)]
)
def test_limits_at_the_usual_momentum(name, limit):
    assert stability_limit(1.0, name) == pytest.approx(limit, rel=1e-12)


def test_without_momentum_all_are_gradient_descent():
    assert {stability_limit(4.0, name, momentum=0.0, beta1=0.0) for name in LIMITS} == {0.5}


@pytest.mark.parametrize("curvature", [0.0, -3.0, -math.inf])
def test_where_the_loss_does_not_curve_up_no_rate_is_too_high(curvature):
    assert stability_limit(curvature, "momentum") == math.inf


def test_nan_stays_nan():
    assert math.isnan(stability_limit(math.nan, "sgd"))


def test_refusals_name_the_way_out():
    with pytest.raises(SettingError, match=r"'lbfgs'.*Known: adam, adamw, momentum, nesterov, sgd\."):
        stability_limit(1.0, "lbfgs")
    with pytest.raises(SettingError, match="Did you mean 'nesterov'"):
        stability_limit(1.0, "nestrov")
    with pytest.raises(SettingError, match="momentum must be at least 0 and below 1, got 1"):
        stability_limit(1.0, "momentum", momentum=1.0)
    with pytest.raises(SettingError, match="beta1"):
        stability_limit(1.0, "adam", beta1=-0.1)
