"""Which optimizer, schedule and clipping was a Keras model compiled with?  its optimizer -> the settings of `descend` and `find_lr`.

The formulas are the same up to these: Keras adds Adam's epsilon before the bias correction, torch after it; Keras adds that of RMSprop and
Adagrad under the square root, torch beside it (its root is taken here); the momentum of SGD and RMSprop remembers the rates of its steps in Keras,
which differs under a schedule; ``global_clipnorm`` divides by the norm, torch by the norm plus 1e-6.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from surefoot.errors import SettingError
from surefoot.integrations.keras_installed import keras

LOOKED_AT = 2000  # steps of a schedule, evenly spread, among which its highest rate is sought


def _sgd(o: Any) -> tuple[Any, dict[str, Any]]:
    return torch.optim.SGD, {"momentum": float(o.momentum), "nesterov": bool(o.nesterov) and float(o.momentum) > 0}


def _adam(o: Any) -> tuple[Any, dict[str, Any]]:
    return torch.optim.Adam, {"betas": _betas(o), "eps": float(o.epsilon), "amsgrad": bool(o.amsgrad)}


def _rmsprop(o: Any) -> tuple[Any, dict[str, Any]]:
    return torch.optim.RMSprop, {
        "alpha": float(o.rho),
        "momentum": float(o.momentum),
        "eps": math.sqrt(o.epsilon),
        "centered": bool(o.centered),
    }


def _adagrad(o: Any) -> tuple[Any, dict[str, Any]]:
    start = float(o.initial_accumulator_value)
    return torch.optim.Adagrad, {"initial_accumulator_value": start, "eps": math.sqrt(start + o.epsilon) - math.sqrt(start)}


def _nadam(o: Any) -> tuple[Any, dict[str, Any]]:
    # Keras' momentum comes as 0.96^step, torch's default as 0.96^(0.004 step)
    return torch.optim.NAdam, {"betas": _betas(o), "eps": float(o.epsilon), "momentum_decay": 1.0}


# What torch has of the same formula; a further one is a row here.
KNOWN: dict[Any, Callable[[Any], tuple[Any, dict[str, Any]]]] = {
    keras.optimizers.SGD: _sgd,
    keras.optimizers.Adam: _adam,
    keras.optimizers.AdamW: _adam,
    keras.optimizers.RMSprop: _rmsprop,
    keras.optimizers.Adagrad: _adagrad,
    keras.optimizers.Adamax: lambda o: (torch.optim.Adamax, {"betas": _betas(o), "eps": float(o.epsilon)}),
    keras.optimizers.Nadam: _nadam,
    keras.optimizers.Adadelta: lambda o: (torch.optim.Adadelta, {"rho": float(o.rho), "eps": float(o.epsilon)}),
}


def moving(model: Any) -> Any:
    """The optimizer that moves the weights: with ``mixed_float16`` Keras wraps it into one that scales the loss, whose own rate is 0."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def optimizer_of(model: Any) -> Any:
    """The torch optimizer of the formula that the model was compiled with, as `descend` takes one.

    Raises:
        SettingError: torch has none of this formula, or it averages the weights.
    """
    theirs = moving(model)
    # on torch the class is one of the backend's, of the same name and derived from it
    known = next((each for each in type(theirs).__mro__ if each in KNOWN), None)
    if known is None or known.__name__ != type(theirs).__name__ or not type(theirs).__module__.startswith("keras"):
        raise SettingError(
            f"The optimizer {type(theirs).__name__} has no counterpart of the same formula in torch. "
            "Pass optimizer= (a torch optimizer class, or a function model -> optimizer)."
        )
    if theirs.use_ema:
        raise SettingError(
            "The optimizer averages the weights (use_ema), which descents do not. Compile without it for the search."
        )
    kind, keywords = KNOWN[known](theirs)
    decay, clips = float(theirs.weight_decay or 0.0), {"clipnorm": theirs.clipnorm, "clipvalue": theirs.clipvalue}
    decayed = [bool(decay and theirs._use_weight_decay(v)) for v in model.trainable_variables]
    if not any(clips.values()):
        if not any(decayed):
            return functools.partial(kind, **keywords)
        if all(decayed) and kind is torch.optim.Adam:
            return functools.partial(torch.optim.AdamW, **keywords, weight_decay=decay)
        if all(decayed) and kind is torch.optim.SGD and not keywords["momentum"]:
            return functools.partial(kind, **keywords, weight_decay=decay)
    return _Hooked(kind, keywords, decay, decayed, clips)


class _Hooked:
    """An optimizer with what Keras does before each update: clipping variable by variable, and the decay of some of them by the rate."""

    def __init__(self, kind: Any, keywords: dict[str, Any], decay: float, decayed: list[bool], clips: dict[str, Any]) -> None:
        self.kind, self.keywords, self.decay, self.decayed, self.clips = kind, keywords, decay, decayed, clips
        told = {**keywords, **{key: value for key, value in clips.items() if value}, **({"decay": decay} if decay else {})}
        self.__qualname__ = f"keras {kind.__name__.lower()}({', '.join(f'{key}={value!r}' for key, value in sorted(told.items()))})"

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        # a class of its own: many descents in one pass would take the stock one for itself, and leave the hook out
        made = type(f"Keras{self.kind.__name__}", (self.kind,), {})(
            [p for p in model.parameters() if p.requires_grad], **self.keywords
        )
        made.register_step_pre_hook(self._before)
        return made  # type: ignore[no-any-return]

    @torch.no_grad()
    def _before(self, optimizer: Any, *_: Any) -> None:
        group = optimizer.param_groups[0]
        for p, decayed in zip(group["params"], self.decayed, strict=True):
            if p.grad is None:
                continue
            if self.clips["clipnorm"]:
                p.grad.mul_(self.clips["clipnorm"] / max(float(p.grad.norm()), self.clips["clipnorm"]))
            if self.clips["clipvalue"]:
                p.grad.clamp_(-self.clips["clipvalue"], self.clips["clipvalue"])
            if decayed:
                p.mul_(1 - float(group["lr"]) * self.decay)


def schedule_of(model: Any, steps: int, every: int = 1) -> Any:
    """The schedule that the model was compiled with: multiples of its highest rate among these steps.

    Args:
        model: compiled.
        steps: updates; another horizon stretches or compresses the schedule.
        every: batches per update, by which Keras counts.

    Raises:
        SettingError: the highest rate is no positive number.
    """
    theirs = moving(model)._learning_rate
    if not callable(theirs) or isinstance(theirs, keras.Variable):
        return "constant"
    begin = int(keras.ops.convert_to_numpy(moving(model).iterations))

    @functools.cache
    def rate(step: int) -> float:
        at = begin + (step + 1) * every - 1
        return float(theirs(at) if isinstance(theirs, keras.optimizers.schedules.LearningRateSchedule) else theirs())

    highest = max(rate(round(index * (steps - 1) / (min(steps, LOOKED_AT) - 1 or 1))) for index in range(min(steps, LOOKED_AT)))
    if not (math.isfinite(highest) and highest > 0):
        raise SettingError(
            f"The highest rate of {type(theirs).__name__} is {highest}, of which a schedule is no multiple. Pass schedule=."
        )
    return lambda step, of_steps: rate(min(steps - 1, step * steps // max(1, of_steps))) / highest


def _betas(optimizer: Any) -> tuple[float, float]:
    return float(optimizer.beta_1), float(optimizer.beta_2)
