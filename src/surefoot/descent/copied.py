"""How long are many tensors together, and how far did they move?  weights or gradients -> a copy in one piece, and its norms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)


class Copied:
    """Room for a copy of some tensors: one piece per device and kind of number, and views of it, one per tensor.

    What is measured between two steps runs in cold caches, where a call costs ten times its arithmetic: one norm of the piece is
    quicker than one of each tensor. Half precision is copied to float32, in which no square overflows.

    Args:
        like: the tensors to make room for.
    """

    def __init__(self, like: Sequence[Tensor]) -> None:
        self._kinds, self._of = _kinds(like), list(map(id, like))
        groups: dict[tuple[torch.device, torch.dtype], list[int]] = {}
        for index, tensor in enumerate(like):
            groups.setdefault((tensor.device, torch.float32 if tensor.dtype in HALF else tensor.dtype), []).append(index)
        placed: dict[int, Tensor] = {}
        self.pieces: list[Tensor] = []
        for (device, dtype), members in groups.items():
            sizes = [like[index].numel() for index in members]
            self.pieces.append(torch.empty(sum(sizes), device=device, dtype=dtype))
            for index, part in zip(members, torch.split(self.pieces[-1], sizes), strict=True):
                placed[index] = part.view(like[index].shape)
        self.views = [placed[index] for index in range(len(like))]

    def is_of(self, tensors: Sequence[Tensor]) -> bool:
        """Whether these are the tensors that room was made for: quick, but blind to one whose data were exchanged."""
        return self._of == list(map(id, tensors))

    def fits(self, tensors: Sequence[Tensor]) -> bool:
        """Whether these tensors are as many, as large, of the same kind and on the same device."""
        return _kinds(tensors) == self._kinds

    def take(self, tensors: Sequence[Tensor | None]) -> None:
        """Copies these; zeros for None."""
        there = [tensor for tensor in tensors if tensor is not None]
        if len(there) == len(tensors) and not any(tensor.is_sparse for tensor in there):
            torch._foreach_copy_(self.views, there)
            return
        for view, tensor in zip(self.views, tensors, strict=True):
            if tensor is None:
                view.zero_()
            else:
                view.copy_(tensor.to_dense() if tensor.is_sparse else tensor)

    def subtract(self, tensors: Sequence[Tensor]) -> None:
        """What was copied becomes the difference to these: minus the way they went since."""
        torch._foreach_sub_(self.views, list(tensors))

    def norm(self) -> Any:
        """l2 norm of all together; a number, or where it would take a wait for the device, a tensor there."""
        return norm(self.pieces)

    def norms(self) -> Tensor:
        """l2 norm of each, of shape (tensors,), on the device of the first."""
        norms = torch._foreach_norm(self.views)
        return torch.stack([norm.to(norms[0]) for norm in norms])


def norm(tensors: Sequence[Tensor]) -> Any:
    """l2 norm of all of them together; a number, or where it would take a wait for the device, a tensor there."""
    dense = [tensor.coalesce().values() if tensor.is_sparse else tensor for tensor in tensors]
    coarse = not {tensor.dtype for tensor in dense}.isdisjoint(HALF)
    norms = torch._foreach_norm(dense, 2, dtype=torch.float32) if coarse else torch._foreach_norm(dense)
    if all(one.is_cpu for one in norms):
        return math.sqrt(sum([value * value for value in [one.item() for one in norms]]))
    return torch.linalg.vector_norm(torch.stack([one.to(norms[0].device) for one in norms]))


def _kinds(tensors: Sequence[Tensor]) -> list[Any]:
    return [(tensor.shape, tensor.dtype, tensor.device) for tensor in tensors]
