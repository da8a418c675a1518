"""Marks drawn with matplotlib.  answer -> Axes, on a figure of its own or on yours; backend, pyplot and rcParams are left alone."""

from __future__ import annotations

import contextlib
import io
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Annotation, Text
from matplotlib.ticker import Formatter, Locator, LogLocator, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

from surefoot.curvature.spectrum import Spectrum
from surefoot.errors import SettingError, unknown
from surefoot.figures.artists import MAP, depth_of, norm, painted, put
from surefoot.figures.layers import (
    Faces,
    Heat,
    Marks,
    Panels,
    Rule,
    Scale,
)
from surefoot.figures.marks import marks
from surefoot.figures.scales import tick_labels, ticks
from surefoot.problem import Problem

INK, PAPER = "#e8e8e8", "#16181d"
INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
PAPERED = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
THEMES: dict[str, dict[str, Any]] = {
    "light": dict.fromkeys(INKED, "black") | dict.fromkeys(PAPERED, "white"),
    "dark": dict.fromkeys(INKED, INK) | dict.fromkeys(PAPERED, PAPER),
}
SIZE = (7.2, 4.6)  # inches: two columns of a page, most of a notebook's width
DPI = 120.0
ROW = 12.0  # points from one row of small text to the next
CAPTION = "caption"  # how the moment that a picture shows is found among its texts
GAP = 10.0  # pixels between two labels in a row
MOST_TICKS = 7
FILLED = 0.93  # of a row: text gets a few percent wider when the picture is saved with fewer dots per inch
MINOR_DECADES = 12  # beyond, ten small ticks per decade are a grey bar


def plot(
    answer: Any,
    *,
    kind: str | None = None,
    ax: Axes | None = None,
    problem: Problem | None = None,
    curvature: float | Spectrum | None = None,
    theme: str | None = None,
) -> Axes:
    """Draws the picture of a value.

    Args:
        answer: a `Trace`, a `Run`, a `Found`, a `Surface`, or a list of runs and traces.
        kind: ``"loss"``, ``"rate"``, ``"fit"``, ``"map"``, ``"landscape"``, ``"3d"`` or ``"multiples"``; None: the usual one of the value.
        ax: where to draw; None: on a new figure, which a notebook shows and ``.figure.savefig(path)`` writes.
        problem: the problem that a run descended, for ``"fit"``.
        curvature: the largest eigenvalue L of the Hessian, or a `Spectrum`: pictures over rates then show 1/L and 2/L.
        theme: ``"light"`` or ``"dark"``; None: as matplotlib is set.

    Returns:
        The axes that were drawn on; of several pictures those of the first.

    Raises:
        SettingError: the value has no picture, or none of that kind; several pictures are to be drawn on one pair of axes.

    Example:
        >>> from surefoot.trace import Row, Trace
        >>> trace = Trace.of([Row(k, 0.0, 0.1, 1.0 - k / 4, 1.0, 0.1, 1.0, float("nan"), 0.0) for k in range(4)])
        >>> plot(trace).lines[0].get_ydata().tolist()
        [1.0, 0.75, 0.5, 0.25]
    """
    picture = marks(answer, kind=kind, problem=problem, curvature=curvature)
    if ax is not None and isinstance(picture, Panels):
        raise SettingError(f"These are {len(picture.panels)} pictures, which need a figure of their own: leave out ax=.")
    with themed(theme):
        return draw(picture, ax)


@contextlib.contextmanager
def themed(theme: str | None) -> Iterator[None]:
    """Inside, what is drawn has the paper and the ink of a theme; afterwards matplotlib is set as it was."""
    if theme is not None and theme not in THEMES:
        raise unknown("theme", theme, THEMES)
    with rc_context(THEMES[theme] if theme is not None else None):  # type: ignore[arg-type]
        yield


def draw(picture: Marks | Panels, ax: Axes | None = None, dpi: float = DPI) -> Axes:
    """Draws marks, on a new figure with so many dots per inch if no axes are given; of several pictures returns the axes of the first."""
    if isinstance(picture, Panels):
        return _draw_panels(picture, dpi)
    ax = ax or new_axes(dpi)
    draw_layers(picture, ax)
    return ax


def draw_layers(picture: Marks, ax: Axes) -> list[list[Artist]]:
    """Draws marks; returns the artists of each layer, which an animation moves."""
    artists = _put_all(picture, ax)
    for coloured in (*picture.of(Heat), *picture.of(Faces)):
        _colour_bar([ax], coloured)
    _tidy(ax, picture)
    _annotate(ax, picture)
    return artists


def _draw_panels(picture: Panels, dpi: float) -> Axes:
    """Several pictures beside each other, with one scale of colours for all."""
    columns = 2 if len(picture.panels) in (2, 4) else min(3, len(picture.panels))
    rows = -(-len(picture.panels) // columns)
    figure = Figure(figsize=(SIZE[0] * (1.0 if columns == 2 else 1.35), 0.4 + 2.7 * rows), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, place + 1, axes_class=_ShownAxes) for place in range(len(picture.panels))]
    for ax, panel in zip(axes, picture.panels, strict=True):
        _put_all(panel, ax)
        _tidy(ax, panel)
        ax.set_title(panel.title, loc="left", fontsize=9, fontweight="bold")
        ax.label_outer()
    for heat in picture.panels[0].of(Heat):
        _colour_bar(axes, heat)
    panels_caption(figure, picture.caption)
    figure.suptitle(picture.title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    if picture.notes:
        width = int(figure.get_figwidth() * 72 / 4.2)
        lines = [line for note in picture.notes for line in textwrap.wrap(note, width)]
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=8, alpha=0.75)
    return axes[0]


def panels_caption(figure: Figure, words: str) -> Text:
    """The moment that several pictures show, at the upper right."""
    return figure.text(0.99, 0.985, words, ha="right", va="top", fontsize=9, gid=CAPTION)


def _put_all(picture: Marks, ax: Axes) -> list[list[Artist]]:
    ax.set(xlabel=picture.x_label, ylabel=picture.y_label, xscale=picture.x_scale, yscale=picture.y_scale)
    ax.set(xlim=picture.x_limits, ylim=picture.y_limits)  # first: autoscaling overflows where losses do
    return [put(ax, layer, depth_of(place)) for place, layer in enumerate(picture.layers)]


class _ShownAxes(Axes):
    """Axes that a notebook shows without pyplot: IPython asks every value for ``_repr_png_``."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        _root(self).savefig(buffer, format="png")
        return buffer.getvalue()


def new_axes(dpi: float = DPI) -> Axes:
    """Axes alone on a figure that pyplot does not know of."""
    figure = Figure(figsize=SIZE, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot(axes_class=_ShownAxes)


def _root(ax: Axes) -> Figure:
    """The whole figure, also where the axes stand in a part of it."""
    return ax.figure.canvas.figure


def _colour_bar(axes: Sequence[Axes], layer: Heat | Faces) -> None:
    """The scale of the colours, beside all axes that share it."""
    bar = axes[0].figure.colorbar(ScalarMappable(norm(layer), MAP), ax=list(axes), label=layer.label)
    _ticks(bar.ax.yaxis, layer.scale)


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
    elif not picture.of(Heat):
        ax.grid(True, color=painted("ink"), alpha=0.12, linewidth=0.6)
        ax.set_axisbelow(True)


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
    title = ax.set_title(picture.title, loc="left", fontsize=11, fontweight="bold", pad=height + 8)
    if picture.caption:
        _caption(ax, picture.caption, title, height + 8)


def _caption(ax: Axes, words: str, title: Text, above: float) -> None:
    """At the right of the title's row; where the title is too long for that, the title moves up by a row."""
    style: dict[str, Any] = {"ha": "right", "fontsize": 9, "annotation_clip": False, "gid": CAPTION}
    caption = ax.annotate(words, (1, 1), (0, above), "axes fraction", "offset points", **style)
    left, right = Text.get_window_extent(title), caption.get_window_extent()
    if left.x1 + GAP > right.x0:
        ax.set_title(title.get_text(), loc="left", fontsize=11, fontweight="bold", pad=above + ROW + 3)


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
    colour = painted(rule.colour)
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
