"""The noisy line against NumPy's polynomial fit, and against what a learner will see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from surefoot.errors import SettingError
from surefoot.problems import load
from surefoot.problems.least_squares import least_squares


def last_slope(problem, lr: float, steps: int = 200) -> float:
    model = load("line").model
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        problem.loss_on(model, problem.data).backward()
        optimizer.step()
    return model.w.item()


def test_the_answer_is_the_polynomial_fit():
    problem = load("line")
    x, y = (part.double().numpy() for part in problem.data)
    w, b = np.polyfit(x, y, 1)
    assert problem.answer.minimum == pytest.approx((w, b), rel=1e-9)
    assert problem.answer.loss == pytest.approx(np.mean((np.polyval((w, b), x) - y) ** 2), rel=1e-9)


def test_the_curvature_is_that_of_the_hessian():
    problem = load("line")
    x, y = (part.double() for part in problem.data)
    hessian = torch.autograd.functional.hessian(lambda p: ((p[0] * x + p[1] - y) ** 2).mean(), torch.zeros(2, dtype=torch.float64))
    assert problem.answer.curvature == pytest.approx(torch.linalg.eigvalsh(hessian).max().item())
    assert problem.answer.curvature == pytest.approx(2.53, abs=0.01)


def test_the_fit_is_near_the_true_line_and_the_model_knows_that():
    problem = load("line")
    assert (problem.model.true_w, problem.model.true_b) == (0.1, 0.5)
    assert problem.answer.minimum == pytest.approx((0.1, 0.5), abs=0.03)


def test_without_noise_the_answer_is_the_true_line():
    assert load("line", noise=0).answer.minimum == pytest.approx((0.1, 0.5), abs=1e-6)


def test_it_starts_where_the_lesson_starts():
    problem = load("line")
    assert {name: value.item() for name, value in problem.model.named_parameters()} == {"w": 0.0, "b": -1.0}
    assert problem.batch_size == "full"
    assert problem.data[0].dtype == torch.float32
    assert (problem.data[0][0].item(), problem.data[0][-1].item(), len(problem.data[0])) == (0.0, 1.0, 100)


def test_the_rates_a_learner_tries_do_what_the_lesson_says():
    problem = load("line")
    assert last_slope(problem, 0.7, steps=2000) == pytest.approx(problem.answer.minimum[0], abs=1e-4)
    # the closed form: (lr L - 1)^200 times the first error, whose square float32 cannot hold
    assert 1e21 < abs(last_slope(problem, 0.9)) < 1e22
    assert 1e37 < abs(last_slope(problem, 1.0)) < 1e38
    assert np.isnan(last_slope(problem, 10.0))
    assert abs(last_slope(problem, 1e-6)) < 1e-3


def test_points_and_noise_are_what_was_asked_for():
    problem = load("line", points=5000, noise=0.3, seed=4)
    x, y = problem.data
    assert len(x) == 5000
    assert (y - 0.1 * x - 0.5).std().item() == pytest.approx(0.3, rel=0.05)
    assert not torch.equal(y, load("line", points=5000, noise=0.3, seed=5).data[1])


def test_least_squares_takes_the_smallest_of_many_solutions():
    doubled = np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    assert least_squares(doubled, [2.0, 4.0, 8.0]).minimum == pytest.approx((1, 1, 0), abs=1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"points": 1}, "points must be a whole number of at least 2, got 1"),
        ({"points": "many"}, "got 'many'"),
        ({"noise": -0.1}, "noise must be a finite number of at least 0, got -0.1"),
        ({"noise": None}, "got None"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"seed": True}, "got True"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(SettingError, match=words):
        load("line", **options)
