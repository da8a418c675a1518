"""How is a Lightning training getting on, and which learning rate does its module want?  LightningModule + Trainer -> Trace, Found.

Both packages are served, ``lightning`` and ``pytorch_lightning``.
"""

from __future__ import annotations

from typing import Any

import torch

from surefoot.descent.seen import Seen
from surefoot.errors import NotInstalled, ProblemError, SettingError
from surefoot.find.choose import find_lr as find_on_problem
from surefoot.integrations.following import NORMS, Following, Part
from surefoot.integrations.lightning_module import problem_and_settings, problem_of, settings_of

try:
    from lightning.pytorch import Callback
except ImportError:
    try:
        from pytorch_lightning import Callback
    except ImportError as error:
        raise NotInstalled.of("The Lightning callback", error, "lightning") from error

__all__ = ["Watch", "find_lr", "problem_of", "settings_of"]


def find_lr(module: Any, data: Any = None, val_dataloader: Any = None, trainer: Any = None, **more: Any) -> Any:
    """The learning rate for a LightningModule: `surefoot.find_lr` with its own ``training_step`` and ``configure_optimizers``.

    The rate is that of the optimizer's first parameter group, the others keep their ratio to it; under ``OneCycleLR`` it is ``max_lr``.
    Everything happens on copies: module, data module, trainer, random state stay as they are, half-trained or not.

    Args:
        module: the LightningModule; descents begin at the weights it has.
        data: its training data, a LightningDataModule or a loader; None for the module's own ``train_dataloader()``.
        val_dataloader: held-out data that rates are compared on; None for what data module or module bring, if they do.
        trainer: the Trainer it will be fitted with, for accumulation, clipping, precision, device and the number of steps; None for one
            that asks for nothing. It is read and never used.
        more: as for `surefoot.find_lr`; what is given here is not asked of module and trainer.

    Returns:
        `Found`, as `surefoot.find_lr`.

    Raises:
        SettingError: the module optimizes by hand or has several optimizers, gradients are clipped by value, or a schedule cannot be known
            beforehand; the message says what to pass.
        ProblemError: there is no ``training_step`` or no data, it returned no loss, or it needs a trainer that is training.

    Example:
        >>> from lightning.pytorch import LightningModule
        >>> class Line(LightningModule):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layer = torch.nn.Linear(1, 1)
        ...     def training_step(self, batch, batch_idx):
        ...         return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        ...     def configure_optimizers(self):
        ...         return torch.optim.SGD(self.parameters(), lr=1e-3)
        >>> x = torch.linspace(-1, 1, 32).unsqueeze(1)
        >>> data = torch.utils.data.TensorDataset(x, 3 * x + 1)
        >>> module = Line()
        >>> found = find_lr(module, torch.utils.data.DataLoader(data, batch_size=32), steps=100)
        >>> found.lr < 1.0, module.trainer if module._trainer else "never attached"  # 2 / curvature = 1
        (True, 'never attached')
    """
    problem, settings = problem_and_settings(module, data, val_dataloader, trainer, more)
    return find_on_problem(problem, **{**settings, **more})


class Watch(Following, Callback):  # type: ignore[misc]
    """A callback that keeps the trace of a training, as `surefoot.watch` does: ``Trainer(callbacks=[watch := Watch()])``.

    One row per optimizer step: ``loss`` what ``training_step`` returned, the mean over the batches that are accumulated, before the
    division and the scaling that Lightning makes; ``grad_norm`` before clipping; ``lr`` that of the first parameter group. A step that
    the gradient scaler skips makes no row, nor does a ``training_step`` that returns None. The training is the same, bit for bit, with
    and without; nothing is logged and nothing goes into checkpoints. In several processes each watches its own share of the data.

    A second ``fit`` of the same module goes on in the same trace; another module begins a new one.

    Args:
        norms: steps from one measurement of the three norms to the next; in between they are NaN.
        ratios: steps from one measurement of update over weight, tensor by tensor, to the next; None for never.
        every: steps between two lines on standard error with the verdict; None for none.
        to: a tracker or several (`surefoot.integrations.trackers.Outlet`, or what that takes), told every ``every`` (50) steps and at the end.
        optimizer: which of several optimizers is watched, counted from 0 as ``configure_optimizers`` returns them; its parameters alone
            are measured then.
        validation: the name under which the module logs its validation loss; None for none. Whether it is a mean over samples is up to
            the module.

    Attributes:
        trace: the `Trace` so far.
        diagnosis: what `diagnose` says of it.
        note: what could not be watched and why, or None.
        ratios: by tensor, update over weight when last measured.

    Raises:
        SettingError: an argument is of the wrong kind; or when training starts, that there are several optimizers and none was named.

    Example:
        >>> Watch(optimizer="first")
        Traceback (most recent call last):
        surefoot.errors.SettingError: optimizer must be a number from 0, as configure_optimizers returns them, or None, got 'first'.
    """

    def __init__(
        self,
        *,
        norms: int = NORMS,
        ratios: int | None = 16,
        every: int | None = None,
        to: Any = None,
        optimizer: int | None = None,
        validation: str | None = "val_loss",
    ) -> None:
        super().__init__()
        self._ask(norms, ratios, every, to)
        if optimizer is not None and (isinstance(optimizer, bool) or not isinstance(optimizer, int) or optimizer < 0):
            raise SettingError(
                f"optimizer must be a number from 0, as configure_optimizers returns them, or None, got {optimizer!r}."
            )
        if validation is not None and not isinstance(validation, str):
            raise SettingError(f"validation must be the name of a logged value, or None, got {validation!r}.")
        self.optimizer, self.validation = optimizer, validation
        self._watched: Any = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begins to watch, with everything restored that a checkpoint brought."""
        optimizer = self._chosen(list(trainer.optimizers))
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        per_epoch = -(-trainer.num_training_batches // trainer.accumulate_grad_batches)
        model = pl_module if self.optimizer is None else Part(pl_module, optimizer)
        if not isinstance(optimizer, torch.optim.Optimizer):
            self._said = f"Not watched: what steps is a {type(optimizer).__name__}, no torch.optim.Optimizer."
            return
        try:
            self._begin(model, optimizer, InClosure, scaler, per_epoch, whole=pl_module)
        except ProblemError as error:  # nothing to train: Lightning goes on, and so does this
            self._said = f"Not watched: {error}"
            return
        self._watched = optimizer

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """Tells the loss, without the division and the scaling."""
        if self._seen is not None:
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            whole = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
            self._seen.loss(loss.detach() * (whole if scaler is None else whole / scaler.get_scale()))

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Within the step, the gradients being there."""
        if isinstance(self._seen, InClosure):
            if optimizer is self._watched:
                self._seen.closed(pl_module.automatic_optimization)
            else:
                self._seen.others()

    def on_train_batch_end(self, trainer: Any, *_: Any, **__: Any) -> None:
        """Lets the trackers know, now and then."""
        self._stepped()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Takes the validation loss that the module logged."""
        if self._seen is not None and self.validation is not None and not trainer.sanity_checking:
            value = trainer.callback_metrics.get(self.validation)
            if value is not None:
                self._seen.validation(value)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Ends the watching."""
        self._leave()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Ends the watching; the rows so far are kept."""
        self._leave()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Ends the watching, where nothing else did."""
        self._leave()

    def _leave(self) -> None:
        self._end()
        self._watched = None

    def _chosen(self, optimizers: list[Any]) -> Any:
        if self.optimizer is None and len(optimizers) > 1:
            raise SettingError(
                f"The module has {len(optimizers)} optimizers, and one trace tells of one: pass Watch(optimizer=0) for the first of them, "
                "and one callback for each that is to be watched."
            )
        if self.optimizer is not None and self.optimizer >= len(optimizers):
            raise SettingError(f"Watch(optimizer={self.optimizer}): the module has {len(optimizers)} optimizers, counted from 0.")
        return optimizers[self.optimizer or 0] if optimizers else None

    @property
    def state_key(self) -> str:
        """One for each optimizer, so that several may be watched."""
        return f"{type(self).__qualname__}[{self.optimizer}]"


class InClosure(Seen):
    """What is seen of steps that are always given a closure, also where some or all backward passes were made before.

    Lightning computes the gradient of the last accumulated batch within the step, and gives a closure that does nothing where a module
    optimizes by hand. `Seen` forgets what was told before a step with a closure, as is right for a closure that evaluates everything anew.
    """

    _kept: tuple[list[Any], Any] | None = None

    def _before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._kept = (self._told, self._gradient)
        super()._before_step(optimizer, args, kwargs)

    def closed(self, automatic: bool) -> None:
        """The closure has been evaluated for the first time: together with what was told before, this is the step."""
        if self._kept is None or self._open is None:
            return
        told, gradient = self._kept
        self._kept = None
        if self._evaluating:
            self._told = [*told, *self._told]
            self._gradient = gradient if self._gradient is None else self._gradient
            if automatic and not self._told:
                self._open = None  # training_step returned None: nothing to tell of

    def others(self) -> None:
        """Another optimizer steps: what was told belongs to it."""
        if self._open is None:
            self._told, self._gradient = [], None
