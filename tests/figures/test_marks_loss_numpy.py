"""The picture of a loss against numbers computed here."""

from __future__ import annotations

import numpy as np
import pytest
from planted_pictures import AWKWARD, blowing_up, noisy, run, trace

from surefoot.errors import SettingError
from surefoot.figures.marks import Band, Line, Points, marks


def lines(picture, faint=False):
    return [line for line in picture.of(Line) if line.faint is faint]


def test_noiseless_losses_are_drawn_as_they_are():
    losses = 0.9 ** np.arange(100.0)
    (line,) = lines(marks(run(losses)))
    np.testing.assert_array_equal(line.y, losses)
    np.testing.assert_array_equal(line.x, np.arange(100))


def test_noisy_losses_are_drawn_raw_and_smoothed():
    losses = noisy(300)
    picture = marks(run(losses))
    (raw,), (smooth,) = lines(picture, faint=True), lines(picture)
    np.testing.assert_array_equal(raw.y, losses)
    assert np.std(np.diff(smooth.y[50:])) < 0.2 * np.std(np.diff(losses[50:]))
    assert np.abs(smooth.y - noisy(300, noise=0.0))[20:].max() < 0.1


def test_many_steps_are_drawn_from_their_lowest_to_their_highest():
    losses = noisy(20_000)
    (band,) = marks(run(losses)).of(Band)
    assert band.low.min() == losses.min()
    assert band.high.max() == losses.max()


def test_validation_stands_where_it_was_measured():
    validation = np.full(100, np.nan)
    validation[[9, 49, 99]] = 3.0, 2.0, 1.0
    picture = marks(run(noisy(100), validation=validation))
    (points,) = picture.of(Points)
    assert (points.x.tolist(), points.y.tolist(), points.label) == ([9, 49, 99], [3, 2, 1], "validation")


@pytest.mark.parametrize(
    ("losses", "scale"),
    [(noisy(100), "linear"), (10.0 ** -np.linspace(0, 3, 100), "log"), (blowing_up(), "log"), (-5 + noisy(100), "linear")],
    ids=["a factor of four", "three decades", "blowing up", "negative"],
)
def test_the_scale_serves(losses, scale):
    assert marks(run(losses)).y_scale == scale


def test_luck_with_a_single_batch_makes_no_log_axis():
    losses = noisy(500)
    losses[250] = 1e-9
    assert marks(run(losses)).y_scale == "linear"


def test_divergence_is_marked_at_its_step():
    picture = marks(run(blowing_up(40)))
    (cross,) = picture.of(Points)
    assert (cross.shape, cross.x.tolist(), cross.label) == ("cross", [39], "diverged at step 39")
    assert picture.y_limits[0] <= cross.y[0] <= picture.y_limits[1]


def test_divergence_from_below_zero_does_not_flatten_the_descent():
    losses = np.concatenate([np.linspace(-2, -5, 50), 10.0 ** np.arange(38), [np.inf]])
    low, high = marks(run(losses)).y_limits
    assert low < -5
    assert -2 < high < 1


def test_one_that_diverges_does_not_flatten_the_others():
    picture = marks([run(noisy(40), lr=0.1), run(blowing_up(), lr=1.0)])
    assert picture.y_limits[1] < 100
    assert any("1e38" in note or "2e38" in note for note in picture.notes)


def test_a_single_spike_does_not_flatten_the_rest():
    losses = -5 + noisy(300)
    losses[200] = 1e30
    assert marks(run(losses)).y_limits[1] < 50


def test_the_start_is_never_cut_off():
    losses = np.append(5.0, np.full(999, 1.0) + 0.01 * noisy(999))
    assert marks(run(losses)).y_limits[1] >= 5


def test_zeros_leave_a_gap_on_a_log_axis():
    picture = marks(run(np.append(0.1 ** np.arange(10.0), [0.0, 0.0])))
    (line,) = lines(picture)
    assert np.isnan(line.y[-2:]).all()
    assert any("2 losses of exactly 0" in note for note in picture.notes)


def test_runs_are_told_apart_by_what_differs():
    picture = marks([run(noisy(20), lr=0.1, optimizer="sgd"), run(noisy(20), lr=0.1, optimizer="adamw")])
    assert [line.label for line in lines(picture)] == ["sgd", "adamw"]
    picture = marks([run(noisy(20), lr=0.1, seed=1), run(noisy(20), lr=1e-5, seed=2)])
    assert [line.label for line in lines(picture)] == ["lr 0.1, seed 1", "lr 1e-5, seed 2"]
    picture = marks([trace(noisy(20), lr=0.5), trace(noisy(20), lr=0.25)])
    assert [line.label for line in lines(picture)] == ["lr 0.5", "lr 0.25"]


def test_equal_runs_still_have_labels_of_their_own():
    assert len({line.label for line in lines(marks([run(noisy(20)), run(noisy(20))]))}) == 2


def test_runs_at_rising_rates_have_colours_in_that_order():
    rates = [0.3, 0.001, 0.03]
    colours = [line.colour for line in lines(marks([run(noisy(20), lr=rate) for rate in rates]))]
    assert np.argsort(colours).tolist() == np.argsort(rates).tolist()


def test_runs_that_differ_in_kind_have_colours_and_styles_of_their_own():
    drawn = lines(marks([run(noisy(20), optimizer=name) for name in "abcdefgh"]))
    assert len({line.colour for line in drawn}) == 8
    assert len({line.style for line in drawn}) == 4


@pytest.mark.parametrize("answer", AWKWARD.values(), ids=AWKWARD)
def test_awkward_losses_have_a_picture(answer):
    picture = marks(answer, kind="loss")
    for low, high in (picture.x_limits, picture.y_limits):
        assert np.isfinite([low, high]).all()
        assert low < high
    assert picture.y_scale == "linear" or picture.y_limits[0] > 0


def test_nothing_to_draw_is_said():
    with pytest.raises(SettingError, match="the list of runs is empty"):
        marks([])
    with pytest.raises(SettingError, match="no rows"):
        marks(trace([]))
    with pytest.raises(SettingError, match="got a int in it"):
        marks([run([1.0]), 3])
