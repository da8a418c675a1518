"""What stands in a terminal against the marks; and nothing else changed."""

from __future__ import annotations

import os
import re

import numpy as np
import plotext
import pytest
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
from surefoot.figures import terminal
from surefoot.figures.layers import Faces, Marks, Words
from surefoot.figures.marks import Rule, marks
from surefoot.figures.terminal import draw, text

COLOUR = re.compile(r"\x1b\[[\d;]*m")


def canvas(lines):
    """The rows between the two edges, without the frame."""
    top, bottom = (next(place for place, line in enumerate(lines) if corner in line) for corner in "┌└")
    return [re.split("[│┤]", line, maxsplit=1)[1][:-1] for line in lines[top + 1 : bottom]]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize(("answer", "kind", "problem"), EVERY_PICTURE.values(), ids=EVERY_PICTURE)
def test_every_picture_fits_and_says_what_it_shows(answer, kind, problem, width):
    lines = draw(answer, kind=kind, problem=problem, width=width).splitlines()
    picture = marks(answer, kind=kind, problem=problem)
    words = " ".join(lines)
    assert max(map(len, lines)) <= width
    assert len(canvas(lines)) == terminal.HEIGHT
    assert picture.x_label in words
    assert picture.y_label in words
    assert all(layer.label in words for layer in picture.layers if hasattr(layer, "label"))


@pytest.mark.parametrize(("answer", "kind", "problem"), EVERY_PANELS.values(), ids=EVERY_PANELS)
def test_several_pictures_stand_below_each_other(answer, kind, problem):
    picture = marks(answer, kind=kind, problem=problem)
    lines = draw(answer, kind=kind, problem=problem, width=60).splitlines()
    assert lines[0] == picture.title
    assert [line for line in lines if line in {panel.title for panel in picture.panels}] == [
        panel.title for panel in picture.panels
    ]
    assert sum("┌" in line for line in lines) == len(picture.panels)


@pytest.mark.parametrize("answer", AWKWARD.values(), ids=AWKWARD)
def test_awkward_losses_are_drawn(answer):
    lines = draw(answer, kind="loss", width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(row.strip() for row in canvas(lines))


def test_a_falling_line_falls():
    rows = canvas(draw(run(np.linspace(2, 1, 50)), width=60).splitlines())
    first = [next(column for column, symbol in enumerate(row) if symbol != " ") for row in rows if row.strip()]
    assert first == sorted(first)
    assert len(first) > 10


def test_points_stand_where_they_are():
    losses = np.linspace(2, 1, 101)
    validation = np.full(101, np.nan)
    validation[50] = 1.5
    rows = canvas(draw(run(losses, validation=validation), width=80, height=15).splitlines())
    ((row, column),) = [(row, line.index("o")) for row, line in enumerate(rows) if "o" in line]
    assert row == len(rows) // 2
    assert abs(column - len(rows[0]) / 2) <= 1


def test_log_axes_have_readable_numbers():
    words = " ".join(draw(range_test(), width=120).split())
    assert "1e-5 1e-4 0.001 0.01 0.1 1 10" in words
    assert "1e30" in draw(AWKWARD["diverges"], width=80)


def test_rules_have_numbers_that_the_legend_explains():
    test = range_test(highest=1e4)
    lines = draw(test, width=100).splitlines()
    drawn = "".join(canvas(lines))
    assert len(marks(test).of(Rule)) > 3
    for place, rule in enumerate(marks(test).of(Rule), start=1):
        assert str(place) in drawn
        assert f"{place} {rule.label}" in " ".join(lines)


def test_curves_are_told_apart_without_colours():
    rows = canvas(draw([run(noisy(50), lr=0.1), run(2 + noisy(50), lr=0.5)], width=80).splitlines())
    assert sum(row.count("b") for row in rows[:8]) > 20
    assert sum(row.count("a") for row in rows[8:]) > 20


def test_the_fit_is_red_and_the_truth_green_in_colours():
    picture = text(marks(line_run(), kind="fit", problem=line_problem()), 80, 16, colourful=True)
    for colour, label in (("green", "true: 0.1 x + 0.5"), ("red", "fitted: 0.2 x + 0.4")):
        assert f"\x1b[38;5;{terminal.CODES[colour]}m──\x1b[0m {label}" in picture


@pytest.mark.parametrize(("answer", "kind", "problem"), EVERY_PICTURE.values(), ids=EVERY_PICTURE)
def test_colours_change_no_width_and_no_background(answer, kind, problem):
    painted = text(marks(answer, kind=kind, problem=problem), 80, 16, colourful=True)
    assert "\x1b[38;5;" in painted
    assert "\x1b[48" not in painted
    assert max(len(COLOUR.sub("", line)) for line in painted.splitlines()) <= 80


def test_the_map_shades_its_cells():
    rows = canvas(draw(rates_apart(), kind="map", width=80).splitlines())
    assert "x" in rows[0]
    assert "x" not in rows[-1]
    assert rows[-1].count("█") > 20
    assert sum(row.count("o") for row in rows) >= 10


@pytest.mark.parametrize(
    ("terminal_there", "no_color", "coloured"),
    [(True, None, True), (True, "1", False), (False, None, False)],
    ids=["terminal", "NO_COLOR", "pipe"],
)
def test_colours_only_for_a_terminal_that_wants_them(monkeypatch, terminal_there, no_color, coloured):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal_there, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    assert ("\x1b[" in draw(found())) is coloured


@pytest.mark.parametrize(("columns", "width"), [("100", 100), ("10", 40)])
def test_the_width_is_that_of_the_terminal(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert max(map(len, draw(run(noisy(50))).splitlines())) == width


def test_without_a_terminal_there_are_80_columns(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: (_ for _ in ()).throw(OSError()))
    assert max(map(len, draw(run(noisy(50))).splitlines())) == 80


@pytest.mark.parametrize("size", [{"width": 20}, {"height": 2}], ids=str)
def test_too_small_is_refused(size):
    with pytest.raises(SettingError, match="at least"):
        draw(run(noisy(20)), **size)


def test_a_long_label_is_cut_off():
    runs = [run(noisy(20), problem="p" * 200), run(noisy(20), problem="q" * 200)]
    assert max(map(len, draw(runs, width=50).splitlines())) <= 50


def test_nobody_elses_figure_is_touched(capsys):
    plotext.figure.clear()
    plotext.figure.draw(plotext.figure.signal([1, 2, 3]).label("mine")).title("my picture").plot_size(50, 12)
    try:
        before = (plotext.figure.build().string(), plotext.figure.size(), plotext.terminal.size())
        for answer, kind, problem in EVERY_PICTURE.values():
            draw(answer, kind=kind, problem=problem)
        assert (plotext.figure.build().string(), plotext.figure.size(), plotext.terminal.size()) == before
    finally:
        plotext.figure.clear()
    assert capsys.readouterr() == ("", "")


def faces(values, *words):
    """A large triangle with a small one in the middle of it, drawn later."""
    x, y = np.array([[0.0, 1.0, 0.5], [0.4, 0.6, 0.5]]), np.array([[0.0, 0.0, 1.0], [0.2, 0.2, 0.6]])
    layer = Faces(x, y, values, [1.0, 1.0], (0.0, 1.0), "linear", "height")
    return Marks("two", "x", "y", (0, 1), (0, 1), frameless=True, layers=(layer, *words))


def test_the_later_face_covers_the_one_before_it():
    rows = canvas(text(faces([1.0, 0.0]), 62, 20, colourful=False).splitlines())
    assert len(rows) == 20
    middle, foot, top = rows[13], rows[19], rows[0]
    assert middle[:9].strip() == middle[51:].strip() == ""
    assert middle[30] == terminal.SHADES[0]
    assert middle[22] == middle[38] == terminal.SHADES[-1]
    assert foot.count("█") > 50
    assert top.count("█") <= 3


def test_a_face_without_a_value_is_crossed_out_and_the_legend_says_so():
    lines = text(faces([1.0, np.nan]), 62, 20, colourful=False).splitlines()
    assert canvas(lines)[13][30] == "x"
    assert "x no value" in " ".join(lines)


def test_words_stand_at_their_points_and_move_inwards_at_the_edges():
    words = [Words([0.25], [0.975], ("here",), anchor="left center"), Words([1.0], [0.5], ("beyond",), anchor="left center")]
    rows = canvas(text(faces([1.0, 0.0], *words), 62, 20, colourful=False).splitlines())
    assert rows[0].index("here") == 15
    assert any(row.endswith("beyond") for row in rows[9:11])


def test_a_relief_keeps_its_height_and_shows_path_and_ends():
    lines = draw(surface(), kind="3d", width=80).splitlines()
    rows = "".join(canvas(lines))
    assert {"o", "■", "█", "x"} <= set(rows)
    assert any("\u2800" < symbol <= "\u28ff" for symbol in rows)
    assert "2" in rows  # the end of both axes
