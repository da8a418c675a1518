"""The descent itself.  Problem + learning rate -> rows, one per step (`steps`), or a finished Run (`descend`)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from surefoot.descent.abreast import begun
from surefoot.descent.interrupt import interrupts_deferred
from surefoot.descent.live import Progress, live
from surefoot.descent.probe import Probe
from surefoot.descent.ranks import leads, ranks_of, together
from surefoot.descent.settings import Settings
from surefoot.descent.snapshot import fresh_seed
from surefoot.descent.stop import StopRule
from surefoot.descent.walk import Walk
from surefoot.errors import SettingError
from surefoot.problem import Problem
from surefoot.run import Run
from surefoot.store import recording
from surefoot.trace import Row, Trace


def steps(
    problem: Problem,
    *,
    lr: float | None = None,
    optimizer: Any = None,
    steps: int | None = None,
    epochs: float | None = None,
    schedule: Any = None,
    batch_size: int | str | None = None,
    seed: int | None = 0,
    start: Run | None = None,
    stop: StopRule | Sequence[StopRule] = (),
    probes: Sequence[Probe] = (),
    clip_norm: float | None = None,
    accumulate: int | None = None,
    autocast: str | None = None,
    validate_every: int | None = None,
    device: Any = "auto",
) -> Iterator[Row]:
    """The rows of a descent, one per step, so that the ``for`` loop stays yours.

    Takes what `descend` takes, and raises what it raises. Between two rows your random generators are your own
    (which costs about 0.2 ms a row; `descend` pays it once).

    Example:
        >>> from surefoot import Problem
        >>> bowl = Problem.of(lambda x: (x**2).sum() / 2, start=[1.0])
        >>> for row in steps(bowl, lr=0.5, steps=100):
        ...     if row.loss < 1e-3:
        ...         break
        >>> row.step
        5
    """
    asked = {"lr": lr, "optimizer": optimizer, "steps": steps, "epochs": epochs, "schedule": schedule, "batch_size": batch_size, "seed": seed,
             "clip_norm": clip_norm, "accumulate": accumulate, "autocast": autocast, "validate_every": validate_every, "device": device}  # fmt: skip
    with contextlib.ExitStack() as around:
        problem = around.enter_context(together(problem))
        walk = begun(problem, _settings(problem, start, **asked), start, _rules(stop), probes)
        inside = around.pop_all()

    def rows() -> Iterator[Row]:
        with inside:
            while walk.ended is None:
                with walk.world.entered():
                    row = walk.advance()
                yield row

    return rows()


def descend(
    problem: Problem,
    *,
    lr: float | None = None,
    optimizer: Any = None,
    steps: int | None = None,
    epochs: float | None = None,
    schedule: Any = None,
    batch_size: int | str | None = None,
    seed: int | None = 0,
    start: Run | None = None,
    stop: StopRule | Sequence[StopRule] = (),
    probes: Sequence[Probe] = (),
    every: int | None = None,
    device: Any = "auto",
    progress: Progress = None,
    store: str | os.PathLike[str] | None = None,
    clip_norm: float | None = None,
    accumulate: int | None = None,
    autocast: str | None = None,
    validate_every: int | None = None,
) -> Run:
    """Descends the problem's loss and tells how it went.

    The update is the optimizer's own; for plain gradient descent ``w <- w - lr * gradient``. The problem's model, the random
    generators and the data's order are afterwards what they were; the trained weights are in the run.

    Args:
        problem: what to descend.
        lr: the learning rate of the first parameter group, above 0; the other groups keep their ratio to it. It may be left
            out when a run is continued.
        optimizer: a name (``"sgd"``, the default, ``"momentum"``, ``"adamw"``, ... or ``"random"``), a ``torch.optim`` or third-party
            class, a ``functools.partial``, or a function ``model -> Optimizer``.
        steps: updates to make (default 1000).
        epochs: passes through the data, instead of ``steps``.
        schedule: a name or a function ``(step, steps) -> multiplier`` (default ``"constant"``).
        batch_size: samples per step: an int, ``"full"``, or 1 (stochastic). Default: the problem's.
        seed: what the order of the data and every random number of the descent is drawn from; None for a random one.
        start: a run to go on from. One that was stopped or interrupted is walked to its end when nothing else is asked for;
            otherwise ``steps`` more are made, under a new schedule. The trace goes on where it was.
        stop: one or several stop rules, ``row -> bool``.
        probes: what else to measure.
        every: print a status line every so many steps.
        device: where to descend; ``"auto"``: where the model is.
        progress: draw a progress bar; None: on a terminal. Or a function, called between two steps, at most 50 times a second, with
            what is being done, how many rows there are and how many there will be; what it raises ends the descent and comes out (a
            ``KeyboardInterrupt`` as Ctrl-C).
        store: a file of runs to record this one in while it goes on.
        clip_norm: the l2 norm to which larger gradients are scaled down.
        accumulate: batches whose gradients are averaged for one update; no update reaches across the end of an epoch.
        autocast: ``"bf16"`` or (on a GPU, with loss scaling) ``"fp16"``.
        validate_every: steps between two measurements of the validation loss (default: 20 in all); the last step always measures.

    Returns:
        The run. A loss that stops being finite ends it with ``ended == "diverged"``; Ctrl-C with ``"interrupted"``.

    Raises:
        SettingError: a setting makes no sense; the message says which and what would.
        ProblemError: the model, the data or the loss cannot be descended, or the loss is not finite before any update.
        StoreError: the store cannot be written.

    Example:
        >>> from surefoot import problems
        >>> line = problems.load("line")
        >>> run = descend(line, lr=0.5, steps=400)
        >>> all(abs(run.weights[name].item() - best) < 1e-4 for name, best in zip("wb", line.answer.minimum))
        True
    """
    asked = {"lr": lr, "optimizer": optimizer, "steps": steps, "epochs": epochs, "schedule": schedule, "batch_size": batch_size, "seed": seed,
             "clip_norm": clip_norm, "accumulate": accumulate, "autocast": autocast, "validate_every": validate_every, "device": device}  # fmt: skip
    with together(problem) as problem:
        walk = begun(problem, _settings(problem, start, **asked), start, _rules(stop), probes)
        if not leads(problem):
            every, progress, store = None, False, None
        rows: list[Row] = []
        what = f"{walk.config['problem']} at {walk.settings.lr:.3g}"
        with contextlib.ExitStack() as around:
            interrupted = around.enter_context(interrupts_deferred())
            record = around.enter_context(recording(store, walk, start))
            show = around.enter_context(live(walk.end - walk.step, every, progress, what, walk.world))
            around.enter_context(walk.world.entered())
            _walk(walk, rows, lambda: bool(interrupted), show, record)
        trace = Trace.of(rows)
        run = walk.run(start.trace + trace if start is not None else trace)
        return record.finished(run)


def _walk(
    walk: Walk, rows: list[Row], interrupted: Callable[[], bool], show: Callable[[Row], None], record: Callable[[Row], None]
) -> None:
    """Every row, until the end or Ctrl-C (which also arrives as an exception, from the user's own code or when pressed twice)."""
    try:
        while walk.ended is None:
            row = walk.advance()
            rows.append(row)
            record(row)
            show(row)
            walk.heed(interrupted())
    except KeyboardInterrupt as error:
        walk.interrupt(error)


def _rules(stop: StopRule | Sequence[StopRule]) -> Sequence[StopRule]:
    return [stop] if callable(stop) else list(stop)


def _settings(problem: Problem, start: Run | None, **asked: Any) -> Settings:
    """What was asked for, with the run's own settings where nothing was, then the defaults."""
    if not isinstance(problem, Problem):
        raise SettingError(f"The first argument must be a Problem, got a {type(problem).__name__}.")
    if start is not None:
        _inherit(asked, start)
    if asked["lr"] is None:
        raise SettingError("lr is needed: the learning rate to descend with. sf.find_lr(problem).lr finds one.")
    ranks = ranks_of(problem)
    if asked["seed"] is None and ranks is not None:
        asked["seed"] = ranks.news(fresh_seed())
    given = {key: value for key, value in asked.items() if value is not None or key == "seed"}
    return Settings(**given)


def _inherit(asked: dict[str, Any], start: Run) -> None:
    inherited = ("lr", "optimizer", "schedule", "batch_size", "clip_norm", "accumulate", "autocast", "validate_every")
    for key in inherited:
        if asked[key] is None:
            asked[key] = start.config.get(key)
    if asked["seed"] == 0:  # the default: the run's own, so that it goes on as if never stopped
        asked["seed"] = start.config.get("seed", 0)
    if asked["steps"] is None and asked["epochs"] is None:
        asked["steps"] = start.config.get("steps")
