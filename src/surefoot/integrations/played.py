"""Which multiplier would a scheduler of torch's give at each step?  optimizer + scheduler -> a schedule for `descend` and `find_lr`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from surefoot.errors import SettingError


def played(scheduler: Any, steps: int, every: int = 1) -> Callable[[int, int], float]:
    """The schedule that a scheduler of ``torch.optim.lr_scheduler`` walks through, played through beforehand on an optimizer of nothing.

    Args:
        scheduler: a scheduler that has not been stepped yet; it and its optimizer stay as they are.
        steps: the horizon it was made for, in optimizer steps.
        every: optimizer steps from one step of the scheduler to the next (those of an epoch, where it is stepped once per epoch).

    Returns:
        ``(step, of_steps) -> multiplier`` of the first group's base rate; another horizon stretches or compresses it.

    Raises:
        SettingError: the scheduler needs the loss (``ReduceLROnPlateau``), or cannot be copied.

    Example:
        >>> weight = nn.Parameter(torch.zeros(1))
        >>> optimizer = torch.optim.SGD([weight], lr=0.1)
        >>> schedule = played(torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100), steps=100)
        >>> schedule(0, 100), round(schedule(50, 100), 9), round(schedule(5, 10), 9), optimizer.param_groups[0]["lr"]
        (1.0, 0.5, 0.5, 0.1)
    """
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise SettingError("ReduceLROnPlateau follows the loss and cannot be played through beforehand. Pass schedule='plateau'.")
    theirs = scheduler.optimizer
    stand_in = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(0))]} for _ in theirs.param_groups], lr=1.0)
    for group, original in zip(stand_in.param_groups, theirs.param_groups, strict=True):
        group.update({key: value for key, value in original.items() if key != "params"})
    try:
        own = copy.deepcopy(scheduler, {id(theirs): stand_in})  # also those that hold other schedulers of the same optimizer
    except (TypeError, RuntimeError, ValueError) as error:
        raise SettingError(f"The scheduler {type(scheduler).__name__} cannot be copied ({error}). Pass schedule=.") from error
    base = theirs.param_groups[0].get("initial_lr", theirs.param_groups[0]["lr"])
    if not base:
        raise SettingError("The first parameter group's base rate is 0, of which a schedule is no multiple. Pass schedule=.")
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the stand-in is never stepped, which torch warns about
        for step in range(steps):
            if step and step % every == 0:
                own.step()
            rates.append(stand_in.param_groups[0]["lr"] / base)
    return lambda step, of_steps: rates[min(steps - 1, step * steps // max(1, of_steps))]
