"""Which moments are shown?  answer -> the pictures of it as it was at moments of its course, spaced by what changes.

A frame is the picture of the answer cut off at a step. Titles, axes, colours of heights and notes are those of the whole picture, so that
nothing moves but the descent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surefoot.errors import SettingError
from surefoot.figures.layers import Layer, Limits, Line, Marks, Panels, Points, Rule, Scale, Span
from surefoot.figures.marks import kinds, marks
from surefoot.figures.pictures import default_kind
from surefoot.figures.scales import number
from surefoot.problem import Problem, trainable
from surefoot.run import Path, Run
from surefoot.surfaces.surface import PathOn, Surface
from surefoot.trace import Column, Trace

MOST = 300  # frames: more of them are seconds of waiting and megabytes for nothing that the eye sees
UNSEEN = 0.002  # of the width or height of the picture, about one or two pixels: less is no reason for a frame
# Of the picture: what all steps count for together, in addition to how far anything moves. A descent that stands still is seen to do so, in a
# few frames.
STILL = 0.05
TRIED = 300  # moments at which a picture is drawn up to see what moves, where that cannot be told from the answer


def frames(answer: Any, *, kind: str | None = None, problem: Problem | None = None, most: int = 120) -> tuple[Marks | Panels, ...]:
    """The picture of a descent at moments of its course: the first is the start, the last the whole picture.

    From one frame to the next whatever moves farthest moves about equally far, in parts of the width and height of the picture.

    Args:
        answer: a `Run`, a `Trace`, a list of them, or a `Surface` with paths.
        kind: as in `marks`.
        problem: as in `marks`.
        most: frames at most, 2 to 300; there are fewer where there are fewer moments, or where nothing moves.

    Returns:
        Marks that differ in their layers and their captions only; the last one is ``marks(answer)`` but for the caption.

    Raises:
        SettingError: the value has no picture or no course, or ``most`` is out of range.

    Example:
        >>> from surefoot.trace import Row
        >>> trace = Trace.of([Row(k, 0.0, 0.1, 1.0 - k / 4, 1.0, 0.1, 1.0, float("nan"), 0.0) for k in range(4)])
        >>> [(frame.of(Line)[0].y.tolist(), frame.caption) for frame in frames(trace, most=2)]
        [([1.0], 'step 1: loss 1'), ([1.0, 0.75, 0.5, 0.25], 'step 4: loss 0.25')]
    """
    if isinstance(most, bool) or not isinstance(most, int) or not 2 <= most <= MOST:
        raise SettingError(f"most must be an int from 2 to {MOST}, the number of frames, got {most!r}.")
    whole = marks(answer, kind=kind, problem=problem)
    kind = kind or default_kind(answer, kinds(answer))  # of a few rows it may be another one
    moments = _moments(answer)

    @cache
    def at(moment: int) -> Marks | Panels:
        then = cut(answer, moment, problem)
        caption = _caption(then, moment)
        if moment == moments[-1]:
            return replace(whole, caption=caption)
        steady: Marks | Panels = replace(_steady(marks(then, kind=kind, problem=problem), whole), caption=caption)
        return steady

    tried = moments if isinstance(answer, Surface) else _spread(moments, TRIED)
    tried = tried[_first_picture(at, tried) :]
    moved = _paths_moved(answer, tried) if isinstance(answer, Surface) else _pictures_moved(map(at, tried.tolist()))
    return tuple(at(moment) for moment in tried[_spaced(tried, moved, most)].tolist())


def _first_picture(at: Callable[[int], Marks | Panels], moments: Column) -> int:
    """The first place at which there is enough for a picture: a range test of one row, say, is none. There is at the last."""
    for place, moment in enumerate(moments.tolist()):
        with contextlib.suppress(SettingError):
            at(moment)
            return place
    return len(moments) - 1


def cut(answer: Any, step: int, problem: Problem | None = None) -> Any:
    """An answer as it was after so many steps.

    Args:
        answer: a `Surface`, a `Run`, a `Trace`, or a list of runs and traces.
        step: updates made; at its last one an answer is what it is.
        problem: tells the trainable weights of a run from the buffers. Without it they are told apart only where the path holds all
            weights that there are, else a run that is cut has none.

    Returns:
        A `Surface` whose paths have only points of at most ``step`` updates; a `Trace` of the rows before ``step``; a `Run` of such a
        trace and path, with the weights of the path's last point (buffers, such as running means, stay as they ended), with no
        state to go on from, that ended as ``"interrupted"``. At least one point and one row are kept.

    Raises:
        SettingError: the value has no course.

    Example:
        >>> from surefoot import descend
        >>> run = descend(Problem.of(lambda x: (x**2).sum(), start=[1.0]), lr=0.25, steps=10)
        >>> half = cut(run, 5)
        >>> half.weights["x"].tolist(), len(half.trace), len(half.path), cut(run, 10) is run
        ([0.03125], 5, 6, True)
    """
    if isinstance(answer, Surface):
        return replace(answer, paths=tuple(_cut_path_on(path, step) for path in answer.paths))
    if isinstance(answer, Run):
        ends = [*answer.path.steps[-1:], *(answer.trace["step"][-1:] + 1)]
        return answer if step >= max(ends, default=0) else _cut_run(answer, step, problem)
    if isinstance(answer, Trace):
        return answer[: _kept(answer["step"] + 1, step)]
    if _is_list(answer):
        return [cut(each, step, problem) for each in answer]
    raise _no_course(answer)


def _no_course(answer: Any) -> SettingError:
    if isinstance(answer, Surface):
        return SettingError("A Surface without paths has no course: give it the runs, as in landscape(problem, runs).")
    name = type(answer).__name__
    way_out = (
        f"its descents have one: {name.lower()}.trials."
        if hasattr(answer, "trials")
        else "a run, a trace, a list of them have one."
    )
    return SettingError(f"A {name} has no course that could be shown in frames; {way_out}")


def _is_list(answer: Any) -> bool:
    return isinstance(answer, Sequence) and not isinstance(answer, str)


def _kept(steps: Column, step: int) -> int:
    """How many of these rising numbers of updates had been made, at least one."""
    return max(1, int(np.searchsorted(steps, step, "right")))


def _cut_path_on(path: PathOn, step: int) -> PathOn:
    kept = _kept(path.steps, step)
    shown = {name: getattr(path, name)[:kept] for name in ("steps", "coordinates", "loss", "under", "distance")}
    return replace(path, **shown, ended=path.ended if kept == len(path.steps) else "interrupted")


def _cut_run(run: Run, step: int, problem: Problem | None) -> Run:
    kept = _kept(run.path.steps, step)
    path = Path(run.path.steps[:kept], run.path.weights[:kept])
    trace = run.trace[: _kept(run.trace["step"] + 1, step)] if len(run.trace) else run.trace
    weights = _weights(run, path[-1], problem)
    return replace(run, trace=trace, path=path, weights=weights, ended="interrupted", state={})


def _weights(run: Run, point: Tensor, problem: Problem | None) -> Mapping[str, Tensor]:
    """The state dict with a point of the path in the place of the trainable weights; empty if they cannot be told from the others."""
    if problem is None:
        owners = {name: name for name in run.weights}
        sizes = {name: tensor.numel() for name, tensor in run.weights.items()}
    else:
        parameters = trainable(problem.model)
        names = {id(parameter): name for name, parameter in parameters.items()}
        # two names of one parameter are two entries of the state dict, and one part of the path
        entries = problem.model.state_dict(keep_vars=True)
        owners = {name: names[id(value)] for name, value in entries.items() if id(value) in names}
        sizes = {name: parameter.numel() for name, parameter in parameters.items()}
    if sum(sizes.values()) != len(point) or not owners.keys() <= run.weights.keys():
        return {}
    parts = dict(zip(sizes, torch.split(point, list(sizes.values())), strict=True))
    return dict(run.weights) | {
        name: parts[owner].reshape(run.weights[name].shape).to(run.weights[name]) for name, owner in owners.items()
    }


def _steps_of(answer: Any) -> Column:
    """The numbers of updates after which an answer was different."""
    if isinstance(answer, Surface):
        many: list[Column] = [path.steps for path in answer.paths if len(path.steps)]
    elif isinstance(answer, Run):
        many = [np.asarray(answer.path.steps), answer.trace["step"] + 1]
    elif isinstance(answer, Trace):
        many = [answer["step"] + 1]
    else:
        many = [_steps_of(each) for each in answer] if _is_list(answer) else []
    return np.unique(np.concatenate(many)).astype(np.int64) if many else np.empty(0, dtype=np.int64)


def _moments(answer: Any) -> Column:
    found = _steps_of(answer)
    if not len(found):
        raise _no_course(answer)
    return found


def _spread(moments: Column, most: int) -> Column:
    """So many of the moments: half of them evenly spread, half of them denser towards the start, where most of a descent happens."""
    last = len(moments) - 1
    if last < most:
        return moments
    places = np.concatenate([[0], np.linspace(0, last, most // 2), np.geomspace(1, last, most // 2)])
    return moments[np.unique(places.round().astype(np.int64))]


def _spaced(moments: Column, moved: Column, most: int) -> list[int]:
    """Which of the moments are frames: the first, the last, and between them as many as may be, equally far apart.

    A single step may go farther than that; it gets no more frames for it, and the others get those that it does not need.

    >>> _spaced(np.arange(5), np.array([0.8, 0.4, 0.2, 0.2]), 4)  # first 0.8, then 0.4, then 0.2 + 0.2 of the picture
    [0, 1, 2, 4]
    """
    passed = (moments - moments[0]) / max(1, moments[-1] - moments[0])
    course = np.append(0, np.cumsum(np.nan_to_num(moved))) + STILL * passed
    low, high = UNSEEN, max(UNSEEN, float(course[-1]))
    if _strides(course, low, most) is not None:
        high = low
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if _strides(course, middle, most) is not None else (middle, high)
    return _strides(course, high, most) or [0, len(moments) - 1]


def _strides(course: Column, longest: float, most: int) -> list[int] | None:
    """From the first place to the last, each stride as long as it may be, or a single step; None if that takes more than ``most``."""
    places, last = [0], len(course) - 1
    while places[-1] < last:
        if len(places) == most:
            return None
        reached = int(np.searchsorted(course, course[places[-1]] + longest, "right")) - 1
        places.append(max(places[-1] + 1, reached))
    return places


def _paths_moved(surface: Surface, moments: Column) -> Column:
    """(moments - 1,) how far the farthest of the walkers went from each moment to the next, in parts of the picture."""
    farthest = np.zeros(len(moments) - 1)
    for path in surface.paths:
        if len(path.steps):
            at = np.searchsorted(path.steps, moments, "right").clip(1) - 1
            went = np.linalg.norm(np.diff(_places(surface, path)[at], axis=0), axis=1)
            farthest = np.maximum(farthest, np.nan_to_num(went))
    return farthest


def _pictures_moved(pictures: Iterable[Marks | Panels]) -> Column:
    return np.array([_moved(*pair) for pair in pairwise(pictures)])


def _places(surface: Surface, path: PathOn) -> Column:
    """(points, 2) of a path, from 0 to 1 over what is shown."""
    x, *rest = ((axis[0], axis[-1]) for axis in surface.axes)
    if rest:
        return _parts(path.coordinates[:, 0], path.coordinates[:, 1], (x, rest[0]))
    finite = surface.loss[np.isfinite(surface.loss)]
    heights = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    return _parts(path.coordinates[:, 0], path.loss, (x, heights))


def _parts(x: Column, y: Column, limits: Sequence[Limits], scales: Sequence[Scale] = ("linear", "linear")) -> Column:
    """(points, 2) from 0 to 1 over what is shown; what is beyond is at its edge, since nobody sees it move."""
    columns = []
    for values, (low, high), scale in zip((x, y), limits, scales, strict=True):
        if scale == "log":
            with np.errstate(invalid="ignore", divide="ignore"):
                values, low, high = np.log10(values), np.log10(low), np.log10(high)
        columns.append(((values - low) / (high - low or 1.0)).clip(0, 1))
    return np.stack(columns, 1)


def _moved(one: Marks | Panels, other: Marks | Panels) -> float:
    """How far the end of a curve, or all of a curve, is from where it was in another frame, in parts of the picture; the farthest."""
    if isinstance(one, Panels) and isinstance(other, Panels):
        return max(_moved(*pair) for pair in zip(one.panels, other.panels, strict=True))
    assert isinstance(one, Marks) and isinstance(other, Marks)  # noqa: PT018  of one answer, so of one kind
    return max(
        [0.0, *(_shift(*pair, other) for pair in zip(one.layers, other.layers, strict=False) if type(pair[0]) is type(pair[1]))]
    )


def _shift(one: Layer, other: Layer, picture: Marks) -> float:
    if not isinstance(one, Line | Points) or not isinstance(other, Line | Points) or getattr(one, "faint", False):
        return 0.0
    limits, scales = (picture.x_limits, picture.y_limits), (picture.x_scale, picture.y_scale)
    before, after = (_parts(layer.x, layer.y, limits, scales) for layer in (one, other))
    before, after = (places[np.isfinite(places).all(1)] for places in (before, after))
    if not len(before) or not len(after):
        return 0.0
    if len(before) != len(after) or not np.array_equal(before[:, 0], after[:, 0]):  # another point was added
        before, after = before[-1:], after[-1:]
    return float(np.linalg.norm(after - before, axis=1).max())


def _steady(picture: Marks | Panels, whole: Marks | Panels) -> Any:
    """A frame in everything but its layers like the whole picture, and its layers on the axes of that."""
    if isinstance(picture, Panels) and isinstance(whole, Panels):
        return replace(whole, panels=tuple(_steady(*pair) for pair in zip(picture.panels, whole.panels, strict=True)))
    assert isinstance(picture, Marks) and isinstance(whole, Marks)  # noqa: PT018  of one answer, so of one kind
    return replace(whole, layers=tuple(_layers(picture, whole)))


def _layers(picture: Marks, whole: Marks) -> Iterator[Layer]:
    for place, layer in enumerate(picture.layers):
        twin = whole.layers[place] if place < len(whole.layers) else None
        if layer == twin:
            yield twin  # one value in all frames: that is quickly compared, and takes no memory
        elif isinstance(layer, Rule | Span):
            # what is said of the whole stands still; words that come, move and go are read by nobody
            yield from (other for other in whole.layers if other == layer)
        else:
            yield _on_axes_of(whole, layer, twin)


def _on_axes_of(whole: Marks, layer: Layer, twin: Layer | None) -> Layer:
    if type(layer) is type(twin) and hasattr(layer, "limits"):
        colours: dict[str, Any] = {name: getattr(twin, name) for name in ("limits", "scale") if hasattr(layer, name)}
        return replace(layer, **colours)
    if isinstance(layer, Line) and whole.y_scale == "log":
        return replace(layer, y=np.where(layer.y > 0, layer.y, np.nan))
    if isinstance(layer, Points) and layer.shape == "cross":  # what has diverged has: it stays where the whole picture has it
        crosses = (other for other in whole.of(Points) if other.shape == "cross" and np.array_equal(other.x, layer.x))
        same: Points | None = next((other for other in crosses if other.colour == layer.colour), None)
        return replace(layer, y=layer.y if same is None else same.y)
    return layer


def _caption(then: Any, moment: int) -> str:
    """The moment, and the loss at it where there is one descent."""
    losses = _losses(then)
    if losses is None or not len(losses):
        return f"step {moment:,}"
    return f"step {moment:,}: loss {number(float(losses[-1])) if np.isfinite(losses[-1]) else 'not finite'}"


def _losses(then: Any) -> Column | None:
    if isinstance(then, Surface):
        return then.paths[0].loss if len(then.paths) == 1 else None
    if _is_list(then):
        return _losses(then[0]) if len(then) == 1 else None
    trace: Trace = then.trace if isinstance(then, Run) else then
    return trace["loss"]
