"""What a figure is made of before anybody draws it.  numbers + words -> Marks.

A layer says what is drawn, where and in which colour, never with how many pixels: every renderer shows the same numbers.
A colour is a name out of `COLOURS`, or a number from 0 (dark) to 1 (bright) on a scale that is also readable in grey.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np

from surefoot.trace import Column

COLOURS = ("ink", "grey", "blue", "orange", "green", "red", "purple", "sky", "brown")
Colour: TypeAlias = str | float
Scale: TypeAlias = Literal["linear", "log"]
Limits: TypeAlias = tuple[float, float]


class _Value:
    """Equal when every field is, NaN included; arrays are kept as copies that cannot be written to."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray | list):
                object.__setattr__(self, field.name, _frozen(value))

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_same(getattr(self, field.name), getattr(other, field.name)) for field in fields(self))  # type: ignore[arg-type]

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, eq=False)
class Line(_Value):
    """A curve through (x, y), in their order; NaN is a gap.

    Attributes:
        x, y: (points,) in the units of the axes.
        style: ``"solid"``, ``"dashed"``, ``"dotted"`` or ``"dashdot"``: tells curves apart where colours cannot.
        faint: raw, noisy values behind a smoothed curve.

    Example:
        >>> Line([1, 2], [3, 4]) == Line([1, 2], [3, 4]), Line([1, 2], [3, 4]) == Line([1, 2], [3, 5])
        (True, False)
    """

    x: Column
    y: Column
    colour: Colour = "blue"
    label: str = ""
    style: str = "solid"
    faint: bool = False


@dataclass(frozen=True, eq=False)
class Band(_Value):
    """The area between two curves, such as the smallest and the largest raw loss of some steps in a row."""

    x: Column
    low: Column
    high: Column
    colour: Colour = "blue"
    label: str = ""


@dataclass(frozen=True, eq=False)
class Points(_Value):
    """Single points.

    Attributes:
        shape: ``"dot"``, ``"circle"`` (hollow), ``"square"``, ``"diamond"``, ``"star"`` or ``"cross"`` (what went wrong).
        faint: what is behind something.
    """

    x: Column
    y: Column
    colour: Colour = "ink"
    label: str = ""
    shape: str = "dot"
    faint: bool = False


@dataclass(frozen=True, eq=False)
class Rule(_Value):
    """A line across the whole picture at one value of x."""

    at: float
    label: str
    colour: Colour = "ink"
    style: str = "solid"


@dataclass(frozen=True, eq=False)
class Span(_Value):
    """An interval of x, shaded over the whole height."""

    low: float
    high: float
    label: str
    colour: Colour = "green"


@dataclass(frozen=True, eq=False)
class Heat(_Value):
    """A value for every cell of a grid.

    Attributes:
        x, y: (columns,) and (rows,) where the cells are centred, rising.
        values: (rows, columns); NaN where nothing was measured.
        diverged: (rows, columns) True where there is no value because the descent diverged.
        limits: the values at the two ends of the colour scale; values beyond are drawn as the nearest end.
    """

    x: Column
    y: Column
    values: Column
    diverged: Column
    limits: Limits
    scale: Scale
    label: str


@dataclass(frozen=True, eq=False)
class Contour(_Value):
    """The lines along which a `Heat` has one value; those of several values are one after the other, with NaN between them.

    Attributes:
        x, y: (points,) in the units of the axes.
        levels: the values, rising.
    """

    x: Column
    y: Column
    levels: Column


@dataclass(frozen=True, eq=False)
class Arrows(_Value):
    """Arrows along the x axis, such as steps; an arrow of length 0 is left out.

    Attributes:
        x, y: (arrows,) where they begin.
        length: (arrows,) how far they go to the right, in units of x; negative to the left.
    """

    x: Column
    y: Column
    length: Column
    colour: Colour = "grey"
    label: str = ""


@dataclass(frozen=True, eq=False)
class Faces(_Value):
    """Triangles with a value each, the farthest first: a face is drawn over those before it.

    Attributes:
        x, y: (faces, 3) the corners.
        values: (faces,) NaN where nothing was measured.
        shade: (faces,) brightness, as a part of that of the colour.
        limits: the values at the two ends of the colour scale; values beyond are drawn as the nearest end.
    """

    x: Column
    y: Column
    values: Column
    shade: Column
    limits: Limits
    scale: Scale
    label: str


@dataclass(frozen=True, eq=False)
class Words(_Value):
    """A few words at each point.

    Attributes:
        texts: one for each point.
        anchor: the part of the text that is at the point: ``"left"``, ``"center"`` or ``"right"``, then ``"top"``, ``"center"`` or ``"bottom"``.
    """

    x: Column
    y: Column
    texts: tuple[str, ...]
    colour: Colour = "ink"
    anchor: str = "center center"


Layer: TypeAlias = Line | Band | Points | Rule | Span | Heat | Contour | Arrows | Faces | Words


@dataclass(frozen=True, eq=False)
class Marks(_Value):
    """A picture as numbers and words.

    Attributes:
        title: what is seen.
        x_label, y_label: the quantities, with their units where they have one.
        x_scale, y_scale: ``"linear"`` or ``"log"``.
        x_whole: x counts something, so that there is nothing between two whole numbers.
        x_limits, y_limits: the part that is shown; layers may reach beyond it.
        frameless: the picture has axes of its own among its layers: nothing is drawn around it, and the labels name those axes.
        layers: what is drawn, the hindmost first.
        notes: what the picture cannot say, one sentence each.
        caption: the moment that is shown, where the picture is one of many.

    Example:
        >>> picture = Marks("a line", "x", "y", (0, 1), (0, 2), layers=(Line([0, 1], [0, 2], label="2 x"),))
        >>> picture.of(Line)[0].y.tolist(), picture.of(Points)
        ([0.0, 2.0], ())
    """

    title: str
    x_label: str
    y_label: str
    x_limits: Limits
    y_limits: Limits
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    x_whole: bool = False
    frameless: bool = False
    layers: tuple[Layer, ...] = ()
    notes: tuple[str, ...] = ()
    caption: str = ""

    def of(self, kind: type[Any]) -> tuple[Any, ...]:
        """The layers of one kind, in their order."""
        return tuple(layer for layer in self.layers if isinstance(layer, kind))


@dataclass(frozen=True)
class Panels:
    """Several pictures that are to be compared, beside each other.

    Attributes:
        title: what they have in common.
        panels: from left to right, then from top to bottom.
        notes: what is to be said about all of them.
        caption: as for `Marks`.
    """

    title: str
    panels: tuple[Marks, ...]
    notes: tuple[str, ...] = ()
    caption: str = ""


def _frozen(values: Any) -> Column:
    column = np.array(values, dtype=bool if np.asarray(values).dtype == bool else np.float64)
    column.setflags(write=False)
    return column


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype != bool)
    return bool(one == other)
