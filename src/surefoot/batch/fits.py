"""How many samples of a training step does the memory hold?  Problem + settings + bytes -> Fits, in at most 30 steps.

Every size is tried as a descent would train with it: forward, backward, an update with the optimizer's state already there, the validation pass.
On a CPU a try is a forked process under the operating system's own limit, so whoever asks can neither die nor swell; nothing of it is left behind.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from surefoot import html
from surefoot.batch.fits_data import lonely, samples_of
from surefoot.batch.fits_search import Try
from surefoot.batch.fits_tried import Tried, Tries, settings_for_tries, tries_of
from surefoot.batch.memory_free import free
from surefoot.batch.memory_words import in_words
from surefoot.descent.live import Progress
from surefoot.descent.path import bytes_set_aside
from surefoot.descent.settings import DEFAULT_STEPS
from surefoot.errors import SettingError, SurefootError
from surefoot.find.progress import searching
from surefoot.problem import Problem

BUDGET = 30  # training steps
MORE = 4  # times the memory: how far it is looked for what one sample needs, where it does not fit


@dataclass(frozen=True)
class Fits:
    """The largest batch that memory holds.

    Attributes:
        batch_size: samples per batch, the largest that was tried and held, with the headroom left.
        limit: bytes that the training may take: those given, or what is free on the device.
        bound: ``"memory"``: larger ones do not fit. ``"data"``: all samples at once fit. ``"most"``: more were not asked for.
        tries: every size tried, in order.
        steps: training steps that the search cost, at most 30.
    """

    batch_size: int
    limit: int
    bound: str
    tries: tuple[Try, ...]
    steps: int

    @property
    def peak(self) -> float:
        """Bytes that training takes at most with this size."""
        return next(t.peak for t in self.tries if t.batch_size == self.batch_size)

    def __str__(self) -> str:
        why = {"memory": "larger batches do not", "data": "all samples at once", "most": "more were not asked for"}[self.bound]
        return f"{self.batch_size} samples fit into {in_words(self.limit)}: {why} ({in_words(self.peak)} taken, {self.steps} steps tried)"

    def _repr_html_(self) -> str:
        rows = [("samples that fit", self.batch_size), ("bound by", self.bound), ("memory", in_words(self.limit))]
        return html.table("what fits", [*rows, ("taken at most", in_words(self.peak)), ("steps tried", self.steps)])


def largest_batch(
    problem: Problem,
    *,
    optimizer: Any = "adamw",
    memory: int | None = None,
    headroom: float = 0.05,
    clip_norm: float | None = None,
    accumulate: int | None = None,
    autocast: str | None = None,
    device: Any = "auto",
    seed: int = 0,
    most: int | None = None,
    progress: Progress = None,
) -> Fits:
    """The largest batch with which a training fits into the memory, found by real steps; the problem's own batch size plays no part.

    Args:
        problem: a model and data whose batches can be of any size: a pair, a dataset, a stock DataLoader (which is made anew, with its own
            sampler and collation).
        optimizer: as for `descend`; its state takes memory.
        memory: bytes that the training may take beyond what this process holds already. None: what the machine (or the process's control
            group) has available; on a GPU what is free.
        headroom: from 0 up to 1, the share of samples more that would still fit: 0.05 leaves room for one in twenty.
        clip_norm: as for `descend`.
        accumulate: as for `descend`; its batches wait in memory for their step.
        autocast: as for `descend`.
        device: as for `descend`.
        seed: what the order of the data is drawn from.
        most: a batch size above which nothing is looked for.
        progress: draw a progress bar; None: on a terminal. Or a function, called before each try with what is tried, the steps spent
            and the steps there are.

    Returns:
        The size, to 3 % or one sample. On a CPU memory is what the process maps privately, which is never less than what it touches. With batch
        normalisation, sizes that leave a single sample for the end of an epoch are passed over.

    Raises:
        SettingError: a setting makes no sense, the batches are ready-made, or not even one sample fits: the message says what it needs.
        ProblemError: as `descend`.
        Exception: whatever the problem's own code raises.

    Example:
        >>> import torch
        >>> from surefoot import Problem
        >>> x = torch.zeros(40, 3)
        >>> line = Problem(torch.nn.Linear(3, 1), (x, x[:, :1]), loss=torch.nn.functional.mse_loss)
        >>> found = largest_batch(line, memory=2**28)
        >>> found.batch_size, found.bound, found.steps <= 30
        (40, 'data', True)
    """
    _check(problem, memory, headroom, most)
    count = samples_of(problem)
    settings = settings_for_tries(optimizer, clip_norm, accumulate, autocast, device, seed)
    where = settings.chosen_device(problem.model)
    limit = memory if memory is not None else free(where)
    if limit is None:
        raise SettingError(f"How much memory is free on {str(where)!r} cannot be told here; give memory=, in bytes.")
    tries = tries_of(problem, settings, int(limit), float(headroom), most, count, where)
    with searching(BUDGET, progress, "what fits") as told:
        return _Hunt(tries, told).fits()


class _Hunt:
    """Sizes tried one after the other."""

    def __init__(self, tries: Tries, told: Callable[[str, int], None]) -> None:
        self.way, self.search, self.told = tries, tries.search, told
        self.all = tries.count
        self.tried: list[Try] = []
        self.spent = 0
        self.pairs = lonely(tries.problem.model)
        self.why = ""  # the latest try that failed did

    def fits(self) -> Fits:
        while (size := self._next()) is not None and self.spent + self.way.steps(size) <= BUDGET:
            if self.search.settled(self.tried, BUDGET - self.spent):
                break
            self.told(f"{size} samples", self.tried[-1].steps if self.tried else 0)
            self._try(size)
        tried = self.search.judged(self.tried)
        found = max((t.batch_size for t in tried if t.fits), default=0)
        if not found:
            self._refuse()
        bound = "data" if found == self.all else "most" if found == self.search.most else "memory"
        return Fits(found, self.way.memory, bound, tuple(tried), self.spent)

    def _next(self) -> int | None:
        size = self.search.next_size(self.tried)
        if size is None or size == 1 or not (self.pairs and self.all and self.all % size == 1):
            return size
        fewer = size - 1  # the rest of the samples would be a single one, which batch normalisation cannot train on
        return None if fewer in [t.batch_size for t in self.tried] else fewer

    def _try(self, size: int) -> None:
        most = min(self.search.long, BUDGET - self.spent)
        again = size in [t.batch_size for t in self.tried]  # few steps did not tell
        try:
            tried = self.way.tried(size, most, 0.0 if again else self.search.close(self.tried))
        except Exception as error:
            if self.tried:
                error.add_note(f"It came with batches of {size}; {self._so_far()}.")
            raise
        self.spent += tried.steps
        self.tried.append(self._noted(size, tried))

    def _noted(self, size: int, tried: Tried) -> Try:
        taken = tried.taken
        if taken is None:
            self.why = tried.why
            return Try(size, False, math.nan, math.nan, tried.steps, tried.early, tried.block)
        if taken.samples < size:  # the stream is at its end
            size = self.all = taken.samples
            self.search = replace(self.search, most=size)
        return Try(size, True, tried.peak, taken.seconds, tried.steps, tried.early, tried.block)

    def _so_far(self) -> str:
        return ", ".join(f"{t.batch_size} {'did' if t.fits else 'did not'} fit" for t in self.tried)

    def _refuse(self) -> None:
        """Not even the smallest size fits."""
        size, limit = min(t.batch_size for t in self.tried), self.way.memory
        device = self.way.settings.chosen_device(self.way.problem.model)
        there = free(device) or 0
        wider = min(MORE * limit, there)
        needs = f"more than {in_words(limit)}"
        if wider > limit:
            outcome = replace(self.way, memory=wider).tried(size, 1)
            if outcome.signal:
                raise SurefootError(
                    f"A training step on {size} sample{'s' * (size > 1)} ended its process (signal {outcome.signal})."
                )
            one = Try(size, True, outcome.peak, math.nan, outcome.steps, outcome.early, outcome.block)
            # by the measure that it failed: what many steps need, which is more than what the first ones take
            needs = in_words(self.search.needs([one], one)) if outcome.taken else f"more than {in_words(wider)}"
        path = bytes_set_aside([p for p in self.way.problem.model.parameters() if p.requires_grad], DEFAULT_STEPS)
        if device.type == "cpu" and path > limit / 10:  # it is kept there
            needs += f" ({in_words(path)} of it for the points of the path that a descent keeps)"
        held_out = ", held-out data in smaller batches (validation=a DataLoader)" if self.way.problem.validation is not None else ""
        refusal = SettingError(
            f"Not even {size} sample{'s' * (size > 1)} a step fit{'s' * (size == 1)}: training needs {needs}, and may take {in_words(limit)}. "
            f"Take a smaller model, an optimizer with less state ('sgd'), autocast='bf16'{held_out}, or give more memory."
        )
        if self.why:
            refusal.add_note(f"With {size}, a step ended so: {self.why}")
        raise refusal


def _check(problem: Any, memory: Any, headroom: Any, most: Any) -> None:
    if not isinstance(problem, Problem):
        raise SettingError(f"The first argument must be a Problem, got a {type(problem).__name__}.")
    for name, value in (("memory", memory), ("most", most)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1):
            unit = ", in bytes" if name == "memory" else ""
            raise SettingError(f"{name} must be a positive int{unit}, got {value!r}.")
    if isinstance(headroom, bool) or not isinstance(headroom, numbers.Real) or not 0 <= float(headroom) < 1:
        raise SettingError(f"headroom must be a number from 0 up to 1, got {headroom!r}.")
