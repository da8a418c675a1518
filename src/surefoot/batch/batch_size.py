"""The answer to "how many samples per step?".  what fits + noise scale + rates -> BatchSize, with its error, its cost and its doubt."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from surefoot import html
from surefoot.batch.fits import Fits
from surefoot.batch.noise_scale import NoiseScale
from surefoot.duration import duration
from surefoot.find.found import Found


@dataclass(frozen=True)
class BatchSize:
    """A batch size, the learning rate at it, how sure both are, and what they rest on.

    ``descend(problem, lr=answer.lr, batch_size=answer.batch_size, accumulate=answer.accumulate)`` trains with it.

    Attributes:
        batch_size: samples that go through the model at once: the power of two nearest to ``useful``, or what fits of it; not below the
            problem's own size as far as a step of more samples takes less than twice as long.
        accumulate: batches per update: 1, or more where ``useful`` does not fit.
        memory: what was tried to find the largest batch that fits.
        noise: the gradient noise scale, as measured.
        samples_per_second: pairs of a batch size and the speed of real steps with it.
        found: what `find_lr` found at this batch size.
        predicted_lr: the rate that a rule of thumb expects here from ``reference``; NaN where the noise scale is not known.
        rule: how that rule lets the rate grow.
        reference: what `find_lr` found at ``reference_size``, where the noise scale was measured.
        reference_size: samples per batch: the problem's own size, or what fits of it.
        confident: whether both the noise scale and the rate could be told.
        reason: why, or why not, in plain words.
        gradients: gradient evaluations spent, each of one batch.
        seconds: wall time spent.

    Example:
        >>> noise = NoiseScale(200.0, 10.0, 181.0, 0.5, 100.0, 64, 100, 100, 0.1, None, "measured over 100 steps")
        >>> found = Found(0.03, 0.01, 0.1, 0.5, True, "verified", (), 400, 1.5, 1000)
        >>> memory = Fits(4096, 2**30, "data", (), 12)
        >>> answer = BatchSize(256, 1, memory, noise, ((64, 8e3), (256, 2e4)), found, 0.05, "...", found, 64, True, "measured", 950, 4.0)
        >>> answer.useful, answer.noise_scale, answer.fits, answer.lr, answer.fastest
        (200.0, 200.0, 4096, 0.03, 256)
        >>> [(size, round(times, 2)) for size, times in answer.steps_to_target]  # times the fewest
        [(64, 4.12), (256, 1.78)]
    """

    batch_size: int
    accumulate: int
    memory: Fits
    noise: NoiseScale
    samples_per_second: tuple[tuple[int, float], ...]
    found: Found
    predicted_lr: float
    rule: str
    reference: Found
    reference_size: int
    confident: bool
    reason: str
    gradients: int
    seconds: float

    @property
    def fits(self) -> int:
        """The largest batch that memory holds, in samples."""
        return self.memory.batch_size

    @property
    def useful(self) -> float:
        """The batch at which a step makes half of the best progress, in samples; see `NoiseScale.useful`. Infinite where that cannot be told."""
        return self.noise.useful if math.isfinite(self.noise.value) else math.inf

    @property
    def noise_scale(self) -> float:
        """tr(S) / |G|^2, in samples."""
        return self.noise.value

    @property
    def error(self) -> float:
        """The standard error of the noise scale, in samples."""
        return self.noise.error

    @property
    def lr(self) -> float:
        """The learning rate to train with at this batch size."""
        return self.found.lr

    @property
    def samples(self) -> int:
        """Samples per update."""
        return self.batch_size * self.accumulate

    @property
    def steps_to_target(self) -> tuple[tuple[int, float], ...]:
        """For each batch size timed how many times the fewest steps are expected: 1 + noise scale (1 / batch size - 1 / samples in the data)."""
        return tuple((size, self.noise.steps_at(size)) for size, _ in self.samples_per_second)

    @property
    def time_to_target(self) -> tuple[tuple[int, float], ...]:
        """For each batch size timed how many times the least wall time is expected here: steps expected x seconds per step measured."""
        times = [(size, self.noise.steps_at(size) * size / speed) for size, speed in self.samples_per_second]
        least = min(time for _, time in times)
        return tuple((size, time / least if math.isfinite(least) else math.nan) for size, time in times)

    @property
    def fastest(self) -> int | None:
        """The batch size timed that gets to a target in the least wall time on this machine; None where that cannot be told."""
        return next((size for size, times in self.time_to_target if times == 1.0), None)

    def __str__(self) -> str:
        update = f" x {self.accumulate} accumulated = {self.samples:,} samples per update" if self.accumulate > 1 else ""
        held = {"data": "all of the data", "most": "and more: no larger one was tried"}.get(self.memory.bound, "no more")
        useful = (
            f"useful at first, up to about {_plain(self.useful)}"
            if math.isfinite(self.useful)
            else "how much is useful cannot be told"
        )
        return "\n".join([
            f"batch size {self.batch_size:,}{update} ({useful}{self._larger()}; memory holds {self.fits:,}, {held})",
            f"learning rate {self.lr:.3g} at it for {self.found.steps:,} steps ({self._as_good()}){self._by_rule()}",
            str(self.noise),
            *self._lines(),
            f"{'confident' if self.confident else 'not confident'}: {self.reason}",
            f"cost: {self.gradients:,} gradient evaluations, {duration(self.seconds)}",
        ])  # fmt: skip

    def _as_good(self) -> str:
        return f"as good: {self.found.low:.2g} to {self.found.high:.2g}"

    def _larger(self) -> str:
        """Why the size is above what is useful; rounding to a power of two is no reason to be told."""
        return f", but a step of {self.samples:,} takes hardly longer" if self.samples > 2 * max(self.useful, 0.5) else ""

    def _by_rule(self) -> str:
        if not math.isfinite(self.predicted_lr) or self.samples == self.reference_size:
            return ""
        return f"; a rule of thumb says {self.predicted_lr:.2g}, from {self.reference.lr:.2g} at {self.reference_size:,}"

    def _lines(self) -> Iterator[str]:
        yield "  batch size   samples/s   steps to a target   time to a target here"
        for size, speed, steps, time in _by_size(self):
            yield f"  {size:>10,}   {speed:>9,.0f}   {_times(steps):>17}   {_times(time):>21}".rstrip()

    def _repr_html_(self) -> str:
        columns = ("batch size", "samples per second", "steps, times the fewest", "time, times the least")
        sizes = html.grid(columns, list(_by_size(self)), "by batch size: speed measured, steps predicted")
        return html.table(f"batch size {html.number(self.batch_size)}", _rows(self)) + sizes


def _by_size(answer: BatchSize) -> Iterator[tuple[int, float, float, float]]:
    columns = zip(answer.samples_per_second, answer.steps_to_target, answer.time_to_target, strict=True)
    return ((size, speed, steps, time) for (size, speed), (_, steps), (_, time) in columns)


def _plain(size: float) -> str:
    return f"{size:,.0f}" if size >= 10 else f"{size:.2g}"


def _times(factor: float) -> str:
    return f"{factor:.3g} x" if math.isfinite(factor) else "not known"


def _rows(answer: BatchSize) -> Iterator[tuple[str, Any]]:
    """What a notebook shows above the batch sizes."""
    if answer.accumulate > 1:
        yield "accumulate", f"{answer.accumulate} batches per update: {answer.samples:,} samples"
    yield "useful at first, up to about", answer.useful
    yield "memory holds", f"{answer.fits:,} (bound by the {'data' if answer.memory.bound == 'data' else 'memory'})"
    yield "learning rate at it", answer.lr
    yield "as good", f"{html.number(answer.found.low)} to {html.number(answer.found.high)}"
    yield "a rule of thumb says", f"{html.number(answer.predicted_lr)}, {answer.rule}"
    yield "noise scale", f"{html.number(answer.noise_scale)} +- {html.number(answer.error)}"
    yield "confident" if answer.confident else "not confident", answer.reason
    yield "cost", f"{answer.gradients:,} gradient evaluations, {duration(answer.seconds)}"
