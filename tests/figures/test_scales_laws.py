"""Limits, ticks and numbers: what must hold for any values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.figures.scales import before_blow_up, edges, kept, number, padded, scale_of, tick_labels, ticks

numbers = st.floats(min_value=-1e300, max_value=1e300)
positive = st.floats(min_value=1e-200, max_value=1e200)


@given(numbers)
def test_a_number_reads_as_itself(value):
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=5e-3)


@given(numbers)
def test_a_number_is_short(value):
    assert len(number(value)) <= 10


@given(numbers, numbers, st.integers(2, 12))
def test_linear_ticks_lie_inside_and_are_few(one, other, most):
    low, high = padded(min(one, other), max(one, other), "linear")
    found = ticks((low, high), "linear", most)
    room = 1e-6 * (high - low) + 1e-15 * max(abs(low), abs(high))  # and the rounding of neighbouring floats
    assert len(found) <= most
    assert all(low - room <= tick <= high + room for tick in found)


@given(positive, positive, st.integers(2, 12))
def test_log_ticks_lie_inside_and_are_few(one, other, most):
    low, high = padded(min(one, other), max(one, other), "log")
    found = ticks((low, high), "log", most)
    assert len(found) <= most
    assert all(low * 0.999 <= tick <= high * 1.001 for tick in found)


@pytest.mark.parametrize("decades", range(1, 300, 7))
def test_a_log_axis_always_has_a_number(decades):
    assert ticks((1.0, 10.0**decades), "log", 6)


@pytest.mark.parametrize("span", [1e-6, 0.3, 1.0, 7.0, 1234.0, 1e12])
def test_a_linear_axis_always_has_two_numbers(span):
    assert len(ticks((-0.2 * span, span), "linear", 6)) >= 2


def test_ticks_of_counts_are_whole():
    assert ticks((-0.04, 1.04), "linear", 7, whole=True) == [0, 1]


@given(st.lists(numbers, min_size=1, max_size=8, unique=True))
def test_labels_tell_ticks_apart(positions):
    assert len(set(tick_labels(positions))) == len(positions)


def test_edges_lie_midway_on_a_log_axis():
    centres = np.array([1e-3, 1e-2, 1.0])
    np.testing.assert_allclose(edges(centres)[1:-1] ** 2, centres[1:] * centres[:-1])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 50.0], "log"),
        ([1.0, 20.0], "linear"),
        ([-1.0, 1e9], "linear"),
        ([0.0, 1.0, 1e9], "log"),
        ([0.0, 0.0], "linear"),
        ([], "linear"),
    ],
)
def test_the_scale(values, expected):
    assert scale_of(np.array(values)) == expected


def test_the_blow_up_is_cut_off_and_a_fall_is_not():
    falling = np.linspace(3, 1, 50)
    assert before_blow_up(np.append(falling, 1e30))[1] < 5
    assert before_blow_up(falling)[1] >= 3


def test_an_outlier_is_cut_off_and_a_start_is_not():
    assert kept(np.append(np.linspace(2, 1, 100), 1e30))[1] < 20
    assert kept(np.linspace(2, 1, 100)) == (1, 2)
