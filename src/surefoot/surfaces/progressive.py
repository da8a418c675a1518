"""In which order is a grid filled, and how far did it get?  rows + plane + axes -> losses, coarse first, kept on disk, until Ctrl-C.

A grid of a network can take an hour. So it is filled in levels, every 8th point first, then every 4th, ...: whoever interrupts it has the whole
picture, only coarser, and whoever gave a file goes on from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surefoot.descent.interrupt import interrupts_deferred
from surefoot.descent.live import Progress
from surefoot.duration import duration
from surefoot.errors import SettingError, SurefootWarning
from surefoot.run import read_whole, write_whole
from surefoot.surfaces.grid import Rows
from surefoot.surfaces.planes import Plane
from surefoot.trace import Column

LONG = 60.0  # seconds: what takes longer is announced
SHOWN = 0.5  # seconds of work from which the rest is told: the first pass of all is slow
SAVED_EVERY = 5.0  # seconds of work between two writes of the file
COARSEST = 64  # every so many points along an axis are the first level, where they are at least
FEWEST = 5  # points along it
FEW = 16  # passes: so few are over before anybody has seen the coarse grid
SCHEMA = 1


@dataclass(frozen=True)
class Grid:
    """The losses at the points of a grid, as far as they were measured.

    Attributes:
        loss: (n,) or (ny, nx), float64; NaN and infinite where the loss is.
        stride: every so many points of what was asked for along each axis: 1 where nothing interrupted.
    """

    loss: Column
    stride: int


def filled(rows: Rows, plane: Plane, axes: Sequence[Column], keep: str | os.PathLike[str] | None, progress: Progress) -> Grid:
    """The losses on a grid, coarse first where it takes many passes.

    Args:
        rows: the problem.
        plane: where in the weights the grid lies.
        axes: its coordinates.
        keep: a file that the losses are written to on the way, and read from if it is there.
        progress: draw a bar on standard error; None: if that is a terminal. Or a function to call after each pass.

    Returns:
        The whole grid, or after Ctrl-C the finest level that was complete.

    Raises:
        SettingError: the file is of another surface.
        StoreError: it cannot be read or written.
        KeyboardInterrupt: Ctrl-C before the coarsest level was complete.
    """
    shape = tuple(len(axis) for axis in reversed(axes))
    store = _Kept(None if keep is None else Path(keep), shape, lambda: _fingerprint(rows, plane, axes))
    levels = _levels(shape) if math.prod(shape) > FEW * rows.at_once() else [1]
    reached = 0
    with interrupts_deferred() as interrupted, _bar(math.prod(shape), int(store.done.sum()), progress) as seen:
        for stride in levels:
            missing = store.missing(stride)
            for part, losses in rows.passes(_points(plane, axes, shape, missing), len(missing)):
                store.put(missing[part], losses)
                seen(len(losses))
                if interrupted:
                    break
            if not len(store.missing(stride)):
                reached = stride
            if interrupted:
                break
        store.save()
    if not reached:
        raise KeyboardInterrupt
    return Grid(store.loss[tuple(slice(None, None, reached) for _ in shape)].copy(), reached)


def _levels(shape: Sequence[int]) -> list[int]:
    """Strides from the coarsest to 1.

    >>> _levels((51, 51)), _levels((3,))
    ([8, 4, 2, 1], [1])
    """
    fits = [2**power for power in range(int(math.log2(COARSEST)) + 1) if (min(shape) - 1) // 2**power + 1 >= FEWEST]
    return fits[::-1] or [1]


def _points(plane: Plane, axes: Sequence[Column], shape: Sequence[int], which: Column) -> Callable[[int, int], Tensor]:
    """The rows of weights at these places of the grid, made as they are asked for."""

    def made(first: int, last: int) -> Tensor:
        places = np.unravel_index(which[first:last], tuple(shape))
        at = np.stack([axis[place] for axis, place in zip(axes, reversed(places), strict=True)], 1)
        return plane.rows(torch.from_numpy(at))

    return made


class _Kept:
    """The losses so far, and the file they are kept in."""

    def __init__(self, path: Path | None, shape: tuple[int, ...], fingerprint: Callable[[], str]) -> None:
        self.path, self.saved = path, time.perf_counter()
        self.loss, self.done = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
        self.fingerprint = fingerprint() if path is not None else ""
        if path is not None and path.exists():
            self._take_over(path)

    def missing(self, stride: int) -> Column:
        """The flat places on a level that have no loss yet."""
        level = np.zeros_like(self.done)
        level[tuple(slice(None, None, stride) for _ in self.done.shape)] = True
        return np.flatnonzero(level & ~self.done)

    def put(self, places: Column, losses: Column) -> None:
        """Takes losses in, and writes the file when it is time."""
        self.loss.flat[places] = losses
        self.done.flat[places] = True
        if time.perf_counter() - self.saved > SAVED_EVERY:
            self.save()

    def save(self) -> None:
        """Writes the file, if there is to be one."""
        if self.path is not None:
            content = {
                "surefoot_surface": SCHEMA,
                "fingerprint": self.fingerprint,
                "loss": torch.from_numpy(self.loss),
                "done": torch.from_numpy(self.done),
            }
            write_whole(content, self.path)
        self.saved = time.perf_counter()

    def _take_over(self, path: Path) -> None:
        content = read_whole(path)
        if not isinstance(content, dict) or content.get("fingerprint") != self.fingerprint:
            raise SettingError(
                f"{path} is not of this surface (same model, data, plane, extent and resolution): it stays as it is. Name another file."
            )
        self.loss, self.done = content["loss"].numpy(), content["done"].numpy()


def _fingerprint(rows: Rows, plane: Plane, axes: Sequence[Column]) -> str:
    """What a grid of losses is of: the plane, the points, and (by the losses at its corners) the model and the data."""
    corners = np.array([[axis[end] for axis in axes] for end in (0, -1)])
    losses = rows.losses(lambda first, last: plane.rows(torch.from_numpy(corners[first:last])), len(corners))
    parts = [plane.origin.double().cpu().numpy(), plane.directions.double().cpu().numpy(), *axes, losses]
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


@contextlib.contextmanager
def _bar(points: int, done: int, progress: Progress) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of points after each pass."""
    if callable(progress):
        yield _calling(progress, points, done)
        return
    if not (sys.stderr.isatty() if progress is None else progress):
        yield _announcement(points - done)
        return
    from rich.console import Console  # only where somebody looks: it costs 50 ms
    from rich.progress import Progress, TextColumn, TimeRemainingColumn

    columns = (
        *Progress.get_default_columns()[:3],
        TimeRemainingColumn(),
        TextColumn("left, coarse first; Ctrl-C keeps what is there"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{points:,} points", total=points, completed=done)
        yield lambda count: bar.update(task, advance=count)


def _calling(progress: Callable[[str, int, int], None], points: int, done: int) -> Callable[[int], None]:
    def seen(count: int) -> None:
        nonlocal done
        done += count
        progress("the grid", done, points)

    return seen


def _announcement(points: int) -> Callable[[int], None]:
    """Says once how long it will take, when the first passes have shown it and it is long."""
    began, done, said = time.perf_counter(), 0, False

    def seen(count: int) -> None:
        nonlocal done, said
        done += count
        spent = time.perf_counter() - began
        if said or spent < SHOWN:
            return
        said = True
        left = spent / done * (points - done)
        if left > LONG:
            warnings.warn(
                f"{points:,} points will take about {duration(left)}, coarse ones first. "
                "Ctrl-C ends it with what is there; keep=FILE goes on later.",
                SurefootWarning,
                stacklevel=6,
            )

    return seen
