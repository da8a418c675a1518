"""What does a compiled Keras model train on?  model + data -> a `Problem` with the loss it was compiled with, on any backend.

The model is called in Keras' stateless scope, with the descent's weights in place of its own: its variables, its moving statistics and
its seeds stay as they are, and so do its optimizer and its metrics. On the torch backend autograd goes through; on TensorFlow and JAX the
backend gives the gradient.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.descent.snapshot import World, carried_generators, random_state
from surefoot.errors import ProblemError, SettingError
from surefoot.foreign import Foreign, asked
from surefoot.integrations.keras_installed import keras
from surefoot.problem import Problem

BATCH_SIZE = 32  # what fit takes where none is given


def problem_of(
    model: Any, x: Any, y: Any = None, *, batch_size: int | None = None, validation_data: Any = None, sample_weight: Any = None,
    class_weight: Any = None, name: str = "",
) -> Problem:  # fmt: skip
    """The problem that ``model.fit(x, y)`` would train: its loss (several outputs, added losses, weights of samples), its data.

    Args:
        model: a compiled model with weights; it stays as it is.
        x: arrays, or lists and dicts of them; or what yields batches ``(inputs, targets)`` or ``(inputs, targets, sample_weights)``
            again and again: a ``tf.data.Dataset``, a ``PyDataset``, a ``DataLoader``, a list.
        y: the targets, where ``x`` is arrays.
        batch_size: samples per batch; None for 32, as in ``fit``. What yields batches keeps its own.
        validation_data: ``(x, y)``, ``(x, y, sample_weight)``, or what yields batches.
        sample_weight: as for ``fit``.
        class_weight: as for ``fit``.
        name: how the problem is called.

    Returns:
        A problem whose weights are named by the paths of the model's variables. Moving statistics and seeds go on in training and are
        its buffers.

    Raises:
        ProblemError: the model is not compiled, has no loss or no weights yet, or trains in a way of its own; the data is of another form.
    """
    _check(model)
    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1):
        raise SettingError(f"batch_size must be a positive int or None, got {batch_size!r}.")
    sets = [_Samples.of(x, y, sample_weight, class_weight, 0)]
    if validation_data is not None:
        together = isinstance(validation_data, tuple) or (
            isinstance(validation_data, list) and not _yields_batches(validation_data, None)
        )
        inputs, targets, weights = _three(validation_data) if together else (validation_data, None, None)
        sets.append(_Samples.of(inputs, targets, weights, None, 1))
    stateless = Stateless(model, sets)
    validation = sets[1].data if len(sets) > 1 else None
    stateless.settle(batch_size or BATCH_SIZE)
    size = None if sets[0].own_batches else min(batch_size or BATCH_SIZE, sets[0].count)
    if sets[0].own_batches and batch_size is not None:
        raise SettingError(f"A {type(x).__name__} keeps its own batches, but batch_size={batch_size!r} was given; leave it out.")
    return Problem(
        _module(stateless), sets[0].data, objective=asked, validation=validation, batch_size=size, name=name or model.name
    )


def _check(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise ProblemError(f"A compiled keras.Model is needed, got a {type(model).__name__}.")
    if not model.compiled:
        raise ProblemError("The model is not compiled: call model.compile(optimizer=..., loss=...) first.")
    if not model.built or not model.variables:
        raise ProblemError("The model has no weights yet: call model.build(input_shape), or call it on one batch, first.")
    if not model.trainable_variables:
        raise ProblemError("The model has no trainable weight: every layer is frozen, or there is none.")
    if _own(model, "train_step"):
        raise ProblemError(
            f"{type(model).__name__} has a train_step of its own, whose loss cannot be taken over. "
            "Write it as a function for Problem.of_gradient(value_and_gradient, weights, data=...)."
        )
    constrained = [v.path for v in model.trainable_variables if v.constraint is not None]
    if constrained:
        raise ProblemError(f"{constrained[0]} has a constraint, which descents do not keep. Take it away for the search.")


def _own(model: Any, method: str) -> bool:
    """Whether the user wrote that method anew."""
    written = getattr(type(model), method, None)
    return not getattr(written, "__module__", "keras").startswith("keras")


class Stateless:
    """A compiled model as a function of its weights and its state.

    Attributes:
        trained: the variables that a descent moves.
        state: those that a step changes beside them: moving statistics, seeds.
    """

    def __init__(self, model: Any, sets: Sequence[_Samples]) -> None:
        self.model, self.sets = model, sets
        self.numbered = any(each.count and not each.plain for each in sets)
        for each in sets:
            each.settle(self.numbered)
        self.trained = list(model.trainable_variables)
        measured = {id(v) for v in model.metrics_variables}
        self.state = [v for v in model.non_trainable_variables if id(v) not in measured]
        self.compiled = model._compile_loss
        if (
            self.compiled is not None and not self.compiled.built
        ):  # that is done at the first batch of fit, and belongs to the model
            theirs = self.compiled
            self.compiled = type(theirs)(theirs._user_loss, theirs._user_loss_weights, output_names=theirs.output_names)
        self.jitted: dict[tuple[bool, bool], Any] = {}

    def __deepcopy__(self, memo: Any) -> Stateless:
        return self  # it is never changed: a copy of the weights is all that a descent needs

    def __reduce__(self) -> Any:
        if keras.backend.backend() != "torch":
            raise TypeError(f"a Keras model on {keras.backend.backend()} stays in its process; leave engine= out")
        # Keras can save the model, which brings its loss and optimizer along, but neither a loss by itself nor what was traced
        return _sent, (self.model, self.sets)

    def settle(self, batch_size: int) -> None:
        """Sees a first batch, so that what Keras makes there is made outside of any trace; complains of a missing loss."""
        carried = carried_generators(self.sets[0].data)
        with World(random_state(carried), carried).entered():  # a loader that shuffles draws for its first batch
            x, y, weight = self.sets[0].first(batch_size)
        if y is None and self.compiled is not None and not _own(self.model, "compute_loss"):
            raise ProblemError(
                "The model was compiled with a loss of its targets, but there are none: give y, or batches (inputs, targets)."
            )
        tensors = _each(keras.ops.convert_to_tensor, (x, y, weight))
        values = [v.value for v in self.trained], [v.value for v in self.state]
        with torch.no_grad(), self._scope(*values):
            predicted = self._called(tensors[0], False)
            if self.compiled is not None:
                with self._losses():
                    self.model._compute_loss(*tensors[:2], predicted, tensors[2], training=False)
            elif not self.model.losses and not _own(self.model, "compute_loss"):
                raise ProblemError(
                    "The model is compiled without a loss: give model.compile(..., loss=...), or one added by a layer."
                )

    def loss(self, weights: Sequence[Any], state: Sequence[Any], batch: Any, training: bool) -> tuple[Any, list[Any]]:
        """The loss on a batch, tensors of the backend throughout, and the new state."""
        x, y, weight = batch
        with self._scope(weights, state) as scope, self._losses():
            predicted = self._called(x, training)
            loss = self.model._compute_loss(x=x, y=y, y_pred=predicted, sample_weight=weight, training=training)
            return loss, [scope.get_current_value(v) for v in self.state]

    def rows(self, batch: Any) -> tuple[Any, Any, Any]:
        """Inputs, targets and sample weights, from what the problem's data holds."""
        if self.numbered and len(batch) == 2:
            which, picked = self.sets[int(batch[1][0])], np.asarray(batch[0])
            return tuple(_picked(part, picked) for part in which.parts)
        return _three(batch)

    def _called(self, x: Any, training: bool) -> Any:
        return self.model(x, training=training) if self.model._call_has_training_arg else self.model(x)

    def _scope(self, weights: Sequence[Any], state: Sequence[Any]) -> Any:
        pairs = [*zip(self.trained, weights, strict=True), *zip(self.state, state, strict=True)]
        return keras.StatelessScope(state_mapping=pairs, collect_losses=True)

    @contextlib.contextmanager
    def _losses(self) -> Iterator[None]:
        """Inside, the model has the loss that was built here; past the attributes' tracking, which would note it."""
        kept = self.model.__dict__["_compile_loss"]
        self.model.__dict__["_compile_loss"] = self.compiled
        try:
            yield
        finally:
            self.model.__dict__["_compile_loss"] = kept


def _sent(model: Any, sets: Sequence[_Samples]) -> Stateless:
    stateless = Stateless(model, sets)
    stateless.settle(BATCH_SIZE)
    return stateless


# ---- as a module of torch


def _module(stateless: Stateless) -> nn.Module:
    if keras.backend.backend() == "torch":
        return _Native(stateless)
    answer = {"jax": _by_jax, "tensorflow": _by_tensorflow}.get(keras.backend.backend())
    if answer is None:
        raise SettingError(
            f"The Keras backend {keras.backend.backend()!r} gives no gradients; set KERAS_BACKEND to tensorflow, jax or torch."
        )
    start = {v.path: keras.ops.convert_to_numpy(v.value) for v in stateless.trained}
    if len(start) < len(stateless.trained):  # two layers of one name
        start = {f"{index}/{v.path}": keras.ops.convert_to_numpy(v.value) for index, v in enumerate(stateless.trained)}
    state = [keras.ops.convert_to_numpy(v.value) for v in stateless.state]
    return Foreign(start, functools.partial(answer, stateless), state)


class _Native(nn.Module):
    """The weights and the state of a Keras model on torch, whose loss autograd follows."""

    def __init__(self, stateless: Stateless) -> None:
        super().__init__()
        self.stateless = stateless
        self._names = []
        for index, variable in enumerate(stateless.trained):
            name = variable.path.replace(".", "_")
            self._names.append(name if not hasattr(self, name) else f"{index}/{name}")
            self.register_parameter(self._names[-1], nn.Parameter(variable.value.detach().clone()))
        for index, variable in enumerate(stateless.state):
            self.register_buffer(f"state_{index}", variable.value.detach().clone())

    def forward(self, batch: Any) -> Tensor:
        """The loss on a batch; in training mode and with gradients the state goes on."""
        weights = [getattr(self, name) for name in self._names]
        buffers = [getattr(self, f"state_{index}") for index in range(len(self.stateless.state))]
        rows = _tensors(self.stateless.rows(batch))
        loss, after = self.stateless.loss(weights, buffers, rows, self.training)
        if self.training and torch.is_grad_enabled():
            with torch.no_grad():
                for buffer, value in zip(buffers, after, strict=True):
                    buffer.copy_(value)
        return loss  # type: ignore[no-any-return]


def _by_jax(stateless: Stateless, weights: Any, batch: Any, state: Any, training: bool, gradient: bool) -> tuple[Any, Any, Any]:
    import jax  # the backend that Keras has loaded already

    if (training, gradient) not in stateless.jitted:

        def loss(weights: Any, state: Any, rows: Any) -> Any:
            return stateless.loss(weights, state, rows, training)

        stateless.jitted[training, gradient] = jax.jit(jax.value_and_grad(loss, has_aux=True) if gradient else loss)
    answered = stateless.jitted[training, gradient](weights, state, stateless.rows(batch))
    if not gradient:
        return answered[0], None, answered[1]
    (value, after), gradients = answered
    return value, gradients, after


def _by_tensorflow(
    stateless: Stateless, weights: Any, batch: Any, state: Any, training: bool, gradient: bool
) -> tuple[Any, Any, Any]:
    import tensorflow as tf  # the backend that Keras has loaded already

    if (training, gradient) not in stateless.jitted:

        def both(weights: Any, state: Any, rows: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(weights)
                loss, after = stateless.loss(weights, state, rows, training)
            return loss, tape.gradient(loss, weights) if gradient else None, after

        eager = stateless.model.run_eagerly
        stateless.jitted[training, gradient] = both if eager else tf.function(both, reduce_retracing=True)
    tensors = tf.nest.map_structure(tf.convert_to_tensor, (weights, state))
    rows = _each(tf.convert_to_tensor, stateless.rows(batch))
    return stateless.jitted[training, gradient](*tensors, rows)  # type: ignore[no-any-return]


# ---- data


class _Samples:
    """Training or held-out samples, in the form that a `Problem` takes.

    Attributes:
        data: a pair of arrays; where there is more than one input and one target, their numbers and which samples they are of;
            or an iterable of batches.
        parts: inputs, targets and sample weights.
        plain: whether it is the pair of arrays itself.
        own_batches: whether it yields batches.
    """

    data: Any
    parts: tuple[Any, Any, Any]

    def __init__(self, parts: tuple[Any, Any, Any], place: int, batches: _Batches | None = None) -> None:
        self.parts, self.place, self.count, self.own_batches = parts, place, 0, batches is not None
        x, y, weight = parts
        self.plain = batches is None and _is_array(x) and _is_array(y) and weight is None
        if batches is not None:
            self.data = batches
            return
        flat = [part for part in keras.tree.flatten(parts) if part is not None]
        if any(not part.shape for part in flat):
            raise ProblemError(
                "x, y and sample_weight must hold arrays with a row per sample; there is a bare number (a list of numbers is no array)."
            )
        lengths = {len(part) for part in flat}
        if len(lengths) != 1:
            raise ProblemError(
                f"x, y and sample_weight must count the same samples, got {', '.join(map(str, sorted(lengths))) or 'none'}."
            )
        self.count = lengths.pop()

    def settle(self, numbered: bool) -> None:
        """Chooses the form of the data: arrays are taken as they are where all sets can be."""
        if not self.own_batches:
            self.data = (np.arange(self.count), np.full(self.count, self.place)) if numbered else self.parts[:2]

    @classmethod
    def of(cls, x: Any, y: Any, sample_weight: Any, class_weight: Any, place: int) -> _Samples:
        """From what ``fit`` takes."""
        if isinstance(x, Iterator):
            raise ProblemError(
                f"x is a one-shot {type(x).__name__}: after one pass it is empty, and a search needs many. "
                "Give arrays, a list of batches, a Dataset, or a keras.utils.PyDataset."
            )
        if _yields_batches(x, y):
            if y is not None or sample_weight is not None:
                raise ProblemError(
                    f"A {type(x).__name__} brings its targets and sample weights in its batches; leave y and sample_weight out."
                )
            return cls((None, None, None), place, _Batches(x, class_weight))
        if class_weight is not None:
            if sample_weight is not None:
                raise SettingError("Give class_weight or sample_weight, not both, as in fit.")
            sample_weight = _of_classes(class_weight, y)
        parts = _each(_array, (x, y, sample_weight))
        return cls(parts, place)

    def first(self, count: int) -> tuple[Any, Any, Any]:
        """The inputs, targets and sample weights of a first batch."""
        if self.own_batches:
            batch = next(iter(self.data), None)
            if batch is None:
                raise ProblemError("The data is empty: it yields no batch.")
            return _three(batch)
        return tuple(_picked(part, np.arange(min(count, self.count))) for part in self.parts)


class _Batches:
    """Batches of another framework, as arrays, again and again."""

    def __init__(self, batches: Any, class_weight: Any = None) -> None:
        self.batches, self.class_weight = batches, class_weight

    def __iter__(self) -> Iterator[Any]:
        theirs = self.batches
        if isinstance(theirs, keras.utils.PyDataset):
            dataset = theirs
            count = dataset.num_batches  # None: endless
            theirs = (dataset[index] for index in (itertools.count() if count is None else range(count)))
        for batch in theirs:
            x, y, weight = _each(_array, _three(batch))
            if self.class_weight is not None:
                if weight is not None:
                    raise SettingError("Give class_weight or batches with sample weights, not both, as in fit.")
                weight = _of_classes(self.class_weight, y)
            yield x, y, weight  # always of three parts, which tells them from numbered samples

    def __len__(self) -> int:
        if isinstance(self.batches, keras.utils.PyDataset):
            if self.batches.num_batches is None:
                raise TypeError("its num_batches is None")
            return int(self.batches.num_batches)
        return len(self.batches)


def _yields_batches(x: Any, y: Any) -> bool:
    if isinstance(x, keras.utils.PyDataset) or (y is None and isinstance(x, list) and x and isinstance(x[0], tuple)):
        return True
    return not isinstance(x, dict | list | tuple) and not _is_array(x) and hasattr(x, "__iter__") and not hasattr(x, "iloc")


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and hasattr(value, "shape")


def _array(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise ProblemError(f"The data holds {array.dtype} values, which are not numbers; encode them first.")
    return array.astype(keras.config.floatx()) if array.dtype.kind == "f" else array


def _of_classes(class_weight: Any, y: Any) -> Any:
    """A weight per sample, by its class."""
    labels = np.asarray(y)
    if labels.ndim > 1:
        labels = labels.argmax(-1) if labels.shape[-1] > 1 else labels[..., 0]
    if labels.ndim != 1:
        raise SettingError(f"class_weight needs one class per sample, got targets of shape {np.shape(y)}.")
    return np.array([class_weight.get(int(label), 1.0) for label in labels], dtype=keras.config.floatx())


def _picked(part: Any, rows: Any) -> Any:
    return _each(lambda each: each[rows], part)


def _three(batch: Any) -> tuple[Any, Any, Any]:
    if not isinstance(batch, list | tuple):
        return batch, None, None
    if len(batch) > 3:
        raise ProblemError(f"Batches must be (inputs, targets) or (inputs, targets, sample_weights), got {len(batch)} parts.")
    return tuple([*batch, None, None][:3])


def _tensors(rows: Any) -> Any:
    return _each(torch.as_tensor, rows)


def _each(function: Any, parts: Any) -> Any:
    """The function of every array in a structure; None stays."""
    return keras.tree.map_structure(lambda part: None if part is None else function(part), parts)
