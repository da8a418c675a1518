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
from surefoot.descent.first_step import check_loss, nonfinite
from surefoot.descent.joined import joined, offsets
from surefoot.descent.path import PathRecorder
from surefoot.descent.probe import Moment, Probe
from surefoot.descent.schedule import OnPlateau, PlateauState
from surefoot.descent.settings import DEFAULT_STEPS, VALIDATIONS, Settings, same_walk
from surefoot.descent.snapshot import World, carried_generators
from surefoot.descent.stop import StopRule
from surefoot.descent.validate import evaluating, mean_loss
from surefoot.errors import ProblemError, SettingError, SurefootWarning
from surefoot.problem import Problem, trainable
from surefoot.run import Ended, Run
from surefoot.start import copy_of, some
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

    def __init__(
        self, problem: Problem, settings: Settings, start: Run | None, stop: Sequence[StopRule], probes: Sequence[Probe]
    ) -> None:
        self.problem, self.settings, self.stop = problem, settings, stop
        self.before_probes = [probe for probe in probes if not probe.after]
        self.after_probes = [probe for probe in probes if probe.after]
        self.model = _copied(problem.model)
        self.device = settings.chosen_device(self.model)
        self.model.to(self.device)
        self.parameters = list(trainable(self.model).values())
        self.dtype = next((p.dtype for p in self.parameters if p.is_floating_point()), torch.get_default_dtype())
        settings.check_rate(self.dtype)
        self._one_kind = len({(p.dtype, p.device) for p in self.parameters}) == 1
        self._prepare_data(start)
        self.whole = joined(self.model, self.parameters)
        self._prepare_optimizer()
        self._prepare_horizon(start)
        if start is not None:
            self._take_over(start)
        self.before = [part.clone() for part in self._weights()]
        self.path = PathRecorder(self.parameters, self.end, start.path if start else None)
        self.ended: Ended | None = None
        self.first = True
        self._place = self.feed.place()
        self._began = time.perf_counter() - (float(start.trace["seconds"][-1]) if start is not None and len(start.trace) else 0.0)

    # ---- what is needed before the first step

    def _prepare_data(self, start: Run | None) -> None:
        self.feed, self.world = stream(self.problem, self.settings, start, self.device, self.dtype)
        held_out = self.problem.validation
        self.validation = None if held_out is None else batches.validation_source(held_out, self.device, self.dtype)

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
            raise SettingError(
                "autocast='fp16' scales the loss, which an optimizer that evaluates the loss itself cannot undo; use 'bf16'."
            )
        if callable(getattr(self.optimizer, "train", None)):
            self.optimizer.train()  # type: ignore[attr-defined]  # schedulefree's optimizers start in no mode at all

    def _prepare_horizon(self, start: Run | None) -> None:
        settings = self.settings
        steps = settings.steps
        if settings.epochs is not None:
            per_epoch = -(-self._batches_per_epoch() // settings.accumulate)
            steps = max(1, round(settings.epochs * per_epoch))
        self.steps = steps or (start.config["steps"] if start is not None else DEFAULT_STEPS)
        self.config = settings.described(self.problem, self.steps, self.device, self.dtype)
        self.validate_every = settings.validate_every or max(1, self.steps // VALIDATIONS)
        self.leg = self.step = 0
        self.resumed = False
        self.schedule = settings.schedule_function
        self.plateau: PlateauState | None = self.schedule.start() if isinstance(self.schedule, OnPlateau) else None
        self.end = self.steps

    def _batches_per_epoch(self) -> int:
        with self.world.entered():
            return batches.count_batches(self.feed.source)

    def _take_over(self, start: Run) -> None:
        """Goes on where a run ended: to the end of its own plan if it had not got there, else ``steps`` further."""
        if start.ended == "diverged":
            raise SettingError(
                f"The run diverged at step {start.diverged_at} and has no weights to go on from; start anew with a smaller lr."
            )
        if not start.state:
            raise SettingError("This run carries no state to go on from (it was made by hand or stripped).")
        state = start.state
        _load(self.model, state["model"])
        if start.config["optimizer"] == self.config["optimizer"]:
            _load_optimizer(self.optimizer, state["optimizer"])
        if self.scaler is not None and state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])
        self.step = int(state["step"])
        self.resumed = resumed = same_walk(start.config, self.config) and self.step < state["leg"] + start.config["steps"]
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
        passes = self._passes()
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

    def _passes(self) -> float:
        return self.feed.passes

    def heed(self, pressed: bool) -> None:
        """Ends the descent between two steps where Ctrl-C was pressed."""
        if pressed and self.ended is None:
            self.ended = "interrupted"

    def interrupt(self, error: KeyboardInterrupt) -> None:
        """Ends the descent where an interruption came as an exception."""
        self.ended = "interrupted"

    def _finish(self, row: Row) -> None:
        self.first = False
        if self.plateau is not None:
            self._observe(row)
        if not math.isnan(row.update_norm):
            self.step += 1  # the update was made
        self._place = self.feed.place()
        if self.ended is None and any([rule(row) for rule in self.stop]):  # noqa: C419  a list: every rule sees every row
            self.ended = "stopped"
        if self.step >= self.end and self.ended is None:
            self.ended = "steps"

    def _move(self, taken: Sequence[Any]) -> tuple[float, tuple[float, float, float], dict[str, float]]:
        """Gradient and update; the loss, the norms of update, gradient and weights, and what the probes measured."""
        loss = self._evaluate(taken)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.first:
            self._check_first(loss, taken)
        probed = self._probe(self.before_probes, taken, loss) if self.before_probes else {}
        grad_norm, weight_norm = self._norm(gradients), self._norm(self._weights())
        if not math.isfinite(loss):
            return loss, (NAN, grad_norm, weight_norm), probed
        self._remember()
        self._clip()
        self._step_optimizer(taken, loss)
        if self.first:
            self._check_joined()
        if self.after_probes:
            before = [part.view_as(p) for part, p in zip(self._split(self.before), self.parameters, strict=True)]
            probed = {**probed, **self._probe(self.after_probes, taken, loss, before, gradients)}
        return loss, (self._change(), grad_norm, weight_norm), probed

    def _weights(self) -> list[Tensor]:
        return self.whole or [p.data for p in self.parameters]

    def _remember(self) -> None:
        for kept, now in zip(self.before, self._weights(), strict=True):
            kept.copy_(now)

    def _change(self) -> float:
        """l2 norm of the update just made."""
        weights = self._weights()
        if len(weights) == 1:
            return float(torch.dist(self.before[0], weights[0]))  # one pass over memory where subtracting first takes three
        return _l2([float(torch.dist(kept, now)) for kept, now in zip(self.before, weights, strict=True)])

    def _check_joined(self) -> None:
        """Optimizers may give the weights a storage of their own; then they are measured one by one."""
        if self.whole and self.parameters[0].data_ptr() != self.whole[0].data_ptr():
            before = self._split(self.before)
            self.before = [part.view_as(p).clone() for part, p in zip(before, self.parameters, strict=True)]
            self.whole = []

    def _split(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """The parameters' shares of what has the layout of ``whole``."""
        if not self.whole:
            return list(parts)
        return [parts[0][offset : offset + p.numel()] for offset, p in zip(offsets(self.parameters), self.parameters, strict=True)]

    def _evaluate(self, taken: Sequence[Any], gradient: bool = True) -> float:
        """The loss, averaged over the batches taken, and its gradient in ``.grad``."""
        for p in self.parameters:
            p.grad = None
        total = 0.0
        for batch in taken:
            with self.autocast():
                loss = self.problem.loss_on(self.model, batch)
            if self.first:
                check_loss(loss)
            value = loss if len(taken) == 1 else loss / len(taken)
            total += value.item()
            if gradient:
                (value if self.scaler is None else self.scaler.scale(value)).backward()  # type: ignore[no-untyped-call]
        total = self._reduced(total, gradient)
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        return total

    def _reduced(self, loss: float, gradient: bool) -> float:
        """The loss, and the gradient in ``.grad``, of all processes that walk: here there is one."""
        return loss

    def _step_optimizer(self, taken: Sequence[Any], loss: float) -> None:
        if self.by_closure:
            self.optimizer.step(self._closure(taken, loss))
        elif self.scaler is not None:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()

    def _closure(self, taken: Sequence[Any], loss: float) -> Callable[..., Any]:
        """For optimizers that evaluate the loss themselves; their first evaluation is the one the row tells of."""
        known: list[float] = [loss]

        def closure(gradient: bool = True) -> Tensor:
            if known:
                return torch.tensor(known.pop(), dtype=self.dtype, device=self.device)
            with torch.set_grad_enabled(gradient):
                value = self._evaluate(taken, gradient)
            if gradient:
                self._clip()
            return torch.tensor(value, dtype=self.dtype, device=self.device)

        return closure

    def _clip(self) -> None:
        if self.settings.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)

    def _set_rates(self) -> float:
        step = self.step - self.leg
        if isinstance(self.schedule, OnPlateau):
            assert self.plateau is not None
            multiplier = self.schedule.multiplier(self.plateau, step, self.steps)
        else:
            multiplier = float(self.schedule(step, self.steps))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            if isinstance(group["lr"], Tensor):  # capturable optimizers keep it on the device
                group["lr"].fill_(rate * multiplier)
            else:
                group["lr"] = rate * multiplier
        return self.rates[0] * multiplier

    def _observe(self, row: Row) -> None:
        assert isinstance(self.schedule, OnPlateau)
        assert self.plateau is not None
        self.plateau = self.schedule.after(self.plateau, row, self.validation is not None)

    # ---- what is measured

    def _norm(self, tensors: list[Tensor]) -> float:
        """l2 norm of all of them together."""
        if len(tensors) == 1 and not tensors[0].is_sparse:
            return float(torch.linalg.vector_norm(tensors[0]))
        if not self._one_kind or any(t.is_sparse for t in tensors):
            return _l2([float(torch.linalg.vector_norm(t.coalesce().values() if t.is_sparse else t)) for t in tensors])
        # one fused call: the public get_total_norm takes 2.5 times as long on a small network (17 us against 7)
        norms = torch._foreach_norm(tensors)
        return _l2(torch.stack(norms).tolist() if norms[0].is_cuda else [norm.item() for norm in norms])

    def _probe(
        self,
        probes: Sequence[Probe],
        taken: Sequence[Any],
        loss: float,
        before: Sequence[Tensor] = (),
        gradients: Sequence[Tensor] = (),
    ) -> dict[str, float]:
        moment = Moment(self.step, self.problem, self.model, self.optimizer, taken, loss, before, gradients)
        return {p.name: float(p.measure(moment)) if (self.step - self.leg) % p.every == 0 else NAN for p in probes}

    def _validates(self) -> bool:
        due = (self.step + 1 - self.leg) % self.validate_every == 0 or self.step + 1 >= self.end
        return due and self.validation is not None and self.ended is None

    def _validate(self) -> float:
        assert self.validation is not None
        with evaluating(self.model, self.optimizer):
            return mean_loss(self.problem, self.model, self.validation)

    def _check_first(self, loss: float, taken: Sequence[Any]) -> None:
        if not math.isfinite(loss):
            raise ProblemError(
                f"The loss is {loss} at the very first step, before any update: the learning rate cannot be the reason. "
                f"{nonfinite(self.model, taken)}"
            )
        without = [name for name, p in self.model.named_parameters() if p.requires_grad and p.grad is None]
        if len(without) == len(self.parameters):
            raise ProblemError(
                "The loss does not depend on any trainable parameter: no gradient arrives. Is it computed outside of torch, or detached?"
            )
        if without:
            warnings.warn(
                f"No gradient reaches {some(without)}: the loss does not depend on it, so it will not move. "
                "Freeze it with requires_grad_(False) if that is meant.",
                SurefootWarning,
                stacklevel=2,
            )

    # ---- the end

    def state(self) -> dict[str, Any]:
        """Everything needed to go on from the end of the last step; the tensors are the walk's own, not copies."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler is not None else None,
            "random": self.world.state,
            "place": self._place,
            "step": self.step,
            "leg": self.leg,
        }

    def checkpoint(self) -> dict[str, Any]:
        """Weights and state at the end of the last step."""
        return {"weights": self._deployed(), "state": self.state()}

    def points(self) -> dict[int, Tensor]:
        """The path so far."""
        return self.path.points()

    def run(self, trace: Trace) -> Run:
        """The run so far."""
        return Run(
            trace,
            self._deployed(),
            self.path.path(self.step, self.parameters),
            self.ended or "interrupted",
            self.config,
            self.state(),
        )

    def _deployed(self) -> dict[str, Tensor]:
        if not callable(getattr(self.optimizer, "eval", None)):
            return self.model.state_dict()
        with evaluating(self.model, self.optimizer):
            return {name: value.clone() for name, value in self.model.state_dict().items()}


def stream(
    problem: Problem, settings: Settings, start: Run | None, device: torch.device, dtype: torch.dtype
) -> tuple[batches.Feed, World]:
    """The batches of a descent from where ``start`` left off, and the random state they are drawn in."""
    size = problem.batch_size if settings.batch_size is None else settings.batch_size
    seed = int(settings.seed or 0)
    carried = carried_generators(problem.data, problem.validation)
    feed = batches.Feed(batches.source(problem.data, size, seed, device, dtype), carried)
    if start is None or not start.state:
        return feed, World.seeded(seed, carried)
    place = start.state["place"]
    same_seed = start.config["seed"] == seed
    if same_seed and start.config["batch_size"] == size:
        feed.epoch, feed.index, feed.epoch_random_state = place["epoch"], place["index"], place["epoch_random_state"]
    else:
        feed.epoch = int(place["epoch"]) + 1
    return feed, World(start.state["random"], carried) if same_seed else World.seeded(seed, carried)


def _copied(model: nn.Module) -> nn.Module:
    own = copy_of(model, "a descent works on a copy")
    # a model left in evaluation mode is trained as a training script would; parts frozen by hand in a training model stay so
    return own if own.training else own.train()


def _load(model: nn.Module, weights: Any) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise SettingError(f"The run's weights do not fit this model: {' '.join(str(error).split())}") from error


def _load_optimizer(made: Any, state: Any) -> None:
    # a copy: load_state_dict keeps the tensors it is given, and the next step would write into the run
    made.load_state_dict(copy.deepcopy(state))


def _l2(norms: list[float]) -> float:
    return math.sqrt(sum(norm * norm for norm in norms))
