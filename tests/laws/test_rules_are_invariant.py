"""Law 5: a rule reads the same rate from loss * c, loss + c, a denser grid, with a NaN tail and from negative losses.

One row per rule; where a rule as published breaks a law, the row says why, and the test that it holds must fail.
"""

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import Problem, range_test, suggest
from surefoot.find.rules import RULES
from surefoot.trace import COLUMNS, Trace
from tests.find.rules.planted import Curve, ladder

CURVES = [Curve(noise=noise, seed=seed) for noise in (0.0, 0.01) for seed in range(3)]


def trace(lr, loss):
    columns = {name: np.zeros(len(lr)) for name in COLUMNS}
    return Trace({**columns, "step": np.arange(len(lr)), "lr": lr, "loss": loss})


def rates(rule, change=lambda lr, loss: (lr, loss), steps=100):
    lr = ladder(steps=steps)
    return np.array([suggest(trace(*change(lr, curve(lr))), rule).lr for curve in CURVES], dtype=float)


def with_nan_tail(lr, loss):
    tail = np.geomspace(lr[-1] * 1.2, lr[-1] * 4, 5)
    return np.concatenate([lr, tail]), np.concatenate([loss, np.full(5, np.nan)])


CHANGES = {
    "loss * 1000": lambda lr, loss: (lr, loss * 1000),
    "loss / 1000": lambda lr, loss: (lr, loss / 1000),
    "loss + 100": lambda lr, loss: (lr, loss + 100),
    "negative": lambda lr, loss: (lr, loss - 50),
    "NaN tail": with_nan_tail,
}
BREAKS = {
    ("slide", "loss * 1000"): "its threshold of 0.005 is absolute, as published",
    ("slide", "loss / 1000"): "its threshold of 0.005 is absolute, as published",
    ("lightning", "loss + 100"): "its average starts at half the loss, which an added constant makes a slope, as published",
    ("lightning", "negative"): "its average starts at half the loss, which an added constant makes a slope, as published",
}
CASES = [
    pytest.param(
        rule, change, marks=pytest.mark.xfail(strict=True, reason=BREAKS[rule, change]) if (rule, change) in BREAKS else ()
    )
    for rule in RULES
    for change in CHANGES
]


@pytest.mark.parametrize(("rule", "change"), CASES)
def test_the_rate_does_not_change(rule, change):
    assert rates(rule, CHANGES[change]) == pytest.approx(rates(rule), rel=1e-9)


FIXED_WINDOW = pytest.mark.xfail(strict=True, reason="its window is 15 rows, as published")


@pytest.mark.parametrize("rule", [pytest.param(rule, marks=FIXED_WINDOW if rule == "slide" else ()) for rule in RULES])
def test_a_denser_grid_moves_the_rate_by_less_than_an_octave(rule):
    smooth = [index for index, curve in enumerate(CURVES) if not curve.noise]
    moved = np.abs(np.log2(rates(rule, steps=300)[smooth] / rates(rule)[smooth]))
    assert moved.max() < 1


@pytest.mark.parametrize("rule", RULES)
def test_a_curve_that_cannot_tell_has_no_answer(rule):
    lr = ladder()
    for loss in (np.ones(100), np.random.default_rng(0).standard_normal(100), np.linspace(1, 2, 100), np.full(100, np.nan)):
        suggestion = suggest(trace(lr, loss), rule)
        assert suggestion.lr is None
        assert suggestion.at is None
        assert suggestion.reason


def test_a_trace_that_is_no_range_test_is_refused():
    suggestion = suggest(trace(np.full(50, 0.1), np.linspace(2, 1, 50)))
    assert suggestion.lr is None
    assert "no range test" in suggestion.reason


def test_the_order_of_parameter_groups_does_not_change_the_range_test():
    def make(model, order):
        groups = [{"params": model[0].parameters(), "lr": 1.0}, {"params": model[2].parameters(), "lr": 0.1}]
        return torch.optim.SGD([groups[index] for index in order])

    torch.manual_seed(0)
    x = torch.randn(64, 3)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    problem = Problem(model, (x, x.sum(1, keepdim=True)), loss=nn.functional.mse_loss)
    one = range_test(problem, optimizer=lambda m: make(m, (0, 1)), low=1e-5, high=10)
    other = range_test(problem, optimizer=lambda m: make(m, (1, 0)), low=1e-6, high=1)
    count = min(len(one), len(other))
    assert one["loss"][:count] == pytest.approx(other["loss"][:count], rel=1e-4)
