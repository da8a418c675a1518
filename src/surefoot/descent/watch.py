"""What does a training loop of your own do?  model + optimizer, watched while they train -> the Trace that `descend` would give."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from surefoot.descent.ranks import replicated, sharded
from surefoot.descent.seen import Asked, Seen
from surefoot.errors import SettingError
from surefoot.problem import trainable
from surefoot.trace import Trace


@contextlib.contextmanager
def watch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    norms: int = 1,
    ratios: int | None = 16,
    alpha: int | None = None,
    every: int | None = None,
    verdict: Callable[[Trace], str | None] | None = None,
    scaler: Any = None,
    steps_per_epoch: int | None = None,
) -> Iterator[Seen]:
    """Watches a training loop of your own and keeps the trace that `descend` would keep.

    One row per ``optimizer.step()``: ``grad_norm`` as accumulated by the last ``backward()``, whatever clips it afterwards;
    ``update_norm`` the weights after the step minus those before; ``lr`` that of the first parameter group. A step that a gradient
    scaler skips makes no row. The training is the same, bit for bit, with and without; one copy of the weights is kept.

    Args:
        model: the model that is trained, compiled or not; all its trainable parameters are watched.
        optimizer: what trains it, a ``torch.optim.Optimizer``.
        norms: steps from one measurement of the three norms to the next, at least 1; in between they are NaN.
        ratios: steps from one measurement of update over weight, tensor by tensor, to the next: ``seen.ratios``, and in the trace the
            smallest and the largest of them, ``ratio_low`` and ``ratio_high``. None for never.
        alpha: steps from one measurement of ``alpha`` to the next: -1 for no way at all, 0 for a step onto the minimum along its
            line, 1 for one as far behind it as it began before it. Each costs one more gradient, and needs the loss as a function:
            ``seen.loss(loss_of, model, batch)``. None for never.
        every: steps between two lines on standard error; None for none.
        verdict: what ends such a line: a function of the trace so far that gives a word, or None. ``surefoot.watch`` gives the verdict of `diagnose`
            where nothing else is asked for.
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
        >>> model = nn.Linear(1, 1, bias=False)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.75)
        >>> def loss_of(batch):
        ...     return model(batch).square().mean()
        >>> with watch(model, optimizer, alpha=1) as seen:
        ...     for _ in range(3):
        ...         optimizer.zero_grad()
        ...         seen.loss(loss_of, torch.ones(8, 1)).backward()
        ...         norm = nn.utils.clip_grad_norm_(model.parameters(), 1e9)
        ...         optimizer.step()
        >>> trace = seen.trace  # the loss is w^2, of curvature 2: alpha + 1 = lr * curvature, and each update is -1.5 w
        >>> trace["alpha"].round(5).tolist(), bool(trace["grad_norm"][-1] == norm), round(seen.ratios["weight"], 5)
        ([0.5, 0.5, 0.5], True, 1.5)
    """
    steps = {"norms": norms, "ratios": ratios, "alpha": alpha, "every": every, "steps_per_epoch": steps_per_epoch}
    _check(model, optimizer, steps, verdict, scaler)
    ratios = None if sharded(model) else ratios  # of a tensor of which this process has a part
    seen = Seen(model, optimizer, Asked(norms, ratios, alpha, every, verdict, scaler, steps_per_epoch))
    try:
        yield seen
    finally:
        seen._detach()


def _check(model: Any, optimizer: Any, steps: dict[str, Any], verdict: Any, scaler: Any) -> None:
    if not isinstance(model, nn.Module):
        raise SettingError(f"The first argument must be the model, a torch.nn.Module, got a {type(model).__name__}.")
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise SettingError(f"The second argument must be a torch.optim.Optimizer, got a {type(optimizer).__name__}.")
    for name, value in steps.items():
        if (isinstance(value, bool) or not isinstance(value, int) or value < 1) and not (value is None and name != "norms"):
            raise SettingError(f"{name} must be an int of at least 1{' or None' * (name != 'norms')}, got {value!r}.")
    if verdict is not None and not callable(verdict):
        raise SettingError(f"verdict must be a function of the trace so far, got a {type(verdict).__name__}.")
    if scaler is not None and not callable(getattr(scaler, "get_scale", None)):
        raise SettingError(f"scaler must be a GradScaler, which has a get_scale(), got a {type(scaler).__name__}.")
    if steps["alpha"] is not None and (replicated(model) is not None or sharded(model)):
        raise SettingError(
            "alpha takes a gradient of this process alone, which DistributedDataParallel and FSDP do not allow; leave it out."
        )
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if held.isdisjoint(id(p) for p in trainable(model).values()):
        raise SettingError("The optimizer holds no trainable parameter of this model; make it from model.parameters().")
