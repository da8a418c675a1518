"""Which samples does the next step see?  data + batch size + seed -> batches without end, from any place in the data.

Pairs and map-style datasets are put in order here, each epoch's order drawn from ``(seed, epoch)`` alone, so that going on
from the middle of an epoch needs no replay. A ``DataLoader`` or another iterable keeps its own order: to go on in the middle,
the random state at the start of the epoch is put back and the batches already seen are passed over.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate

from surefoot.descent.snapshot import random_state, set_random_state
from surefoot.errors import ProblemError, SettingError
from surefoot.problem import is_pair

DEFAULT_BATCH_SIZE = 64  # fastai's default, and the size of the measured facts
VALIDATION_CHUNK = 4096  # samples per forward pass when nothing is learnt: memory, not noise, decides


class Source(Protocol):
    """Data that can be walked epoch by epoch."""

    replayed: bool  # the order depends on the random state at the start of the epoch

    @property
    def count(self) -> int | None:
        """Batches per epoch, None where only a walk can tell."""
        ...

    def epoch(self, epoch: int, skip: int) -> Iterator[Any]:
        """The batches of one epoch in their order, without the first ``skip``."""
        ...


def source(data: Any, batch_size: int | str | None, seed: int, device: torch.device, dtype: torch.dtype) -> Source:
    """The batches of ``data``, on ``device``, floating-point numbers in ``dtype``.

    Args:
        data: any form that `Problem` takes.
        batch_size: samples per batch, ``"full"``, or None for 64 (all of the data, if there is less).
        seed: what the order of each epoch is drawn from.
        device: where the batches go.
        dtype: what floating-point numbers become; integers become int64.

    Raises:
        SettingError: the batch size is no positive int, larger than the data, or given for data that has its own batches.
        ProblemError: the data cannot be made into tensors.
    """
    if is_pair(data):
        tensors = [as_tensor(part, device, dtype) for part in data]
        return _Pair(tensors, _batch_size(batch_size, len(tensors[0])), seed)
    if isinstance(data, DataLoader) or not hasattr(data, "__getitem__") or isinstance(data, IterableDataset | list | tuple):
        return _own_batches(data, batch_size, device, dtype)
    return _MapStyle(data, _batch_size(batch_size, len(data)), seed, device, dtype)


def validation_source(data: Any, device: torch.device, dtype: torch.dtype) -> Source:
    """The batches of held-out data, in the order they stand in and as large as is convenient."""
    if is_pair(data):
        return _Pair([as_tensor(part, device, dtype) for part in data], VALIDATION_CHUNK, None)
    if isinstance(data, DataLoader) or not hasattr(data, "__getitem__") or isinstance(data, IterableDataset | list | tuple):
        return _own_batches(data, None, device, dtype)
    return _MapStyle(data, VALIDATION_CHUNK, None, device, dtype)


@dataclass
class Feed:
    """Batches without end, and the place in the data: ``epoch``, ``index`` (batches of it already taken)."""

    source: Source
    carried: Sequence[Any] = ()  # generators that the data brings along, part of the random state
    epoch: int = 0
    index: int = 0
    epoch_random_state: Mapping[str, Any] | None = None  # as it was when this epoch began, where the order depends on it

    def __post_init__(self) -> None:
        self._batches: Iterator[Any] | None = None

    def take(self, count: int) -> list[Any]:
        """The next ``count`` batches; fewer at the end of an epoch, which no step reaches across."""
        taken = self._more(count)
        if not taken:
            if self.index == 0:
                raise ProblemError("The data is empty: an epoch without a single batch.")
            self.epoch, self.index, self._batches, self.epoch_random_state = self.epoch + 1, 0, None, None
            return self.take(count)
        self.index += len(taken)
        return taken

    def place(self) -> dict[str, Any]:
        """Everything a new `Feed` needs to go on from here."""
        return {"epoch": self.epoch, "index": self.index, "epoch_random_state": self.epoch_random_state}

    @property
    def passes(self) -> float:
        """Passes through the data so far; whole ones where the number of batches is not known."""
        return self.epoch + (self.index / self.source.count if self.source.count else 0.0)

    def _more(self, count: int) -> list[Any]:
        if self._batches is None:
            self._batches = self._replayed() if self.source.replayed else self.source.epoch(self.epoch, self.index)
        return list(itertools.islice(self._batches, count))

    def _replayed(self) -> Iterator[Any]:
        now = random_state(self.carried)
        if self.epoch_random_state is None:
            self.epoch_random_state = now
            return self.source.epoch(self.epoch, self.index)
        # in the middle of an epoch: the loader must draw what it drew when the epoch began, and nothing else may notice
        set_random_state(self.epoch_random_state, self.carried)
        batches = self.source.epoch(self.epoch, self.index)
        set_random_state({**now, "carried": random_state(self.carried)["carried"]}, self.carried)
        return batches


def count_batches(batches: Source) -> int:
    """Batches per epoch, by walking through one where there is no other way."""
    return batches.count if batches.count is not None else sum(1 for _ in batches.epoch(0, 0))


def samples(batch: Any) -> int:
    """How many samples a batch holds: the length of the first axis of its first tensor, 1 where there is none."""
    if isinstance(batch, Tensor):
        return batch.shape[0] if batch.ndim else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    return next((samples(part) for part in parts), 1)


def as_tensor(values: Any, device: torch.device, dtype: torch.dtype) -> Tensor:
    """An array as a tensor: floating-point numbers in ``dtype``, integers in int64, bool and uint8 as they are."""
    if not isinstance(values, Tensor):
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise ProblemError(f"The data holds {array.dtype} values, which are not numbers; encode them first.")
        values = torch.from_numpy(np.ascontiguousarray(array) if array.flags.writeable else array.copy())
    return place(values, device, dtype)


def place(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The tensor where the model is, in the model's precision."""
    if tensor.is_floating_point():
        return tensor.to(device, dtype, non_blocking=True)
    narrow = tensor.dtype in (torch.int8, torch.int16, torch.int32)
    return tensor.to(device, torch.int64 if narrow else tensor.dtype, non_blocking=True)


def moved(batch: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """The batch with every tensor in it at its place; anything else as it is."""
    if isinstance(batch, Tensor):
        return place(batch, device, dtype)
    if isinstance(batch, list | tuple):
        parts = [moved(part, device, dtype) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    if isinstance(batch, np.ndarray) and batch.dtype.kind in "biuf":
        return as_tensor(batch, device, dtype)
    if isinstance(batch, Mapping):
        return _mapping_like(batch, {key: moved(value, device, dtype) for key, value in batch.items()})
    return batch


def _mapping_like(batch: Mapping[Any, Any], parts: dict[Any, Any]) -> Any:
    # tokenizers return mappings with methods of their own, which a collate function or objective may rely on
    try:
        return type(batch)(parts)  # type: ignore[call-arg]
    except TypeError:
        return parts


def order(samples: int, seed: int, epoch: int) -> Tensor:
    """The order of one epoch: a permutation drawn from the seed and the epoch, and from nothing else."""
    # one number from the pair: NumPy's seed sequence mixes them so that neighbours share nothing
    mixed = int(np.random.SeedSequence([seed % 2**64, epoch]).generate_state(1, np.uint64)[0])
    return torch.randperm(samples, generator=torch.Generator().manual_seed(mixed % 2**63))


class _Pair:
    """Inputs and targets in memory; without a seed they stay in order."""

    replayed = False

    def __init__(self, tensors: list[Tensor], batch_size: int, seed: int | None) -> None:
        self.tensors, self.seed = tensors, seed
        self.size = len(tensors[0])
        self.batch_size = min(batch_size, self.size)
        self.count = -(-self.size // self.batch_size)

    def epoch(self, epoch: int, skip: int) -> Iterator[Any]:
        if self.count == 1:  # all of it: no order to draw, no copy to make
            return iter([tuple(self.tensors)] * (1 - skip))
        return self._parts(epoch, skip)

    def _parts(self, epoch: int, skip: int) -> Iterator[Any]:
        inputs, targets = self.tensors
        if self.seed is None:
            yield from itertools.islice(
                zip(torch.split(inputs, self.batch_size), torch.split(targets, self.batch_size), strict=True), skip, None
            )
            return
        picked = torch.split(order(self.size, self.seed, epoch).to(inputs.device), self.batch_size)
        for index in picked[skip:]:
            yield inputs[index], targets[index]


class _MapStyle:
    """A dataset with a length: samples are fetched one by one and collated."""

    replayed = False

    def __init__(self, dataset: Any, batch_size: int, seed: int | None, device: torch.device, dtype: torch.dtype) -> None:
        self.dataset, self.seed, self.device, self.dtype = dataset, seed, device, dtype
        self.size = len(dataset)
        self.batch_size = min(batch_size, self.size)
        self.count = -(-self.size // self.batch_size)

    def epoch(self, epoch: int, skip: int) -> Iterator[Any]:
        ordered = self.seed is None or self.count == 1
        picked = torch.arange(self.size) if ordered else order(self.size, self.seed or 0, epoch)
        for index in torch.split(picked, self.batch_size)[skip:]:
            batch = default_collate([self.dataset[i] for i in index.tolist()])
            yield moved(batch, self.device, self.dtype)


class _OwnBatches:
    """A loader or another iterable that makes its own batches in its own order."""

    def __init__(self, batches: Any, device: torch.device, dtype: torch.dtype) -> None:
        self.batches, self.device, self.dtype = batches, device, dtype
        self.replayed = not isinstance(batches, list | tuple)
        try:
            self.count: int | None = len(batches)
        except (TypeError, NotImplementedError):
            self.count = None

    def epoch(self, epoch: int, skip: int) -> Iterator[Any]:
        batches = _in_one_go(self.batches) if _is_plain(self.batches) else iter(self.batches)
        for _ in range(skip):  # at once, not when the first batch is asked for: see Feed._replayed
            next(batches, None)
        return (moved(batch, self.device, self.dtype) for batch in batches)


def _is_plain(loader: Any) -> bool:
    """Whether it is a stock ``DataLoader`` in this process over tensors in memory, whose batches are mere rows of them."""
    return (
        type(loader) is DataLoader
        and type(loader.dataset) is TensorDataset
        and loader.collate_fn is default_collate
        and loader.num_workers == 0
        and loader.batch_sampler is not None
        and not loader.pin_memory
    )


def _in_one_go(loader: DataLoader[Any]) -> Iterator[Any]:
    """The loader's own batches, each taken from the tensors at once: 5 us where fetching and collating 64 samples takes 130."""
    assert isinstance(loader.dataset, TensorDataset)
    assert loader.batch_sampler is not None
    tensors = loader.dataset.tensors
    picked = iter(loader.batch_sampler)
    # a DataLoader draws a seed for its workers at the start of each epoch, also where it has none: the random state must not differ
    torch.empty((), dtype=torch.int64).random_(generator=loader.generator)
    return ([tensor[index] for tensor in tensors] for index in picked)


def _own_batches(data: Any, batch_size: int | str | None, device: torch.device, dtype: torch.dtype) -> Source:
    if isinstance(data, IterableDataset):
        if batch_size == "full":
            raise SettingError("An iterable dataset has no known length, so batch_size='full' has no meaning; give an int.")
        size = _positive(batch_size if batch_size is not None else DEFAULT_BATCH_SIZE)
        return _OwnBatches(DataLoader(data, batch_size=size), device, dtype)
    if batch_size is not None:
        kind = type(data).__name__
        hint = "pass loader.dataset to let surefoot make the batches" if isinstance(data, DataLoader) else "give inputs and targets"
        raise SettingError(f"A {kind} keeps its own batches, but batch_size={batch_size!r} was given; leave it out, or {hint}.")
    return _OwnBatches(data, device, dtype)


def _batch_size(batch_size: int | str | None, size: int) -> int:
    if batch_size == "full":
        return size
    if batch_size is None:
        return min(DEFAULT_BATCH_SIZE, size)
    count = _positive(batch_size)
    if count > size:
        raise SettingError(f"batch_size={count} is larger than the data, which has {size} samples. Give at most {size}, or 'full'.")
    return count


def _positive(batch_size: int | str) -> int:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise SettingError(f"batch_size must be a positive int or 'full', got {batch_size!r}.")
    return int(batch_size)
