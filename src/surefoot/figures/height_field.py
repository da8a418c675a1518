"""What of a height field is seen from one side?  grid + heights + direction -> faces in painter's order, lines and points on them, what is hidden.

Every cell of the grid is split into two triangles, so that faces are flat and a line on them is on them exactly. A cell without four finite heights
is a hole: its faces lie on the floor, at height 0. The projection is orthographic: parallel lines stay parallel, and lengths along one direction
can be compared anywhere in the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from surefoot.trace import Column

ROUNDING = 1e-9  # of the size of the box: closer than that, two heights are one
FAR = 1e6  # sizes of the box: points further out are drawn in to there, or a cut at the border loses its digits
CHUNK = 256  # lines of sight at a time: they are compared with everything there is


@dataclass(frozen=True, eq=False)
class HeightField:
    """Heights over a grid, seen from one side.

    Attributes:
        x, y: (columns,) and (rows,) rising.
        heights: (rows, columns), 0 or more; 0 where there is none.
        solid: (rows - 1, columns - 1) cells that have four heights; the others are holes.
        towards: (3,) of length 1, from the surface to the viewer, who is above.
        right, up: (3,) the directions of the picture.
    """

    x: Column
    y: Column
    heights: Column
    solid: Column
    towards: Column
    right: Column
    up: Column


def height_field(x: Column, y: Column, heights: Column, azimuth: float, elevation: float) -> HeightField:
    """Heights (NaN: there is none) seen from ``azimuth`` degrees, anticlockwise from the direction of x, and ``elevation`` above the floor.

    >>> field = height_field(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]), np.zeros((2, 2)), -90.0, 30.0)
    >>> project(field, np.array([1.0, 0.0, 2.0])).round(3).tolist()
    [1.0, 1.732]
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    known = np.isfinite(heights)
    return HeightField(
        x=x,
        y=y,
        heights=np.where(known, heights, 0.0),
        solid=known[:-1, :-1] & known[:-1, 1:] & known[1:, :-1] & known[1:, 1:],
        towards=np.array([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)]),
        right=np.array([-math.sin(a), math.cos(a), 0.0]),
        up=np.array([-math.sin(e) * math.cos(a), -math.sin(e) * math.sin(a), math.cos(e)]),
    )


def project(field: HeightField, points: Column) -> Column:
    """(..., 2) where in the picture (..., 3) points are."""
    return np.stack([points @ field.right, points @ field.up], -1)


def faces(field: HeightField) -> tuple[Column, Column]:
    """(faces, 3, 3) corners, the farthest first, and (faces,) whether the face is of the surface and not of a hole.

    A face hides another only if the line of sight comes to it later, and a line of sight passes the rows of the grid in one order, and its columns.
    """
    row, column = np.meshgrid(
        _far_first(len(field.y) - 1, field.towards[1]), _far_first(len(field.x) - 1, field.towards[0]), indexing="ij"
    )
    solid = field.solid[row, column]
    low, right, up, far = (_corner(field, row + above, column + beside, solid) for above in (0, 1) for beside in (0, 1))
    lower, upper = np.stack([low, right, up], -2), np.stack([far, up, right], -2)
    rising = field.towards[0] / np.diff(field.x)[column] + field.towards[1] / np.diff(field.y)[row] > 0
    first = np.where(rising[..., None, None], lower, upper)
    then = np.where(rising[..., None, None], upper, lower)
    return np.stack([first, then], 2).reshape(-1, 3, 3), np.repeat(solid.reshape(-1), 2)


def lifted(field: HeightField, points: Column) -> Column:
    """(points, 3) the places on the faces above or below (points, 2) of the grid."""
    return np.column_stack([points, _height(field, points, points)])


def draped(field: HeightField, points: Column) -> tuple[Column, Column, Column]:
    """A line over the grid, laid on the faces: (pieces, 3) starts, (pieces, 3) ends, and (pieces,) whether the piece is hidden.

    Every piece is on one face, and entirely seen or entirely hidden. What is outside the grid is left out.
    """
    start, end = _inside(field, points)
    at = _crossings(field, start, end)
    line, place = np.nonzero(np.diff(at) > ROUNDING)
    first, last = (_between(start[line], end[line], at[line, place + shift]) for shift in (0, 1))
    middle = (first + last) / 2
    first, last = (np.column_stack([ends, _height(field, ends, middle)]) for ends in (first, last))
    crossed = _silhouette_crossings(field, first, last)
    torn = 1 + np.flatnonzero(np.abs(first[1:] - last[:-1]).max(1, initial=0.0) > ROUNDING)
    first, last, on_line = _cut(first, last, crossed)
    part = np.searchsorted(np.sort(np.concatenate([crossed, torn])), on_line)
    return first, last, _alike(field, first, last, part)


def hidden(field: HeightField, points: Column) -> Column:
    """(points,) whether the line of sight from (points, 3) on the faces passes through a face on its way to the viewer."""
    parts = [_hidden(field, points[begin : begin + CHUNK]) for begin in range(0, len(points), CHUNK)]
    return np.concatenate([np.zeros(0, dtype=bool), *parts])


def _far_first(count: int, direction: float) -> Column:
    return np.arange(count) if direction > 0 else np.arange(count)[::-1]


def _corner(field: HeightField, row: Column, column: Column, solid: Column) -> Column:
    return np.stack([field.x[column], field.y[row], np.where(solid, field.heights[row, column], 0.0)], -1)


def _local(line: Column, values: Column, inside: Column) -> tuple[Column, Column]:
    """The cell of ``inside`` along one axis, and where in it ``values`` are, from 0 to 1."""
    cell = np.clip(np.searchsorted(line, inside, "right") - 1, 0, len(line) - 2)
    return cell, (values - line[cell]) / (line[cell + 1] - line[cell])


def _planes(field: HeightField, inside: Column) -> tuple[Column, Column, Column]:
    """The height at the origin and the slopes along both axes of the plane of the face that each point is on."""
    (column, u), (row, v) = (_local(line, inside[..., axis], inside[..., axis]) for axis, line in enumerate((field.x, field.y)))
    upper = u + v > 1
    low, right = field.heights[row, column], field.heights[row, column + 1]
    up, far = field.heights[row + 1, column], field.heights[row + 1, column + 1]
    # rise over the whole cell, of the face at its low end or of the one at its high end
    slope_x = np.where(upper, far - up, right - low) / (field.x[column + 1] - field.x[column])
    slope_y = np.where(upper, far - right, up - low) / (field.y[row + 1] - field.y[row])
    height = np.where(upper, up, low) - slope_x * field.x[column] - slope_y * field.y[row + upper]
    solid = field.solid[row, column]
    return np.where(solid, height, 0.0), np.where(solid, slope_x, 0.0), np.where(solid, slope_y, 0.0)


def _height(field: HeightField, points: Column, inside: Column) -> Column:
    """The height at points, of the face that ``inside`` is on: on a border there are two."""
    height, slope_x, slope_y = _planes(field, inside)
    return np.asarray(height + slope_x * points[..., 0] + slope_y * points[..., 1])


def _past_diagonal(field: HeightField, points: Column, inside: Column) -> Column:
    """Positive on the far side of the diagonal of the cell, which goes from the end of its x to the end of its y."""
    u, v = (_local(line, points[..., axis], inside[..., axis])[1] for axis, line in enumerate((field.x, field.y)))
    return np.asarray(u + v - 1)


def _between(start: Column, end: Column, at: Column) -> Column:
    """(..., dimensions) the points that are so much of the way from start to end."""
    return np.asarray(start + at[..., None] * (end - start))


def _inside(field: HeightField, points: Column) -> tuple[Column, Column]:
    """The parts of a line's segments that are inside the grid."""
    low, high = np.array([field.x[0], field.y[0]]), np.array([field.x[-1], field.y[-1]])
    middle, half = (low + high) / 2, (high - low) / 2
    out = np.abs((points - middle) / half).max(1, keepdims=True, initial=0.0)
    near = middle + (points - middle) / np.maximum(out / FAR, 1.0)
    start, end = near[:-1], near[1:]
    step = end - start
    still = step == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = np.stack([(low - start) / step, (high - start) / step])
    out_there = still & ((start < low) | (start > high))
    enter = np.where(still, np.where(out_there, np.inf, -np.inf), sides.min(0)).max(1, initial=0.0)
    leave = np.where(still, np.inf, sides.max(0)).min(1, initial=1.0)
    some = (leave > enter) & ~still.all(1)
    first, last = (_between(start[some], end[some], at[some]) for at in (enter, leave))
    return np.clip(first, low, high), np.clip(last, low, high)


def _crossings(field: HeightField, start: Column, end: Column) -> Column:
    """(lines, n) rising from 0 to 1: where lines over the grid pass from face to face. Numbers that are not needed repeat others."""
    step = end - start
    with np.errstate(divide="ignore", invalid="ignore"):
        lines = [(line - start[:, axis, None]) / step[:, axis, None] for axis, line in enumerate((field.x, field.y))]
    both = np.tile([0.0, 1.0], (len(start), 1))
    at = np.sort(np.clip(np.nan_to_num(np.hstack([both, *lines]), nan=0.0), 0, 1))
    first, last = (_between(start[:, None], end[:, None], ends) for ends in (at[:, :-1], at[:, 1:]))
    before, after = (_past_diagonal(field, ends, (first + last) / 2) for ends in (first, last))
    with np.errstate(divide="ignore", invalid="ignore"):
        on = np.clip(np.nan_to_num(before / (before - after), nan=0.0), 0, 1)
    return np.sort(np.hstack([at, at[:, :-1] + on * np.diff(at)]))


def _hidden(field: HeightField, points: Column) -> Column:
    floor, across = points[:, :2], field.towards[:2]
    border = np.where(across > 0, [field.x[-1], field.y[-1]], [field.x[0], field.y[0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        way = np.where(across == 0, np.inf, (border - floor) / across).min(1)
    end = floor + way[:, None] * across
    at = _crossings(field, floor, end)
    places = _between(floor[:, None], end[:, None], at)
    height, slope_x, slope_y = _planes(field, (places[:, :-1] + places[:, 1:]) / 2)
    sight = points[:, 2:] + at * way[:, None] * field.towards[2]
    over = [height + slope_x * ends[..., 0] + slope_y * ends[..., 1] for ends in (places[:, :-1], places[:, 1:])]
    above = np.stack([sight[:, :-1] - over[0], sight[:, 1:] - over[1]])  # at both ends of the way over each face
    return np.asarray(((above.min(0) < -ROUNDING) & (above.max(0) >= -ROUNDING)).any(1))


def _facing(field: HeightField) -> tuple[Column, Column]:
    """Of the lower and the upper face of each cell: 1 if its upper side is seen, -1 if its lower side is, 0 in a hole."""
    z, (a, b, c) = field.heights, field.towards
    dx, dy = np.diff(field.x), np.diff(field.y)[:, None]
    lower = c - a * (z[:-1, 1:] - z[:-1, :-1]) / dx - b * (z[1:, :-1] - z[:-1, :-1]) / dy
    upper = c - a * (z[1:, 1:] - z[1:, :-1]) / dx - b * (z[1:, 1:] - z[:-1, 1:]) / dy
    return tuple(np.where(field.solid, np.where(side > 0, 1, -1), 0) for side in (lower, upper))  # type: ignore[return-value]


def _silhouette(field: HeightField) -> tuple[Column, Column]:
    """(edges, 3) both ends of the edges where something that is seen can begin to be hidden: only where the facing changes."""
    lower, upper = _facing(field)
    points = np.stack([*np.meshgrid(field.x, field.y), field.heights], -1)
    along_x = np.pad(upper, ((1, 0), (0, 0))) != np.pad(lower, ((0, 1), (0, 0)))
    along_y = np.pad(upper, ((0, 0), (1, 0))) != np.pad(lower, ((0, 0), (0, 1)))
    across = lower != upper
    starts = [points[:, :-1][along_x], points[:-1][along_y], points[:-1, 1:][across]]
    ends = [points[:, 1:][along_x], points[1:][along_y], points[1:, :-1][across]]
    return np.concatenate(starts), np.concatenate(ends)


def _silhouette_crossings(field: HeightField, first: Column, last: Column) -> Column:
    """Where the pieces cross a silhouette in the picture: 3.25 is a quarter into the fourth piece. Only there can something become hidden."""
    begin, finish = (project(field, ends) for ends in _silhouette(field))
    left, right = np.minimum(begin[:, 0], finish[:, 0]), np.maximum(begin[:, 0], finish[:, 0])
    order = np.argsort(left)
    begin, finish, left = begin[order], finish[order], left[order]
    widest = (right[order] - left).max(initial=0.0) + ROUNDING
    found: list[Column] = [np.zeros(0)]
    for chunk in range(0, len(first), CHUNK):
        start, end = (project(field, ends[chunk : chunk + CHUNK]) for ends in (first, last))
        from_edge = np.searchsorted(left, np.minimum(start[:, 0], end[:, 0]) - widest)
        count = np.searchsorted(left, np.maximum(start[:, 0], end[:, 0]) + ROUNDING) - from_edge
        piece = np.repeat(np.arange(len(start)), count)
        edge = np.arange(len(piece)) + np.repeat(from_edge - np.cumsum(count) + count, count)
        pair, place = _met(start[piece], end[piece], begin[edge], finish[edge])
        found.append(chunk + piece[pair] + place)
    return np.concatenate(found)


def _met(start: Column, end: Column, begin: Column, finish: Column) -> tuple[Column, Column]:
    """Of pairs of strokes: which meet, and where on the first one, from 0 to 1; both its ends, if it runs along the second one."""
    step, edge, apart = end - start, finish - begin, begin - start
    long, wide = np.linalg.norm(step, axis=1) + ROUNDING, np.linalg.norm(edge, axis=1) + ROUNDING
    turn, aside = _cross(step, edge), _cross(apart, edge)
    with np.errstate(divide="ignore", invalid="ignore"):
        on_step, on_edge = aside / turn, _cross(apart, step) / turn
    off_step, off_edge = np.abs(on_step - 0.5) - 0.5, np.abs(on_edge - 0.5) - 0.5
    pair = np.flatnonzero((off_step * long < ROUNDING) & (off_edge * wide < ROUNDING))
    along = np.flatnonzero((np.abs(turn) < ROUNDING * long * wide) & (np.abs(aside) < ROUNDING * wide))
    places = [np.clip(on_step[pair], 0, 1), np.zeros(len(along)), np.ones(len(along))]
    return np.concatenate([pair, along, along]), np.concatenate(places)


def _cross(one: Column, other: Column) -> Column:
    return np.asarray(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0])


def _cut(first: Column, last: Column, crossed: Column) -> tuple[Column, Column, Column]:
    """The pieces, cut once more where they cross a silhouette, and the middle of each on the line."""
    at = np.unique(np.concatenate([np.arange(len(first) + 1.0), crossed]))
    at = at[(np.abs(at - at.round()) > ROUNDING) | (at == at.round())]
    begin, end = at[:-1], at[1:]
    piece = np.floor((begin + end) / 2).astype(int)
    ends = (_between(first[piece], last[piece], place - piece) for place in (begin, end))
    return next(ends), next(ends), (begin + end) / 2


def _alike(field: HeightField, first: Column, last: Column, part: Column) -> Column:
    """Whether pieces are hidden, from the longest one of each part of the line: between two silhouettes all are alike."""
    order = np.lexsort((np.linalg.norm(last - first, axis=1), part))
    chosen = order[np.append(np.diff(part[order]) > 0, True)] if len(order) else order
    behind = hidden(field, (first[chosen] + last[chosen]) / 2)
    return np.asarray(behind[np.searchsorted(part[chosen], part)])
