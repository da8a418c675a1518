"""What is descended: a model, its data and one way to a scalar loss, as one value.  model + data + loss -> Problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, TypeAlias, TypeGuard, cast

import numpy as np  # noqa: F401  the examples use both
import torch  # noqa: F401
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader, IterableDataset

from surefoot import foreign, html
from surefoot.errors import ProblemError
from surefoot.foreign import Point, Weights
from surefoot.start import standing_at

Loss: TypeAlias = Callable[[Any, Any], Tensor]
Objective: TypeAlias = Callable[[nn.Module, Any], Tensor]
RECALLED = 1000  # weights that a recipe holds; more do not belong among settings


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
            # of several processes, some may have nothing to validate on
            _check_data(self.validation, "validation", isinstance(self.model, nn.parallel.DistributedDataParallel))

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
        point = Point({"x": foreign.parameter(start)})
        return cls(point, [()], objective=lambda model, _: function(cast(Tensor, model.x)), name=name, **known)

    @classmethod
    def of_gradient(
        cls, value_and_gradient: Callable[..., tuple[Any, Weights]], start: Weights, *, data: Any = None, validation: Any = None,
        batch_size: int | str | None = None, value: Callable[..., Any] | None = None, name: str = "", **known: Any,
    ) -> Problem:  # fmt: skip
        """The problem of minimising a function of another framework (TensorFlow, JAX, NumPy) that brings its own gradient.

        Args:
            value_and_gradient: takes the weights in the structure of ``start``, as NumPy arrays of its kinds of number, and where there
                is data a batch, in the structure it has, as NumPy arrays; returns ``(loss, gradients)`` with the gradients in the
                same structure, anything that ``numpy.asarray`` understands, None where there is none. ``jax.value_and_grad(loss)`` is one.
            start: one array, or sequences and mappings of arrays, one within another.
            data: as for a `Problem`; None for a function of the weights alone.
            validation: as for a `Problem`.
            batch_size: as for a `Problem`.
            value: the loss alone, of the same arguments: a third of the time where no gradient is asked for, in validation and surfaces.
            name: how the problem is called.
            known: ``answer`` and ``source``, as for a `Problem`.

        Returns:
            A problem whose parameters are named ``x`` (one array), ``0``, ``1``, ... (a sequence), by their keys, or by all of these on
            the way to them (``dense/kernel``). Numbers of a batch that are not whole come in the kind of the first weights, bfloat16 as
            float32.

        Raises:
            ProblemError: no numbers to start from, or validation without data; when called, if a gradient has not the shape of its
                weights, or the answer not the structure.

        Example:
            >>> problem = Problem.of_gradient(lambda x: ((x**2).sum(), 2 * x), start=np.array([3.0, 4.0]))
            >>> problem.loss_on(problem.model, ()).item()
            25.0
            >>> def squares(weights, batch):
            ...     x, y = batch
            ...     error = weights["slope"] * x - y
            ...     return (error**2).mean(), {"slope": (2 * error * x).mean()}
            >>> x = np.linspace(0, 1, 20)
            >>> line = Problem.of_gradient(squares, {"slope": np.array(0.0)}, data=(x, 3 * x), batch_size="full")
            >>> line.loss_on(line.model, (torch.ones(4), torch.full((4,), 3.0))).item()
            9.0
        """
        if data is None and (validation is not None or batch_size is not None):
            raise ProblemError(
                "validation and batch_size need data=, from which value_and_gradient(weights, batch) gets its batches."
            )
        model = foreign.of_functions(value_and_gradient, value, start, data is not None)
        given = {"data": [()]} if data is None else {"data": data, "validation": validation, "batch_size": batch_size}
        return cls(model, objective=foreign.asked, name=name, **given, **known)

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

    def at(self, weights: Weights) -> Problem:
        """The same problem with descents beginning at other weights; its own model stays as it is.

        Args:
            weights: numbers one after the other, in the order of the model's trainable parameters; or a mapping of names to arrays,
                as a state dict is one (``run.weights``), of which what it does not name stays.

        Returns:
            A problem whose model is a copy. Its recipe tells of the start, as ``at``; there is none where a start of more than
            1,000 weights, or of more than the trainable ones, was given: what was made anew would begin elsewhere.

        Raises:
            SettingError: the weights are not as many, not of these names or shapes, or not finite in the precision of the model.
            ProblemError: the model cannot be copied, or has nothing to train.

        Example:
            >>> bowl = Problem.of(lambda x: (x**2).sum(), start=[3.0, 4.0])
            >>> there = bowl.at([0.0, 2.0])
            >>> there.loss_on(there.model, ()).item(), bowl.loss_on(bowl.model, ()).item()
            (4.0, 25.0)
        """
        names = trainable(self.model)
        model = standing_at(self.model, names, weights)
        recipe, row = None, [value for name in names for value in model.get_parameter(name).detach().reshape(-1).tolist()]
        if self.recipe and len(row) <= RECALLED and not (isinstance(weights, Mapping) and set(weights) - set(names)):
            recipe = {**self.recipe, "at": row}
        return replace(self, model=model, recipe=recipe)

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


def _check_data(data: Any, role: str, may_be_empty: bool = False) -> None:
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
    if _length(data) == 0 and not may_be_empty:
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


def _rows(problem: Problem) -> Iterator[tuple[str, Any]]:
    """What a notebook shows."""
    parameters = [p for p in problem.model.parameters() if p.requires_grad]
    plain = isinstance(problem.model, Point) and _without_data(problem.data)
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


def _without_data(data: Any) -> bool:
    """Whether there is nothing but one batch of nothing, as a function of the weights has it."""
    return isinstance(data, list) and len(data) == 1 and isinstance(data[0], tuple) and not data[0]


def _way(problem: Problem) -> str:
    """The one way to a scalar loss."""
    if problem.objective is not None:
        return f"objective {_called(problem.objective)}"
    return "model(**batch).loss" if problem.loss is None else _called(problem.loss)


def _called(function: Any) -> str:
    return str(getattr(function, "__name__", None) or type(function).__name__)
