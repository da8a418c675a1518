"""Traces whose every number is known, and runs whose illness is.  closed forms and planted numbers -> traces, problems, runs."""

import functools

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf


def trace(loss, *, full=False, **columns):
    """A trace with this loss; what is not given is NaN, the rate 0.1, and the epoch that of full or of small batches."""
    loss = np.asarray(loss, dtype=float)
    count = len(loss)
    given = {"step": np.arange(count), "lr": 0.1, "loss": loss, "epoch": np.arange(count) * (1.0 if full else 0.01), **columns}
    nothing = dict.fromkeys(sf.Row._fields[:-1], np.nan)
    return sf.Trace({name: np.broadcast_to(value, (count,)) for name, value in {**nothing, **given}.items()})


def descent(rate_times_curvature, steps=100, curvature=3.0, start=2.0):
    """Plain gradient descent on ``curvature w^2 / 2``, from its closed form: the trace, not a run of it."""
    rate = rate_times_curvature / curvature
    w = start * (1 - rate_times_curvature) ** np.arange(steps)
    slope = curvature * np.abs(w)
    return trace(curvature * w**2 / 2, full=True, lr=rate, grad_norm=slope, update_norm=rate * slope, weight_norm=np.abs(w))


def quadratic(*curvatures, start=1.0, dtype=torch.float64):
    """The sum of ``curvature w_i^2 / 2``, from ``start`` in every direction."""
    each = torch.tensor(curvatures, dtype=dtype)
    return sf.Problem.of(lambda w: (each * w * w).sum() / 2, start=torch.full_like(each, start))


def regression(seed=0, count=64, noise=0.5, model=None, **settings):
    """Linear regression in three weights with noise in the targets."""
    drawn = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, generator=drawn)
    y = x.sum(1, keepdim=True) + noise * torch.randn(count, 1, generator=drawn)
    torch.manual_seed(seed)
    settings = {"loss": nn.functional.mse_loss, "batch_size": 8, **settings}
    return sf.Problem(nn.Linear(3, 1) if model is None else model, (x, y), **settings)


def loader(dropout=0.5):
    """A model with dropout and batch normalisation, a gradient of its own, one part in evaluation mode, and a shuffling loader."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1))
    model[3].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    x = torch.randn(40, 3)
    drawn = torch.Generator().manual_seed(1)
    data = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=8, shuffle=True, generator=drawn)
    return sf.Problem(model, data, loss=nn.functional.mse_loss)


def tilted(start):
    """A double well, the left one deeper."""
    return sf.Problem.of(lambda x: ((x**2 - 1) ** 2 / 4 + 0.1 * x).sum(), start=torch.tensor([start], dtype=torch.float64))


def ridge():
    """A saddle at 0 and two minima at (0, -1) and (0, 1), from a place whence plain descent leads onto the saddle."""
    return sf.Problem.of(lambda w: w[0] ** 2 / 2 + (w[1] ** 2 - 1) ** 2 / 4, start=torch.tensor([1.0, 0.0], dtype=torch.float64))


def upside_down():
    """A loss that falls where its gradient says that it rises."""

    def objective(model, batch):
        loss = nn.functional.mse_loss(model(batch[0]), batch[1])
        return 2 * loss.detach() - loss

    return regression(loss=None, objective=objective)


# One run of each kind: what was descended, and how.
RUNS = {
    "converged": (lambda: quadratic(1.0, 2.0), {"lr": 0.4, "steps": 200}),
    "too short": (lambda: quadratic(1.0, 2.0), {"lr": 1e-4, "steps": 60}),
    "at the limit": (lambda: quadratic(1.0), {"lr": 1.999, "steps": 60}),
    "diverging": (lambda: quadratic(1.0), {"lr": 2.05, "steps": 60}),
    "overflow": (lambda: quadratic(1.0, dtype=torch.float32), {"lr": 100.0, "steps": 60}),
    "saddle": (ridge, {"lr": 0.3, "steps": 100}),
    "wrong well": (lambda: tilted(1.2), {"lr": 0.1, "steps": 200}),
    "level": (lambda: sf.Problem.of(lambda x: torch.tanh(x).sum(), start=torch.tensor([12.0]).double()), {"lr": 0.1, "steps": 60}),
    "upside down": (upside_down, {"lr": 0.01, "steps": 60}),
    "noisy": (lambda: regression(noise=2.0), {"lr": 0.25, "steps": 1000}),
    "well": (regression, {"lr": 0.02, "steps": 60}),
    "loader": (loader, {"lr": 0.05, "steps": 60}),
}


@functools.cache
def run(kind):
    """The problem and the run of it."""
    make, settings = RUNS[kind]
    problem = make()
    return problem, sf.descend(problem, **{"optimizer": "sgd", **settings})
