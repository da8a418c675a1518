"""What is the loss at very many weights?  rows of weights -> losses, many rows in one batched pass, in bounded memory.

The model is a copy in evaluation mode. Batch normalisation uses the statistics of the data that is shown, computed anew for each row: those
that a training has collected belong to its end, and are wrong everywhere else.
"""

from __future__ import annotations

import copy
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from surefoot.descent.batches import samples
from surefoot.descent.path import flattened
from surefoot.descent.sample import sample
from surefoot.descent.snapshot import World, carried_generators
from surefoot.problem import LossOf, Problem, is_pair, trainable
from surefoot.trace import Column

MEMORY = 2**30  # bytes that the rows of one pass may take together, activations included
PASS = 2**23  # bytes: on a CPU passes that take more are slower, for they leave its caches (see LOG.md)
BATCHED = 100_000  # bytes of a row beside its weights: on a CPU larger ones are as fast or faster one after the other (see LOG.md)
FEW = 64  # rows one after the other in a pass, each of which costs a quarter of a millisecond, and
NEAR = 2**19  # bytes of rows
IN_TURN = 0.1  # seconds: after so long Ctrl-C is heard and progress seen
CHUNK = 1000  # samples at once, for the same reason


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
        own = trainable(self.model)
        self._own: list[Tensor] = [p.detach() for p in own.values()]
        self._sizes = [p.numel() for p in self._own]
        self._start = flattened(self._own).to(self._own[0].device)
        self.parameters = {name: p.shape for name, p in own.items()}
        first = self._own[0]
        self.device, self.dtype = first.device, first.dtype
        self.world = World.seeded(seed, carried_generators(problem.data, problem.validation))
        with self.world.entered():  # starting a loader draws random numbers
            self.batches = sample(problem, data, seed, self.device, self.dtype)
        if is_pair(problem.validation if data == "validation" else problem.data) and not self.normalised:
            self.batches = [part for batch in self.batches for part in zip(*(each.split(CHUNK) for each in batch), strict=True)]
        self.weight = np.array([samples(batch) for batch in self.batches], dtype=float)
        self.count = int(self.weight.sum())
        self.batched = True
        self.note = ""
        self.bytes = self._measured()  # of a row in a pass

    @property
    def size(self) -> int:
        """Weights in a row."""
        return sum(shape.numel() for shape in self.parameters.values())

    def start(self) -> Tensor:
        """The row of the problem's own weights."""
        return self._start.clone()

    def losses(
        self, made: Callable[[int, int], Tensor], count: int, seen: Callable[[int, int], None] = lambda done, count: None
    ) -> Column:
        """The loss of each row.

        Args:
            made: gives the rows from a first to before a last one, (rows, weights), so that never all of them need be held.
            count: how many there are.
            seen: called after each pass with how many there are so far, and how many there will be.

        Returns:
            (count,) float64; infinite and NaN where the loss is.
        """
        out = np.empty(count)
        for part, losses in self.passes(made, count):
            out[part] = losses
            seen(part.stop, count)
        return out

    def passes(self, made: Callable[[int, int], Tensor], count: int) -> Iterator[tuple[slice, Column]]:
        """The same, pass by pass: which rows, and their losses. Between two of them the world is the caller's."""
        at = 0
        while at < count:
            end = min(count, at + self.at_once())
            # one after the other, a few are made at a time: they are still in the caches when they are copied into the model
            few = end - at if self.batched else max(1, NEAR // (self.size * self.dtype.itemsize))
            with torch.no_grad(), self.world.entered():
                parts = [self._losses(made(k, min(end, k + few)).to(self.device, self.dtype)) for k in range(at, end, few)]
            yield slice(at, end), np.concatenate(parts)
            at = end

    def slopes(self, rows: Tensor, direction: Tensor) -> Column:
        """How fast the loss rises along a direction at each row: (rows,) float64, in loss per step of the direction."""
        direction, rows = direction.to(self.device, self.dtype), rows.to(self.device, self.dtype)
        most = max(1, self.at_once() // 2)  # half as many at once: the backward pass keeps what the forward pass made
        with self.world.entered():
            try:
                parts = [self._slopes(rows[at : at + most], direction) for at in range(0, len(rows), most)]
            except (RuntimeError, NotImplementedError):  # what vmap does not take
                along = direction.double().cpu().numpy()
                parts = [np.array([self.loss_and_gradient(row)[1] @ along for row in rows])]
        return np.concatenate(parts)

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
        """Rows in one pass; of those that are walked one after the other a few, and no more than take a tenth of a second."""
        if not self.batched:
            return max(1, min(FEW, self.memory_limit // self.bytes, int(IN_TURN / self.seconds)))
        most = self.memory_limit if self.device.type != "cpu" else min(self.memory_limit, PASS)
        return max(1, most // self.bytes)

    def _measured(self) -> int:
        """Walks one pass of two rows, after which it is known whether there can be such passes, and what they take."""
        twice = self.start().repeat(2, 1)
        with torch.no_grad(), self.world.entered(), _Peak() as peak:
            self._losses(twice)
        with torch.no_grad(), self.world.entered():
            self._one(twice[0])  # the first time is slow
            began = time.perf_counter()
            self._one(twice[0])
            self.seconds = time.perf_counter() - began
        rows = 2 if self.batched else 1
        if self.device.type == "cpu" and peak.most // rows > BATCHED:
            self.batched = False
        return int(self.size * self.dtype.itemsize + max(peak.most, 1) // rows)

    def _losses(self, rows: Tensor) -> Column:
        if self.batched:
            try:
                return self._in_one_pass(rows)
            except (RuntimeError, NotImplementedError) as error:  # what vmap does not take, as data-dependent control flow
                self.batched, self.note = False, f"one by one: {(str(error).splitlines() or [''])[0]}"
        return np.array([self._one(row) for row in rows])

    def _in_one_pass(self, rows: Tensor) -> Column:
        stacked = self._named(rows)
        each = [
            vmap(self._loss, in_dims=(0, None), randomness="same")(stacked, batch).double().cpu().numpy() for batch in self.batches
        ]
        return self._mean(each)

    def _slopes(self, rows: Tensor, direction: Tensor) -> Column:
        def along(step: Tensor, row: Tensor, batch: Any) -> Tensor:
            named = {name: value[0] for name, value in self._named((row + step * direction)[None]).items()}
            return self._loss(named, batch)

        zeros = rows.new_zeros(len(rows))
        slope = vmap(grad(along), in_dims=(0, 0, None), randomness="same")
        return self._mean([slope(zeros, rows, batch).double().cpu().numpy() for batch in self.batches])

    def _one(self, row: Tensor) -> float:
        """By putting the weights into the copy of the model: a third of the time that calling it with others in their place takes."""
        parts = torch.split(row, self._sizes)
        torch._foreach_copy_(self._own, [part.view(shape) for part, shape in zip(parts, self.parameters.values(), strict=True)])
        losses = [
            self.problem.loss_on(self.model, batch).item() * weight for batch, weight in zip(self.batches, self.weight, strict=True)
        ]
        return float(sum(losses) / self.count)

    def _mean(self, each: Sequence[Column]) -> Column:
        return np.asarray(self.weight @ np.stack(each) / self.weight.sum())

    def _named(self, rows: Tensor) -> dict[str, Tensor]:
        parts = torch.split(rows, self._sizes, dim=1)
        return {name: part.reshape(len(rows), *shape) for (name, shape), part in zip(self.parameters.items(), parts, strict=True)}

    def _loss(self, weights: dict[str, Tensor], batch: Any) -> Tensor:
        return functional_call(self.loss, {f"model.{name}": value for name, value in weights.items()}, (batch,))  # type: ignore[no-any-return]


class _Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes that the results of operations take at the same time, at most: what a pass needs beyond what was there before it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {leaf.untyped_storage().data_ptr() for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in pytree.tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage().data_ptr() not in given:  # neither in place nor a view
                size = leaf.untyped_storage().nbytes()
                self.now += size
                self.most = max(self.most, self.now)
                weakref.finalize(leaf, self._gone, size).atexit = False
        return result

    def _gone(self, size: int) -> None:
        self.now -= size


def _own_statistics(model: nn.Module) -> bool:
    """Makes batch normalisation use the statistics of each batch it sees; whether there was any."""
    layers = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for layer in layers:
        layer.running_mean = layer.running_var = layer.num_batches_tracked = None
        layer.track_running_stats = False
    return bool(layers)
