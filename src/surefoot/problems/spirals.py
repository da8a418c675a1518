"""Two arms that wind around each other.  Points in the plane -> a small network that long learns nothing, and then everything."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from surefoot.problem import Problem
from surefoot.problems import options
from surefoot.problems.initial import seeded
from surefoot.problems.split import split


def spirals(points: int = 1000, turns: float = 1.75, noise: float = 0.02, width: int = 32, seed: int = 0) -> Problem:
    """Which of two interleaved spirals is a point on?  A network 2-width-width-1 of tanh units.

    A slow starter: for the first part of a training the loss hardly moves at any learning rate, because the network has to bend
    its line of decision before bending pays.

    Args:
        points: how many points on both arms together, 10 or more; a fifth is held out.
        turns: how often each arm winds around the origin, above 0.
        noise: standard deviation of the points around the arms, whose outer radius is 1; 0 or more.
        width: units in each of the two hidden layers, 1 or more.
        seed: what points, split and first weights are drawn from, 0 or more.

    Example:
        >>> print(spirals())
        spirals: 1,185 weights
    """
    count = options.count("points", points, least=10)
    units = options.count("width", width)
    options.number("turns", turns, positive=True)
    options.number("noise", noise)
    inputs, labels = _points(count, turns, noise, seed)
    learn, held_out = (torch.from_numpy(part) for part in split(count, seed, labels.flatten().numpy()))

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(2, units), nn.Tanh(), nn.Linear(units, units), nn.Tanh(), nn.Linear(units, 1))

    return Problem(
        seeded(build, seed),
        (inputs[learn], labels[learn]),
        loss=nn.functional.binary_cross_entropy_with_logits,
        validation=(inputs[held_out], labels[held_out]),
        batch_size=64,
        name="spirals",
        source="two Archimedean spirals half a turn apart, after the benchmark of Lang and Witbrock 1988; a stratified fifth held out",
    )


def _points(count: int, turns: float, noise: float, seed: int) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    radius = torch.rand(count, generator=drawn).sqrt()  # evenly along the arms, not crowded at the centre
    angle = 2 * math.pi * turns * radius + math.pi * labels
    arms = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return arms + noise * torch.randn(count, 2, generator=drawn), labels[:, None].float()
