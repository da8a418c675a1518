"""The same problem in batches of another size.  Problem + batch size -> Problem, and how many samples there are to choose from."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any, cast

from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, Subset, default_collate

from surefoot.errors import SettingError
from surefoot.problem import Problem, is_pair

WAY_OUT = "Give a pair (inputs, targets), a Dataset or a DataLoader, whose batches can be made of any size."


def samples_of(problem: Problem) -> int | None:
    """How many samples there are to make batches of; None where only a walk can tell.

    Raises:
        SettingError: there are no batches to choose the size of.
    """
    data = problem.data
    if isinstance(data, list | tuple) and not is_pair(data) and all(isinstance(part, tuple) and not part for part in data):
        raise SettingError(
            f"{problem.called} is a function of its weights without data, so there is no batch size to choose: every step is a full one."
        )
    if isinstance(data, DataLoader):
        _check_loader(data)
        if isinstance(data.dataset, IterableDataset):
            return None
        return _count(data.sampler) or _count(data.dataset)
    if isinstance(data, IterableDataset):
        return None
    if is_pair(data):
        return len(data[0])
    if isinstance(data, list | tuple) or not hasattr(data, "__getitem__"):
        raise SettingError(f"The data is a {type(data).__name__} of ready batches, whose size cannot be changed. {WAY_OUT}")
    return len(data)


def sized(problem: Problem, batch_size: int) -> Problem:
    """The same problem in batches of another size; a ``DataLoader`` is made anew, with all else as it was.

    Args:
        problem: with any data but ready batches.
        batch_size: samples per batch.

    Raises:
        SettingError: the batches are the data's own.

    Example:
        >>> import torch
        >>> loader = DataLoader(torch.utils.data.TensorDataset(torch.zeros(12, 1)), batch_size=2, shuffle=True)
        >>> larger = sized(Problem(nn.Linear(1, 1), loader, objective=lambda model, batch: model(batch[0]).sum()), 6)
        >>> len(larger.data), larger.data.dataset is loader.dataset, type(larger.data.sampler).__name__
        (2, True, 'RandomSampler')
    """
    samples_of(problem)
    if not isinstance(problem.data, DataLoader):
        return problem.with_(batch_size=batch_size)
    return problem.with_(data=_loader(problem.data, batch_size))


def rest_of(problem: Problem, batch_size: int) -> Problem | None:
    """The same problem with only as many samples as are left for the last batch of an epoch; None where there is no such batch.

    Example:
        >>> import torch
        >>> line = Problem(nn.Linear(1, 1), (torch.zeros(10, 1), torch.zeros(10, 1)), loss=nn.functional.mse_loss)
        >>> rest_of(line, 4).batch_size, rest_of(line, 5)
        (2, None)
    """
    data, left = problem.data, (samples_of(problem) or 0) % batch_size
    if not left or (isinstance(data, DataLoader) and data.drop_last):
        return None
    if is_pair(data):
        return problem.with_(data=tuple(part[:left] for part in data), batch_size=left)
    if not isinstance(data, DataLoader):
        return problem.with_(data=Subset(data, range(left)), batch_size=left)
    return problem.with_(data=_loader(data, left, Subset(data.dataset, range(min(left, len(cast(Sized, data.dataset)))))))


def lonely(model: nn.Module) -> bool:
    """Whether a batch of one sample cannot be trained on: batch normalisation needs a second one to compare with."""
    kinds = (nn.modules.batchnorm._BatchNorm,)
    return any(isinstance(module, kinds) for module in model.modules())


def _check_loader(loader: DataLoader[Any]) -> None:
    if loader.batch_size is None or type(loader) is not DataLoader or type(loader.batch_sampler) not in (BatchSampler, type(None)):
        kind = type(loader.batch_sampler).__name__ if type(loader) is DataLoader else type(loader).__name__
        raise SettingError(
            f"This DataLoader makes its batches in a way of its own ({kind}), so their size cannot be changed from outside. "
            "Give Problem(..., data=loader.dataset), or a DataLoader made with batch_size=."
        )


def _loader(loader: DataLoader[Any], batch_size: int, dataset: Dataset[Any] | None = None) -> DataLoader[Any]:
    """The loader anew, or one of another dataset in its own order."""
    own: dict[str, Any] = {} if dataset is not None or isinstance(loader.dataset, IterableDataset) else {"sampler": loader.sampler}
    if loader.num_workers:
        own |= {"prefetch_factor": loader.prefetch_factor, "persistent_workers": loader.persistent_workers,
                "multiprocessing_context": loader.multiprocessing_context}  # fmt: skip
    return DataLoader(
        loader.dataset if dataset is None else dataset, batch_size, num_workers=loader.num_workers, collate_fn=loader.collate_fn or default_collate,
        pin_memory=loader.pin_memory, drop_last=loader.drop_last, timeout=loader.timeout, worker_init_fn=loader.worker_init_fn,
        generator=loader.generator, **own,
    )  # fmt: skip


def _count(owner: Sequence[Any] | Any) -> int | None:
    try:
        return len(owner)
    except (TypeError, NotImplementedError):
        return None
