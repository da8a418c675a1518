"""Over which samples is a loss the mean?  problem + a word or a number -> batches."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import IterableDataset

from surefoot.descent.batches import samples, source, validation_source
from surefoot.errors import SettingError
from surefoot.problem import Problem, is_pair


def sample(problem: Problem, data: str | int, seed: int, device: torch.device, dtype: torch.dtype) -> list[Any]:
    """The batches that a loss is measured on, all of them in memory.

    Args:
        problem: whose data is meant.
        data: ``"train"``: all of the training data; ``"validation"``; or a number: that many training samples drawn with ``seed``, all of them where
            there are fewer. Data that brings its own batches gives as many whole ones as it takes.
        seed: which samples.
        device: where they go.
        dtype: what floating-point numbers become.

    Raises:
        SettingError: ``data`` is none of these, or there is no validation data.
    """
    if data == "train":
        return list(validation_source(problem.data, device, dtype).epoch(0, 0))
    if data == "validation":
        if problem.validation is None:
            raise SettingError(
                "data='validation' needs held-out data, and the problem has none. Give Problem(..., validation=...)."
            )
        return list(validation_source(problem.validation, device, dtype).epoch(0, 0))
    if isinstance(data, bool) or not isinstance(data, int) or data < 1:
        raise SettingError(f"data must be 'train', 'validation' or a positive count of training samples, got {data!r}.")
    size = _size(problem.data)
    taken: list[Any] = []
    have = 0
    for batch in source(problem.data, min(data, size) if size else None, seed, device, dtype).epoch(0, 0):
        taken.append(batch)
        have += samples(batch)
        if have >= data:
            break
    return taken


def _size(data: Any) -> int:
    """How many samples there are to draw from; 0 for data that brings its own batches."""
    if is_pair(data):
        return len(data[0])
    return len(data) if hasattr(data, "__getitem__") and not isinstance(data, IterableDataset | list | tuple) else 0
