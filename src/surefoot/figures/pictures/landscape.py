"""The loss over the weights.  Surface -> a curve, or heights over a plane, with the paths and the minima."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from surefoot.figures.layers import COLOURS, Heat, Layer, Limits, Line, Marks, Points
from surefoot.figures.scales import number, scale_of
from surefoot.surfaces.surface import PathOn, Surface
from surefoot.trace import Column

ABOVE = 2.0  # times what the paths gained, above where they began: higher losses all have that colour
COLOUR_DECADES = 1.0  # where the losses span more, their colours are spaced by the logarithm
PATHS = ("ink", *(name for name in COLOURS if name not in ("ink", "grey")))


def landscape_picture(surface: Surface) -> Marks:
    """The loss on the line or plane of a surface.

    Returns:
        Marks with a `Line` (one axis) or a `Heat` (two), a `Line` and `Points` for each path, and `Points` at the minima.

    Example:
        >>> from surefoot.problem import Problem
        >>> from surefoot.surfaces.surface import landscape
        >>> picture = landscape_picture(landscape(Problem.of(lambda x: (x**2).sum(), start=[1.0]), resolution=3, extent=(-1, 1)))
        >>> picture.of(Line)[0].y.tolist(), picture.of(Points)[0].x.round(6).tolist()
        ([1.0, 0.0, 1.0], [0.0])
    """
    return _curve(surface) if len(surface.axes) == 1 else _heights(surface)


def _curve(surface: Surface) -> Marks:
    (x,) = surface.axes
    shown = surface.loss[np.isfinite(surface.loss)]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)
    layers: list[Layer] = [Line(x, surface.loss, "blue", "loss")]
    layers += [
        layer for index, path in enumerate(surface.paths) for layer in _walked(path, path.coordinates[:, 0], path.loss, index)
    ]
    layers += _valleys(surface, [each.loss for each in surface.minima])
    room = 0.06 * (high - low) or 1.0
    return Marks(
        title="Loss along a line of the weights" if not surface.exact else f"Loss over {surface.plane.names[0]}",
        x_label=surface.plane.names[0],
        y_label="loss",
        x_limits=_ends(x),
        y_limits=(low - room, high + room),
        layers=tuple(layers),
        notes=notes_on(surface, low, high),
    )


def _heights(surface: Surface) -> Marks:
    x, y = surface.axes
    low, high = _range(surface)
    scale = scale_of(np.array([low, high]), COLOUR_DECADES)
    layers: list[Layer] = [Heat(x, y, surface.loss, ~np.isfinite(surface.loss), (low, high), scale, "loss")]
    for index, path in enumerate(surface.paths):
        layers += _walked(path, path.coordinates[:, 0], path.coordinates[:, 1], index)
    layers += _valleys(surface, [each.point[-1] for each in surface.minima])
    return Marks(
        title="Loss over the weights" if surface.exact else "Loss on a plane through the weights",
        x_label=surface.plane.names[0],
        y_label=surface.plane.names[1],
        x_limits=_ends(x),
        y_limits=_ends(y),
        layers=tuple(layers),
        notes=notes_on(surface, low, high),
    )


def _walked(path: PathOn, x: Column, y: Column, index: int) -> Iterator[Layer]:
    colour = PATHS[index % len(PATHS)]
    yield Line(x, y, colour, f"descent {index + 1}" if index else "descent")
    yield Points(x[:1], y[:1], colour, "start" if not index else "", "circle")
    yield Points(x[-1:], y[-1:], colour, "end" if not index else "", "dot")


def _valleys(surface: Surface, heights: list[float]) -> list[Layer]:
    """The minima: the lowest one, and the others."""
    x, y = np.array([each.point[0] for each in surface.minima]), np.array(heights)
    lowest = Points(x[:1], y[:1], "red", "global minimum" if len(x) > 1 else "minimum", "circle")
    others = Points(x[1:], y[1:], "orange", "local minima" if len(x) > 2 else "local minimum", "circle")
    return [layer for layer in (lowest, others) if len(layer.x)]


def _range(surface: Surface) -> Limits:
    """The losses at the two ends of the colours."""
    shown = surface.loss[np.isfinite(surface.loss)]
    if not len(shown):
        return 0.0, 1.0
    low, high = float(shown.min()), float(shown.max())
    if surface.paths:
        start = max(float(path.loss[0]) for path in surface.paths)
        high = min(high, start + ABOVE * (start - low)) if start > low else high
    return (low, high) if high > low else (low - 0.5 * abs(low), high + 0.5 * abs(high) or 1.0)


def _ends(axis: Column) -> Limits:
    return float(axis[0]), float(axis[-1])


def notes_on(
    surface: Surface, low: float, high: float, above: str = "all have its colour", lost: str = "Grey, x"
) -> tuple[str, ...]:
    """What the picture of a surface cannot say; ``above`` says what became of higher losses, ``lost`` how points without a loss look."""
    notes = str(surface).splitlines()[1:] if not surface.exact else []
    if len(surface.axes) == 2 and (surface.loss > high).any():
        notes.append(f"Losses above {number(high)} {above}.")
    if (surface.exact or len(surface.axes) == 2) and not np.isfinite(surface.loss).all():
        notes.append(f"{lost}: no finite loss.")
    return tuple(f"{note[0].upper()}{note[1:]}{'' if note.endswith('.') else '.'}" for note in notes)
