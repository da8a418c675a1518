"""What would a Learner's training be as a problem?  Learner -> Problem, and the settings of its training.

The Learner's callbacks do not run while rates are tried. Those of fastai's that change a step without changing the loss are settings here
(``GradientAccumulation``, ``GradientClip``, ``MixedPrecision``); of the others that do, a warning tells.
"""

from __future__ import annotations

import copy
import functools
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.schedule import combined_cos
from fastai.callback.training import GradientAccumulation, GradientClip
from fastai.learner import CastToTensor, Learner
from fastai.optimizer import OptimWrapper
from fastai.torch_core import norm_bias_params
from torch import Tensor, nn

from surefoot.errors import ProblemError, SettingError, SurefootWarning
from surefoot.problem import Problem

TOUCHING = ("before_batch", "after_pred", "after_loss", "before_backward", "after_backward", "before_step")
# the update of fastai's own optimizers, after the weight decay: by the names of the functions that it is made of
ADAM = ("average_grad", "average_sqr_grad", "step_stat", "adam_step")
SGD, MOMENTUM = ("sgd_step",), ("average_grad", "momentum_step")
RMSPROP = ("average_sqr_grad", "rms_prop_step")


def one_cycle(step: int, steps: int) -> float:
    """The schedule of ``fit_one_cycle`` with its defaults, as multiples of ``lr_max``: a quarter of the way up from 1/25, then down to 1e-5.

    The momentum, which fastai moves against the rate, is the optimizer's own all the way.

    Example:
        >>> one_cycle(0, 100), one_cycle(25, 100), round(one_cycle(100, 100), 9)
        (0.04, 1.0, 1e-05)
    """
    return float(combined_cos(0.25, 1 / 25, 1.0, 1e-5)(step / steps))


class Batches:
    """A fastai loader that starts anew each time, in an order drawn from the global random state, its own random state left alone.

    Args:
        loader: a ``fastai.data.load.DataLoader``.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        # a copy in its place also behind the scenes, where fastai's loader shows itself to torch's as another one
        own, front = copy.copy(self.loader), copy.copy(self.loader.fake_l)
        own.rng, own.fake_l = random.Random(random.getrandbits(32)), front
        front.d = front.default = own
        front.dataset = front
        return iter(own)


@dataclass(frozen=True)
class OwnLoss:
    """The objective: the Learner's loss function on what its model makes of a batch.

    Attributes:
        loss_func: the Learner's.
        inputs: parts of a batch that are given to the model; the others are the targets. None for all but the last.
    """

    loss_func: Any
    inputs: int | None = None

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        """The loss on a batch."""
        parts = [batch] if isinstance(batch, Tensor) else list(batch)
        inputs = self.inputs or max(1, len(parts) - 1)
        if len(parts) <= inputs:
            raise ProblemError("A batch holds inputs alone: without a target there is no loss, and the Learner does not train.")
        parts = [part.as_subclass(Tensor) if isinstance(part, Tensor) else part for part in parts]  # as fastai's CastToTensor
        loss: Tensor = self.loss_func(model(*parts[:inputs]), *parts[inputs:])
        return loss


@dataclass(frozen=True)
class OwnOptimizer:
    """The optimizer that a Learner would create, as a torch optimizer: over the groups of its splitter, with its weight decay.

    Attributes:
        opt_func: the Learner's.
        splitter: the Learner's.
        lr: a rate, or a slice that gives each group its own.
        wd: weight decay, or None for the optimizer's own.
        wd_bn_bias: whether biases and normalizations decay as well.
    """

    opt_func: Callable[..., Any]
    splitter: Callable[..., Any]
    lr: Any
    wd: float | None
    wd_bn_bias: bool

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over this model."""
        theirs = self.opt_func(self.splitter(model), lr=self.lr)
        if not self.wd_bn_bias:
            for p in norm_bias_params(model, True):
                theirs.state[p]["do_wd"] = False
        if self.wd is not None:
            theirs.set_hypers(wd=self.wd)
        return theirs.opt if isinstance(theirs, OptimWrapper) else as_torch(theirs)


def as_torch(theirs: Any) -> torch.optim.Optimizer:
    """A torch optimizer that makes the steps of one of fastai's own.

    The stock one of the same formula where there is one (to rounding), of which many descents can be walked in one pass; else fastai's
    own within a torch optimizer.

    Args:
        theirs: a ``fastai.optimizer.Optimizer`` without a step behind it.
    """
    called = [
        getattr(step.func if isinstance(step, functools.partial) else step, "__name__", "") for step in getattr(theirs, "cbs", ())
    ]
    decay, formula = called[:1], tuple(called[1:])
    apart = decay == ["weight_decay"]  # the weights themselves shrink, not the gradient that is averaged
    groups = list(_groups(theirs))
    idle = not any(group["weight_decay"] for group in groups)
    if type(theirs).__name__ == "Optimizer" and decay in (["weight_decay"], ["l2_reg"]):
        if formula == ADAM:
            return (torch.optim.AdamW if apart else torch.optim.Adam)(_with(groups, betas=("mom", "sqr_mom"), eps="eps"))
        if formula in (SGD, MOMENTUM) and (idle or not apart):
            return torch.optim.SGD(_with(groups, **({"momentum": "mom"} if formula == MOMENTUM else {})), lr=1.0)
        if formula == RMSPROP and (idle or not apart):
            return torch.optim.RMSprop(_with(groups, alpha="sqr_mom", eps="eps"))
    return Borrowed(theirs)


class Borrowed(torch.optim.Optimizer):
    """A torch optimizer whose steps are those of one of fastai's.

    Args:
        theirs: any optimizer of fastai's own.
    """

    def __init__(self, theirs: Any) -> None:
        self.theirs = theirs
        super().__init__([{"params": list(of), **hyper} for of, hyper in zip(theirs.param_lists, theirs.hypers, strict=True)], {})
        for p, remembered in theirs.state.items():
            self.state[p].update(remembered)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step."""
        inner = getattr(self.theirs, "opt", self.theirs)  # of a Lookahead, what it looks ahead of
        inner.state = self.state
        for group, hyper in zip(self.param_groups, self.theirs.hypers, strict=True):
            hyper["lr"] = group["lr"]
        self.theirs.step()


def problem_of(learner: Learner) -> Problem:
    """A Learner's training as a problem: its model as it stands, its loss function, ``dls.train`` and ``dls.valid``.

    Raises:
        ProblemError: it is no Learner, or has no training data.
    """
    if not isinstance(learner, Learner):
        raise ProblemError(f"The argument must be a fastai Learner, got a {type(learner).__name__}.")
    loaders = [learner.dls[index] if index < len(learner.dls.loaders) else None for index in range(2)]
    train, held_out = (Batches(dl) if hasattr(dl, "fake_l") else dl for dl in loaders)
    if train is None or _count(train) == 0:
        raise ProblemError("The Learner has no training batch: dls.train is empty, or smaller than a batch with drop_last.")
    objective = OwnLoss(learner.loss_func, getattr(learner.dls, "n_inp", None))
    return Problem(
        learner.model,
        train,
        objective=objective,
        validation=None if held_out is None or _count(held_out) == 0 else held_out,
        name=type(learner.model).__name__,
    )


def settings_of(learner: Learner, epochs: int | None = None, **given: Any) -> dict[str, Any]:
    """The settings of its training, as `find_lr` and `descend` take them; what is given is not asked of the Learner.

    Args:
        learner: the Learner.
        epochs: as for its ``fit``; None to leave the number of steps to whom the settings go.
        given: settings of your own.

    Raises:
        SettingError: ``epochs`` is no number of epochs, gradients are accumulated over parts of batches or clipped by another norm, or the
            optimizer is one already built.
    """
    if epochs is not None and (isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1):
        raise SettingError(
            f"epochs must be a positive int, as for fit, or None, got {epochs!r}. For a part of an epoch pass steps=."
        )
    settings: dict[str, Any] = {"device": str(getattr(learner.dls, "device", None) or "auto")}
    if "optimizer" not in given:
        settings["optimizer"] = _optimizer(learner)
    settings |= _of_callbacks(learner, settings["device"], given)
    if epochs is not None and "steps" not in given:
        batches = _count(learner.dls.train)
        if batches is None:
            raise SettingError(f"The training data has no length, so that {epochs} epochs are no number of steps. Pass steps=.")
        settings["steps"] = max(1, epochs * batches // int(given.get("accumulate") or settings.get("accumulate") or 1))
    return {**settings, **given}


def _optimizer(learner: Any) -> OwnOptimizer:
    made = learner.opt_func
    if isinstance(made, OptimWrapper):
        raise SettingError(
            "The Learner's opt_func is an optimizer already built over its own weights, and rates are tried on copies. "
            "Pass optimizer=, or make the Learner with opt_func=partial(OptimWrapper, opt=torch.optim.AdamW)."
        )
    lr = made.keywords.get("lr", learner.lr) if isinstance(made, functools.partial) else learner.lr
    return OwnOptimizer(made, learner.splitter, lr, learner.wd, learner.wd_bn_bias)


def _of_callbacks(learner: Any, device: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What callbacks make of a step."""
    settings: dict[str, Any] = {}
    for callback in learner.cbs:
        if isinstance(callback, GradientAccumulation):
            settings |= {} if "accumulate" in given else {"accumulate": _accumulated(callback.n_acc, learner.dls.train)}
        elif isinstance(callback, GradientClip):
            if callback.norm_type != 2 and "clip_norm" not in given:
                raise SettingError(
                    f"GradientClip clips the norm of order {callback.norm_type:g}; rates are tried with 2. Pass clip_norm=."
                )
            settings["clip_norm"] = float(callback.max_norm)
        elif isinstance(callback, MixedPrecision):
            settings |= {"autocast": callback.amp_mode.value} if device.startswith("cuda") else {}  # which does nothing elsewhere
    _warn_of([callback for callback in learner.cbs if _touches(callback)])
    return settings


def _accumulated(samples: int, loader: Any) -> int:
    """Batches per step."""
    size = getattr(loader, "bs", None) or getattr(loader, "batch_size", None)
    if not size or samples % size:
        raise SettingError(
            f"GradientAccumulation({samples}) is no whole number of batches of {size}, which makes steps of unequal weight. Pass accumulate=."
        )
    return max(1, samples // int(size))


def _touches(callback: Any) -> bool:
    """Whether a callback may change what a step is, and is none of those that are known."""
    known = (GradientAccumulation, GradientClip, MixedPrecision, CastToTensor)
    if isinstance(callback, known) or type(callback).__module__.startswith("surefoot."):
        return False
    return any(callable(getattr(type(callback), name, None)) or name in vars(callback) for name in TOUCHING)


def _warn_of(callbacks: list[Any]) -> None:
    if callbacks:
        names = ", ".join(type(callback).__name__ for callback in callbacks)
        warnings.warn(
            f"Not part of the search, and may change what is descended: {names}. If so, give Problem an objective of your own.",
            SurefootWarning,
            stacklevel=4,
        )


def _count(loader: Any) -> int | None:
    try:
        return len(loader)
    except TypeError:
        return None


def _groups(theirs: Any) -> Iterator[dict[str, Any]]:
    """Fastai's groups as torch's, those weights apart that do not decay."""
    for held, hyper in zip(theirs.param_lists, theirs.hypers, strict=True):
        decay = float(hyper.get("wd", 0.0))
        spared = [p for p in held if decay and not theirs.state[p].get("do_wd", True)]
        others = {id(p) for p in spared}
        for parameters, wd in (([p for p in held if id(p) not in others], decay), (spared, 0.0)):
            if parameters:
                yield {"params": parameters, "lr": hyper["lr"], "weight_decay": wd, "hyper": hyper}


def _with(groups: list[dict[str, Any]], **names: Any) -> list[dict[str, Any]]:
    """The groups with further settings, by fastai's names of them."""
    made = []
    for group in groups:
        hyper = group["hyper"]
        told = {name: tuple(hyper[k] for k in key) if isinstance(key, tuple) else hyper[key] for name, key in names.items()}
        made.append({**{name: value for name, value in group.items() if name != "hyper"}, **told})
    return made
