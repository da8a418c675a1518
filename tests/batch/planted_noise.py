"""Problems whose gradients are known sample by sample.  mean + spread -> a problem, tr(S) and |G|^2 by NumPy."""

from __future__ import annotations

import numpy as np
import torch

from surefoot.problem import Problem


class Weights(torch.nn.Module):
    def __init__(self, count, at=0.0):
        super().__init__()
        self.w = torch.nn.Parameter(torch.full((count,), at, dtype=torch.float64))


def drawn(samples, spreads, slope, seed):
    """(samples, weights) gradients around (slope, 0, 0, ...), each weight's with its own standard deviation."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((samples, len(spreads))) * np.asarray(spreads)
    values[:, 0] += slope
    return values


def tilted(values, kind=lambda data: data):
    """The gradient of sample k is values[k] wherever the weights are: the loss is linear in them."""
    data = (torch.from_numpy(values), torch.zeros(len(values)))
    return Problem(Weights(values.shape[1]), kind(data), objective=lambda model, batch: (batch[0] @ model.w).mean())


def bowl(values, at=0.0, kind=lambda data: data):
    """The gradient of sample k is w - values[k]: the mean of half the squared distances."""
    data = (torch.from_numpy(values), torch.zeros(len(values)))
    return Problem(
        Weights(values.shape[1], at), kind(data), objective=lambda model, batch: ((model.w - batch[0]) ** 2).sum(1).mean() / 2
    )


def truth(values):
    """tr(S) and |G|^2 of the samples that there are."""
    return float(values.var(axis=0, ddof=1).sum()), float((values.mean(axis=0) ** 2).sum())
