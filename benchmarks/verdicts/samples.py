"""Which data are learnt?  numbers drawn here, and the built-in problems cut down -> small problems with samples, healthy ones and planted ills."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from planes import Twins, generator
from torch import Tensor, nn

from surefoot import Problem, problems
from surefoot.problems.initial import seeded

mse, entropy, binary = nn.functional.mse_loss, nn.functional.cross_entropy, nn.functional.binary_cross_entropy_with_logits


def dense(*widths: int, activation: Callable[[], nn.Module] = nn.Tanh, seed: int = 0) -> nn.Module:
    """A dense network of these widths, the input's first and the output's last."""

    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths[:-1]):
            layers += [nn.Linear(before, after), activation()]
        return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))

    return seeded(build, seed)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=generator(seed))


def parted(x: Tensor, y: Tensor, learn: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return (x[:learn], y[:learn]), (x[learn:], y[learn:])


# ---- linear and logistic


def regression(
    inputs: int = 8, samples: int = 256, noise: float = 0.5, batch_size: int | str = 8, seed: int = 0, spread: float = 1.0
) -> Problem:
    """Least squares on Gaussian inputs whose scales go from 1 down to 1 / spread."""
    x = normal(samples, inputs, seed=seed) * spread ** (-torch.arange(inputs) / max(1, inputs - 1))
    y = x @ normal(inputs, 1, seed=seed + 1) + 1 + noise * normal(samples, 1, seed=seed + 2)
    return Problem(seeded(lambda: nn.Linear(inputs, 1), seed), (x, y), loss=mse, batch_size=batch_size, name="regression")


def separable(inputs: int = 2, samples: int = 200, margin: float = 0.3, batch_size: int | str = "full", seed: int = 0) -> Problem:
    """Two classes with an empty strip between them: the logistic loss falls towards 0 for ever and reaches it nowhere."""
    x = normal(3 * samples, inputs, seed=seed)
    direction = nn.functional.normalize(normal(inputs, seed=seed + 1), dim=0)
    x = x[(x @ direction).abs() > margin][:samples]
    y = (x @ direction > 0).float()[:, None]
    return Problem(seeded(lambda: nn.Linear(inputs, 1), seed), (x, y), loss=binary, batch_size=batch_size, name="separable")


# ---- networks


def moons(samples: int = 300, batch_size: int | str = "full", width: int = 16, seed: int = 0) -> Problem:
    """Two half circles told apart."""
    angle = torch.pi * torch.rand(samples, generator=generator(seed))
    y = (torch.arange(samples) % 2).float()
    x = torch.stack([torch.cos(angle) + y - 0.5, torch.sin(angle) * (1 - 2 * y) + 0.4 * y], 1)
    x = 2 * x + 0.2 * normal(samples, 2, seed=seed + 1)
    return Problem(dense(2, width, width, 1, seed=seed), (x, y[:, None]), loss=binary, batch_size=batch_size, name="moons")


def rings(samples: int = 300, batch_size: int | str = "full", seed: int = 0) -> Problem:
    """A disc inside a ring, told apart with the squared error."""
    y = (torch.arange(samples) % 2).float()
    angle = 2 * torch.pi * torch.rand(samples, generator=generator(seed))
    radius = 0.7 + y + 0.15 * normal(samples, seed=seed + 1)
    x = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], 1)
    return Problem(dense(2, 24, 24, 1, seed=seed), (x, 2 * y[:, None] - 1), loss=mse, batch_size=batch_size, name="rings")


def waves(
    samples: int = 128, batch_size: int | str = "full", seed: int = 0, activation: Any = nn.Tanh, frequency: float = 4
) -> Problem:
    """A sine over an interval."""
    x = torch.linspace(-1, 1, samples)[:, None]
    x = x[torch.randperm(samples, generator=generator(seed))]
    model = dense(1, 32, 32, 1, activation=activation, seed=seed)
    return Problem(model, (x, torch.sin(frequency * x)), loss=mse, batch_size=batch_size, name="waves")


def teacher(samples: int = 256, batch_size: int | str = "full", seed: int = 0) -> Problem:
    """What a small network says, learnt by a larger one."""
    x = normal(samples, 5, seed=seed)
    with torch.no_grad():
        y = 2 * dense(5, 6, 2, seed=seed + 50)(x)
    return Problem(dense(5, 32, 2, activation=nn.ReLU, seed=seed), (x, y), loss=mse, batch_size=batch_size, name="teacher")


def squeeze(samples: int = 400, batch_size: int = 32, seed: int = 0) -> Problem:
    """Twelve numbers through three and back."""
    x = torch.tanh(normal(samples, 3, seed=seed) @ normal(3, 12, seed=seed + 1)) + 0.05 * normal(samples, 12, seed=seed + 2)
    return Problem(dense(12, 16, 3, 16, 12, seed=seed), (x, x), loss=mse, batch_size=batch_size, name="squeeze")


def deep_linear(samples: int = 256, batch_size: int | str = 16, seed: int = 0) -> Problem:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 12, bias=False), nn.Linear(12, 12, bias=False), nn.Linear(12, 4, bias=False))

    x = normal(samples, 6, seed=seed)
    y = x @ normal(6, 4, seed=seed + 1) / 2
    return Problem(seeded(build, seed), (x, y), loss=mse, batch_size=batch_size, name="deep linear")


def blobs(samples: int = 400, classes: int = 5, batch_size: int = 16, spread: float = 0.8, seed: int = 0) -> Problem:
    """Overlapping clouds, one per class."""
    y = torch.arange(samples) % classes
    x = 1.5 * normal(classes, 4, seed=seed)[y] + spread * normal(samples, 4, seed=seed + 1)
    return Problem(dense(4, 24, classes, activation=nn.ReLU, seed=seed), (x, y), loss=entropy, batch_size=batch_size, name="blobs")


# ---- built-in problems, cut down so that a run takes a second


def cut(problem: Problem, learn: int, held_out: int, **changes: Any) -> Problem:
    data = tuple(part[:learn].clone() for part in problem.data)
    validation = tuple(part[:held_out].clone() for part in problem.validation)
    return problem.with_(data=data, validation=validation, recipe=None, **changes)


def digits(kind: str, learn: int = 1000, batch_size: int | str = 64, **options: Any) -> Problem:
    return cut(problems.load(f"digits-{kind}", **options), learn, 200, batch_size=batch_size)


def squared_digits(learn: int = 100, width: int = 32) -> Problem:
    """A hundred digits, their classes as vectors of 0 and 1, the squared error: its curvature rises until it meets 2 / rate."""
    problem = digits("mlp", learn=learn, batch_size="full")
    x, y = problem.data
    return Problem(
        dense(64, width, width, 10), (x, nn.functional.one_hot(y, 10).float()), loss=mse, batch_size="full", name="squared digits"
    )


def prototypes(samples: int = 120, classes: int = 6, inputs: int = 20, seed: int = 3) -> Problem:
    """Clouds told apart with the squared error."""
    y = torch.arange(samples) % classes
    x = normal(classes, inputs, seed=seed)[y] + 0.8 * normal(samples, inputs, seed=seed + 1)
    model = dense(inputs, 32, 32, classes, seed=seed)
    return Problem(model, (x, nn.functional.one_hot(y, classes).float()), loss=mse, batch_size="full", name="prototypes")


def text() -> Problem:
    return cut(problems.load("text", context=16, width=16, layers=1), 2000, 200, batch_size=16)


def patches() -> Problem:
    return cut(problems.load("photo-patches"), 1000, 200, batch_size=32)


# ---- planted: data


def shuffled(problem: Problem, seed: int = 0) -> Problem:
    """The labels of the training data in another order: nothing to learn, much to memorize."""
    x, y = problem.data
    return problem.with_(data=(x, y[torch.randperm(len(y), generator=generator(seed))]), recipe=None)


def few(
    inputs: int = 10, learn: int = 30, noise: float = 1.0, width: int = 64, seed: int = 0, batch_size: int | str = "full"
) -> Problem:
    """More weights than samples, and noise to memorize."""
    x = normal(learn + 200, inputs, seed=seed)
    y = torch.sin(x[:, :1]) + 0.5 * x[:, 1:2] + noise * normal(learn + 200, 1, seed=seed + 1)
    data, validation = parted(x, y, learn)
    model = dense(inputs, width, width, 1, activation=nn.ReLU, seed=seed)
    return Problem(model, data, loss=mse, validation=validation, batch_size=batch_size, name="few samples")


def wide_regression(inputs: int = 40, learn: int = 44, noise: float = 1.0, seed: int = 0) -> Problem:
    """Linear regression with hardly more samples than weights: the noise is learnt last, in the directions of small curvature."""
    x = normal(learn + 300, inputs, seed=seed)
    y = x @ normal(inputs, 1, seed=seed + 1) / inputs**0.5 + noise * normal(learn + 300, 1, seed=seed + 2)
    data, validation = parted(x, y, learn)
    return Problem(
        seeded(lambda: nn.Linear(inputs, 1), seed), data, loss=mse, validation=validation, batch_size="full", name="wide regression"
    )


def poisoned(problem: Problem, scale: float, count: int = 1, seed: int = 0) -> Problem:
    """A few samples of the wrong class, whose inputs are ``scale`` times too large."""
    x, y = (part.clone() for part in problem.data)
    picked = torch.randperm(len(x), generator=generator(seed))[:count]
    x[picked] *= scale
    y[picked] = (y[picked] + 1) % int(y.max() + 1)
    return problem.with_(data=(x, y), recipe=None)


def wild_targets(problem: Problem, size: float, count: int = 1, seed: int = 0) -> Problem:
    """A few samples whose targets are off by ``size``."""
    x, y = (part.clone() for part in problem.data)
    y[torch.randperm(len(x), generator=generator(seed))[:count]] += size
    return problem.with_(data=(x, y), recipe=None)


# ---- planted: starts


def dead(problem: Problem, bias: float = -10.0) -> Problem:
    """The biases of the first layer so low that no unit of it ever answers."""
    with torch.no_grad():
        layer = next(module for module in problem.model.modules() if isinstance(module, nn.Linear))
        layer.bias.fill_(bias - 3 * float(layer.weight.abs().sum(1).max()))
    return problem


class Saturated(nn.Module):
    """A sigmoid whose output is scored by the squared error and starts at the wrong end."""

    def __init__(self, inputs: int, bias: float, seed: int, hidden: int = 0) -> None:
        super().__init__()
        self.inner = dense(inputs, hidden, 1, seed=seed) if hidden else seeded(lambda: nn.Linear(inputs, 1), seed)
        last = self.inner[-1] if isinstance(self.inner, nn.Sequential) else self.inner
        with torch.no_grad():
            last.bias.fill_(bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.inner(x))


def saturated(bias: float, hidden: int = 0, inputs: int = 3, batch_size: int | str = "full", seed: int = 0) -> Problem:
    """Everything is answered with 1 (or 0), and nearly all of it is wrong."""
    x = normal(200, inputs, seed=seed)
    wrong = torch.full((200, 1), 0.0 if bias > 0 else 1.0)
    wrong[:20] = 1 - wrong[:20]
    return Problem(Saturated(inputs, bias, seed, hidden), (x, wrong), loss=mse, batch_size=batch_size, name="saturated")


def twins(inputs: int = 2, hidden: int = 6, seed: int = 0) -> Problem:
    """The exclusive or, to be learnt by units that all start alike."""
    x = normal(200, inputs, seed=seed)
    y = torch.sign(x[:, :1] * x[:, 1:2])
    return Problem(Twins(inputs, hidden, 1), (x, y), loss=mse, batch_size="full", name="twins")


# ---- planted: bugs


class Reversed(torch.autograd.Function):
    """The identity, whose gradient has the wrong sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return -gradient


def reversed_gradient(problem: Problem) -> Problem:
    return instead(problem, Reversed.apply)


def instead(problem: Problem, change: Callable[[Tensor], Tensor]) -> Problem:
    """The same problem with its loss sent through ``change``."""
    if problem.loss is not None:
        loss = problem.loss
        return problem.with_(loss=lambda p, y: change(loss(p, y)), recipe=None)
    objective = problem.objective
    assert objective is not None
    return problem.with_(objective=lambda model, batch: change(objective(model, batch)), recipe=None)


def another_value(problem: Problem, other: Callable[[Tensor, Tensor], Tensor]) -> Problem:
    """Reports one loss and differentiates another."""
    loss = problem.loss
    assert loss is not None

    def both(prediction: Tensor, target: Tensor) -> Tensor:
        differentiated = other(prediction, target)
        return loss(prediction, target).detach() + differentiated - differentiated.detach()

    return problem.with_(loss=both, recipe=None)


class Halved(nn.Module):
    """A network with one of its uses of the same weights cut off from the gradient: what arrives points elsewhere."""

    def __init__(self, size: int, strength: float, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.3 * normal(size, size, seed=seed))
        self.strength = strength

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight - self.strength * (x @ self.weight.detach())


def halved(strength: float, size: int = 4, batch_size: int | str = "full", seed: int = 0) -> Problem:
    """The cut-off use outweighs the other: the gradient that arrives points uphill."""
    x = normal(200, size, seed=seed)
    return Problem(
        Halved(size, strength, seed), (x, x @ normal(size, size, seed=seed + 1)), loss=mse, batch_size=batch_size, name="halved"
    )


def missing(problem: Problem) -> Problem:
    """The output layer is all that the gradient reaches: what comes before it is detached."""
    loss = problem.loss
    assert loss is not None

    def objective(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        layers = list(model)  # type: ignore[call-overload]
        hidden = nn.Sequential(*layers[:-1])(x).detach()
        return loss(layers[-1](hidden), y)

    return problem.with_(loss=None, objective=objective, recipe=None)


def maximizing(**settings: Any) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """An optimizer somebody left in the wrong direction."""
    maker = settings.pop("maker", torch.optim.SGD)
    return lambda model: maker(model.parameters(), lr=1.0, maximize=True, **settings)
