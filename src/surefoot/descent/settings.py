"""Everything that can be chosen about a descent, checked.  keywords -> Settings."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from surefoot.descent.optimizer import described
from surefoot.descent.schedule import OnPlateau, Schedule, named
from surefoot.descent.snapshot import fresh_seed
from surefoot.errors import SettingError
from surefoot.problem import Problem

DEFAULT_STEPS = 1000
VALIDATIONS = 20  # measurements of the validation loss in a run, where nothing else is asked for
# What makes two descents the same walk: an unfinished run goes on to its end only under all of these.
SAME_WALK = ("lr", "optimizer", "schedule", "batch_size", "seed", "clip_norm", "accumulate", "autocast", "dtype")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `descend` was asked for, checked as far as that is possible without the data."""

    lr: float
    optimizer: Any = "sgd"
    steps: int | None = None
    epochs: float | None = None
    schedule: Any = "constant"
    batch_size: int | str | None = None
    seed: int | None = 0
    clip_norm: float | None = None
    accumulate: int = 1
    autocast: str | None = None
    validate_every: int | None = None
    device: Any = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.lr, bool) or not isinstance(self.lr, numbers.Real) or not math.isfinite(self.lr) or float(self.lr) <= 0:
            raise SettingError(f"lr must be a positive number, got {self.lr!r}. sf.find_lr(problem).lr finds one.")
        if self.steps is not None and self.epochs is not None:
            raise SettingError(f"Give steps or epochs, not both; got steps={self.steps!r} and epochs={self.epochs!r}.")
        _count("steps", self.steps)
        _count("accumulate", self.accumulate)
        _count("validate_every", self.validate_every)
        _positive("epochs", self.epochs)
        _positive("clip_norm", self.clip_norm)
        if self.autocast not in (None, "bf16", "fp16"):
            raise SettingError(f"autocast must be None, 'bf16' or 'fp16', got {self.autocast!r}.")
        named(self.schedule)
        object.__setattr__(self, "lr", float(self.lr))
        if self.seed is None:
            object.__setattr__(self, "seed", fresh_seed())
        elif isinstance(self.seed, bool) or not isinstance(self.seed, int | np.integer) or self.seed < 0:
            raise SettingError(f"seed must be a non-negative int, or None for a random one, got {self.seed!r}.")

    @property
    def schedule_function(self) -> Schedule | OnPlateau:
        """The schedule itself, where a name was given."""
        return named(self.schedule)

    def described(self, problem: Problem, steps: int, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
        """The settings as plain values, for `Run.config`, in the words of the call."""
        return {
            "problem": problem.called,
            "recipe": dict(problem.recipe) if problem.recipe else None,
            "lr": self.lr,
            "optimizer": described(self.optimizer),
            "steps": steps,
            "schedule": self.schedule if isinstance(self.schedule, str) else _word(self.schedule),
            "batch_size": problem.batch_size if self.batch_size is None else self.batch_size,
            "seed": int(self.seed or 0),
            "clip_norm": self.clip_norm,
            "accumulate": self.accumulate,
            "autocast": self.autocast,
            "validate_every": self.validate_every,
            "device": str(device),
            "dtype": str(dtype).removeprefix("torch."),
        }

    def check_rate(self, dtype: torch.dtype) -> None:
        """Refuses a rate that the weights' type cannot hold.

        Raises:
            SettingError: it is larger than the largest number of that type.
        """
        largest = torch.finfo(dtype).max if dtype.is_floating_point else math.inf
        if self.lr > largest:
            raise SettingError(
                f"lr must be a number that the weights' {str(dtype).removeprefix('torch.')} can hold, up to {largest:.2g}, got {self.lr!r}."
            )

    def chosen_device(self, model: torch.nn.Module) -> torch.device:
        """Where the descent runs: with ``"auto"``, where the model is.

        Raises:
            SettingError: there is no such device here.
        """
        own = next((p.device for p in model.parameters()), torch.device("cpu"))
        device = own if self.device in ("auto", None) else _device(self.device)
        if self.autocast == "fp16" and device.type == "cpu":
            raise SettingError("autocast='fp16' needs a GPU; on a CPU use autocast='bf16'.")
        return device


def same_walk(config: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two configurations describe one and the same walk, so that one can finish what the other began."""
    return config["steps"] == other["steps"] and all(config[key] == other[key] for key in SAME_WALK)


def _device(name: Any) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise SettingError(f"device={name!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return device


def _word(schedule: Any) -> str:
    return getattr(schedule, "__qualname__", None) or repr(schedule)


def _count(name: str, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
        raise SettingError(f"{name} must be a positive int, got {value!r}.")


def _positive(name: str, value: Any) -> None:
    if value is not None and not (isinstance(value, numbers.Real) and math.isfinite(value) and float(value) > 0):
        raise SettingError(f"{name} must be a positive number, got {value!r}.")
