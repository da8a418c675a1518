"""The loss over two weights as a mountain range.  Surface + direction -> faces in painter's order, and the paths on them, seen and hidden."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from surefoot.errors import SettingError
from surefoot.figures.height_field import HeightField, draped, faces, height_field, hidden, lifted, project
from surefoot.figures.layers import Faces, Heat, Limits, Line, Marks, Points, Words
from surefoot.figures.pictures.landscape import landscape_picture, notes
from surefoot.figures.scales import tick_labels, ticks
from surefoot.surfaces.surface import Surface
from surefoot.trace import Column

CELLS = 80  # along an axis at most: thirteen thousand faces are drawn in well under a second
TALL = 1.4  # the height of the box, whose floor is 2 by 2
LOWEST, HIGHEST = 5.0, 85.0  # degrees: the floor is a line from beside, the height nothing from above
MOST_TICKS = 5
DARKEST = 0.72  # brightness of a face that the light passes along; the colour is still to be found on the scale
BELOW = 0.55  # brightness of a face that is seen from below
LIGHT = (-0.5, 0.6, 0.6)  # from the viewer: to the left, up, and towards the viewer
BEYOND = 1e300  # widths of the picture: diverged weights are further away than numbers reach
TOUCHING = 1e-6  # pieces whose ends are closer than that follow each other
GAP, NAME = 0.07, 0.36  # from the edge of the floor to its numbers and to its name
ROOM = (0.3, 0.25, 0.3, 0.2)  # for the words at the left, at the right, below and above


def relief_picture(surface: Surface, azimuth: float = -60.0, elevation: float = 35.0) -> Marks:
    """The loss on the plane of a surface, as heights seen from one side.

    The axes of the plane go from -1 to 1 (X, Y), the shown losses from 0 to 1.4 (Z), linear or by their logarithm. With the azimuth a and the
    elevation e the point (X, Y, Z) is drawn at (-X sin a + Y cos a, Z cos e - (X cos a + Y sin a) sin e): an orthographic projection.

    Args:
        surface: with two axes.
        azimuth: degrees, from where it is seen: 0 is from the high end of the first axis, -90 from the low end of the second.
        elevation: degrees above the floor, 5 to 85.

    Returns:
        Marks with `Faces`; for each path a `Line` of what is seen, a faint dotted one of what is hidden, and `Points` at its ends;
        `Points` at the minima; `Line` and `Words` for the floor and the axes.

    Raises:
        SettingError: the surface has one axis, or the direction makes no sense.

    Example:
        >>> from surefoot.problem import Problem
        >>> from surefoot.surfaces.surface import landscape
        >>> bowl = Problem.of(lambda x: (x * x).sum(), start=[1.0, 1.0])
        >>> relief_picture(landscape(bowl, resolution=11)).of(Faces)[0].x.shape
        (200, 3)
    """
    if len(surface.axes) != 2:
        raise SettingError('A picture in 3-D needs a surface with two axes, this one has one: kind="landscape" shows its curve.')
    if not (math.isfinite(azimuth) and LOWEST <= elevation <= HIGHEST):
        raise SettingError(
            f"azimuth must be finite and elevation {LOWEST:g} to {HIGHEST:g} degrees, got {azimuth!r} and {elevation!r}."
        )
    flat = landscape_picture(surface)
    (heat,) = flat.of(Heat)
    field = _field(heat, azimuth, elevation)
    lines = sorted(_lines(flat, field), key=lambda line: not line.faint)
    points = list(_points(flat, field))
    drawn = _faces(heat, field)
    x_limits, y_limits = _limits(field)
    return Marks(
        title=flat.title,
        x_label=flat.x_label,
        y_label=flat.y_label,
        x_limits=x_limits,
        y_limits=y_limits,
        frameless=True,
        layers=(*_frame(flat, field), drawn, *lines, *points, *_words(flat, field)),
        notes=_notes(surface, drawn, any(line.faint for line in lines) or any(each.faint for each in points)),
    )


def _field(heat: Heat, azimuth: float, elevation: float) -> HeightField:
    kept = [np.unique(np.linspace(0, len(axis) - 1, min(CELLS + 1, len(axis))).round().astype(int)) for axis in (heat.x, heat.y)]
    x, y = (_boxed(axis[part], (axis[0], axis[-1])) for axis, part in zip((heat.x, heat.y), kept, strict=True))
    return height_field(x, y, _height(heat, heat.values[np.ix_(kept[1], kept[0])]), azimuth, elevation)


def _boxed(values: Column, limits: Limits) -> Column:
    """-1 to 1 along an axis of the floor."""
    low, high = limits
    away = BEYOND * (high - low)
    return 2 * (np.clip(values, low - away, high + away) - low) / (high - low) - 1


def _height(heat: Heat, loss: Column) -> Column:
    """0 to `TALL`, from the lowest to the highest loss that is shown; NaN where the loss is not finite."""
    low, high = heat.limits
    cut = np.clip(np.where(np.isfinite(loss), loss, np.nan), low, high)
    share = np.log(cut / low) / np.log(high / low) if heat.scale == "log" else (cut - low) / (high - low)
    return np.asarray(TALL * share)


def _loss(heat: Heat, height: Column) -> Column:
    """The loss that is drawn at a height."""
    low, high = heat.limits
    share = height / TALL
    return np.asarray(low * (high / low) ** share if heat.scale == "log" else low + share * (high - low))


def _faces(heat: Heat, field: HeightField) -> Faces:
    corners, solid = faces(field)
    x, y = np.moveaxis(project(field, corners), -1, 0)
    upright = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    upright /= np.linalg.norm(upright, axis=1, keepdims=True)
    light = np.array(LIGHT) @ np.stack([field.right, field.up, field.towards])
    lit = DARKEST + (1 - DARKEST) * np.clip(upright @ (light / np.linalg.norm(light)), 0, 1)
    shade = np.where(upright @ field.towards > 0, lit, BELOW)
    values = _loss(heat, corners[..., 2].mean(1))
    return Faces(x, y, np.where(solid, values, np.nan), np.where(solid, shade, 1.0), heat.limits, heat.scale, heat.label)


def _on_floor(flat: Marks, layer: Line | Points) -> Column:
    """(points, 2) of a layer of the flat picture, on the floor of the box."""
    return np.stack([_boxed(layer.x, flat.x_limits), _boxed(layer.y, flat.y_limits)], 1)


def _lines(flat: Marks, field: HeightField) -> Iterator[Line]:
    """The paths on the faces: what is hidden dotted, what is seen as a line; the label is said once."""
    for line in flat.of(Line):
        first, last, behind = draped(field, _on_floor(flat, line))
        if behind.any():
            label = line.label if behind.all() else ""
            yield Line(*_joined(field, first, last, behind), line.colour, label, "dotted", faint=True)
        if not behind.all():
            yield Line(*_joined(field, first, last, ~behind), line.colour, line.label)


def _joined(field: HeightField, first: Column, last: Column, kept: Column) -> tuple[Column, Column]:
    """The pieces that are kept as one curve in the picture, with gaps where they do not follow each other."""
    pieces = np.flatnonzero(kept)
    apart = (np.diff(pieces) > 1) | (np.abs(first[pieces[1:]] - last[pieces[:-1]]).max(1, initial=0.0) > TOUCHING)
    runs = np.split(pieces, 1 + np.flatnonzero(apart))
    gap = np.full((1, 3), np.nan)
    x, y = project(field, np.concatenate([part for run in runs for part in (first[run], last[run[-1:]], gap)][:-1])).T
    return x, y


def _points(flat: Marks, field: HeightField) -> Iterator[Points]:
    """The points of the flat picture on the faces: faint where they are hidden."""
    for points in flat.of(Points):
        if points.shape == "dot":  # footprints, of which here the line is enough
            continue
        at = _on_floor(flat, points)
        places = lifted(field, at[(np.abs(at) <= 1).all(1)])
        behind = hidden(field, places)
        for faint in sorted({*behind}):
            x, y = project(field, places[behind == faint]).T
            yield Points(x, y, points.colour, points.label if faint == behind.all() else "", points.shape, bool(faint))


def _frame(flat: Marks, field: HeightField) -> Iterator[Line]:
    """A light grid on the floor and on the two walls behind, the edges of the floor, and the upright axis."""
    x, y, heights = _ticks(flat)
    far, left = -_near(field), _left(field)
    across = np.array([-1.0, 1.0])
    grid = [np.array([[place, end, 0.0] for end in across]) for place in x]
    grid += [np.array([[end, place, 0.0] for end in across]) for place in y]
    for height in (*heights, TALL):
        grid.append(np.array([[-far[0], far[1], height], [far[0], far[1], height], [far[0], -far[1], height]]))
    grid += [np.array([[*corner, 0.0], [*corner, TALL]]) for corner in (far, -left)]
    square = np.array([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]])
    yield Line(*_strokes(field, grid), "grey", faint=True)
    yield Line(*_strokes(field, [square, np.array([[*left, 0.0], [*left, TALL]])]), "grey")


def _strokes(field: HeightField, lines: Sequence[Column]) -> tuple[Column, Column]:
    gap = np.full((1, 3), np.nan)
    x, y = project(field, np.concatenate([part for line in lines for part in (line, gap)][:-1])).T
    return x, y


def _near(field: HeightField) -> Column:
    """The corner of the floor that is nearest to the viewer."""
    return np.where(field.towards[:2] < 0, -1.0, 1.0)


def _left(field: HeightField) -> Column:
    """The corner of the floor at the left."""
    beside = _near(field) * [1.0, -1.0]
    return beside if beside @ field.right[:2] < 0 else -beside


def _ticks(flat: Marks) -> tuple[Column, Column, Column]:
    """Where the numbers are, in the box."""
    (heat,) = flat.of(Heat)
    x, y = (_boxed(np.array(ticks(limits, "linear", MOST_TICKS)), limits) for limits in (flat.x_limits, flat.y_limits))
    return x, y, _height(heat, np.array(ticks(heat.limits, heat.scale, MOST_TICKS)))


def _words(flat: Marks, field: HeightField) -> Iterator[Words]:
    """The numbers and the names of the three axes."""
    (heat,) = flat.of(Heat)
    near, left = _near(field), _left(field)
    places = _ticks(flat)
    for axis, (limits, name) in enumerate(((flat.x_limits, flat.x_label), (flat.y_limits, flat.y_label))):
        outwards = np.eye(3)[1 - axis] * near[1 - axis]
        along = np.append(places[axis], 0.0)[:, None] * np.eye(3)[axis]
        away = 1 + np.append(np.full(len(places[axis]), GAP), NAME)
        x, y = project(field, along + away[:, None] * outwards).T
        texts = (*tick_labels(ticks(limits, "linear", MOST_TICKS)), name)
        yield Words(x, y, texts, anchor=f"{_side(float(outwards @ field.right))} top")
    x, y = project(field, np.column_stack([np.tile(left, (len(places[2]), 1)), places[2]])).T
    yield Words(x - GAP, y, tuple(tick_labels(ticks(heat.limits, heat.scale, MOST_TICKS))), anchor="right center")
    x, y = project(field, np.array([[*left, TALL]])).T
    yield Words(x, y + GAP, (heat.label,), anchor="center bottom")


def _side(outwards: float) -> str:
    """The part of a text that is at the edge, where so much of the way from the edge leads to the right."""
    return "center" if abs(outwards) < 0.2 else "left" if outwards > 0 else "right"


def _limits(field: HeightField) -> tuple[Limits, Limits]:
    corners = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (0.0, TALL)])
    (left, low), (right, high) = (edge(project(field, corners), axis=0) for edge in (np.min, np.max))
    return (float(left - ROOM[0]), float(right + ROOM[1])), (float(low - ROOM[2]), float(high + ROOM[3]))


def _notes(surface: Surface, drawn: Faces, behind: bool) -> tuple[str, ...]:
    said = list(notes(surface, drawn.limits[1], "are cut off at that height", "Grey, on the floor"))
    said += ["The height is the logarithm of the loss."] if drawn.scale == "log" else []
    said += ["Darker than its colour: the surface from below."] if (drawn.shade == BELOW).any() else []
    said += ["Dotted and faint: behind the surface."] if behind else []
    return tuple(said)
