"""Which functions of a few numbers are descended?  shape + start -> problems whose minima, walls and flats are known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from surefoot import Problem


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rotation(dimensions: int, seed: int) -> Tensor:
    return torch.linalg.qr(torch.randn(dimensions, dimensions, generator=generator(seed), dtype=torch.float64))[0]


def curvatures(condition: float, dimensions: int) -> list[float]:
    """From 1 / condition to 1, evenly on the log scale."""
    return [condition ** (-index / max(1, dimensions - 1)) for index in range(dimensions)]


def quadratic(values: Sequence[float], *, seed: int | None = None, offset: float = 0.0) -> Problem:
    """``sum(h_i u_i^2) / 2 + offset`` with u = Q w (Q random, or the identity), from u = (1, ..., 1)."""
    h = torch.tensor(values, dtype=torch.float32)
    turn = torch.eye(len(h)) if seed is None else rotation(len(h), seed).float()
    return Problem.of(lambda w: (h * (turn @ w) ** 2).sum() / 2 + offset, start=turn.T @ torch.ones(len(h)), name="quadratic")


def noisy(
    values: Sequence[float], *, noise: float, batch_size: int, seed: int = 0, away: float = 1.0, samples: int = 512
) -> Problem:
    """``sum(h_i w_i^2) / 2 + noise * mean(xi) . w``; over all samples xi is centred, so that the whole loss is the bare quadratic."""
    h = torch.tensor(values, dtype=torch.float32)
    xi = torch.randn(samples, len(h), generator=generator(seed), dtype=torch.float64)
    xi = noise * (xi - xi.mean(0)).float()

    class Weights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.full((len(h),), away))

        def forward(self, xi: Tensor) -> Tensor:
            return (h * self.w**2).sum() / 2 + xi @ self.w

    return Problem(Weights(), (xi, torch.zeros(samples)), loss=lambda p, _: p.mean(), batch_size=batch_size, name="noisy quadratic")


def of(function: Callable[[Tensor], Tensor], start: Sequence[float], name: str = "") -> Callable[[], Problem]:
    return lambda: Problem.of(function, start=list(start), name=name)


# ---- walls: gradient descent above the limit jumps between them for ever, bounded by where they bend


def log_cosh(x: Tensor) -> Tensor:
    """Curvature 1 in the middle, slope at most 1: at a rate above 2 the steps settle on +-a with tanh(a) = 2 a / rate."""
    return (x.abs() + torch.nn.functional.softplus(-2 * x.abs()) - math.log(2)).sum()


def hyperbola(x: Tensor) -> Tensor:
    """``sqrt(1 + x^2) - 1``: at a rate above 2 the steps settle on +-a with sqrt(1 + a^2) = rate / 2."""
    return ((1 + x**2).sqrt() - 1).sum()


def quartic_wall(x: Tensor) -> Tensor:
    """``(x^2 - 1)^2 / 4``: curvature 2 at +-1; between the rates 1 and 1.2 or so the steps settle on a cycle of two around 1."""
    return ((x**2 - 1) ** 2).sum() / 4


# ---- catapults: at a rate between 2 and 4 over the first curvature the loss rises at first, until the weights lie where it is flatter


def scalar_product(x: Tensor) -> Tensor:
    """``(u . v)^2 / (2 n)`` for the two halves u and v of x (Lewkowycz et al. 2020, section 2, with a label of 0)."""
    n = len(x) // 2
    return (x[:n] * x[n:]).sum() ** 2 / (2 * n)


def labelled_product(x: Tensor) -> Tensor:
    """``(u . v / sqrt(n) - 1)^2 / 2``: the same with a label of 1."""
    n = len(x) // 2
    return ((x[:n] * x[n:]).sum() / math.sqrt(n) - 1) ** 2 / 2


# ---- several minima


def tilted(x: Tensor) -> Tensor:
    """``(x^2 - 1)^2 + 0.3 x``: the minimum near -1 is the deeper one by 0.6."""
    return ((x**2 - 1) ** 2 + 0.3 * x).sum()


def styblinski_tang(x: Tensor) -> Tensor:
    """A global minimum of -39.166 at -2.9035 per number, a local one at +2.7468, 14.14 above (Styblinski and Tang 1990)."""
    return (x**4 - 16 * x**2 + 5 * x).sum() / 2


def six_hump_camel(x: Tensor) -> Tensor:
    """Global minima of -1.0316 at +-(0.0898, -0.7126); local ones of -0.2155 and 2.104 (Dixon and Szegoe 1978)."""
    a, b = x[0], x[1]
    return (4 - 2.1 * a**2 + a**4 / 3) * a**2 + a * b + (-4 + 4 * b**2) * b**2


def rastrigin(x: Tensor) -> Tensor:
    return 10 * len(x) + (x**2 - 10 * torch.cos(2 * math.pi * x)).sum()


def egg_carton(x: Tensor) -> Tensor:
    """``sum(0.05 x^2 + 1 - cos(x))``: a dent near every multiple of 2 pi, the deepest at 0."""
    return (0.05 * x**2 + 1 - torch.cos(x)).sum()


# ---- saddles


def pass_between(x: Tensor) -> Tensor:
    """``x^2 / 2 + (y^2 - 1)^2 / 4``: on the ridge y = 0 the gradient leads to the pass, where the curvatures are 1 and -1."""
    return x[0] ** 2 / 2 + (x[1] ** 2 - 1) ** 2 / 4


def mexican_hat(x: Tensor) -> Tensor:
    """``(|x|^2 - 1)^2 / 4 + 2 z^2`` with z the last: from the axis to the top of the hat, curvatures -1 and 4."""
    return ((x[:-1] ** 2).sum() - 1) ** 2 / 4 + 2 * x[-1] ** 2


def product(x: Tensor) -> Tensor:
    """``(u v - 1)^2 / 2 + (s - 2)^2 / 2``: at u = v = 0 the curvatures are -1 and 1."""
    return (x[0] * x[1] - 1) ** 2 / 2 + (x[2] - 2) ** 2 / 2


class LinearPair(nn.Module):
    """x -> A B x, all weights of one size: at 0 the loss's gradient is 0 and its Hessian has eigenvalues of both signs."""

    def __init__(self, inputs: int, hidden: int, outputs: int, scale: float) -> None:
        super().__init__()
        self.b = nn.Parameter(scale * torch.randn(hidden, inputs, generator=generator(1)))
        self.a = nn.Parameter(scale * torch.randn(outputs, hidden, generator=generator(2)))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.b.T @ self.a.T


def linear_pair(scale: float, inputs: int = 4, outputs: int = 3, seed: int = 0) -> Problem:
    x = torch.randn(200, inputs, generator=generator(seed))
    y = x @ torch.randn(inputs, outputs, generator=generator(seed + 1))
    return Problem(
        LinearPair(inputs, 3, outputs, scale), (x, y), loss=nn.functional.mse_loss, batch_size="full", name="linear pair"
    )


class Twins(nn.Module):
    """A hidden layer whose units all start alike: descent keeps them alike, and one unit is all that the layer is worth."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
        with torch.no_grad():
            for layer in (self.first, self.second):
                layer.weight.fill_(0.3)
                layer.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x)))


# ---- flats


def shoulder(x: Tensor) -> Tensor:
    """``3 x^4 - 4 x^3 + 1``: level at 0, where slope and curvature are 0 and the loss is 1; the minimum is 0 at 1."""
    return (3 * x**4 - 4 * x**3 + 1).sum()


def broad_shoulder(x: Tensor) -> Tensor:
    """``x^6 / 6 - x^5 / 5 + 1/30``: the same of the next order."""
    return (x**6 / 6 - x**5 / 5 + 1 / 30).sum()


def gaussian_well(x: Tensor) -> Tensor:
    """``1 - exp(-|x|^2 / 2)``: from six away, slope and curvature are below 1e-6."""
    return 1 - torch.exp(-(x**2).sum() / 2)


def sech_well(x: Tensor) -> Tensor:
    """``1 - 1 / cosh(2 |x|)``: flat from afar, exponentially."""
    return 1 - 1 / torch.cosh(2 * (x**2).sum().sqrt())


def power(exponent: int) -> Callable[[Tensor], Tensor]:
    return lambda x: (x**exponent).sum()
