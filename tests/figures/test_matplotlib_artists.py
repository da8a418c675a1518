"""What matplotlib was given against the marks; and nothing else changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection, PolyCollection, QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from planted_pictures import (
    AWKWARD,
    EVERY_PANELS,
    EVERY_PICTURE,
    found,
    line_problem,
    line_run,
    noisy,
    range_test,
    rates_apart,
    run,
    surface,
)

from surefoot.errors import SettingError
from surefoot.figures.artists import HEX
from surefoot.figures.layers import Faces, Heat, Line, Marks, Points, Rule, Words
from surefoot.figures.marks import marks
from surefoot.figures.matplotlib import THEMES, draw, plot
from surefoot.figures.scales import ticks


def rendered(axes):
    axes.figure.canvas.draw()
    return np.asarray(axes.figure.canvas.buffer_rgba())


@pytest.mark.parametrize(("answer", "kind", "problem"), EVERY_PICTURE.values(), ids=EVERY_PICTURE)
def test_every_picture_is_drawn_with_the_words_and_limits_of_its_marks(answer, kind, problem):
    picture = marks(answer, kind=kind, problem=problem)
    axes = plot(answer, kind=kind, problem=problem)
    assert (axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()) == (picture.title, picture.x_label, picture.y_label)
    assert (axes.get_xscale(), axes.get_yscale()) == (picture.x_scale, picture.y_scale)
    assert (axes.get_xlim(), axes.get_ylim()) == (picture.x_limits, picture.y_limits)
    assert len(np.unique(rendered(axes))) > 10


@pytest.mark.parametrize(("answer", "kind", "problem"), EVERY_PANELS.values(), ids=EVERY_PANELS)
def test_several_pictures_stand_beside_each_other(answer, kind, problem):
    picture = marks(answer, kind=kind, problem=problem)
    figure = plot(answer, kind=kind, problem=problem).figure
    drawn = figure.axes[: len(picture.panels)]
    assert [axes.get_title(loc="left") for axes in drawn] == [panel.title for panel in picture.panels]
    assert [(axes.get_xlim(), axes.get_ylim()) for axes in drawn] == [(panel.x_limits, panel.y_limits) for panel in picture.panels]
    assert len(figure.axes) == len(drawn) + bool(picture.panels[0].of(Heat))  # one scale of colours for all
    assert figure.get_suptitle() == picture.title
    with pytest.raises(SettingError, match="These are 4 pictures, which need a figure of their own"):
        plot(answer, kind=kind, problem=problem, ax=figure.axes[0])


@pytest.mark.parametrize(("theme", "paper", "ink"), [("light", "#ffffff", "#000000"), ("dark", "#16181d", "#e8e8e8")])
def test_themes_have_their_paper_and_ink(theme, paper, ink):
    before = dict(mpl.rcParams)
    axes = plot(run(noisy(30)), theme=theme)
    assert (to_hex(axes.figure.get_facecolor()), to_hex(axes.get_facecolor())) == (paper, paper)
    assert to_hex(axes.xaxis.label.get_color()) == ink
    assert dict(mpl.rcParams) == before
    with pytest.raises(SettingError, match=r"no theme named 'drak'\. Did you mean 'dark'"):
        plot(run(noisy(30)), theme="drak")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("colour", HEX)
def test_every_colour_is_seen_on_its_paper(theme, colour):
    """WCAG 2.2, 1.4.11: graphics need a contrast of 3 to what is beside them; the palest of the palette (Okabe and Ito) have 2 on white."""

    def luminance(code):
        parts = [int(code[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    paper = luminance(str(THEMES[theme]["figure.facecolor"]) if theme == "dark" else "#ffffff")
    brighter, darker = sorted([luminance(HEX[colour]), paper], reverse=True)
    assert (brighter + 0.05) / (darker + 0.05) > 2


@pytest.mark.parametrize("answer", AWKWARD.values(), ids=AWKWARD)
def test_awkward_losses_are_drawn(answer):
    rendered(plot(answer, kind="loss"))


@pytest.mark.parametrize("answer", [run(noisy(300)), range_test(noise=0.05), found()], ids=["run", "range test", "found"])
def test_lines_carry_the_numbers_of_the_marks(answer):
    drawn = {line.get_label(): line.get_xydata() for line in plot(answer).lines}
    for layer in marks(answer).of(Line):
        np.testing.assert_array_equal(drawn[layer.label or "_"], np.column_stack([layer.x, layer.y]))


def test_rules_stand_at_their_rates_and_say_which():
    picture, axes = marks(range_test(highest=1e4)), plot(range_test(highest=1e4))
    assert len(picture.of(Rule)) > 3
    upright = sorted(line.get_xdata()[0] for line in axes.lines if list(line.get_ydata()) == [0, 1])
    assert upright == sorted(rule.at for rule in picture.of(Rule))
    assert {rule.label for rule in picture.of(Rule)} <= {text.get_text() for text in axes.texts}


def test_the_fit_is_red_and_the_truth_green():
    axes = plot(line_run(), kind="fit", problem=line_problem())
    colours = {line.get_label().split(":")[0]: to_hex(line.get_color()).upper() for line in axes.lines}
    assert colours == {"true": HEX["green"], "fitted": HEX["red"]}
    (points,) = [artist for artist in axes.collections if isinstance(artist, PathCollection)]
    np.testing.assert_array_equal(points.get_offsets(), np.column_stack([part.numpy() for part in line_problem().data]))


def test_the_map_carries_its_cells():
    (heat,) = marks(rates_apart(), kind="map").of(Heat)
    axes = plot(rates_apart(), kind="map")
    mesh, _ = [artist for artist in axes.collections if isinstance(artist, QuadMesh)]
    np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), np.nan), heat.values)
    assert (mesh.norm.vmin, mesh.norm.vmax) == heat.limits
    best = marks(rates_apart(), kind="map").of(Points)[0]
    assert any(np.array_equal(artist.get_offsets(), np.column_stack([best.x, best.y])) for artist in axes.collections)


@pytest.mark.parametrize(
    "answer", [range_test(noise=0.02, highest=1e4), AWKWARD["eight"], found()], ids=["range test", "eight", "found"]
)
def test_words_overlap_neither_the_data_nor_each_other(answer):
    axes = plot(answer)
    axes.figure.draw_without_rendering()
    words = [text for text in axes.texts if text.get_text() in {rule.label for rule in marks(answer).of(Rule)}]
    # without the poles, which lead from the words to the data
    boxes = [mpl.text.Text.get_window_extent(text) for text in words] + [axes.get_legend().get_window_extent()]
    boxes.append(axes._left_title.get_window_extent())
    frame = axes.get_window_extent()
    for place, box in enumerate(boxes):
        assert box.y0 >= frame.y1 - 1
        assert box.x1 <= axes.figure.bbox.x1
        assert not any(box.overlaps(other) for other in boxes[:place])


def test_ticks_are_those_of_the_marks_also_after_zooming():
    axes = plot(range_test())
    assert list(axes.get_xticks()) == list(ticks(axes.get_xlim(), "log", 7))
    axes.set_xlim(0.01, 0.5)
    assert list(axes.get_xticks()) == [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5"]


def test_on_axes_of_the_users():
    figure = Figure(figsize=(8, 3))
    left, right = figure.subplots(1, 2)
    assert plot(run(noisy(20)), ax=right) is right
    assert right.lines
    assert not left.lines


def test_in_a_part_of_a_figure():
    figure = Figure(layout="constrained")
    part, _ = figure.subfigures(1, 2)
    axes = part.subplots()
    assert plot(range_test(), ax=axes) is axes
    figure.draw_without_rendering()


def test_a_notebook_shows_it():
    png = plot(run(noisy(20)))._repr_png_()
    assert png.startswith(b"\x89PNG")


def test_it_can_be_saved(tmp_path):
    axes = plot(found())
    for name in ("a.png", "a.svg", "a.pdf"):
        axes.figure.savefig(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000


def test_marks_load_no_renderer_and_drawing_loads_no_pyplot():
    code = """
import sys
import surefoot.figures.marks
assert not {"matplotlib", "plotext", "PIL"} & set(sys.modules)
import matplotlib
before = list(dict.items(matplotlib.rcParams))  # not through rcParams itself: asking it for the backend loads pyplot
from surefoot.figures.matplotlib import plot
from planted_pictures import found, rates_apart
plot(found()).figure.canvas.draw()
plot(rates_apart(), kind="map").figure.canvas.draw()
assert "matplotlib.pyplot" not in sys.modules
assert list(dict.items(matplotlib.rcParams)) == before
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=environment)


def test_backend_settings_and_current_figure_stay():
    import matplotlib.pyplot as plt

    plt.switch_backend("svg")
    try:
        mine = plt.figure()
        before = (plt.get_backend(), dict(mpl.rcParams), plt.get_fignums(), len(mine.axes))
        for answer, kind, problem in EVERY_PICTURE.values():
            axes = plot(answer, kind=kind, problem=problem)
            assert isinstance(axes.figure.canvas, FigureCanvasAgg)
        assert (plt.get_backend(), dict(mpl.rcParams), plt.get_fignums(), len(mine.axes)) == before
        assert plt.gcf() is mine
    finally:
        plt.close("all")
        plt.switch_backend("agg")


def test_a_dark_style_of_the_users_is_followed():
    with mpl.rc_context({"text.color": "white", "axes.facecolor": "black", "figure.facecolor": "black"}):
        axes = plot(rates_apart(), kind="map")
        edges = [
            to_hex(colour)
            for artist in axes.collections
            if isinstance(artist, PathCollection)
            for colour in artist.get_edgecolors()
        ]
    assert "#ffffff" in edges


def test_a_relief_has_the_faces_of_its_marks_in_their_order_and_axes_of_its_own():
    picture, axes = marks(surface(), kind="3d"), plot(surface(), kind="3d")
    (faces,) = picture.of(Faces)
    (drawn,) = [artist for artist in axes.collections if isinstance(artist, PolyCollection)]
    corners = np.array([path.vertices[:3] for path in drawn.get_paths()])
    np.testing.assert_array_equal(corners, np.stack([faces.x, faces.y], -1))
    assert not any(axes.spines[side].get_visible() for side in axes.spines)
    assert not axes.xaxis.get_visible()
    words = [text for layer in picture.of(Words) for text in layer.texts]
    assert words == [text.get_text() for text in axes.texts if text.get_text() in words]
    assert {line.get_linestyle() for line in axes.lines if line.get_zorder() > drawn.get_zorder()} == {"-", ":"}
    assert max(line.get_zorder() for line in axes.lines if line.get_color() == HEX["grey"]) < drawn.get_zorder()


def two_faces(values, *shade):
    """The second triangle covers the first."""
    x, y = np.array([[0.1, 0.9, 0.5]] * 2), np.array([[0.1, 0.1, 0.9]] * 2)
    faces = Faces(x, y, values, list(shade) or [1.0, 1.0], (0.0, 1.0), "linear", "loss")
    return Marks("two", "x", "y", (0, 1), (0, 1), frameless=True, layers=(faces,))


def pixel(axes, x, y):
    image = rendered(axes)
    column, row = axes.transData.transform((x, y)).astype(int)
    return image[len(image) - 1 - row, column, :3] / 255


def test_the_later_face_is_seen_in_its_colour_and_shade():
    viridis = np.array(mpl.colormaps["viridis"]([0.0, 1.0]))[:, :3]
    np.testing.assert_allclose(pixel(draw(two_faces([0.0, 1.0])), 0.5, 0.4), viridis[1], atol=0.01)
    np.testing.assert_allclose(pixel(draw(two_faces([1.0, 0.0])), 0.5, 0.4), viridis[0], atol=0.01)
    np.testing.assert_allclose(pixel(draw(two_faces([0.0, 1.0], 1.0, 0.5)), 0.5, 0.4), viridis[1] / 2, atol=0.01)
    red, green, blue = pixel(draw(two_faces([1.0, np.nan])), 0.5, 0.4)
    assert red == green == blue
    assert 0.5 < red < 1


@pytest.mark.parametrize("style", [{}, {"text.color": "white", "axes.facecolor": "black", "figure.facecolor": "black"}], ids=str)
def test_the_words_of_a_relief_are_inside_the_figure_and_the_colour_of_all_words(style):
    with mpl.rc_context(style):
        axes = plot(surface(), kind="3d")
    axes.figure.draw_without_rendering()
    for text in axes.texts:
        box = text.get_window_extent()
        assert axes.figure.bbox.x0 <= box.x0 < box.x1 <= axes.figure.bbox.x1
        assert axes.figure.bbox.y0 <= box.y0 < box.y1 <= axes.figure.bbox.y1
        assert to_hex(text.get_color()) == ("#ffffff" if style else "#000000")
