"""The picture of a fit against w x + b computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planted_pictures import LineModel, line_problem, line_run, noisy, run

from surefoot.errors import SettingError
from surefoot.figures.marks import Line, Points, marks
from surefoot.problem import Problem


def drawn(picture):
    return {line.colour: line for line in picture.of(Line)}


def test_the_fitted_line_is_red_and_where_it_should_be():
    fitted = drawn(marks(line_run(w=0.2, b=0.4), kind="fit", problem=line_problem()))["red"]
    assert (fitted.x[0], fitted.x[-1]) == (0, 2)
    np.testing.assert_allclose(fitted.y, 0.2 * fitted.x + 0.4, rtol=1e-15)
    assert fitted.label == "fitted: 0.2 x + 0.4"


def test_the_true_line_is_green_and_where_it_should_be():
    true = drawn(marks(line_run(), kind="fit", problem=line_problem()))["green"]
    np.testing.assert_allclose(true.y, 0.1 * true.x + 0.5, rtol=1e-15)
    assert true.label == "true: 0.1 x + 0.5"


def test_the_points_are_the_data():
    problem = line_problem()
    (points,) = marks(line_run(), kind="fit", problem=problem).of(Points)
    np.testing.assert_array_equal(points.x, problem.data[0])
    np.testing.assert_array_equal(points.y, problem.data[1])


def test_any_model_of_one_number():
    model = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Dropout(0.5), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    x = torch.linspace(-1, 1, 20).unsqueeze(1)
    problem = Problem(model, (x, x**2), loss=torch.nn.functional.mse_loss)
    weights = {name: torch.randn_like(value) for name, value in model.state_dict().items()}
    picture = marks(run([1.0], weights=weights), kind="fit", problem=problem)
    first, _, last = (weights[f"{place}.weight"] if place != 1 else None for place in (0, 1, 3))
    hidden = np.tanh(first.numpy() * picture.of(Line)[0].x + weights["0.bias"].numpy()[:, None])
    np.testing.assert_allclose(picture.of(Line)[0].y, (last.numpy() @ hidden)[0] + weights["3.bias"].item(), rtol=1e-4, atol=1e-5)
    assert picture.of(Line)[0].label == "fitted"


def test_problem_and_random_state_are_left_alone():
    problem = line_problem()
    problem.model.train()
    before, state = {name: value.clone() for name, value in problem.model.state_dict().items()}, torch.get_rng_state()
    marks(line_run(), kind="fit", problem=problem)
    assert problem.model.training
    assert all(torch.equal(before[name], value) for name, value in problem.model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_weights_that_overflowed_are_said_and_do_not_ruin_the_picture():
    picture = marks(line_run(w=float("nan"), losses=(1.0, float("nan"))), kind="fit", problem=line_problem())
    assert "red" not in drawn(picture)
    assert "not finite" in picture.notes[0]
    picture = marks(line_run(w=1e24), kind="fit", problem=line_problem())
    assert picture.y_limits[1] < 1
    assert "leaves the picture" in picture.notes[0]


def test_a_fit_that_is_not_there_yet_is_in_the_picture():
    low, high = marks(line_run(w=0.0, b=-1.0), kind="fit", problem=line_problem()).y_limits
    assert low < -1
    assert high > 0.7


def test_many_points_are_thinned_evenly():
    x = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    problem = Problem(LineModel(), (x, x), loss=torch.nn.functional.mse_loss)
    picture = marks(line_run(), kind="fit", problem=problem)
    (points,) = picture.of(Points)
    assert len(points.x) == 2000
    assert (points.x[0], points.x[-1]) == (0, 1)
    assert "2,000 of 10,001 points are shown." in picture.notes


def test_what_has_no_fit_is_refused_with_the_way_out():
    wide = Problem(torch.nn.Linear(2, 1), (torch.zeros(5, 2), torch.zeros(5)), loss=torch.nn.functional.mse_loss)
    with pytest.raises(SettingError, match="give problem="):
        marks(line_run(), kind="fit")
    with pytest.raises(SettingError, match=r"\(5, 2\) and \(5,\)"):
        marks(line_run(), kind="fit", problem=wide)
    with pytest.raises(SettingError, match="a pair"):
        marks(run(noisy(3)), kind="fit", problem=Problem.of(lambda x: (x**2).sum(), start=[1.0]))
