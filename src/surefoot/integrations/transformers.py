"""How does a ``transformers.Trainer`` get on, and at which rate should it train?  its callbacks -> our trace, its parts -> our problem.

Source: transformers 5.23, ``trainer.py`` (``training_step``, ``compute_loss``, ``get_batch_samples``, ``create_optimizer``).
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from surefoot.descent.seen import NAN, Seen
from surefoot.diagnosis.diagnose import diagnose
from surefoot.diagnosis.diagnosis import Diagnosis
from surefoot.diagnosis.watched import watch
from surefoot.errors import NotInstalled, ProblemError, SettingError
from surefoot.find import choose
from surefoot.find.found import Found
from surefoot.find.trials import HELD_OUT
from surefoot.integrations.following import NORMS, check_steps
from surefoot.integrations.played import played
from surefoot.integrations.trackers import outlets
from surefoot.problem import Problem
from surefoot.trace import Trace

try:
    from transformers import Trainer, TrainerCallback

    from surefoot.integrations.accelerate import bare_optimizer, bare_scheduler, check_alone, optimizer_like
    from surefoot.integrations.trainer_double import Grouped, counted, double_of, loss_on, model_of, unmoved
except ImportError as error:
    raise NotInstalled.of("What watches a Trainer", error, "transformers") from error

SENT = 50  # steps between two times that trackers are told, where nothing else is asked for
EMPTY = Trace.of([])


class Watch(TrainerCallback):  # type: ignore[misc]  # Any where transformers is not installed
    """A callback that keeps the trace of a training, ``Trainer(..., callbacks=[Watch()])``.

    One row per update, with the norms before clipping. ``loss`` is what the Trainer itself adds up and logs the mean of: the losses that
    ``training_step`` returns, summed over the batches that are accumulated for the update; under label smoothing, ``compute_loss_func`` and a
    ``compute_loss`` of one's own as well. The training is bit for bit the one without it; after an error it is the watching that ends.
    ``evaluate`` during the training tells the validation loss (``eval_loss``; of several evaluation sets that of the first).

    A training that is resumed counts on from its checkpoint's step; the same callback keeps the rows before it. Another ``train()`` begins a
    new trace.

    Args:
        norms: steps from one measurement of the three norms to the next; in between they are NaN.
        ratios: as for `surefoot.watch`.
        every: steps between two lines with the verdict on standard error; None for none.
        to: a tracker or several: `surefoot.integrations.trackers.Outlet`, or what that takes; told every ``every`` (or 50) steps and at the end.

    Attributes:
        note: why nothing is watched, or what could not be measured; None where all is well.

    Raises:
        SettingError: on making it, that an argument is of the wrong kind. Never during the training.
    """

    def __init__(self, *, norms: int = NORMS, ratios: int | None = 16, every: int | None = None, to: Any = None) -> None:
        check_steps(norms=norms, ratios=ratios, every=every)
        self._settings = {"norms": norms, "ratios": ratios, "every": every}
        self._told, self._every = outlets(to), every or SENT
        self._earlier, self._begun = EMPTY, 0
        self._seen: Seen | None = None
        self._taps = contextlib.ExitStack()
        self._per_epoch: int | None = None
        self._losses: list[Tensor] = []
        self._before = 0  # rows before the update at hand
        self._held_out = ""
        self.note: str | None = None

    @property
    def trace(self) -> Trace:
        """The steps so far, also after the training."""
        if self._seen is None:
            return self._earlier
        return self._earlier + _moved_on(self._seen.trace, self._begun, self._per_epoch, self._earlier)

    @property
    def diagnosis(self) -> Diagnosis:
        """What is to be said of the steps so far."""
        return diagnose(self.trace)

    # ---- what the Trainer tells

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Begins to watch."""
        self._end()  # a training that an error ended outside of its steps
        rows = self._earlier
        self._earlier, self._begun = (rows[: int(np.searchsorted(rows["step"], state.global_step))], state.global_step)
        self._losses, self._held_out, self.note = [], "", None
        try:
            self._begin(args, more)
        except Exception as error:  # the watching must not keep anybody from training
            self._end()
            self.note = f"Nothing is watched: {type(error).__name__}: {' '.join(str(error).split())}"

    def _begin(self, args: Any, more: Mapping[str, Any]) -> None:
        trainer = _caller()
        optimizer, loader = more["optimizer"], more.get("train_dataloader")
        self._per_epoch = _per_epoch(loader, args)
        settings: dict[str, Any] = {
            **self._settings,
            "scaler": getattr(optimizer, "scaler", None),
            "steps_per_epoch": self._per_epoch,
        }
        self._seen = self._taps.enter_context(watch(more["model"], bare_optimizer(optimizer), **settings))
        if trainer is None:
            self.note = "The loss is NaN: on_train_begin was called by something that is no transformers.Trainer."
            return
        self._taps.enter_context(_in_place(trainer, "training_step", self._tapped(trainer.training_step)))
        if hasattr(trainer, "_run_epoch"):  # an error anywhere in an epoch ends the watching, for nobody is told of it otherwise
            self._taps.enter_context(_in_place(trainer, "_run_epoch", self._guarded(trainer._run_epoch)))

    def _tapped(self, training_step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @functools.wraps(training_step)
        def told(*args: Any, **kwargs: Any) -> Tensor:
            loss = self._guarded(training_step)(*args, **kwargs)
            self._losses.append(loss)
            return loss  # type: ignore[no-any-return]

        return told

    def _guarded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return method(*args, **kwargs)
            except BaseException:
                self._end()
                raise

        return guarded

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Tells the loss of all the batches of this update."""
        if self._seen is not None and self._losses:
            self._seen.loss(functools.reduce(torch.add, self._losses))
        self._before, self._losses = len(self._seen or ()), []

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Forgets the loss of an update that the gradient scaler has skipped."""
        if self._seen is not None and self._seen.watching and len(self._seen) == self._before:
            self._seen._forget()

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Now and then tells the trackers."""
        if self._told and self._seen is not None and len(self._seen) % self._every == 0:
            self._send()

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Mapping[str, float] | None = None, **more: Any) -> None:
        """Takes the validation loss."""
        losses = [name for name in metrics or () if name.startswith("eval_") and name.endswith("loss")]
        self._held_out = self._held_out or (losses or [""])[0]
        if self._seen is not None and metrics and self._held_out in metrics:
            self._seen.validation(metrics[self._held_out])

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Ends the watching."""
        self._end()

    def _end(self) -> None:
        self._taps.close()
        if self._seen is not None:
            self.note = self.note or self._seen.note
            self._earlier, self._seen = self.trace, None
            self._send()

    def _send(self) -> None:
        for each in self._told:
            each.send(self.trace)


def _moved_on(trace: Trace, steps: int, per_epoch: int | None, earlier: Trace) -> Trace:
    """The trace of a training that went on from a step: its counts and times follow those before it."""
    if not steps:
        return trace
    waited = float(earlier["seconds"][-1]) if len(earlier) else 0.0
    counted = trace["step"] + steps
    moved = {"step": counted, "epoch": counted / (per_epoch or NAN), "seconds": trace["seconds"] + waited}
    return Trace({**{name: trace[name] for name in trace.columns}, **moved})


def _caller() -> Trainer | None:
    """The Trainer whose training begins: callbacks are told of everything but that."""
    frame: Any = sys._getframe(1)
    while frame is not None and not isinstance(frame.f_locals.get("self"), Trainer):
        frame = frame.f_back
    return frame.f_locals["self"] if frame is not None else None


@contextlib.contextmanager
def _in_place(trainer: Trainer, name: str, method: Callable[..., Any]) -> Iterator[None]:
    """Within, the method stands in the place of the Trainer's own; afterwards the Trainer has what it had."""
    own = vars(trainer).get(name)
    vars(trainer)[name] = method
    try:
        yield
    finally:
        if own is None:
            vars(trainer).pop(name, None)
        else:
            vars(trainer)[name] = own


# ---- the training as a problem


def problem_of(trainer: Trainer) -> Problem:
    """What a Trainer descends: its model, its loader with the collate function and without unused columns, and the loss that it trains on.

    The loss is that of the Trainer's own ``compute_loss`` (label smoothing, ``compute_loss_func`` and an overridden one included), scaled as the
    Trainer scales it: by the number of labels in all the batches of an update, where the model takes that into account. The validation
    data are up to 500 samples of ``eval_dataset``, evenly spaced (of several sets those of the first). Nothing of the Trainer is changed: its
    methods are called on a shallow copy with a model, an accelerator and callbacks of its own. Not included: NEFTune's noise, and
    whatever an overridden ``training_step`` does.

    Raises:
        SettingError: there are several processes, or the model is sharded (DeepSpeed, FSDP).
        ProblemError: there is no ``train_dataset``; or, once it is descended, the batches hold no labels.
    """
    _check(trainer)
    double, per_update = double_of(trainer), trainer.args.gradient_accumulation_steps
    loader = unmoved(double.get_train_dataloader)
    data = loader if per_update == 1 else Grouped(loader, functools.partial(counted, double, per_update))
    return Problem(model_of(double), data, objective=functools.partial(loss_on, double), validation=_validation(double))


def settings_of(trainer: Trainer, **given: Any) -> dict[str, Any]:
    """What `find_lr` and `descend` take beside the problem: optimizer, schedule, horizon, accumulation, clipping and mixed precision.

    The optimizer is what ``create_optimizer`` makes for a copy of the model, or a copy of the one that was passed as ``optimizers=``; the
    schedule that of ``lr_scheduler_type`` with its warm-up.

    Args:
        trainer: the Trainer.
        given: what takes the place of what is found out; that is then not looked for.

    Raises:
        SettingError: there are several processes, the model is sharded, the dataset has no length and there is no ``max_steps``, or the schedule
            follows the loss.
        ProblemError: there is no ``train_dataset``.
    """
    _check(trainer)
    args, precision = trainer.args, trainer.accelerator.mixed_precision
    if precision not in ("no", "bf16", "fp16"):
        raise SettingError(
            f"Mixed precision {precision!r} is not known to descents; pass autocast='bf16', or bf16=True to the arguments."
        )
    horizon = _horizon(trainer)
    steps = given.get("steps") or horizon
    if steps is None:
        raise SettingError(
            "The train_dataset has no length, so num_train_epochs is no number of steps. Pass TrainingArguments(max_steps=...), or steps=."
        )
    found = {"steps": steps, "accumulate": args.gradient_accumulation_steps, "optimizer": _optimizer_of(trainer)}
    if args.max_grad_norm:
        found["clip_norm"] = args.max_grad_norm
    if precision != "no":
        found["autocast"] = precision
    if "schedule" not in given:
        found["schedule"] = _schedule(trainer, steps, horizon or steps)
    return {**found, **given}


def find_lr(trainer: Trainer, **more: Any) -> Found:
    """`surefoot.find_lr` for a Trainer: ``find_lr(problem_of(trainer), **settings_of(trainer))``.

    The Trainer, its model, its arguments and the random state are bit for bit what they were, also after an error.

    Args:
        trainer: the Trainer, before ``train()``.
        more: whatever else `surefoot.find_lr` takes; it goes before what the Trainer says.

    Returns:
        What was found; ``trainer.args.learning_rate = found.lr`` trains with it.

    Raises:
        SettingError: as `settings_of`, or as `surefoot.find_lr`.
        ProblemError: as `problem_of`, or as `surefoot.find_lr`.
    """
    found: Found = choose.find_lr(problem_of(trainer), **settings_of(trainer, **more))
    return found


def _check(trainer: Any) -> None:
    if not isinstance(trainer, Trainer):
        raise SettingError(f"The first argument must be a transformers.Trainer, got a {type(trainer).__name__}.")
    check_alone(trainer.accelerator)
    if trainer.train_dataset is None and type(trainer).get_train_dataloader is Trainer.get_train_dataloader:
        raise ProblemError(
            "The Trainer has no train_dataset, so there is nothing to descend. Pass Trainer(..., train_dataset=...)."
        )


def _validation(double: Trainer) -> Any:
    held_out = double.eval_dataset
    if isinstance(held_out, dict):
        held_out = next(iter(held_out.values()), None)
    if held_out is None:
        return None
    if _has_length(held_out) and len(held_out) > HELD_OUT:
        picked = np.linspace(0, len(held_out) - 1, HELD_OUT).round().astype(int).tolist()
        held_out = Subset(held_out, picked)
    return unmoved(lambda: double.get_eval_dataloader(held_out))


# ---- settings


def _per_epoch(loader: Any, args: Any) -> int | None:
    """Updates in one pass through the data, None where the loader has no length."""
    return math.ceil(len(loader) / args.gradient_accumulation_steps) if _has_length(loader) else None


def _has_length(data: Any) -> bool:
    try:
        return len(data) is not None
    except (TypeError, NotImplementedError):
        return False


def _horizon(trainer: Trainer) -> int | None:
    """Updates that ``train()`` makes, None where a dataset without a length leaves that open."""
    args = trainer.args
    if args.max_steps > 0:
        return int(args.max_steps)
    per_epoch = _per_epoch(unmoved(double_of(trainer).get_train_dataloader), args)
    return math.ceil(float(args.num_train_epochs) * per_epoch) if per_epoch is not None else None


def _optimizer_of(trainer: Trainer) -> Callable[[nn.Module], Any]:
    """A function from a copy of the model to the optimizer that ``train()`` would use for it."""
    if trainer.optimizer is not None and trainer.model_init is None:
        return optimizer_like(trainer.optimizer, trainer.model)
    double = double_of(trainer)

    def made(model: nn.Module) -> Any:
        double.model, double.optimizer = model, None
        return double.create_optimizer()

    return made


def _schedule(trainer: Trainer, steps: int, horizon: int) -> Callable[[int, int], float]:
    """The schedule over so many steps; a scheduler that was passed was made for the Trainer's own horizon, and is stretched."""
    double = double_of(trainer)
    if trainer._created_lr_scheduler or trainer.model_init is not None:  # train() makes another
        double.lr_scheduler = None
    double._created_lr_scheduler = double.lr_scheduler is None
    if double.lr_scheduler is None:
        # some schedules end at a rate, not at a share of one
        base = torch.optim.SGD([nn.Parameter(torch.zeros(0))], lr=_base_rate(trainer))
        double.optimizer = base
        double.create_scheduler(num_training_steps=steps, optimizer=base)
    scheduler = bare_scheduler(double.lr_scheduler)
    if not isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler):
        raise SettingError(
            f"{type(scheduler).__name__} follows the loss and cannot be played through beforehand. Pass schedule='plateau'."
        )
    return played(scheduler, steps if double._created_lr_scheduler else horizon)


def _base_rate(trainer: Trainer) -> float:
    if trainer.optimizer is None or trainer.model_init is not None:
        return float(trainer.args.learning_rate)
    group = trainer.optimizer.param_groups[0]
    return float(group.get("initial_lr", group["lr"]))
