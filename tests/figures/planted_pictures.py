"""Traces and runs with known numbers, made by hand: no engine, no finder.  formula -> Trace, Run, Found, Diagnosis."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from surefoot.batch.batch_size import BatchSize
from surefoot.batch.fits import Fits
from surefoot.batch.noise_scale import NoiseScale
from surefoot.diagnosis.diagnosis import Diagnosis
from surefoot.diagnosis.evidence import Evidence, Remedy
from surefoot.find.found import Found
from surefoot.problem import Problem
from surefoot.run import Path, Run
from surefoot.surfaces.minima import Minimum
from surefoot.surfaces.planes import Plane
from surefoot.surfaces.surface import PathOn, Surface
from surefoot.trace import Trace


def trace(losses, lr=0.1, validation=None, first_step=0):
    losses = np.asarray(losses, dtype=np.float64)
    columns = {name: np.zeros(len(losses)) for name in ("epoch", "grad_norm", "update_norm", "weight_norm", "seconds")}
    columns |= {"step": np.arange(first_step, first_step + len(losses)), "loss": losses, "lr": np.broadcast_to(lr, losses.shape)}
    return Trace(columns | {"validation_loss": np.full(len(losses), np.nan) if validation is None else validation})


def run(losses, *, weights=None, validation=None, **config):
    settings = {"problem": "planted", "optimizer": "sgd", "lr": 0.1, "schedule": "constant", "batch_size": 8, "seed": 0} | config
    ended = "steps" if np.isfinite(losses).all() else "diverged"
    return Run(trace(losses, settings["lr"], validation), weights or {}, Path(np.array([0]), torch.zeros(1, 1)), ended, settings)


def noisy(steps, seed=0, start=2.0, floor=0.5, noise=0.1):
    rng = np.random.default_rng(seed)
    return floor + (start - floor) / (1 + np.arange(steps) / 10) + noise * rng.standard_normal(steps)


def blowing_up(steps=40, start=2.0):
    """Grows to about 1e38, then is no number any more."""
    return np.append(start * 10.0 ** np.linspace(0, 38, steps - 1), np.nan)


def range_test(steps=100, noise=0.0, seed=0, highest=1e38):
    """Flat, falling, and from a rate of 1 on growing a thousandfold per step, until it is higher than ``highest``."""
    rates = np.geomspace(1e-6, 100.0, steps)
    losses = 0.1 + 2 / (1 + (rates / 0.01) ** 1.5) + noise * np.random.default_rng(seed).standard_normal(steps)
    late = rates > 1
    losses[late] = 10.0 ** (3 * np.arange(1, late.sum() + 1))
    return trace(losses[losses < highest], rates[losses < highest])


def found():
    trials = (
        range_test(),
        *(trace(noisy(30, seed), rate) for seed, rate in enumerate((0.01, 0.03, 0.1))),
        trace(blowing_up(), 0.5),
    )
    return Found(0.03, 0.01, 0.1, 0.5, True, "verified by four descents", trials, 220, 1.0, 1000)


class LineModel(torch.nn.Module):
    """w x + b in float64, which knows the true line."""

    true_w, true_b = 0.1, 0.5

    def __init__(self):
        super().__init__()
        self.w, self.b = (torch.nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in (0.0, -1.0))

    def forward(self, x):
        return self.w * x + self.b


def line_problem(points=30):
    x = torch.linspace(0, 2, points, dtype=torch.float64)
    y = 0.1 * x + 0.5 + 0.02 * torch.sin(40 * x)
    return Problem(LineModel(), (x, y), loss=torch.nn.functional.mse_loss, name="a line")


def line_run(w=0.2, b=0.4, losses=(1.0, 0.5)):
    return run(losses, weights={"w": torch.tensor(w, dtype=torch.float64), "b": torch.tensor(b, dtype=torch.float64)})


def rates_apart(steps=50):
    """loss_t = (1 - 2 lr)^(2 t): gradient descent on w^2, for rates on both sides of the limit at 1."""
    rates = (0.001, 0.01, 0.1, 0.4, 1.5)
    return [run(np.append(1.0, (1 - 2 * rate) ** (2.0 * np.arange(1, steps))), lr=rate) for rate in rates]


# Every row of the table of pictures, each with a value that has it: (answer, kind, problem).
def surface(dimensions=2, resolution=21):
    """A parabola that is infinite in a corner, its minimum at 1 in every direction, and a path that walks towards it."""
    axes = (np.linspace(-1, 2, resolution),) * dimensions
    grid = np.meshgrid(*axes)
    loss = sum((coordinate - 1) ** 2 for coordinate in grid)
    loss[(slice(0, 2),) * dimensions] = np.inf
    steps = np.arange(5)
    on = 1 - np.stack([0.5**steps] * dimensions, 1)
    losses = ((on - 1) ** 2).sum(1)
    plane = Plane(torch.zeros(dimensions), torch.eye(dimensions), "axes", ("w", "b")[:dimensions])
    path = PathOn(steps, on, losses, losses, np.zeros(5), 1.0)
    slope = 2 * (axes[0] - 1) if dimensions == 1 else None
    return Surface(axes, loss, (path,), 1.0, 0.76, plane, 100, (Minimum((1.0,) * dimensions, 0.0),), True, "", 0.1, slope)


def race(dimensions=2):
    """The same parabola, walked at four rates: x_k = 1 + (0 - 1) (1 - 2 lr)^k in every direction."""
    whole = surface(dimensions)
    steps = np.arange(41)
    paths = []
    for rate in (0.001, 0.4, 0.98, 1.2):
        on = 1 - np.stack([(1 - 2 * rate) ** steps] * dimensions, 1)
        losses = ((on - 1) ** 2).sum(1)
        config = {"problem": "parabola", "optimizer": "sgd", "lr": rate}
        paths.append(PathOn(steps, on, losses, losses, np.zeros(41), 1.0, config, "diverged" if rate > 1 else "steps"))
    return dataclasses.replace(whole, paths=tuple(paths))


def diagnosed():
    """The parabola x^2 / 2 from 1, gone on with at five rates: x_k = (1 - lr)^k."""
    forks = {rate: (1 - rate) ** (2.0 * np.arange(20)) / 2 for rate in (0.01, 0.1, 0.3, 1.0)}
    forks[3.0] = np.append([0.5, 2.0, 8.0], [np.inf] * 17)
    return Diagnosis(
        "too-small",
        0.9,
        (Evidence("fall of the loss", 2.5, 2.0, "fork"),),
        Remedy("Use 0.5.", "lr", 0.5),
        "The loss falls slowly.",
        "problem",
        123,
        forks,
        {},
    )


def batch_size(scale=100.0, error=10.0, **changed):
    """A step takes 1 + n / 100 seconds for n samples, and 1 + scale / n times the fewest steps lead to a target."""
    noise = NoiseScale(scale, error, 80.0, 1.0, scale, 64, 100, 100, 0.1, None, "measured over 100 steps")
    speeds = tuple((size, size / (1 + size / 100)) for size in (1, 4, 16, 64, 256, 1024))
    memory = Fits(2000, 2**30, "memory", (), 20)
    answer = BatchSize(128, 1, memory, noise, speeds, found(), 0.05, "as steps gain", found(), 64, True, "all told", 900, 3.0)
    return dataclasses.replace(answer, **changed)


EVERY_PICTURE = {
    "batch-size": (batch_size(), "batch", None),
    "batch-size-accumulated": (batch_size(batch_size=32, accumulate=4, memory=Fits(40, 2**30, "memory", (), 20)), "batch", None),
    "batch-size-unknown": (batch_size(math.inf, math.nan, confident=False), "batch", None),
    "diagnosis-forks": (diagnosed(), "forks", None),
    "trace-loss": (trace(noisy(300)), "loss", None),
    "trace-rate": (range_test(noise=0.02, highest=1e4), "rate", None),
    "run-loss": (run(noisy(1000), validation=np.where(np.arange(1000) % 100 == 99, 0.7, np.nan)), "loss", None),
    "run-fit": (line_run(), "fit", line_problem()),
    "found-rate": (found(), "rate", None),
    "found-map": (found(), "map", None),
    "surface-curve": (surface(1), "landscape", None),
    "surface-plane": (surface(2), "landscape", None),
    "surface-race-curve": (race(1), "landscape", None),
    "surface-race-plane": (race(2), "landscape", None),
    "surface-3d": (surface(2), "3d", None),
    "list-loss": ([run(noisy(60, seed), optimizer=name) for seed, name in enumerate(("sgd", "adam"))], "loss", None),
    "list-rate": (rates_apart(), "rate", None),
    "list-map": (rates_apart(), "map", None),
}

# The same for those that are several pictures beside each other.
EVERY_PANELS = {
    "surface-multiples": (race(2), "multiples", None),
    "surface-multiples-curve": (race(1), "multiples", None),
}

# Values that pictures of losses are easily ruined by.
AWKWARD = {
    "one step": run([2.3]),
    "two steps": run([2.3, 1.9]),
    "constant": run(np.full(50, 2.3)),
    "all zero": run(np.zeros(50)),
    "falls to zero": run(np.append(0.25 ** np.arange(30.0), np.zeros(5))),
    "negative": run(-5 + noisy(200)),
    "diverges": run(blowing_up()),
    "diverges from below zero": run(np.concatenate([-5 + noisy(30), blowing_up(20)])),
    "near the largest float": run(np.array([1.0, 1e150, 1e300, 1.7e308, np.inf])),
    "no finite loss": run([np.nan]),
    "twenty thousand": run(noisy(20_000)),
    "eight": [run(noisy(50, seed), lr=10.0**-seed) for seed in range(7)] + [run(blowing_up(), lr=3.0)],
    "thirty": [run(noisy(20, seed), seed=seed) for seed in range(30)],
    "all diverge": [run(blowing_up(steps), lr=float(steps)) for steps in (10, 20)],
    "the same twice": [run(noisy(20)), run(noisy(20))],
    "no finite loss among others": [run(noisy(20)), run([np.nan], lr=3.0)],
    "continued": trace(noisy(50), first_step=1_000_000),
}
