"""How is a fastai training getting on, and which learning rate does its Learner want?  Learner -> Trace, Found."""

from __future__ import annotations

from typing import Any

from surefoot.errors import NotInstalled
from surefoot.find.choose import find_lr as find_on_problem
from surefoot.integrations.following import NORMS, Following

try:
    from fastai.callback.core import Callback
except ImportError as error:
    raise NotInstalled.of("The fastai callback", error, "fastai") from error

from surefoot.integrations.fastai_learner import one_cycle, problem_of, settings_of

__all__ = ["Watch", "find_lr", "one_cycle", "problem_of", "settings_of"]
LAST = 90  # among callbacks: gradients are unscaled, clipped or kept back, and steps called off, at 11 and below; the recorder is at 50


def find_lr(learner: Any, epochs: int | None = None, **more: Any) -> Any:
    """The learning rate for a Learner: `surefoot.find_lr` with its model, loss function, batches, optimizer and groups.

    The rate is that of the first group; with a splitter the others keep the ratio that ``learner.lr`` gives them. Everything happens on
    copies: the Learner, its recorder, its loaders and their order stay as they are.

    Args:
        learner: the Learner; descents begin at the weights it has.
        epochs: how long it will be fitted; None for 1,000 steps, or ``steps=``.
        more: as for `surefoot.find_lr`; what is given here is not asked of the Learner. For ``fit_one_cycle`` pass ``schedule=one_cycle``.

    Returns:
        `Found`, as `surefoot.find_lr`.

    Raises:
        SettingError: the Learner accumulates parts of batches, clips by another norm, or has an optimizer already built.
        ProblemError: it is no Learner or has no training data.

    Example:
        >>> import torch
        >>> from fastai.data.core import DataLoaders
        >>> from fastai.data.load import DataLoader
        >>> from fastai.learner import Learner
        >>> from fastai.optimizer import SGD
        >>> x = torch.linspace(-1, 1, 32).unsqueeze(1)
        >>> rows = DataLoader([(row, 3 * row + 1) for row in x], bs=32)
        >>> learner = Learner(DataLoaders(rows, rows, device="cpu"), torch.nn.Linear(1, 1), torch.nn.MSELoss(), opt_func=SGD)
        >>> found = find_lr(learner, steps=100)
        >>> found.lr < 1.0, learner.opt  # 2 / curvature = 1
        (True, None)
    """
    return find_on_problem(problem_of(learner), **settings_of(learner, epochs, **more))


class Steps:
    """Tells of the steps of fastai's optimizer as a torch optimizer tells of its own.

    Args:
        learner: whose optimizer it is.
    """

    def __init__(self, learner: Any) -> None:
        self._learner = learner
        self._hooks: dict[str, Any] = {}

    @property
    def param_groups(self) -> Any:
        """The groups, with the rates of this moment."""
        return self._learner.opt.param_groups

    def register_step_pre_hook(self, hook: Any) -> Handle:
        """Calls it before each step."""
        return Handle(self._hooks, "before", hook)

    def register_step_post_hook(self, hook: Any) -> Handle:
        """Calls it after each step."""
        return Handle(self._hooks, "after", hook)

    def told(self, when: str) -> None:
        """A step begins, or is over."""
        if when in self._hooks:
            self._hooks[when](self, (self,), {})


class Handle:
    """Takes a hook off again."""

    def __init__(self, hooks: dict[str, Any], name: str, hook: Any) -> None:
        self._hooks, self._name = hooks, name
        hooks[name] = hook

    def remove(self) -> None:
        """Takes it off."""
        self._hooks.pop(self._name, None)


class Watch(Following, Callback):  # type: ignore[misc]
    """A callback that keeps the trace of a training, as `surefoot.watch` does: ``learner.fit(5, cbs=[watch := Watch()])``.

    One row per step of the optimizer, fastai's own or a wrapped one of torch's: ``loss`` the Learner's, the mean over the batches that
    are accumulated, without what other callbacks add to it; ``grad_norm`` before clipping and without the scaling of mixed precision;
    ``lr`` that of the first group (fastai's recorder shows the last one's); ``validation_loss`` the recorder's, after each epoch. A step
    that mixed precision skips makes no row. The training is the same, bit for bit, with and without.

    A second ``fit`` of the same model goes on in the same trace, also after ``unfreeze``; another model begins a new one.

    Args:
        norms: steps from one measurement of the three norms to the next; in between they are NaN.
        ratios: steps from one measurement of update over weight, tensor by tensor, to the next; None for never.
        every: steps between two lines on standard error with the verdict; None for none.
        to: a tracker or several (`surefoot.integrations.trackers.Outlet`, or what that takes), told every ``every`` (50) steps and at the end.

    Attributes:
        trace: the `Trace` so far.
        diagnosis: what `diagnose` says of it.
        note: what could not be watched and why, or None.
        ratios: by tensor, update over weight when last measured.

    Raises:
        SettingError: an argument is of the wrong kind.

    Example:
        >>> Watch(norms=0)
        Traceback (most recent call last):
        surefoot.errors.SettingError: norms must be an int of at least 1, got 0.
    """

    order, run_valid = LAST, False
    _steps: Any = None
    _passing = (*Following._passing, "_steps")

    def __init__(self, *, norms: int = NORMS, ratios: int | None = 16, every: int | None = None, to: Any = None) -> None:
        super().__init__()
        self._ask(norms, ratios, every, to)

    def before_fit(self) -> None:
        """Ends what an earlier fit that broke off has left."""
        self._leave()

    def before_train(self) -> None:
        """Begins to watch: here, for a validation alone comes this far not; and not where fastai's own ``lr_find`` tries rates."""
        if self._seen is None and not hasattr(self.learn, "lr_finder"):
            self._steps = Steps(self.learn)
            self._begin(self.learn.model, self._steps, scaler=vars(self.learn).get("scaler"), per_epoch=self._updates())

    def after_loss(self) -> None:
        """Tells the loss."""
        if self._seen is not None:
            self._seen.loss(self.learn.loss.detach())

    def before_step(self) -> None:
        """The last word before the step."""
        if self._steps is not None:
            self._steps.told("before")

    def after_step(self) -> None:
        """The step was made, or called off."""
        if self._steps is not None:
            self._steps.told("after")

    def after_batch(self) -> None:
        """Lets the trackers know, now and then."""
        self._stepped()

    def after_validate(self) -> None:
        """Takes the validation loss of the recorder."""
        recorder = getattr(self.learn, "recorder", None)
        if self._seen is not None and recorder is not None and recorder.valid_metrics and recorder.loss.count:
            self._seen.validation(recorder.loss.value)

    def after_fit(self) -> None:
        """Ends the watching."""
        self._leave()

    def _leave(self) -> None:
        self._end()
        self._steps = None

    def _updates(self) -> float:
        """Steps in one pass through the data."""
        try:
            batches = len(self.learn.dls.train)
        except TypeError:
            return float("nan")
        size = getattr(self.learn.dls.train, "bs", None)
        wanted = [callback.n_acc for callback in self.learn.cbs if hasattr(callback, "n_acc")]
        return batches / max(1, -(-wanted[0] // size)) if wanted and size else batches

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "learn" and value is None:  # taken off, as `fit(cbs=...)` does at its end, however it ends
            self._leave()
        object.__setattr__(self, name, value)
