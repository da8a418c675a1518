"""Lines and planes of every kind against what is known of them: eigenvectors, straight ways, derivatives."""

import copy
import math

import numpy as np
import pytest
import torch

from surefoot import Problem, descend, problems
from surefoot.errors import SettingError
from surefoot.surfaces.planes import Plane
from surefoot.surfaces.surface import landscape

QUADRATIC = torch.diag(torch.tensor([1.0, 9.0, 4.0, 0.5], dtype=torch.float64))


def quadratic() -> Problem:
    return Problem.of(lambda x: x @ QUADRATIC @ x / 2, start=torch.tensor([1.0, 1.0, 1.0, 1.0], dtype=torch.float64))


def double_well() -> Problem:
    """Four weights, the loss depends on the first alone: minima at -1 and 1, a hill of height 1 between them."""
    return Problem.of(lambda x: (x[0] ** 2 - 1) ** 2 + 0 * x.sum(), start=torch.tensor([0.5, 0.0, 0.0, 0.0], dtype=torch.float64))


def test_the_plane_of_curvature_is_that_of_the_largest_eigenvalues():
    surface = landscape(quadratic(), plane="curvature", resolution=5)
    assert torch.allclose(surface.plane.directions.abs(), torch.eye(4, dtype=torch.float64)[[1, 2]], atol=1e-5)
    x, y = np.meshgrid(*surface.axes)
    signs = surface.plane.directions.sum(1).sign().numpy()
    closed = (1 + 0.5 + 9 * (1 + signs[0] * x) ** 2 + 4 * (1 + signs[1] * y) ** 2) / 2
    assert surface.loss == pytest.approx(closed, rel=1e-6)


def test_the_plane_of_curvature_of_a_network_curves_more_than_any_random_one():
    problem = problems.load("digits-mlp", width=8)
    run = descend(problem, lr=0.2, steps=100)
    steep = landscape(problem, run, plane="curvature", resolution=3, extent=(-0.1, 0.1, -0.1, 0.1), data=500)

    def bend(plane: Plane) -> float:
        along = Plane(plane.origin, plane.directions[:1] / plane.directions[0].norm())
        left, middle, right = landscape(problem, plane=along, resolution=3, extent=(-0.1, 0.1), data=500).loss
        return (left - 2 * middle + right) / 0.1**2

    generator = torch.Generator().manual_seed(0)
    others = [bend(Plane(run.path[-1], torch.randn(1, len(run.path[-1]), generator=generator))) for _ in range(5)]
    assert bend(steep.plane) > 3 * max(others)


def test_the_line_between_two_ends_shows_the_hill_between_them():
    problem = double_well()
    left = descend(problem.with_(model=started(problem, -0.5)), lr=0.1, steps=200)
    right = descend(problem, lr=0.1, steps=200)
    surface = landscape(problem, [left, right], plane="line", resolution=121)
    (t,) = surface.axes
    assert surface.loss == pytest.approx(((2 * t - 1) ** 2 - 1) ** 2, abs=1e-9)
    assert surface.barrier == pytest.approx(1, abs=1e-3)
    assert "rises 1 above the straight way" in str(surface)
    assert [path.coordinates[-1, 0] for path in surface.paths] == pytest.approx([0, 1])


def started(problem: Problem, at: float) -> torch.nn.Module:
    model = copy.deepcopy(problem.model)
    with torch.no_grad():
        model.x[0] = at
    return model


def test_the_line_of_one_run_goes_from_its_start_to_its_end():
    run = descend(quadratic(), lr=0.1, steps=300)
    surface = landscape(quadratic(), run, plane="line", resolution=21, extent=(0, 1))
    assert surface.loss[0] == pytest.approx(14.5 / 2)
    assert surface.loss[-1] == pytest.approx(float(run.trace["loss"][-1]), rel=0.1)
    assert surface.barrier < 1e-12  # a convex function lies below its chord


def test_slopes_are_derivatives():
    cubic = Problem.of(lambda x: (x**3).sum(), start=torch.tensor([1.0], dtype=torch.float64))
    surface = landscape(cubic, resolution=21, extent=(-2, 2))
    assert surface.slope == pytest.approx(3 * surface.axes[0] ** 2, abs=1e-9)
    looks = Problem.of(
        lambda x: (x**3).sum() if float(x.detach()[0]) < 9 else x.sum(), start=torch.tensor([1.0], dtype=torch.float64)
    )
    one_by_one = landscape(looks, resolution=21, extent=(-2, 2))
    assert "one by one" in one_by_one.note
    assert one_by_one.slope == pytest.approx(3 * surface.axes[0] ** 2, abs=1e-9)


def test_slopes_of_a_network_are_difference_quotients():
    problem = problems.load("digits-mlp", width=8)
    double = problem.with_(model=copy.deepcopy(problem.model).double())
    run = descend(problem, lr=0.2, steps=50)
    line = Plane(run.path[0].double(), (run.path[-1] - run.path[0]).double()[None])
    step = 1e-5
    slope = landscape(double, plane=line, resolution=3, extent=(0, 1)).slope
    for at, expected in zip((0.0, 0.5, 1.0), slope, strict=True):
        before, after = landscape(double, plane=line, resolution=2, extent=(at - step, at + step)).loss
        assert (after - before) / (2 * step) == pytest.approx(expected, rel=1e-5)


def test_a_plane_of_ones_own():
    directions = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 2.0]], dtype=torch.float64)
    surface = landscape(
        quadratic(), plane=Plane(torch.zeros(4, dtype=torch.float64), directions), resolution=3, extent=(-1, 1, -1, 1)
    )
    assert surface.loss.tolist() == [[1.5, 1, 1.5], [0.5, 0, 0.5], [1.5, 1, 1.5]]
    assert surface.plane.names == ("first direction", "second direction")


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        ([[1.0, 2, 3, 4], [-2.0, -4, -6, -8]], r"parallel \(cosine -1.000000\): they span a line"),
        ([[1.0, 2, 3, 4], [0.0, 0, 0, 0]], "must be finite and not zero"),
        ([[1.0, 2, 3, 4], [0.0, 0, 0, math.nan]], "must be finite and not zero"),
        ([[1.0, 2], [0.0, 1]], "origin has 4 weights, the directions 2"),
        ([[1.0, 2, 3, 4]] * 3, r"directions \(1 or 2, weights\)"),
    ],
)
def test_directions_that_span_no_plane_are_refused(directions, message):
    with pytest.raises(SettingError, match=message):
        Plane(torch.zeros(4), torch.tensor(directions))


def test_misuse_of_planes_names_what_it_saw():
    with pytest.raises(SettingError, match="The plane has 3 weights, the problem 4"):
        landscape(quadratic(), plane=Plane(torch.zeros(3), torch.eye(3)[:2]))
    with pytest.raises(SettingError, match=r'plane="line" needs a run'):
        landscape(quadratic(), plane="line")
    isotropic = Problem.of(lambda x: (x**2).sum(), start=[1.0, 1.0, 1.0])
    with pytest.raises(SettingError, match="1 direction of a curvature of its own"):
        landscape(isotropic, plane="curvature")


def test_what_chance_would_give_is_said():
    problem = problems.load("digits-mlp", width=8)
    run = descend(problem, lr=0.2, steps=50)
    weights = run.path.weights.shape[1]
    assert landscape(problem, run, resolution=2).by_chance == pytest.approx(0.76, abs=0.001)
    by_random = landscape(problem, run, plane="random", resolution=2)
    assert by_random.by_chance == pytest.approx(2 / weights)
    assert f"random directions would hold {200 / weights:.1g}%" in str(by_random)
