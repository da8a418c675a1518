"""Marks drawn with characters.  answer -> text for a terminal: the same numbers as in every other renderer."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotext

from surefoot.curvature.spectrum import Spectrum
from surefoot.errors import SettingError
from surefoot.figures.layers import (
    Arrows,
    Band,
    Colour,
    Contour,
    Faces,
    Heat,
    Layer,
    Limits,
    Line,
    Marks,
    Panels,
    Points,
    Rule,
    Scale,
    Span,
    Words,
)
from surefoot.figures.marks import marks
from surefoot.figures.scales import edges, number, tick_labels, ticks
from surefoot.problem import Problem
from surefoot.trace import Column

# Numbers of the 256 colours that nearly every terminal has, near to those of the other renderer, and seen on black and on white.
CODES = {"grey": 244, "blue": 32, "orange": 172, "green": 35, "red": 160, "purple": 175, "sky": 74, "brown": 137}
ORDERED = (97, 61, 67, 31, 36, 71, 107, 143, 178)  # from dark to bright, all of them seen as a line on black and on white
WARMTH = (54, 60, 24, 30, 36, 71, 77, 149, 191)  # for areas: the colour map of the other renderer, to its two ends
SHADES = "·░▒▓█"  # low to high, where there are no colours
LETTERS = "abcdefghijklmnopqrstuvwxyz"
RAW = "·"
POLES = {"solid": "│", "dashed": "┊", "dashdot": "┊", "dotted": "┊"}
SHAPES = {"dot": "•", "circle": "o", "cross": "x", "square": "■", "diamond": "◆", "star": "★"}
NARROWEST, LOWEST = 40, 8  # columns and rows: with less there is no room beside the numbers
HEIGHT = 16
FRAME = 3  # rows: two edges and the numbers
ROWS_PER_TICK = 3
COLUMNS_PER_TICK = 12


def draw(
    answer: Any,
    *,
    kind: str | None = None,
    problem: Problem | None = None,
    curvature: float | Spectrum | None = None,
    width: int | None = None,
    height: int | None = None,
) -> str:
    """Draws the picture of a value as text.

    Args:
        answer: a `Trace`, a `Run`, a `Found`, a `Surface`, or a list of runs and traces.
        kind: as for `plot`; None: the usual one of the value.
        problem: the problem that a run descended, for ``"fit"``.
        curvature: as for `plot`.
        width: columns, 40 or more; None: those of the terminal, 80 where there is none.
        height: rows of the drawing itself, without legend and notes, 8 or more; None: 16.

    Returns:
        Lines of text without a final line break; in colours if standard output is a terminal and ``NO_COLOR`` is not set.

    Raises:
        SettingError: the value has no picture, or none of that kind; the picture would be too small.

    Example:
        >>> from surefoot.trace import Row, Trace
        >>> trace = Trace.of([Row(k, 0.0, 0.1, 1.0 - k / 4, 1.0, 0.1, 1.0, float("nan"), 0.0) for k in range(4)])
        >>> text = draw(trace, width=60).splitlines()
        >>> text[0], max(len(line) for line in text) <= 60
        ('Loss over 4 steps', True)
    """
    columns = shutil.get_terminal_size((80, 24)).columns if width is None else width
    if (width is not None and width < NARROWEST) or (height is not None and height < LOWEST):
        raise SettingError(
            f"A picture in a terminal needs {NARROWEST} columns and {LOWEST} rows at least, got {width} and {height}."
        )
    colourful = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    picture = marks(answer, kind=kind, problem=problem, curvature=curvature)
    return text(picture, max(columns, NARROWEST), height or HEIGHT, colourful)


def text(picture: Marks | Panels, width: int, height: int, colourful: bool) -> str:
    """Marks as text of at most so many columns; ``height`` counts the rows of the drawing."""
    if isinstance(picture, Panels):
        parts = [text(panel, width, height, colourful) for panel in picture.panels]
        wrapped = [line for words in (picture.title, *picture.notes) for line in textwrap.wrap(words, width)]
        return "\n\n".join([*wrapped[:1], *parts, *wrapped[1:]])
    canvas = _Canvas(picture, width, height, colourful)
    for layer in picture.layers:
        _STROKES[type(layer)](canvas, layer)
    _number(canvas)
    above, below = ([], []) if picture.frameless else ([picture.y_label], [picture.x_label.center(width)])
    head = [*textwrap.wrap(picture.title, width), *textwrap.wrap(picture.caption, width)]
    lines = [*head, *above, *canvas.rows(), *below, *canvas.legend()]
    lines += [line for note in picture.notes for line in textwrap.wrap(note, width)]
    return "\n".join(line.rstrip() for line in lines)


@dataclass(frozen=True)
class _Entry:
    """What the legend says about one layer."""

    sample: str
    colour: Colour
    label: str

    def __len__(self) -> int:
        return len(self.sample) + 1 + len(self.label)


class _Canvas:
    """A plotext figure of its own, so that nobody else's is touched; every coordinate is brought to 0 to 1 here."""

    def __init__(self, picture: Marks, width: int, height: int, colourful: bool) -> None:
        terminal = type(plotext.terminal)().limit(False, False)
        self.figure = type(plotext.figure)(terminal).theme("colorless").plot_size(width, height + FRAME - picture.frameless)
        self.picture, self.width, self.height, self.colourful = picture, width, height, colourful
        self.entries: list[_Entry] = []
        self.rules: list[Rule] = []
        self.letters = iter(LETTERS)
        self.several = len([line for line in picture.of(Line) if line.label and not line.faint]) > 1
        labels = self._ruler("y", picture.y_scale, picture.y_limits, max(3, height // ROWS_PER_TICK))
        self._ruler("x", picture.x_scale, picture.x_limits, width // COLUMNS_PER_TICK, picture.x_whole)
        self.columns = width - 2 - max(map(len, labels), default=0)

    def _ruler(self, axis: str, scale: Scale, limits: Limits, most: int, whole: bool = False) -> list[str]:
        places = [] if self.picture.frameless else ticks(limits, scale, most, whole)
        labels = tick_labels(places)
        ruler = self.figure.ruler(axis).lim(0, 1).alignment(lim="edge")
        ruler.ticks(_fraction(np.array(places), scale, limits).tolist(), labels=labels)
        return labels

    def x(self, values: Any) -> Column:
        """The place of each value from the left edge (0) to the right (1)."""
        return _fraction(np.asarray(values, dtype=np.float64), self.picture.x_scale, self.picture.x_limits)

    def y(self, values: Any) -> Column:
        """The place of each value from the lower edge (0) to the upper (1)."""
        return _fraction(np.asarray(values, dtype=np.float64), self.picture.y_scale, self.picture.y_limits)

    def stroke(self, x: Column, y: Column, symbol: str, code: int | None, joined: bool = False) -> None:
        """Puts a symbol at each point, and between them if they are joined; a point that is NaN is left out, and its joints."""
        for part in np.split(np.arange(len(x)), np.flatnonzero(~np.isfinite(x + y))):
            kept = part[np.isfinite(x[part] + y[part])]
            if len(kept):
                marker = plotext.marker(symbol, code if self.colourful else None)
                # far outside the frame a point only makes plotext walk a long way
                signal = self.figure.signal(x[kept].tolist(), np.clip(y[kept], -1, 2).tolist(), marker=marker)
                self.figure.draw(signal.lines(joined))

    def enter(self, sample: str, colour: Colour, label: str) -> None:
        """Adds a line to the legend, if there is something to say."""
        if label:
            self.entries.append(_Entry(sample, colour, label[: self.width - len(sample) - 1]))

    def rows(self) -> list[str]:
        """The drawing with its frame and its numbers."""
        return str(self.figure.build().string(colorless=not self.colourful)).splitlines()

    def legend(self) -> list[str]:
        """The legend, as many entries to a line as fit."""
        lines: list[list[_Entry]] = [[]]
        for entry in self.entries:
            if lines[-1] and sum(len(other) + 3 for other in lines[-1]) + len(entry) > self.width:
                lines.append([])
            lines[-1].append(entry)
        return [
            "   ".join(f"{self._painted(entry.sample, entry.colour)} {entry.label}" for entry in line) for line in lines if line
        ]

    def _painted(self, sample: str, colour: Colour) -> str:
        code = _code(colour)
        return f"\033[38;5;{code}m{sample}\033[0m" if self.colourful and code is not None else sample


def _fraction(values: Column, scale: Scale, limits: Limits) -> Column:
    low, high = limits
    if scale == "log":
        values, low, high = np.log10(values), np.log10(low), np.log10(high)
    return (values - low) / (high - low)


def _code(colour: Colour) -> int | None:
    if isinstance(colour, str):
        return CODES.get(colour)
    return ORDERED[min(int(colour * len(ORDERED)), len(ORDERED) - 1)]


def _line(canvas: _Canvas, layer: Line) -> None:
    if layer.faint:
        canvas.stroke(canvas.x(layer.x), canvas.y(layer.y), RAW, CODES["grey"], joined=True)
        canvas.enter(RAW * 2, "grey", layer.label)
        return
    # without colours only letters tell several curves apart
    letter = next(canvas.letters, "?") if layer.label and canvas.several and not canvas.colourful else ""
    symbol = letter or ("braille" if np.isfinite(layer.y).sum() > 1 else SHAPES["dot"])
    canvas.stroke(canvas.x(layer.x), canvas.y(layer.y), symbol, _code(layer.colour), joined=True)
    canvas.enter(letter or "──", layer.colour, layer.label)


def _band(canvas: _Canvas, layer: Band) -> None:
    up_and_down = np.stack([canvas.y(layer.low), canvas.y(layer.high)], axis=1)
    up_and_down[1::2] = up_and_down[1::2, ::-1]
    canvas.stroke(np.repeat(canvas.x(layer.x), 2), up_and_down.reshape(-1), RAW, CODES["grey"], joined=True)
    canvas.enter(RAW * 2, "grey", layer.label)


def _points(canvas: _Canvas, layer: Points) -> None:
    code = CODES["grey"] if layer.faint else _code(layer.colour)
    canvas.stroke(canvas.x(layer.x), np.clip(canvas.y(layer.y), 0, 1), SHAPES[layer.shape], code)
    canvas.enter(SHAPES[layer.shape], layer.colour, layer.label)


def _rule(canvas: _Canvas, layer: Rule) -> None:
    canvas.stroke(np.repeat(canvas.x(layer.at), 2), np.array([0.0, 1.0]), POLES[layer.style], _code(layer.colour), joined=True)
    canvas.rules.append(layer)
    canvas.enter(str(len(canvas.rules)), layer.colour, layer.label)


def _number(canvas: _Canvas) -> None:
    """A number on every pole, each one row lower than the last, so that those of two poles in one column can both be read."""
    for place, rule in enumerate(canvas.rules):
        height = 1 - (np.array([place % canvas.height]) + 0.5) / canvas.height
        canvas.stroke(canvas.x([rule.at]), height, str(place + 1)[-1], _code(rule.colour))


def _span(canvas: _Canvas, layer: Span) -> None:
    columns, rows = _cells(canvas)
    inside = columns[(columns >= canvas.x(layer.low)) & (columns <= canvas.x(layer.high))]
    canvas.stroke(np.repeat(inside, len(rows)), np.tile(rows, len(inside)), SHADES[1], _code(layer.colour))
    canvas.enter(SHADES[1] * 2, layer.colour, layer.label)


def _heat(canvas: _Canvas, layer: Heat) -> None:
    columns, rows = _cells(canvas)
    column, row = (
        np.clip(np.searchsorted(at(edges(side, scale)), cells) - 1, 0, len(side) - 1)
        for at, side, scale, cells in (
            (canvas.x, layer.x, canvas.picture.x_scale, columns),
            (canvas.y, layer.y, canvas.picture.y_scale, rows),
        )
    )
    lost = layer.diverged[np.ix_(row, column)]
    _shade(canvas, layer, *np.meshgrid(columns, rows), layer.values[np.ix_(row, column)], lost)
    canvas.enter(SHAPES["cross"], "grey", "diverged" if lost.any() else "")


def _shade(canvas: _Canvas, layer: Heat | Faces, x: Column, y: Column, values: Column, lost: Column) -> None:
    """A shade for every cell of the canvas that has a value, a cross where it was lost."""
    symbols, codes = ("█" * len(WARMTH), WARMTH) if canvas.colourful else (SHADES, (None,) * len(SHADES))
    levels = len(symbols)
    level = np.clip(_fraction(values, layer.scale, layer.limits) * levels, 0, levels - 1)
    for place in range(levels):
        here = np.isfinite(level) & (np.nan_to_num(level).astype(int) == place)
        canvas.stroke(x[here], y[here], symbols[place], codes[place])
    canvas.stroke(x[lost], y[lost], SHAPES["cross"], CODES["grey"])
    low, high = map(number, layer.limits)
    canvas.enter(f"{layer.label} from {low}", "ink", f"{symbols} to {high}")


def _faces(canvas: _Canvas, layer: Faces) -> None:
    columns, rows = _cells(canvas)
    face = np.stack([_in_front(canvas.x(layer.x), canvas.y(layer.y), columns, row) for row in rows])
    values = np.append(layer.values, np.nan)[face]
    lost = (face >= 0) & np.isnan(values)
    _shade(canvas, layer, *np.meshgrid(columns, rows), values, lost)
    canvas.enter(SHAPES["cross"], "grey", "no value" if lost.any() else "")


def _in_front(x: Column, y: Column, columns: Column, row: float) -> Column:
    """(columns,) the last one of the faces that each point of a row is in; -1 where there is none."""
    ends, others = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = np.where((y <= row) != (others <= row), x + (row - y) / (others - y) * (ends - x), np.nan)
    crossed = np.flatnonzero(np.isfinite(crossings).any(1))
    first = np.searchsorted(columns, np.nanmin(crossings[crossed], axis=1))
    last = np.searchsorted(columns, np.nanmax(crossings[crossed], axis=1), "right")
    found = np.full(len(columns), -1)
    for face, begin, end in zip(crossed, first, last, strict=True):
        found[begin:end] = face
    return found


def _words(canvas: _Canvas, layer: Words) -> None:
    """One character to a cell, moved inwards at the edges."""
    across, upright = layer.anchor.split()
    shift = {"left": 0.0, "center": 0.5, "right": 1.0}[across]
    lift = {"top": -1, "center": 0, "bottom": 1}[upright]
    for x, y, text in zip(canvas.x(layer.x) * canvas.columns, canvas.y(layer.y) * canvas.height, layer.texts, strict=True):
        shown = text[: canvas.columns]
        column = int(np.clip(x - shift * len(shown), 0, canvas.columns - len(shown)))
        row = (int(np.clip(y + lift * 0.5, 0, canvas.height - 1)) + 0.5) / canvas.height
        for place, letter in enumerate(shown):
            canvas.stroke(np.array([(column + place + 0.5) / canvas.columns]), np.array([row]), letter, _code(layer.colour))


def _contour(canvas: _Canvas, layer: Contour) -> None:
    """Nothing: the shades of the heights say it at this resolution."""


def _arrows(canvas: _Canvas, layer: Arrows) -> None:
    for sign, symbol in ((1, "→"), (-1, "←")):
        here = np.sign(layer.length) == sign
        canvas.stroke(canvas.x(layer.x[here]), canvas.y(layer.y[here]), symbol, _code(layer.colour))
    canvas.enter("→", layer.colour, layer.label)


def _cells(canvas: _Canvas) -> tuple[Column, Column]:
    """The middle of every column and of every row."""
    return (np.arange(canvas.columns) + 0.5) / canvas.columns, (np.arange(canvas.height) + 0.5) / canvas.height


_STROKES: dict[type[Layer], Callable[[_Canvas, Any], None]] = {
    Line: _line,
    Band: _band,
    Points: _points,
    Rule: _rule,
    Span: _span,
    Heat: _heat,
    Contour: _contour,
    Arrows: _arrows,
    Faces: _faces,
    Words: _words,
}
