"""What the picture of a surface holds, against a surface made by hand."""

import numpy as np
from planted_pictures import surface

from surefoot.figures.layers import Heat, Line, Points
from surefoot.figures.marks import marks


def test_the_curve_is_the_loss_and_the_walker_is_on_it():
    picture = marks(surface(1))
    curve, walked = picture.of(Line)
    assert np.array_equal(curve.y, surface(1).loss)
    assert np.allclose(walked.y, (walked.x - 1) ** 2)
    assert [points.label for points in picture.of(Points)] == ["start", "end", "minimum"]
    assert picture.of(Points)[2].x.tolist() == [1]


def test_the_heights_are_the_loss_and_what_is_not_finite_is_marked():
    picture = marks(surface(2))
    (heat,) = picture.of(Heat)
    assert np.array_equal(heat.values, surface(2).loss)
    assert heat.diverged.sum() == 4
    assert any("no finite loss" in note for note in picture.notes)


def test_colours_end_a_little_above_where_the_path_began():
    (heat,) = marks(surface(2)).of(Heat)
    assert heat.limits[1] <= 3 * 2.0  # the path begins at a loss of 2, and falls to 0
    assert any("all have its colour" in note for note in marks(surface(2)).notes)
