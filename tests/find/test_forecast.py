"""Forecasts against losses whose course is known: planted by formula, or walked to the end."""

import math

import numpy as np
import pytest

from surefoot import Problem, descend
from surefoot.find.forecast import forecast
from surefoot.find.trials import Trial
from surefoot.trace import Trace

RATES = np.geomspace(1e-4, 10, 400)


def trial(rate: float, steps: int, loss: float) -> Trial:
    return Trial(rate, steps, loss, loss, Trace.of([]))


def planted(rate, steps, scale, exponent, noise):
    """A power law in the progress, and a noise floor that grows with the rate."""
    return 0.2 + 2.0 * (1 + rate * steps / scale) ** -exponent + noise * rate


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e5])
@pytest.mark.parametrize("noise", [0.3, 3.0])
@pytest.mark.parametrize(("scale", "exponent"), [(0.3, 0.5), (2.0, 1.0), (10.0, 1.7)])
def test_finds_the_planted_optimum_of_a_training_six_times_as_long(scale, exponent, noise, unit):
    short = [trial(rate, 40, planted(rate, 40, scale, exponent, noise)) for rate in 2.0 / 4.0 ** np.arange(6)]
    longer = [trial(rate, 160, planted(rate, 160, scale, exponent, noise)) for rate in (0.03, 0.1, 0.3)]
    best = RATES[planted(RATES, 1000, scale, exponent, noise).argmin()]
    shifted = [trial(t.lr * unit, t.steps, t.loss) for t in (*short, *longer)]
    found = RATES[forecast(shifted, 2.2, 1000, RATES * unit, 2.2).argmin()]
    excess = (planted(found, 1000, scale, exponent, noise) - planted(best, 1000, scale, exponent, noise)) / 2
    assert excess < 0.02


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (1e-6, 0.0), (1e6, -1e6), (1.0, -100.0)])
def test_scale_and_sign_of_the_loss_do_not_matter(gain, offset):
    rates = 2.0 / 4.0 ** np.arange(6)
    plain = forecast([trial(rate, 40, planted(rate, 40, 2, 1, 1)) for rate in rates], 2.2, 400, RATES, 2.2)
    other = [trial(rate, 40, offset + gain * planted(rate, 40, 2, 1, 1)) for rate in rates]
    start = offset + gain * 2.2
    assert forecast(other, start, 400, RATES, start) == pytest.approx(plain, rel=1e-3, abs=1e-3)


def test_stays_below_the_largest_stable_rate_of_a_bowl():
    bowl = Problem.of(lambda x: (x * x * x.new_tensor([1.0, 10.0])).sum() / 2, start=[1.0, 1.0])  # diverges from 2/10 on
    runs = {rate: descend(bowl, lr=rate, steps=30) for rate in 0.8 / 2.0 ** np.arange(8)}
    trials = [trial(rate, 30, float(run.trace["loss"][-1]) if run.ended == "steps" else math.inf) for rate, run in runs.items()]
    found = RATES[forecast(trials, 5.5, 300, RATES, 5.5).argmin()]
    assert found < 0.2
    assert descend(bowl, lr=float(found), steps=300).trace["loss"][-1] < 1e-3


def test_where_progress_does_harm_lower_rates_are_forecast_only_when_told():
    def over_fitted(rate, steps):
        return planted(rate, steps, 0.5, 1.5, 0.0) + 0.01 * rate * steps

    rates = 2.0 / 4.0 ** np.arange(6)
    trials = [trial(rate, steps, over_fitted(rate, steps)) for steps in (40, 160) for rate in rates]
    best = RATES[over_fitted(RATES, 1000).argmin()]
    told = RATES[forecast(trials, 2.2, 1000, RATES, 2.2, over_fits=True).argmin()]
    assert 0.5 < told / best < 2
    assert told <= RATES[forecast(trials, 2.2, 1000, RATES, 2.2).argmin()]
