"""What does another framework say?  weights and a batch as NumPy arrays -> its loss and its gradients, carried by autograd.

The model that a descent moves is nothing but the weights; a function of the other framework answers for them. It is always given the
kind of number that it brought, so that a measurement never mistakes its rounding for the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.errors import ProblemError

Weights: TypeAlias = Any  # one array, or sequences and mappings of arrays, one within another
Array: TypeAlias = "np.ndarray[Any, Any]"
#: weights, batch, state, whether it trains, whether gradients are asked for -> loss, gradients, the new state
Answer: TypeAlias = Callable[[list[Array], Any, list[Array], bool, bool], tuple[Any, Sequence[Any] | None, Sequence[Any]]]
BATCHED = "the loss comes from another framework"


class Point(nn.Module):
    """A model that is nothing but its parameters."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        for name, parameter in parameters.items():
            self.register_parameter(name, parameter)


class Foreign(Point):
    """The weights of a model of another framework; called with a batch, it gives the loss that the framework gives.

    Args:
        start: the weights by name, as NumPy arrays.
        answer: gives the loss, the gradients in the order of the weights (None where there is none), and the new state.
        state: arrays that a step in training mode changes beside the weights (running statistics, seeds).

    Attributes:
        narrow: whether the framework has answered in numbers narrower than the weights are.
    """

    narrow: bool

    def __init__(self, start: Mapping[str, Any], answer: Answer, state: Sequence[Any] = ()) -> None:
        arrays = {name: _numbers(name, value) for name, value in start.items()}
        names = _allowed(arrays)
        super().__init__({names[name]: parameter(value) for name, value in arrays.items()})
        self.answer, self.narrow = answer, False
        self._names, self._kinds = list(names.values()), [value.dtype for value in arrays.values()]
        kept = [np.asarray(value) for value in state]
        self._state_kinds = [value.dtype for value in kept]
        for index, value in enumerate(kept):
            self.register_buffer(f"state_{index}", _tensor(value).clone())

    def forward(self, batch: Any) -> Tensor:
        """The loss on a batch; in training mode and with gradients the state goes on."""
        parameters = [getattr(self, name) for name in self._names]  # not get_parameter: torch.func swaps in plain tensors
        if any(torch._C._functorch.is_functorch_wrapped_tensor(p) for p in parameters):
            raise RuntimeError(BATCHED)
        return _Carried.apply(self, _arrays(batch), torch.is_grad_enabled(), *parameters)  # type: ignore[no-any-return, no-untyped-call]

    def ask(self, values: Sequence[Tensor], batch: Any, gradient: bool) -> tuple[Any, Sequence[Any] | None]:
        """The loss at these weights, and its gradients where they are asked for."""
        # copies: a function that writes into its argument must not move the weights
        weights = [_array(value, kind).copy() for value, kind in zip(values, self._kinds, strict=True)]
        buffers = [self.get_buffer(f"state_{index}") for index in range(len(self._state_kinds))]
        state = [_array(value, kind).copy() for value, kind in zip(buffers, self._state_kinds, strict=True)]
        loss, gradients, after = self.answer(weights, batch, state, self.training, gradient)
        if self.training and gradient:
            with torch.no_grad():
                for buffer, value in zip(buffers, after, strict=True):
                    buffer.copy_(_tensor(np.asarray(value)))
        return loss, gradients

    def saw(self, kind: Any) -> None:
        """Notes the kind of number that the framework answers in."""
        widest = max(kind.itemsize for kind in self._kinds)
        self.narrow = self.narrow or (kind.kind not in "iub" and kind.itemsize < widest)

    def _apply(self, function: Any, recurse: bool = True) -> Any:
        for dtype in {p.dtype for p in self.parameters()}:
            other = function(torch.empty(0, dtype=dtype)).dtype
            if other != dtype:
                raise TypeError(f"The weights are those of another framework and stay {dtype}; they cannot become {other}.")
        return super()._apply(function, recurse)  # type: ignore[no-untyped-call]


class _Carried(torch.autograd.Function):
    """Lets autograd carry a loss and its gradients that were computed elsewhere."""

    @staticmethod
    def forward(ctx: Any, model: Foreign, batch: Any, wanted: bool, *parameters: Tensor) -> Tensor:
        loss, gradients = model.ask([p.detach() for p in parameters], batch, wanted)
        if wanted:
            if gradients is None or len(gradients) != len(parameters):
                count = "no" if gradients is None else len(gradients)
                raise ProblemError(f"value_and_gradient returned {count} gradients for {len(parameters)} weights.")
            ctx.gradients = [_gradient(g, p, name) for g, p, name in zip(gradients, parameters, model._names, strict=True)]
        value = _numbers("the loss", loss, "value_and_gradient must return (loss, gradients), the loss a single number.")
        model.saw(value.dtype)
        return _tensor(value).to(parameters[0].device, parameters[0].dtype)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Any, ...]:
        return (None, None, None, *(None if g is None else outer[0] * g for g in ctx.gradients))


def asked(model: nn.Module, batch: Any) -> Tensor:
    """The objective of a problem whose model is `Foreign`."""
    return model(batch)  # type: ignore[no-any-return]


def of_functions(
    value_and_gradient: Callable[..., Any], value: Callable[..., Any] | None, start: Weights, with_data: bool
) -> Foreign:
    """The model for functions of the user's, that take the weights in the structure of ``start``, and a batch where there is data."""

    def answer(arrays: list[Array], batch: Any, state: list[Array], training: bool, gradient: bool) -> tuple[Any, Any, Any]:
        given = (like(start, iter(arrays)), *((batch,) if with_data else ()))
        if not gradient and value is not None:
            return value(*given), None, ()
        answered = value_and_gradient(*given)
        if not (isinstance(answered, tuple | list) and len(answered) == 2):
            raise ProblemError(f"value_and_gradient must return (loss, gradients), got a {type(answered).__name__}.")
        return answered[0], list(matched(start, answered[1])) if gradient else None, ()

    return Foreign(leaves(start), answer)


# ---- structures


def leaves(weights: Weights) -> dict[str, Any]:
    """The arrays by name: ``x`` for one alone, else the keys and places on the way to it, with ``/`` between them.

    >>> list(leaves({"dense": {"w": 1.0, "b": 2.0}, "scales": [3.0, 4.0]})), list(leaves(5.0)), list(leaves([np.ones(2), (6.0,)]))
    (['dense/w', 'dense/b', 'scales'], ['x'], ['0', '1'])
    """
    named = dict(_walk(weights, ()))
    return {"/".join(map(str, path)) or "x": value for path, value in named.items()}


def like(start: Weights, values: Iterator[Any]) -> Weights:
    """The values in the structure of ``start``, taken in the order of `leaves`.

    >>> like({"a": 0.0, "b": (np.ones(1), np.ones(2))}, iter([1, 2, 3]))
    {'a': 1, 'b': (2, 3)}
    """
    if _is_leaf(start):
        return next(values) if start is not None else None
    if isinstance(start, Mapping):
        filled = {key: like(part, values) for key, part in start.items()}
        try:
            return type(start)(filled)  # type: ignore[call-arg]  # as a FrozenDict, which such a function may rely on
        except TypeError:
            return filled
    parts = [like(part, values) for part in start]
    return type(start)(*parts) if hasattr(start, "_fields") else type(start)(parts)


def matched(start: Weights, gradients: Any) -> Iterator[Any]:
    """The gradients in the order of `leaves`: by key where the weights have keys, whose order a framework may have changed."""
    if start is None:
        return
    if gradients is None or _is_leaf(start):
        yield from [gradients] * sum(1 for _ in _walk(start, ()))
    elif isinstance(start, Mapping):
        missing = [key for key in start if not isinstance(gradients, Mapping) or key not in gradients]
        if missing:
            told = (
                f"one with {', '.join(map(repr, gradients))}" if isinstance(gradients, Mapping) else f"a {type(gradients).__name__}"
            )
            raise ProblemError(
                f"value_and_gradient must return gradients in the structure of the weights: no {missing[0]!r} in {told}."
            )
        for key, part in start.items():
            yield from matched(part, gradients[key])
    else:
        if not isinstance(gradients, list | tuple) or len(gradients) != len(start):
            count = len(gradients) if isinstance(gradients, list | tuple) else f"a {type(gradients).__name__} for"
            raise ProblemError(f"value_and_gradient returned {count} gradients for {len(start)} weights.")
        for part, each in zip(start, gradients, strict=True):
            yield from matched(part, each)


def _walk(weights: Weights, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if weights is None:  # a place that holds nothing, as in JAX
        return
    if _is_leaf(weights):
        yield path, weights
    else:
        pairs = weights.items() if isinstance(weights, Mapping) else enumerate(weights)
        for key, part in pairs:
            yield from _walk(part, (*path, key))


def _is_leaf(weights: Any) -> bool:
    if isinstance(weights, Mapping):
        return False
    # a list of numbers is an array
    return not isinstance(weights, list | tuple) or not weights or all(np.isscalar(part) for part in weights)


def _allowed(names: Mapping[str, Any]) -> dict[str, str]:
    """Names that a module takes for parameters: without dots, none of its own, no two alike."""
    if not names:
        raise ProblemError("start holds no weights.")
    given: dict[str, str] = {}
    own = nn.Module()
    for name in names:
        made = name.replace(".", "_") or "_"
        while made in given.values() or hasattr(own, made) or hasattr(Foreign, made):
            made += "_"
        given[name] = made
    return given


# ---- numbers


def parameter(start: Any) -> nn.Parameter:
    """The parameter that begins at ``start``; integers and Python's own numbers become the default kind of floating-point number.

    >>> [parameter(start).dtype for start in ([1.0], np.array([1.0]), [np.float32(1.0)])]
    [torch.float32, torch.float64, torch.float32]
    """
    if isinstance(start, Tensor):
        values = start.detach().clone()
    else:
        values = _tensor(np.array(start)) if hasattr(start, "__array__") else torch.as_tensor(start)
    return nn.Parameter(values if values.is_floating_point() else values.to(torch.get_default_dtype()))


def _numbers(name: str, value: Any, way_out: str = "Give arrays of numbers.") -> Array:
    """The value as an array."""
    if isinstance(value, Tensor):
        value = value.detach().float().cpu() if value.dtype == torch.bfloat16 else value.detach().cpu()
    try:
        # of a single bfloat16 TensorFlow's own conversion gives no array
        found = np.asarray(value.numpy() if getattr(value, "shape", None) == () and hasattr(value, "numpy") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ProblemError(
            f"{name} must be numbers, got a {type(value).__name__} ({str(error).splitlines()[0]}). {way_out}"
        ) from error
    if found.dtype.kind not in "biuf" and found.dtype.name != "bfloat16":
        raise ProblemError(f"{name} must be numbers, got a {type(value).__name__} of {found.dtype}. {way_out}")
    own = (
        hasattr(value, "__array__") or found.dtype.kind not in "biuf"
    )  # not one of Python's numbers, which have no precision of their own
    return found if own else found.astype(torch_default())


def torch_default() -> Any:
    """NumPy's name of torch's default kind of floating-point number."""
    return np.dtype(str(torch.get_default_dtype()).removeprefix("torch."))


def _tensor(array: Array) -> Tensor:
    """As a tensor; bfloat16, which NumPy only has by an extension, goes through float32."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(np.atleast_1d(array).astype(np.float32)).reshape(array.shape).bfloat16()
    kind = {"uint32": np.int64, "uint16": np.int64, "uint64": np.int64}.get(array.dtype.name)  # which torch can hardly compute with
    return torch.from_numpy(np.array(array if kind is None else array.astype(kind)))


def _array(tensor: Tensor, kind: Any = None) -> Array:
    """As an array, of this kind of number; bfloat16 in float32 where no other is given."""
    plain = tensor.detach().cpu()
    found: Array = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    return found if kind is None else found.astype(kind, copy=False)


def _arrays(batch: Any) -> Any:
    """The batch with arrays in place of its tensors."""
    if isinstance(batch, Tensor):
        return _array(batch)
    if isinstance(batch, Mapping):
        return {key: _arrays(value) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        parts = [_arrays(part) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def _gradient(gradient: Any, weight: Tensor, name: str) -> Tensor | None:
    if gradient is None:
        return None
    if (
        hasattr(gradient, "indices") and hasattr(gradient, "values") and not callable(gradient.values)
    ):  # rows of a table, as tf.IndexedSlices
        dense = np.zeros(weight.shape, np.asarray(gradient.values).dtype)
        np.add.at(dense, np.asarray(gradient.indices), np.asarray(gradient.values))
        gradient = dense
    values = _tensor(_numbers(f"the gradient of {name}", gradient)).to(weight.device, weight.dtype)
    if values.shape != weight.shape:
        raise ProblemError(
            f"value_and_gradient returned a gradient of shape {tuple(values.shape)} for weights of shape {tuple(weight.shape)}."
        )
    return values
