"""Where did the walk lead?  weights at every step -> the points worth keeping, in bounded memory.

A path of up to 1,000 weights keeps every step while it fits in 32 MiB (two weights: four million steps). Any other keeps at most 65 points, and at
most 1 GiB of them (but always start and end), evenly spread over the horizon: when a continued run fills them up, every second one is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from surefoot.run import Path

SMALL = 1000  # weights: above, copying them at every step would cost more than the row
EVERY_STEP_BYTES = 32 * 2**20
POINTS = 65
POINTS_BYTES = 2**30


def bytes_set_aside(parameters: Sequence[Tensor], steps: int) -> int:
    """What the path of a descent of so many steps takes.

    Example:
        >>> bytes_set_aside([torch.zeros(10**6)], steps=1000)  # 65 points and the end, of a million weights of four bytes
        264000000
    """
    weights, size = sum(p.numel() for p in parameters), parameters[0].element_size()
    return (_capacity(weights, size, steps)[0] + 1) * weights * size


def _capacity(weights: int, size: int, steps: int) -> tuple[int, bool]:
    """How many points are kept, and whether that is every step."""
    every = weights <= SMALL and (steps + 1) * weights * size <= EVERY_STEP_BYTES
    return (steps + 1 if every else max(2, min(POINTS, POINTS_BYTES // (weights * size)))), every


class PathRecorder:
    """Takes the weights at the steps that are kept, into memory set aside once: building the path needs no second copy."""

    def __init__(self, parameters: Sequence[Tensor], steps: int, so_far: Path | None = None) -> None:
        weights = sum(p.numel() for p in parameters)
        self.capacity, every = _capacity(weights, parameters[0].element_size(), steps)
        # a power of two, so that the points of a continued run stay on the grid
        self.stride = 1 if every else 2 ** math.ceil(math.log2(max(1, steps / (self.capacity - 1))))
        self.steps: list[int] = []
        kind = parameters[0].dtype if len({p.dtype for p in parameters}) == 1 else flattened(parameters).dtype
        self.memory = torch.empty(self.capacity + 1, weights, dtype=kind)  # one more: the end may lie off the grid
        if so_far is not None:
            self._take_over(so_far)

    def wants(self, step: int) -> bool:
        """Whether the point after ``step`` updates is on the path."""
        return step % self.stride == 0

    def add(self, step: int, parameters: Sequence[Tensor]) -> None:
        """Keeps the weights as they are after ``step`` updates, thinning what is there when it is full."""
        if self.steps and self.steps[-1] == step:  # the end of the run that is continued
            return
        while len(self.steps) >= self.capacity:
            self._thin()
        if self.wants(step):
            self._put(step, flattened(parameters))

    def path(self, step: int, parameters: Sequence[Tensor]) -> Path:
        """The path so far, with the point after ``step`` updates as its end."""
        if not self.steps or self.steps[-1] != step:
            self._put(step, flattened(parameters))
        return Path(np.array(self.steps), self.memory[: len(self.steps)])

    def points(self) -> dict[int, Tensor]:
        """The points so far by the number of updates."""
        return {step: self.memory[index] for index, step in enumerate(self.steps)}

    def _put(self, step: int, point: Tensor) -> None:
        self.memory[len(self.steps)] = point
        self.steps.append(step)

    def _thin(self) -> None:
        self.stride *= 2
        kept = [(index, step) for index, step in enumerate(self.steps) if self.wants(step)]
        for row, (index, _) in enumerate(kept):
            self.memory[row] = self.memory[index]
        self.steps = [step for _, step in kept]

    def _take_over(self, path: Path) -> None:
        """The points of a run that is continued; its end, if it lies off the grid, is no point of the longer one."""
        for step, point in zip(path.steps, path.weights, strict=True):
            while len(self.steps) >= self.capacity:
                self._thin()
            if self.wants(int(step)):
                self._put(int(step), point)


def flattened(parameters: Sequence[Tensor]) -> Tensor:
    """All weights in one new 1-D tensor on the CPU."""
    with torch.no_grad():
        return torch.cat([p.reshape(-1) for p in parameters]).cpu()
