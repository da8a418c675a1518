"""What was seen of a training loop so far?  gradients and steps as hooks tell of them -> rows of a trace.

Hooks on the optimizer tell of each step (``register_step_pre_hook``, ``register_step_post_hook``), hooks on the parameters of each
gradient (``register_post_accumulate_grad_hook``), so that the norm is taken before anything between ``backward()`` and ``step()``
clips or unscales it. Nothing is changed and no random number is drawn; an error of the watching itself ends the watching alone.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

import torch
from torch import Tensor, nn

from surefoot.descent.again import Evaluation, alpha, slope
from surefoot.descent.copied import Copied, norm
from surefoot.descent.told import counted, flat_shards, told_of
from surefoot.trace import Row, Trace

NAN = float("nan")
_backward_pass = torch._C._current_graph_task_id  # a number of its own for each, by which torch's own hooks tell them apart
LATER = 2  # callbacks at the end of a backward pass that DistributedDataParallel and FSDP put one after the other; the averaged gradient comes last
UNREAD = 64  # rows whose numbers may still lie on the device: one wait for it in so many steps
_Rest = ParamSpec("_Rest")


@dataclass(frozen=True)
class Asked:
    """What `watch` is asked to measure, and every how many steps; None for never."""

    norms: int = 1
    ratios: int | None = 16
    alpha: int | None = None
    every: int | None = None
    verdict: Callable[[Trace], str | None] | None = None
    scaler: Any = None
    steps_per_epoch: int | None = None


def _harmless(
    part: str = "watching", name: str = "The watching"
) -> Callable[[Callable[Concatenate[Seen, _Rest], None]], Callable[Concatenate[Seen, _Rest], None]]:
    """The method without gradients and without errors: the first one is noted and ends that part of the watching, or all of it."""

    def guard(method: Callable[Concatenate[Seen, _Rest], None]) -> Callable[Concatenate[Seen, _Rest], None]:
        @functools.wraps(method)
        def guarded(self: Seen, /, *args: _Rest.args, **kwargs: _Rest.kwargs) -> None:
            if not self.watching:
                return
            gradients = torch.is_grad_enabled()
            torch._C._set_grad_enabled(False)  # a third of what torch.no_grad() costs in cold caches
            try:
                method(self, *args, **kwargs)
            except Exception as error:
                # the hooks stay until the end: removing one while it is called would raise in torch
                setattr(self, part, False)
                self.note = f"{name} ended at step {len(self)}: {type(error).__name__}: {' '.join(str(error).split())}"
            finally:
                torch._C._set_grad_enabled(gradients)

        return guarded

    return guard


class Seen:
    """What was seen so far of a training loop; made by `watch`.

    Attributes:
        watching: whether steps are still recorded; False after the ``with`` block, or after an error of the watching.
        note: that error in a sentence, or what could not be measured and why; None where there was neither.
    """

    watching: bool
    note: str | None
    _now: list[Tensor]
    _void: bool
    _evaluating: bool
    _told: list[Any]
    _evaluations: list[Evaluation]
    _gradient: Any
    _slopes: list[Tensor]
    _taken: Evaluation | None
    _lack: str | None = None

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, asked: Asked) -> None:
        self.watching, self.note = True, None
        self._model, self._optimizer, self._asked = model, optimizer, asked
        self._alpha, self._line = asked.alpha is not None, asked.every is not None
        named = dict(model.named_parameters())
        self._names, self._everything = [name.replace("_orig_mod.", "") for name in named], list(named.values())
        self._rows: list[Row] = []
        self._read = 0  # rows whose fields are plain numbers
        self._lying: dict[int, tuple[list[str], Tensor]] = {}  # row -> names and norms of weights and changes, still on the device
        self._ratios: dict[str, float] = {}
        self._copy = Copied([])
        self._backward = -1  # the last backward pass whose end is waited for
        self._began = time.perf_counter()
        self._hooked: dict[int, Any] = {}
        self._moving()
        self._ranks, self._sharing = told_of(model), True
        self._shards = self._ranks is not None and self._ranks.shards
        self._flat = self._shards and flat_shards(model)
        self._steps = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(lambda *_: self._after_step()),
        ]
        self._forget()

    @property
    def trace(self) -> Trace:
        """The steps so far, as a trace of its own."""
        self._settle()
        return Trace.of(self._over_ranks())

    @property
    def ratios(self) -> Mapping[str, float]:
        """By tensor, the length of its last measured update over the length of its weights before it: around 0.001 in most trainings.

        NaN for a tensor of zeros (a fresh bias); 0 for one that did not move. Empty before the first step.
        """
        self._settle()
        return dict(self._ratios)

    def __len__(self) -> int:
        return len(self._rows)

    def __bool__(self) -> bool:
        return True  # also before the first step: who asks ``if seen:`` means the watching, and would lose the first loss

    def __repr__(self) -> str:
        return f"<Seen: {len(self)} steps, {self.note or ('going on' if self.watching else 'over')}>"

    def loss(self, loss: Any, /, *arguments: Any) -> Any:
        """Tells the loss of the batch at hand, and returns it as it is: ``seen.loss(loss).backward()``.

        Args:
            loss: a number or a tensor of one; before scaling, and before a division by the batches that are accumulated. The row
                holds the mean of what was told since the last step, NaN where nothing was. Or a function that computes it and does
                nothing else, ``seen.loss(loss_of, model, batch).backward()``: alpha needs it a second time, after the step.
            arguments: what the function is called with.
        """
        if not callable(loss):
            self._tell(loss)
            return loss
        self._taken = None
        if self._alpha and self._for_alpha:
            self._take_state(loss, arguments)
        value = loss(*arguments)  # the user's own: its errors are the user's to see
        self._tell(value, self._taken)
        return value

    @_harmless()
    def validation(self, value: Any) -> None:
        """Tells the validation loss after the last step; its row holds it."""
        if self._rows:
            self._rows[-1] = self._rows[-1]._replace(validation_loss=float(value))

    # ---- the loss and the gradient

    @_harmless("_alpha", "The measuring of alpha")
    def _take_state(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._taken = Evaluation.about(function, arguments, self._everything[0].device.type)

    @_harmless()
    def _tell(self, loss: Any, evaluation: Evaluation | None = None) -> None:
        if self._void and not self._evaluating:
            self._told, self._evaluations, self._void = [], [], False
        if self._evaluating and self._told:  # of a closure, the first evaluation is the one at these weights
            return
        self._told.append(_kept(loss))
        if evaluation is not None:
            evaluation.follow(loss)
            self._evaluations.append(evaluation)

    def _accumulated(self, parameter: Tensor) -> None:
        """At the first gradient of a backward pass, asks to be called at its end: one norm of all, not one per parameter."""
        # called once per parameter, so no more than this: 0.2 us
        if (backward := _backward_pass()) != self._backward:
            self._backward = backward
            self._ask()

    @_harmless()
    def _ask(self) -> None:
        if self._measures:
            self._at_the_end(0 if self._ranks is None else LATER)

    def _at_the_end(self, later: int) -> None:
        """Measures the gradient at the end of the backward pass, behind so many rounds of callbacks."""
        then = functools.partial(self._at_the_end, later - 1) if later else self._take_gradient
        torch.autograd.Variable._execution_engine.queue_callback(then)

    @_harmless()
    def _take_gradient(self) -> None:
        if not (self._evaluating and self._gradient is not None):
            self._measure_gradient()
            if self._asked.scaler is not None:  # the scaler waits for the device in any case, to look for infinities
                self._void = not math.isfinite(self._gradient)
                self._gradient = float(self._gradient) / float(self._asked.scaler.get_scale())

    def _measure_gradient(self) -> None:
        moving = self._moving()
        gradients = [p.grad for p in moving]
        there = [gradient for gradient in gradients if gradient is not None]
        if self._shards:
            there = self._own(there)
        if there:
            self._gradient = norm(there)
            if self._alpha and self._for_alpha:
                copy = Copied(moving)
                copy.take(gradients)
                self._slopes = copy.pieces

    # ---- the step

    def _due(self, every: int | None) -> bool:
        return every is not None and len(self._rows) % every == 0

    def _forget(self) -> None:
        """Begins the next step."""
        self._for_ratios, self._for_alpha = self._due(self._asked.ratios), self._due(self._asked.alpha)
        self._measures = self._for_ratios or self._for_alpha or self._due(self._asked.norms)
        self._now = []  # what is trained at this step
        self._told = []
        self._evaluations = []
        self._gradient = None
        self._slopes = []  # the gradient itself, before clipping, where alpha is due
        self._lengths: Tensor | None = None  # of the weights, where ratios are due
        self._void = False  # the gradient holds an infinity: the scaler will skip this step
        self._evaluating = False  # within a step that was given a closure
        self._open: tuple[float, Any] | None = None  # learning rate and norm of the weights, within a step

    @_harmless()
    def _before_step(self, optimizer: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        if len(args) > 1 or kwargs:
            self._evaluating = any(callable(given) for given in (*args[1:], *kwargs.values()))
        measures, length = self._measures, NAN
        if self._evaluating:
            self._told, self._evaluations, self._gradient, self._slopes = [], [], None, []
        elif self._gradient is None and measures:  # no backward pass made it: as the optimizer is given it
            self._measure_gradient()
        if measures:
            moving = self._now = self._own(self._moving()) if self._shards else self._moving()
            room = self._room(moving)
            room.take(moving)
            length = room.norm()
            if self._for_ratios:
                self._lengths = room.norms()
        self._open = (float(optimizer.param_groups[0]["lr"]), length)

    @_harmless()
    def _after_step(self) -> None:
        if self._open is not None and not self._skipped():
            self._add(*self._open)
        self._forget()
        if len(self._rows) - self._read >= UNREAD:
            self._settle()

    def _add(self, lr: float, length: Any) -> None:
        step, change, probes = len(self._rows), NAN, {}
        if self._measures:
            moving = self._now
            self._copy.subtract(moving)
            change = self._copy.norm()
            if self._lengths is not None:
                self._lying[step] = (self._tensors(), torch.stack([self._lengths, self._copy.norms()]))
            if self._for_alpha:
                probes["alpha"] = NAN
                self._take_alpha(probes, moving)
        loss = sum(self._told) / len(self._told) if self._told else NAN
        gradient = NAN if self._gradient is None else self._gradient
        epoch = step / self._asked.steps_per_epoch if self._asked.steps_per_epoch else NAN
        seconds = time.perf_counter() - self._began
        self._rows.append(Row(step, epoch, lr, loss, gradient, change, length, NAN, seconds, probes))
        if self._line and step and self._asked.every and step % self._asked.every == 0:
            self._speak()

    def _skipped(self) -> bool:
        """Whether a fused optimizer left the weights alone: it is called nevertheless, with the scaler's finding in an attribute."""
        found = getattr(self._optimizer, "found_inf", None)
        return isinstance(found, Tensor) and bool(found)

    @_harmless("_alpha", "The measuring of alpha")
    def _take_alpha(self, probes: dict[str, float], moving: list[Tensor]) -> None:
        told = self._evaluations
        if not self._alpha:
            return
        if not told:
            self.note = "alpha is NaN where seen.loss is not given a function: seen.loss(loss_of, model, batch)."
        elif len(told) > 1 and not all(evaluation.arguments for evaluation in told):
            self.note = "alpha is NaN where several losses of a step come from functions without arguments, which may all see the last batch."
        elif self._slopes:
            probes["alpha"] = alpha(told, self._model, moving, slope(self._slopes, self._copy.pieces), self._copy.views)

    @_harmless("_line", "The line")
    def _speak(self) -> None:
        self._settle()
        if self._ranks is not None and self._ranks.rank:
            return  # one of them speaks for all
        rows, verdict = self._over_ranks(), self._asked.verdict
        said = None
        try:
            said = verdict(Trace.of(rows)) if verdict else None
        finally:
            print(line(rows[-1], said), file=sys.stderr, flush=True)

    def _moving(self) -> list[Tensor]:
        moving: list[Tensor] = [p for p in self._everything if p.requires_grad]
        if len(moving) != len(self._hooked):  # at first, and where some were frozen or freed on the way
            for p in moving:
                if id(p) not in self._hooked:
                    self._hooked[id(p)] = p.register_post_accumulate_grad_hook(self._accumulated)  # type: ignore[no-untyped-call]
        return moving

    def _room(self, moving: list[Tensor]) -> Copied:
        if not self._copy.is_of(moving) or (len(self._rows) % UNREAD == 0 and not self._copy.fits(moving)):
            self._copy = Copied(moving)
        return self._copy

    def _tensors(self) -> list[str]:
        return [name for name, p in zip(self._names, self._everything, strict=True) if p.requires_grad]

    # ---- the end

    def _settle(self) -> None:
        """Fetches the numbers that still lie on the device."""
        for index in range(self._read, len(self._rows)):
            row = self._rows[index]
            there: dict[str, Any] = {name: float(value) for name, value in row._asdict().items() if isinstance(value, Tensor)}
            if index in self._lying:
                names, lengths = self._lying.pop(index)
                weights, changes = lengths.tolist()
                self._ratios = {name: d / w if w else NAN for name, w, d in zip(names, weights, changes, strict=True)}
                known = [ratio for ratio in self._ratios.values() if not math.isnan(ratio)] or [NAN]
                there["probes"] = {"ratio_low": min(known), "ratio_high": max(known), **row.probes}
            self._rows[index] = row._replace(**there) if there else row
        self._read = len(self._rows)
        self._share()

    def _share(self, over: bool = False) -> None:
        """Tells the other ranks; where that fails, the trace goes on without them."""
        if self._ranks is not None and self._sharing:
            try:
                self._ranks.tell(self._rows, over)
            except Exception as error:
                self._alone(error)

    def _over_ranks(self) -> list[Row]:
        """The rows so far; of several ranks, with the mean of their losses as far as they have told them."""
        if self._ranks is None or not self._sharing:
            return self._rows
        try:
            rows, lack = self._ranks.over_all(self._rows)
        except Exception as error:
            self._alone(error)
            return self._rows
        if self.note is None or self.note == self._lack:
            self.note = self._lack = lack
        return rows

    def _alone(self, error: Exception) -> None:
        self._sharing = False
        self.note = f"The loss is that of this rank alone: the others cannot be asked ({type(error).__name__}: {' '.join(str(error).split())})."

    def _own(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return counted(tensors, self._ranks.rank if self._ranks is not None else 0, self._flat)

    def _detach(self) -> None:
        if self._ranks is not None:
            with contextlib.suppress(Exception):  # the user's own error may be under way
                self._settle()
                self._share(over=True)
        self.watching = False
        for handle in (*self._hooked.values(), *self._steps):
            handle.remove()
        self._copy = Copied([])
        self._forget()


def line(row: Row, said: str | None = None) -> str:
    """One row in a line, with the verdict.

    >>> line(Row(1200, 0.5, 0.05, 0.2134, 1.0, 0.0022, 2.0, float("nan"), 0.1), "descending")
    'step 1,200  loss 0.2134  update/weight 1.1e-03  descending'
    """
    ratio = row.update_norm / row.weight_norm if row.weight_norm else NAN
    moved = "" if math.isnan(ratio) else f"  update/weight {ratio:.1e}"
    return f"step {row.step:,}  loss {row.loss:.4g}{moved}{f'  {said}' if said else ''}"


def _kept(loss: Any) -> Any:
    """The loss as a number, or where it would take a wait for the device, as a copy there (a compiled model may write into its own)."""
    if not isinstance(loss, Tensor):
        return float(loss)
    return loss.item() if loss.is_cpu else loss.detach().clone().reshape(())
