"""What is a slice of the weights?  weights + paths -> an origin and one or two directions.

In two dimensions nothing can be shown of a network but a slice, and most slices show nothing of a descent: a random one holds next to none of
its path. What a plane holds of a path is therefore a number (`Plane.explained`), to be compared with `BY_CHANCE`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Size, Tensor

from surefoot import html
from surefoot.errors import SettingError

# Of a random walk in many dimensions the k-th principal direction holds 6 / (pi k)^2 (Antognini and Sohl-Dickstein 2018).
BY_CHANCE = {1: 6 / math.pi**2, 2: 6 / math.pi**2 * 1.25}

PARALLEL = 1e-9  # 1 - |cosine|: below, the coordinates of a point are rounding errors


@dataclass(frozen=True)
class Plane:
    """A line or a plane through the weights.

    Attributes:
        origin: (weights,) where the coordinates are 0.
        directions: (1 or 2, weights) one step along each axis; at right angles to each other, except for random ones.
        kind: how it was chosen.
        names: of the axes.

    Raises:
        SettingError: there is no such direction, one of them is zero or not finite, or both point the same way.

    Example:
        >>> flat = Plane(torch.zeros(3), torch.eye(3)[:2], "axes", ("x", "y"))
        >>> flat.coordinates(torch.tensor([[3.0, 4.0, 5.0]])).tolist(), flat.distance(torch.tensor([[3.0, 4.0, 5.0]])).tolist()
        ([[3.0, 4.0]], [5.0])
    """

    origin: Tensor
    directions: Tensor
    kind: str = "own"
    names: tuple[str, ...] = ("first direction", "second direction")

    def __post_init__(self) -> None:
        if self.origin.dim() != 1 or self.directions.dim() != 2 or len(self.directions) not in (1, 2):
            shapes = f"{tuple(self.origin.shape)} and {tuple(self.directions.shape)}"
            raise SettingError(f"A plane needs an origin (weights,) and directions (1 or 2, weights), got {shapes}.")
        if self.directions.shape[1] != len(self.origin):
            raise SettingError(
                f"The origin has {len(self.origin):,} weights, the directions {self.directions.shape[1]:,}: they must be of one model."
            )
        lengths = self.directions.double().norm(dim=1)
        if not bool((lengths > 0).all() and torch.isfinite(lengths).all()):
            raise SettingError(f"A direction of a plane must be finite and not zero, got lengths {lengths.tolist()}.")
        cosine = float((self.directions.double() @ self.directions.double().T)[0, -1] / (lengths[0] * lengths[-1]))
        if len(self.directions) == 2 and 1 - abs(cosine) < PARALLEL:
            raise SettingError(
                f"The two directions are parallel (cosine {cosine:.6f}): they span a line, not a plane. Give another."
            )
        object.__setattr__(self, "names", tuple(self.names[: len(self.directions)]))

    def coordinates(self, rows: Tensor) -> Tensor:
        """Where the points of the plane that are nearest to the rows lie: (rows, 1 or 2), float64."""
        return _along(self.directions, rows.double() - self.origin.double())

    def rows(self, coordinates: Tensor) -> Tensor:
        """The weights at coordinates (rows, 1 or 2) of the plane."""
        moved: Tensor = torch.addmm(self.origin, coordinates.to(self.origin.dtype), self.directions)
        return moved

    def distance(self, rows: Tensor) -> Tensor:
        """How far each row lies from the plane: (rows,), float64."""
        offset = rows.double() - self.origin.double()
        missed: Tensor = torch.linalg.vector_norm(offset - _along(self.directions, offset) @ self.directions.double(), dim=1)
        return missed

    def explained(self, rows: Tensor) -> float:
        """The share of the variance of the rows along the directions of the plane; NaN where they are all the same."""
        moved = rows.double() - rows.double().mean(0)
        whole = float(moved.square().sum())
        along = _along(self.directions, moved) @ self.directions.double()
        return float(along.square().sum()) / whole if whole > 0 else math.nan

    def _repr_html_(self) -> str:
        rows = [("weights", f"{len(self.origin):,}"), ("chosen by", self.kind), ("directions", ", ".join(self.names))]
        return html.table("a line" if len(self.directions) == 1 else "a plane", rows)


def _along(directions: Tensor, offsets: Tensor) -> Tensor:
    """Coordinates of the offsets from the origin, by least squares."""
    solved: Tensor = torch.linalg.lstsq(directions.double().T, offsets.T).solution
    return solved.T


def axes(start: Tensor, names: tuple[str, ...]) -> Plane:
    """All there is, where there are one or two weights."""
    return Plane(torch.zeros_like(start), torch.eye(len(start), dtype=start.dtype), "axes", names)


def principal(paths: Sequence[Tensor], dimensions: int = 2) -> Plane:
    """The directions in which the paths move most, through the end of the first one.

    Args:
        paths: each (points, weights), from start to end.
        dimensions: 1 or 2.

    Raises:
        SettingError: the paths do not move in as many directions.

    Source: Li, Xu, Taylor, Studer and Goldstein 2018, section 7. There the plane is that of the differences to the end; here that of the
    differences to the mean, for which the share that a random walk gives is known.
    """
    rows = torch.cat([path.double() for path in paths])
    moved = rows - rows.mean(0)
    # the points are few and the weights many: the eigenvectors of the small matrix of products give those of the large one
    values, vectors = torch.linalg.eigh(moved @ moved.T)
    values, vectors = values.flip(0)[:dimensions], vectors.flip(1)[:, :dimensions]
    if len(values) < dimensions or float(values[-1]) <= 1e-12 * max(float(values[0]), 1e-300):
        raise SettingError(f'The path moves in fewer than {dimensions} directions: give plane="random", or longer runs.')
    directions = (moved.T @ vectors / values.sqrt()).T
    ahead = paths[0].double()[-1] - paths[0].double()[0]
    directions *= torch.where(directions @ ahead < 0, -1.0, 1.0).unsqueeze(1)  # the descent goes up and to the right
    kind = paths[0].dtype
    return Plane(
        paths[0][-1], directions.to(kind), "path", ("first principal direction", "second principal direction")[:dimensions]
    )


def through(points: Sequence[Tensor]) -> Plane:
    """The line through two points, or the plane through three; one step is the way from the first to the second.

    Raises:
        SettingError: the points lie on one line, or two are the same.
    """
    origin = points[0].double()
    first = points[1].double() - origin
    directions, length = [first], float(first.norm())
    for point in points[2:]:
        other = point.double() - origin
        across = other - (other @ first) / (first @ first) * first
        if not float(across.norm()) > 1e-9 * float(other.norm()):
            raise SettingError("The three points lie on one line: their plane is not determined. Give another run.")
        directions.append(across / across.norm() * length)
    if not length > 0:
        raise SettingError("Both ends are the same point: there is no line through them.")
    names = ("from the first end (0) to the second (1)", "across, towards the third point")[: len(directions)]
    return Plane(points[0], torch.stack(directions).to(points[0].dtype), "ends" if len(directions) > 1 else "line", names)


def random(start: Tensor, shapes: Mapping[str, Size], seed: int, dimensions: int = 2) -> Plane:
    """Gaussian directions, each filter of them as long as the filter of the weights; nothing for biases and normalisation.

    A filter is what makes one output: a row of a matrix, all input channels of a convolution.

    Source: Li, Xu, Taylor, Studer and Goldstein 2018, section 4.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(dimensions, len(start), generator=generator, dtype=torch.float64)
    at = 0
    for shape in shapes.values():
        part, own = directions[:, at : at + shape.numel()], start[at : at + shape.numel()].double()
        at += shape.numel()
        if len(shape) < 2:
            part.zero_()
            continue
        filters = part.view(dimensions, shape[0], -1)
        filters *= own.view(shape[0], -1).norm(dim=1)[None, :, None] / filters.norm(dim=2, keepdim=True)
    if not float(directions.norm()) > 0:
        raise SettingError(
            "No weights but biases: a filter-normalised direction does not exist. Give runs, for the plane of their paths."
        )
    return Plane(start, directions.to(start.dtype), "random", ("random direction", "another random direction")[:dimensions])
