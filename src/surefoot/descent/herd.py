"""Many descents in one pass.  K settings + one start -> K rows per step, the gradients of all copies from one batched evaluation.

The twin of `Walk`, which proves it (law 3): the same problem, the same batches, the same optimizer, but the weights have one axis more, and
the loss of all copies is one call under ``torch.func.vmap``. Descents of one seed see the same batches and, with them, the same random
numbers; descents of several seeds are in one pass only where nothing but the order of the data is random.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.utils import _pytree as pytree

from surefoot.descent import batches
from surefoot.descent.schedule import OnPlateau, PlateauState
from surefoot.descent.settings import Settings
from surefoot.descent.stacked import Unbatchable, Weights, slots, stepper
from surefoot.descent.stop import StopRule
from surefoot.descent.validate import evaluating
from surefoot.descent.walk import Walk, stream
from surefoot.problem import LossOf, Problem
from surefoot.run import Ended, Path, Run
from surefoot.trace import Row, Trace

NAN = float("nan")


class Member:
    """One descent of the herd: its settings, its rows so far, and how it ended."""

    def __init__(self, settings: Settings, rule: StopRule | None, plateau: PlateauState | None) -> None:
        self.settings, self.rule, self.plateau = settings, rule, plateau
        self.rows: list[Row] = []
        self.ended: Ended | None = None
        self.end: dict[str, Any] = {}  # weights and state at its end


class Herd:
    """The state of K descents between two steps.

    Args:
        problem: what is descended.
        settings: of each descent; they differ in ``lr``, ``seed`` and ``optimizer`` only.
        scout: a walk under the first of them that has made at least one step: it has shown what a step touches.
        start: the run that all of them go on from, or None.
        rule: makes a stop rule for a descent, or None.

    Raises:
        Unbatchable: they cannot be walked in one pass.
    """

    def __init__(
        self,
        problem: Problem,
        settings: Sequence[Settings],
        scout: Walk,
        start: Run | None = None,
        rule: Callable[[], StopRule] | None = None,
    ) -> None:
        self.problem, self.start = problem, start
        self.walk = walk = Walk(problem, settings[0], start, (), ())
        _check(walk)
        self.members = [Member(each, rule() if rule else None, walk.plateau) for each in settings]
        self.alive = list(self.members)
        seeds = list(dict.fromkeys(each.seed for each in settings))
        self.streams = [stream(problem, _of_seed(settings, seed), start, walk.device, walk.dtype) for seed in seeds]
        if len(seeds) > 1 and not _same(scout.world.state, walk.world.state):
            raise Unbatchable("more is random than the order of the samples, and each seed needs its own")
        self.stream_of = torch.tensor([seeds.index(each.seed) for each in settings], device=walk.device)
        self._stack(settings, scout)
        self.first = True
        self._began = time.perf_counter()

    def _stack(self, settings: Sequence[Settings], scout: Walk) -> None:
        walk, copies = self.walk, len(settings)
        self.loss = LossOf(self.problem, walk.model)
        unused = {name for name, p in scout.model.named_parameters() if p.requires_grad and p.grad is None}
        self._resting = math.hypot(*(float(walk.model.get_parameter(name).detach().norm()) for name in unused))
        self.weights = Weights(walk.model, slots(walk.model, walk.optimizer, unused), copies)
        makers = [(each.optimizer, each.lr) for each in settings]
        self.stepper = stepper(self.weights, walk.model, walk.optimizer, makers)
        shares = torch.tensor([[rate / walk.settings.lr for rate in walk.rates]], dtype=torch.float64)
        self.rates = torch.tensor([[each.lr] for each in settings], dtype=torch.float64) * shares
        moved = dict(scout.model.named_buffers())
        self.buffers = {  # those that a step changes, as running statistics; the others are shared by all copies
            name: buffer.expand(copies, *buffer.shape).clone()
            for name, buffer in walk.model.named_buffers()
            if not torch.equal(buffer, moved[name])
        }

    # ---- a step

    @property
    def over(self) -> bool:
        """Whether every descent has ended."""
        return not self.alive

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The random state of the descents, where they have one in common."""
        with self.streams[0][1].entered() if len(self.streams) == 1 else contextlib.nullcontext():
            yield

    def advance(self) -> int:
        """One step of every descent that goes on; how many there were."""
        stepped, walk = len(self.alive), self.walk
        passes = self.streams[0][0].passes
        rates = self.rates * torch.tensor([[each] for each in self._multipliers()], dtype=torch.float64)
        losses = self._evaluate()
        grad_norms = _norms(self.weights.gradients)
        weight_norms = [math.hypot(norm, self._resting) for norm in _norms(self.weights.rows.detach())]
        seconds = time.perf_counter() - self._began
        rows = [
            Row(walk.step, passes, rate, loss, gradient, NAN, weight, NAN, seconds)
            for rate, loss, gradient, weight in zip(rates[:, 0].tolist(), losses, grad_norms, weight_norms, strict=True)
        ]
        kept = [math.isfinite(loss) for loss in losses]
        if not all(kept):
            self._end([(member, row) for member, row, go_on in zip(self.alive, rows, kept, strict=True) if not go_on], "diverged")
            rows, rates = [row for row, go_on in zip(rows, kept, strict=True) if go_on], rates[torch.tensor(kept)]
            self._keep(kept)
        if self.alive:
            self._update(rates.to(walk.device), rows)
        return stepped

    def _update(self, rates: Tensor, rows: list[Row]) -> None:
        walk = self.walk
        self._clip()
        self.stepper.step(rates)
        if self.first:
            self._check_rows()
            self.first = False
        updates = _norms(self.weights.before.sub_(self.weights.rows.detach()))
        rows = [row._replace(update_norm=update) for row, update in zip(rows, updates, strict=True)]
        walk.step += 1
        broken = [not math.isfinite(update) for update in updates]
        over = walk.step >= walk.end
        if walk.validation is not None and ((walk.step - walk.leg) % walk.validate_every == 0 or over):
            rows = [row._replace(validation_loss=loss) for row, loss in zip(rows, self._validated(), strict=True)]
        ended: list[Ended | None] = [
            "diverged" if lost else "stopped" if member.rule and member.rule(row) else "steps" if over else None
            for member, row, lost in zip(self.alive, rows, broken, strict=True)
        ]
        for member, row, how in zip(self.alive, rows, ended, strict=True):
            if how is None:
                member.rows.append(row)
                self._observe(member, row)
        for how in dict.fromkeys(word for word in ended if word is not None):
            self._end([(m, row) for m, row, word in zip(self.alive, rows, ended, strict=True) if word == how], how)
        if any(ended):
            self._keep([how is None for how in ended])

    def _evaluate(self) -> list[float]:
        """The losses of all copies, averaged over the batches taken, and their gradients."""
        taken = self._taken()
        total = torch.zeros(len(self.alive), dtype=torch.float64, device=self.walk.device)
        for index, (batch, stacked) in enumerate(taken):
            with self.walk.autocast():
                losses = self._losses(batch, stacked)
            if losses.shape != (len(self.alive),):
                raise Unbatchable(f"the loss of one copy has the shape {tuple(losses.shape[1:])}")
            total = total + losses.detach().double() / len(taken)
            self.weights.take(losses, 1 / len(taken), index == 0)
        return total.tolist()

    def _losses(self, batch: Any, stacked: bool) -> Tensor:
        def one(weights: dict[str, Tensor], buffers: dict[str, Tensor], batch: Any) -> Tensor:
            named = {f"model.{name}": value for name, value in (weights | buffers).items()}
            loss = functional_call(self.loss, named, (batch,))
            return loss.reshape(()) if loss.numel() == 1 else loss  # type: ignore[no-any-return]

        dims = (0, 0, 0 if stacked else None)
        return vmap(one, in_dims=dims, randomness="same")(self.weights.parameters, self.buffers, batch)

    def _taken(self) -> list[tuple[Any, bool]]:
        """The batches of this step, and whether they have an axis of copies."""
        count = self.walk.settings.accumulate
        if len(self.streams) == 1:
            return [(batch, False) for batch in self.streams[0][0].take(count)]
        taken = [feed.take(count) for feed, _ in self.streams]
        return [(self._side_by_side(parts), True) for parts in zip(*taken, strict=True)]

    def _side_by_side(self, parts: Sequence[Any]) -> Any:
        leaves, tree = zip(*(pytree.tree_flatten(part) for part in parts), strict=True)
        try:
            stacked = [torch.stack(same)[self.stream_of] for same in zip(*leaves, strict=True)]
        except (RuntimeError, TypeError) as error:
            raise Unbatchable("the batches of different seeds have different shapes") from error
        return pytree.tree_unflatten(stacked, tree[0])

    def _clip(self) -> None:
        limit = self.walk.settings.clip_norm
        if limit is not None:  # as torch.nn.utils.clip_grad_norm_
            norms = torch.linalg.vector_norm(self.weights.gradients, dim=1, keepdim=True)
            self.weights.gradients.mul_((limit / (norms + 1e-6)).clamp(max=1.0))

    def _multipliers(self) -> list[float]:
        walk = self.walk
        step, schedule = walk.step - walk.leg, walk.schedule
        if not isinstance(schedule, OnPlateau):
            return [float(schedule(step, walk.steps))] * len(self.alive)
        return [schedule.multiplier(member.plateau or schedule.start(), step, walk.steps) for member in self.alive]

    def _observe(self, member: Member, row: Row) -> None:
        if isinstance(self.walk.schedule, OnPlateau):
            assert member.plateau is not None
            member.plateau = self.walk.schedule.after(member.plateau, row, self.walk.validation is not None)

    @torch.no_grad()
    def _validated(self) -> list[float]:
        """The mean loss on the validation data, as `mean_loss`, of all copies."""
        walk = self.walk
        assert walk.validation is not None
        total, weight = torch.zeros(len(self.alive), dtype=torch.float64, device=walk.device), 0
        with evaluating(walk.model):
            for batch in walk.validation.epoch(0, 0):
                size = batches.samples(batch)
                total += self._losses(batch, False).double() * size
                weight += size
        return (total / weight if weight else total * NAN).tolist()

    def _check_rows(self) -> None:
        rows = self.weights.rows
        moved = [slot.name for slot, (name, p) in zip(self.weights.slots, self.weights.parameters.items(), strict=True)
                 if p.data_ptr() != rows.data_ptr() + slot.offset * rows.element_size()]  # fmt: skip
        if moved:
            raise Unbatchable("the optimizer gives the weights a storage of its own")

    # ---- the end of a descent

    def _end(self, ended: Sequence[tuple[Member, Row]], how: Ended) -> None:
        last = len(ended) == len(self.alive)
        for member, row in ended:
            member.rows.append(row)
            member.ended = how
            kept = self._kept(self.alive.index(member))
            # a view would hold on to the weights of all
            member.end = kept if last else pytree.tree_map_only(Tensor, torch.clone, kept)

    def _kept(self, index: int) -> dict[str, Any]:
        """Weights and state of one descent, as views."""
        model = dict(self.walk.model.state_dict())
        model.update(self.weights.of(self.weights.rows.detach()[index], self.walk.model))
        model.update({name: buffer[index] for name, buffer in self.buffers.items()})
        feed, world = self.streams[int(self.stream_of[index])]
        return {
            "model": model, "optimizer": self.stepper.state_of(index), "scaler": None, "random": world.state, "place": feed.place(),
            "step": self.walk.step, "leg": self.walk.leg,
        }  # fmt: skip

    def _keep(self, kept: list[bool]) -> None:
        alive = torch.tensor(kept, device=self.walk.device)
        self.alive = [member for member, go_on in zip(self.alive, kept, strict=True) if go_on]
        if not self.alive:
            return
        self.rates, self.stream_of = self.rates[alive.cpu()], self.stream_of[alive]
        self.weights.keep(alive)
        self.stepper.keep(alive)
        self.buffers = {name: buffer[alive] for name, buffer in self.buffers.items()}

    def interrupt(self) -> None:
        """Ends what still goes on."""
        for index, member in enumerate(self.alive):
            member.ended, member.end = "interrupted", self._kept(index)
        self.alive = []

    def runs(self) -> list[Run]:
        """What became of each descent, in the order of the settings; their tensors are views of the herd's."""
        return [self._run(member) for member in self.members]

    def _run(self, member: Member) -> Run:
        trace = Trace.of(member.rows)
        trace = self.start.trace + trace if self.start is not None else trace
        weights = member.end["model"]
        end = torch.cat([weights[slot.name].reshape(-1) for slot in self.weights.slots])[None].cpu()
        config = member.settings.described(self.problem, self.walk.steps, self.walk.device, self.walk.dtype)
        assert member.ended is not None
        return Run(trace, weights, Path(np.array([member.end["step"]]), end), member.ended, config, member.end)


def _check(walk: Walk) -> None:
    if walk.by_closure:
        raise Unbatchable("the optimizer evaluates the loss itself")
    if walk.scaler is not None:
        raise Unbatchable("the loss is scaled for fp16")
    if callable(getattr(walk.optimizer, "eval", None)):
        raise Unbatchable("the optimizer keeps the deployed weights apart")


def _of_seed(settings: Sequence[Settings], seed: int | None) -> Settings:
    return next(each for each in settings if each.seed == seed)


def _norms(rows: Tensor) -> list[float]:
    return torch.linalg.vector_norm(rows, dim=1).tolist()  # type: ignore[no-any-return]


def _same(one: Any, other: Any) -> bool:
    parts, others = pytree.tree_leaves(one), pytree.tree_leaves(other)
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in zip(parts, others, strict=True))
