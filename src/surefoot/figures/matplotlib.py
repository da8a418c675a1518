"""Marks drawn with matplotlib.  answer -> Axes, on a figure of its own or on yours; backend, pyplot and rcParams are left alone."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap, LogNorm, Normalize, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from matplotlib.ticker import Formatter, Locator, LogLocator, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

from surefoot.figures.layers import Band, Colour, Faces, Heat, Layer, Line, Marks, Points, Rule, Scale, Span, Words
from surefoot.figures.marks import marks
from surefoot.figures.scales import edges, tick_labels, ticks
from surefoot.problem import Problem

# Okabe and Ito, "Color Universal Design" (2008): told apart with any colour vision; brown for their yellow, too pale on white.
HEX = {
    "grey": "#808080",
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D0202E",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "brown": "#7A4B1E",
}
MAP = "viridis"  # brightness rises evenly along it: readable in grey and with any colour vision
BRIGHTEST = 0.85  # the part of that scale that is still seen as a line on white
SIZE = (7.2, 4.6)  # inches: two columns of a page, most of a notebook's width
ROW = 12.0  # points from one row of small text to the next
FAINT = 0.45  # how much is left of the colour of what stands behind; of a single point more, or it is lost
RIM = 3.4  # points: the width of lines, and of the edges of points, with the rim that sets them off from faces of their colour
SEAM = 0.7  # points
GAP = 10.0  # pixels between two labels in a row
MOST_TICKS = 7
FILLED = 0.93  # of a row: text gets a few percent wider when the picture is saved with fewer dots per inch
MINOR_DECADES = 12  # beyond, ten small ticks per decade are a grey bar


def plot(answer: Any, *, kind: str | None = None, ax: Axes | None = None, problem: Problem | None = None) -> Axes:
    """Draws the picture of a value.

    Args:
        answer: a `Trace`, a `Run`, a `Found`, or a list of runs and traces.
        kind: ``"loss"``, ``"rate"``, ``"fit"`` or ``"map"``; None: the usual one of the value.
        ax: where to draw; None: on a new figure, which a notebook shows and ``.figure.savefig(path)`` writes.
        problem: the problem that a run descended, for ``"fit"``.

    Returns:
        The axes that were drawn on.

    Raises:
        SettingError: the value has no picture, or none of that kind.

    Example:
        >>> from surefoot.trace import Row, Trace
        >>> trace = Trace.of([Row(k, 0.0, 0.1, 1.0 - k / 4, 1.0, 0.1, 1.0, float("nan"), 0.0) for k in range(4)])
        >>> plot(trace).lines[0].get_ydata().tolist()
        [1.0, 0.75, 0.5, 0.25]
    """
    return draw(marks(answer, kind=kind, problem=problem), ax)


def draw(picture: Marks, ax: Axes | None = None) -> Axes:
    """Draws marks, on a new figure if no axes are given."""
    ax = ax or _new_axes()
    ax.set(xlabel=picture.x_label, ylabel=picture.y_label, xscale=picture.x_scale, yscale=picture.y_scale)
    ax.set(xlim=picture.x_limits, ylim=picture.y_limits)  # first: autoscaling overflows where losses do
    for place, layer in enumerate(picture.layers):
        _ARTISTS[type(layer)](ax, layer, 2 + 0.01 * place)
    _tidy(ax, picture)
    _annotate(ax, picture)
    return ax


class _ShownAxes(Axes):
    """Axes that a notebook shows without pyplot: IPython asks every value for ``_repr_png_``."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        _root(self).savefig(buffer, format="png")
        return buffer.getvalue()


def _new_axes() -> Axes:
    figure = Figure(figsize=SIZE, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot(axes_class=_ShownAxes)


def _root(ax: Axes) -> Figure:
    """The whole figure, also where the axes stand in a part of it."""
    return ax.figure.canvas.figure


def _colour(colour: Colour) -> str:
    if isinstance(colour, str):
        return HEX.get(colour) or str(rcParams["text.color"])
    return to_hex(colormaps[MAP](BRIGHTEST * colour))


def _line(ax: Axes, layer: Line, depth: float) -> None:
    weight: dict[str, Any] = {"linewidth": 1.8}
    if layer.faint:  # dots are faint by themselves, and must still be followed across a surface
        weight = {"alpha": 0.9, "linewidth": 1.3} if layer.style == "dotted" else {"alpha": FAINT, "linewidth": 0.8}
    ax.plot(layer.x, layer.y, color=_colour(layer.colour), linestyle=layer.style, label=layer.label or "_", zorder=depth, **weight)
    if np.isfinite(layer.y).sum() == 1:  # a single point has no line
        ax.plot(layer.x, layer.y, ".", color=_colour(layer.colour), zorder=depth)


def _band(ax: Axes, layer: Band, depth: float) -> None:
    ax.fill_between(
        layer.x, layer.low, layer.high, color=_colour(layer.colour), alpha=0.25, linewidth=0, label=layer.label or "_", zorder=depth
    )


def _points(ax: Axes, layer: Points, depth: float) -> None:
    colour = _colour(layer.colour)
    shapes: dict[str, dict[str, Any]] = {
        "dot": {"marker": "o", "s": 14, "color": colour, "alpha": 0.7, "linewidths": 0},
        "circle": {"marker": "o", "s": 26, "facecolors": ax.get_facecolor(), "edgecolors": colour, "linewidths": 1.4},
        "cross": {"marker": "x", "s": 60, "color": colour, "linewidths": 2.2, "clip_on": False},
    }
    style = shapes[layer.shape] | ({"alpha": FAINT**0.5} if layer.faint else {})
    ax.scatter(layer.x, layer.y, label=layer.label or "_", zorder=depth + 1, **style)


def _rule(ax: Axes, layer: Rule, depth: float) -> None:
    ax.axvline(layer.at, color=_colour(layer.colour), linestyle=layer.style, linewidth=1.4, zorder=depth)


def _span(ax: Axes, layer: Span, depth: float) -> None:
    ax.axvspan(layer.low, layer.high, color=_colour(layer.colour), alpha=0.14, linewidth=0, label=layer.label, zorder=depth)


def _heat(ax: Axes, layer: Heat, depth: float) -> None:
    norm = (LogNorm if layer.scale == "log" else Normalize)(*layer.limits, clip=True)
    x, y = edges(layer.x, ax.get_xscale()), edges(layer.y, ax.get_yscale())  # type: ignore[arg-type]
    mesh = ax.pcolormesh(x, y, np.ma.masked_invalid(layer.values), norm=norm, cmap=MAP, zorder=depth)
    bar = ax.figure.colorbar(mesh, ax=ax, label=layer.label)
    _ticks(bar.ax.yaxis, layer.scale)
    lost = np.ma.masked_equal(layer.diverged, False)
    ax.pcolormesh(x, y, lost, cmap=ListedColormap([HEX["grey"]]), alpha=0.25, linewidth=0, zorder=depth)
    rows, columns = np.nonzero(layer.diverged)
    ax.scatter(
        layer.x[columns],
        layer.y[rows],
        marker="x",
        s=20,
        color=HEX["grey"],
        linewidths=1,
        label="diverged" if len(rows) else "_",
        zorder=depth,
    )


def _faces(ax: Axes, layer: Faces, depth: float) -> None:
    colours = ScalarMappable((LogNorm if layer.scale == "log" else Normalize)(*layer.limits, clip=True), MAP)
    painted = colours.to_rgba(np.ma.masked_invalid(layer.values))[:, :3] * layer.shade[:, None]
    painted[np.isnan(layer.values)] = 0.25 * np.array(to_rgb(HEX["grey"])) + 0.75 * np.array(to_rgb(ax.get_facecolor()))
    corners = list(np.stack([layer.x, layer.y], -1))
    # an edge of its own colour covers the seams that smooth edges leave between two faces
    ax.add_collection(PolyCollection(corners, facecolors=painted, edgecolors=painted, linewidths=SEAM, zorder=depth), autolim=False)
    _ticks(ax.figure.colorbar(colours, ax=ax, label=layer.label).ax.yaxis, layer.scale)


def _words(ax: Axes, layer: Words, depth: float) -> None:
    across, upright = layer.anchor.split()
    style: dict[str, Any] = {"ha": across, "va": upright, "color": _colour(layer.colour), "fontsize": 9, "zorder": depth}
    for x, y, text in zip(layer.x, layer.y, layer.texts, strict=True):
        ax.text(x, y, text, **style)


_ARTISTS: dict[type[Layer], Callable[[Axes, Any, float], None]] = {
    Line: _line,
    Band: _band,
    Points: _points,
    Rule: _rule,
    Span: _span,
    Heat: _heat,
    Faces: _faces,
    Words: _words,
}


class _RoundTicks(Locator):
    """The same round numbers as in every other renderer, also after zooming."""

    def __init__(self, scale: Scale, whole: bool) -> None:
        self.scale, self.whole = scale, whole

    def __call__(self) -> Any:
        return self.tick_values(*self.axis.get_view_interval())  # type: ignore[union-attr]

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """The ticks between two ends."""
        return ticks((min(vmin, vmax), max(vmin, vmax)), self.scale, MOST_TICKS, self.whole)


class _PlainNumbers(Formatter):
    """0.001 and 1e-5, as in every other renderer."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return tick_labels([x])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """As many digits as it takes to tell the ticks apart."""
        return tick_labels(list(values))


def _ticks(axis: Axis, scale: Scale, whole: bool = False) -> None:
    axis.set_major_locator(_RoundTicks(scale, whole))
    axis.set_major_formatter(_PlainNumbers())
    low, high = sorted(axis.get_view_interval())
    crowded = scale != "log" or high > low * 10.0**MINOR_DECADES
    axis.set_minor_locator(NullLocator() if crowded else LogLocator(subs=range(2, 10), numticks=2 * MINOR_DECADES))
    axis.set_minor_formatter(NullFormatter())


def _tidy(ax: Axes, picture: Marks) -> None:
    _ticks(ax.xaxis, picture.x_scale, picture.x_whole)
    _ticks(ax.yaxis, picture.y_scale)
    ax.spines[["top", "right"]].set_visible(False)
    if picture.frameless:
        ax.spines[:].set_visible(False)
        ax.xaxis.set_visible(False)
        ax.yaxis.set_visible(False)
        _set_off(ax)
    elif not picture.of(Heat):
        ax.grid(True, color=_colour("ink"), alpha=0.12, linewidth=0.6)
        ax.set_axisbelow(True)


def _set_off(ax: Axes) -> None:
    """A rim in the colour of the paper around the lines and the points that are on faces."""
    depth = min((artist.get_zorder() for artist in ax.collections if type(artist) is PolyCollection), default=np.inf)
    for artist in [*ax.lines, *ax.collections]:
        if artist.get_zorder() > depth:
            artist.set_path_effects([withStroke(linewidth=RIM, foreground=ax.get_facecolor())])


def _annotate(ax: Axes, picture: Marks) -> None:
    """Words stand around the data, never on it: the rules' labels, the legend and the title above, the notes below."""
    _root(ax).draw_without_rendering()  # the layout is computed only then, and how much fits into a row depends on it
    width = ax.get_window_extent().width * 72 / ax.figure.dpi
    if picture.notes:
        lines = [line for note in picture.notes for line in textwrap.wrap(note, max(20, int(width / 4.2)))]
        ax.annotate(
            "\n".join(lines),
            (0, 0),
            (0, -6 if picture.frameless else -36),
            "axes fraction",
            "offset points",
            va="top",
            fontsize=8,
            alpha=0.75,
            annotation_clip=False,
        )
    height = _label_rules(ax, picture.of(Rule)) + 4
    height += _place_legend(ax, height, width)
    ax.set_title(picture.title, loc="left", fontsize=11, fontweight="bold", pad=height + 8)


def _label_rules(ax: Axes, rules: Sequence[Rule]) -> float:
    """A flag at the top of every rule, flying to the right; returns the height of all of them in points.

    A flag hangs above those of all rules that it passes, so that no pole goes through a flag.
    """
    flags = [_flag(ax, rule) for rule in sorted(rules, key=lambda rule: -rule.at)]
    if flags:
        _root(ax).draw_without_rendering()  # a flag at the right makes the axes narrower, where the layout is automatic
    poles: list[tuple[float, int]] = []
    for flag in flags:
        shift = _shift_inside(ax, flag)
        box = Text.get_window_extent(flag)
        row = max((row + 1 for start, row in poles if start < box.x1 + shift + GAP), default=0)
        poles.append((box.x0 + shift, row))
        flag.xyann = (shift * 72 / ax.figure.dpi, 3 + ROW * row)
    return ROW * (1 + max((row for _, row in poles), default=-1))


def _flag(ax: Axes, rule: Rule) -> Annotation:
    colour = _colour(rule.colour)
    pole = {"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0)}
    style: dict[str, Any] = {"color": colour, "fontsize": 8, "annotation_clip": False, "arrowprops": pole}
    return ax.annotate(rule.label, (rule.at, 1), (0, 3), ("data", "axes fraction"), "offset points", **style)


def _shift_inside(ax: Axes, flag: Annotation) -> float:
    """How far a flag must move so that it is not cut off at the right, in pixels; an automatic layout makes room by itself."""
    if _root(ax).get_layout_engine() is not None:
        return 0.0
    return float(min(0.0, ax.get_window_extent().x1 - Text.get_window_extent(flag).x1))


def _place_legend(ax: Axes, above: float, width: float) -> float:
    """One row above the axes if the entries fit, else several; returns its height in points."""
    labels = ax.get_legend_handles_labels()[1]
    if not labels:
        return 0.0
    for columns in range(len(labels), 0, -1):
        legend = _legend(ax, above, columns)
        if legend.get_window_extent().width * 72 / ax.figure.dpi <= FILLED * width:
            break
    return legend.get_window_extent().height * 72 / ax.figure.dpi


def _legend(ax: Axes, above: float, columns: int) -> Legend:
    shifted = ax.transAxes + ScaledTranslation(0, above / 72, ax.figure.dpi_scale_trans)
    return ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        bbox_transform=shifted,
        ncols=columns,
        frameon=False,
        fontsize=8,
        borderaxespad=0,
        borderpad=0,
        handlelength=2.6,
        columnspacing=1.4,
    )
