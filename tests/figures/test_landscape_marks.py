"""What the picture of a surface holds, against a surface made by hand."""

import dataclasses

import numpy as np
import pytest
from planted_pictures import line_problem, line_run, race, range_test, rates_apart, run, surface

from surefoot.errors import SettingError
from surefoot.figures.layers import Arrows, Contour, Heat, Line, Points, Rule
from surefoot.figures.marks import marks
from surefoot.run import Path


def test_the_curve_is_the_loss_in_two_parts_that_meet():
    picture = marks(surface(1))
    falling, rising, walked, tangent = picture.of(Line)
    whole = np.where(np.isfinite(falling.y), falling.y, rising.y)
    assert np.array_equal(whole, surface(1).loss, equal_nan=True) or np.isinf(surface(1).loss).any()
    x = surface(1).axes[0]
    assert falling.x[np.isfinite(falling.y)].max() == x[np.searchsorted(x, 1.0)]  # up to where the other begins
    assert rising.x[np.isfinite(rising.y)].min() >= 1 - 1e-12
    assert np.allclose(walked.y, (walked.x - 1) ** 2)
    assert [points.label for points in picture.of(Points)] == ["", "start", "end", "minimum"]
    assert picture.of(Points)[-1].x.tolist() == [1]
    assert tangent.style == "dashed"


def test_the_tangent_touches_the_curve_at_the_end_of_the_path():
    tangent = marks(surface(1)).of(Line)[-1]
    slope = np.diff(tangent.y) / np.diff(tangent.x)
    end = 1 - 0.5**4
    assert slope == pytest.approx(2 * (end - 1), abs=1e-9)
    assert np.interp(end, tangent.x, tangent.y) == pytest.approx((end - 1) ** 2)
    assert tangent.label == "tangent: gradient -0.125"


def test_arrows_go_downhill_as_far_as_it_is_steep():
    (arrows,) = marks(surface(1)).of(Arrows)
    assert (np.sign(arrows.length) == -np.sign(np.round(arrows.x - 1, 9))).all()
    steep = arrows.x != 1
    assert np.ptp(arrows.length[steep] / (arrows.x[steep] - 1)) == pytest.approx(0, abs=1e-12)


def test_a_plateau_has_no_direction():
    flat = dataclasses.replace(surface(1), loss=np.maximum(surface(1).loss, 0.5), slope=None)
    slope = np.where(surface(1).loss > 0.5, surface(1).slope, 0.0)
    picture = marks(dataclasses.replace(flat, slope=slope, paths=(), minima=()))
    assert [line.label for line in picture.of(Line)][-1] == "gradient 0: no step"


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


def test_contours_of_a_round_bowl_are_circles():
    fine = surface(2, resolution=301)
    (lines,) = marks(fine).of(Contour)
    radius = np.hypot(lines.x - 1, lines.y - 1)
    radius = radius[np.isfinite(radius)]
    off = np.abs(radius[:, None] ** 2 - lines.levels).min(1)
    assert off.max() < 0.01
    assert len(np.unique(np.abs(radius[:, None] ** 2 - lines.levels).argmin(1))) == len(lines.levels) == 12


def test_a_fine_grid_is_thinned_to_what_can_be_seen():
    (heat,) = marks(surface(2, resolution=1501)).of(Heat)
    assert len(heat.x) == len(heat.y) == 501


def test_a_diverging_path_ends_where_it_leaves_the_picture_for_good():
    picture = marks(race())
    line = next(line for line in picture.of(Line) if "diverged" in line.label)
    at = 1 - (-1.4) ** np.arange(41)  # 0, 2.4, -0.96, 3.744, ...; the picture is from -1 to 2
    assert line.x.tolist() == line.y.tolist() == at[:4].tolist()
    assert line.label == "lr 1.2, diverged at 40"


def test_small_multiples_say_what_became_of_each():
    panels = marks(race(), kind="multiples").panels
    assert [panel.title for panel in panels] == ["lr 0.001: too small", "lr 0.4: right", "lr 0.98: too large", "lr 1.2: diverging"]
    assert len({panel.of(Heat)[0].limits for panel in panels}) == 1
    assert len({(panel.x_limits, panel.y_limits) for panel in panels}) == 1
    assert [line.y[0] for panel in panels for line in panel.of(Line)] == [0.0] * 4


def test_small_multiples_compare_nothing_but_rates():
    paths = tuple(
        dataclasses.replace(path, config={"optimizer": name, "lr": 0.1}) for path, name in zip(race().paths, "abcd", strict=True)
    )
    panels = marks(dataclasses.replace(race(), paths=paths), kind="multiples").panels
    assert [panel.title for panel in panels] == ["a", "b: right", "c", "d: diverging"]
    with pytest.raises(SettingError, match="two or more, it has 1"):
        marks(surface(2), kind="multiples")


@pytest.mark.parametrize(("answer", "kind"), [(range_test(), "rate"), (rates_apart(), "map")])
def test_curvature_marks_the_rates_that_it_limits(answer, kind):
    rules = marks(answer, kind=kind, curvature=4.0).of(Rule)
    assert {rule.label: rule.at for rule in rules if "/L" in rule.label} == {"1/L 0.25": 0.25, "2/L 0.5": 0.5}
    assert not [rule for rule in marks(answer, kind=kind).of(Rule) if "/L" in rule.label]
    with pytest.raises(SettingError, match="curvature must be positive"):
        marks(answer, kind=kind, curvature=-1.0)


def test_curves_on_the_way_are_those_of_the_weights_on_the_way():
    import torch

    steps = np.arange(9)
    weights = torch.tensor([[0.1 * step, -0.2 * step] for step in steps], dtype=torch.float64)
    walked = dataclasses.replace(line_run(), path=Path(steps, weights))
    drawn = [line for line in marks(walked, kind="fit", problem=line_problem()).of(Line) if line.faint]
    assert drawn[0].label == "on the way: after 0, 1, 2, 3 steps"
    for step, line in enumerate(drawn):
        assert line.y == pytest.approx(0.1 * step * line.x - 0.2 * step)
    assert not [
        line for line in marks(run([1.0], weights=line_run().weights), kind="fit", problem=line_problem()).of(Line) if line.faint
    ]
