"""What is the loss at very many weights?  rows of weights -> losses, many rows in one batched pass, in bounded memory.

The model is a copy in evaluation mode. Batch normalisation uses the statistics of the data that is shown, computed anew for each row: those
that a training has collected belong to its end, and are wrong everywhere else.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from surefoot.descent.batches import samples
from surefoot.descent.sample import sample
from surefoot.descent.snapshot import World, carried_generators
from surefoot.problem import LossOf, Problem, is_pair, trainable
from surefoot.trace import Column

MEMORY = 2**30  # bytes that the rows of one pass may take together, activations included
PASS = 32  # rows in one pass of a network, and
CHUNK = 500  # samples: more at once are slower on a CPU, whose caches they leave (about threefold at 64 rows of 1,000 samples)
SMALL = 1000  # weights and samples: rows of so little are taken by memory alone


class Rows:
    """A problem as a function of rows of weights.

    Args:
        problem: what is shown.
        data: ``"train"``, ``"validation"``, or how many training samples.
        seed: which samples, where not all of them are taken.
        memory_limit: bytes that one pass may take.

    Attributes:
        parameters: the shapes of the trainable weights by name; a row holds them one after the other.
        normalised: whether batch normalisation is part of the model.
        count: samples that the loss is the mean over.
    """

    def __init__(self, problem: Problem, data: str | int, seed: int, memory_limit: int = MEMORY) -> None:
        self.problem, self.memory_limit = problem, memory_limit
        self.model = copy.deepcopy(problem.model).eval()
        self.normalised = _own_statistics(self.model)
        self.loss = LossOf(problem, self.model)
        self._start = trainable(self.model)
        self.parameters = {name: p.shape for name, p in self._start.items()}
        first = next(iter(self._start.values()))
        self.device, self.dtype = first.device, first.dtype
        self.world = World.seeded(seed, carried_generators(problem.data, problem.validation))
        self.batches = sample(problem, data, seed, self.device, self.dtype)
        if is_pair(problem.validation if data == "validation" else problem.data) and not self.normalised:
            self.batches = [part for batch in self.batches for part in zip(*(each.split(CHUNK) for each in batch), strict=True)]
        self.weight = np.array([samples(batch) for batch in self.batches], dtype=float)
        self.count = int(self.weight.sum())
        self.batched = True
        self.note = ""

    @property
    def size(self) -> int:
        """Weights in a row."""
        return sum(shape.numel() for shape in self.parameters.values())

    def start(self) -> Tensor:
        """The row of the problem's own weights."""
        return torch.cat([p.detach().reshape(-1) for p in self._start.values()])

    def losses(self, made: Callable[[int, int], Tensor], count: int, seen: Callable[[int], None] = lambda rows: None) -> Column:
        """The loss of each row.

        Args:
            made: gives the rows from a first to before a last one, (rows, weights), so that never all of them need be held.
            count: how many there are.
            seen: called after each pass with the rows that it took.

        Returns:
            (count,) float64; infinite and NaN where the loss is.
        """
        out = np.empty(count)
        at, most = 0, self.at_once()
        with torch.no_grad(), self.world.entered():
            while at < count:
                rows = made(at, min(count, at + most)).to(self.device, self.dtype)
                out[at : at + len(rows)] = self._losses(rows)
                at += len(rows)
                seen(len(rows))
        return out

    def loss_and_gradient(self, row: Tensor) -> tuple[float, Column]:
        """The loss of one row and its gradient, (weights,) float64; to be called within ``world.entered()``."""
        row = row.detach().requires_grad_()
        named = {name: value[0] for name, value in self._named(row[None]).items()}
        with torch.enable_grad():
            each = [self._loss(named, batch) * weight for batch, weight in zip(self.batches, self.weight, strict=True)]
            total = torch.stack(each).sum() / self.weight.sum()
            (gradient,) = torch.autograd.grad(total, row)
        return float(total.detach()), gradient.double().cpu().numpy()

    def at_once(self) -> int:
        """Rows in one pass."""
        if not self.batched:
            return 1
        one = (self.size + self._activations()) * self.dtype.itemsize * 2
        most = max(1, int(self.memory_limit // one))
        return most if self.size <= SMALL and self.count <= SMALL else min(most, PASS)

    def _losses(self, rows: Tensor) -> Column:
        if self.batched:
            try:
                return self._in_one_pass(rows)
            except (RuntimeError, NotImplementedError) as error:  # what vmap does not take, as data-dependent control flow
                self.batched, self.note = False, f"one by one: {(str(error).splitlines() or [''])[0]}"
        return np.concatenate([self._one(row) for row in rows])

    def _in_one_pass(self, rows: Tensor) -> Column:
        stacked = self._named(rows)
        each = [
            vmap(self._loss, in_dims=(0, None), randomness="same")(stacked, batch).double().cpu().numpy() for batch in self.batches
        ]
        return self._mean(each)

    def _one(self, row: Tensor) -> Column:
        named = {name: value[0] for name, value in self._named(row[None]).items()}
        return self._mean([self._loss(named, batch).double().cpu().numpy()[None] for batch in self.batches])

    def _mean(self, each: Sequence[Column]) -> Column:
        return np.asarray(self.weight @ np.stack(each) / self.weight.sum())

    def _named(self, rows: Tensor) -> dict[str, Tensor]:
        parts = torch.split(rows, [shape.numel() for shape in self.parameters.values()], dim=1)
        return {name: part.reshape(len(rows), *shape) for (name, shape), part in zip(self.parameters.items(), parts, strict=True)}

    def _loss(self, weights: dict[str, Tensor], batch: Any) -> Tensor:
        return functional_call(self.loss, {f"model.{name}": value for name, value in weights.items()}, (batch,))  # type: ignore[no-any-return]

    def _activations(self) -> int:
        """Numbers that the outputs of all modules hold together in one forward pass of the largest batch, at least one per sample."""
        held = [0]

        def count(module: nn.Module, given: Any, output: Any) -> None:
            held[0] += _numbers(output)

        hooks = [module.register_forward_hook(count) for module in self.model.modules()]
        try:
            with torch.no_grad(), self.world.entered():
                self.problem.loss_on(self.model, max(self.batches, key=samples))
        finally:
            for hook in hooks:
                hook.remove()
        return max(held[0], int(self.weight.max()))


def _own_statistics(model: nn.Module) -> bool:
    """Makes batch normalisation use the statistics of each batch it sees; whether there was any."""
    layers = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for layer in layers:
        layer.running_mean = layer.running_var = layer.num_batches_tracked = None
        layer.track_running_stats = False
    return bool(layers)


def _numbers(output: Any) -> int:
    if isinstance(output, Tensor):
        return output.numel()
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, list | tuple) else ()
    return sum(_numbers(part) for part in parts)
