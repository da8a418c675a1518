"""What was seen of a training that another framework runs?  Seen, fit after fit -> one trace, its verdict, and where it is sent.

What the callbacks share: a callback begins one `Seen` when a training begins, ends it when that ends (however it ends), and goes on
where it was when the same model is trained further.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from surefoot.descent.seen import Asked, Seen
from surefoot.diagnosis.diagnose import diagnose
from surefoot.diagnosis.diagnosis import Diagnosis
from surefoot.diagnosis.watched import judged
from surefoot.errors import SettingError
from surefoot.integrations.trackers import outlets
from surefoot.problem import trainable
from surefoot.trace import Trace

SENT = 50  # steps between two times that trackers get the trace, where nothing else is asked for
NORMS = 16  # steps from one measurement of the three norms to the next: they cost more than all else that a row needs


def check_steps(*, norms: Any, **others: Any) -> None:
    """Refuses what is no number of steps from one measurement to the next; all but ``norms`` may be None, for never.

    Raises:
        SettingError: one is no int of at least 1.
    """
    for name, value in {"norms": norms, **others}.items():
        wrong = isinstance(value, bool) or not isinstance(value, int) or value < 1
        if wrong and not (value is None and name != "norms"):
            raise SettingError(f"{name} must be an int of at least 1{' or None' * (name != 'norms')}, got {value!r}.")


class Following:
    """The part of a callback that does not know which framework it is called by."""

    _seen: Seen | None = None
    _model: Any = None  # a weak reference to what was trained last
    _passing: tuple[str, ...] = ("_seen", "_model")  # what belongs to a training under way and goes into no pickle

    def _ask(self, norms: int, ratios: int | None, every: int | None, to: Any) -> None:
        """What is measured and who is told; called once, before anything is seen."""
        check_steps(norms=norms, ratios=ratios, every=every)
        self._to = outlets(to)
        self._norms, self._ratios_every, self._every = norms, ratios, every
        self._earlier, self._passes, self._per_epoch = Trace.of([]), 0.0, math.nan
        self._said: str | None = None
        self._last_ratios: dict[str, float] = {}

    # ---- what a user reads

    @property
    def trace(self) -> Trace:
        """The steps so far, also while the training goes on; of several fits of one model in a row, all of them."""
        return self._earlier if self._seen is None else self._joined(self._seen.trace)

    @property
    def diagnosis(self) -> Diagnosis:
        """What `diagnose` says of the trace so far."""
        return diagnose(self.trace)

    @property
    def note(self) -> str | None:
        """What ended the watching or could not be measured, in a sentence; None where there was nothing."""
        return self._said or (self._seen.note if self._seen is not None else None)

    @property
    def ratios(self) -> Mapping[str, float]:
        """By tensor, the length of its last measured update over the length of its weights before it."""
        return dict(self._last_ratios if self._seen is None else self._seen.ratios)

    # ---- what the framework's hooks call

    def _begin(
        self,
        model: nn.Module,
        optimizer: Any,
        kind: type[Seen] = Seen,
        scaler: Any = None,
        per_epoch: float = math.nan,
        whole: Any = None,
    ) -> None:
        """A training begins.

        Args:
            model: whose trainable parameters are watched.
            optimizer: what moves them; anything that tells of its steps as a torch optimizer does.
            kind: the class of what sees it.
            scaler: the ``GradScaler``, where one is used.
            per_epoch: optimizer steps in one pass through the data; NaN where that is not known.
            whole: what the model is a part of, if it is.
        """
        self._end()
        trainable(model)  # raises where there is nothing to train
        trained = model if whole is None else whole
        if self._model is None or self._model() is not trained:
            self._earlier, self._passes = Trace.of([]), 0.0
        self._model, self._per_epoch, self._said = weakref.ref(trained), per_epoch, None
        known = per_epoch if math.isfinite(per_epoch) and per_epoch > 0 else None
        asked = Asked(self._norms, self._ratios_every, None, self._every, judged, scaler, known)  # type: ignore[arg-type]
        self._seen = kind(model, optimizer, asked)
        self._next = SENT if self._every is None else self._every

    def _stepped(self) -> None:
        """Maybe a step was made: the trackers get the trace every so often."""
        if self._to and self._seen is not None and len(self._seen) >= self._next:
            self._next = len(self._seen) + (self._every or SENT)
            self._send()

    def _end(self) -> None:
        """The training is over, however it ended; called when there is none, it does nothing."""
        if self._seen is None:
            return
        seen = self._seen
        try:
            self._earlier, self._last_ratios = self._joined(seen.trace), dict(seen.ratios)
        except RuntimeError as error:  # a device that failed cannot be asked for the last numbers, and its own error is what counts
            self._said = f"The last steps could not be read: {' '.join(str(error).split())}"
        self._said = self._said or seen.note
        self._passes += len(seen) / self._per_epoch if self._per_epoch else math.nan
        self._seen = None
        seen._detach()
        self._send()

    def _send(self) -> None:
        trace = self.trace if self._to else None
        for tracker in list(self._to):
            try:
                tracker.send(trace)
            except Exception as error:  # what is only told must not end a training
                self._to.remove(tracker)
                self._said = f"{type(tracker).__name__} was told no more: {type(error).__name__}: {' '.join(str(error).split())}"

    def _joined(self, later: Trace) -> Trace:
        """What was seen before, and this after it."""
        if not len(self._earlier):
            return later
        columns = {name: later[name] for name in later.columns}
        columns["step"] = later["step"] + self._earlier[-1].step + 1
        columns["epoch"] = later["epoch"] + self._passes
        columns["seconds"] = later["seconds"] + self._earlier[-1].seconds
        return self._earlier + Trace(columns)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self._passing}


class Part(nn.Module):
    """A module that tells of those of another's parameters alone that an optimizer holds."""

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self._held = [(name, p) for name, p in module.named_parameters() if id(p) in held]

    def named_parameters(self, *_: Any, **__: Any) -> Any:
        """Their names in the whole module, and the parameters."""
        return iter(self._held)
