"""Training without a knob.  Problem + number of steps -> a learning rate, a descent, mended where it came to grief -> Run.

Made of public parts: `find_lr` gives the rate, a walk descends with it, the rules of `training.trouble` watch, and where they find trouble a new walk
goes on from an earlier state of the old one, as a run does that is continued, with a smaller rate and everything else as it was.
"""

from __future__ import annotations

import contextlib
import math
import numbers
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from surefoot.descent.interrupt import interrupts_deferred
from surefoot.descent.live import live
from surefoot.descent.loop import descend
from surefoot.descent.probe import Probe
from surefoot.descent.ranks import refuse_together
from surefoot.descent.settings import Settings
from surefoot.descent.stop import StopRule
from surefoot.descent.walk import Walk
from surefoot.errors import ProblemError, SettingError
from surefoot.find.choose import MINIMUM, find_lr
from surefoot.find.found import Found
from surefoot.problem import Problem
from surefoot.run import Ended, Path, Run
from surefoot.store import Recorder, recording
from surefoot.trace import Column, Row, Trace
from surefoot.training import trouble
from surefoot.training.checkpoints import Checkpoint, Kept, best, taken, up_to, with_another
from surefoot.training.decay import cosine_from, noise_limited
from surefoot.training.trouble import Level, Trouble

TRIES = 8  # mendings; the k-th in a row divides the rate by k + 1, so that all of them bridge a factor of 362,880
CALM_ROWS, CALM_RATE = (
    10,
    1e-9,
)  # descended before, at so small a share of the rate that nothing moves: the loss at the start, and its noise
SPACING_SHARE, SPACING = 0.02, 10  # rows between two checkpoints: share of the horizon, and at least
LOOK_EVERY = 5  # rows: the rules take 50 us, a step of a small network 300
TAIL = 10  # rows whose median is the loss of a checkpoint


def train(
    problem: Problem,
    *,
    steps: int,
    optimizer: Any = "adamw",
    schedule: Any = "cosine",
    lr: float | None = None,
    batch_size: int | str | None = None,
    budget: float = 1.0,
    seed: int | None = 0,
    stop: StopRule | Sequence[StopRule] = (),
    probes: Sequence[Probe] = (),
    every: int | None = None,
    device: Any = "auto",
    progress: bool | None = None,
    store: str | os.PathLike[str] | None = None,
    clip_norm: float | None = None,
    accumulate: int | None = None,
    autocast: str | None = None,
    validate_every: int | None = None,
) -> Run:
    """Finds the learning rate, descends with it, and mends the descent where it comes to grief.

    Trouble is a loss that is not finite, or far above what it was for longer than a bad batch would explain. Then the training goes back to
    the last state before it, with a smaller rate: the schedule goes on where it was. A rate that was given and does harm before anything is
    learnt is replaced by one that is found. At most eight such mendings are made. Under ``schedule="constant"`` the rate falls to zero over
    the rest of the steps once nothing but the noise of the batches is left. Ten gradient evaluations more tell the loss at the start.

    Args:
        problem: what to descend.
        steps: updates to make.
        optimizer: as for `descend`.
        schedule: as for `descend`.
        lr: the rate to begin with, instead of finding one.
        batch_size: as for `descend`.
        budget: the most that finding may spend, in trainings of ``steps`` steps (but 60 gradient evaluations are always allowed).
        seed: as for `descend`.
        stop: as for `descend`; the rules also see the rows of tries that are abandoned.
        probes: as for `descend`.
        every: as for `descend`.
        device: as for `descend`.
        progress: as for `descend`.
        store: a file of runs to record this one in; it holds the way that led to the end, without abandoned tries.
        clip_norm: as for `descend`.
        accumulate: as for `descend`.
        autocast: as for `descend`.
        validate_every: as for `descend`.

    Returns:
        The run. Its trace holds all rows in the order they were made, also those of abandoned tries; the column ``attempt`` counts the tries from
        0, and ``step`` begins again at the step that was gone back to. ``config["report"]`` tells in sentences what was found and mended,
        ``config["found"]`` is what `find_lr` said (None where it was not asked), ``config["lr"]`` the rate at the end. When the tries
        are used up, ``ended`` is ``"diverged"`` and the weights are those of the best state there was. Ctrl-C returns the run so far.

    Raises:
        SettingError: a setting makes no sense; the message says which and what would.
        ProblemError: as `descend`.
        StoreError: the store cannot be written.

    Example:
        >>> from surefoot import problems
        >>> run = train(problems.load("bowl"), steps=100, optimizer="sgd", lr=20.0)  # a hundred times the stability limit
        >>> run.ended, run.trace[-1].loss < 0.01
        ('steps', True)
        >>> print(run.config["report"][0])
        step 1: the loss rose from 5.5 to 7.837e+09: back to step 0 with 0.136, which was found, instead of 20
    """
    if not isinstance(problem, Problem):
        raise SettingError(f"The first argument must be a Problem, got a {type(problem).__name__}.")
    refuse_together(problem)
    if steps is None:
        raise SettingError("steps is needed: the number of updates to make.")
    if isinstance(budget, bool) or not isinstance(budget, numbers.Real) or not math.isfinite(budget) or float(budget) <= 0:
        raise SettingError(
            f"budget must be a positive number of trainings, got {budget!r}; 1.0 spends as much on finding as on training."
        )
    settings = Settings(lr=1.0 if lr is None else lr, optimizer=optimizer, steps=steps, schedule=schedule, batch_size=batch_size, seed=seed,
                        clip_norm=clip_norm, accumulate=1 if accumulate is None else accumulate, autocast=autocast,
                        validate_every=validate_every, device=device)  # fmt: skip
    rules = [stop] if callable(stop) else list(stop)
    training = _Training(problem, settings, float(budget), rules, probes, (every, progress), store)
    return training.run(given=lr is not None)


class _Training:
    """One training under way: what was walked, what can be gone back to, and what was said about it."""

    def __init__(
        self,
        problem: Problem,
        settings: Settings,
        budget: float,
        stop: Sequence[StopRule],
        probes: Sequence[Probe],
        shown: tuple[int | None, bool | None],
        store: str | os.PathLike[str] | None,
    ) -> None:
        self.problem, self.settings, self.budget, self.stop, self.probes = problem, settings, budget, stop, probes
        self.every, self.progress = shown
        self.store = store
        assert settings.steps is not None
        self.steps = settings.steps
        self.spacing = max(SPACING, round(SPACING_SHARE * self.steps))
        self.rows: list[Row] = []  # all of them
        self.way: list[Row] = []  # those that lead to the present state: row k is step k
        self.kept: Kept = ()
        self.finest: tuple[Checkpoint, list[Row]] | None = None
        self.found: Found | None = None
        self.report: list[str] = []
        self.attempt = self.in_a_row = 0
        self.failed_at = -1
        self.decays_from: int | None = None
        self.recorded: dict[str, Any] = {}

    def run(self, given: bool) -> Run:
        """Walks until the end is reached or the tries are used up."""
        self.asked = not given
        if not given:
            self._find()
            self.report.append(f"learning rate {self.settings.lr:.4g}: {_said(self.found)}")
        self._measure_the_start()
        self.began = time.perf_counter()
        start: Run | None = None
        while True:
            walk = self._prepared(start)
            seen = self._walked(walk, start)
            if isinstance(seen, Run):
                return seen
            if self.attempt == TRIES:
                return self._ended_early(walk, "diverged", f"{_told(seen)}: {TRIES} mendings are used up")
            try:
                start = self._mended(walk, seen)
            except KeyboardInterrupt:  # while a rate was looked for
                return self._ended_early(walk, "interrupted", f"{_told(seen)}: interrupted while a smaller rate was looked for")

    # ---- before

    def _find(self) -> None:
        s = self.settings
        horizon = max(self.steps, MINIMUM)  # a rate that lasts for 60 steps lasts for fewer
        self.found = find_lr(
            self.problem, optimizer=s.optimizer, steps=horizon, schedule=s.schedule, batch_size=s.batch_size,
            budget=max(self.budget, (MINIMUM + 0.5) / horizon), seed=int(s.seed or 0), device=s.device, progress=self.progress,
            clip_norm=s.clip_norm, accumulate=s.accumulate, autocast=s.autocast,
        )  # fmt: skip
        self.settings = replace(s, lr=self.found.lr)

    def _measure_the_start(self) -> None:
        s = self.settings
        rows = min(CALM_ROWS, self.steps)
        before = descend(
            self.problem.with_(validation=None), lr=CALM_RATE * s.lr, optimizer=s.optimizer, steps=rows, batch_size=s.batch_size,
            seed=s.seed, device=s.device, clip_norm=s.clip_norm, accumulate=s.accumulate, autocast=s.autocast, progress=False,
        )  # fmt: skip
        finite = before.trace.finite
        self.start = finite["loss"] if len(finite) else np.zeros(1)
        self.calm = trouble.level(self.start)

    # ---- a try

    def _prepared(self, start: Run | None) -> Walk:
        walk = Walk(self.problem, self.settings, start, self.stop, self.probes)
        walk.config["report"] = self.report
        walk.config["found"] = _facts(self.found)
        if self.decays_from is not None and walk.step >= self.decays_from:
            walk.schedule = cosine_from(self.decays_from)
        if not self.kept:
            self.kept = (taken(walk, self.calm.middle),)
            self._remember_best()
        return walk

    def _walked(self, walk: Walk, start: Run | None) -> Run | Trouble:
        """Every row until the end or the first trouble."""
        with contextlib.ExitStack() as around:
            interrupted = around.enter_context(interrupts_deferred())
            record = around.enter_context(recording(self.store, walk, start))
            if isinstance(record, Recorder):
                self.recorded = {"run_id": record.id, "store": str(record.path.resolve())}
            what = f"{walk.config['problem']} at {self.settings.lr:.3g}"
            show = around.enter_context(live(walk.end - walk.step, self.every, self.progress, what))
            around.enter_context(walk.world.entered())
            seen = self._advanced(walk, lambda: bool(interrupted), lambda row: (record(row), show(row)))
        return record.finished(walk.run(Trace.of(self.rows))) if seen is None else seen

    def _advanced(self, walk: Walk, interrupted: Callable[[], bool], tell: Callable[[Row], Any]) -> Trouble | None:
        try:
            while walk.ended is None:
                self._keep(walk)
                try:
                    row = walk.advance()
                except ProblemError:
                    if self.attempt == 0:
                        raise
                    return Trouble(walk.step, self.kept[-1].level, math.inf, "diverged")  # the same state gave a finite loss before
                row = row._replace(seconds=time.perf_counter() - self.began, probes={**row.probes, "attempt": float(self.attempt)})
                self.rows.append(row)
                self.way.append(row)
                tell(row)
                seen = self._trouble(walk)
                if seen is not None:
                    return seen
                if interrupted() and walk.ended is None:
                    walk.ended = "interrupted"
                self._decay(walk)
        except KeyboardInterrupt:
            walk.ended = "interrupted"
        return None

    def _keep(self, walk: Walk) -> None:
        if walk.step % self.spacing == 0 and walk.step > self.kept[-1].step:
            self.kept = with_another(self.kept, taken(walk, float(np.median(self._losses(TAIL)))))
            self._remember_best()

    def _remember_best(self) -> None:
        """The best state of all tries, with the way to it, also when it is gone back beyond."""
        finest = best(self.kept)
        if not self.finest or finest.level < self.finest[0].level:
            self.finest = (finest, self.way[: finest.step])

    def _losses(self, last: int = 0) -> Column:
        return np.array([row.loss for row in self.way[-last:]])

    def _trouble(self, walk: Walk) -> Trouble | None:
        """What the rules say of the rows so far."""
        if walk.ended == "diverged":
            return trouble.diverged(self._losses(), self.start)
        over = walk.ended == "steps"
        early = len(self.way) <= 2 * LOOK_EVERY
        if not (early or over or len(self.way) % LOOK_EVERY == 0 or len(self.way) == trouble.due(self.steps)):
            return None
        patience = trouble.HASTY if over else self.spacing
        return troubled(self.way, self.calm, self.start, self.steps, patience, hasty=self._distrusted())

    def _distrusted(self) -> bool:
        """Whether the rate is none that real descents have shown to do no harm."""
        return self.found is None or not self.found.confident

    def _decay(self, walk: Walk) -> None:
        constant = self.settings.schedule == "constant" and self.decays_from is None
        if not constant or walk.ended is not None or walk.step % self.spacing:
            return
        if noise_limited(self._losses(), self.calm, self.steps):
            self.decays_from = walk.step
            walk.schedule = cosine_from(walk.step)
            self.report.append(
                f"step {walk.step}: the loss does not fall any more and only the noise of the batches is left: from here the rate goes down to 0"
            )

    # ---- back

    def _mended(self, walk: Walk, seen: Trouble) -> Run:
        """The state to go on from, with a smaller rate."""
        self.in_a_row = 1 if len(self.way) > self.failed_at + 5 * self.spacing else self.in_a_row + 1
        self.failed_at = max(self.failed_at, len(self.way))
        self.attempt += 1
        possible = up_to(self.kept, seen.onset)
        target = possible[max(0, len(possible) - 1 - (self.in_a_row - 1) // 2)]
        before = self.settings.lr
        how = self._slower(target)
        self.report.append(f"{_told(seen)}: back to step {target.step} with {self.settings.lr:.3g}{how} instead of {before:.3g}")
        return self._back(walk, target)

    def _slower(self, target: Checkpoint) -> str:
        """A smaller rate: a found one where nothing was learnt yet and none has been looked for."""
        smaller = self.settings.lr / (self.in_a_row + 1)
        if self.found is None and target.step == 0:
            with contextlib.suppress(ProblemError):  # what cannot even be searched any more is left to smaller rates
                self._find()
        if self.found is not None and not self.asked:
            self.asked = True
            # whoever gave a high rate wanted one: the highest of those that are as good, and what it may do is watched
            rate = self.found.high if self.found.confident else self.found.lr
            self.settings = replace(self.settings, lr=min(rate, smaller))
            return ", which was found," if rate < smaller else ""
        self.settings = replace(self.settings, lr=smaller)
        return ""

    def _back(self, walk: Walk, target: Checkpoint) -> Run:
        self.way = self.way[: target.step]
        self.kept = up_to(self.kept, target.step)
        if self.decays_from is not None and target.step < self.decays_from:
            self.decays_from = None
        points = {step: point.clone() for step, point in walk.points().items() if step <= target.step}
        weights = walk.path.memory[:0] if not points else walk.path.memory[: len(points)].clone()
        path = Path(np.array(sorted(points)), weights)
        config = {**walk.config, **self.recorded, "lr": self.settings.lr}
        return Run(Trace.of(self.way), target.state["model"], path, "interrupted", config, target.state)

    def _ended_early(self, walk: Walk, ended: Ended, why: str) -> Run:
        """The best state there was, as a run."""
        assert self.finest
        target, self.way = self.finest
        self.report.append(f"{why}; the weights are those of step {target.step}, the best there were")
        start = self._back(walk, target)
        last = self._prepared(start)
        last.ended = ended
        with recording(self.store, last, start) as record:
            pass
        return record.finished(last.run(Trace.of(self.rows)))


def troubled(way: Sequence[Row], calm: Level, start: Column, steps: int, patience: int, *, hasty: bool) -> Trouble | None:
    """What the rules of `training.trouble` say of these rows, or None.

    Args:
        way: the rows so far, from step 0.
        calm: the level of ``start``.
        start: losses before anything moved.
        steps: the horizon.
        patience: rows that a rise must last.
        hasty: whether fewer are enough at the start.
    """
    recent = way[-(trouble.WINDOW + patience) :]
    losses = np.array([row.loss for row in way])
    seen = trouble.rose(losses[-len(recent) :], calm, start if len(way) < trouble.WINDOW else start[:0], patience, hasty)
    if seen is not None:
        return seen._replace(onset=seen.onset + len(way) - len(recent))
    norms = np.array([way[0].weight_norm, way[-1].weight_norm])
    return trouble.worse(losses, calm, patience) or trouble.died(losses, norms, calm, steps)


def _told(seen: Trouble) -> str:
    step = f"step {seen.onset}"
    if seen.kind == "died":
        return f"{step}: the loss shot up to {seen.after:.4g}, and since then nothing is learnt ({seen.before:.4g} at the start)"
    if seen.kind == "diverged":
        return f"{step}: the loss rose from {seen.before:.4g} and was soon no finite number"
    return f"{step}: the loss rose from {seen.before:.4g} to {seen.after:.4g}"


def _said(found: Found | None) -> str:
    assert found is not None
    sure = "found" if found.confident else "found, but not with confidence, and taken all the same"
    return f"{sure}, with {found.gradients:,} gradient evaluations ({found.reason})"


def _facts(found: Found | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"lr": found.lr, "confident": found.confident, "reason": found.reason, "gradients": found.gradients}
