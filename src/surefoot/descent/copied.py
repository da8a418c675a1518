"""How long are many tensors together, and how far did they move?  weights or gradients -> a copy in one piece, and its norms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)
FEW = 2**24  # numbers whose squares may be added up in float32
TINY = 1e-24  # a sum of squares below it may have lost some to underflow


class Copied:
    """Room for a copy of some tensors: one piece per device and kind of number, and views of it, one per tensor.

    What is measured between two steps runs in cold caches, where a call costs ten times its arithmetic: eight tensors copied into one
    piece, and one norm of it, take half the time of eight norms. Half precision is copied to float32, in which no square overflows.

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
            for index, part in zip(members, self.pieces[-1].split(sizes), strict=True):
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
        torch._foreach_sub_(self.views, tensors)

    def norm(self) -> Any:
        """l2 norm of all together; a number, or where it would take a wait for the device, a tensor there."""
        norms = [_norm(piece) for piece in self.pieces]
        return norms[0] if len(norms) == 1 else math.hypot(*map(float, norms))

    def norms(self) -> Tensor:
        """l2 norm of each, of shape (tensors,), on the device of the first."""
        norms = torch._foreach_norm(self.views)
        return torch.stack([norm.to(norms[0]) for norm in norms])


def _norm(piece: Tensor) -> Any:
    if not piece.is_cpu:
        return torch.linalg.vector_norm(piece)
    if piece.numel() <= FEW and piece.dtype == torch.float32 and TINY < (square := torch.dot(piece, piece).item()) < math.inf:
        return math.sqrt(square)
    return torch.linalg.vector_norm(piece, dtype=torch.promote_types(piece.dtype, torch.float64)).item()


def _kinds(tensors: Sequence[Tensor]) -> list[Any]:
    return [(tensor.shape, tensor.dtype, tensor.device) for tensor in tensors]
