"""What would a LightningModule's training be as a problem?  module + loaders + trainer -> Problem, and the settings of its training.

Everything is read from copies: of the module without its trainer (`surefoot.integrations.lightning_copy`), of the data module before it is
set up.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau
from torch.utils.data import DataLoader

from surefoot.errors import ProblemError, SettingError
from surefoot.integrations.lightning_copy import BY_HAND, Mute, Plan, detached, overridden, plan_for, untouched
from surefoot.integrations.played import played
from surefoot.problem import Problem, is_pair

MOVES = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
BATCH_INDEX = 1  # not 0: what modules do with the first batch alone (drawing its images, as a rule) is not for every step
AUTOCAST = {"16-mixed": "fp16", "bf16-mixed": "bf16"}
TRUE = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}


@dataclass(frozen=True)
class OwnStep:
    """The objective: ``training_step``, and while nothing is learnt ``validation_step``, where that has a loss.

    Attributes:
        plan: what the module finds where its trainer would be.
        moves: who brings the hooks that a batch passes through, by their names, in their order.
    """

    plan: Plan
    moves: tuple[tuple[str, Any], ...] = ()

    def __call__(self, model: Any, batch: Any) -> Tensor:
        """The loss of the module on a batch."""
        plan_for(model, self.plan)
        for name, owner in self.moves:
            hook = getattr(model if owner is None else owner, name)
            batch = hook(batch, model.device, 0) if name == "transfer_batch_to_device" else hook(batch, 0)
        if not model.training and not torch.is_grad_enabled() and overridden(model, "validation_step"):
            model.log.take()
            loss = _held_out(_called(model.validation_step, batch), model.log.take())
            if loss is not None:
                return loss
        return _training(_called(model.training_step, batch))


def problem_of(module: Any, data: Any = None, val_dataloader: Any = None, trainer: Any = None, **given: Any) -> Problem:
    """A LightningModule's training as a problem: the arguments are those of `surefoot.integrations.lightning.find_lr`."""
    unasked = dict.fromkeys(("optimizer", "schedule", "clip_norm"))  # no part of a problem
    return problem_and_settings(module, data, val_dataloader, trainer, {**unasked, **given})[0]


def settings_of(module: Any, data: Any = None, val_dataloader: Any = None, trainer: Any = None, **given: Any) -> dict[str, Any]:
    """The settings of its training, as `find_lr` and `descend` take them; what is given is not asked of module and trainer."""
    return {**problem_and_settings(module, data, val_dataloader, trainer, given)[1], **given}


def problem_and_settings(
    module: Any, data: Any, validation: Any, trainer: Any, given: Mapping[str, Any]
) -> tuple[Problem, dict[str, Any]]:
    """Both at once, so that data are set up once.

    Args:
        module: the LightningModule.
        data: a data module, a loader, or None.
        validation: held-out data, or None.
        trainer: the Trainer, or None.
        given: settings that module and trainer are not asked for.
    """
    module = getattr(module, "_orig_mod", module)  # compiled
    _check(module)
    with untouched():
        plan = _plan(trainer, given)
        own = detached(module, plan)
        loader, held_out, owner = _loaders(own, data, validation, plan, attached=module._trainer is not None)
        per_epoch = _batches(loader, trainer)
        settings = _of_trainer(own, trainer, given)
        _measure(plan, trainer, per_epoch, given)
        if "steps" not in given and (trainer is not None and (trainer.max_steps or -1) + (trainer.max_epochs or -1) > -2):
            settings["steps"] = plan.estimated_stepping_batches
        settings |= _of_module(own, plan, given)
    moves = tuple((name, who) for name in MOVES for who in [_mover(name, owner, own)] if who is not ...)
    return Problem(own, loader, objective=OwnStep(plan, moves), validation=held_out, name=type(module).__name__), settings


@dataclass(frozen=True)
class Configured:
    """The optimizer that a module configures for itself, its groups at their base rates.

    Attributes:
        plan: what the module finds where its trainer would be.
    """

    plan: Plan

    def __call__(self, model: Any) -> Optimizer:
        """The optimizer of this module."""
        plan_for(model, self.plan)
        optimizer = _one(_parts(model.configure_optimizers())[0])
        vars(optimizer).pop("step", None)  # a scheduler counts steps there, and this one's is gone
        for group in optimizer.param_groups:
            group["lr"] = group.pop("initial_lr", group["lr"])
        return optimizer


# ---- the module


def _check(module: Any) -> None:
    if isinstance(module, type):
        raise ProblemError(
            f"The first argument must be a LightningModule, got the class {module.__name__}. Pass {module.__name__}(...)."
        )
    if not callable(getattr(module, "training_step", None)) or not hasattr(module, "automatic_optimization"):
        raise ProblemError(
            f"The first argument must be a LightningModule, got a {type(module).__name__}. For a torch model: surefoot.find_lr."
        )
    if not overridden(module, "training_step"):
        raise ProblemError(f"{type(module).__name__} has no training_step, so there is no loss to descend.")
    if not module.automatic_optimization:
        raise SettingError(
            f"{type(module).__name__} optimizes by hand (automatic_optimization=False), so its training_step cannot be one step of a "
            f"descent. Say what one optimizer's loss is: {BY_HAND}."
        )


def _of_module(own: Any, plan: Plan, given: Mapping[str, Any]) -> dict[str, Any]:
    """Optimizer and schedule, where they are not given."""
    if "clip_norm" not in given and overridden(own, "configure_gradient_clipping"):
        raise SettingError(
            "The module clips gradients in its own way (configure_gradient_clipping). Pass clip_norm=, or clip_norm=None for none."
        )
    if "schedule" not in given and overridden(own, "optimizer_step"):
        raise SettingError(
            "The module has an optimizer_step of its own, which a search cannot follow; where it warms the learning rate up, "
            "pass schedule='warmup-constant', else schedule='constant'."
        )
    if "optimizer" in given:
        return {}
    if not overridden(own, "configure_optimizers"):
        raise SettingError("The module has no configure_optimizers. Pass optimizer=: a name, a class, or a function of the module.")
    optimizers, schedulers = _parts(own.configure_optimizers())
    _one(optimizers)
    schedule = _schedule(schedulers, plan, given)
    return {"optimizer": Configured(plan), **({} if schedule is None else {"schedule": schedule})}


def _parts(made: Any) -> tuple[list[Any], list[Any]]:
    """Optimizers and schedulers of whatever ``configure_optimizers`` returned."""
    if isinstance(made, Mapping):
        return [made.get("optimizer")], [made["lr_scheduler"]] if made.get("lr_scheduler") is not None else []
    if not isinstance(made, list | tuple):
        return [made], []
    if len(made) == 2 and isinstance(made[0], list | tuple):
        optimizers, schedulers = made
        return list(optimizers), list(schedulers) if isinstance(schedulers, list | tuple) else [schedulers]
    parts = [_parts(part) for part in made]
    return [optimizer for part in parts for optimizer in part[0]], [scheduler for part in parts for scheduler in part[1]]


def _one(optimizers: list[Any]) -> Optimizer:
    found = [getattr(optimizer, "_optimizer", optimizer) for optimizer in optimizers if optimizer is not None]
    if len(found) != 1 or not isinstance(found[0], Optimizer):
        what = f"{len(found)} optimizers" if len(found) != 1 else f"a {type(found[0]).__name__}"
        raise SettingError(
            f"configure_optimizers returned {what}, where one torch.optim.Optimizer is needed. "
            "Pass optimizer=: a name, a class, or a function of the module that returns the one to find a rate for."
        )
    return found[0]


def _schedule(schedulers: list[Any], plan: Plan, given: Mapping[str, Any]) -> Any:
    """The schedule of the one scheduler, or None."""
    if "schedule" in given or not schedulers:
        return None
    if len(schedulers) > 1:
        raise SettingError(f"configure_optimizers returned {len(schedulers)} schedulers for one optimizer. Pass schedule=.")
    told = dict(schedulers[0]) if isinstance(schedulers[0], Mapping) else {"scheduler": schedulers[0]}
    scheduler, every = told["scheduler"], int(told.get("frequency", 1))
    if isinstance(scheduler, ReduceLROnPlateau):
        return "plateau"
    if told.get("interval", "epoch") == "epoch":
        if plan.num_training_batches == float("inf"):
            raise SettingError(
                "A scheduler goes by epochs, but the training data has no length. Pass schedule=, or interval='step'."
            )
        every *= -(-plan.num_training_batches // plan.accumulate_grad_batches)
    course = played(scheduler, plan.estimated_stepping_batches, every)
    return (
        Peaked(course, scheduler.optimizer.param_groups[0]["max_lr"] / _base(scheduler))
        if isinstance(scheduler, OneCycleLR)
        else course
    )


@dataclass(frozen=True)
class Peaked:
    """A schedule as multiples of its highest rate, which is how ``OneCycleLR`` is asked for, not of its first."""

    course: Callable[[int, int], float]
    peak: float

    def __call__(self, step: int, steps: int) -> float:
        """The multiplier at this step."""
        return self.course(step, steps) / self.peak


def _base(scheduler: Any) -> float:
    return float(scheduler.optimizer.param_groups[0]["initial_lr"])


# ---- the trainer


def _plan(trainer: Any, given: Mapping[str, Any]) -> Plan:
    accumulate = given.get("accumulate") or (1 if trainer is None else trainer.accumulate_grad_batches)
    plan = Plan(accumulate_grad_batches=accumulate)
    if trainer is not None:
        plan.max_epochs, plan.max_steps = trainer.max_epochs, trainer.max_steps
    if trainer is None or trainer.loggers:  # a Trainer has one unless it is told otherwise, and modules draw with it
        plan.logger = Mute()
        plan.loggers = (plan.logger,)
    return plan


def _measure(plan: Plan, trainer: Any, batches: int | None, given: Mapping[str, Any]) -> None:
    """How long the training is, into the plan."""
    plan.num_training_batches = float("inf") if batches is None else batches
    if given.get("steps") is not None:
        plan.estimated_stepping_batches = given["steps"]
        return
    horizons = [plan.max_steps] if plan.max_steps > 0 else []
    if (plan.max_epochs or -1) > 0:
        if batches is not None:
            assert plan.max_epochs is not None
            horizons.append(plan.max_epochs * -(-batches // plan.accumulate_grad_batches))
        elif not horizons:
            raise SettingError("The training data has no length, so that max_epochs is no number of steps. Pass steps=.")
    if horizons:
        plan.estimated_stepping_batches = min(horizons)


def _of_trainer(own: Any, trainer: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Accumulation, clipping, precision and device; weights of another precision are made so here."""
    if trainer is None:
        return {}
    settings: dict[str, Any] = {"device": str(trainer.strategy.root_device)}
    if trainer.accumulate_grad_batches > 1:
        settings["accumulate"] = trainer.accumulate_grad_batches
    if trainer.gradient_clip_val and "clip_norm" not in given:
        if str(getattr(trainer.gradient_clip_algorithm, "value", trainer.gradient_clip_algorithm)) == "value":
            raise SettingError(
                "The trainer clips gradients by value, which a search does not. Pass clip_norm=, a norm to clip to, or None for none."
            )
        settings["clip_norm"] = float(trainer.gradient_clip_val)
    precision = str(trainer.precision)
    if precision in AUTOCAST:
        settings["autocast"] = AUTOCAST[precision]
    elif precision in TRUE:
        own.to(TRUE[precision])
    elif precision not in ("32-true", "32") and "autocast" not in given:
        raise SettingError(
            f"The trainer's precision {precision!r} is not one that rates are tried in. Pass autocast='bf16' or None."
        )
    return settings


def _batches(loader: Any, trainer: Any) -> int | None:
    """Batches of an epoch, where they can be counted."""
    try:
        count = len(loader)
    except (TypeError, NotImplementedError):
        count = None
    limit = None if trainer is None else trainer.limit_train_batches
    if limit is None or (isinstance(limit, float) and count is None):
        return count
    if isinstance(limit, float):
        return int(limit * (count or 0))
    return int(limit) if count is None else min(int(limit), count)


# ---- the data


def _loaders(own: Any, data: Any, validation: Any, plan: Plan, attached: bool) -> tuple[Any, Any, Any]:
    """Training and held-out batches, and the data module, if there is one."""
    owner = None
    if not attached:  # Lightning calls these when it attaches a trainer
        _set_up(own)
    if data is not None and callable(getattr(data, "train_dataloader", None)):
        owner = copy.copy(data)
        in_use, owner.trainer, plan.datamodule = owner.trainer is not None, plan, owner
        if not in_use:
            _set_up(owner)
    source = owner if owner is not None else own
    if owner is not None or data is None:
        if not overridden(source, "train_dataloader"):
            raise ProblemError(
                "There are no training data: pass a loader or a LightningDataModule, or give the module a train_dataloader."
            )
        data = source.train_dataloader()
    if validation is None and overridden(source, "val_dataloader"):
        validation = source.val_dataloader()
    return _single(data, "training"), None if validation is None else _single(validation, "validation"), owner


def _set_up(owner: Any) -> None:
    if overridden(owner, "prepare_data"):
        owner.prepare_data()
    if overridden(owner, "setup"):
        owner.setup("fit")
    if overridden(owner, "configure_model"):
        owner.configure_model()


def _single(loader: Any, role: str) -> Any:
    """One loader of what Lightning takes as one or several."""
    several = (
        list(loader) if isinstance(loader, list | tuple) and any(isinstance(part, DataLoader) for part in loader) else [loader]
    )
    if len(several) > 1 or isinstance(loader, Mapping) or hasattr(loader, "iterables"):
        raise ProblemError(f"There are several {role} loaders, and rates are compared on one. Pass that one.")
    if loader is None or is_pair(loader) or (hasattr(loader, "__getitem__") and not isinstance(loader, list | tuple)):
        raise ProblemError(
            f"The {role} data must be a loader, as Lightning takes it, got a {type(loader).__name__}: DataLoader(data, batch_size=...)."
        )
    return several[0]


def _mover(name: str, owner: Any, own: Any) -> Any:
    """Whose hook a batch passes through: the data module, None for the model, ``...`` for neither."""
    if owner is not None and overridden(owner, name):
        return owner
    return None if overridden(own, name) else ...


# ---- a step


def _called(method: Any, batch: Any) -> Any:
    return (
        method(batch, BATCH_INDEX)
        if _takes_index(getattr(method, "__func__", method), hasattr(method, "__self__"))
        else method(batch)
    )


@functools.lru_cache(maxsize=64)
def _takes_index(function: Any, bound: bool) -> bool:
    """Whether a step takes the index of the batch beside the batch, as most do."""
    arguments = inspect.signature(function).parameters
    if "dataloader_iter" in arguments:
        raise ProblemError(
            f"{function.__name__} takes the loader itself (dataloader_iter), of which no step can be repeated. "
            f"Say what the loss on a batch is: {BY_HAND}."
        )
    return len(arguments) - bound > 1 or any(a.kind is a.VAR_POSITIONAL for a in arguments.values())


def _training(made: Any) -> Tensor:
    loss = made.get("loss") if isinstance(made, Mapping) else made
    if not isinstance(loss, Tensor):
        raise ProblemError(
            f"training_step returned {'a mapping without a loss' if isinstance(made, Mapping) else type(made).__name__}, where a tensor "
            "or {'loss': tensor} is needed: a batch that is left out cannot be compared at different rates."
        )
    return loss


def _held_out(made: Any, logged: Mapping[str, Any]) -> Tensor | None:
    """The loss that ``validation_step`` returned, or logged under a name that says so; None where there is neither or one cannot tell."""
    loss = made.get("loss", made.get("val_loss")) if isinstance(made, Mapping) else made
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return loss
    named = [value for name, value in logged.items() if "loss" in name.lower()]
    best = logged.get("val_loss", named[0] if len(named) == 1 else None)
    return best if isinstance(best, Tensor) and best.numel() == 1 else None
