"""The map over rate and steps against the traces that it is made from."""

from __future__ import annotations

import numpy as np
import pytest
from planted_pictures import blowing_up, noisy, rates_apart, run, trace

from surefoot.errors import SettingError
from surefoot.figures.marks import Heat, Points, marks


def heat(runs):
    return marks(runs, kind="map").of(Heat)[0]


def test_every_cell_is_the_mean_over_the_last_tenth():
    runs = [run(noisy(200, seed), lr=rate) for seed, rate in enumerate((0.01, 0.1))]
    drawn = heat(runs)
    assert drawn.x.tolist() == [0.01, 0.1]
    assert drawn.y[-1] == 200
    for row, steps in enumerate(drawn.y.astype(int)):
        for column, member in enumerate(runs):
            last = member.trace["loss"][:steps][-max(1, round(steps / 10)) :]
            assert drawn.values[row, column] == pytest.approx(last.mean(), rel=1e-12)


def test_rates_are_sorted_whatever_the_order():
    assert heat(rates_apart()[::-1]) == heat(rates_apart())


def test_diverged_cells_have_no_number():
    drawn = heat(rates_apart())
    # at a rate of 1.5 the loss of w^2 grows by 4 per step: a thousand times after 5 of them
    np.testing.assert_array_equal(drawn.diverged[:, :-1], False)
    assert (drawn.diverged[:, -1] == (drawn.y > 5)).all()
    assert np.isnan(drawn.values[drawn.diverged]).all()
    assert drawn.limits[1] <= 1


def test_cells_after_the_last_finite_loss_have_diverged():
    drawn = heat([run(noisy(40), lr=0.1), run(blowing_up(20), lr=1.0)])
    assert drawn.diverged[drawn.y > 19, 1].all()


def test_negative_losses_only_diverge_when_they_are_not_finite():
    drawn = heat([run(-5 + noisy(40), lr=0.1), run(np.append(np.full(20, -1.0), np.full(20, 500.0)), lr=1.0)])
    assert not drawn.diverged.any()


def test_cells_that_were_not_walked_are_neither():
    drawn = heat([run(noisy(20), lr=0.1), run(noisy(80), lr=1.0)])
    late = drawn.y > 20
    assert np.isnan(drawn.values[late, 0]).all()
    assert not drawn.diverged.any()


def test_several_seeds_are_averaged():
    members = [[run(noisy(50, seed), lr=rate, seed=seed) for rate in (0.1, 1.0)] for seed in range(3)]
    together = heat([member for pair in members for member in pair])
    np.testing.assert_allclose(together.values, np.mean([heat(pair).values for pair in members], axis=0), rtol=1e-12)


def test_the_best_rate_is_the_lowest_loss_of_its_row():
    runs = rates_apart()
    picture = marks(runs, kind="map")
    (best,) = picture.of(Points)
    drawn = heat(runs)
    for rate, steps in zip(best.x, best.y, strict=True):
        row = drawn.values[drawn.y == steps][0]
        assert row[drawn.x == rate] == np.nanmin(row)
    # (1 - 2 lr)^2 is smallest at 0.4 of these, after any number of steps
    assert set(best.x) == {0.4}


def test_all_diverged():
    picture = marks([run([np.nan], lr=1.0), run([np.nan], lr=2.0)], kind="map")
    assert picture.of(Heat)[0].diverged.all()
    assert not len(picture.of(Points)[0].x)


def test_one_rate_is_no_map():
    with pytest.raises(SettingError, match="two or more learning rates, got 1"):
        marks([run(noisy(20)), trace(noisy(20))], kind="map")
