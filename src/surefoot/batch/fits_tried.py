"""Does a training with batches of this size fit into the memory?  Problem + settings + batch size + bytes -> Outcome of a few real steps."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import mmap
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from surefoot.batch.fits_data import rest_of, sized
from surefoot.batch.fits_search import LONG, Search, own_mapping
from surefoot.batch.memory_confined import can_confine, confined
from surefoot.batch.memory_in_place import Largest, counted, on_gpu
from surefoot.batch.memory_outcome import Outcome, Work
from surefoot.descent.batches import samples, source
from surefoot.descent.settings import DEFAULT_STEPS, Settings
from surefoot.descent.walk import Walk
from surefoot.problem import Problem

UNMOVING = 1e-12  # a learning rate that leaves the weights where they are, while every tensor of the update is made


@dataclass(frozen=True)
class Taken:
    """What a few steps tell of themselves.

    Attributes:
        samples: of the largest batch.
        seconds: of the fastest step with as many samples, without validation.
    """

    samples: int
    seconds: float


@dataclass(frozen=True)
class Tried:
    """How it went with one size.

    Attributes:
        steps: begun.
        peak: the most bytes taken; NaN where they ran out.
        early: in the first two or three steps; NaN where they ran out before.
        block: bytes of the largest tensor of the first step that came from the heap, where one is measured; of the validation pass as well where
            the step's own blocks do not, so that what that leaves in the heap is beside them.
        taken: what the steps told; None where they ran out of memory.
        signal: what killed the process, or 0.
        why: what said that the memory was not enough.
    """

    steps: int
    peak: float
    early: float
    block: float
    taken: Taken | None
    signal: int = 0
    why: str = ""


@dataclass(frozen=True)
class Tries:
    """How sizes are tried.

    Attributes:
        problem: what is trained.
        settings: as for a descent, but for the batch size.
        memory: bytes that it may take.
        count: samples of the problem, or None where only a walk can tell.
        way: ``work, memory -> Outcome``.
        search: what decides which size comes next.
    """

    problem: Problem
    settings: Settings
    memory: int
    count: int | None
    way: Callable[[Work, int], Outcome]
    search: Search

    def steps(self, batch_size: int) -> int:
        """Steps until one with the optimizer's state has seen whole batches, as many as a step can see.

        Two, since the state comes with the first update; three where the second update of an epoch has but the rest of the samples.
        """
        if self.count is None:
            return 2
        whole, batches = self.count // batch_size, -(-self.count // batch_size)
        accumulate = self.settings.accumulate
        return 2 if whole >= 2 * accumulate or batches <= accumulate else 3

    def tried(self, batch_size: int, most: int, close: float = math.inf) -> Tried:
        """How a training of that size goes: `steps` steps, and up to ``most`` of them once it takes ``close`` bytes."""
        fewest = self.steps(batch_size)
        most = max(fewest, most)
        # shared with a forked process, and there when that was killed; never closed by hand: an exception may still hold it
        told_here = np.frombuffer(mmap.mmap(-1, 8 * (most + 1)))
        peaks, block = told_here[:most], told_here[most:]
        work = functools.partial(self._walked, batch_size, close, peaks, block)
        outcome = self.way(work, self.memory)
        told = [float(peak) for peak in peaks if peak]
        early = told[fewest - 1] if len(told) > fewest - 1 else math.nan
        steps = len(told) + (not outcome.held)
        return Tried(steps, outcome.peak, early, float(block[0]), outcome.value, outcome.signal, outcome.why)

    def _walked(
        self, batch_size: int, close: float, peaks: np.ndarray[Any, Any], block: np.ndarray[Any, Any], peak: Callable[[], float]
    ) -> Taken:
        """The first steps of a real descent, with a validation pass; as many as ``peaks`` holds where the memory is getting full."""
        fewest = self.steps(batch_size)
        walk = Walk(sized(self.problem, batch_size), self.settings, None, (), ())
        history, latest = _history(walk), _noted(walk, rest_of(self.problem, batch_size), fewest)
        largest = Largest(own_mapping(), functools.partial(block.__setitem__, 0))
        sizes: list[int] = []
        seconds: list[float] = []
        with walk.world.entered():
            for step in range(len(peaks)):
                walk.validate_every = fewest if step < fewest else DEFAULT_STEPS
                began = time.perf_counter()
                validated = walk.validation is not None and 1 < step + 1 == fewest
                with largest if self.search.holes and (step == 0 or validated) else contextlib.nullcontext():
                    walk.advance()
                if largest.beyond == 0:
                    largest.below = 0  # the validation pass leaves no more in the heap than steps take from it
                seconds.append(math.inf if validated else time.perf_counter() - began)
                sizes.append(latest[0])
                peaks[step] = max(1.0, peak())
                enough = (
                    fewest
                    if peaks[step] < close
                    else max(min(fewest + 3, self.search.long), self.search.enough(peaks[step], block[0]))
                )
                if walk.ended is not None or step + 1 >= enough:
                    break
        del history
        fastest = min(time for count, time in zip(sizes, seconds, strict=True) if count == max(sizes))
        return Taken(max(sizes), fastest)


def tries_of(
    problem: Problem, settings: Settings, memory: int, headroom: float, most: int | None, count: int | None, device: torch.device
) -> Tries:
    """The way to try sizes here: in forked processes on a CPU where that is to be had, else in this one, which feels a size too large."""
    _load(device)
    largest = min((size for size in (count, most) if size is not None), default=None)
    if device.type == "cpu" and can_confine():
        return Tries(problem, settings, memory, count, confined, Search(memory, headroom, most=largest))
    # bytes of tensors, not of a heap, are what is measured here
    search = Search(memory, headroom, growth=4, long=2 if device.type == "cpu" else LONG, holes=0.0, reserve=0, most=largest)
    way = functools.partial(on_gpu, device=device) if device.type == "cuda" else counted
    return Tries(problem, settings, memory, count, way, search)


def _load(device: torch.device) -> None:
    """Loads what torch loads with the first update of a process (70 MiB, `torch._dynamo`): it is taken once, and not by the batch."""
    point = Problem.of(lambda x: (x**2).sum(), start=[1.0])
    walk = Walk(point, Settings(lr=UNMOVING, optimizer="adamw", steps=1, device=device), None, (), ())
    with walk.world.entered():
        walk.advance()


def _noted(walk: Walk, rest: Problem | None, at: int) -> list[int]:
    """The samples of the largest batch of the latest step, as they are taken; those at ``at`` and after it get the rest that an epoch ends with.

    What is left of the data makes smaller blocks, which the heap may keep beside those of whole batches, from the second time on:
    40 MiB beside 132 were seen.
    """
    latest, steps = [0], itertools.count()
    take = walk.feed.take
    last = rest and source(rest.data, rest.batch_size, 0, walk.device, walk.dtype)

    def noted(count: int) -> list[Any]:
        taken = [next(last.epoch(0, 0))] if last and next(steps) in (at, at + 1) else take(count)
        latest[0] = max(samples(batch) for batch in taken)
        return taken

    walk.feed.take = noted  # type: ignore[method-assign]
    return latest


def _history(walk: Walk) -> list[torch.Tensor]:
    """What LBFGS will remember after many steps, and not after two: pairs of a move and the change of the gradient."""
    pairs = [int(group["history_size"]) for group in walk.optimizer.param_groups if "history_size" in group]
    weights = sum(p.numel() for p in walk.parameters)
    return [torch.empty(2 * count * weights, dtype=walk.dtype, device=walk.device) for count in pairs]


def settings_for_tries(
    optimizer: Any, clip_norm: float | None, accumulate: int | None, autocast: str | None, device: Any, seed: int
) -> Settings:
    """The settings of a descent of usual length that moves nothing."""
    return Settings(
        lr=UNMOVING, optimizer=optimizer, steps=DEFAULT_STEPS, clip_norm=clip_norm, accumulate=accumulate or 1, autocast=autocast,
        device=device, seed=seed,
    )  # fmt: skip
