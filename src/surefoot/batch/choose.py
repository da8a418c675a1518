"""The batch size to train with.  what fits -> a rate -> the noise scale on a real descent -> a size -> the rate at it -> BatchSize."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from surefoot.batch.batch_size import BatchSize
from surefoot.batch.drawn import check_data, count_of, in_company, size_of
from surefoot.batch.fits import BUDGET as FITTING
from surefoot.batch.fits import Fits, largest_batch
from surefoot.batch.fits_data import sized
from surefoot.batch.memory_words import bytes_of
from surefoot.batch.noise_scale import NoiseScale, noise_scale
from surefoot.batch.rate_rule import predicted, rule_of
from surefoot.batch.speed import SIZES, STEPS, sizes_around, speeds
from surefoot.descent.live import Progress
from surefoot.descent.schedule import OnPlateau, named
from surefoot.descent.settings import Settings
from surefoot.errors import SettingError
from surefoot.find.choose import MINIMUM as SEARCH
from surefoot.find.choose import find_lr
from surefoot.find.found import Found
from surefoot.find.progress import searching
from surefoot.problem import Problem

REFERENCE_SHARE, NOISE_SHARE = 0.25, 0.15  # of the budget
NOISE_LEAST, NOISE_MOST = 20, 200  # steps over which the noise scale is measured
TIMING = SIZES * STEPS
LOOKED = 4096  # samples: in a machine's whole memory, trying larger batches than are useful takes minutes
MINIMUM = 2 * FITTING + 2 * SEARCH + NOISE_LEAST + TIMING
LARGER = 8  # times the batch: where no slope could be told from the noise it is measured once more
SLOWER = 2.0  # times as long a step: what is within it costs hardly more than Python does
CERTAIN = 0.5  # standard errors as a share of the noise scale: with more, the size is not known to a factor of two


def find_batch_size(
    problem: Problem,
    *,
    optimizer: Any = "adamw",
    steps: int = 1000,
    schedule: Any = "constant",
    memory: int | str | None = None,
    budget: float = 1.0,
    seed: int = 0,
    device: Any = "auto",
    progress: Progress = None,
    engine: str = "auto",
    clip_norm: float | None = None,
    autocast: str | None = None,
    headroom: float = 0.05,
) -> BatchSize:
    """How many samples per step, and the learning rate at it.

    Memory says how many fit, tried with real steps. The gradient noise scale, measured over the first steps of a real descent, says how many are
    useful: the batch at which a step makes half of the progress that one over all of the data makes. A smaller one takes nearly twice as many
    steps for every halving, a larger one saves at most half of them. The power of two next to it is the answer; what of it does not fit is
    accumulated over several batches, and below the problem's own size it goes only where that makes steps quicker. The rate is searched anew
    at that size; what a rule of thumb expects stands beside it.

    Args:
        problem: what will be trained; its data a pair, a dataset or a stock ``DataLoader``.
        optimizer: as for `descend`.
        steps: the horizon, in steps.
        schedule: as for `descend`.
        memory: bytes that training may take beyond what this process holds, or a text such as ``"2GB"``. None: what is free; on a
            CPU batches beyond 4,096 samples (or four times the problem's own) are then tried only as far as they are useful.
        budget: the most to spend, in training runs of ``steps`` steps (gradient evaluations, each of one batch).
        seed: as for `descend`.
        device: as for `descend`.
        progress: as for `find_lr`.
        engine: as for `find_lr`.
        clip_norm: as for `descend`.
        autocast: as for `descend`.
        headroom: the share of samples that would still fit beyond ``fits``.

    Returns:
        `BatchSize`. Where the noise scale or the rate cannot be told, ``confident`` is False and ``reason`` says why.

    Raises:
        SettingError: there are no batches to choose the size of, not one sample fits, or the budget is too small.
        ProblemError: as `descend`.

    Example:
        >>> from surefoot import problems
        >>> answer = find_batch_size(problems.load("digits-linear"), optimizer="sgd", steps=300)
        >>> answer.batch_size <= 1438 == answer.fits, answer.gradients <= 300
        (True, True)
    """
    check_data(problem)
    limit = bytes_of(memory)
    evaluations = _evaluations(budget, steps)
    settings = {"optimizer": optimizer, "clip_norm": clip_norm, "autocast": autocast, "device": device, "seed": seed}
    search = _Search(problem, {**settings, "schedule": schedule}, steps, evaluations, engine, progress)
    on_cpu = Settings(lr=1.0, device=device).chosen_device(problem.model).type == "cpu"
    return search.answer(Memory(limit, headroom, LOOKED if limit is None and on_cpu else None))


@dataclass(frozen=True)
class Memory:
    """What is known of the memory, and how far it is looked at.

    Attributes:
        limit: bytes, or None for what is free.
        headroom: as for `largest_batch`.
        most: samples beyond which is looked only for what is useful; None: as far as the memory goes.
    """

    limit: int | None
    headroom: float
    most: int | None


class _Search:
    """One search for one size."""

    def __init__(
        self, problem: Problem, settings: dict[str, Any], steps: int, evaluations: int, engine: str, progress: Progress
    ) -> None:
        self.problem, self.settings, self.steps, self.engine, self.progress = problem, settings, steps, engine, progress
        self.evaluations, self.spent = evaluations, 0
        self.began = time.perf_counter()

    def answer(self, given: Memory) -> BatchSize:
        memory = self._fits(given, None if given.most is None else max(given.most, 4 * size_of(self.problem)))
        reference_size = in_company(self.problem, min(size_of(self.problem), memory.batch_size))
        reference = self._rate(reference_size, 1, max(SEARCH, int(REFERENCE_SHARE * self.evaluations)))
        noise = self._noise(reference_size, reference.lr)
        if memory.bound == "most" and math.isfinite(noise.value) and 2 * noise.useful > memory.batch_size:
            memory = self._fits(given, math.ceil(2 * noise.useful))
        size, accumulate = chosen(noise, memory.batch_size, reference_size)
        size = in_company(self.problem, size)
        sizes = {in_company(self.problem, each) for each in sizes_around(size, memory.batch_size, reference_size)}
        timed = self._timed(sorted(sizes), reference.lr)
        size = size if accumulate > 1 else at_no_cost(timed, size, reference_size)
        # most of the budget is left, so that the rate is searched again also where the size has stayed
        found = self._rate(size, accumulate, max(SEARCH, self.evaluations - self.spent))
        rule = rule_of(self.problem, self.settings["optimizer"])
        expected = predicted(reference.lr, reference_size, size * accumulate, noise, rule)
        confident, reason = _doubt(noise, found)
        return BatchSize(size, accumulate, memory, noise, timed, found, expected, rule, reference, reference_size, confident, reason,
                         self.spent, time.perf_counter() - self.began)  # fmt: skip

    def _fits(self, given: Memory, most: int | None) -> Fits:
        settings = {key: value for key, value in self.settings.items() if key != "schedule"}
        memory = largest_batch(
            self.problem, memory=given.limit, headroom=given.headroom, most=most, progress=self.progress, **settings
        )
        self.spent += memory.steps
        return memory

    def _rate(self, size: int, accumulate: int, evaluations: int) -> Found:
        # half an evaluation more: the budget is a share of the horizon, and is rounded down
        found: Found = find_lr(sized(self.problem, size), accumulate=accumulate, steps=self.steps, budget=(evaluations + 0.5) / self.steps,
                        engine=self.engine, progress=self.progress, **self.settings)  # fmt: skip
        self.spent += found.gradients
        return found

    def _noise(self, size: int, lr: float) -> NoiseScale:
        """Over the first steps; once more with larger batches where these hardly show the slope. Parts of them are what must fit."""
        steps = min(NOISE_MOST, max(NOISE_LEAST, int(NOISE_SHARE * self.evaluations)))
        count = count_of(self.problem.data) or math.inf
        settings = {**self.settings, "schedule": _first_part(self.settings["schedule"], self.steps)}
        for larger in (max(2, size), LARGER * size):
            batch = int(min(larger, count))
            noise = noise_scale(self.problem, lr=lr, batch_size=batch, steps=steps, progress=self.progress, **settings)
            self.spent += noise.gradients
            told = math.isfinite(noise.value) and noise.error <= CERTAIN * noise.value
            if told or noise.batch_size >= count or self.evaluations - self.spent < steps + TIMING + SEARCH:
                break
        return noise

    def _timed(self, sizes: list[int], lr: float) -> tuple[tuple[int, float], ...]:
        settings = {key: value for key, value in self.settings.items() if key != "schedule"}
        with searching(len(sizes) * STEPS, self.progress, "timing steps") as seen:
            timed = speeds(self.problem, sizes, lr, settings, seen)
        self.spent += len(sizes) * STEPS
        return timed


def _first_part(schedule: Any, steps: int) -> Any:
    """The beginning of a schedule over so many steps, for a descent that ends sooner."""
    whole = named(schedule)
    return schedule if isinstance(whole, OnPlateau) else lambda step, _: whole(step, steps)


def chosen(noise: NoiseScale, fits: int, otherwise: int) -> tuple[int, int]:
    """The batch size to use and how many batches to accumulate.

    Args:
        noise: the noise scale; where it is not known the size is ``otherwise``.
        fits: the largest batch that memory holds.
        otherwise: a size that fits.

    Example:
        >>> noise = NoiseScale(200.0, 10.0, 181.0, 0.5, 100.0, 64, 100, 100, 0.1, None, "")
        >>> chosen(noise, 4096, 64), chosen(noise, 100, 64)
        ((256, 1), (64, 4))
    """
    if not math.isfinite(noise.value):
        return otherwise, 1
    useful = max(1, min(2 ** round(math.log2(max(noise.useful, 1.0))), noise.data or math.inf))
    if useful <= fits:
        return int(useful), 1
    held = 2 ** int(math.log2(fits))
    return held, round(useful / held)


def at_no_cost(timed: Sequence[tuple[int, float]], size: int, own: int) -> int:
    """The largest size up to the problem's own whose step takes at most twice as long as that of a smaller size that was chosen.

    The noise scale grows along a training, so that what is useful at first is the least; going below one's own size must save time.

    Args:
        timed: pairs of a batch size and its samples per second.
        size: the size chosen.
        own: the problem's own.

    Example:
        >>> at_no_cost([(4, 400.0), (64, 6000.0), (256, 9000.0)], 4, 256), at_no_cost([(4, 400.0), (64, 6000.0)], 64, 4)
        (64, 64)
    """
    seconds = {each: each / speed for each, speed in timed}
    return max([size, *(each for each, took in seconds.items() if size < each <= own and took <= SLOWER * seconds[size])])


def _evaluations(budget: Any, steps: Any) -> int:
    for name, value in (("budget", budget), ("steps", steps)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise SettingError(f"{name} must be a positive number, got {value!r}.")
    evaluations: int = math.floor(budget * steps)
    if evaluations < MINIMUM:
        raise SettingError(
            f"budget * steps = {evaluations} gradient evaluations are too few to choose a batch size: {MINIMUM} are needed. "
            f"Raise budget to {math.ceil(100 * MINIMUM / steps) / 100:g}, or steps."
        )
    return evaluations


def _doubt(noise: NoiseScale, found: Found) -> tuple[bool, str]:
    """Whether both halves of the answer hold, and what is to be said of them."""
    if not math.isfinite(noise.value):
        return False, f"the size is the one that was there before, for the noise scale is not known; at that size {found.reason}"
    vague = noise.error > CERTAIN * noise.value
    told = f"the noise scale is known to {noise.error / noise.value:.0%}" if noise.value else "every sample has the same gradient"
    told += ", which is too little to choose by: raise the budget" if vague else ""
    return found.confident and not vague, f"{told}; at that size {found.reason}"
