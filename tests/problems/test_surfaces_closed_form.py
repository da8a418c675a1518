"""The answers of the surfaces against automatic differentiation, which shares nothing with the algebra they come from."""

from __future__ import annotations

import pytest
import torch

from surefoot.errors import SettingError
from surefoot.problem import Problem
from surefoot.problems import load, surfaces

SURFACES = [
    surfaces.valley(),
    surfaces.bowl(),
    surfaces.bowl(curvatures=(3.0, 0.5, 7.0)),
    surfaces.saddle(),
    surfaces.rosenbrock(),
    surfaces.himmelblau(),
    surfaces.rastrigin(),
    surfaces.rastrigin(dimensions=5),
    surfaces.beale(),
]


def height(problem: Problem, point: torch.Tensor) -> torch.Tensor:
    class At(torch.nn.Module):
        def get_parameter(self, target):
            return point

        x = point

    return problem.objective(At(), ())


def slope(problem: Problem, point: torch.Tensor) -> torch.Tensor:
    point = point.clone().requires_grad_()
    return torch.autograd.grad(height(problem, point), point)[0]


def start(problem: Problem) -> torch.Tensor:
    return problem.model.get_parameter("x").detach().double()


def descended(problem: Problem, lr: float, steps: int = 2000) -> torch.Tensor:
    point = start(problem)
    for _ in range(steps):
        point = point - lr * slope(problem, point)
    return point


@pytest.mark.parametrize("problem", SURFACES, ids=str)
def test_the_gradient_is_zero_at_every_minimum_and_the_hessian_positive(problem):
    for minimum in problem.answer.minima:
        point = torch.tensor(minimum, dtype=torch.float64)
        assert slope(problem, point).abs().max() < 1e-11
        hessian = torch.autograd.functional.hessian(lambda x: height(problem, x), point)
        assert torch.linalg.eigvalsh(hessian).min() > 0


@pytest.mark.parametrize("problem", SURFACES, ids=str)
def test_curvature_and_loss_are_those_at_the_global_minimum(problem):
    point = torch.tensor(problem.answer.minimum, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(lambda x: height(problem, x), point)
    assert problem.answer.curvature == pytest.approx(torch.linalg.eigvalsh(hessian).max().item(), rel=1e-12)
    assert problem.answer.loss == pytest.approx(height(problem, point).item(), abs=1e-12)


@pytest.mark.parametrize("problem", SURFACES, ids=str)
def test_no_point_is_lower_than_the_global_minimum(problem):
    points = torch.empty(2000, len(problem.answer.minimum), dtype=torch.float64)
    points.uniform_(-5, 5, generator=torch.Generator().manual_seed(0))
    assert min(height(problem, point).item() for point in points[:500]) >= problem.answer.loss


def test_valley_a_small_rate_ends_in_the_local_minimum_and_a_larger_one_leaps_over_the_hill():
    problem = surfaces.valley()
    reached, local = (value[0] for value in problem.answer.minima)
    assert descended(problem, lr=0.02).item() == pytest.approx(local)
    assert descended(problem, lr=0.25).item() == pytest.approx(reached)
    assert height(problem, torch.tensor([local])).item() == pytest.approx(9 / 4)


def test_saddle_is_level_at_the_pass_with_one_way_up_and_one_way_down():
    problem = surfaces.saddle()
    origin = torch.zeros(2, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(lambda x: height(problem, x), origin)
    assert slope(problem, origin).abs().max() == 0
    assert torch.linalg.eigvalsh(hessian).tolist() == pytest.approx([-1, 1])


def test_saddle_descent_lingers_at_the_pass_and_slides_down_to_the_first_minimum():
    problem = surfaces.saddle()
    assert descended(problem, lr=0.1, steps=30).abs().max() < 0.2
    assert descended(problem, lr=0.1).tolist() == pytest.approx(problem.answer.minimum, abs=1e-6)


def test_bowl_descends_as_the_closed_form_says():
    problem = surfaces.bowl(curvatures=(1.0, 4.0))
    expected = [(1 - 0.3 * 1.0) ** 10, (1 - 0.3 * 4.0) ** 10]
    assert descended(problem, lr=0.3, steps=10).tolist() == pytest.approx(expected)


def test_the_parameter_is_x_in_float32_whatever_the_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        (named,) = surfaces.rosenbrock().model.named_parameters()
    finally:
        torch.set_default_dtype(torch.float32)
    assert (named[0], named[1].dtype) == ("x", torch.float32)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("bowl", {"curvatures": ()}, "at least one number"),
        ("bowl", {"curvatures": 3.0}, "curvatures must be a sequence"),
        ("bowl", {"curvatures": (1.0, -2.0)}, "above 0, got -2.0"),
        ("bowl", {"curvatures": (1.0, float("nan"))}, "got nan"),
        ("rastrigin", {"dimensions": 0}, "dimensions must be a whole number of at least 1, got 0"),
        ("rastrigin", {"dimensions": 2.5}, "got 2.5"),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options, words):
    with pytest.raises(SettingError, match=words):
        load(name, **options)
