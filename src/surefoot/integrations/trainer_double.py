"""How are a Trainer's own methods called and the Trainer left as it is?  Trainer -> a shallow copy, its loss on a batch of any model of that kind.

Source: transformers 5.23, ``trainer.py`` (``training_step``, ``compute_loss``, ``get_batch_samples``, ``_prepare_for_training``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn

from surefoot.descent.snapshot import random_state, seed_everything, set_random_state
from surefoot.errors import NotInstalled, ProblemError

try:
    from accelerate.state import GradientState
    from transformers import Trainer
    from transformers.trainer_callback import CallbackHandler, DefaultFlowCallback
except ImportError as error:
    raise NotInstalled.of("What watches a Trainer", error, "transformers") from error


class Unprepared:
    """The accelerator of a double: as the Trainer's, but it prepares nothing, for what it prepares it also keeps."""

    def __init__(self, accelerator: Any) -> None:
        self._accelerator = accelerator

    def __getattr__(self, name: str) -> Any:
        if name == "_accelerator":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self._accelerator, name)

    def __getstate__(self) -> dict[str, Any]:
        """For another process: without accelerate's list of the loaders of this one, which are weak references."""
        own = copy.copy(self._accelerator)
        vars(own).pop("gradient_state", None)
        return {"_accelerator": own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._accelerator.gradient_state = GradientState()

    def prepare(self, *parts: Any, **_: Any) -> Any:
        """The parts as they are."""
        return parts[0] if len(parts) == 1 else parts

    prepare_data_loader = prepare


def double_of(trainer: Trainer) -> Trainer:
    """A shallow copy whose methods leave the Trainer as it is.

    What the Trainer holds in containers is copied, the data and the model are shared. Its callbacks hear of nothing, its accelerator prepares
    nothing, and its loaders load in this process, which descents in several processes need.
    """
    double = copy.copy(trainer)
    kept = {"train_dataset", "eval_dataset"}
    vars(double).update({name: _apart(value) for name, value in vars(trainer).items() if name not in kept})
    for held in ("_eval_dataloaders", "gather_function"):  # the latter a method of the real accelerator, for evaluations alone
        vars(double).pop(held, None)
    double.accelerator = Unprepared(trainer.accelerator)
    double.callback_handler = CallbackHandler([DefaultFlowCallback], None, None, None, None)
    double.state, double.control = copy.deepcopy(trainer.state), copy.deepcopy(trainer.control)
    double.args = copy.copy(trainer.args)
    double.args.dataloader_num_workers, double.args.dataloader_persistent_workers = 0, False
    double.args.dataloader_prefetch_factor = None
    return double


def model_of(double: Trainer) -> nn.Module:
    """The model that ``train()`` would begin with: the Trainer's, or where it makes its own, another of the kind."""
    if double.model_init is None:
        return double.model  # type: ignore[no-any-return]

    def made() -> nn.Module:
        seed_everything(double.args.seed)
        return double.call_model_init().to(double.args.device)  # type: ignore[no-any-return]

    return cast(nn.Module, unmoved(made))


def _apart(value: Any) -> Any:
    """Containers as copies, down to what they contain: a compute_loss of the user's may keep its losses in a list."""
    if type(value) is list:
        return [_apart(each) for each in value]
    if isinstance(value, dict):
        own = copy.copy(value)
        own.update({key: _apart(each) for key, each in value.items()})
        return own
    return copy.copy(value) if isinstance(value, set) else value


def unmoved(make: Callable[[], Any]) -> Any:
    """What is made, and the random state as it was."""
    before = random_state()
    try:
        return make()
    finally:
        set_random_state(before)


# ---- data and loss


class Grouped:
    """A loader whose batches tell how many labels all the batches of their update hold, and how many batches those are."""

    def __init__(self, loader: Any, counted: Callable[[Iterator[Any]], Iterator[Any]]) -> None:
        self.loader, self.counted = loader, counted
        # where generators are looked for
        self.dataset, self.sampler, self.batch_sampler = loader.dataset, loader.sampler, loader.batch_sampler

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        return self.counted(iter(self.loader))


def counted(double: Trainer, per_update: int, batches: Iterator[Any]) -> Iterator[tuple[Any, Any, int]]:
    """The batches of one pass, each with the labels in all the batches of its update, and how many batches those are."""
    while True:
        taken, items = double.get_batch_samples(batches, per_update, double.args.device)
        if not taken:
            return
        yield from ((batch, items, len(taken)) for batch in taken)


def loss_on(double: Trainer, model: nn.Module, batch: Any) -> Tensor:
    """The loss that the Trainer would descend, times the batches of its update where a descent is going to divide by them."""
    if isinstance(batch, tuple):
        inputs, items, share = batch
    else:
        inputs, share = batch, 1
        items = double.get_batch_samples(iter([batch]), 1, double.args.device)[1]
    labelled = [name for name in inputs if "label" in str(name) or name in double.label_names]
    double.model, double.current_gradient_accumulation_steps = model, share
    try:
        with double.compute_loss_context_manager():
            loss = double.compute_loss(model, dict(inputs), num_items_in_batch=items)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        if labelled:
            raise
        raise _unlabelled(double, inputs) from error
    if not labelled and (not isinstance(loss, Tensor) or loss.numel() != 1):
        raise _unlabelled(double, inputs)
    return loss * share if share > 1 and _is_scaled(double, items) else loss  # type: ignore[no-any-return]


def _is_scaled(double: Trainer, items: Any) -> bool:
    """Whether the loss is already a share of the update's, as ``Trainer.training_step`` decides it."""
    told = getattr(double, "loss_is_scaled_for_ga", None)
    by_model = double.model_accepts_loss_kwargs and items is not None
    return bool(told) if told is not None else by_model or double.compute_loss_func is not None


def _unlabelled(double: Trainer, inputs: Mapping[str, Any]) -> ProblemError:
    return ProblemError(
        f"{type(double.model).__name__} gives no loss for batches of {', '.join(map(str, inputs))}: there are no labels among them "
        f"(looked for: {', '.join(double.label_names) or 'labels'}). Put labels in train_dataset, pass a data_collator that makes them, such as "
        "DataCollatorForLanguageModeling(tokenizer, mlm=False), name them in TrainingArguments(label_names=[...]), or override compute_loss."
    )
