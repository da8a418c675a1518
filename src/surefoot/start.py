"""Where else could a descent begin?  a model + other weights -> a copy of the model that stands there."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from surefoot.errors import ProblemError, SettingError

NAMED = 8  # names in a message, at most


def standing_at(model: nn.Module, moved: Collection[str], weights: Any) -> nn.Module:
    """A copy of the model with other weights.

    Args:
        model: the model, which stays as it is.
        moved: the names of its trainable parameters, in their order.
        weights: their numbers one after the other, or a mapping of names of the state dict to arrays; what it does not name stays.

    Raises:
        SettingError: the weights are not as many, not of these names or shapes, or not finite in the precision of the model.
        ProblemError: the model has no weights yet or cannot be copied.

    Example:
        >>> moved = standing_at(nn.Linear(2, 1), ["weight", "bias"], [1.0, 2.0, 3.0])
        >>> moved(torch.tensor([10.0, 1.0])).item()
        15.0
    """
    moved_model = copy_of(model, "the one at other weights is a copy")
    places = _tensors(moved_model)
    parts = (
        _by_name(weights, places) if isinstance(weights, Mapping) else _in_order(weights, {name: places[name] for name in moved})
    )
    with torch.no_grad():
        for name, values in parts.items():
            _put(name, values, places[name])
    return moved_model


def copy_of(model: nn.Module, why: str) -> nn.Module:
    """A copy of a model, every weight and buffer its own.

    Args:
        model: what is copied.
        why: a copy is needed, for the error.

    Raises:
        ProblemError: the model has no weights yet or cannot be copied.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> copy_of(model, "a test works on a copy").weight is model.weight
        False
    """
    if isinstance(model, nn.parallel.DistributedDataParallel):
        raise ProblemError(
            f"The model is wrapped in DistributedDataParallel, of which one process cannot make a copy; {why}. Give the model inside (model.module)."
        )
    lazy = [name for name, tensor in _tensors(model).items() if is_lazy(tensor)]
    if lazy:
        raise ProblemError(f"{some(lazy)} of the model have no shape yet (lazy modules); call the model on one batch first.")
    try:
        return copy.deepcopy(model)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ProblemError(
            f"The model cannot be copied ({str(error).splitlines()[0]}); {why}, so that yours stays as it is."
        ) from error


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors themselves by every name that the state dict has for them."""
    state = {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if isinstance(tensor, Tensor)}
    return {**state, **dict(model.named_parameters())}


def _by_name(weights: Mapping[Any, Any], places: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parts = {}
    for name, value in weights.items():
        if name not in places:
            spelled = {place.lower(): place for place in places}
            near = difflib.get_close_matches(str(name).lower(), spelled, n=1, cutoff=0.5)
            hint = f" Did you mean {spelled[near[0]]!r}?" if near else ""
            raise SettingError(f"The model has no weights named {name!r}.{hint} It has: {some(list(places))}.")
        parts[name] = _numbers(f"The weights {name!r}", value)
        if parts[name].shape != places[name].shape:
            raise SettingError(
                f"The weights {name!r} have the shape {tuple(places[name].shape)}, got the shape {tuple(parts[name].shape)}."
            )
    return parts


def _in_order(weights: Any, places: Mapping[str, Tensor]) -> dict[str, Tensor]:
    row, count = _numbers("The weights", weights), sum(place.numel() for place in places.values())
    if row.ndim > 1:
        raise SettingError(
            f"The weights must be numbers one after the other, or a mapping of names to arrays; got the shape {tuple(row.shape)}."
        )
    if row.numel() != count:
        told = ", ".join(f"{name} {tuple(place.shape)}" if place.ndim else name for name, place in list(places.items())[:NAMED])
        more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
        raise SettingError(f"The model has {count:,} trainable weights ({told}{more}), got {row.numel():,} numbers.")
    parts = torch.split(row.reshape(-1), [place.numel() for place in places.values()])
    return {name: part.reshape(place.shape) for (name, place), part in zip(places.items(), parts, strict=True)}


def _numbers(what: str, values: Any) -> Tensor:
    """In float64, on the CPU."""
    try:
        if isinstance(values, Tensor):
            return values.detach().to("cpu", torch.float64)
        found = np.array(values)
        if found.dtype.kind in "biuf" or not found.size:
            return torch.from_numpy(found.astype(np.float64))
    except (TypeError, ValueError, RuntimeError):
        pass
    raise SettingError(f"{what} must be numbers, got {values!r:.80}.")


def _put(name: str, values: Tensor, place: Tensor) -> None:
    place.copy_(values)
    lost = ~torch.isfinite(place)
    if bool(lost.any()):
        first = int(lost.reshape(-1).nonzero()[0])
        precision = str(place.dtype).removeprefix("torch.")
        raise SettingError(
            f"The weights must be finite numbers of {precision}, got {values.reshape(-1)[first].item():g} for {_entry(name, first, place)}."
        )


def _entry(name: str, flat: int, place: Tensor) -> str:
    """Its name and index.

    >>> _entry("weight", 3, torch.zeros(2, 2)), _entry("w", 0, torch.tensor(0.0))
    ('weight[1, 1]', 'w')
    """
    return f"{name}{[int(index) for index in np.unravel_index(flat, tuple(place.shape))]}" if place.ndim else name


def some(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
