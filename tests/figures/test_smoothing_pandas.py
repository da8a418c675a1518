"""The bins and the smoothed curve against pandas, which shares no code with them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from planted_pictures import noisy

from surefoot.figures.smoothing import BINS, smoothed, windowed


@pytest.mark.parametrize("width", [2, 5, 17])
def test_the_middle_is_pandas_triangular_rolling_mean(width):
    values = noisy(200)
    rolling = pd.Series(values).rolling(2 * width - 1, center=True, win_type="triang").mean()
    inside = slice(width, len(values) - width)
    np.testing.assert_allclose(windowed(values, width)[inside], rolling[inside], rtol=1e-12)


@pytest.mark.parametrize("width", [2, 5, 17])
def test_the_end_is_the_mean_over_what_is_there(width):
    values = noisy(100)
    for place in range(len(values) - width, len(values)):
        weights = np.array([max(0, width - abs(place - other)) for other in range(len(values))])
        assert windowed(values, width)[place] == pytest.approx(np.average(values, weights=weights))


def test_a_steep_start_is_kept():
    values = 10 * 0.5 ** np.arange(100.0)
    assert windowed(values, 10)[0] == values[0]


def test_a_noisy_start_is_smoothed():
    values = np.random.default_rng(0).standard_normal(400)
    assert abs(windowed(values, 20)[0]) < 0.5 * np.std(values)


def test_few_values_are_their_own_bins():
    x, values = np.arange(100.0), noisy(100)
    curve = smoothed(x, values)
    assert curve.per_bin == 1
    for column in (curve.low, curve.high):
        np.testing.assert_array_equal(column, values)
    np.testing.assert_array_equal(curve.x, x)


@pytest.mark.parametrize("count", [BINS + 1, 1234, 20_000])
def test_many_values_are_binned_as_pandas_groups_them(count):
    values = noisy(count)
    curve = smoothed(np.arange(count, dtype=float), values)
    bins = np.searchsorted(np.linspace(0, count, BINS, endpoint=False).astype(int), np.arange(count), side="right")
    groups = pd.Series(values).groupby(bins)
    assert len(curve.x) == BINS
    np.testing.assert_array_equal(curve.low, groups.min())
    np.testing.assert_array_equal(curve.high, groups.max())
    np.testing.assert_allclose(curve.mean, windowed(groups.mean().to_numpy(), 20), rtol=1e-10)


def test_a_curve_without_noise_is_left_alone():
    falling = 0.9 ** np.arange(300.0)
    curve = smoothed(np.arange(300.0), falling)
    assert curve.reach == 0
    np.testing.assert_array_equal(curve.mean, falling)


@pytest.mark.parametrize(("factor", "shift"), [(1e-6, 0.0), (1e6, 0.0), (2.0, -100.0)])
def test_units_and_offset_do_not_change_the_shape(factor, shift):
    x, values = np.arange(900.0), noisy(900)
    np.testing.assert_allclose(smoothed(x, factor * values + shift).mean, factor * smoothed(x, values).mean + shift, rtol=1e-9)


def test_nothing_stays_nothing():
    curve = smoothed(np.empty(0), np.empty(0))
    assert len(curve.x) == len(curve.mean) == len(curve.low) == curve.reach == 0
