"""The picture of a surface in 3-D against closed forms, rays through every triangle, and rays marched over a formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planted_pictures import surface as parabola

from surefoot.errors import SettingError
from surefoot.figures.height_field import draped, faces, height_field, hidden, lifted
from surefoot.figures.layers import Faces, Line, Points, Words
from surefoot.figures.marks import marks
from surefoot.figures.pictures.relief import relief_picture
from surefoot.surfaces.planes import Plane
from surefoot.surfaces.surface import PathOn, Surface

TALL = 1.4  # of the box, as the docstring of the picture says
SIDES = [(-60.0, 35.0), (25.0, 20.0), (130.0, 50.0), (-135.0, 35.0), (0.0, 30.0), (90.0, 60.0)]


def surface_of(formula, *paths, resolution=41):
    """A surface over -1 to 1 whose loss is 10 to 20 (a linear scale), and paths with those coordinates."""
    axis = np.linspace(-1, 1, resolution)
    loss = formula(*np.meshgrid(axis, axis))
    plane = Plane(torch.zeros(2), torch.eye(2), "axes", ("u", "v"))
    highest = np.full(1, np.max(loss[np.isfinite(loss)], initial=1.0))
    walked = tuple(
        PathOn(np.arange(len(path)), np.array(path, dtype=float), highest, highest, np.zeros(len(path)), 1.0) for path in paths
    )
    return Surface((axis, axis), loss, walked, 1.0, 0.76, plane, 1, (), True, "", 0.0)


def seen(points, azimuth=-60.0, elevation=35.0):
    """The projection that the docstring promises."""
    x, y, z = np.moveaxis(np.asarray(points, dtype=float), -1, 0)
    a, e = np.radians([azimuth, elevation])
    return np.stack([y * np.cos(a) - x * np.sin(a), z * np.cos(e) - (x * np.cos(a) + y * np.sin(a)) * np.sin(e)], -1)


def sight(azimuth, elevation):
    a, e = np.radians([azimuth, elevation])
    return np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])


def hills(seed, size=9, holes=0):
    rng = np.random.default_rng(seed)
    heights = TALL * rng.random((size, size))
    heights.reshape(-1)[rng.choice(size * size, holes, replace=False)] = np.nan
    x, y = (np.concatenate([[-1.0], np.sort(rng.uniform(-0.95, 0.95, size - 2)), [1.0]]) for _ in range(2))
    return x, y, heights


def met(origins, direction, triangles):
    """(origins,) whether a ray meets one of the triangles (Moeller and Trumbore 1997), each ray against each triangle."""
    a, b, c = np.moveaxis(triangles, 1, 0)
    across = np.cross(direction, c - a)
    determinant = ((b - a) * across).sum(1)
    from_a = origins[:, None] - a
    with np.errstate(divide="ignore", invalid="ignore"):
        u = (from_a * across).sum(2) / determinant
        q = np.cross(from_a, b - a)
        v = q @ direction / determinant
        t = (q * (c - a)).sum(2) / determinant
    return ((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)).any(1)


@pytest.mark.parametrize(("azimuth", "elevation"), [(azimuth, max(elevation, 35.0)) for azimuth, elevation in SIDES])
def test_on_a_tilted_plane_everything_is_seen_and_lies_in_the_plane(azimuth, elevation):
    path = np.array([[-0.8, -0.7], [0.31, -0.2], [0.35, 0.6], [-0.4, 0.9]])
    picture = relief_picture(surface_of(lambda x, y: 15 + 0.3 * x + 0.2 * y, path), azimuth, elevation)
    (line,) = [line for line in picture.of(Line) if line.label]
    assert not [layer for layer in picture.of(Line) if layer.style == "dotted"]
    assert not np.isnan(line.x).any()

    def closed(floor):
        """In the box the loss goes from 0 (14.5) to 1.4 (15.5)."""
        return np.column_stack([floor, TALL * (0.5 + 0.3 * floor[:, 0] + 0.2 * floor[:, 1])])

    # where on the floor is what was drawn? the projection of a plane can be turned round
    origin = seen(closed(np.zeros((1, 2))), azimuth, elevation)[0]
    turn = seen(closed(np.eye(2)), azimuth, elevation) - origin
    floor = np.linalg.solve(turn.T, (np.column_stack([line.x, line.y]) - origin).T).T
    for corner in path:
        assert np.abs(floor - corner).max(1).min() < 1e-9
    ends = np.stack([path[:-1], path[1:]], 1)
    step = ends[:, 1] - ends[:, 0]
    share = np.clip(((floor[:, None] - ends[:, 0]) * step).sum(2) / (step**2).sum(1), 0, 1)
    nearest = np.linalg.norm(floor[:, None] - ends[:, 0] - share[..., None] * step, axis=2).min(1)
    assert nearest.max() < 1e-9


def test_a_plane_that_is_seen_from_below_hides_its_path():
    picture = relief_picture(surface_of(lambda x, y: 15 - y, [[-0.5, -0.5], [0.5, 0.6]]), -90.0, 10.0)
    (line,) = [line for line in picture.of(Line) if line.label]
    assert (line.label, line.style) == ("descent", "dotted")
    assert all(points.faint for points in picture.of(Points))


@pytest.mark.parametrize("azimuth", [-20.0, 15.0, 160.0])
def test_behind_a_ridge_is_hidden_where_a_ray_marched_over_the_formula_says_so(azimuth):
    def ridge(x, y):
        return 12 + 6 * np.exp(-((x / 0.25) ** 2)) * (1 + 0.1 * y)

    floor = np.column_stack([np.linspace(-0.95, 0.95, 60), np.linspace(-0.3, 0.3, 60)])
    low, high = 12 + 6 * np.exp(-16) * 0.9, 12 + 6 * 1.1
    picture = relief_picture(surface_of(ridge, floor, resolution=81), azimuth, 30.0)
    lines = {line.style: np.column_stack([line.x, line.y]) for line in picture.of(Line) if line.colour == "red"}
    ray, along = sight(azimuth, 30.0), np.linspace(0.03, 3, 3000)[:, None]
    found = {True: 0, False: 0}
    for x, y in floor:
        height = TALL * (ridge(x, y) - low) / (high - low)
        march = np.array([x, y, height]) + along * ray
        march = march[np.abs(march[:, :2]).max(1) <= 1]
        clear = (march[:, 2] - TALL * (ridge(march[:, 0], march[:, 1]) - low) / (high - low)).min(initial=1.0)
        if abs(clear) > 0.01:  # what grazes the ridge may be on either side with flat faces
            at = seen([x, y, height], azimuth, 30.0)
            dotted, solid = (np.nanmin(np.linalg.norm(lines[style] - at, axis=1)) for style in ("dotted", "solid"))
            assert bool(dotted < solid) is bool(clear < 0), (x, y)
            found[bool(clear < 0)] += 1
    assert min(found.values()) > 5


@pytest.mark.parametrize("seed", range(6))
def test_hidden_is_what_meets_a_triangle_on_its_way(seed):
    azimuth, elevation = SIDES[seed]
    field = height_field(*hills(seed, holes=seed), azimuth, elevation)
    path = np.random.default_rng(seed).uniform(-1.2, 1.2, (30, 2))
    first, last, behind = draped(field, path)
    middle = (first + last) / 2
    triangles, solid = faces(field)
    above = middle + np.array([0, 0, 1e-7])  # the path is on the upper side of its face
    expected = met(above, sight(azimuth, elevation), triangles[solid])
    assert 0.1 < expected.mean() < 0.9
    assert np.array_equal(behind, expected)
    assert np.array_equal(hidden(field, middle), expected)


@pytest.mark.parametrize("seed", range(3))
def test_a_piece_is_seen_or_hidden_as_a_whole(seed):
    field = height_field(*hills(seed), *SIDES[seed])
    first, last, _ = draped(field, np.random.default_rng(seed).uniform(-1, 1, (20, 2)))
    triangles, _ = faces(field)
    asked = [first + share * (last - first) for share in (0.02, 0.3, 0.7, 0.98)]
    answers = [met(points + np.array([0, 0, 1e-7]), sight(*SIDES[seed]), triangles) for points in asked]
    long = np.linalg.norm(last - first, axis=1) > 1e-3  # nearer to an edge than the 1e-7 above, the answer is that of the edge
    assert long.sum() > 100
    for answer in answers:
        assert np.array_equal(answer[long], answers[0][long])


@pytest.mark.parametrize("seed", range(6))
def test_of_two_faces_at_one_place_of_the_picture_the_nearer_is_drawn_later(seed):
    azimuth, elevation = SIDES[seed]
    triangles, _ = faces(height_field(*hills(seed, holes=seed), azimuth, elevation))
    flat, far = seen(triangles, azimuth, elevation), triangles @ sight(azimuth, elevation)
    overlaps = 0
    for place in np.random.default_rng(seed).uniform(-1.2, 1.2, (400, 2)):
        sides = np.linalg.det(np.stack([flat[:, [1, 2, 0]] - flat, place - flat], -1))  # of the place and each edge
        whole = sides.sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            weights = sides[:, [1, 2, 0]] / whole[:, None]
        inside = np.flatnonzero((weights > 1e-6).all(1) & (np.abs(whole) > 1e-9))
        depth = (weights * far)[inside].sum(1)
        assert (np.diff(depth) > -1e-9).all()
        overlaps += len(inside) > 1
    assert overlaps > 50


def test_the_faces_are_the_grid():
    picture = marks(surface_of(lambda x, y: 15 + 2 * x * y, resolution=5), kind="3d")
    (drawn,) = picture.of(Faces)
    x, y = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5))
    expected = seen(np.stack([x, y, TALL * (0.5 + 0.5 * x * y)], -1)).reshape(-1, 2)
    corners = np.stack([drawn.x, drawn.y], -1).reshape(-1, 2)
    assert drawn.x.shape == (32, 3)
    assert np.abs(corners[:, None] - expected).max(2).min(1).max() < 1e-12
    assert np.abs(corners[:, None] - expected).max(2).min(0).max() < 1e-12
    assert drawn.values.min() >= 13
    assert drawn.values.max() <= 17
    assert ((drawn.shade > 0) & (drawn.shade <= 1)).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_path_along_a_line_of_the_grid_follows_its_heights(axis):
    x, y, heights = hills(3)
    field = height_field(x, y, heights, -60.0, 35.0)
    fixed, along = ((x, y), (y, x))[axis]
    path = np.full((2, 2), fixed[4])
    path[:, 1 - axis] = -1, 1
    profile = (heights[:, 4], heights[4])[axis]
    for points in draped(field, path)[:2]:
        np.testing.assert_allclose(points[:, 2], np.interp(points[:, 1 - axis], along, profile), atol=1e-12)
    first, last, _ = draped(field, path)
    assert (last - first)[:, 1 - axis].sum() == pytest.approx(2)


def test_a_path_along_the_diagonals_follows_them():
    axis = np.linspace(-1, 1, 9)
    heights = np.random.default_rng(0).random((9, 9))
    first, last, _ = draped(height_field(axis, axis, heights, -60.0, 35.0), np.array([[1.0, -1.0], [-1.0, 1.0]]))
    for points in (first, last):
        np.testing.assert_allclose(points[:, 2], np.interp(points[:, 1], axis, heights[range(9), range(8, -1, -1)]), atol=1e-12)


@pytest.mark.parametrize("path", [[[0.2, 0.4]], [[0.2, 0.4]] * 3], ids=["one point", "one place"])
def test_a_path_that_goes_nowhere_is_its_two_ends(path):
    picture = relief_picture(surface_of(lambda x, y: 15 + 0.3 * x + 0.2 * y, path))
    assert not [line for line in picture.of(Line) if line.label]
    expected = seen([0.2, 0.4, TALL * (0.5 + 0.06 + 0.08)])
    for points in picture.of(Points):
        np.testing.assert_allclose([points.x[0], points.y[0]], expected, atol=1e-12)
    assert [points.label for points in picture.of(Points)] == ["start", "end"]


@pytest.mark.parametrize("out", [1.5, 40.0, 1e300])
def test_a_path_that_leaves_the_grid_ends_at_its_border(out):
    picture = relief_picture(surface_of(lambda x, y: 15 + 0.3 * x + 0.2 * y, [[0.0, 0.0], [out, 0.5 * out]]))
    (line,) = [line for line in picture.of(Line) if line.label]
    expected = seen([1, 0.5, TALL * (0.5 + 0.3 + 0.1)])
    np.testing.assert_allclose([line.x[-1], line.y[-1]], expected, atol=1e-6)
    assert [points.label for points in picture.of(Points)] == ["start"]


def test_what_is_not_finite_is_a_grey_patch_on_the_floor_and_is_said():
    def torn(x, y):
        return np.where((np.abs(x) < 0.01) & (np.abs(y) < 0.01), np.nan, np.where((x > 0.99) & (y > 0.99), np.inf, 15 + x))

    picture = relief_picture(surface_of(torn, [[-0.5, 0.03], [0.5, 0.03]]))
    (drawn,) = picture.of(Faces)
    lost = np.isnan(drawn.values)
    assert lost.sum() == 2 * (4 + 1)
    axis = np.linspace(-1, 1, 41)
    floor = seen(np.stack([*np.meshgrid(axis, axis), np.zeros((41, 41))], -1)).reshape(-1, 2)
    corners = np.stack([drawn.x, drawn.y], -1)[lost].reshape(-1, 2)
    assert np.abs(corners[:, None] - floor).max(2).min(1).max() < 1e-12
    assert "Grey, on the floor: no finite loss." in picture.notes
    assert not any("Grey" in note for note in relief_picture(surface_of(lambda x, y: 15 + x)).notes)
    lines = [np.column_stack([line.x, line.y]) for line in picture.of(Line) if line.colour == "red"]
    below = seen([0.0, 0.03, 0.0])  # the path goes on over the patch
    assert min(np.nanmin(np.linalg.norm(line - below, axis=1)) for line in lines) < 0.06


def test_a_surface_without_a_finite_loss_is_all_floor():
    (drawn,) = relief_picture(surface_of(lambda x, y: np.where(x < 2, np.inf, y), resolution=5)).of(Faces)
    assert np.isnan(drawn.values).all()


def test_over_decades_the_height_is_the_logarithm():
    picture = relief_picture(surface_of(lambda x, y: 10.0 ** (2 * x)))
    (heights,) = [words for words in picture.of(Words) if words.anchor == "right center"]
    assert heights.texts == ("0.01", "0.1", "1", "10", "100")
    np.testing.assert_allclose(np.diff(heights.y), TALL / 4 * np.cos(np.radians(35)), atol=1e-12)
    assert "The height is the logarithm of the loss." in picture.notes


def test_losses_above_the_colours_are_cut_off_and_it_is_said():
    picture = marks(parabola(2), kind="3d")
    (drawn,) = picture.of(Faces)
    assert np.nanmax(drawn.values) <= drawn.limits[1]
    assert any("cut off" in note for note in picture.notes)
    top = max(words.y.max() for words in picture.of(Words))
    assert drawn.y.max() <= picture.y_limits[1]
    assert top <= picture.y_limits[1]


def test_many_cells_are_thinned_and_the_ends_stay():
    (drawn,) = relief_picture(surface_of(lambda x, y: 15 + x, resolution=301)).of(Faces)
    assert len(drawn.values) == 2 * 80 * 80
    assert drawn.x.max() == pytest.approx(seen([1, 1, TALL])[0])


def test_the_axes_are_named_and_numbered():
    picture = relief_picture(surface_of(lambda x, y: 15 + x))
    texts = [text for words in picture.of(Words) for text in words.texts]
    assert {"u", "v", "loss", "-1", "1", "14", "16"} <= set(texts)
    for words in picture.of(Words):
        assert ((picture.x_limits[0] <= words.x) & (words.x <= picture.x_limits[1])).all()


def test_points_are_on_the_faces():
    x, y, heights = hills(1)
    field = height_field(x, y, heights, -60.0, 35.0)
    grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    np.testing.assert_allclose(lifted(field, grid)[:, 2], heights.reshape(-1), atol=1e-12)
    triangles, _ = faces(field)
    np.testing.assert_allclose(lifted(field, triangles.mean(1)[:, :2]), triangles.mean(1), atol=1e-12)


@pytest.mark.parametrize(("azimuth", "elevation"), [(np.nan, 35.0), (0.0, 0.0), (0.0, 90.0), (np.inf, 30.0)])
def test_a_direction_from_which_nothing_is_seen_is_refused(azimuth, elevation):
    with pytest.raises(SettingError, match="5 to 85"):
        relief_picture(parabola(2), azimuth, elevation)


def test_a_line_has_no_relief():
    with pytest.raises(SettingError, match='kind="landscape"'):
        marks(parabola(1), kind="3d")
