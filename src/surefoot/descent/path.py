"""Where did the walk lead?  weights at every step -> the points worth keeping, in bounded memory.

A path of up to 1,000 weights keeps every step while it fits in 32 MiB (two weights: four million steps); any other at most 65
points, evenly spread over the horizon: when a continued run fills them up, every second one is dropped. The end is always kept.
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


class PathRecorder:
    """Takes the weights at the steps that are kept."""

    def __init__(self, parameters: Sequence[Tensor], steps: int, so_far: Path | None = None) -> None:
        weights = sum(p.numel() for p in parameters)
        self.thinned = weights > SMALL or (steps + 1) * weights * parameters[0].element_size() > EVERY_STEP_BYTES
        # a power of two, so that the points of a continued run stay on the grid when it is thinned
        self.stride = 2 ** math.ceil(math.log2(max(1, steps / (POINTS - 1)))) if self.thinned else 1
        self.points: dict[int, Tensor] = {}
        if so_far is not None:
            self._take_over(so_far)

    def wants(self, step: int) -> bool:
        """Whether the point after ``step`` updates is on the path."""
        return step % self.stride == 0

    def add(self, step: int, parameters: Sequence[Tensor]) -> None:
        """Keeps the weights as they are after ``step`` updates, thinning what is there when it is full."""
        self.points[step] = flattened(parameters)
        while self.thinned and len(self.points) > POINTS:
            self.stride *= 2
            self.points = {kept: point for kept, point in self.points.items() if kept % self.stride == 0}

    def path(self, step: int, parameters: Sequence[Tensor]) -> Path:
        """The path so far, with the point after ``step`` updates as its end."""
        points = {**self.points, step: flattened(parameters)}
        return Path(np.array(list(points)), torch.stack(list(points.values())))

    def _take_over(self, path: Path) -> None:
        self.points = dict(zip((int(step) for step in path.steps), path.weights, strict=True))
        while self.thinned and len(self.points) > POINTS:
            self.stride *= 2
            self.points = {kept: point for kept, point in self.points.items() if kept % self.stride == 0}


def flattened(parameters: Sequence[Tensor]) -> Tensor:
    """All weights in one new 1-D tensor on the CPU."""
    with torch.no_grad():
        return torch.cat([p.reshape(-1) for p in parameters]).cpu()
