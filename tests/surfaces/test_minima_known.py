"""Minima against those that are known on paper."""

import numpy as np
import pytest
import torch

from surefoot import Problem, problems
from surefoot.surfaces.surface import landscape


def points(surface):
    return np.array([each.point for each in surface.minima])


def test_all_four_of_himmelblau():
    surface = landscape(problems.load("himmelblau"), extent=(-5, 5, -5, 5))
    known = np.array([[3, 2], [-2.805118, 3.131312], [-3.779310, -3.283186], [3.584428, -1.848127]])  # Himmelblau 1972
    assert len(surface.minima) == 4
    for point in known:
        assert np.abs(points(surface) - point).max(1).min() < 1e-5
    assert max(each.loss for each in surface.minima) < 1e-12


def test_the_whole_grid_of_rastrigin():
    surface = landscape(problems.load("rastrigin"), extent=(-4.5, 4.5, -4.5, 4.5), resolution=91)
    assert len(surface.minima) == 81
    nearest = points(surface).round()
    assert len({tuple(point) for point in nearest}) == 81
    assert np.abs(points(surface) - nearest).max() < 0.05  # each a little inside its integer point
    assert surface.minima[0].point == pytest.approx((0, 0), abs=1e-6)


def test_both_valleys_of_a_curve_and_which_is_lower():
    surface = landscape(problems.load("valley"))
    assert [each.point[0] for each in surface.minima] == pytest.approx([2, -1], abs=1e-6)
    assert [each.loss for each in surface.minima] == pytest.approx([0, 9 / 4], abs=1e-6)
    assert "minimum at 2: loss" in str(surface)


def test_the_line_has_one_and_it_is_that_of_least_squares():
    problem = problems.load("line")
    x, y = (part.double().numpy().ravel() for part in problem.data)
    surface = landscape(problem)
    assert points(surface) == pytest.approx(np.polyfit(x, y, 1)[None], abs=1e-6)


def test_a_winding_valley_is_one_minimum():
    surface = landscape(problems.load("rosenbrock"), extent=(-2, 2, -1, 3))
    assert points(surface) == pytest.approx(np.array([[1.0, 1.0]]), abs=1e-5)


def test_none_where_the_loss_falls_beyond_the_edge():
    slope = Problem.of(lambda x: (x * x.new_tensor([1.0, 0.5])).sum(), start=torch.zeros(2))
    assert landscape(slope, extent=(-1, 1, -1, 1)).minima == ()


def test_a_slice_of_a_network_has_none():
    assert landscape(problems.load("digits-linear"), plane="random", resolution=5).minima == ()
