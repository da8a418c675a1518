"""Which slice of the weights is shown?  a name + paths -> Plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor, where

from surefoot.curvature.spectrum import steepest
from surefoot.errors import SettingError
from surefoot.surfaces.grid import Rows
from surefoot.surfaces.planes import Plane, axes, principal, random, through

PLANES = ("auto", "axes", "path", "line", "ends", "curvature", "random")


def chosen(plane: str | Plane, rows: Rows, paths: Sequence[Tensor], data: str | int, seed: int) -> tuple[Plane, str]:
    """The plane that is shown.

    Args:
        plane: one of `PLANES`, or a plane, which must be of as many weights.
        rows: the problem.
        paths: each (points, weights), what is near enough to be shown.
        data: what curvature is the mean over.
        seed: of random directions.

    Returns:
        The plane, and what is to be said about the choice: "" where it is what was asked for.

    Raises:
        SettingError: there are too many weights, too few paths, or they do not span a plane.
    """
    if isinstance(plane, Plane):
        if len(plane.origin) != rows.size:
            raise SettingError(f"The plane has {len(plane.origin):,} weights, the problem {rows.size:,}: it is of another problem.")
        return plane, ""
    if plane == "auto":
        return _usual(rows, paths, seed)
    return _BY_NAME[plane](rows, paths, data, seed), ""


def _usual(rows: Rows, paths: Sequence[Tensor], seed: int) -> tuple[Plane, str]:
    if rows.size <= 2:
        return _of_axes(rows), ""
    if not paths:
        return _of_chance(rows, paths, seed), ""
    try:
        return principal(paths), ""
    except SettingError:  # a path of one point, or a straight one
        return _of_chance(rows, paths, seed), "the path does not span a plane: random directions through its end"


def _of_axes(rows: Rows) -> Plane:
    if rows.size > 2:
        raise SettingError(f'plane="axes" needs one or two weights, the problem has {rows.size:,}. Give plane="path" or "random".')
    return axes(rows.start().cpu(), _names(rows))


def _of_paths(paths: Sequence[Tensor]) -> Plane:
    if not paths:
        raise SettingError('plane="path" needs a run: landscape(problem, [descend(problem, ...)]).')
    return principal(paths)


def _of_line(paths: Sequence[Tensor]) -> Plane:
    if not paths:
        raise SettingError('plane="line" needs a run, for the line from its start to its end, or two, for that between their ends.')
    if len(paths) > 1:
        return through([paths[0][-1], paths[1][-1]])
    return replace(through([paths[0][0], paths[0][-1]]), names=("from the start (0) to the end (1)",))


def _of_ends(paths: Sequence[Tensor]) -> Plane:
    if len(paths) < 2:
        raise SettingError('plane="ends" needs two runs, for a plane through their ends and their start.')
    return through([paths[0][-1], paths[1][-1], paths[2][-1] if len(paths) > 2 else paths[0][0]])


def _of_chance(rows: Rows, paths: Sequence[Tensor], seed: int) -> Plane:
    return random(paths[0][-1] if paths else rows.start().cpu(), rows.parameters, seed)


def _of_curvature(rows: Rows, paths: Sequence[Tensor], data: str | int, seed: int) -> Plane:
    at = paths[0][-1] if paths else rows.start().cpu()
    directions = steepest(rows.problem, at, data=data, seed=seed)
    if paths:  # the descent comes from below and from the left
        ahead = (at - paths[0][0]).double()
        directions *= where(directions @ ahead < 0, -1.0, 1.0).unsqueeze(1)
    return Plane(at, directions.to(at.dtype), "curvature", ("steepest direction", "second steepest direction"))


_BY_NAME: dict[str, Callable[[Rows, Sequence[Tensor], str | int, int], Plane]] = {
    "axes": lambda rows, paths, data, seed: _of_axes(rows),
    "path": lambda rows, paths, data, seed: _of_paths(paths),
    "line": lambda rows, paths, data, seed: _of_line(paths),
    "ends": lambda rows, paths, data, seed: _of_ends(paths),
    "curvature": _of_curvature,
    "random": lambda rows, paths, data, seed: _of_chance(rows, paths, seed),
}


def _names(rows: Rows) -> tuple[str, ...]:
    """What the one or two weights are called."""
    return tuple(
        name if shape.numel() == 1 else f"{name}[{index}]"
        for name, shape in rows.parameters.items()
        for index in range(shape.numel())
    )
