"""Which way, from the gradient?  name, class, partial or function -> a torch optimizer over the model's trainable weights."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.optim import Optimizer

from surefoot.errors import SettingError, unknown

Maker: TypeAlias = Callable[..., Any]


class RandomGuess(Optimizer):
    """Random guessing of the weights: every weight drawn anew, the guess kept only where the loss on the batch is lower.

    The baseline that gradient descent is raced against. A step costs one forward pass more than the loss it starts from.

    Args:
        params: the weights.
        lr: the standard deviation of the guesses, around zero.
    """

    def __init__(self, params: Any, lr: float = 1.0) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[..., Any]) -> Any:  # type: ignore[override]
        """Guesses once; ``closure(gradient=False)`` must return the loss at the current weights."""
        loss = closure(gradient=False)
        kept = [p.clone() for group in self.param_groups for p in group["params"]]
        for group in self.param_groups:
            for p in group["params"]:
                p.normal_(0.0, float(group["lr"]))
        if not bool(closure(gradient=False) < loss):  # a guess whose loss is NaN is not kept
            for p, value in zip((p for group in self.param_groups for p in group["params"]), kept, strict=True):
                p.copy_(value)
        return loss


def _torch_optimizers() -> dict[str, Maker]:
    found = vars(torch.optim).values()
    return {
        cls.__name__.lower(): cls for cls in found if inspect.isclass(cls) and issubclass(cls, Optimizer) and cls is not Optimizer
    }


# A new name is a row here; every optimizer of torch.optim has its own name already.
OPTIMIZERS: dict[str, Maker] = {
    **_torch_optimizers(),
    "momentum": functools.partial(torch.optim.SGD, momentum=0.9),
    "nesterov": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "random": RandomGuess,
}


def names() -> list[str]:
    """The names that `make` knows."""
    return sorted(OPTIMIZERS)


def make(optimizer: Any, model: nn.Module, lr: float) -> tuple[Optimizer, list[float]]:
    """The optimizer over the model's trainable weights, and the learning rate of each of its groups.

    Args:
        optimizer: a name, an optimizer class, a ``functools.partial`` of one, or a function ``model -> Optimizer``.
        model: the model to be descended.
        lr: the learning rate of the first group; the others keep their ratio to it.

    Raises:
        SettingError: there is no optimizer of this name, or what was made is no optimizer.
    """
    maker = OPTIMIZERS.get(optimizer.lower()) if isinstance(optimizer, str) else optimizer
    if maker is None:
        raise unknown("optimizer", optimizer, names())
    if not callable(maker):
        raise SettingError(f"optimizer must be a name, a class, a partial or a function of the model, got {optimizer!r}.")
    if is_class(maker):
        made = maker([p for p in model.parameters() if p.requires_grad], lr=lr)
        return made, [lr] * len(made.param_groups)
    made = maker(model)
    if not isinstance(made, Optimizer):
        raise SettingError(f"The optimizer function returned a {type(made).__name__}; it must return a torch.optim.Optimizer.")
    return made, _in_ratio([float(group["lr"]) for group in made.param_groups], lr)


def is_class(maker: Any) -> bool:
    """Whether it takes parameters and a learning rate, as optimizer classes and partials of them do."""
    inner = maker.func if isinstance(maker, functools.partial) else maker
    return inspect.isclass(inner) and issubclass(inner, Optimizer)


def needs_closure(optimizer: Optimizer) -> bool:
    """Whether a step evaluates the loss itself (LBFGS, random guessing)."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    # torch wraps `step`; the wrapper keeps the signature
    return closure is not None and closure.default is inspect.Parameter.empty


def described(optimizer: Any) -> str:
    """The optimizer in a word that stays the same from process to process."""
    if isinstance(optimizer, str):
        return optimizer.lower()
    known = [name for name, maker in OPTIMIZERS.items() if maker is optimizer]
    if known:
        return known[0]
    if isinstance(optimizer, functools.partial):
        keywords = ", ".join(f"{key}={value!r}" for key, value in sorted(optimizer.keywords.items()))
        return f"{described(optimizer.func)}({keywords})"
    called = getattr(optimizer, "__qualname__", type(optimizer).__qualname__)
    # a function of the user's may be called as one of ours is, and is none the less another
    return f"{called} (the user's)" if called.lower() in OPTIMIZERS else called


def _in_ratio(rates: list[float], lr: float) -> list[float]:
    if rates[0] == 0:
        raise SettingError("The first parameter group has a learning rate of 0, so the ratios of the groups to it are not defined.")
    return [lr * (rate / rates[0]) for rate in rates]
