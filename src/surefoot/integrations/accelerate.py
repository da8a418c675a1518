"""How does a loop under ``accelerate`` get on, and at which rate should it train?  prepared objects -> our trace, our problem and settings.

What was prepared stays as it is: descents work on a copy of the model, the loader under the prepared one is copied but for its dataset, and
the optimizer is copied with the copy's weights in place of the model's.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from surefoot.descent.seen import Seen
from surefoot.diagnosis.watched import watch as watched
from surefoot.errors import NotInstalled, SettingError
from surefoot.find import choose
from surefoot.find.found import Found
from surefoot.integrations.following import NORMS
from surefoot.integrations.played import played
from surefoot.integrations.trackers import outlets
from surefoot.problem import Problem

try:
    from accelerate import Accelerator
    from accelerate.optimizer import AcceleratedOptimizer
    from accelerate.scheduler import AcceleratedScheduler
    from accelerate.utils import extract_model_from_parallel
except ImportError as error:
    raise NotInstalled.of("What watches a loop under accelerate", error, "accelerate") from error

SENT = 50  # steps between two times that trackers are told, where nothing else is asked for
REFUSED = {"DEEPSPEED": "DeepSpeed", "FSDP": "FSDP", "MEGATRON_LM": "Megatron-LM"}


@contextlib.contextmanager
def watch(accelerator: Accelerator, model: nn.Module, optimizer: Any, *, to: Any = None, **more: Any) -> Iterator[Seen]:
    """`surefoot.watch` for a loop under accelerate.

    One row per update: under ``accelerator.accumulate`` the batches between two updates make one row, whose loss is the mean of what was
    told. ``seen.loss(loss)`` takes the loss as it is before ``accelerator.backward``. Norms are those before clipping, in mixed precision
    also before the scale of the loss. In several processes each watches its own.

    Args:
        accelerator: the ``Accelerator``.
        model: the model, prepared or not.
        optimizer: its optimizer, prepared or not.
        to: a tracker or several: `surefoot.integrations.trackers.Outlet`, or what that takes; told every ``every`` (or 50) steps and at the end.
        more: whatever else `surefoot.watch` takes; ``norms`` is 16 here where it is left out.

    Raises:
        SettingError: the accelerator runs DeepSpeed or Megatron-LM, whose engines step by themselves; or as `surefoot.watch`.

    Example:
        >>> accelerator = Accelerator(cpu=True)
        >>> model = nn.Linear(1, 1, bias=False)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.75)
        >>> model, optimizer = accelerator.prepare(model, optimizer)
        >>> with watch(accelerator, model, optimizer) as seen:
        ...     for _ in range(3):
        ...         optimizer.zero_grad()
        ...         loss = seen.loss(model(torch.ones(8, 1)).square().mean())
        ...         accelerator.backward(loss)
        ...         optimizer.step()
        >>> bool(seen.trace["loss"][1] / seen.trace["loss"][0] < 0.26)  # each update is -1.5 w
        True
    """
    kind = _kind(accelerator)
    if kind in ("DEEPSPEED", "MEGATRON_LM"):
        raise SettingError(f"{REFUSED[kind]} steps inside an engine of its own, which cannot be watched. Watch a run without it.")
    bare, told = bare_optimizer(optimizer), outlets(to)
    every = more.get("every") or SENT
    with contextlib.ExitStack() as stack:
        around = stack.enter_context(contextlib.ExitStack())  # left last, when the watching is over
        seen = stack.enter_context(watched(model, bare, **{"scaler": accelerator.scaler, "norms": NORMS, **more}))
        around.callback(_send, told, seen)
        if told:
            send = functools.partial(_send, told, seen, every)
            stack.callback(bare.register_step_post_hook(lambda *_: send()).remove)
        yield seen


def problem_of(
    accelerator: Accelerator,
    model: nn.Module,
    dataloader: Any,
    *,
    loss: Callable[..., Any] | None = None,
    objective: Callable[..., Any] | None = None,
    validation: Any = None,
) -> Problem:
    """What a loop under accelerate descends.

    Args:
        accelerator: the ``Accelerator``.
        model: the model, prepared or not.
        dataloader: the batches to train on, prepared or not.
        loss: as for a `Problem`: ``loss(prediction, target)``; or give ``objective(model, batch)``; with neither, ``model(**batch).loss``.
        objective: see there.
        validation: held-out data, a loader prepared or not, or any other form a `Problem` takes.

    Raises:
        SettingError: there are several processes, or the model is sharded.
    """
    check_alone(accelerator)
    return Problem(bare_model(model), own_loader(dataloader), loss=loss, objective=objective, validation=own_loader(validation))


def settings_of(
    accelerator: Accelerator, model: nn.Module, *, optimizer: Any, scheduler: Any = None, steps: int, **given: Any
) -> dict[str, Any]:
    """What `find_lr` and `descend` take beside the problem.

    Args:
        accelerator: tells accumulation and mixed precision.
        model: the model that the optimizer holds the weights of, prepared or not.
        optimizer: prepared or not; or what `descend` takes.
        scheduler: a scheduler that has not been stepped yet, prepared or not; None for a constant rate.
        steps: the horizon, in updates.
        given: what takes the place of what is found out; that is then not looked for.

    Raises:
        SettingError: there are several processes, the model is sharded, or the scheduler follows the loss or has been stepped.
    """
    check_alone(accelerator)
    precision = accelerator.mixed_precision
    if precision not in ("no", "bf16", "fp16"):
        raise SettingError(
            f"mixed_precision={precision!r} is not known to descents; pass an Accelerator with 'bf16', 'fp16' or 'no'."
        )
    found: dict[str, Any] = {"optimizer": optimizer, "steps": steps, "accumulate": accelerator.gradient_accumulation_steps}
    if isinstance(optimizer, torch.optim.Optimizer):
        found["optimizer"] = optimizer_like(optimizer, model)
    if precision != "no":
        found["autocast"] = precision
    if scheduler is not None and "schedule" not in given:
        found["schedule"] = played(_unstepped(bare_scheduler(scheduler)), steps)
    return {**found, **given}


def find_lr(
    accelerator: Accelerator,
    model: nn.Module,
    dataloader: Any,
    *,
    optimizer: Any,
    steps: int,
    loss: Callable[..., Any] | None = None,
    objective: Callable[..., Any] | None = None,
    validation: Any = None,
    scheduler: Any = None,
    **more: Any,
) -> Found:
    """`surefoot.find_lr` for a loop under accelerate: ``find_lr(problem_of(...), **settings_of(...))``.

    The prepared objects are bit for bit what they were, also after an error. The rate found is that of the first parameter group. Gradients are
    clipped where ``clip_norm=`` says so, as the loop does with ``accelerator.clip_grad_norm_``: it cannot be seen from outside.

    Args:
        accelerator: the ``Accelerator``.
        model: the model, prepared or not.
        dataloader: the batches to train on, prepared or not.
        optimizer: prepared or not; or what `descend` takes.
        steps: the horizon, in updates.
        loss: as in `problem_of`.
        objective: as in `problem_of`.
        validation: as in `problem_of`.
        scheduler: a scheduler that has not been stepped yet, prepared or not.
        more: whatever else `surefoot.find_lr` takes; it goes before what is found out.

    Raises:
        SettingError: there are several processes, the model is sharded, the scheduler follows the loss or has been stepped; or as
            `surefoot.find_lr`.
        ProblemError: as `surefoot.find_lr`.

    Example:
        >>> accelerator = Accelerator(cpu=True)
        >>> x = torch.linspace(-1, 1, 32).unsqueeze(1)
        >>> model, loader = nn.Linear(1, 1), DataLoader(torch.utils.data.TensorDataset(x, 3 * x + 1), batch_size=8, shuffle=True)
        >>> model, optimizer, loader = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=1e-3), loader)
        >>> found = find_lr(accelerator, model, loader, loss=nn.functional.mse_loss, optimizer=optimizer, steps=200)
        >>> 0.05 < found.lr < 2.5
        True
    """
    problem = problem_of(accelerator, model, dataloader, loss=loss, objective=objective, validation=validation)
    settings = settings_of(accelerator, model, optimizer=optimizer, scheduler=scheduler, steps=steps, **more)
    found: Found = choose.find_lr(problem, **settings)
    return found


# ---- what is under what was prepared


def check_alone(accelerator: Accelerator) -> None:
    """Refuses what descents on a copy cannot do; every process refuses alike, so that none waits for another.

    Raises:
        SettingError: there are several processes, or the model is sharded.
    """
    kind = _kind(accelerator)
    if kind in REFUSED:
        raise SettingError(
            f"find_lr descends on copies of the whole model, which {REFUSED[kind]} shards. Find the rate on a smaller model of the same kind, "
            "or in one process without it."
        )
    if accelerator.num_processes > 1:
        raise SettingError(
            f"find_lr(accelerator, ...) works in one process, and here are {accelerator.num_processes}. Find the rate in a run of one process "
            f"with {accelerator.num_processes} times the gradient_accumulation_steps, then start the others."
        )


def bare_model(model: nn.Module) -> nn.Module:
    """The module that was prepared, its forward in mixed precision where it was given one; nothing is changed.

    A compiled model is the one that was compiled: descents compile nothing.
    """
    return extract_model_from_parallel(model, keep_fp32_wrapper=True, keep_torch_compile=False)  # type: ignore[no-any-return]


def bare_optimizer(optimizer: Any) -> Any:
    """The optimizer that was prepared."""
    return optimizer.optimizer if isinstance(optimizer, AcceleratedOptimizer) else optimizer


def bare_scheduler(scheduler: Any) -> Any:
    """The scheduler that was prepared."""
    return scheduler.scheduler if isinstance(scheduler, AcceleratedScheduler) else scheduler


def own_loader(data: Any) -> Any:
    """The loader that was prepared, as a copy that shares dataset and collate function: walking it moves no sampler's place of the user's."""
    loader = getattr(data, "base_dataloader", data)
    if not isinstance(loader, DataLoader):
        return data
    shared = (loader.dataset, loader.collate_fn, loader.worker_init_fn)
    return copy.deepcopy(loader, {id(part): part for part in shared})


def optimizer_like(optimizer: Any, model: nn.Module) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """A function from a copy of the model to a copy of the optimizer over the copy's weights: groups, settings and state are kept.

    Args:
        optimizer: over the model's weights, prepared or not; it stays as it is.
        model: the model, prepared or not.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> theirs = torch.optim.SGD([{"params": [model.weight]}, {"params": [model.bias], "lr": 0.2}], lr=0.1, momentum=0.9)
        >>> own = copy.deepcopy(model)
        >>> ours = optimizer_like(theirs, model)(own)
        >>> ours.param_groups[1]["params"][0] is own.bias, ours.param_groups[1]["lr"], theirs.param_groups[1]["params"][0] is model.bias
        (True, 0.2, True)
    """
    return functools.partial(_like, bare_optimizer(optimizer), bare_model(model))


def _like(optimizer: torch.optim.Optimizer, model: nn.Module, own: nn.Module) -> torch.optim.Optimizer:
    mine = dict(own.named_parameters())
    memo: dict[int, Any] = {id(p): mine[name] for name, p in model.named_parameters() if name in mine}
    held = [p for group in optimizer.param_groups for p in group["params"]]
    strange = sum(id(p) not in memo for p in held)
    if strange:
        raise SettingError(
            f"{strange} of the {len(held)} tensors that the optimizer holds are not this model's. Pass the optimizer made from model.parameters()."
        )
    made = copy.deepcopy(optimizer, memo)
    for name, value in vars(optimizer).items():  # torch copies state and groups alone, and third parties keep more; but no hooks
        if name not in vars(made) and "hook" not in name and not callable(value):
            setattr(made, name, copy.deepcopy(value, memo))
    for group in made.param_groups:
        group["lr"] = group.get("initial_lr", group["lr"])  # a scheduler has moved the rate away from its base
    return made


def _unstepped(scheduler: Any) -> Any:
    steps = getattr(scheduler, "last_epoch", 0)
    if steps > 0:
        raise SettingError(
            f"The scheduler has made {steps} step{'s' * (steps > 1)}, and would be played on from there, beyond its end. Find the rate before "
            "the training, with a scheduler that is new, or pass schedule=."
        )
    return scheduler


def _kind(accelerator: Accelerator) -> str:
    if not hasattr(accelerator, "distributed_type"):
        raise SettingError(f"The first argument must be an accelerate.Accelerator, got a {type(accelerator).__name__}.")
    return str(accelerator.distributed_type.value)


def _send(told: list[Any], seen: Seen, every: int = 1) -> None:
    if told and len(seen) % every == 0:
        trace = seen.trace
        for each in told:
            each.send(trace)
