"""One descent under way: all that a step touches, and the step.  Problem + Settings -> rows, one at a time.

The caller's model is copied, the copy is trained. Random numbers are drawn in a world of the walk's own, so whoever calls
`Walk.advance` enters ``walk.world`` first.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.descent import batches, optimizer
from surefoot.descent.path import PathRecorder
from surefoot.descent.probe import Moment, Probe
from surefoot.descent.schedule import OnPlateau, PlateauState
from surefoot.descent.settings import DEFAULT_STEPS, VALIDATIONS, Settings, same_walk
from surefoot.descent.snapshot import World, carried_generators
from surefoot.descent.stop import StopRule
from surefoot.descent.validate import evaluating, mean_loss
from surefoot.errors import ProblemError, SettingError, SurefootWarning
from surefoot.problem import Problem
from surefoot.run import Ended, Run
from surefoot.trace import Row, Trace

NAN = float("nan")
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Walk:
    """The state of a descent between two steps.

    Attributes:
        step: index of the next step; counts on over continued runs.
        end: the step at which the horizon is reached.
        ended: how it ended, or None while it goes on.
        config: the settings as plain values.
        world: the random state of the descent.
    """

    def __init__(self, problem: Problem, settings: Settings, start: Run | None, stop: Sequence[StopRule], probes: Sequence[Probe]) -> None:
        self.problem, self.settings, self.stop = problem, settings, stop
        self.before_probes = [probe for probe in probes if not probe.after]
        self.after_probes = [probe for probe in probes if probe.after]
        self.model = _copied(problem.model)
        self.device = settings.chosen_device(self.model)
        self.model.to(self.device)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        if not self.parameters:
            raise ProblemError("The model has no trainable parameter: every one has requires_grad=False, or there is none.")
        self.dtype = next((p.dtype for p in self.parameters if p.is_floating_point()), torch.get_default_dtype())
        self._prepare_data(start)
        self._prepare_optimizer()
        self._prepare_horizon(start)
        if start is not None:
            self._take_over(start)
        self.before = [p.detach().clone() for p in self.parameters]
        self.path = PathRecorder(self.parameters, self.end, start.path if start else None)
        self.ended: Ended | None = None
        self.first = True
        self._place = self.feed.place()
        self._began = time.perf_counter() - (float(start.trace["seconds"][-1]) if start is not None and len(start.trace) else 0.0)
        self._one_kind = len({(p.dtype, p.device) for p in self.parameters}) == 1

    # ---- what is needed before the first step

    def _prepare_data(self, start: Run | None) -> None:
        problem, settings = self.problem, self.settings
        size = problem.batch_size if settings.batch_size is None else settings.batch_size
        seed = int(settings.seed or 0)
        carried = carried_generators(problem.data, problem.validation)
        source = batches.source(problem.data, size, seed, self.device, self.dtype)
        self.feed = batches.Feed(source, carried)
        self.validation = None if problem.validation is None else batches.validation_source(problem.validation, self.device, self.dtype)
        go_on = start is not None and start.state and start.config["seed"] == seed
        self.world = World(start.state["random"], carried) if go_on and start else World.seeded(seed, carried)

    def _prepare_optimizer(self) -> None:
        settings = self.settings
        self.optimizer, self.rates = optimizer.make(settings.optimizer, self.model, settings.lr)
        self.by_closure = optimizer.needs_closure(self.optimizer)
        kind = _AUTOCAST.get(settings.autocast or "")
        self.autocast: Callable[[], Any] = contextlib.nullcontext
        if kind is not None:
            self.autocast = lambda: torch.autocast(self.device.type, dtype=kind)
        self.scaler = torch.amp.GradScaler(self.device.type) if settings.autocast == "fp16" else None
        if self.scaler is not None and self.by_closure:
            raise SettingError("autocast='fp16' scales the loss, which an optimizer that evaluates the loss itself cannot undo; use 'bf16'.")
        if callable(getattr(self.optimizer, "train", None)):
            self.optimizer.train()  # schedulefree's optimizers start in no mode at all

    def _prepare_horizon(self, start: Run | None) -> None:
        settings = self.settings
        steps = settings.steps
        if settings.epochs is not None:
            with self.world.entered():
                per_epoch = -(-batches.count_batches(self.feed.source) // settings.accumulate)
            steps = max(1, round(settings.epochs * per_epoch))
        self.steps = steps or (start.config["steps"] if start is not None else DEFAULT_STEPS)
        self.config = settings.described(self.problem, self.steps, self.device, self.dtype)
        self.validate_every = settings.validate_every or max(1, self.steps // VALIDATIONS)
        self.leg, self.step = 0, 0
        self.schedule = settings.schedule_function
        self.plateau: PlateauState | None = self.schedule.start() if isinstance(self.schedule, OnPlateau) else None
        self.end = self.steps

    def _take_over(self, start: Run) -> None:
        """Goes on where a run ended: to the end of its own plan if it had not got there, else ``steps`` further."""
        if start.ended == "diverged":
            raise SettingError(f"The run diverged at step {start.diverged_at} and has no weights to go on from; start anew with a smaller lr.")
        if not start.state:
            raise SettingError("This run carries no state to go on from (it was made by hand or stripped).")
        state = start.state
        _load(self.model, state["model"])
        if start.config["optimizer"] == self.config["optimizer"]:
            _load_optimizer(self.optimizer, state["optimizer"])
        if self.scaler is not None and state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])
        if start.config["batch_size"] == self.config["batch_size"] and start.config["seed"] == self.config["seed"]:
            place = state["place"]
            self.feed.epoch, self.feed.index, self.feed.epoch_random_state = place["epoch"], place["index"], place["epoch_random_state"]
        else:
            self.feed.epoch = int(state["place"]["epoch"]) + 1
        self.step = int(state["step"])
        resumed = same_walk(start.config, self.config) and self.step < state["leg"] + start.config["steps"]
        self.leg = int(state["leg"]) if resumed else self.step
        self.end = self.leg + self.steps
        if resumed:
            self._replay_plateau(start.trace)

    def _replay_plateau(self, trace: Trace) -> None:
        if self.plateau is not None:
            for row in trace:
                if row.step >= self.leg:
                    self._observe(row)

    # ---- a step

    def advance(self) -> Row:
        """Takes one step and returns its row; afterwards ``ended`` says whether it was the last."""
        passes = self.feed.passes
        self._place = self.feed.place()
        taken = self.feed.take(self.settings.accumulate)
        lr = self._set_rates()
        if self.path.wants(self.step):
            self.path.add(self.step, self.parameters)
        loss, norms, probed = self._move(taken)
        update_norm, grad_norm, weight_norm = norms
        if not (math.isfinite(loss) and math.isfinite(update_norm)):
            self.ended = "diverged"
        validation_loss = self._validate() if self._validates() else NAN
        seconds = time.perf_counter() - self._began
        row = Row(self.step, passes, lr, loss, grad_norm, update_norm, weight_norm, validation_loss, seconds, probed)
        self._finish(row)
        if self.ended is not None and self.ended != "diverged" and self.validation is not None and math.isnan(validation_loss):
            row = row._replace(validation_loss=self._validate())
        return row

    def _finish(self, row: Row) -> None:
        self.first = False
        if self.plateau is not None:
            self._observe(row)
        if not math.isnan(row.update_norm):
            self.step += 1  # the update was made
        self._place = self.feed.place()
        if self.ended is None and any([rule(row) for rule in self.stop]):  # a list: every rule sees every row
            self.ended = "stopped"
        if self.step >= self.end and self.ended is None:
            self.ended = "steps"

    def _move(self, taken: Sequence[Any]) -> tuple[float, tuple[float, float, float], dict[str, float]]:
        """Gradient and update; the loss, the norms of update, gradient and weights, and what the probes measured."""
        if self.by_closure:
            return self._move_by_closure(taken)
        for p in self.parameters:
            p.grad = None
        loss = self._gradient(taken)
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.first:
            self._check_first(loss, taken)
        return self._update(taken, loss, gradients)

    def _update(self, taken: Sequence[Any], loss: float, gradients: list[Tensor]) -> tuple[float, tuple[float, float, float], dict[str, float]]:
        probed = self._probe(self.before_probes, taken, loss) if self.before_probes else {}
        with torch.no_grad():
            norms = self._norms(gradients) + self._norms(self.parameters)
        if not math.isfinite(loss):
            grad_norm, weight_norm = self._totals(norms, len(gradients))
            return loss, (NAN, grad_norm, weight_norm), probed
        with torch.no_grad():
            torch._foreach_copy_(self.before, self.parameters)
        self._clip()
        self._step_optimizer()
        if self.after_probes:
            probed |= self._probe(self.after_probes, taken, loss, self.before, gradients)
        with torch.no_grad():
            torch._foreach_sub_(self.before, self.parameters)  # one copy of the weights serves as what was, then as the change
            norms += self._norms(self.before)
        grad_norm, weight_norm, update_norm = self._totals(norms, len(gradients), len(gradients) + len(self.parameters))
        return loss, (update_norm, grad_norm, weight_norm), probed

    def _move_by_closure(self, taken: Sequence[Any]) -> tuple[float, tuple[float, float, float], dict[str, float]]:
        """For optimizers that evaluate the loss themselves: the row tells of their first evaluation, before the update."""
        seen: list[tuple[float, list[Tensor]]] = []
        probed: dict[str, float] = {}

        def closure(gradient: bool = True) -> Tensor:
            for p in self.parameters:
                p.grad = None
            with torch.set_grad_enabled(gradient or not seen):  # the first evaluation always has one: the row needs it
                loss = self._gradient(taken)
                self._clip_after(seen)
            if not seen:
                if self.first:
                    self._check_first(loss, taken)
                with torch.no_grad():
                    gradients = [p.grad for p in self.parameters if p.grad is not None]
                    seen.append((loss, [*self._norms(gradients), *self._norms(self.parameters)]))
                self._gradient_count = len(gradients)
                probed.update(self._probe(self.before_probes, taken, loss))
            return torch.tensor(loss, dtype=self.dtype, device=self.device)

        with torch.no_grad():
            torch._foreach_copy_(self.before, self.parameters)
        self.optimizer.step(closure)
        loss, norms = seen[0]
        with torch.no_grad():
            if self.after_probes:
                probed |= self._probe(self.after_probes, taken, loss, self.before, [p.grad for p in self.parameters if p.grad is not None])
            torch._foreach_sub_(self.before, self.parameters)
            norms += self._norms(self.before)
        grad_norm, weight_norm, update_norm = self._totals(norms, self._gradient_count, self._gradient_count + len(self.parameters))
        return loss, (update_norm if math.isfinite(loss) else NAN, grad_norm, weight_norm), probed
