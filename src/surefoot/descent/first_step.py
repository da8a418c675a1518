"""What can be wrong before anything was learnt?  the first loss, the model and the batch -> an error that says where to look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.errors import ProblemError
from surefoot.start import some


def check_loss(loss: Any) -> None:
    """Raises where the loss is no scalar tensor with a gradient."""
    if not isinstance(loss, Tensor):
        raise ProblemError(f"The loss must be a scalar tensor, got a {type(loss).__name__}.")
    if loss.numel() != 1:
        raise ProblemError(
            f"The loss must be a scalar, got a tensor of shape {tuple(loss.shape)}. Average it with .mean(), or use reduction='mean'."
        )
    if not loss.requires_grad and torch.is_grad_enabled():
        raise ProblemError(
            "The loss does not depend on any trainable parameter: it has no gradient. Is it computed outside of torch, or detached?"
        )


def nonfinite(model: nn.Module, taken: Sequence[Any]) -> str:
    """Where the numbers are broken already."""
    weights = [name for name, p in model.named_parameters() if not bool(torch.isfinite(p).all())]
    if weights:
        return f"Not finite in the model: {some(weights)}."
    counts = {
        name: int((~torch.isfinite(t)).sum()) for batch in taken for name, t in _named_tensors(batch) if t.is_floating_point()
    }
    broken = [f"{count} value{'s' * (count > 1)} of {name}" for name, count in counts.items() if count]
    if broken:
        return f"Not finite in this batch: {some(broken)}. Clean the data first."
    return "Weights and batch are finite, so it is the forward pass or the loss: a division by zero, a log of zero, an overflow?"


def _named_tensors(batch: Any) -> list[tuple[str, Tensor]]:
    if isinstance(batch, dict):
        return [(str(key), value) for key, value in batch.items() if isinstance(value, Tensor)]
    parts = batch if isinstance(batch, list | tuple) else [batch]
    names = ["the inputs", "the targets"] if len(parts) == 2 else [f"part {index}" for index in range(len(parts))]
    return [(name, part) for name, part in zip(names, parts, strict=True) if isinstance(part, Tensor)]
