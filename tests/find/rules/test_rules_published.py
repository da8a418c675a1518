"""Oracle: the real packages, run whole. Their answers on planted curves are in published.json, made by benchmarks/published_rules.py."""

import json
from pathlib import Path

import numpy as np
import pytest

from surefoot.find.rules import RULES

from .planted import Curve, ladder

PUBLISHED = json.loads((Path(__file__).parent / "published.json").read_text())
# On a curve that never falls the packages answer all the same, with whatever rounding makes lowest; `suggest` refuses it.
CASES = [case for case in PUBLISHED["cases"] if case["curve"]["fall"] or case["curve"]["noise"]]


def answers(rule):
    for case in CASES:
        for package, answer in case["packages"].items():
            if rule in answer["rules"]:
                lr = np.array(PUBLISHED["ladders"][package][: answer["rows"]])
                yield case["curve"], lr, answer["rules"][rule]


@pytest.mark.parametrize("rule", ["steepest", "valley", "slide", "minimum/10", "lightning", "torch-lr-finder"])
def test_rule_gives_the_row_and_the_rate_that_the_package_gives(rule):
    seen = 0
    for curve, lr, published in answers(rule):
        losses = Curve(**curve)(lr).astype(np.float32).astype(np.float64)
        pick = RULES[rule](lr, losses)
        assert (pick.at, pick.lr) == (published["row"], pytest.approx(published["lr"], rel=1e-6)), curve
        seen += 1
    assert seen >= 15


def test_steepest_finds_the_planted_steepest_point():
    lr = ladder(steps=2000)
    pick = RULES["steepest"](lr, Curve(steepest=-3.0, edge=1e9)(lr))
    # the moving average lags by beta / (1 - beta) rows at fastai's density
    assert 1e-3 <= pick.lr <= 1e-3 * 10 ** (0.98 / 0.02 / 12.5)


def test_minimum_over_ten_is_near_the_planted_minimum():
    lr = ladder()
    loss = Curve(steepest=-3.0)(lr)
    true = lr[np.argmin(loss)]
    assert true / 10 <= RULES["minimum/10"](lr, loss).lr <= 3 * true
