"""Of what is a batch drawn?  problem + batch size -> the problem in parts of a batch, and of how many samples they are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, RandomSampler

from surefoot.batch.fits_data import lonely, sized
from surefoot.descent.batches import DEFAULT_BATCH_SIZE, samples
from surefoot.errors import SettingError
from surefoot.problem import Problem, is_pair


@dataclass(frozen=True)
class Drawn:
    """How a step's batch is put together.

    Attributes:
        problem: the problem, in batches that are parts of the batch meant.
        parts: of a step.
        count: samples that batches are drawn from without putting back; None where that is not known.
    """

    problem: Problem
    parts: int
    count: int | None


def drawn_from(problem: Problem, batch_size: Any, parts: int) -> Drawn:
    """A batch of so many samples, in at most so many parts.

    Args:
        problem: whose data is meant.
        batch_size: samples, ``"full"``, or None for the problem's own.
        parts: at least 2. Of ready batches, which cannot be cut, so many make a step.

    Raises:
        SettingError: there is no data, or a batch of at least two parts cannot be made of it.

    Example:
        >>> from surefoot import problems
        >>> drawn = drawn_from(problems.load("digits-mlp"), 64, 8)
        >>> drawn.problem.batch_size, drawn.parts, drawn.count
        (8, 8, 1438)
    """
    check_data(problem)
    count = count_of(problem.data)
    if ready(problem.data):
        if batch_size is not None:
            kind = type(problem.data).__name__
            raise SettingError(
                f"A {kind} keeps its own batches, but batch_size={batch_size!r} was given; leave it out or give a dataset."
            )
        return _of_ready(problem, parts, count)
    size = size_of(problem, batch_size)
    if size < 2:
        raise SettingError(
            "A batch of one sample has nothing to be compared with: give batch_size=2 or more (and data of two samples)."
        )
    part = in_company(problem, -(-size // min(parts, size)))
    if part >= size:
        raise SettingError(
            f"A batch of {size} is too small to be cut for a model with batch normalisation: give batch_size={2 * part} or more."
        )
    return Drawn(sized(problem, part), -(-size // part), count)


def check_data(problem: Any) -> None:
    """Refuses what has no batches.

    Raises:
        SettingError: it is no problem, or a function of the weights alone.
    """
    if not isinstance(problem, Problem):
        raise SettingError(f"The first argument must be a Problem, got a {type(problem).__name__}.")
    if isinstance(problem.data, list) and all(isinstance(batch, tuple) and not batch for batch in problem.data):
        raise SettingError(
            f"{problem.called} is a function of its weights without data: every step sees all there is, so there is no noise and no batch "
            "size to choose. Give Problem(model, data, ...)."
        )


def ready(data: Any) -> bool:
    """Whether the data yields batches whose size cannot be changed."""
    if is_pair(data) or isinstance(data, IterableDataset):
        return False
    if type(data) is DataLoader:
        return data.batch_size is None
    return isinstance(data, DataLoader | list | tuple) or not hasattr(data, "__getitem__")


def count_of(data: Any) -> int | None:
    """How many samples batches are drawn from without putting back; None where that is not known.

    Example:
        >>> import torch
        >>> count_of((torch.zeros(5, 2), torch.zeros(5))), count_of([(torch.zeros(2, 1), torch.zeros(2))] * 3), count_of(iter([]))
        (5, 6, None)
    """
    if is_pair(data):
        return int(data[0].shape[0])
    if isinstance(data, list | tuple):
        return sum(samples(batch) for batch in data)
    if isinstance(data, DataLoader):
        again = isinstance(data.sampler, RandomSampler) and data.sampler.replacement
        return None if again else count_of(data.dataset)
    return len(data) if hasattr(data, "__getitem__") and hasattr(data, "__len__") else None


def size_of(problem: Problem, batch_size: Any = None) -> int:
    """Samples in a batch: those asked for, the problem's or the loader's own, 64, or all where there are fewer.

    Raises:
        SettingError: it is no size, or larger than the data.
    """
    count = count_of(problem.data)
    size = problem.batch_size if batch_size is None else batch_size
    if size is None:
        size = getattr(problem.data, "batch_size", None) or DEFAULT_BATCH_SIZE
        size = min(size, count or size)
    if isinstance(size, str) and size == "full" and count is not None:
        return count
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise SettingError(f"batch_size must be a positive int or 'full', got {size!r}.")
    if count is not None and size > count:
        raise SettingError(
            f"batch_size={size} is larger than the data, which has {count} samples. Give at most {count}, or 'full'."
        )
    return int(size)


def in_company(problem: Problem, size: int) -> int:
    """The size, or the nearest that leaves no sample alone in a batch where the model has batch normalisation, which cannot train on one.

    Example:
        >>> import torch
        >>> pair = torch.zeros(65, 3), torch.zeros(65, 1)
        >>> plain, normed = (Problem(model, pair, loss=torch.nn.functional.mse_loss) for model in (torch.nn.Linear(3, 1), torch.nn.BatchNorm1d(3)))
        >>> in_company(plain, 64), in_company(normed, 64), in_company(normed, 1)
        (64, 63, 3)
    """
    count = count_of(problem.data)
    if not lonely(problem.model):
        return size
    nearest = sorted(range(2, 2 * size + 4), key=lambda each: (abs(each - size), each))
    return next((each for each in nearest if count is None or (each <= count and count % each != 1)), size)


def _of_ready(problem: Problem, parts: int, count: int | None) -> Drawn:
    try:
        batches = len(problem.data)
    except (TypeError, NotImplementedError):
        batches = parts
    if batches < 2:
        raise SettingError(
            "The data is a single batch: every step sees all of it, and there is no noise to measure. Give a pair (inputs, targets), a dataset, "
            "or a loader of smaller batches."
        )
    return Drawn(problem, min(parts, batches), count)
