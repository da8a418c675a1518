"""What does a copy of a LightningModule find where its trainer was?  module + Plan -> a copy that can be asked for its loss.

The copy knows how long the training will be and nothing of one under way: ``current_epoch`` and ``global_step`` stay 0, and what it logs
is kept for whoever asks for it, or goes nowhere.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from surefoot.descent.settings import DEFAULT_STEPS
from surefoot.descent.snapshot import random_state, set_random_state
from surefoot.errors import ProblemError

BY_HAND = "surefoot.find_lr(Problem(module, data, objective=lambda module, batch: ...), optimizer=...)"
THEIRS = ("lightning.pytorch.core.", "pytorch_lightning.core.")  # where the methods live that a module overrides


def _silent(*_: Any, **__: Any) -> None:
    return None


class NoTrainer(ProblemError, AttributeError):
    """A module asks something of its trainer that nobody knows while rates are tried."""


@dataclass
class Plan:
    """What stands where the trainer would: the length of the training, and that it has not begun."""

    max_epochs: int | None = None
    max_steps: int = -1
    estimated_stepping_batches: int = DEFAULT_STEPS
    num_training_batches: Any = float("inf")
    accumulate_grad_batches: int = 1
    current_epoch: int = 0
    global_step: int = 0
    global_rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    num_devices: int = 1
    num_nodes: int = 1
    is_global_zero: bool = True
    training: bool = True
    sanity_checking: bool = False
    fast_dev_run: bool = False
    logger: Any = None
    loggers: Sequence[Any] = ()
    callbacks: Sequence[Any] = ()
    datamodule: Any = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Plan:
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NoTrainer(
            f"The module asks for self.trainer.{name}, which there is not while rates are tried on copies of it. "
            f"Say what its loss is without a trainer: {BY_HAND}."
        )


class Logged:
    """Stands in for ``self.log``: while nothing is learnt it keeps the values, else it does nothing."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __call__(self, name: str, value: Any, *_: Any, **__: Any) -> None:
        """Keeps one value."""
        if not torch.is_grad_enabled():
            self.values[name] = value

    def many(self, values: Mapping[str, Any], *_: Any, **__: Any) -> None:
        """Keeps several."""
        for name, value in values.items():
            self(name, value)

    def take(self) -> dict[str, Any]:
        """What was kept, to be forgotten here."""
        taken, self.values = self.values, {}
        return taken


class Mute:
    """Stands in for a trainer's logger: whatever is asked of it does nothing, as when Lightning runs a step to try it (``fast_dev_run``)."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Does nothing, whatever was asked for; what comes of it does nothing either."""
        return self

    __getitem__ = __call__
    __setitem__ = __delitem__ = _silent


def overridden(owner: Any, name: str) -> bool:
    """Whether a module or data module has a method of its own of this name."""
    if not callable(getattr(owner, name, None)):
        return False
    if name in vars(owner):
        return True
    home = next((kind for kind in type(owner).__mro__ if name in vars(kind)), None)
    return home is not None and not f"{home.__module__}.".startswith(THEIRS)


@contextmanager
def untouched() -> Iterator[None]:
    """Inside, what is drawn leaves the random state as it was, and torch's warnings about schedulers and loaders are not for here."""
    outside = random_state()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        set_random_state(outside)


def detached(module: Any, plan: Plan) -> Any:
    """A copy of a module with a plan in place of its trainer, which is not copied, and with nothing that logs or prints."""
    attached = [part for part in module.modules() if "_trainer" in vars(part)]
    known: dict[int, Any] = {
        id(vars(part)[name]): None for part in attached for name in ("_trainer", "_fabric") if vars(part).get(name) is not None
    }
    try:
        own = copy.deepcopy(module, known)  # the copies of these are None
    except (RuntimeError, TypeError, ValueError) as error:
        raise ProblemError(
            f"The module cannot be copied ({str(error).splitlines()[0]}); rates are tried on copies, so that yours stays as it is."
        ) from error
    for part in own.modules():
        if "_trainer" in vars(part):
            logged = Logged()
            vars(part).update(log=logged, log_dict=logged.many, print=_silent)
    plan_for(own, plan)
    return own


def plan_for(own: Any, plan: Plan) -> None:
    """Puts the plan where the trainer would be; copies of a LightningModule come without."""
    if own._trainer is not plan:
        for part in own.modules():
            if "_trainer" in vars(part):
                vars(part)["_trainer"] = plan
