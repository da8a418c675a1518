"""Points and the curve through them.  a run + its problem -> the points, the true line, the fitted one and where it came from."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from surefoot.errors import SettingError
from surefoot.figures.layers import Layer, Limits, Line, Marks, Points
from surefoot.figures.scales import number, padded
from surefoot.problem import Problem, is_pair, trainable
from surefoot.run import Run
from surefoot.trace import Column

CURVE = 201  # points of the fitted curve: smooth at any width, and the middle one lies in the middle
SHOWN = 2000  # points; more of them cover each other
MOMENTS = 6  # curves on the way
FAR = 20.0  # times the height of the points: a curve further away would press them into a line


def fit_picture(run: Run, problem: Problem | None) -> Marks:
    """The points, the line that they were made from (green) and the curve that was fitted (red).

    Args:
        run: a descent of the problem.
        problem: its data is a pair (inputs, targets) with one number per sample in each; its model may know the true line as
            ``true_w`` and ``true_b``.

    Returns:
        Marks with the points (at most 2,000, spread evenly over the samples), the curve at some moments on the way, the true line and the model
        with the run's weights.

    Raises:
        SettingError: there is no problem, or its data is not of that form.

    Example:
        >>> from surefoot import descend, problems
        >>> line = problems.load("line")
        >>> picture = fit_picture(descend(line, lr=0.5, steps=200), line)
        >>> [layer.label for layer in picture.layers][:2]
        ['points', 'on the way: after 0, 2, 5, 15, 39, 99 steps']
    """
    if problem is None:
        raise SettingError('A picture of the fit needs the points: give problem=, as in plot(run, kind="fit", problem=problem).')
    x, y = _columns(problem)
    grid = np.linspace(x.min(), x.max(), CURVE)
    truth = _truth(problem, grid)
    fitted = _fitted(problem, run, grid)
    on_the_way = _on_the_way(problem, run, grid)
    picked = np.unique(np.linspace(0, len(x) - 1, SHOWN).round().astype(int))
    limits = _y_limits(np.concatenate([y, *(layer.y for layer in truth)]), fitted)
    name = f"{problem.name}: " if problem.name else ""
    return Marks(
        title=f"{name}fit after {len(run.trace):,} step{'s' * (len(run.trace) != 1)}",
        x_label="x",
        y_label="y",
        x_limits=padded(float(x.min()), float(x.max()), "linear"),
        y_limits=limits,
        layers=(Points(x[picked], y[picked], "grey", "points"), *on_the_way, *truth, *_line(grid, fitted)),
        notes=_notes(fitted, limits, run, len(x)),
    )


def _columns(problem: Problem) -> tuple[Column, Column]:
    if not is_pair(problem.data):
        raise SettingError(
            f"A picture of the fit needs data that is a pair (inputs, targets), got a {type(problem.data).__name__}."
        )
    x, y = (torch.as_tensor(part).detach().cpu() for part in problem.data)
    if x.numel() != len(x) or y.numel() != len(x):
        shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise SettingError(f"A picture of the fit needs one number per input and per target, got shapes {shapes}. Try kind='loss'.")
    return x.flatten().double().numpy(), y.flatten().double().numpy()


def _truth(problem: Problem, grid: Column) -> list[Line]:
    slope, height = (getattr(problem.model, name, None) for name in ("true_w", "true_b"))
    if slope is None or height is None:
        return []
    slope, height = float(slope), float(height)
    return [Line(grid, slope * grid + height, "green", f"true: {_formula(slope, height)}", "dashed")]


def _fitted(problem: Problem, run: Run, grid: Column) -> Column:
    model = copy.deepcopy(problem.model)
    model.load_state_dict(dict(run.weights))
    return _curve(problem, model, grid)


def _on_the_way(problem: Problem, run: Run, grid: Column) -> list[Layer]:
    """The curves at the start and at some moments after it, a factor apart in steps: at first it moves most."""
    places = np.unique(np.geomspace(1, max(1, len(run.path) // 2), MOMENTS).round().astype(int) - 1)
    model = copy.deepcopy(problem.model)
    parameters = list(trainable(model).values())
    if run.path.weights.shape[1] != sum(p.numel() for p in parameters) or len(run.path) < 2:
        return []
    curves = []
    for place in places:
        torch.nn.utils.vector_to_parameters(run.path[place].to(parameters[0]), parameters)
        curves.append(_curve(problem, model, grid))
    said = ", ".join(f"{int(run.path.steps[place]):,}" for place in places)
    labels = [f"on the way: after {said} steps", *[""] * (len(curves) - 1)]
    return [
        Line(grid, curve, "red", label, faint=True) for curve, label in zip(curves, labels, strict=True) if np.isfinite(curve).all()
    ]


def _curve(problem: Problem, model: torch.nn.Module, grid: Column) -> Column:
    """What the model says at the points of the grid."""
    inputs = torch.as_tensor(problem.data[0])
    parameter = next(model.parameters())
    points = torch.as_tensor(grid, dtype=inputs.dtype if inputs.is_floating_point() else parameter.dtype, device=parameter.device)
    with torch.no_grad():
        return _numbers(model.eval()(points.reshape(-1, *inputs.shape[1:])))


def _numbers(prediction: Any) -> Column:
    values = prediction.detach().double().cpu().numpy().reshape(-1)
    if len(values) != CURVE:
        raise SettingError(
            f"A picture of the fit needs a model with one number per input, got a prediction of shape {tuple(prediction.shape)}."
        )
    return values  # type: ignore[no-any-return]


def _y_limits(points: Column, fitted: Column) -> Limits:
    both = np.concatenate([points, fitted])
    near = np.isfinite(fitted).all() and np.ptp(both) <= FAR * np.ptp(points)
    shown = both if near else points
    return padded(float(shown.min()), float(shown.max()), "linear", 0.08)


def _line(grid: Column, fitted: Column) -> list[Layer]:
    if not np.isfinite(fitted).all():
        return []
    slope = (fitted[-1] - fitted[0]) / (grid[-1] - grid[0]) if grid[-1] > grid[0] else 0.0
    # float32 weights: seven digits
    straight = np.allclose(fitted, fitted[0] + slope * (grid - grid[0]), rtol=1e-4, atol=1e-5 * np.abs(fitted).max())
    label = f"fitted: {_formula(slope, fitted[0] - slope * grid[0])}" if straight else "fitted"
    return [Line(grid, fitted, "red", label)]


def _formula(slope: float, height: float) -> str:
    return f"{number(slope)} x {'-' if height < 0 else '+'} {number(abs(height))}"


def _notes(fitted: Column, limits: Limits, run: Run, count: int) -> tuple[str, ...]:
    notes = [f"{SHOWN:,} of {count:,} points are shown."] if count > SHOWN else []
    if not np.isfinite(fitted).all():
        notes.append(f"There is no fitted curve: its weights are not finite numbers. The descent ended: {run.ended}.")
    elif fitted.min() < limits[0] or fitted.max() > limits[1]:
        notes.append(f"The fitted curve leaves the picture: it goes from {number(fitted[0])} to {number(fitted[-1])}.")
    return tuple(notes)
