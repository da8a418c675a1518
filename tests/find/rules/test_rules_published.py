"""Oracle: the real packages. Their answers on planted curves are in published.json, made by benchmarks/published_rules.py."""

import json
from pathlib import Path

import numpy as np
import pytest

from surefoot.find.rules import RULES

from .planted import Curve, ladder

CASES = json.loads((Path(__file__).parent / "published.json").read_text())


@pytest.mark.parametrize("rule", sorted(CASES[0]["answers"]))
def test_rule_gives_the_rate_that_the_package_gives(rule):
    lr = ladder()
    for case in CASES:
        ours = RULES[rule](lr, Curve(**case["curve"])(lr)).lr
        # fastai computes in float32, where neighbours on a noise-free plateau are equal: its valley may begin a row later there
        row = lr[1] / lr[0] - 1
        close = 1.1 * row if rule == "valley" and not case["curve"]["noise"] else 1e-5
        assert ours == pytest.approx(case["answers"][rule], rel=close), case["curve"]


def test_steepest_finds_the_planted_steepest_point():
    lr = ladder(steps=2000)
    pick = RULES["steepest"](lr, Curve(steepest=-3.0, edge=1e9)(lr))
    # the moving average lags by beta / (1 - beta) rows at fastai's density, which is about four octaves of rate at most
    assert 1e-3 <= pick.lr <= 1e-3 * 10 ** (0.98 / 0.02 / 12.5)


def test_minimum_over_ten_is_near_the_planted_minimum():
    lr = ladder()
    loss = Curve(steepest=-3.0)(lr)
    true = lr[np.argmin(loss)]
    assert true / 10 <= RULES["minimum/10"](lr, loss).lr <= 3 * true
