"""The final loss against the rate, against numpy on the traces that it is made from."""

from __future__ import annotations

import time

import numpy as np
import pytest
from planted_pictures import blowing_up, noisy, rates_apart, run, trace

from surefoot.errors import SettingError
from surefoot.figures.marks import Heat, Line, Points, Rule, marks


def drawn(runs, **beside):
    picture = marks(runs, kind="rate", **beside)
    return picture, picture.of(Line)[0], {points.shape: points for points in picture.of(Points)}


def test_it_is_the_mean_over_the_last_tenth():
    runs = [run(noisy(200, seed), lr=rate) for seed, rate in enumerate((0.1, 0.001, 1.0))]
    picture, line, points = drawn(runs)
    assert line.x.tolist() == [0.001, 0.1, 1.0]
    wanted = [runs[place].trace["loss"][-20:].mean() for place in (1, 0, 2)]
    np.testing.assert_allclose(line.y, wanted, rtol=1e-12)
    assert points["star"].x.tolist() == [line.x[np.argmin(wanted)]]
    assert points["star"].y.tolist() == [min(line.y)]
    assert "cross" not in points
    assert (picture.x_scale, picture.x_label, picture.y_label) == ("log", "learning rate", "loss")


def test_it_is_the_last_row_of_the_map():
    runs = rates_apart()
    last = marks(runs, kind="map").of(Heat)[0].values[-1]
    np.testing.assert_array_equal(drawn(runs)[1].y, last)


def test_where_it_diverged_there_is_a_gap_and_a_cross_at_the_upper_edge():
    runs = [run(blowing_up(20), lr=1.0), run(noisy(40), lr=0.1), run(noisy(40, 1), lr=10.0)]
    picture, line, points = drawn(runs)
    assert np.isnan(line.y).tolist() == [False, True, False]
    assert (points["cross"].x.tolist(), points["cross"].y.tolist()) == ([1.0], [picture.y_limits[1]])
    assert points["star"].x[0] != 1.0
    assert any("diverged" in note for note in picture.notes)


def test_a_thousandfold_loss_has_diverged_and_a_negative_one_never_by_its_size():
    assert np.isnan(drawn(rates_apart())[1].y).tolist() == [False, False, False, False, True]
    signed = [run(np.append(-1.0, np.full(20, loss)), lr=rate) for rate, loss in ((0.1, -2.0), (1.0, 5e4))]
    assert drawn(signed)[1].y.tolist() == [-2.0, 5e4]


def test_several_seeds_are_averaged_and_one_that_diverged_counts():
    members = [run(noisy(50, seed), lr=rate, seed=seed) for rate in (0.1, 1.0) for seed in range(3)]
    wanted = [np.mean([one.trace["loss"][-5:].mean() for one in members if one.config["lr"] == rate]) for rate in (0.1, 1.0)]
    np.testing.assert_allclose(drawn(members)[1].y, wanted, rtol=1e-12)
    assert np.isnan(drawn([*members, run(blowing_up(50), lr=1.0)])[1].y).tolist() == [False, True]


def test_the_axis_shows_the_descent_and_a_little_above_its_start():
    runs = [run(np.full(20, loss), lr=rate) for rate, loss in ((0.01, 1.0), (0.1, 0.9))]
    runs.append(run(np.append(1.0, np.full(40, 500.0)), lr=1.0))
    picture, line, _ = drawn(runs)
    low, high = picture.y_limits
    assert line.y[-1] == 500.0
    assert 0.8 < low < 0.9
    assert 1.0 < high < 2.0
    assert picture.y_scale == "linear"


def test_losses_over_decades_have_a_logarithmic_axis_and_zero_lies_on_its_edge():
    runs = [run(np.full(20, loss), lr=rate) for rate, loss in ((0.001, 1.0), (0.01, 1e-4), (0.1, 0.0))]
    picture, line, points = drawn(runs)
    assert picture.y_scale == "log"
    assert line.y[-1] == points["star"].y[0] == picture.y_limits[0] > 0


def test_few_rates_have_points_and_many_only_the_line():
    few, many = ([run(noisy(20, k), lr=0.01 * 1.1**k) for k in range(count)] for count in (40, 41))
    assert len(drawn(few)[2]["circle"].x) == 40
    assert "circle" not in drawn(many)[2]


def test_a_curvature_sets_the_limits_of_the_rate():
    picture, *_ = drawn(rates_apart(), curvature=2.0)
    assert [rule.at for rule in picture.of(Rule)] == [0.5, 1.0]


def test_descents_of_several_lengths_are_told():
    picture, line, _ = drawn([run(noisy(20), lr=0.1), run(noisy(80), lr=1.0)])
    np.testing.assert_allclose(line.y, [noisy(20)[-2:].mean(), noisy(80)[-8:].mean()], rtol=1e-12)
    assert any("20 to 80 steps" in note for note in picture.notes)


def test_all_diverged():
    picture, line, points = drawn([run([np.nan], lr=1.0), run([np.nan], lr=2.0)])
    assert np.isnan(line.y).all()
    assert set(points) == {"cross"}
    assert picture.y_limits == (0.0, 1.0)


def test_one_rate_is_no_curve():
    with pytest.raises(SettingError, match="two or more learning rates, got 1"):
        marks([run(noisy(20)), trace(noisy(20))], kind="rate")


@pytest.mark.parametrize(("kind", "seconds"), [("rate", 0.015), ("map", 0.03)])
def test_three_hundred_rates_are_drawn_while_a_control_moves(kind, seconds):
    runs = [run(noisy(200, k % 7), lr=1.05**k) for k in range(281)]
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        marks(runs, kind=kind)
        spent.append(time.perf_counter() - began)
    assert min(spent) < seconds
