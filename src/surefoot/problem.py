"""What is descended: a model, its data and one way to a scalar loss, as one value.  model + data + loss -> Problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, TypeAlias, TypeGuard, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader, IterableDataset

from surefoot import html
from surefoot.errors import ProblemError

Loss: TypeAlias = Callable[[Any, Any], Tensor]
Objective: TypeAlias = Callable[[nn.Module, Any], Tensor]
Weights: TypeAlias = Any  # one array, a sequence of arrays, or a mapping of names to arrays


@dataclass(frozen=True)
class Answer:
    """What is known about a problem before anybody descends it.

    Attributes:
        minima: the known minimisers, the global one first, each a flat point in the order of the model's parameters.
        loss: the loss at the global minimum.
        curvature: the largest eigenvalue of the Hessian at the global minimum (of the full-batch loss).
        source: where these come from: a closed form, a paper, a computation.

    Example:
        >>> Answer(minima=((0.0, 0.0),), loss=0.0, curvature=100.0, source="by construction").stability_limit
        0.02
    """

    minima: tuple[tuple[float, ...], ...] = ()
    loss: float | None = None
    curvature: float | None = None
    source: str = ""

    @property
    def minimum(self) -> tuple[float, ...] | None:
        """The global minimiser, or None."""
        return self.minima[0] if self.minima else None

    @property
    def stability_limit(self) -> float | None:
        """2 / curvature: above it plain gradient descent cannot stay at the minimum."""
        return 2 / self.curvature if self.curvature else None

    def _repr_html_(self) -> str:
        return html.table("what is known", _known(self))


@dataclass(frozen=True)
class Problem:
    """A model, its data and one way to a scalar loss.

    Args:
        model: any ``nn.Module``; descents work on a copy, its own weights stay as they are.
        data: a ``DataLoader``, a ``Dataset``, a pair ``(inputs, targets)`` of tensors or arrays whose first axis counts the
            samples, or anything that can be iterated again and again and yields batches.
        loss: ``loss(prediction, target) -> scalar`` for batches ``(inputs, targets)``.
        objective: ``objective(model, batch) -> scalar`` for any other batch.
            With neither, the model is called as ``model(**batch)`` and must return an object with ``.loss``.
        validation: held-out data, in any form that ``data`` may have.
        batch_size: samples per step: an int, ``"full"``, or None for 64 (or all of the data, if there is less).
        name: how the problem is called in tables and pictures.
        answer: what is known about the minimum, if anything.
        source: where the problem comes from.
        recipe: how ``problems.load(**recipe)`` makes it again, where that is possible.

    Raises:
        ProblemError: the model is no module, both ``loss`` and ``objective`` are given, or the data is empty, not re-iterable,
            or of unequal lengths.

    Example:
        >>> x = torch.linspace(0, 1, 20).unsqueeze(1)
        >>> problem = Problem(nn.Linear(1, 1), (x, 3 * x + 1), loss=nn.functional.mse_loss, name="a line")
        >>> problem.loss_on(problem.model, (x, problem.model(x))).item()
        0.0
    """

    model: nn.Module
    data: Any
    _: KW_ONLY
    loss: Loss | None = None
    objective: Objective | None = None
    validation: Any = None
    batch_size: int | str | None = None
    name: str = ""
    answer: Answer | None = None
    source: str = ""
    recipe: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.model, nn.Module):
            raise ProblemError(
                f"model must be a torch.nn.Module, got {type(self.model).__name__}. "
                "For a plain function of a parameter vector use Problem.of(function, start)."
            )
        if self.loss is not None and self.objective is not None:
            raise ProblemError("Give loss(prediction, target) or objective(model, batch), not both.")
        _check_data(self.data, "data")
        if self.validation is not None:
            _check_data(self.validation, "validation")

    @classmethod
    def of(cls, function: Callable[[Tensor], Tensor], start: Any, *, name: str = "", **known: Any) -> Problem:
        """The problem of minimising a plain function of a parameter vector.

        Args:
            function: takes the parameters, a tensor of the shape of ``start``, and returns a scalar tensor.
            start: where descents begin: a number, a sequence, an array or a tensor; its dtype is kept.
            name: how the problem is called.
            known: ``answer`` and ``source``, as for a `Problem`.

        Returns:
            A problem with the one parameter ``x`` and no data: every step is a full-batch step.

        Example:
            >>> problem = Problem.of(lambda x: (x**2).sum(), start=[3.0, 4.0])
            >>> problem.loss_on(problem.model, ()).item()
            25.0
        """
        point = _Point({"x": _parameter(start)})
        return cls(point, [()], objective=lambda model, _: function(cast(Tensor, model.x)), name=name, **known)

    @classmethod
    def of_gradient(
        cls, value_and_gradient: Callable[[Weights], tuple[Any, Weights]], start: Weights, *, name: str = "", **known: Any
    ) -> Problem:
        """The problem of minimising a function of another framework that brings its own gradient.

        Args:
            value_and_gradient: takes the weights in the structure of ``start``, as NumPy arrays, and returns ``(loss, gradients)``
                with the gradients in the same structure; anything that ``numpy.asarray`` understands.
            start: one array, a sequence of arrays, or a mapping of names to arrays; the dtypes are kept.
            name: how the problem is called.
            known: ``answer`` and ``source``, as for a `Problem`.

        Returns:
            A problem whose parameters are named ``x`` (one array), ``0``, ``1``, ... (a sequence) or by their keys.

        Raises:
            ProblemError: when called, if a gradient has not the shape of its weights.

        Example:
            >>> problem = Problem.of_gradient(lambda x: ((x**2).sum(), 2 * x), start=np.array([3.0, 4.0]))
            >>> problem.loss_on(problem.model, ()).item()
            25.0
        """
        leaves = _leaves(start)
        point = _Point({name: _parameter(value) for name, value in leaves.items()})

        def objective(model: nn.Module, _: Any) -> Tensor:
            parameters = [getattr(model, name) for name in leaves]  # not get_parameter: torch.func swaps in plain tensors

            def call(values: list[np.ndarray[Any, Any]]) -> tuple[Any, list[Any]]:
                loss, gradients = value_and_gradient(_like(start, values))
                return loss, list(_leaves(gradients).values())

            return _OtherFramework.apply(call, *parameters)  # type: ignore[no-any-return, no-untyped-call]

        return cls(point, [()], objective=objective, name=name, **known)

    def loss_on(self, model: nn.Module, batch: Any) -> Tensor:
        """The scalar loss of ``model`` on ``batch``, by the problem's one way to it.

        Raises:
            ProblemError: the batch or the model's output does not fit that way.
        """
        if self.objective is not None:
            return self.objective(model, batch)
        if self.loss is not None:
            if not (isinstance(batch, Sequence) and len(batch) == 2):
                raise ProblemError(
                    f"loss(prediction, target) needs batches (inputs, targets), got {_describe(batch)}. "
                    "For any other batch give objective(model, batch)."
                )
            return self.loss(model(batch[0]), batch[1])
        if not isinstance(batch, Mapping):
            raise ProblemError(
                f"Without loss or objective the batches must be mappings, for model(**batch).loss; got {_describe(batch)}. "
                "Give loss(prediction, target) or objective(model, batch)."
            )
        output = model(**batch)
        loss = getattr(output, "loss", None)
        if loss is None:
            raise ProblemError(
                f"model(**batch) returned {_describe(output)} without .loss. Give objective(model, batch), or put the labels in the batch."
            )
        return loss  # type: ignore[no-any-return]

    @property
    def called(self) -> str:
        """Its name, or that of the model's class."""
        return self.name or type(self.model).__name__

    def with_(self, **changes: Any) -> Problem:
        """The same problem with some of its parts replaced."""
        return replace(self, **changes)

    def __str__(self) -> str:
        weights = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        return f"{self.called}: {weights:,} weight{'s' * (weights != 1)}"

    def _repr_html_(self) -> str:
        return html.table(self.called, _rows(self))


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that a descent moves, by name.

    Raises:
        ProblemError: there is none.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not named:
        raise ProblemError("The model has no trainable parameter: every one has requires_grad=False, or there is none.")
    return named


class LossOf(nn.Module):
    """A problem's loss as a module, so that its model can be called with other weights in their place (``torch.func.functional_call``).

    Example:
        >>> bowl = Problem.of(lambda x: (x**2).sum(), start=[3.0, 4.0])
        >>> torch.func.functional_call(LossOf(bowl, bowl.model), {"model.x": torch.tensor([0.0, 2.0])}, ((),)).item()
        4.0
    """

    def __init__(self, problem: Problem, model: nn.Module) -> None:
        super().__init__()
        self.problem, self.model = problem, model

    def forward(self, batch: Any) -> Tensor:
        """The loss of the model on a batch."""
        return self.problem.loss_on(self.model, batch)


def is_pair(data: Any) -> TypeGuard[Sequence[Any]]:
    """Whether ``data`` is ``(inputs, targets)``: two tensors or arrays, not a list of two batches."""
    return isinstance(data, tuple | list) and len(data) == 2 and all(_is_array(part) for part in data)


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor) or (hasattr(value, "__array__") and hasattr(value, "shape"))


def _check_data(data: Any, role: str) -> None:
    if is_pair(data):
        lengths = [part.shape[0] if len(part.shape) else None for part in data]
        if lengths[0] != lengths[1] or None in lengths:
            raise ProblemError(f"{role}: inputs and targets must count the same samples, got {lengths[0]} and {lengths[1]}.")
    elif _is_array(data):
        raise ProblemError(f"{role} is a single array; give a pair (inputs, targets), or [array] for one batch with objective=.")
    elif not hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
        raise ProblemError(
            f"{role} must be a DataLoader, a Dataset, a pair (inputs, targets) or an iterable of batches, got {type(data).__name__}."
        )
    elif isinstance(data, Iterator):  # not `iter(data) is data`: starting a DataLoader draws a random number
        raise ProblemError(
            f"{role} is a one-shot {type(data).__name__}: after one pass it is empty, and a descent needs many. "
            "Give list(batches), a DataLoader, or an object whose __iter__ starts anew."
        )
    if _length(data) == 0:
        raise ProblemError(f"{role} is empty.")


def _length(data: Any) -> int | None:
    """Samples of a pair, else ``len``; None where it has none."""
    if is_pair(data):
        return int(data[0].shape[0])
    try:
        return len(data)
    except (TypeError, NotImplementedError):
        return None


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


class _Point(nn.Module):
    """A model that is nothing but its parameters."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        for name, parameter in parameters.items():
            self.register_parameter(name, parameter)


def _parameter(start: Any) -> nn.Parameter:
    values = (
        start.detach().clone() if isinstance(start, Tensor) else torch.as_tensor(np.array(start) if _is_array(start) else start)
    )
    return nn.Parameter(values if values.is_floating_point() else values.to(torch.get_default_dtype()))


def _leaves(weights: Weights) -> dict[str, Any]:
    if isinstance(weights, Mapping):
        return {str(name).replace(".", "_"): value for name, value in weights.items()}
    if isinstance(weights, list | tuple) and weights and not np.isscalar(weights[0]):
        return {str(index): value for index, value in enumerate(weights)}
    return {"x": weights}


def _like(start: Weights, values: list[np.ndarray[Any, Any]]) -> Weights:
    if isinstance(start, Mapping):
        return dict(zip(start, values, strict=True))
    if isinstance(start, list | tuple) and start and not np.isscalar(start[0]):
        return values
    return values[0]


class _OtherFramework(torch.autograd.Function):
    """Lets autograd carry a loss and its gradients that were computed elsewhere."""

    @staticmethod
    def forward(ctx: Any, call: Callable[..., Any], *parameters: Tensor) -> Tensor:
        # copies: a function that writes into its argument must not move the weights
        loss, gradients = call([p.detach().cpu().numpy().copy() for p in parameters])
        if len(gradients) != len(parameters):
            raise ProblemError(f"value_and_gradient returned {len(gradients)} gradients for {len(parameters)} weights.")
        ctx.gradients = [_gradient(g, p) for g, p in zip(gradients, parameters, strict=True)]
        return torch.as_tensor(np.asarray(loss), dtype=parameters[0].dtype, device=parameters[0].device)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Any, ...]:
        return (None, *(None if g is None else outer[0] * g for g in ctx.gradients))


def _gradient(gradient: Any, parameter: Tensor) -> Tensor | None:
    if gradient is None:
        return None
    values = torch.as_tensor(np.array(gradient), dtype=parameter.dtype, device=parameter.device)
    if values.shape != parameter.shape:
        raise ProblemError(
            f"value_and_gradient returned a gradient of shape {tuple(values.shape)} for weights of shape {tuple(parameter.shape)}."
        )
    return values


def _rows(problem: Problem) -> Iterator[tuple[str, Any]]:
    """What a notebook shows."""
    parameters = [p for p in problem.model.parameters() if p.requires_grad]
    plain = isinstance(problem.model, _Point)
    if not plain:
        yield "model", type(problem.model).__name__
    yield "weights", "not known before its first batch" if any(map(is_lazy, parameters)) else sum(p.numel() for p in parameters)
    if not plain:
        yield "data", _form(problem.data)
        unset = "its own" if _own_batches(problem.data) else "64, or all of the data where there is less"
        yield "batch size", unset if problem.batch_size is None else problem.batch_size
    yield "loss", "a function of the weights, without data" if plain else _way(problem)
    yield "validation", "none" if problem.validation is None else _form(problem.validation)
    yield from _known(problem.answer) if problem.answer is not None else ()
    yield from [("source", problem.source)] if problem.source else ()


def _known(answer: Answer) -> Iterator[tuple[str, Any]]:
    points = [f"({html.point(minimum)})" for minimum in answer.minima[:4]]
    points += [f"and {len(answer.minima) - 4:,} more"] if len(answer.minima) > 4 else []
    if points:
        yield "known minimum" if len(points) == 1 else "known minima", ", ".join(points)
    known = {"loss there": answer.loss, "curvature there": answer.curvature, "stability limit": answer.stability_limit}
    yield from ((name, value) for name, value in {**known, "known from": answer.source or None}.items() if value is not None)


def _form(data: Any) -> str:
    """How the data is given, and how much there is of it."""
    count = _length(data)
    if is_pair(data):
        inputs, targets = (tuple(part.shape) for part in data)
        return f"{count:,} samples: inputs of shape {inputs}, targets of shape {targets}"
    units = "batches" if _own_batches(data) else "samples"
    return f"{type(data).__name__} of {units if count is None else f'{count:,} {units}'}"


def _own_batches(data: Any) -> bool:
    """Whether the data yields batches, not samples."""
    return not is_pair(data) and (isinstance(data, DataLoader | IterableDataset | list | tuple) or not hasattr(data, "__getitem__"))


def _way(problem: Problem) -> str:
    """The one way to a scalar loss."""
    if problem.objective is not None:
        return f"objective {_called(problem.objective)}"
    return "model(**batch).loss" if problem.loss is None else _called(problem.loss)


def _called(function: Any) -> str:
    return str(getattr(function, "__name__", None) or type(function).__name__)
