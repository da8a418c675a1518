"""What is the gradient of the same batch after the step?  losses that can be computed again and the step -> alpha.

The loss is computed by a function that is called twice: before the step for the loop itself, after it once more, from the random state
and in the autocast of the first time, with the buffers put back. A hook on the first loss tells with which factor it went into the
gradient (a division by the batches that are accumulated, the scale of a gradient scaler), so that both gradients are of one function.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.descent.snapshot import World, random_state


@dataclass(frozen=True)
class Evaluation:
    """One loss of a step: how it was computed, and what is needed to compute it again.

    Attributes:
        function: what computes it.
        arguments: of the function.
        device: kind of device, for autocast.
        state: the random state before it.
        autocast: whether autocast was on, and its kind of number.
        factors: with which factor the loss went into the gradient; one per backward pass, none where there was none.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    device: str
    state: Mapping[str, Any]
    autocast: tuple[bool, torch.dtype]
    factors: list[Tensor] = field(default_factory=list)

    @classmethod
    def about(cls, function: Callable[..., Any], arguments: tuple[Any, ...], device: str) -> Evaluation:
        """What is needed, taken before the function is called the first time."""
        cast = (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))
        return cls(function, arguments, device, random_state(), cast)

    def follow(self, loss: Any) -> None:
        """Notes the factor of the loss in every backward pass to come."""
        if isinstance(loss, Tensor) and loss.requires_grad:
            loss.register_hook(lambda factor: self.factors.append(factor.detach().clone()))  # type: ignore[no-untyped-call]

    def gradient(self, weights: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """The gradient of the loss at the weights as they are now, times its factor; None for what it does not depend on."""
        on, dtype = self.autocast
        with World(self.state).entered(), torch.enable_grad(), torch.autocast(self.device, dtype, on, cache_enabled=False):
            loss = self.function(*self.arguments)
            factor = torch.stack(self.factors).sum(0).to(loss)
        return torch.autograd.grad(loss, weights, factor, allow_unused=True)


def alpha(
    evaluations: Sequence[Evaluation], model: nn.Module, weights: Sequence[Tensor], before: float, step: Sequence[Tensor]
) -> float:
    """Where on its own line the step landed: alpha = -(g1.d) / (g0.d).

    Args:
        evaluations: the losses whose gradient g0 is; those that had no backward pass are left out.
        model: whose buffers are put back.
        weights: with respect to which the gradient is taken, as they are after the step.
        before: g0.d, the slope along the step before it.
        step: d, one tensor per weight tensor, or any multiple of it that ``before`` was computed with.

    Returns:
        -1 for no way at all, 0 onto the minimum along the line, 1 as far behind it as the step began before it. NaN where the loss is
        level along the step, and where nothing had a backward pass.

    Source: Schneider, Dangel & Hennig 2021, "Cockpit" (there from a quadratic fitted to losses and slopes).
    """
    after, seen = 0.0, False
    with _buffers_kept(model):
        for evaluation in evaluations:
            if evaluation.factors:
                after, seen = after + slope(evaluation.gradient(weights), step), True
    return -after / before if seen and before else float("nan")


def slope(gradient: Sequence[Tensor | None], step: Sequence[Tensor]) -> float:
    """The sum of products of the two, in float64: near the minimum it is a small difference of large numbers."""
    products = [torch.dot(_long(g), _long(d)) for g, d in zip(gradient, step, strict=True) if g is not None]
    return float(sum(product.cpu() for product in products)) if products else 0.0


def _long(tensor: Tensor) -> Tensor:
    return (tensor.to_dense() if tensor.is_sparse else tensor).detach().reshape(-1).double()


@contextlib.contextmanager
def _buffers_kept(model: nn.Module) -> Iterator[None]:
    """Whatever happens inside, the buffers are afterwards what they were: the same tensors, of the same values."""
    kept = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, buffer, values in kept:
                module._buffers[name] = buffer
                if not torch.equal(buffer, values):  # a copy onto what did not change would spoil a graph that holds it
                    buffer.copy_(values)
