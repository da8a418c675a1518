"""Weights to start from.  A function that builds a model + a seed -> the same model every time, and no trace of the drawing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from surefoot.problems import options

Model = TypeVar("Model", bound=nn.Module)


def seeded(build: Callable[[], Model], seed: int) -> Model:
    """The model that ``build`` makes, its weights drawn from ``seed``, in float32 on the CPU.

    Args:
        build: makes the model, with weights that torch draws.
        seed: what they are drawn from, 0 or more.

    Returns:
        The model; the caller's random state and default dtype are as they were.

    Example:
        >>> before = torch.get_rng_state()
        >>> one, other = (seeded(lambda: nn.Linear(3, 1), seed=7) for _ in range(2))
        >>> torch.equal(one.weight, other.weight), torch.equal(before, torch.get_rng_state())
        (True, True)
    """
    options.count("seed", seed, least=0)
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    try:
        # the CPU's generator alone: torch.manual_seed would reseed every accelerator too
        torch.default_generator.manual_seed(int(seed))
        torch.set_default_dtype(torch.float32)
        with torch.device("cpu"):
            return build()
    finally:
        torch.set_rng_state(state)
        torch.set_default_dtype(dtype)
