"""Which data are learnt on the held-out side?  scikit-learn's tables and shapes, new models of the built-in data -> problems calibration has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from planes import generator
from samples import binary, dense, entropy, mse, normal, parted
from sklearn import datasets
from torch import Tensor, nn

from surefoot import Problem, problems
from surefoot.problems.initial import seeded

Pair = tuple[Tensor, Tensor]


def tensors(x: Any, y: Any, seed: int = 0) -> Pair:
    """Standardized inputs, targets as they are, both in one random order."""
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    order = torch.randperm(len(x), generator=generator(seed))
    return ((x - x.mean(0)) / x.std(0))[order], (y if y.dtype == torch.int64 else y.float())[order]


def column(y: Tensor) -> Tensor:
    """One standardized number per sample, as a column."""
    return ((y - y.mean()) / y.std())[:, None]


def one_of(y: Tensor) -> Tensor:
    return nn.functional.one_hot(y).float()


# ---- tables


def table(name: str, seed: int = 0) -> Pair:
    """``wine`` (178 x 13, three classes) or ``iris`` (150 x 4, three classes)."""
    found = getattr(datasets, f"load_{name}")()
    return tensors(found.data, found.target, seed)


def wine(
    widths: tuple[int, ...] = (), activation: Any = nn.Tanh, learn: int = 178, batch_size: int | str = "full", seed: int = 0
) -> Problem:
    data, validation = parted(*table("wine", seed), learn)
    model = dense(13, *widths, 3, activation=activation, seed=seed)
    held = validation if learn < 178 else None
    return Problem(model, data, loss=entropy, validation=held, batch_size=batch_size, name="wine")


def iris(widths: tuple[int, ...] = (12,), activation: Any = nn.Tanh, batch_size: int | str = "full", seed: int = 0) -> Problem:
    """Flowers by the squared error of their classes as vectors."""
    x, y = table("iris", seed)
    model = dense(4, *widths, 3, activation=activation, seed=seed)
    return Problem(model, (x, one_of(y)), loss=mse, batch_size=batch_size, name="iris")


def squared_wine(learn: int = 100, seed: int = 0) -> Problem:
    """A hundred wines by the squared error of their kinds as vectors."""
    x, y = table("wine", seed)
    model = dense(13, 32, 32, 3, seed=seed)
    return Problem(model, (x[:learn], one_of(y)[:learn]), loss=mse, batch_size="full", name="squared wine")


def linnerud(widths: tuple[int, ...] = (), learn: int = 20, batch_size: int | str = "full", seed: int = 0) -> Problem:
    """Twenty athletes: three measures of the body from three exercises."""
    found = datasets.load_linnerud()
    x, y = tensors(found.data, found.target.astype("float32"), seed)
    data, validation = parted(x, (y - y.mean(0)) / y.std(0), learn)
    held = validation if learn < 20 else None
    return Problem(dense(3, *widths, 3, seed=seed), data, loss=mse, validation=held, batch_size=batch_size, name="linnerud")


def two_kinds(batch_size: int | str = "full", seed: int = 0) -> Problem:
    """The first kind of iris against the two others, which a line parts with room to spare: the logistic loss has no minimum."""
    x, y = table("iris", seed)
    model = seeded(lambda: nn.Linear(4, 1), seed)
    return Problem(model, (x, (y == 0).float()[:, None]), loss=binary, batch_size=batch_size, name="two kinds")


# ---- made by scikit-learn


def friedman(
    which: int = 1, widths: tuple[int, ...] = (24,), samples: int = 300, learn: int | None = None, noise: float = 0.0,
    batch_size: int | str = "full", activation: Any = nn.Tanh, seed: int = 0,
) -> Problem:  # fmt: skip
    """Friedman's functions of 10 or 4 numbers (Friedman 1991)."""
    make = getattr(datasets, f"make_friedman{which}")
    x, y = tensors(*make(n_samples=samples, noise=noise, random_state=seed), seed)
    learn = learn or samples
    data, validation = parted(x, column(y), learn)
    model = dense(x.shape[1], *widths, 1, activation=activation, seed=seed)
    held = validation if learn < samples else None
    return Problem(model, data, loss=mse, validation=held, batch_size=batch_size, name=f"friedman{which}")


def roll(
    shape: str = "swiss_roll", samples: int = 240, widths: tuple[int, ...] = (24, 24), batch_size: int | str = "full", seed: int = 0
) -> Problem:
    """How far along a rolled-up (or S-shaped) sheet does a point of space lie?"""
    x, y = tensors(*getattr(datasets, f"make_{shape}")(samples, noise=0.05, random_state=seed), seed)
    return Problem(dense(3, *widths, 1, seed=seed), (x, column(y)), loss=mse, batch_size=batch_size, name=shape)


def checkers(samples: int = 300, batch_size: int | str = 20, seed: int = 0) -> Problem:
    """Three by three squares of two colours, told apart by a network of SiLU units."""
    x = 3 * torch.rand(samples, 2, generator=generator(seed))
    y = x.floor().sum(1) % 2
    model = dense(2, 40, 40, 1, activation=nn.SiLU, seed=seed)
    return Problem(model, (2 * x / 3 - 1, y[:, None]), loss=binary, batch_size=batch_size, name="checkers")


def sparse(samples: int = 300, batch_size: int | str = 5, seed: int = 0) -> Problem:
    """Least squares on ten numbers of which four count, with noise of 1 (scikit-learn's ``make_sparse_uncorrelated``)."""
    x, y = tensors(*datasets.make_sparse_uncorrelated(samples, random_state=seed), seed)
    return Problem(seeded(lambda: nn.Linear(10, 1), seed), (x, y[:, None]), loss=mse, batch_size=batch_size, name="sparse")


def counts(samples: int = 400, batch_size: int | str = 10, seed: int = 0) -> Problem:
    """Poisson regression: counts whose logarithm is linear in six numbers."""
    x = normal(samples, 6, seed=seed)
    rate = (0.4 * x @ normal(6, 1, seed=seed + 1) + 0.5).clamp(max=3).exp()
    y = torch.poisson(rate, generator=generator(seed + 2))
    model = seeded(lambda: nn.Linear(6, 1), seed)
    return Problem(model, (x, y), loss=nn.functional.poisson_nll_loss, batch_size=batch_size, name="counts")


def outliers(samples: int = 300, batch_size: int | str = 12, seed: int = 0) -> Problem:
    """A line through five numbers by Huber's loss, one target in ten far off."""
    x = normal(samples, 5, seed=seed)
    y = x @ normal(5, 1, seed=seed + 1) + 0.3 * normal(samples, 1, seed=seed + 2)
    y[::10] += 6
    model = seeded(lambda: nn.Linear(5, 1), seed)
    return Problem(model, (x, y), loss=nn.functional.huber_loss, batch_size=batch_size, name="outliers")


def ranked(samples: int = 240, batch_size: int | str = "full", noise: float = 0.0, seed: int = 0) -> Problem:
    """A matrix of 12 x 10 of rank 2, learnt from single entries by the product of two embeddings."""
    u, v = normal(12, 2, seed=seed), normal(10, 2, seed=seed + 1)
    rows = torch.randint(12, (samples,), generator=generator(seed + 2))
    columns = torch.randint(10, (samples,), generator=generator(seed + 3))
    y = (u[rows] * v[columns]).sum(1) + noise * normal(samples, seed=seed + 4)
    model = seeded(Embedded, seed)
    return Problem(model, (torch.stack([rows, columns], 1), y), loss=mse, batch_size=batch_size, name="ranked")


class Embedded(nn.Module):
    """One vector for every row and column of a matrix; an entry is their product."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.columns = nn.Embedding(12, 3), nn.Embedding(10, 3)

    def forward(self, places: Tensor) -> Tensor:
        return (self.rows(places[:, 0]) * self.columns(places[:, 1])).sum(1)


def narrow(name: str = "wine", code: int = 2, batch_size: int | str = 16, seed: int = 0, tied: bool = False) -> Problem:
    """A table through a narrow place and back."""
    x, _ = table(name, seed)
    model = seeded(lambda: Tied(x.shape[1], code), seed) if tied else dense(x.shape[1], code, x.shape[1], seed=seed)
    return Problem(model, (x, x), loss=mse, batch_size=batch_size, name=f"narrow {name}")


class Tied(nn.Module):
    """An autoencoder whose decoder is its encoder transposed."""

    def __init__(self, inputs: int, code: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(0.3 * torch.randn(inputs, code)), nn.Parameter(torch.zeros(inputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight) @ self.weight.T + self.bias


# ---- the built-in data with other models or tasks


def images(model: Callable[[], nn.Module], learn: int = 600, batch_size: int | str = 50, held: int = 200) -> Problem:
    """Digits as 64 numbers each."""
    found = problems.load("digits-mlp")
    data, validation = tuple(part[:learn].clone() for part in found.data), tuple(part[:held].clone() for part in found.validation)
    return Problem(seeded(model, 3), data, loss=entropy, validation=validation, batch_size=batch_size, name="images")


def normalized() -> nn.Module:
    """Two hidden tanh layers behind batch normalization; it has no running statistics, so that its weights are all its state."""
    layers = [
        part for a, b in ((64, 40), (40, 40)) for part in (nn.Linear(a, b), nn.BatchNorm1d(b, track_running_stats=False), nn.Tanh())
    ]
    return nn.Sequential(*layers, nn.Linear(40, 10))


def averaged() -> nn.Module:
    """A small convolutional network that averages over the picture."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.GELU(), nn.AvgPool2d(2), nn.Conv2d(8, 12, 2), nn.GELU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10),
    )  # fmt: skip


class Attending(nn.Module):
    """The eight rows of a picture, weighted by a learnt query."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(0.3 * torch.randn(8, 24))
        self.key, self.query, self.out = nn.Linear(8, 24), nn.Parameter(torch.randn(24, 4) / 5), nn.Linear(96, 10)

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.tanh(self.key(x.unflatten(1, (8, 8))) + self.place)
        weights = (rows @ self.query).softmax(1)
        return self.out((weights.transpose(1, 2) @ rows).flatten(1))


class Recurrent(nn.Module):
    def __init__(self, characters: int, width: int) -> None:
        super().__init__()
        self.embedding, self.gru = nn.Embedding(characters, width), nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, characters)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.gru(self.embedding(x))[0][:, -1])


def next_character(model: Callable[[int], nn.Module], context: int = 4, learn: int = 1500, batch_size: int | str = 32) -> Problem:
    """One character from the few before it."""
    x = problems.load("text", context=8, width=16, layers=1).data[0][: learn + 300]
    data, validation = parted(x[:, :context].clone(), x[:, context].clone(), learn)
    built = seeded(lambda: model(97), 2)
    return Problem(built, data, loss=entropy, validation=validation, batch_size=batch_size, name="next character")


def recurrent(characters: int) -> nn.Module:
    return Recurrent(characters, 20)


def windowed(characters: int) -> nn.Module:
    """The embeddings of the characters before, side by side, through one hidden layer (Bengio et al. 2003)."""
    return nn.Sequential(nn.Embedding(characters, 8), nn.Flatten(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, characters))


def half_seen(learn: int = 800, batch_size: int | str = 32, seed: int = 0) -> Problem:
    """The right half of a patch of a photo, from its left half."""
    found = problems.load("photo-patches")
    x, y = found.data[0][:learn], found.data[0][:learn]
    model = dense(96, 32, 96, activation=nn.LeakyReLU, seed=seed)
    return Problem(model, (x[:, :96].clone() - 0.5, y[:, 96:].clone() - 0.5), loss=mse, batch_size=batch_size, name="half seen")


def exact(problem: Problem, seed: int = 90) -> Problem:
    """The same inputs with targets that the model can meet exactly."""
    x, _ = problem.data
    return problem.with_(data=(x, x @ normal(x.shape[1], 1, seed=seed) - 0.5))


# ---- planted: starts


def zeroed(problem: Problem) -> Problem:
    """All weights 0: with units that are 0 at 0 the layers wait for each other, at a saddle."""
    with torch.no_grad():
        for p in problem.model.parameters():
            p.zero_()
    return problem


def alike(problem: Problem, value: float = 0.4) -> Problem:
    """Units that all start alike, and so stay alike: the layer is worth one unit."""
    with torch.no_grad():
        for p in problem.model.parameters():
            p.fill_(value if p.dim() > 1 else 0.0)
    return problem


def wrong_end(problem: Problem, last: float, spread: float = 0.1) -> Problem:
    """The last layer's first bias is far up, the others far down, its weights small: softmax or tanh are saturated."""
    layer = [module for module in problem.model.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        layer.weight.mul_(spread)
        layer.bias.fill_(-last)
        layer.bias[0] = last
    return problem


def brier(logits: Tensor, target: Tensor) -> Tensor:
    """The squared error of the probabilities (Brier 1950)."""
    return (logits.softmax(1) - one_of(target)).square().sum(1).mean()


def bounded(answer: Tensor, target: Tensor) -> Tensor:
    """The squared error of tanh of the answer."""
    return mse(torch.tanh(answer), target)


# ---- planted: bugs


def detached_encoder(problem: Problem) -> Problem:
    """Only the last layer gets a gradient: what comes before it was computed without one."""

    def objective(model: nn.Module, batch: Any) -> Tensor:
        with torch.no_grad():
            code = model[:-1](batch[0])  # type: ignore[index]
        return mse(model[-1](code), batch[1])  # type: ignore[index]

    return problem.with_(loss=None, objective=objective)


class Differencing(nn.Module):
    """Says how much more one layer answers than twice what a detached copy of the same layer does."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, 2)

    def forward(self, x: Tensor) -> Tensor:
        frozen = nn.functional.linear(torch.tanh(x), self.layer.weight.detach(), self.layer.bias.detach())
        return self.layer(torch.tanh(x)) - 2.5 * frozen


def differencing(samples: int = 200, batch_size: int | str = 25, seed: int = 0) -> Problem:
    x = normal(samples, 5, seed=seed)
    y = torch.tanh(x) @ normal(5, 2, seed=seed + 1)
    return Problem(seeded(lambda: Differencing(5), seed), (x, y), loss=mse, batch_size=batch_size, name="differencing")
