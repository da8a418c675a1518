"""How curved is the loss, in the steepest direction and in the flattest?  problem + weights -> both ends of the Hessian's spectrum."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from surefoot import html
from surefoot.curvature.limits import stability_limit
from surefoot.descent.batches import samples
from surefoot.descent.first_step import check_loss, nonfinite
from surefoot.descent.ranks import alone
from surefoot.descent.sample import sample
from surefoot.descent.snapshot import World, carried_generators, seed_everything
from surefoot.errors import ProblemError, SettingError
from surefoot.foreign import Foreign
from surefoot.problem import Problem, trainable

Vector: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

TOLERANCE = 1e-6  # of the largest |eigenvalue|: the residual at which the iteration ends
MOST_PRODUCTS = 300  # each keeps a vector of the size of the weights; what has not converged by then has the residual it has
STEP, COARSE_STEP = 6e-6, 5e-3  # of the weights' length, between gradients in float64 and in float32: cube roots of their precision
COARSE = 1e-3  # of the largest |eigenvalue|: what such differences of float32 tell apart
NOTHING = 1e-13  # of the largest |eigenvalue|: what rounding leaves of a vector when the iteration has seen all there is


@dataclass(frozen=True)
class Spectrum:
    """Both ends of the spectrum of the loss's Hessian, in loss per weight squared.

    Attributes:
        largest: the largest eigenvalue, the curvature in the steepest direction.
        smallest: the smallest one; negative where some direction curves downwards.
        largest_residual: |Hv - largest v| for the unit eigenvector v found: an eigenvalue lies at most this far from ``largest``.
        smallest_residual: the same for ``smallest``.
        samples: the samples that the loss was averaged over.
        products: products with the Hessian spent, each over all of these samples; one costs three to four gradients.

    Example:
        >>> print(Spectrum(largest=100.0, smallest=-4.0, largest_residual=1e-5, smallest_residual=2e-5, samples=512, products=42))
        curvature over 512 samples: 100 at most (residual 1e-05), -4 at least (residual 2e-05), ratio 25
        near these weights gradient descent is stable up to a learning rate of 2/L = 0.02, momentum of 0.9 up to 0.038
        a direction curves downwards: this is no minimum
        cost: 42 Hessian products
    """

    largest: float
    smallest: float
    largest_residual: float
    smallest_residual: float
    samples: int
    products: int

    @property
    def condition(self) -> float:
        """|largest / smallest|; infinite where the smallest is zero, NaN where both are."""
        if self.smallest == 0:
            return math.inf if self.largest else math.nan
        return abs(self.largest / self.smallest)

    def __str__(self) -> str:
        rate, momentum = stability_limit(self.largest, "sgd"), stability_limit(self.largest, "momentum")
        limit = f"gradient descent is stable up to a learning rate of 2/L = {rate:.3g}, momentum of 0.9 up to {momentum:.3g}"
        lines = [
            f"curvature over {self.samples:,} sample{'s' * (self.samples != 1)}: {self.largest:.4g} at most (residual {self.largest_residual:.1g}), "
            f"{self.smallest:.4g} at least (residual {self.smallest_residual:.1g}), ratio {self.condition:.3g}",
            f"near these weights {limit if self.largest > 0 else 'no direction curves upwards, so curvature sets no limit to the rate'}",
        ]
        if self._curves_downwards:
            lines.append("a direction curves downwards: this is no minimum")
        return "\n".join([*lines, f"cost: {self.products:,} Hessian products"])

    def _repr_html_(self) -> str:
        return html.table("curvature", _rows(self), ["A direction curves downwards: this is no minimum."] * self._curves_downwards)

    @property
    def _curves_downwards(self) -> bool:
        return self.smallest < -self.smallest_residual


def spectrum(
    problem: Problem,
    weights: Mapping[str, Tensor] | Tensor | None = None,
    *,
    data: str | int = "train",
    seed: int = 0,
    dtype: torch.dtype | None = torch.float64,
    tolerance: float = TOLERANCE,
) -> Spectrum:
    """The largest and the smallest eigenvalue of the Hessian of the loss with respect to the trainable weights.

    By Lanczos iteration with Hessian-vector products; the Hessian itself is never stored, a vector per product is (300 at most). The
    model is taken as it would be deployed: dropout off, batch normalization by its running statistics. The iteration ends at a
    residual of 1e-6 of the largest |eigenvalue|; where it does not get there, the residual tells how far it got.

    Args:
        problem: its loss must be twice differentiable; nothing of it is changed. Of `Problem.of_gradient` the products are central
            differences of its gradients, good to about 1e-3 of the largest eigenvalue where these are float32.
        weights: where: a state dict (``run.weights``), a flat tensor of the trainable weights (``run.path[i]``), or None for the
            model's own.
        data: ``"train"`` for all of the training data, ``"validation"``, or a count: that many training samples drawn with ``seed``
            (all of them, where there are fewer; of data that brings its own batches: as many whole ones as it takes). They are all kept in memory.
        seed: of the samples, of the iteration's start, and of random numbers that the loss draws: the same ones in every product.
        dtype: the precision to compute in; None for the model's own, where its code makes tensors of a fixed one.
            In float32 the residual ends near 1e-5 of the largest.
        tolerance: the residual at which the iteration ends, as a share of the largest |eigenvalue|; a hundredth takes a fraction of the products.

    Returns:
        The two eigenvalues with their residuals and what they cost.

    Raises:
        SettingError: there is no such data, or the weights do not fit the model.
        ProblemError: the model has no trainable weights, the loss is not finite, or it cannot be differentiated twice.

    Example:
        >>> from surefoot import problems
        >>> bowl = problems.load("bowl", curvatures=(1.0, 4.0))
        >>> found = spectrum(bowl)
        >>> round(found.largest, 9), round(found.smallest, 9), round(found.condition, 9)
        (4.0, 1.0, 4.0)

    Source: Lanczos 1950 (the iteration); Pearlmutter 1994, "Fast Exact Multiplication by the Hessian" (the products).
    """
    with _hessian(problem, weights, data, seed, dtype) as products:
        ends = [_with_residual(products, vector) for vector in _eigenvectors(products, seed, (0, -1), tolerance)]
    (smallest, smallest_residual), (largest, largest_residual) = sorted(ends)
    return Spectrum(largest, smallest, largest_residual, smallest_residual, products.samples, products.spent)


def steepest(
    problem: Problem,
    weights: Mapping[str, Tensor] | Tensor | None = None,
    *,
    count: int = 2,
    data: str | int = "train",
    seed: int = 0,
    dtype: torch.dtype | None = torch.float64,
) -> Tensor:
    """The directions in which the loss curves upwards most: the eigenvectors of the Hessian's largest eigenvalues.

    Args:
        problem: as for `spectrum`.
        weights: as for `spectrum`.
        count: how many, from the largest eigenvalue on.
        data: as for `spectrum`.
        seed: as for `spectrum`.
        dtype: as for `spectrum`.

    Returns:
        (count, weights) float64 on the CPU, of length 1 and at right angles to each other.

    Raises:
        SettingError: the weights are fewer, or no further direction of its own curvature exists (as in a bowl with equal ones).
        ProblemError: as for `spectrum`.

    Example:
        >>> from surefoot import problems
        >>> steepest(problems.load("bowl", curvatures=(1.0, 4.0))).abs().round(decimals=6).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    with _hessian(problem, weights, data, seed, dtype) as products:
        if not 1 <= count <= products.size:
            raise SettingError(f"count must be from 1 to the {products.size:,} weights of the model, got {count!r}.")
        found = _eigenvectors(products, seed, tuple(range(-1, -count - 1, -1)))
    if len(found) < count:
        raise SettingError(f"The Hessian shows {len(found)} direction of a curvature of its own here, {count} were asked for.")
    return torch.from_numpy(np.stack(found))


def flattest(
    problem: Problem,
    weights: Mapping[str, Tensor] | Tensor | None = None,
    *,
    data: str | int = "train",
    seed: int = 0,
    dtype: torch.dtype | None = torch.float64,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """The direction in which the loss curves upwards least, or downwards most: the eigenvector of the Hessian's smallest eigenvalue.

    Args:
        problem: as for `spectrum`.
        weights: as for `spectrum`.
        data: as for `spectrum`.
        seed: as for `spectrum`.
        dtype: as for `spectrum`.
        tolerance: as for `spectrum`.

    Returns:
        (weights,) float64 on the CPU, of length 1.

    Example:
        >>> from surefoot import problems
        >>> flattest(problems.load("saddle"), torch.zeros(2)).abs().round(decimals=6).tolist()
        [0.0, 1.0]
    """
    with _hessian(problem, weights, data, seed, dtype) as products:
        return torch.from_numpy(_eigenvectors(products, seed, (0,), tolerance)[0])


@contextlib.contextmanager
def _hessian(
    problem: Problem, weights: Mapping[str, Tensor] | Tensor | None, data: str | int, seed: int, dtype: torch.dtype | None
) -> Iterator[_Products]:
    """Inside, products with the Hessian can be made; a copy of the model is asked, in a random world of its own."""
    problem = alone(problem)
    model = _copied(problem.model, weights, dtype)
    like = next(iter(trainable(model).values()))
    world = World.seeded(seed, carried_generators(problem.data, problem.validation))
    with world.entered(), _twice_differentiable():
        batches = sample(problem, data, seed, like.device, like.dtype)
        if isinstance(model, Foreign):
            yield _Differences(problem, model, batches, seed)
            return
        products = _Products(problem, model, batches, seed)
        _check_twice(products)
        yield products


# ---- the Hessian


@contextlib.contextmanager
def _twice_differentiable() -> Iterator[None]:
    """Without the fused kernels for attention and recurrent layers, which have no second derivative."""
    with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False), torch.enable_grad():
        yield


class _Products:
    """Products with the Hessian by two backward passes, counted, each with the same random numbers.

    Not curvlinops' operator: it takes the forward derivative of the backward pass, which torch 2.13 gets wrong for LayerNorm: the
    product is not even symmetric.

    Attributes:
        finest: the residual that they can get to at all, as a share of the largest |eigenvalue|.
    """

    finest: Any = 0.0

    def __init__(self, problem: Problem, model: nn.Module, batches: Sequence[Any], seed: int) -> None:
        self.problem, self.model, self.batches, self.seed = problem, model, batches, seed
        self.trainable = list(trainable(model).values())
        self.size = sum(p.numel() for p in self.trainable)
        self.samples = sum(samples(batch) for batch in batches)
        self.spent = 0

    def __call__(self, vector: Vector) -> Vector:
        """H times a vector (weights,)."""
        self.spent += 1
        parts = torch.split(torch.as_tensor(vector), [p.numel() for p in self.trainable])
        along = [part.view_as(p).to(p) for part, p in zip(parts, self.trainable, strict=True)]
        product = np.zeros(self.size)
        for share, gradient in self.gradients(create_graph=True):
            pairs = [(g, v) for g, v in zip(gradient, along, strict=True) if g.requires_grad]
            if pairs:
                moving, towards = zip(*pairs, strict=True)
                product += share * _flat(self._differentiated(moving, towards))
        if not np.isfinite(product).all():
            raise ProblemError("The second derivative of the loss is not finite at these weights: a square root or a norm at zero?")
        return product

    def gradients(self, create_graph: bool = False) -> Iterator[tuple[float, Sequence[Tensor]]]:
        """Each batch's share of the samples, and the gradient on it."""
        seed_everything(self.seed)
        for batch in self.batches:
            loss = self.problem.loss_on(self.model, batch)
            check_loss(loss)
            if not math.isfinite(loss.item()):
                raise ProblemError(f"The loss is {loss.item()} at these weights. {nonfinite(self.model, [batch])}")
            gradient = torch.autograd.grad(loss, self.trainable, create_graph=create_graph, materialize_grads=True)
            yield samples(batch) / self.samples, gradient

    def _differentiated(self, moving: Sequence[Tensor], towards: Sequence[Tensor]) -> Sequence[Tensor]:
        try:
            return torch.autograd.grad(moving, self.trainable, towards, materialize_grads=True)
        except (RuntimeError, NotImplementedError) as error:
            raise ProblemError(f"The loss cannot be differentiated twice: {str(error).strip().splitlines()[0]}") from error


class _Differences(_Products):
    """Products by central differences of gradients that autograd cannot follow (another framework's)."""

    def __call__(self, vector: Vector) -> Vector:
        """H times a vector (weights,)."""
        self.spent += 1
        here = _flat(self.trainable)
        step = (COARSE_STEP if self.coarse else STEP) * max(float(np.linalg.norm(here)), 1e-2) / float(np.linalg.norm(vector))
        try:
            ahead, behind = [self._gradient_at(here + sign * step * vector) for sign in (1, -1)]
        finally:
            self._put(here)
        if not (np.isfinite(ahead).all() and np.isfinite(behind).all()):
            raise ProblemError("The gradient of the loss is not finite near these weights: a square root or a norm at zero?")
        return np.asarray((ahead - behind) / (2 * step))

    @property
    def coarse(self) -> bool:
        return self.trainable[0].dtype != torch.float64 or bool(getattr(self.model, "narrow", False))

    @property
    def finest(self) -> float:
        return COARSE if self.coarse else 0.0

    def _gradient_at(self, weights: Vector) -> Vector:
        self._put(weights)
        return np.asarray(sum(share * _flat(gradient) for share, gradient in self.gradients()))

    @torch.no_grad()
    def _put(self, weights: Vector) -> None:
        nn.utils.vector_to_parameters(torch.as_tensor(weights).to(self.trainable[0]), self.trainable)


def _check_twice(products: _Products) -> None:
    """Raises where gradients that autograd holds for constant change with the weights (as those from another framework)."""
    here = []
    for _, gradient in products.gradients(create_graph=True):
        if any(g.requires_grad for g in gradient):
            return
        here.append(gradient)
    with torch.no_grad():
        for p in products.trainable:
            p.mul_(1.001).add_(1e-3)
    there = [gradient for _, gradient in products.gradients()]
    if not all(torch.equal(a, b) for one, other in zip(here, there, strict=True) for a, b in zip(one, other, strict=True)):
        raise ProblemError(
            "The loss cannot be differentiated twice: its gradient changes with the weights, but autograd cannot follow it "
            "(it comes from another framework, or from an autograd.Function without a second derivative)."
        )


def _flat(parts: Sequence[Tensor]) -> Vector:
    return torch.cat([part.detach().double().flatten().cpu() for part in parts]).numpy()


# ---- its eigenvalues, each with its residual


def _eigenvectors(products: _Products, seed: int, wanted: tuple[int, ...], tolerance: float = TOLERANCE) -> list[Vector]:
    """The eigenvectors that Lanczos iteration finds, at these places among the eigenvalues in rising order, as far as there are so many.

    Every vector is kept and every new one made orthogonal to all: without that, converged eigenvalues come back as copies.
    """
    from scipy.linalg import eigh_tridiagonal  # here, for loading it takes a fifth of the time that torch takes

    most = min(products.size, MOST_PRODUCTS)
    basis = np.empty((most, products.size))
    diagonal, beside = np.zeros(most), np.zeros(most)
    new = np.random.default_rng(seed).standard_normal(products.size)
    beside_last = np.linalg.norm(new)
    for index in range(most):
        basis[index] = new / beside_last
        new = products(basis[index])
        diagonal[index] = basis[index] @ new
        for _ in range(2):  # once is not enough: what rounding leaves grows
            new -= basis[: index + 1].T @ (basis[: index + 1] @ new)
        beside[index] = beside_last = np.linalg.norm(new)
        values, vectors = eigh_tridiagonal(diagonal[: index + 1], beside[:index])
        scale = np.abs(values).max()
        if (
            beside_last <= NOTHING * scale
            or (beside_last * np.abs(vectors[-1, _there(wanted, index)]) <= max(tolerance, products.finest) * scale).all()
        ):
            break
    found = [basis[: index + 1].T @ vectors[:, place] for place in _there(wanted, index)]
    return [vector / np.linalg.norm(vector) for vector in found]


def _there(wanted: Sequence[int], last: int) -> list[int]:
    """Those places that exist where the last one is this."""
    return [place for place in wanted if -last - 1 <= place <= last]


def _with_residual(products: _Products, vector: Vector) -> tuple[float, float]:
    product = products(vector)
    value = float(vector @ product)
    return value, float(np.linalg.norm(product - value * vector))


# ---- where


def _copied(model: nn.Module, weights: Mapping[str, Tensor] | Tensor | None, dtype: torch.dtype | None) -> nn.Module:
    copied = copy.deepcopy(model).eval()
    if dtype is not None and not isinstance(copied, Foreign):
        copied.to(dtype)
    if isinstance(weights, Tensor):
        parameters = list(trainable(copied).values())
        needed = sum(p.numel() for p in parameters)
        if weights.numel() != needed:
            raise SettingError(f"weights holds {weights.numel():,} values, the model has {needed:,} trainable weights.")
        nn.utils.vector_to_parameters(weights.detach().flatten().to(parameters[0], copy=True), parameters)
    elif weights is not None:
        try:
            copied.load_state_dict(weights)
        except RuntimeError as error:
            raise SettingError(f"The weights do not fit this model: {' '.join(str(error).split())}") from error
    return copied


# ---- in a notebook


def _rows(found: Spectrum) -> list[tuple[str, float]]:
    return [
        ("largest eigenvalue", found.largest),
        ("its residual", found.largest_residual),
        ("smallest eigenvalue", found.smallest),
        ("its residual", found.smallest_residual),
        ("condition number", found.condition),
        ("stable rate of gradient descent, 2/L", stability_limit(found.largest, "sgd")),
        ("the same with a momentum of 0.9", stability_limit(found.largest, "momentum")),
        ("samples", found.samples),
        ("Hessian products spent", found.products),
    ]
