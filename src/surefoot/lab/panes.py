"""What do the panes hold beside the curves?  problem + run -> points and fitted lines, samples with predictions, the update rule, the surface."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.descent.live import Progress
from surefoot.descent.loop import descend
from surefoot.errors import SettingError
from surefoot.figures.layers import Limits, Line, Marks, Points
from surefoot.figures.pictures.fit import fit_picture
from surefoot.figures.pictures.landscape import COLOUR_DECADES, landscape_picture, shown_range
from surefoot.figures.scales import padded, scale_of
from surefoot.lab.chosen import count_of, weight_names
from surefoot.lab.wire import picture
from surefoot.problem import Problem, is_pair, trainable
from surefoot.problems.text import ALPHABET, per_character
from surefoot.run import Path, Run
from surefoot.surfaces.surface import PathOn, Surface, landscape
from surefoot.trace import COLUMNS, Column, Trace

GRID = {1: 201, 2: 61}  # points along an axis where the surface is all there is
SLICE = 21  # points along an axis of a network's plane
SLICE_SAMPLES = (512, 32)  # that such a plane is the mean over: the first, or fewer where that takes long, down to the second
SLICE_SECONDS = 4.0
TIMED = 32  # samples of the trial that tells how long it takes
CURVE = 61  # points of a fitted curve that is not straight
SHOWN = 24  # samples
ONE_PASS = 100  # weights: of more the points of a path are looked at one by one
FIELD = 41  # points along an axis of the plane that a classifier is asked about
TEXTS, CONTEXT, FEW_MOMENTS = 8, 28, 9  # windows of text, characters of each, moments at which they are guessed
MOMENTS = 25  # at which a network is asked for its predictions
WORDS = {"sgd": "gradient", "momentum": "velocity", "nesterov": "velocity", "random": "guess"}


def start_of(problem: Problem) -> list[float]:
    """The weights that a descent begins at."""
    return [float(value) for parameter in trainable(problem.model).values() for value in parameter.detach().flatten()]


def convention(problem: Problem) -> str:
    """What the loss is the mean of: the stability limit depends on it."""
    if problem.loss is nn.functional.mse_loss:
        return "mean squared error: (1/n) sum of squares, not (1/2n), which would double the stability limit"
    if problem.loss in (nn.functional.cross_entropy, nn.functional.binary_cross_entropy_with_logits, per_character):
        return f"cross entropy: the mean over the {'characters' if problem.loss is per_character else 'samples'}, in nats"
    if not is_pair(problem.data):
        return "the height of the surface"
    return f"the mean over the samples of {getattr(problem.loss or problem.objective, '__name__', 'the loss')}"


def data(problem: Problem) -> dict[str, Any] | None:
    """The points with the line they were made from, without what is fitted to them: that moves, and the page draws it."""
    if _of_two_classes(problem):
        return picture(_classes(problem))
    try:
        whole = fit_picture(_untrained(problem), problem)
    except SettingError:
        return None
    kept = tuple(layer for layer in whole.of(Points) + whole.of(Line) if layer.colour != "red")
    height = np.concatenate([layer.y for layer in kept])
    before = _curves(problem, torch.tensor([start_of(problem)]), _ends(problem, 2))[0] if count_of(problem) <= 2 else height
    shown = np.concatenate([height, before]) if np.isfinite(before).all() else height
    limits = padded(float(shown.min()), float(shown.max()), "linear", 0.08)
    return picture(replace(whole, title="data and fit", layers=kept, y_limits=limits, notes=()))


def _untrained(problem: Problem) -> Run:
    """A run of no steps: the picture of the data needs weights, and shows none."""
    start = torch.tensor([start_of(problem)]) if count_of(problem) <= 2 else torch.empty(1, 0)
    rows = Trace({name: np.empty(0, dtype=np.int64 if name == "step" else np.float64) for name in COLUMNS})
    return Run(rows, problem.model.state_dict(), Path(np.array([0]), start), "steps", {})


def walked(problem: Problem, run: Run) -> dict[str, Any]:
    """The parts of a racer that follow its path: ``path``, ``rule`` and ``fit``."""
    weights, steps = run.path.weights, np.asarray(run.path.steps)
    small = weights.shape[1] <= 2
    path = {"steps": steps, "points": weights.numpy()} if small else None
    return {"path": path, "rule": _rule(problem, run) if small else None, "fit": _fit(problem, weights, steps)}


def field(problem: Problem, run: Run) -> dict[str, Any] | None:
    """What a classifier of points in the plane says all over the plane, at moments of a descent; None for other problems."""
    if not _of_two_classes(problem):
        return None
    x, y = (np.linspace(*limits, FIELD) for limits in _plane(problem))
    places = torch.from_numpy(np.stack([part.ravel() for part in np.meshgrid(x, y)], 1)).to(torch.as_tensor(problem.data[0]).dtype)
    kept = np.unique(np.linspace(0, len(run.path) - 1, MOMENTS).round().astype(int))
    outputs = _outputs(problem.model, run.path.weights[torch.from_numpy(kept)], places)
    chance = outputs.softmax(-1)[..., 1] if outputs.shape[-1] == 2 else outputs.squeeze(-1).sigmoid()
    return {
        "x": x,
        "y": y,
        "values": chance.numpy(),
        "steps": np.asarray(run.path.steps)[kept],
        "limits": [0.0, 1.0],
        "label": "chance of class 1",
    }


def _of_two_classes(problem: Problem) -> bool:
    """Whether the inputs are points in the plane, and the targets one of two classes each."""
    if not is_pair(problem.data):
        return False
    inputs, targets = (torch.as_tensor(part) for part in problem.data)
    classifies = problem.loss in (nn.functional.cross_entropy, nn.functional.binary_cross_entropy_with_logits)
    return classifies and inputs.ndim == 2 and inputs.shape[1] == 2 and bool(((targets == 0) | (targets == 1)).all())


def _classes(problem: Problem) -> Marks:
    inputs, targets = (torch.as_tensor(part).double().numpy() for part in problem.data)
    shapes, colours = ("square", "diamond"), ("orange", "blue")  # seen on the dark and on the bright end of the heights
    layers = [
        Points(x, y, colours[each], f"class {each}", shapes[each])
        for each, (x, y) in enumerate(inputs[targets.ravel() == each].T for each in (0, 1))
    ]
    x, y = _plane(problem)
    return Marks("data, and what the network takes each place for", "first input", "second input", x, y, layers=tuple(layers))


def _plane(problem: Problem) -> tuple[Limits, Limits]:
    inputs = torch.as_tensor(problem.data[0]).double().numpy()
    x, y = (padded(float(column.min()), float(column.max()), "linear", 0.08) for column in inputs.T)
    return x, y


def _rule(problem: Problem, run: Run) -> dict[str, Any] | None:
    """The update of every step: after = before - rate x direction."""
    points = run.path.weights.double().numpy()
    steps = min(len(points) - 1, len(run.trace))
    if steps < 1 or len(points) < len(run.trace):  # of long paths not every point is kept
        return None
    before, after = points[:steps], points[1 : steps + 1]
    with np.errstate(all="ignore"):
        direction = (before - after) / run.trace["lr"][:steps, None]
    optimizer = str(run.config.get("optimizer", ""))
    return {
        "names": weight_names(problem),
        "before": before,
        "direction": direction,
        "after": after,
        "word": WORDS.get(optimizer.split("(")[0], "scaled gradient"),
    }


def _fit(problem: Problem, weights: Tensor, steps: Column) -> dict[str, Any] | None:
    """The fitted curve at every point of the path, of data with one number per input and target."""
    if not is_pair(problem.data):
        return None
    inputs, targets = (torch.as_tensor(part) for part in problem.data)
    if inputs.numel() != len(inputs) or targets.numel() != len(targets) or not targets.is_floating_point():
        return None
    grid = _ends(problem, 2 if count_of(problem) <= 2 else CURVE)
    curves = _curves(problem, weights, grid)
    return {"x": grid, "y": curves, "steps": steps}


def _ends(problem: Problem, count: int) -> Column:
    x = torch.as_tensor(problem.data[0]).double().flatten().numpy()
    return np.linspace(x.min(), x.max(), count)


def _curves(problem: Problem, weights: Tensor, grid: Column) -> Column:
    """(points, len(grid)): what the model says at each point of a path."""
    inputs = torch.as_tensor(problem.data[0])
    x = torch.as_tensor(grid, dtype=inputs.dtype).reshape(-1, *inputs.shape[1:])
    return _outputs(problem.model, weights, x).reshape(len(weights), -1).double().numpy()


def _outputs(model: nn.Module, weights: Tensor, x: Tensor) -> Tensor:
    """(points, ...): the model's outputs on the CPU at each point of a path, in evaluation mode."""
    copied = copy.deepcopy(model).cpu().eval()
    named = trainable(copied)
    sizes = [parameter.numel() for parameter in named.values()]

    def at(row: Tensor) -> Any:
        parts = torch.split(row, sizes)
        weights = {name: part.view_as(parameter) for (name, parameter), part in zip(named.items(), parts, strict=True)}
        return torch.func.functional_call(copied, weights, (x,))

    with torch.no_grad():
        rows = weights.to(next(iter(named.values())))
        if len(rows) > 1 and sum(sizes) <= ONE_PASS:
            batched: Any = torch.func.vmap(at)
            with contextlib.suppress(RuntimeError, NotImplementedError):  # what vmap does not take, as data-dependent control flow
                return batched(rows)  # type: ignore[no-any-return]
        return torch.stack([at(row) for row in rows])


# ---- samples


def samples(problem: Problem, runs: Sequence[Run]) -> dict[str, Any] | None:
    """Some held-out samples with what each racer says about them along its path."""
    if not is_pair(problem.validation):
        return None
    inputs, targets = (torch.as_tensor(part) for part in problem.validation)
    side = math.isqrt(inputs[0].numel())
    if targets.dtype == torch.int64 and targets.ndim == 1 and side * side == inputs[0].numel() and side >= 4:
        return _classified(problem, runs, inputs[:SHOWN], targets[:SHOWN], side)
    if problem.loss is per_character:
        return _guessed(problem, runs, inputs, targets)
    if problem.name == "photo-patches":
        return _cleaned(problem, runs[0], inputs, targets)
    return None


def _classified(problem: Problem, runs: Sequence[Run], inputs: Tensor, targets: Tensor, side: int) -> dict[str, Any]:
    predicted = []
    for run in runs:
        kept = np.unique(np.linspace(0, len(run.path) - 1, MOMENTS).round().astype(int))
        outputs = _outputs(problem.model, run.path.weights[torch.from_numpy(kept)], inputs)
        predicted.append({"steps": np.asarray(run.path.steps)[kept], "classes": outputs.argmax(-1).numpy()})
    return {
        "shown": "images",
        "width": side,
        "height": side,
        "images": inputs.reshape(len(inputs), side, side).numpy(),
        "truth": [str(int(each)) for each in targets],
        "names": [str(each) for each in range(int(targets.max()) + 1)],
        "predicted": predicted,
        "caption": f"{len(inputs)} of {len(problem.validation[0]):,} held-out samples: what the network takes each for",
    }


def _guessed(problem: Problem, runs: Sequence[Run], inputs: Tensor, targets: Tensor) -> dict[str, Any]:
    """The ends of some held-out windows of text, with the character that follows and what each racer takes it for."""
    every = torch.arange(0, len(inputs), max(1, len(inputs) // TEXTS))[:TEXTS]
    predicted = []
    for run in runs:
        kept = np.unique(np.linspace(0, len(run.path) - 1, FEW_MOMENTS).round().astype(int))
        outputs = _outputs(problem.model, run.path.weights[torch.from_numpy(kept)], inputs[every])
        predicted.append({"steps": np.asarray(run.path.steps)[kept], "classes": outputs[:, :, -1].argmax(-1).numpy()})
    return {
        "shown": "text",
        "width": 1,
        "height": 1,
        "images": np.empty(0),
        "before": ["".join(ALPHABET[place] for place in inputs[each, -CONTEXT:].tolist()) for each in every],
        "truth": [ALPHABET[int(targets[each, -1])] for each in every],
        "names": list(ALPHABET),
        "predicted": predicted,
        "caption": "held-out lines of Python: the character that follows, as the network guesses it",
    }


def _cleaned(problem: Problem, run: Run, inputs: Tensor, targets: Tensor) -> dict[str, Any]:
    """Noisy squares, what the network makes of them, and the clean ones: three rows, in grey."""
    every = torch.arange(0, len(inputs), max(1, len(inputs) // 8))[:8]
    made = _outputs(problem.model, run.path.weights[-1:], inputs[every])[0]
    side = math.isqrt(inputs.shape[1] // 3)
    rows = torch.cat([inputs[every], made, targets[every]]).reshape(-1, side, side, 3).mean(-1)
    return {
        "shown": "rows",
        "width": side,
        "height": side,
        "images": rows.clamp(0, 1).numpy(),
        "truth": [],
        "names": ["with noise", "cleaned", "clean"],
        "predicted": [],
        "caption": "held-out squares: with noise, as the network cleans them at the end, and clean",
    }


# ---- the surface


def surface(problem: Problem, runs: Sequence[Run], told: Progress) -> dict[str, Any]:
    """The message "surface": of one or two weights all there is, else the plane of the paths.

    Args:
        problem: what is shown, started where the descents start.
        runs: the racers.
        told: called with what is being done, how much of it is done, and how much there is; or what else `landscape` takes as progress.
    """
    weights = count_of(problem)
    if weights <= 2:
        # a step of next to nothing: the picture is that of the start and the minima, and stays as it is while a rate is dragged
        still = descend(problem, lr=1e-30, steps=1, progress=False)
        made = landscape(problem, [still], resolution=GRID[weights], progress=False)
    else:
        made = landscape(problem, _with_finite_paths(runs), **slice_of(problem), progress=told)
    return {"kind": "surface", **surface_parts(made, weight_names(problem))}


def slice_of(problem: Problem) -> dict[str, Any]:
    """The resolution and the samples of a network's plane, as keywords of `landscape`, so that it takes some seconds."""
    began = time.perf_counter()
    landscape(problem, plane="random", resolution=2, data=TIMED, progress=False)
    per_sample = (time.perf_counter() - began) / (4 * TIMED)
    most, least = SLICE_SAMPLES
    count = int(SLICE_SECONDS / (SLICE**2 * per_sample))
    return {"resolution": SLICE if count >= least else SLICE // 2 + 1, "data": max(least, min(most, count))}


def surface_parts(made: Surface, called: Sequence[str] = ()) -> dict[str, Any]:
    """A surface as parts of a message; ``called`` are the names of its axes, where the page has others."""
    low, high = shown_range(made)
    names = list(called) or list(made.plane.names)
    flat = landscape_picture(replace(made, paths=()), (low, high))
    flat = replace(flat, x_label=names[0], y_label=names[1] if len(names) == 2 else flat.y_label)
    whole: Marks = landscape_picture(made, (low, high))
    log = len(made.axes) == 2 and scale_of(np.array([low, high]), COLOUR_DECADES) == "log"
    return {
        "dims": len(made.axes),
        "exact": made.exact,
        "names": names,
        "x": made.axes[0],
        "y": made.axes[1] if len(made.axes) == 2 else None,
        "loss": made.loss,
        "slope": made.slope,
        "limits": [low, high],
        "scale": "log" if log else "linear",
        "minima": [{"point": list(each.point), "loss": each.loss} for each in made.minima],
        "picture": picture(flat),
        "text": list(whole.notes),
        "explained": made.explained,
        "by_chance": made.by_chance,
        "paths": None if made.exact else [_path(path) for path in made.paths],
    }


def _path(path: PathOn) -> dict[str, Any]:
    return {"steps": path.steps, "points": path.coordinates, "loss": path.loss, "under": path.under, "distance": path.distance}


def _with_finite_paths(runs: Sequence[Run]) -> list[Run]:
    found = [run for run in runs if bool(torch.isfinite(run.path.weights).all(1).any())]
    if not found:
        raise SettingError("There is no surface to show: the weights were finite nowhere.")
    return found
