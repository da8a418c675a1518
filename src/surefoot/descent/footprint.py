"""How much memory does a descent take?  a walk -> bytes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from surefoot.descent.walk import Walk, stream


def memory_of_one(walk: Walk) -> int:
    """Bytes that one copy takes in a batched pass: weights, gradients, the weights before the step, the optimizer's, and activations.

    Args:
        walk: has made at least one step, so that its optimizer remembers what it will remember.
    """
    weights = sum(_bytes(p) for p in walk.parameters)
    remembered = sum(_bytes(leaf) for leaf in pytree.tree_leaves(walk.optimizer.state_dict()["state"]) if isinstance(leaf, Tensor))
    # on the way back every activation has a gradient beside it
    return 3 * weights + remembered + 2 * _activations(walk)


def _activations(walk: Walk) -> int:
    """Bytes that one forward pass keeps for the way back."""
    kept: dict[int, int] = {}

    def seen(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {p.untyped_storage().data_ptr() for p in walk.model.parameters()}
    feed, world = stream(walk.problem, walk.settings, None, walk.device, walk.dtype)
    with world.entered(), torch.autograd.graph.saved_tensors_hooks(seen, lambda tensor: tensor):
        walk.problem.loss_on(walk.model, feed.take(1)[0])
    return sum(size for place, size in kept.items() if place not in own)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
