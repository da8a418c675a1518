"""Descents beside each other.  Surface with several paths -> one small picture per path: too small, right, too large, diverging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from surefoot.errors import SettingError
from surefoot.figures.layers import Panels
from surefoot.figures.pictures.landscape import labels, landscape_picture, shown_range
from surefoot.surfaces.surface import PathOn, Surface

AS_LOW = 0.01  # of what the best descent gained: an end that is higher by no more is as good
AS_FAST = 3.0  # times: so much may be lost on the way, summed over the steps, beside the descent that loses least


def multiples_picture(surface: Surface) -> Panels:
    """The same surface once for each path, each with what became of it.

    The words compare the descents with each other, by their losses alone. A rate is right where the loss ends within 1 % (of the best gain) of
    the lowest one, and no more than three times as much is lost on the way, summed over the steps, as by the fastest of those. Else it
    is too small or too large, as it lies below or above the rate of that fastest one.

    Raises:
        SettingError: there are fewer than two paths.

    Example:
        >>> from surefoot import Problem, descend
        >>> from surefoot.surfaces.surface import landscape
        >>> bowl = Problem.of(lambda x: (x * x).sum() / 2, start=[2.0, 1.0])
        >>> runs = [descend(bowl, lr=lr, steps=60) for lr in (0.001, 0.5, 1.99, 3.0)]
        >>> [panel.title.split(": ")[1] for panel in multiples_picture(landscape(bowl, runs, resolution=3)).panels]
        ['too small', 'right', 'too large', 'diverging']
    """
    if len(surface.paths) < 2:
        raise SettingError(
            f"Small multiples compare descents: give landscape(problem, [run, run, ...]) two or more, it has {len(surface.paths)}."
        )
    names = labels(surface.paths)
    words = _judged(surface.paths)
    limits = shown_range(surface)  # one for all of them, or they could not be compared
    panels = tuple(
        replace(landscape_picture(replace(surface, paths=(path,)), limits), title=f"{name}: {word}" if word else name, notes=())
        for path, name, word in zip(surface.paths, names, words, strict=True)
    )
    whole = landscape_picture(surface, limits)
    return Panels(whole.title, panels, whole.notes)


def _judged(paths: Sequence[PathOn]) -> list[str]:
    """What became of each descent, compared with the others; "" where it was not the rate that differs."""
    walked = [path for path in paths if not _diverging(path)]
    lowest = min((float(path.loss[-1]) for path in walked), default=0.0)
    most = max((float(path.loss[0]) - lowest for path in walked), default=0.0)
    arrived = [path for path in walked if path.loss[-1] <= lowest + AS_LOW * most]
    best = min(arrived, key=lambda path: _lost(path, lowest), default=None)
    return ["diverging" if _diverging(path) else _word(path, best, lowest, path in arrived) for path in paths]


def _diverging(path: PathOn) -> bool:
    """Whether it has left for infinity, or ends higher than it began and is on its way there."""
    return path.ended == "diverged" or bool(path.loss[-1] > path.loss[0])


def _lost(path: PathOn, lowest: float) -> float:
    """The loss above the lowest end, summed over the steps."""
    above = path.loss - lowest
    return float(np.diff(path.steps) @ (above[1:] + above[:-1]) / 2)


def _word(path: PathOn, best: PathOn | None, lowest: float, arrived: bool) -> str:
    if best is None or (arrived and _lost(path, lowest) <= AS_FAST * _lost(best, lowest)):
        return "right"
    rate, other = path.config.get("lr"), best.config.get("lr")
    if not isinstance(rate, int | float) or not isinstance(other, int | float) or rate == other:
        return ""
    return "too small" if rate < other else "too large"
