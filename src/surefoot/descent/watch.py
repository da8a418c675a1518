"""What does a training loop of your own do?  model + optimizer, watched while they train -> the Trace that `descend` would give.

Hooks on the optimizer tell of each step (``register_step_pre_hook``, ``register_step_post_hook``), hooks on the parameters of each
gradient (``register_post_accumulate_grad_hook``), so that the norm is taken before anything between ``backward()`` and ``step()``
clips or unscales it. Nothing is changed and no random number is drawn; an error of the watching itself ends the watching alone.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec

import torch
from torch import Tensor, nn

from surefoot.errors import SettingError
from surefoot.problem import trainable
from surefoot.trace import Row, Trace

NAN = float("nan")
_backward_pass = torch._C._current_graph_task_id  # a number of its own for each, by which torch's own hooks tell them apart
UNREAD = 64  # rows whose numbers may still lie on the device: one wait for it in so many steps
_Rest = ParamSpec("_Rest")


def _harmless(method: Callable[Concatenate[Watch, _Rest], None]) -> Callable[Concatenate[Watch, _Rest], None]:
    """The method, without gradients and without errors: the first one is noted and ends the watching."""

    @functools.wraps(method)
    def guarded(self: Watch, /, *args: _Rest.args, **kwargs: _Rest.kwargs) -> None:
        if not self.watching:
            return
        try:
            with torch.no_grad():
                method(self, *args, **kwargs)
        except Exception as error:
            self.watching = False  # the hooks stay until the end: removing one while it is called would raise in torch
            what = " ".join(str(error).split())
            self.note = f"The watching ended at step {len(self._rows)}: {type(error).__name__}: {what}"

    return guarded


class Watch:
    """What was seen so far of a training loop; made by `watch`.

    Attributes:
        watching: whether steps are still recorded; False after the ``with`` block, or after an error of the watching.
        note: that error in a sentence, None where there was none.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, every: int, scaler: Any, steps_per_epoch: int | None
    ) -> None:
        self.watching, self.note = True, None  # type: bool, str | None
        self._optimizer, self._every, self._scaler, self._steps_per_epoch = optimizer, every, scaler, steps_per_epoch
        self._everything = list(model.parameters())
        self._rows: list[Row] = []
        self._read = 0  # rows whose fields are plain numbers
        self._told: list[Any] = []
        self._void = False  # the gradient holds an infinity: the scaler will skip this step
        self._gradient: Any = None
        self._backward = -1  # the last backward pass whose end is waited for
        self._before: list[Tensor] = []
        self._evaluating = False  # within a step that was given a closure
        self._open: Row | None = None  # the step under way
        self._began = time.perf_counter()
        self._hooked: dict[int, Any] = {}
        self._hook_parameters()
        self._steps = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(lambda *_: self._after_step()),
        ]

    @property
    def trace(self) -> Trace:
        """The steps so far, as a trace of its own."""
        self._settle()
        return Trace.of(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        state = "going on" if self.watching else self.note or "over"
        return f"<Watch of {len(self)} steps, {state}>"

    def loss(self, loss: Any) -> Any:
        """Tells the loss of the batch at hand, and returns it as it is: ``seen.loss(loss).backward()``.

        Args:
            loss: a number or a tensor of one; before scaling, and before a division by the batches that are accumulated. The row
                holds the mean of what was told since the last step, NaN where nothing was.
        """
        self._tell(loss)
        return loss

    @_harmless
    def validation(self, value: Any) -> None:
        """Tells the validation loss after the last step; its row holds it."""
        if self._rows:
            self._rows[-1] = self._rows[-1]._replace(validation_loss=float(value))

    # ---- the loss and the gradient

    @_harmless
    def _tell(self, loss: Any) -> None:
        if self._void and not self._evaluating:
            self._told, self._void = [], False
        if not (self._evaluating and self._told):  # of a closure, the first evaluation is the one at these weights
            self._told.append(_kept(loss))

    def _hook_parameters(self) -> None:
        for p in self._everything:
            if p.requires_grad and id(p) not in self._hooked:
                self._hooked[id(p)] = p.register_post_accumulate_grad_hook(self._accumulated)  # type: ignore[no-untyped-call]

    def _accumulated(self, parameter: Tensor) -> None:
        """At the first gradient of a backward pass, asks to be called at its end: one norm of all, not one per parameter."""
        # called once per parameter, so no more than this: 0.2 us
        if (backward := _backward_pass()) != self._backward:
            self._backward = backward
            self._ask()

    @_harmless
    def _ask(self) -> None:
        if self._measures:
            torch.autograd.Variable._execution_engine.queue_callback(self._take_gradient)

    @_harmless
    def _take_gradient(self) -> None:
        if self._evaluating and self._gradient is not None:
            return
        self._gradient = _norm([p.grad for p in self._everything if p.grad is not None])
        if self._scaler is not None:  # the scaler waits for the device in any case, to look for infinities
            self._void = not math.isfinite(self._gradient)
            self._gradient = float(self._gradient) / float(self._scaler.get_scale())

    # ---- the step

    @property
    def _measures(self) -> bool:
        return len(self._rows) % self._every == 0

    @_harmless
    def _before_step(self, optimizer: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        self._evaluating = any(callable(given) for given in (*args[1:], *kwargs.values()))
        if self._evaluating:
            self._told, self._gradient = [], None
        elif self._gradient is None and self._measures:  # no backward pass made it: as the optimizer is given it
            self._gradient = _norm([p.grad for p in self._everything if p.grad is not None])
        step = len(self._rows)
        epoch = step / self._steps_per_epoch if self._steps_per_epoch else NAN
        self._open = Row(step, epoch, float(optimizer.param_groups[0]["lr"]), NAN, NAN, NAN, NAN, NAN, NAN)
        if self._measures:
            moving = self._moving()
            self._open = self._open._replace(weight_norm=_norm(moving))
            self._remember(moving)

    @_harmless
    def _after_step(self) -> None:
        if self._open is not None and not self._skipped():
            loss = sum(self._told) / len(self._told) if self._told else NAN
            gradient = NAN if self._gradient is None else self._gradient
            change = self._change() if self._measures else NAN
            seconds = time.perf_counter() - self._began
            self._rows.append(self._open._replace(loss=loss, grad_norm=gradient, update_norm=change, seconds=seconds))
        self._open, self._gradient, self._told, self._void, self._evaluating = None, None, [], False, False
        if len(self._rows) - self._read >= UNREAD:
            self._settle()

    def _skipped(self) -> bool:
        """Whether a fused optimizer left the weights alone: it is called nevertheless, with the scaler's finding in an attribute."""
        found = getattr(self._optimizer, "found_inf", None)
        return isinstance(found, Tensor) and bool(found)

    def _moving(self) -> list[Tensor]:
        moving: list[Tensor] = [p for p in self._everything if p.requires_grad]
        if len(moving) != len(self._hooked):  # some were frozen or freed on the way
            self._hook_parameters()
        return moving

    def _remember(self, moving: list[Tensor]) -> None:
        if [kept.shape for kept in self._before] != [p.shape for p in moving]:
            self._before = [torch.empty_like(p) for p in moving]
        torch._foreach_copy_(self._before, moving)

    def _change(self) -> Any:
        """l2 norm of the update just made; what is remembered becomes the update itself, for want of a second copy."""
        moving: list[Tensor] = [p for p in self._everything if p.requires_grad]
        torch._foreach_sub_(self._before, moving)
        return _norm(self._before)

    # ---- the end

    def _settle(self) -> None:
        """Fetches the numbers that still lie on the device."""
        for index in range(self._read, len(self._rows)):
            row = self._rows[index]
            there: dict[str, Any] = {name: float(value) for name, value in row._asdict().items() if isinstance(value, Tensor)}
            self._rows[index] = row._replace(**there) if there else row
        self._read = len(self._rows)

    def _detach(self) -> None:
        self.watching = False
        for handle in (*self._hooked.values(), *self._steps):
            handle.remove()
        self._before, self._told = [], []


@contextlib.contextmanager
def watch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    every: int = 1,
    scaler: Any = None,
    steps_per_epoch: int | None = None,
) -> Iterator[Watch]:
    """Watches a training loop of your own and keeps the trace that `descend` would keep.

    One row per ``optimizer.step()``: ``grad_norm`` as accumulated by the last ``backward()``, whatever clips it afterwards;
    ``update_norm`` the weights after the step minus those before; ``lr`` that of the first parameter group. A step that a gradient
    scaler skips makes no row. The training is the same, bit for bit, with and without; one copy of the weights is kept.

    Args:
        model: the model that is trained, compiled or not; all its trainable parameters are watched.
        optimizer: what trains it, a ``torch.optim.Optimizer``.
        every: steps from one measurement of the three norms to the next, at least 1; in between they are NaN.
        scaler: the ``GradScaler``, where one is used. Without it, ``grad_norm`` is that of the scaled loss.
        steps_per_epoch: steps in one pass through the data, for the column ``epoch``, which is NaN without it.

    Yields:
        What was seen: ``seen.trace`` at any moment, also after the block. ``seen.loss(loss)`` tells it the loss, and
        ``seen.validation(value)`` the validation loss; both columns are NaN where nothing was told.

    Raises:
        SettingError: on entry, that an argument is of the wrong kind or that the optimizer holds nothing of the model. Never
            later: an error of the watching ends it, and ``seen.note`` says why.
        ProblemError: the model has no trainable parameter.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with watch(model, optimizer) as seen:
        ...     for _ in range(3):
        ...         optimizer.zero_grad()
        ...         seen.loss(model(torch.ones(8, 1)).square().mean()).backward()
        ...         norm = nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        ...         optimizer.step()
        >>> trace = seen.trace
        >>> [round(update / 0.1, 6) for update in trace["update_norm"].tolist()], bool(trace["grad_norm"][-1] == norm)
        ([0.001, 0.001, 0.001], True)
    """
    _check(model, optimizer, every, scaler, steps_per_epoch)
    seen = Watch(model, optimizer, every, scaler, steps_per_epoch)
    try:
        yield seen
    finally:
        seen._detach()


def _check(model: Any, optimizer: Any, every: Any, scaler: Any, steps_per_epoch: Any) -> None:
    if not isinstance(model, nn.Module):
        raise SettingError(f"The first argument must be the model, a torch.nn.Module, got a {type(model).__name__}.")
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise SettingError(f"The second argument must be a torch.optim.Optimizer, got a {type(optimizer).__name__}.")
    for name, value in (("every", every), ("steps_per_epoch", steps_per_epoch)):
        if (isinstance(value, bool) or not isinstance(value, int) or value < 1) and not (value is None and name != "every"):
            raise SettingError(f"{name} must be an int of at least 1, got {value!r}.")
    if scaler is not None and not callable(getattr(scaler, "get_scale", None)):
        raise SettingError(f"scaler must be a GradScaler, which has a get_scale(), got a {type(scaler).__name__}.")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if held.isdisjoint(id(p) for p in trainable(model).values()):
        raise SettingError("The optimizer holds no trainable parameter of this model; make it from model.parameters().")


def _kept(loss: Any) -> Any:
    """The loss as a number, or where it would take a wait for the device, as a copy there (a compiled model may write into its own)."""
    if isinstance(loss, Tensor) and loss.device.type != "cpu":
        return loss.detach().clone().reshape(())
    return float(loss)


def _norm(tensors: Sequence[Tensor]) -> Any:
    """l2 norm of all of them together; a number, or where it would take a wait for the device, a tensor there."""
    if not tensors:
        return NAN
    dense = [t.coalesce().values() if t.is_sparse else t for t in tensors]
    coarse = not {t.dtype for t in dense}.isdisjoint((torch.float16, torch.bfloat16))
    norms = torch._foreach_norm(dense, 2, dtype=torch.float32) if coarse else torch._foreach_norm(dense)
    if all(norm.is_cpu for norm in norms):
        return math.sqrt(sum([value * value for value in [norm.item() for norm in norms]]))
    return torch.linalg.vector_norm(torch.stack([norm.to(norms[0].device) for norm in norms]))
