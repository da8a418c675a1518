"""Planes against planted geometry: curves drawn in a known plane, random walks, and right angles."""

import math

import pytest
import torch

from surefoot.errors import SettingError
from surefoot.surfaces.planes import BY_CHANCE, Plane, principal, random, through


def rotated(points: torch.Tensor, dimensions: int, seed: int = 0) -> torch.Tensor:
    """2-D points in a random plane of many dimensions, away from zero."""
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(dimensions, 2, generator=generator, dtype=torch.float64))
    return points @ basis.T + torch.randn(dimensions, generator=generator, dtype=torch.float64)


def spiral(points: int = 60) -> torch.Tensor:
    t = torch.linspace(0, 6, points, dtype=torch.float64)
    return torch.stack([t * t.cos(), t * t.sin()], 1)


def test_a_curve_in_a_plane_is_held_whole():
    path = rotated(spiral(), 500)
    plane = principal([path])
    assert plane.explained(path) == pytest.approx(1, abs=1e-12)
    assert plane.distance(path).max() < 1e-10
    assert torch.allclose(plane.rows(plane.coordinates(path)), path, atol=1e-10)
    assert torch.allclose(plane.directions @ plane.directions.T, torch.eye(2, dtype=torch.float64), atol=1e-10)
    # shapes are kept: distances between points are those of the planted curve
    shown = plane.coordinates(path)
    assert torch.allclose(torch.nn.functional.pdist(shown), torch.nn.functional.pdist(spiral()), atol=1e-8)


def test_a_random_walk_gives_what_chance_gives():
    shares = []
    for seed in range(5):
        steps = torch.randn(500, 5000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        walk = steps.cumsum(0)
        shares.append(principal([walk]).explained(walk))
    assert sum(shares) / len(shares) == pytest.approx(0.76, abs=0.01)
    assert BY_CHANCE[2] == pytest.approx(0.76, abs=0.001)


def test_the_plane_passes_through_the_end_of_the_first_path():
    paths = [rotated(spiral(), 50), rotated(spiral(30), 50, seed=1)]
    plane = principal(paths)
    assert torch.equal(plane.origin, paths[0][-1])
    assert plane.coordinates(paths[0][-1:]).abs().max() < 1e-12


def test_distance_is_that_of_pythagoras():
    plane = Plane(torch.zeros(3), torch.tensor([[2.0, 0, 0], [1.0, 1.0, 0]]), "random", ("a", "b"))  # not at right angles
    assert plane.distance(torch.tensor([[7.0, -3.0, 4.0]])).item() == pytest.approx(4)
    assert plane.coordinates(torch.tensor([[7.0, -3.0, 4.0]]))[0].tolist() == pytest.approx([5, -3])


def test_a_plane_through_three_points_holds_them():
    points = [torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    plane = through(points)
    assert plane.distance(torch.stack(points)).max() < 1e-10
    assert plane.coordinates(torch.stack(points))[:2].tolist() == [
        pytest.approx([0, 0], abs=1e-12),
        pytest.approx([1, 0], abs=1e-12),
    ]
    assert abs(float(plane.directions[0] @ plane.directions[1])) < 1e-9


def test_points_on_one_line_are_refused():
    a, b = torch.zeros(4), torch.ones(4)
    with pytest.raises(SettingError, match="on one line"):
        through([a, b, 2 * b])
    with pytest.raises(SettingError, match="same point"):
        through([a, a])


def test_a_path_that_does_not_move_is_refused():
    with pytest.raises(SettingError, match="fewer than 2 directions"):
        principal([torch.ones(5, 3)])
    with pytest.raises(SettingError, match="fewer than 2 directions"):
        principal([torch.ones(1, 3)])


def test_random_directions_are_normalised_filter_by_filter():
    shapes = {"conv": torch.Size([4, 3, 2, 2]), "bias": torch.Size([4]), "linear": torch.Size([5, 7])}
    start = torch.randn(48 + 4 + 35, generator=torch.Generator().manual_seed(3))
    plane = random(start, shapes, seed=0)
    for direction in plane.directions:
        assert torch.allclose(direction[:48].view(4, -1).norm(dim=1), start[:48].view(4, -1).norm(dim=1), rtol=1e-5)
        assert not direction[48:52].any()
        assert torch.allclose(direction[52:].view(5, 7).norm(dim=1), start[52:].view(5, 7).norm(dim=1), rtol=1e-5)
    unit = plane.directions / plane.directions.norm(dim=1, keepdim=True)
    assert abs(float(unit[0] @ unit[1])) < 0.5  # drawn independently
    assert torch.equal(plane.directions, random(start, shapes, seed=0).directions)
    assert not torch.equal(plane.directions, random(start, shapes, seed=1).directions)


def test_only_biases_have_no_random_direction():
    with pytest.raises(SettingError, match="No weights but biases"):
        random(torch.ones(3), {"bias": torch.Size([3])}, seed=0)


def test_explained_of_a_standing_path_is_not_a_number():
    assert math.isnan(Plane(torch.zeros(2), torch.eye(2), "axes", ("x", "y")).explained(torch.ones(3, 2)))
