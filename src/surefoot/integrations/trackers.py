"""Where do the values go that somebody else draws?  trace -> TensorBoard, Weights & Biases, MLflow, or a function of the user's.

Nothing is imported here: a target brings its own package along, and what it is, is told by what it can do and where its class comes from.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from surefoot.diagnosis.watched import judged
from surefoot.errors import SettingError
from surefoot.trace import Trace

Cells: TypeAlias = Iterable[tuple[int, Mapping[str, float]]]  # step -> name -> value, in the order of the steps
BATCH = 1000  # MLflow's limit of metrics in one request (mlflow 3.17, `validate_batch_log_limits`)


class Outlet:
    """What a trace holds, sent to a tracker; what was sent is not sent again.

    Args:
        target: where to:

            - a ``SummaryWriter`` of ``torch.utils.tensorboard`` or tensorboardX, or a ``tensorboard.summary.Writer``;
            - a ``wandb`` run (what ``wandb.init`` returns), or the module ``wandb`` with a run under way. Each row is a step of W&B's own
              counter, as with the integrations of Lightning, Keras and Transformers; the x axis is ``<prefix>step``. Code that passes
              ``wandb.log`` a ``step=`` of its own, which W&B drops where its counter is ahead, should hand over a second run;
            - an MLflow run (what ``mlflow.start_run`` returns), or the module ``mlflow`` with a run under way;
            - a function ``(values, step) -> None`` that is given the values of one step by name.
        prefix: begins each name.

    Attributes:
        note: why nothing is sent any more, or None. A target that fails ends the sending, never the training.

    Raises:
        SettingError: the target is none of these, or its module has no run under way.

    Example:
        >>> from surefoot import Problem, descend
        >>> trace = descend(Problem.of(lambda x: (x**2).sum() / 2, start=[1.0]), lr=0.5, steps=2).trace
        >>> told = []
        >>> outlet = Outlet(lambda values, step: told.append((step, values["loss"], "validation_loss" in values)), prefix="")
        >>> outlet.send(trace[:1]), outlet.send(trace), outlet.send(trace)
        (None, None, None)
        >>> told
        [(0, 0.5, False), (1, 0.125, False)]
    """

    def __init__(self, target: Any, prefix: str = "surefoot/") -> None:
        self.note: str | None = None
        self.prefix = prefix
        self._write, self._say = _ways(target, prefix)
        self._forget()

    def _forget(self) -> None:
        self._sent: dict[int, float] = {}  # step -> the row's seconds, by which another training is told apart
        self._last = -1
        self._validated: set[int] = set()
        self._verdict = ""

    def send(self, trace: Trace) -> None:
        """Sends the rows that were not sent yet, each column under its name, NaN left out, and the verdict where it has changed.

        A validation loss that was measured after its row had been sent is sent when it is there. A trace of another training, whose rows
        have the same steps but other times, is sent from its beginning. Raises nothing: see ``note``.
        """
        if self.note is not None:
            return
        try:
            self._send(trace)
        except Exception as error:  # a full disk or a lost connection is no reason to lose a training
            since = f"after step {self._last}" if self._last >= 0 else "before the first step"
            self.note = f"The sending ended {since}: {type(error).__name__}: {' '.join(str(error).split())}"

    def _send(self, trace: Trace) -> None:
        if not len(trace):
            return
        first = trace[0]
        if self._sent.get(first.step, first.seconds) != first.seconds:
            self._forget()
        late = [(step, value) for step, value in _validations(trace) if step <= self._last and step not in self._validated]
        self._write([(step, {f"{self.prefix}validation_loss": value}) for step, value in late])
        fresh = trace[int(np.searchsorted(trace["step"], self._last, side="right")) :]
        self._write(list(self._cells(fresh)))
        self._validated.update(step for step, _ in _validations(trace))
        if len(fresh):
            self._sent.update(zip(fresh["step"].tolist(), fresh["seconds"].tolist(), strict=True))
            self._last = int(fresh["step"][-1])
        verdict = judged(trace) if self._say is not None else ""
        if self._say is not None and _word(verdict) != _word(self._verdict):
            self._say(verdict or "unsure", self._last)
            self._verdict = verdict

    def _cells(self, trace: Trace) -> Cells:
        names = [name for name in trace.columns if name != "step"]
        columns = [trace[name].tolist() for name in names]
        for step, *values in zip(trace["step"].tolist(), *columns, strict=True):
            yield step, {f"{self.prefix}{name}": value for name, value in zip(names, values, strict=True) if value == value}


def outlets(to: Any) -> list[Any]:
    """What ``to=`` names, as things with a ``send``: one or several of them, or targets of an `Outlet`.

    Example:
        >>> [type(each).__name__ for each in outlets([Outlet(print), lambda values, step: None])], outlets(None)
        (['Outlet', 'Outlet'], [])
    """
    several = to if isinstance(to, list | tuple) else [] if to is None else [to]
    return [each if callable(getattr(each, "send", None)) else Outlet(each) for each in several]


def _word(verdict: str) -> str:
    return verdict.partition(" ")[0]  # the rest is how sure it is, which moves at every row


def _validations(trace: Trace) -> list[tuple[int, float]]:
    there = ~np.isnan(trace["validation_loss"])
    return list(zip(trace["step"][there].tolist(), trace["validation_loss"][there].tolist(), strict=True))


# ---- the targets

_Ways: TypeAlias = tuple[Callable[[Cells], None], Callable[[str, int], None] | None]


def _ways(target: Any, prefix: str) -> _Ways:
    """How values and the verdict are written there."""
    package = str(getattr(target, "__name__", "") if isinstance(target, type(sys)) else type(target).__module__).partition(".")[0]
    if package == "mlflow":
        return _mlflow(target, prefix)
    if package == "wandb":
        return _wandb(target, prefix)
    if callable(getattr(target, "add_scalar", None)):
        return _tensorboard(target, prefix)
    if callable(target) and not isinstance(target, type):
        return functools.partial(_call, target), None
    raise SettingError(
        f"Values can be sent to a SummaryWriter, a run of wandb or mlflow, or a function (values, step), got a {type(target).__name__}: "
        f"{target!r:.60}. For another tracker pass a function, as Outlet(lambda values, step: tracker.log(values, step))."
    )


def _call(function: Callable[[dict[str, float], int], object], cells: Cells) -> None:
    for step, values in cells:
        function(dict(values), step)


def _tensorboard(writer: Any, prefix: str) -> _Ways:
    def write(cells: Cells) -> None:
        for step, values in cells:
            for name, value in values.items():
                writer.add_scalar(name, value, step)

    say = (lambda text, step: writer.add_text(f"{prefix}verdict", text, step)) if hasattr(writer, "add_text") else None
    return write, say


def _wandb(target: Any, prefix: str) -> _Ways:
    run = target.run if isinstance(target, type(sys)) else target
    if run is None or not callable(getattr(run, "define_metric", None)):
        raise SettingError("There is no run of wandb under way. Call wandb.init(...) first and pass what it returns.")
    counter = f"{prefix}step"
    run.define_metric(counter, hidden=True)
    run.define_metric(f"{prefix}*", step_metric=counter)

    def write(cells: Cells) -> None:
        for step, values in cells:
            run.log({**values, counter: step})

    return write, lambda text, step: run.summary.update({f"{prefix}verdict": text})


def _mlflow(target: Any, prefix: str) -> _Ways:
    mlflow = target if isinstance(target, type(sys)) else sys.modules["mlflow"]
    run = mlflow.active_run() if target is mlflow else target
    if run is None or not hasattr(run, "info"):
        raise SettingError("There is no run of mlflow under way. Call mlflow.start_run(...) first and pass what it returns.")
    client, key = mlflow.MlflowClient(), run.info.run_id

    def write(cells: Cells) -> None:
        now = int(1000 * time.time())
        metrics = [mlflow.entities.Metric(name, value, now, step) for step, values in cells for name, value in values.items()]
        for begin in range(0, len(metrics), BATCH):
            client.log_batch(key, metrics=metrics[begin : begin + BATCH])

    return write, lambda text, step: client.set_tag(key, f"{prefix}verdict", text)
