"""Which functions of a few numbers are descended on the held-out side?  shape + start -> surfaces whose minima and flats are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from planes import generator, rotation
from torch import Tensor, nn

from surefoot import Problem


def bowl(values: Sequence[float], *, away: Sequence[float] = (), seed: int | None = None, floor: float = 0.0) -> Problem:
    """``sum(h_i u_i^2) / 2 + floor`` with u = Q (w - 1), from u = ``away`` (or all 1)."""
    h = torch.tensor(values, dtype=torch.float32)
    turn = torch.eye(len(h)) if seed is None else rotation(len(h), seed).float()
    u = torch.tensor(away, dtype=torch.float32) if away else torch.ones(len(h))
    return Problem.of(lambda w: (h * (turn @ (w - 1)) ** 2).sum() / 2 + floor, start=turn.T @ u + 1, name="bowl")


def linear(top: float, bottom: float, dimensions: int) -> list[float]:
    """Curvatures evenly from ``bottom`` to ``top``."""
    return [bottom + (top - bottom) * index / (dimensions - 1) for index in range(dimensions)]


def scattered(
    values: Sequence[float], *, noise: float, batch_size: int, away: float = 1.0, samples: int = 600, seed: int = 0
) -> Problem:
    """``mean(sum(h_i (w_i - c_ki)^2)) / 2`` over samples k: every one has its own centre, all together that at 0."""
    h = torch.tensor(values, dtype=torch.float32)
    centres = torch.randn(samples, len(h), generator=generator(seed))
    centres = noise * (centres - centres.mean(0))

    class Place(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.full((len(h),), away))

        def forward(self, centre: Tensor) -> Tensor:
            return (h * (self.w - centre) ** 2).sum(1) / 2

    return Problem(Place(), (centres, torch.zeros(samples)), loss=lambda p, _: p.mean(), batch_size=batch_size, name="scattered")


# ---- walls


def arctan_wall(x: Tensor) -> Tensor:
    """Slope arctan(x): at a rate above 2 the steps settle on +-a with 2 a = rate * arctan(a)."""
    return (x * torch.arctan(x) - torch.log1p(x**2) / 2).sum()


def ricker_wall(x: Tensor) -> Tensor:
    """``exp(-x) + x - 1``: its descent is Ricker's map, in a cycle of two between the rates 2 and 2.526 (May 1976)."""
    return (torch.exp(-x) + x - 1).sum()


# ---- convex, or nearly


def booth(x: Tensor) -> Tensor:
    """0 at (1, 3); curvatures 2 and 18."""
    return (x[0] + 2 * x[1] - 7) ** 2 + (2 * x[0] + x[1] - 5) ** 2


def matyas(x: Tensor) -> Tensor:
    """0 at (0, 0); curvatures 0.04 and 1."""
    return 0.26 * (x**2).sum() - 0.48 * x[0] * x[1]


def dixon_price(x: Tensor) -> Tensor:
    """0 at ``x_i = 2^(2^(1 - i) - 1)`` (Dixon and Price 1989)."""
    i = torch.arange(2, len(x) + 1)
    return (x[0] - 1) ** 2 + (i * (2 * x[1:] ** 2 - x[:-1]) ** 2).sum()


def powell_singular(x: Tensor) -> Tensor:
    """0 at 0, where the Hessian has rank 2 (Powell 1962)."""
    a, b, c, d = x
    return (a + 10 * b) ** 2 + 5 * (c - d) ** 2 + (b - 2 * c) ** 4 + 10 * (a - d) ** 4


# ---- several minima


def three_hump_camel(x: Tensor) -> Tensor:
    """0 at 0; local minima of 0.2986 at +-(1.7476, -0.8738)."""
    a, b = x[0], x[1]
    return 2 * a**2 - 1.05 * a**4 + a**6 / 6 + a * b + b**2


def mccormick(x: Tensor) -> Tensor:
    """-1.9132 at (-0.5472, -1.5472); every pi further along (1, 1) a minimum that is higher by pi, and one lower by pi the other way."""
    a, b = x[0], x[1]
    return torch.sin(a + b) + (a - b) ** 2 - 1.5 * a + 2.5 * b + 1


def ackley(x: Tensor) -> Tensor:
    """0 at 0, a dent near every whole number (Ackley 1987)."""
    root = (x**2).mean().sqrt()
    return 20 + math.e - 20 * torch.exp(-0.2 * root) - torch.exp(torch.cos(2 * math.pi * x).mean())


def levy(x: Tensor) -> Tensor:
    """0 at (1, ..., 1)."""
    w = 1 + (x - 1) / 4
    middle = ((w[:-1] - 1) ** 2 * (1 + 10 * torch.sin(math.pi * w[:-1] + 1) ** 2)).sum()
    return torch.sin(math.pi * w[0]) ** 2 + middle + (w[-1] - 1) ** 2 * (1 + torch.sin(2 * math.pi * w[-1]) ** 2)


def griewank(x: Tensor) -> Tensor:
    """0 at 0, dents about every pi sqrt(2 i) (Griewank 1981)."""
    i = torch.arange(1, len(x) + 1)
    return (x**2).sum() / 4000 - torch.cos(x / i.sqrt()).prod() + 1


def sine_wells(x: Tensor) -> Tensor:
    """``sum(sin(3 x) + x^2 / 10)``: the deepest at -0.5123, others at 1.5333 and -2.5547."""
    return (torch.sin(3 * x) + x**2 / 10).sum()


def bohachevsky(x: Tensor) -> Tensor:
    """0 at 0 (Bohachevsky et al. 1986, the first)."""
    a, b = x[0], x[1]
    return a**2 + 2 * b**2 - 0.3 * torch.cos(3 * math.pi * a) - 0.4 * torch.cos(4 * math.pi * b) + 0.7


# ---- saddles


def ripples(x: Tensor) -> Tensor:
    """``1 + cos(x - y) + (x + y - 2)^2 / 2``: with x = y the gradient leads to (1, 1), where the curvatures are -2 and 2."""
    return 1 + torch.cos(x[0] - x[1]) + (x[0] + x[1] - 2) ** 2 / 2


TARGET = torch.tensor([[2.0, 0.5, 0.0], [0.5, 1.0, -0.5], [0.0, -0.5, 1.5]])


def factors(x: Tensor) -> Tensor:
    """``|U V - M|^2 / 2`` for U of 3 x 2 and V of 2 x 3: at 0 the curvatures are plus and minus the singular values of M."""
    return ((x[:6].view(3, 2) @ x[6:].view(2, 3) - TARGET) ** 2).sum() / 2


def four_wells(x: Tensor) -> Tensor:
    """``sum((x_i^2 - i)^2)``: from the axis y = 0 to (1, 0), where the curvatures are 8 and -8."""
    return (x[0] ** 2 - 1) ** 2 + (x[1] ** 2 - 2) ** 2


# ---- flats


def easom(x: Tensor) -> Tensor:
    """-1 at (pi, pi) in a hole with the shape of a Gaussian, flat elsewhere (Easom 1990)."""
    return -torch.cos(x).prod() * torch.exp(-((x - math.pi) ** 2).sum())


def deep_hole(x: Tensor) -> Tensor:
    """``2 - 2 exp(-|x|^2 / 4)``: seven away from 0 the slope is 1e-5, nine away 1e-8."""
    return 2 - 2 * torch.exp(-(x**2).sum() / 4)


def high_shoulder(x: Tensor) -> Tensor:
    """``x^8 / 8 - x^7 / 7 + 1/56``: level to the sixth order at 0; the minimum is 0 at 1."""
    return (x**8 / 8 - x**7 / 7 + 1 / 56).sum()


def terraces(x: Tensor) -> Tensor:
    """Two steps down, at -100 and 100, and level ground between them."""
    return ((1 - torch.tanh(x + 100)) / 2 + (1 - torch.tanh(x - 100)) / 2).sum()


# ---- a catapult


def chain(x: Tensor) -> Tensor:
    """``(a b - c d - 1)^2 / 2``: at a rate above 2 / |x|^2 the loss rises until |x| has shrunk."""
    return (x[0] * x[1] - x[2] * x[3] - 1) ** 2 / 2
