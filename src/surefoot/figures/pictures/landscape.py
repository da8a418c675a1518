"""The loss over the weights.  Surface -> a curve, or heights over a plane, with the paths and the minima."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from contourpy import LineType, contour_generator

from surefoot.figures.layers import Arrows, Contour, Heat, Layer, Limits, Line, Marks, Points
from surefoot.figures.pictures.series import labels_of
from surefoot.figures.scales import number, scale_of
from surefoot.surfaces.surface import PathOn, Surface
from surefoot.trace import Column

ABOVE = 2.0  # times what the paths gained, above where they began: higher losses all have that colour
COLOUR_DECADES = 1.0  # where the losses span more, their colours are spaced by the logarithm
PATHS = ("red", "ink", "sky", "orange", "purple", "brown", "blue", "green")  # seen on the colours of heights, in this order
STYLES = ("solid", "dashed", "dashdot", "dotted")
EQUAL = 1e-6  # of the range of losses shown: minima that differ by less are equally low
LEVELS = 12  # contour lines
DRAWN = 600  # cells along an axis: more are finer than a picture's pixels
FOOTPRINTS = 60  # points of a path that are drawn one by one
ARROWS = 15  # along a curve
LONGEST = 0.07  # of the width: the longest arrow
TANGENT = 0.12  # of the width: half of a tangent


def landscape_picture(surface: Surface, limits: Limits | None = None) -> Marks:
    """The loss on the line or plane of a surface.

    Args:
        surface: with one axis or two.
        limits: the losses at the ends of the axis or of the colours; None: what shows the paths.

    Returns:
        With one axis: a `Line` where the loss falls to the right and one where it rises, `Arrows` in the direction of a step, as long
        as the gradient is steep, and for each path a `Line`, `Points` and the tangent at its last point. With two: a `Heat` with its `Contour`,
        and a `Line` and `Points` for each path. In both `Points` at the minima.

    Example:
        >>> from surefoot.problem import Problem
        >>> from surefoot.surfaces.surface import landscape
        >>> picture = landscape_picture(landscape(Problem.of(lambda x: (x**2).sum(), start=[1.0]), resolution=3, extent=(-1, 1)))
        >>> picture.of(Line)[0].y.tolist(), picture.of(Points)[0].x.round(6).tolist()
        ([1.0, 0.0, nan], [0.0])
    """
    return (_curve if len(surface.axes) == 1 else _heights)(surface, limits or shown_range(surface))


def labels(paths: Sequence[PathOn]) -> list[str]:
    """What each path is called in a legend: one alone by its rate, several by what differs."""
    if len(paths) == 1:
        rate = paths[0].config.get("lr")
        return ["descent" if rate is None else f"lr {number(rate)}"]
    return labels_of([path.config for path in paths])


# ---- one axis


def _curve(surface: Surface, limits: Limits) -> Marks:
    (x,) = surface.axes
    low, high = limits
    room = 0.06 * (high - low)
    layers: list[Layer] = [*_sides(x, surface.loss, surface.slope), *_steps(x, surface, high)]
    for index, (path, label) in enumerate(zip(surface.paths, labels(surface.paths), strict=True)):
        walked = _walked(path, path.coordinates[:, 0], path.loss, index, label, (ends(x), (low - room, high + room)))
        layers += [*walked, *_tangent(surface, path, index)]
    layers += valleys(surface, [each.loss for each in surface.minima])
    return Marks(
        title=_title(
            surface, "loss along a line through the weights" if not surface.exact else f"loss over {surface.plane.names[0]}"
        ),
        x_label=surface.plane.names[0],
        y_label="loss",
        x_limits=ends(x),
        y_limits=(low - room, high + room),
        layers=tuple(layers),
        notes=notes(surface, high + room),
    )


def _sides(x: Column, loss: Column, slope: Column | None) -> list[Layer]:
    """The curve where it falls to the right, and where it rises."""
    if slope is None:
        return [Line(x, loss, "blue", "loss")]
    flat = slope == 0
    flat = flat if flat.sum() > 1 else np.zeros_like(flat)  # one point is the bottom of a valley, not a plateau
    sides: list[Layer] = []
    for here, colour, style, label in (
        (slope < 0, "blue", "solid", "gradient < 0: steps go right"),
        (~((slope < 0) | flat), "brown", "dashdot", "gradient > 0: steps go left"),
        (flat, "grey", "solid", "gradient 0: no step"),
    ):
        joined = here.copy()
        joined[1:] |= here[:-1]  # up to the point where the next part begins
        if here.any():
            sides.append(Line(x, np.where(joined, loss, np.nan), colour, label, style))
    return sides


def _steps(x: Column, surface: Surface, high: float) -> list[Layer]:
    """Arrows along the curve in the direction of a step, as long as the gradient is steep."""
    if surface.slope is None:
        return []
    picked = np.linspace(0, len(x) - 1, min(ARROWS, len(x))).round().astype(int)
    picked = picked[np.isfinite(surface.slope[picked]) & (surface.loss[picked] <= high)]
    steepest = float(np.abs(surface.slope[picked]).max(initial=0.0))
    if not steepest > 0:
        return []
    length = -surface.slope[picked] / steepest * LONGEST * float(x[-1] - x[0])
    return [Arrows(x[picked], surface.loss[picked], length, "grey", "a step: minus the gradient")]


def _tangent(surface: Surface, path: PathOn, index: int) -> list[Layer]:
    """The tangent at the last point of a path, if that is in the picture."""
    (x,) = surface.axes
    at, loss = float(path.coordinates[-1, 0]), float(path.under[-1])
    if surface.slope is None or not x[0] <= at <= x[-1]:
        return []
    slope = float(np.interp(at, x, surface.slope))
    if not np.isfinite(slope):
        return []
    reach = TANGENT * float(x[-1] - x[0]) * np.array([-1.0, 1.0])
    label = f"tangent: gradient {number(slope)}" if len(surface.paths) == 1 else "" if index else "tangents"
    return [Line(at + reach, loss + slope * reach, PATHS[index % len(PATHS)], label, "dashed")]


# ---- two axes


def _heights(surface: Surface, limits: Limits) -> Marks:
    thin = tuple(slice(None, None, -(-len(axis) // DRAWN)) for axis in surface.axes)
    x, y = (axis[part] for axis, part in zip(surface.axes, thin, strict=True))
    loss = surface.loss[thin[1], thin[0]]
    low, high = limits
    scale = scale_of(np.array([low, high]), COLOUR_DECADES)
    layers: list[Layer] = [
        Heat(x, y, loss, ~np.isfinite(loss), (low, high), scale, "loss"),
        *_contours(x, y, loss, (low, high), scale),
    ]
    for index, (path, label) in enumerate(zip(surface.paths, labels(surface.paths), strict=True)):
        layers += _walked(path, path.coordinates[:, 0], path.coordinates[:, 1], index, label, (ends(x), ends(y)))
    layers += valleys(surface, [each.point[-1] for each in surface.minima])
    return Marks(
        title=_title(surface, "loss over the weights" if surface.exact else "loss on a plane through the weights"),
        x_label=surface.plane.names[0],
        y_label=surface.plane.names[1],
        x_limits=ends(x),
        y_limits=ends(y),
        layers=tuple(layers),
        notes=notes(surface, high),
    )


def _contours(x: Column, y: Column, loss: Column, limits: Limits, scale: str) -> list[Layer]:
    """Lines of equal loss, at equal distances on the scale of the colours."""
    if min(len(x), len(y)) < 2 or not np.isfinite(loss).any():
        return []
    spaced: Any = np.geomspace if scale == "log" else np.linspace
    levels = spaced(*limits, LEVELS + 2)[1:-1]
    made = contour_generator(x, y, np.ma.masked_invalid(loss), line_type=LineType.Separate)
    lines = [line for level in levels for line in made.lines(level)]
    if not lines:
        return []
    gap = np.full((1, 2), np.nan)
    points = np.concatenate([part for line in lines for part in (line, gap)])
    return [Contour(points[:, 0], points[:, 1], levels)]


# ---- both


def _walked(path: PathOn, x: Column, y: Column, index: int, label: str, limits: tuple[Limits, Limits]) -> Iterator[Layer]:
    colour, style = PATHS[index % len(PATHS)], STYLES[index % len(STYLES)]
    shown = seen(x, y, limits)
    x, y = x[:shown], y[:shown]
    lost = path.ended == "diverged"
    yield Line(x, y, colour, label + (f", diverged at {int(path.steps[-1]):,}" if lost else ""), style)
    picked = np.unique(np.linspace(0, len(x) - 1, min(FOOTPRINTS, len(x))).round().astype(int))[1 : None if lost else -1]
    if len(picked):
        yield Points(x[picked], y[picked], colour, shape="dot")
    yield Points(x[:1], y[:1], colour, "start" if not index else "", "circle")
    if not lost:
        yield Points(x[-1:], y[-1:], colour, "end" if not index else "", "square")


def seen(x: Column, y: Column, limits: tuple[Limits, Limits]) -> int:
    """How many points of a path are drawn: up to the first one after which it never comes back, for the rest would cover all else."""
    inside = (x >= limits[0][0]) & (x <= limits[0][1]) & (y >= limits[1][0]) & (y <= limits[1][1])
    return min(len(x), int(np.flatnonzero(inside).max(initial=0)) + 2)


def _title(surface: Surface, what: str) -> str:
    names = {str(path.config.get("problem") or "") for path in surface.paths}
    name = names.pop() if len(names) == 1 else ""
    return f"{name}: {what}" if name else what.capitalize()


def valleys(surface: Surface, heights: Sequence[float]) -> list[Layer]:
    """The minima: the lowest one or ones, and the others."""
    x, y = np.array([each.point[0] for each in surface.minima]), np.array(heights)
    loss = np.array([each.loss for each in surface.minima])
    low, high = shown_range(surface)
    lowest = loss <= loss.min(initial=np.inf) + EQUAL * (high - low)
    known = (
        (lowest, "green", "global minim" if len(loss) > 1 else "minim", "star"),
        (~lowest, "orange", "local minim", "diamond"),
    )
    return [
        Points(x[at], y[at], colour, word + ("a" if at.sum() > 1 else "um"), shape) for at, colour, word, shape in known if at.any()
    ]


def shown_range(surface: Surface) -> Limits:
    """The losses at the two ends of the colours, or of the axis of losses."""
    shown = surface.loss[np.isfinite(surface.loss)]
    if not len(shown):
        return 0.0, 1.0
    low, high = float(shown.min()), float(shown.max())
    if surface.paths:
        start = max(float(path.loss[0]) for path in surface.paths)
        high = min(high, start + ABOVE * (start - low)) if start > low else high
    return (low, high) if high > low else (low - 0.5 * abs(low), high + 0.5 * abs(high) or 1.0)


def ends(axis: Column) -> Limits:
    """The first and the last coordinate."""
    return float(axis[0]), float(axis[-1])


def notes(surface: Surface, high: float, above: str = "all have its colour", lost: str = "Grey, x") -> tuple[str, ...]:
    """What the picture cannot say, above all how much of the path it holds.

    ``above`` says what became of higher losses, ``lost`` how points without a loss look.
    """
    said = str(surface).splitlines()[1:] if not surface.exact else ["exact: these are all the weights there are"]
    if (surface.loss[np.isfinite(surface.loss)] > high).any():
        said.append(f"Losses above {number(high)} {above if len(surface.axes) == 2 else 'are cut off'}.")
    if (surface.exact or len(surface.axes) == 2) and not np.isfinite(surface.loss).all():
        said.append(f"{lost if len(surface.axes) == 2 else 'Gaps'}: no finite loss.")
    return tuple(f"{note[0].upper()}{note[1:]}{'' if note.endswith('.') else '.'}" for note in said)
