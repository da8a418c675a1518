"""How is a Keras training getting on?  the batches of ``fit`` -> a trace, and what is to be said of it.

Keras hides its gradients and gives callbacks a running mean of the loss. What can be had without changing the training is read between two
batches: the sum that this mean is made of, whose differences are the losses of the batches, and the weights.
"""

from __future__ import annotations

import functools
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch

from surefoot.descent.copied import norm
from surefoot.descent.seen import line
from surefoot.diagnosis.diagnose import diagnose
from surefoot.diagnosis.diagnosis import Diagnosis
from surefoot.diagnosis.watched import judged
from surefoot.integrations.following import NORMS, check_steps
from surefoot.integrations.keras_installed import keras
from surefoot.integrations.keras_optimizer import moving
from surefoot.integrations.trackers import outlets
from surefoot.trace import Row, Trace

NAN = float("nan")
SENT = 50  # batches from one sending to the trackers to the next, where nothing else is asked for
UNREAD = 256  # rows whose losses may still lie on the device
_Method = TypeVar("_Method", bound=Callable[..., None])


def _harmless(method: _Method) -> _Method:
    """The method without errors: the first one is noted and ends the watching, not the training."""

    @functools.wraps(method)
    def guarded(self: Watch, *args: Any, **kwargs: Any) -> None:
        if not self.watching:
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.watching = False
            self.note = f"The watching ended at step {len(self._rows)}: {type(error).__name__}: {' '.join(str(error).split())}"

    return guarded  # type: ignore[return-value]


class Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback for ``model.fit(..., callbacks=[Watch()])`` that keeps the trace of the training; on every backend.

    One row per batch. ``loss``: that of the batch, from the differences of the sum that Keras keeps in float32 (to 6e-8 of it for each batch
    since the beginning of the epoch). ``lr``: of the step, its schedule applied. ``update_norm``, ``weight_norm``: from the weights between the
    batches. ``grad_norm``: on the torch backend, before clipping; NaN on the others, where Keras shows no gradient. ``validation_loss``:
    at the end of an epoch. With ``steps_per_execution`` above 1 a row tells of so many batches and of their mean loss, without norms of updates.
    The training is the same, bit for bit, with and without it.

    Args:
        norms: batches from one measurement of the norms to the next; in between they are NaN.
        ratios: batches from one measurement of update over weight, variable by variable, to the next (at measurements of the norms): ``ratios``,
            and in the trace ``ratio_low`` and ``ratio_high``. None for never.
        every: batches between two lines on standard error, with the verdict; None for none.
        to: a tracker or a list of them, to each of which ``send(trace)`` is called every ``every`` (or 50) batches and at the end.

    Attributes:
        watching: False after an error of the watching, which never is one of the training.
        note: that error in a sentence, or what could not be measured and why; None where there was neither.

    Raises:
        SettingError: a count is no int of at least 1, or a tracker has no ``send``.

    Example:
        >>> import keras, numpy as np
        >>> x, y = np.ones((64, 1), "float32"), np.zeros((64, 1), "float32")
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
        >>> model.compile(keras.optimizers.SGD(0.75), "mse")  # the loss is w^2, each update is -1.5 w
        >>> seen = Watch(norms=1)
        >>> _ = model.fit(x, y, batch_size=32, epochs=2, verbose=0, callbacks=[seen])
        >>> seen.trace["loss"].tolist(), seen.trace["update_norm"].tolist()
        ([1.0, 0.25, 0.0625, 0.015625], [1.5, 0.75, 0.375, 0.1875])
    """

    def __init__(self, *, norms: int = NORMS, ratios: int | None = NORMS, every: int | None = None, to: Any = None) -> None:
        super().__init__()
        check_steps(norms=norms, ratios=ratios, every=every)
        self._to = outlets(to)
        self._norms, self._ratio_every, self._every = norms, ratios, every
        self.watching = True
        self.note: str | None = None
        self.ratios: Mapping[str, float] = {}
        self._rows: list[Row] = []
        self._sums: list[tuple[int, Any, Any, bool, Any]] = []  # row, sum and count so far, whether they began anew, rate
        self._schedules: list[tuple[int, Any, Any]] = []  # row, schedule and count of steps, of rates still to be computed
        self._last = (0.0, 0.0)
        self._step, self._open, self._fresh = 0, False, True
        self._copy: Any = None
        self._watched: Any = None  # the model that was trained last
        self._passed = 0.0  # passes through the data at the end of the last row
        self._passes: float | None = None  # what is added to Keras' count of them in this fit
        self._scale, self._counted = 1.0, False  # the second: whether Keras' mean of the loss was ever updated in this fit

    @property
    def trace(self) -> Trace:
        """The batches so far, as a trace."""
        self._settle()
        return Trace.of(self._rows)

    @property
    def diagnosis(self) -> Diagnosis:
        """What is to be said of it, by `surefoot.diagnose`."""
        return diagnose(self.trace)

    # ---- what Keras calls

    @_harmless
    def on_train_begin(self, logs: Any = None) -> None:
        """Looks at what there is to be watched."""
        model = self._model  # self.model would force JAX to put its state back into the variables
        self._variables = list(model.trainable_variables)
        tracker = model._loss_tracker
        self._places = [self._place(model.metrics_variables, v) for v in (tracker.total, tracker.count)]
        self._begin(model)
        optimizer = moving(model)
        rate = optimizer._learning_rate
        self._scheduled = not isinstance(rate, keras.Variable)
        self._skips = optimizer is not model.optimizer  # a step whose gradients overflow is not counted
        if not self._scheduled:
            self._places.append(self._place(model.optimizer.variables, rate))
        elif self._skips:
            self._places.append(self._place(model.optimizer.variables, optimizer.iterations))
        if keras.backend.backend() == "jax" and self._copy is None:
            import jax  # the backend that Keras has loaded already

            self._copy = jax.jit(lambda values: [value + 0 for value in values])  # one dispatch where three additions are three
        self._accumulate = getattr(optimizer, "gradient_accumulation_steps", None) or 1
        self._at_once = int(model.steps_per_execution or 1)
        self._iteration = int(keras.ops.convert_to_numpy(optimizer.iterations))
        if self._at_once > 1:
            self.note = f"steps_per_execution={self._at_once}: a row tells of so many batches, and no update is measured."
        elif keras.backend.backend() != "torch":
            self.note = f"Keras shows no gradient on {keras.backend.backend()}: grad_norm is NaN."

    @_harmless
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """The sum of the losses begins anew."""
        self._epoch, self._index, self._fresh = epoch, 0, True
        if self._passes is None:  # the first of this fit, whose count may begin anew
            self._passes = max(0.0, self._passed - epoch)

    @_harmless
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Ends the row of the last batch and begins that of the next: at the end of a batch, JAX would have to be waited for."""
        numbers = self._numbers()
        self._close(numbers)
        self._before = self._weights(copied=True) if self._due(self._norms) else None
        if self._before is not None:
            self._scale = self._scaled()
        self._rate = NAN if self._scheduled else numbers[2]
        self._at = numbers[2] if self._scheduled and self._skips else self._iteration
        self._open = True

    @_harmless
    def on_test_begin(self, logs: Any = None) -> None:
        """Validation begins the sum of the losses anew: the last batch is read before."""
        self._close()

    @_harmless
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Takes the validation loss."""
        self._close()
        if self._rows and logs and "val_loss" in logs:
            self._rows[-1] = self._rows[-1]._replace(validation_loss=float(logs["val_loss"]))

    @_harmless
    def on_train_end(self, logs: Any = None) -> None:
        """Sends the whole of it."""
        self._close()
        self._before = None
        self._settle()
        if self._rows and not self._counted:
            self.note = (
                "Keras' mean of the loss was never updated, so loss is NaN: a train_step of one's own must call update_state(loss) "
                "of the metric in self.metrics whose name is 'loss'."
            )
        for tracker in self._to:
            tracker.send(self.trace)

    # ---- between two batches

    def _begin(self, model: Any) -> None:
        """Goes on where the same model was left; another's training begins a trace of its own."""
        if self._watched is not model:
            self._rows, self._sums, self._schedules, self._step, self._passed = [], [], [], 0, 0.0
        self._watched, self._passes, self._open, self._counted = model, None, False, False
        self._began = time.perf_counter() - (self._rows[-1].seconds if self._rows else 0.0)

    def _due(self, every: int | None) -> bool:
        """Where batches are accumulated, the norms are those of the batch that ends in an update."""
        if every is None or self._at_once > 1:
            return False
        interval = -(-every // self._accumulate) * self._accumulate
        return (self._iteration + 1) % self._accumulate == 0 and (self._step // self._accumulate) % (
            interval // self._accumulate
        ) == 0

    def _close(self, numbers: list[Any] | None = None) -> None:
        if not self._open:
            return
        self._open = False
        changed, length, slope = NAN, NAN, NAN
        probes: dict[str, float] = {}
        if self._before is not None:
            length, changed, probes = self._moved(self._before)
            slope = self._slope()
        steps = self.params.get("steps") or NAN
        total, count, *_ = numbers or self._numbers()
        self._sums.append((len(self._rows), total, count, self._fresh, self._rate))
        if self._scheduled:
            self._schedules.append((len(self._rows), moving(self._model)._learning_rate, self._at))
        passes = (self._passes or 0.0) + self._epoch + self._index / steps
        self._passed = passes + self._at_once / steps
        self._rows.append(Row(self._step, passes, NAN, NAN, slope, changed, length, NAN, time.perf_counter() - self._began, probes))
        self._fresh = False
        self._step, self._index, self._iteration = (at + self._at_once for at in (self._step, self._index, self._iteration))
        if len(self._sums) >= UNREAD:
            self._settle()
        self._tell()

    def _tell(self) -> None:
        step = self._step
        if self._every and step % self._every == 0:
            trace = self.trace
            print(line(trace[-1], judged(trace)), file=sys.stderr, flush=True)
        if self._to and step % (self._every or SENT) == 0:
            for tracker in self._to:
                tracker.send(self.trace)

    def _moved(self, before: list[Any]) -> tuple[float, float, dict[str, float]]:
        """Length of the weights before, of the update, and the ratios where they are due."""
        after = self._weights(copied=False)
        lengths = [_length(part) for part in before]
        changes = [_length(_minus(now, then)) for now, then in zip(after, before, strict=True)]
        probes: dict[str, float] = {}
        if self._due(self._ratio_every):
            self.ratios = {v.path: d / w if w else NAN for v, d, w in zip(self._variables, changes, lengths, strict=True)}
            known = [ratio for ratio in self.ratios.values() if not math.isnan(ratio)] or [NAN]
            probes = {"ratio_low": min(known), "ratio_high": max(known)}
        return math.hypot(*lengths), math.hypot(*changes), probes

    def _slope(self) -> float:
        """Norm of the gradient, where it can be seen: on torch, where it is not summed over several batches elsewhere."""
        if keras.backend.backend() != "torch" or self._accumulate > 1:
            return NAN
        gradients = [v.value.grad for v in self._variables if v.value.grad is not None]
        return float(norm(gradients)) / self._scale if gradients else NAN

    def _scaled(self) -> float:
        """By how much the loss of the step to come is multiplied; where it changes, it does so in that step."""
        optimizer = self._model.optimizer
        if not self._skips or keras.backend.backend() != "torch":
            return float(optimizer.loss_scale_factor or 1.0)
        return float(optimizer.dynamic_scale.value if optimizer.built else optimizer.initial_scale)

    # ---- the state, wherever the backend keeps it

    def _place(self, variables: Any, variable: Any) -> tuple[Any, int]:
        return variable, [id(v) for v in variables].index(id(variable))

    def _held(self, kind: str) -> Any:
        """In the middle of an epoch JAX keeps the values apart from the variables."""
        model = self._model
        return model._jax_state[kind] if getattr(model, "_jax_state", None) and not model._jax_state_synced else None

    def _numbers(self) -> list[Any]:
        """Sum and count of the losses and the rate, which nothing that comes changes, and which need not be waited for."""
        model, backend = self._model, keras.backend.backend()
        held = self._held("metrics_variables")
        if held is None:
            values = [place[0].value for place in self._places]
        else:
            kept = [held, held, model._jax_state["optimizer_variables"]]
            values = [each[place[1]] for each, place in zip(kept, self._places, strict=False)]
        if backend == "torch":
            return [value.item() if value.is_cpu else value.clone() for value in values]
        if backend == "tensorflow":
            return [_read(value) for value in values]
        return list(self._copy(values))  # the buffers themselves are given away in the next step

    def _weights(self, copied: bool) -> list[Any]:
        held = self._held("trainable_variables")
        values = [v.value for v in self._variables] if held is None else held
        if keras.backend.backend() == "torch":
            return [value.detach().clone() if copied else value.detach() for value in values]
        if keras.backend.backend() == "tensorflow":
            return [_read(value) for value in values]
        return [np.array(value) if copied else np.asarray(value) for value in values]

    def _settle(self) -> None:
        """Fetches the numbers that still lie on the device, and makes losses of sums."""
        for index, total, count, fresh, rate in self._sums:
            now = float(total), float(count)
            before = (0.0, 0.0) if fresh else self._last
            self._counted = self._counted or now[1] != before[1]
            loss = (now[0] - before[0]) / (now[1] - before[1]) if now[1] != before[1] else NAN
            self._rows[index] = self._rows[index]._replace(loss=loss, lr=float(rate))
            self._last = now
        self._sums = []
        for index, schedule, at in self._schedules:
            own = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
            now_is = schedule(int(at)) if own else schedule()
            self._rows[index] = self._rows[index]._replace(lr=float(now_is))
        self._schedules = []


def _read(variable: Any) -> Any:
    """What a variable of TensorFlow holds now, whatever is assigned to it later; the bare operation costs a third of the variable's methods."""
    import tensorflow  # the backend that Keras has loaded already

    if type(variable).__name__ != "ResourceVariable":  # such as one that is mirrored over devices
        return variable.read_value()
    return tensorflow.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


def _minus(now: Any, then: Any) -> Any:
    return now - then if isinstance(now, torch.Tensor) else np.asarray(now) - np.asarray(then)


def _length(part: Any) -> float:
    if isinstance(part, torch.Tensor):
        return float(norm([part]))
    return float(np.linalg.norm(np.asarray(part).astype(np.float32, copy=False)))
