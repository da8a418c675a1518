"""One descent of several processes.  `Together` + Settings -> rows, the same on every rank, from the mean of their losses and gradients.

Each rank takes batches of its own data; what any of them decides, all of them do. Two meetings a step: one after the backward pass, before any
gradient is sent, and one at the end of the step.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from surefoot.descent.optimizer import described
from surefoot.descent.probe import Probe
from surefoot.descent.ranks import Together, fingerprint, ranks_of
from surefoot.descent.settings import Settings
from surefoot.descent.stop import StopRule
from surefoot.descent.validate import evaluating, summed_loss
from surefoot.descent.walk import Walk
from surefoot.problem import Problem
from surefoot.run import Ended, Run
from surefoot.trace import Row

ENDS: tuple[Ended | None, ...] = (None, "steps", "stopped", "diverged")  # the later one wins, where the ranks do not end alike
LIKE = ("lr", "steps", "epochs", "schedule", "seed", "clip_norm", "accumulate", "autocast", "validate_every")


def begun(problem: Problem, settings: Settings, start: Run | None, stop: Sequence[StopRule], probes: Sequence[Probe]) -> Walk:
    """The walk of a problem: by this process alone, or together with others."""
    if isinstance(problem, Together):
        return Abreast(problem, settings, start, stop, probes)
    return Walk(problem, settings, start, stop, probes)


class Abreast(Walk):
    """A walk whose every step is made by all ranks."""

    def __init__(
        self, problem: Together, settings: Settings, start: Run | None, stop: Sequence[StopRule], probes: Sequence[Probe]
    ) -> None:
        self.ranks, self._pressed = problem.ranks, False
        with self.ranks.leaving():
            self.ranks.alike({**fingerprint(problem.model), **_said(problem, settings, start)})
            super().__init__(problem, settings, start, stop, probes)
            if start is not None:
                self.ranks.alike({**fingerprint(self.model), "the step to go on from": self.step})
            self.config["ranks"] = self.ranks.size
            self._passed = min(passes for (passes,) in self.ranks.meet("epoch", self.feed.passes))

    def advance(self) -> Row:
        """Takes one step and returns its row, which is the same on every rank but for its seconds."""
        with self.ranks.leaving():
            return super().advance()

    def heed(self, pressed: bool) -> None:
        """Ctrl-C on one rank ends the descent on all of them, after the next step."""
        self._pressed = self._pressed or pressed

    def interrupt(self, error: KeyboardInterrupt) -> None:
        """An interruption that does not wait for the end of a step."""
        if self.ended is None:
            self.ranks.leave(error)
        super().interrupt(error)

    def _passes(self) -> float:
        return self._passed  # of the rank whose data is the longest

    def _batches_per_epoch(self) -> int:
        return int(max(most for (most,) in self.ranks.meet("epoch", super()._batches_per_epoch())))

    def _evaluate(self, taken: Sequence[Any], gradient: bool = True) -> float:
        with self._own_draws():
            return super()._evaluate(taken, gradient)

    def _reduced(self, loss: float, gradient: bool) -> float:
        losses = [each for (each,) in self.ranks.meet("gradient", loss)]
        if gradient:
            self.ranks.average(self.parameters)
        self.ranks.share_buffers(self.model)
        return sum(losses) / len(losses)

    @contextlib.contextmanager
    def _own_draws(self) -> Iterator[None]:
        """Inside, random numbers differ from rank to rank (dropout); outside they are the same on all (an optimizer that draws)."""
        shared = torch.get_rng_state(), torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        mixed = np.random.SeedSequence([int(self.settings.seed or 0) % 2**64, self.step, self.ranks.rank])
        torch.manual_seed(int(mixed.generate_state(1, np.uint64)[0]) >> 1)
        try:
            yield
        finally:
            torch.set_rng_state(shared[0])
            if shared[1] is not None:
                torch.cuda.set_rng_state(shared[1], self.device)

    def _validate(self) -> float:
        assert self.validation is not None
        with evaluating(self.model, self.optimizer):
            return mean_over_ranks(self.problem, *summed_loss(self.problem, self.model, self.validation))

    def _finish(self, row: Row) -> None:
        super()._finish(row)
        told = self.ranks.meet("end", ENDS.index(self.ended), self._pressed, self.feed.passes)
        ends, pressed, passes = zip(*told, strict=True)
        self.ended, self._passed = ENDS[int(max(ends))], min(passes)
        if self.ended is None and any(pressed):
            self.ended = "interrupted"


def mean_over_ranks(problem: Problem, total: float, weight: float) -> float:
    """The mean where this process has the sum ``total`` over so many samples; over those of all ranks, where the problem has several."""
    ranks = ranks_of(problem)
    if ranks is not None:
        sums = ranks.meet("validation", total, weight)
        total, weight = (math.fsum(each) if all(map(math.isfinite, each)) else sum(each) for each in zip(*sums, strict=True))
    return total / weight if weight else float("nan")


def alike_over_ranks(problem: Problem, answer: bool) -> bool:
    """Whether it is so on every rank."""
    ranks = ranks_of(problem)
    return answer if ranks is None else all(each for (each,) in ranks.meet("epoch", answer))


def _said(problem: Problem, settings: Settings, start: Run | None) -> dict[str, Any]:
    """The settings in words; what is code is told by its name."""
    words = {name: re.sub(r" at 0x[0-9a-fA-F]+", "", str(_word(getattr(settings, name)))) for name in LIKE}
    words["optimizer"] = described(settings.optimizer)
    return {
        **words,
        "whether a run is continued": start is not None,
        "whether there is validation data": problem.validation is not None,
    }


def _word(value: Any) -> Any:
    return getattr(value, "__qualname__", value) if callable(value) else value
