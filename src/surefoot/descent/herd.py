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
from surefoot.descent.path import SMALL
from surefoot.descent.schedule import OnPlateau, PlateauState
from surefoot.descent.settings import Settings
from surefoot.descent.snapshot import World
from surefoot.descent.stacked import Unbatchable, Weights, slots, stepper
from surefoot.descent.stop import StopRule
from surefoot.descent.table import UPDATE_NORM, VALIDATION_LOSS, Table, row_of
from surefoot.descent.validate import evaluating
from surefoot.descent.walk import Walk, stream
from surefoot.problem import LossOf, Problem
from surefoot.run import Ended, Path, Run
from surefoot.trace import Column, Trace

NAN = float("nan")


class Member:
    """One descent of the herd: its settings, its place among them, and how it ended."""

    def __init__(self, place: int, settings: Settings, rule: StopRule | None, plateau: PlateauState | None) -> None:
        self.place, self.settings, self.rule, self.plateau = place, settings, rule, plateau
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
        paths: keep the weights after every step.

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
        paths: bool = False,
    ) -> None:
        self.problem, self.start = problem, start
        self.walk = walk = Walk(problem, settings[0], start, (), ())
        _check(walk)
        self.members = [Member(place, each, rule() if rule else None, walk.plateau) for place, each in enumerate(settings)]
        self.alive = list(self.members)
        self.table = Table(len(settings))
        self.watched = rule is not None or isinstance(walk.schedule, OnPlateau)  # somebody wants to see every row
        seeds = list(dict.fromkeys(each.seed for each in settings))
        self.streams = [stream(problem, _of_seed(settings, seed), start, walk.device, walk.dtype) for seed in seeds]
        if len(seeds) > 1 and not _same(scout.world.state, walk.world.state):
            raise Unbatchable("more is random than the order of the samples, and each seed needs its own")
        self.stream_of = torch.tensor([seeds.index(each.seed) for each in settings], device=walk.device)
        self._stack(settings, scout)
        self.places = torch.arange(len(settings))  # of those alive among the members
        # a row of the stack has gaps between its parameters
        self.columns = torch.cat([torch.arange(slot.offset, slot.end) for slot in self.weights.slots])
        self.begun, self.paths = walk.step, self._first_points() if paths and len(self.columns) <= SMALL else None
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

    def _first_points(self) -> Tensor:
        """(steps + 1, copies, weights), the first of them taken; memory for all of it is set aside once."""
        points = torch.full((self.walk.end - self.walk.step + 1, len(self.members), len(self.columns)), NAN, dtype=self.walk.dtype)
        points[0] = self._points()
        return points

    def _points(self) -> Tensor:
        """(alive, weights) where each descent is, on the CPU."""
        return self.weights.rows.detach().cpu()[:, self.columns]

    # ---- a step

    @property
    def over(self) -> bool:
        """Whether every descent has ended."""
        return not self.alive

    @property
    def world(self) -> World | None:
        """The random state of the descents, where they have one in common."""
        return self.streams[0][1] if len(self.streams) == 1 else None

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Inside, the random state is that of the descents, where they have one in common."""
        with self.world.entered() if self.world is not None else contextlib.nullcontext():
            yield

    def advance(self) -> int:
        """One step of every descent that goes on; how many there were."""
        stepped, walk = len(self.alive), self.walk
        passes = self.streams[0][0].passes
        rates = self.rates * torch.tensor([[each] for each in self._multipliers()], dtype=torch.float64)
        losses = self._evaluate()
        block = self.table.add(
            np.array([member.place for member in self.alive]), step=walk.step, epoch=passes, lr=rates[:, 0].numpy(), loss=losses,
            grad_norm=_norms(self.weights.gradients), weight_norm=np.hypot(_norms(self.weights.rows.detach()), self._resting),
            seconds=time.perf_counter() - self._began,
        )  # fmt: skip
        kept = np.isfinite(losses)
        if not kept.all():
            self._end([member for member, go_on in zip(self.alive, kept, strict=True) if not go_on], "diverged")
            rates = rates[torch.from_numpy(kept)]
            self._keep(kept)
        if self.alive:
            self._update(rates.to(walk.device), block, kept)
        return stepped

    def _update(self, rates: Tensor, block: Column, kept: Column) -> None:
        walk = self.walk
        self._clip()
        self.stepper.step(rates)
        if self.first:
            self._check_rows()
            self.first = False
        updates = _norms(self.weights.before.sub_(self.weights.rows.detach()))
        block[UPDATE_NORM, kept] = updates
        walk.step += 1
        if self.paths is not None:
            self.paths[walk.step - self.begun, self.places] = self._points()
        over = walk.step >= walk.end
        if walk.validation is not None and ((walk.step - walk.leg) % walk.validate_every == 0 or over):
            block[VALIDATION_LOSS, kept] = self._validated()
        lost = ~np.isfinite(updates)
        if over or lost.any() or self.watched:
            self._finish(block[:, kept], lost, over)

    def _finish(self, block: Column, lost: Column, over: bool) -> None:
        """Ends the descents that are lost, stopped or over; the others hear of their rows."""
        ended: list[Ended | None] = [
            "diverged" if gone else "stopped" if member.rule and member.rule(row_of(block, place)) else "steps" if over else None
            for place, (member, gone) in enumerate(zip(self.alive, lost, strict=True))
        ]
        for place, (member, how) in enumerate(zip(self.alive, ended, strict=True)):
            if how is None:
                self._observe(member, block, place)
        for how in dict.fromkeys(word for word in ended if word is not None):
            self._end([member for member, word in zip(self.alive, ended, strict=True) if word == how], how)
        if any(ended):
            self._keep(np.array([how is None for how in ended]))

    def _evaluate(self) -> Column:
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
        return _column(total)

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

    def _observe(self, member: Member, block: Column, place: int) -> None:
        if isinstance(self.walk.schedule, OnPlateau):
            assert member.plateau is not None
            member.plateau = self.walk.schedule.after(member.plateau, row_of(block, place), self.walk.validation is not None)

    @torch.no_grad()
    def _validated(self) -> Column:
        """The mean loss on the validation data, as `mean_loss`, of all copies."""
        walk = self.walk
        assert walk.validation is not None
        total, weight = torch.zeros(len(self.alive), dtype=torch.float64, device=walk.device), 0
        with evaluating(walk.model):
            for batch in walk.validation.epoch(0, 0):
                size = batches.samples(batch)
                total += self._losses(batch, False).double() * size
                weight += size
        return _column(total / weight if weight else total * NAN)

    def _check_rows(self) -> None:
        rows = self.weights.rows
        moved = [slot.name for slot, (name, p) in zip(self.weights.slots, self.weights.parameters.items(), strict=True)
                 if p.data_ptr() != rows.data_ptr() + slot.offset * rows.element_size()]  # fmt: skip
        if moved:
            raise Unbatchable("the optimizer gives the weights a storage of its own")

    # ---- the end of a descent

    def _end(self, ended: Sequence[Member], how: Ended) -> None:
        last = len(ended) == len(self.alive)
        for member in ended:
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

    def _keep(self, kept: Column) -> None:
        alive = torch.from_numpy(kept).to(self.walk.device)
        self.alive = [member for member, go_on in zip(self.alive, kept, strict=True) if go_on]
        if not self.alive:
            return
        self.places = self.places[alive.cpu()]
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
        members = zip(self.members, self.table.traces(), strict=True)
        return [self._run(place, *each) for place, each in enumerate(members)]

    def _run(self, place: int, member: Member, trace: Trace) -> Run:
        trace = self.start.trace + trace if self.start is not None else trace
        weights = member.end["model"]
        config = member.settings.described(self.problem, self.walk.steps, self.walk.device, self.walk.dtype)
        assert member.ended is not None
        return Run(trace, weights, self._path(place, member), member.ended, config, member.end)

    def _path(self, place: int, member: Member) -> Path:
        """Where a descent went from where it began here, or where it ended."""
        last, first = member.end["step"], self.begun
        if self.paths is not None:
            return Path(np.arange(first, last + 1), self.paths[: last - first + 1, place])
        weights = member.end["model"]
        return Path(np.array([last]), torch.cat([weights[slot.name].reshape(-1) for slot in self.weights.slots])[None].cpu())


def _check(walk: Walk) -> None:
    if walk.by_closure:
        raise Unbatchable("the optimizer evaluates the loss itself")
    if walk.scaler is not None:
        raise Unbatchable("the loss is scaled for fp16")
    if callable(getattr(walk.optimizer, "eval", None)):
        raise Unbatchable("the optimizer keeps the deployed weights apart")


def _of_seed(settings: Sequence[Settings], seed: int | None) -> Settings:
    return next(each for each in settings if each.seed == seed)


def _norms(rows: Tensor) -> Column:
    return _column(torch.linalg.vector_norm(rows, dim=1))


def _column(values: Tensor) -> Column:
    return np.asarray(values.cpu().double().numpy())


def _same(one: Any, other: Any) -> bool:
    parts, others = pytree.tree_leaves(one), pytree.tree_leaves(other)
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in zip(parts, others, strict=True))
