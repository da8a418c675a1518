"""How noisy are the gradients?  a real descent, its batches cut into parts -> the batch size at which noise and slope weigh the same.

The gradient of a batch is the mean of the gradients of its parts, so one backward pass per part gives both the small and the large squared norm
that the estimate needs, and the step itself. Numerator and denominator are averaged over the steps, then divided: the mean of ratios is biased.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surefoot import html
from surefoot.batch.drawn import Drawn, drawn_from
from surefoot.descent.batches import samples
from surefoot.descent.live import Progress
from surefoot.descent.probe import Moment, Probe
from surefoot.descent.settings import Settings
from surefoot.descent.walk import Walk
from surefoot.errors import SettingError
from surefoot.find.choose import find_lr
from surefoot.find.progress import searching
from surefoot.problem import Problem
from surefoot.trace import Column

PARTS = 8  # of a batch: the variance of the spread falls with their number less one, and each costs the overhead of a pass
BLOCKS = 20  # of the jackknife
FEWEST = 8  # steps whose batches can be compared: fewer tell nothing about the error
ROUNDING = 1e-6  # of a float32 gradient, squared and times the batch: a smaller noise scale is none
TOLD = 2.0  # standard errors: a squared gradient nearer to zero cannot be told from none


@dataclass(frozen=True)
class NoiseScale:
    """How noisy gradients are, as a batch size: tr(S) / |G|^2.

    S is the covariance of the gradient over samples, G their mean over the data. At a batch of this size the noise of a step is as large as its
    slope; smaller batches lose about half as many steps for every doubling, larger ones gain little.

    Attributes:
        value: tr(S) / |G|^2, in samples; infinite where no slope can be told from the noise.
        error: its standard error along this descent (jackknife); NaN where ``value`` is infinite.
        low: the smallest value that is within two standard errors of the measured slope.
        gradient_squared: |G|^2, the mean over the steps, without the part that is noise; may come out negative where there is hardly a slope.
        trace: tr(S), the mean over the steps.
        batch_size: samples per step at which it was measured.
        steps: whose batches were compared.
        gradients: gradient evaluations of whole batches, those that found the rate included.
        lr: the learning rate of the descent.
        data: samples that batches are drawn from without putting back, or None where that is not known.
        reason: what was measured, or why nothing can be told, in plain words.

    Example:
        >>> scale = NoiseScale(200.0, 10.0, 181.0, 0.5, 100.0, 64, 100, 100, 0.1, None, "measured over 100 steps")
        >>> print(scale)
        noise scale 200 +- 10 samples: measured over 100 steps
        >>> scale.steps_at(100), scale.steps_at(200)  # times the fewest steps
        (3.0, 2.0)
    """

    value: float
    error: float
    low: float
    gradient_squared: float
    trace: float
    batch_size: int
    steps: int
    gradients: int
    lr: float
    data: int | None
    reason: str

    @property
    def useful(self) -> float:
        """The batch size at which a step makes half of the progress that one over all of the data makes: the noise scale, less where data is short.

        Batches that are a good part of the data are less noisy than the noise scale says: with n samples it is 1 / (1 / value + 1 / n).
        """
        inverse = (1 / self.value if self.value else math.inf) + (1 / self.data if self.data else 0.0)
        return 1 / inverse if inverse else math.inf

    def steps_at(self, batch_size: float) -> float:
        """How many times the fewest steps a descent takes at this batch size: 1 + value (1 / batch size - 1 / samples). NaN where it is not known."""
        if not math.isfinite(self.value):
            return math.nan
        without = 1 / batch_size - (1 / self.data if self.data else 0.0)
        return 1 + self.value * without if without > 0 else 1.0

    def __str__(self) -> str:
        if not math.isfinite(self.value):
            return f"noise scale not known{f', at least {self.low:.3g} samples' * (self.low > 0)}: {self.reason}"
        return f"noise scale {self.value:.3g} +- {self.error:.2g} samples: {self.reason}"

    def _repr_html_(self) -> str:
        rows = [
            ("noise scale", self.value), ("standard error", self.error), ("at least", self.low), ("slope, |G|^2", self.gradient_squared),
            ("spread over samples, tr(S)", self.trace), ("measured at batch size", self.batch_size), ("steps", self.steps),
            ("learning rate", self.lr), ("gradient evaluations", self.gradients),
        ]  # fmt: skip
        return html.table("gradient noise scale", rows, [self.reason])


def noise_scale(
    problem: Problem,
    *,
    lr: float | None = None,
    optimizer: Any = "adamw",
    steps: int = 100,
    schedule: Any = "constant",
    batch_size: int | str | None = None,
    parts: int = PARTS,
    seed: int = 0,
    device: Any = "auto",
    clip_norm: float | None = None,
    autocast: str | None = None,
    progress: Progress = None,
) -> NoiseScale:
    """The gradient noise scale over the first steps of a real descent.

    With the squared norms of a batch's gradient (B samples) and of those of its parts (b samples each, their mean):
    ``tr(S) = (small - big) / (1/b - 1/B)`` and ``|G|^2 = big - tr(S) (1/B - 1/n)``, n the samples that batches are drawn from without putting
    back: a batch of all of them has no noise. Where n is not known or not finite, 1/n is left out.

    Args:
        problem: what is descended.
        lr: the learning rate of the descent; None: what `find_lr` says, at the cost of ten times ``steps``.
        optimizer: as for `descend`; it moves the weights, the gradients are measured as they are before it.
        steps: of the descent, 8 or more.
        schedule: as for `descend`.
        batch_size: samples per step, at least 2, or ``"full"``; None: the problem's own. Ready batches stay as they are, and ``parts`` of them
            make a step.
        parts: into how many equal parts a batch is cut, at least 2. Models with batch normalisation see each part as a batch.
        seed: as for `descend`.
        device: as for `descend`.
        clip_norm: as for `descend`; gradients are measured unclipped.
        autocast: as for `descend`.
        progress: as for `find_lr`.

    Returns:
        `NoiseScale`; the error covers this descent, not what another one would have met. Where the descent diverges at once its value is infinite.

    Raises:
        SettingError: there is no data, or a batch cannot be cut, or fewer than 8 steps have whole batches.
        ProblemError: as `descend`.

    Example:
        >>> from surefoot import problems
        >>> scale = noise_scale(problems.load("line"), lr=0.01, optimizer="sgd", steps=40)
        >>> scale.batch_size, scale.steps
        (100, 40)

    Source:
        McCandlish et al. 2018, An Empirical Model of Large-Batch Training, appendix A.1; samples without putting back: Cochran 1977, chapter 2.
    """
    _count("steps", steps, FEWEST)
    _count("parts", parts, 2)
    drawn = drawn_from(problem, batch_size, parts)
    common = {"optimizer": optimizer, "schedule": schedule, "seed": seed, "device": device, "clip_norm": clip_norm, "autocast": autocast,
              "accumulate": drawn.parts}  # fmt: skip
    spent = 0
    if lr is None:
        found = find_lr(drawn.problem, steps=10 * steps, progress=progress, **common)
        lr, spent = found.lr, found.gradients
    with searching(steps, progress, "measuring the noise") as seen:
        measured = _measured(drawn, Settings(lr=lr, steps=steps, **common), lambda: seen("noise scale", 1))
    return _told(measured, drawn, lr, spent)


@dataclass
class _Measured:
    """What each step whose batch had all of its parts says of the two sums, and how many steps were made."""

    squared: list[float]
    spread: list[float]
    walked: int = 0
    samples: int = 0
    diverged: bool = False


class _Tally:
    """The squared norms of the gradients that reach the parameters, one backward pass after the other."""

    def __init__(self) -> None:
        self.squares: Any = 0.0
        self.sizes: list[int] = []

    def add(self, gradient: Tensor) -> None:
        values = gradient.detach().coalesce().values() if gradient.is_sparse else gradient.detach()
        # the sum of two passes is subtracted from another: float32 would do on a GPU, where double is slow
        self.squares = self.squares + values.to(torch.float64 if values.device.type == "cpu" else torch.float32).square().sum()

    def measure(self, moment: Moment) -> float:
        self.sizes = [samples(batch) for batch in moment.batches]
        return float(self.squares)


def _measured(drawn: Drawn, settings: Settings, seen: Callable[[], None]) -> _Measured:
    tally, measured = _Tally(), _Measured([], [])
    walk = Walk(drawn.problem.with_(validation=None), settings, None, (), [Probe("parts", tally.measure)])
    hooks = [p.register_hook(tally.add) for p in walk.parameters]  # type: ignore[no-untyped-call]
    try:
        with walk.world.entered():
            while walk.ended is None:
                tally.squares = 0.0  # an optimizer that evaluates the loss itself has gone on adding
                scale = walk.scaler.get_scale() if walk.scaler is not None else 1.0
                row = walk.advance()
                seen()
                measured.walked += 1
                if len(tally.sizes) == drawn.parts and math.isfinite(row.loss) and math.isfinite(row.grad_norm):
                    # the loss of each part was divided by their number, and with float16 scaled up
                    _add(measured, row.grad_norm**2, row.probes["parts"] * drawn.parts / scale**2, tally.sizes, drawn.count)
    finally:
        for hook in hooks:
            hook.remove()
    measured.diverged = walk.ended == "diverged"
    return measured


def _add(measured: _Measured, big: float, small: float, sizes: list[int], count: int | None) -> None:
    """One step's estimates, unbiased also where the last part is short: the batch's gradient is the plain mean of its parts'."""
    each, whole = sum(1 / size for size in sizes) / len(sizes), 1 / len(sizes)
    spread = (small - big) / (each * (1 - whole))
    measured.spread.append(spread)
    measured.squared.append(big - spread * (each * whole - (1 / count if count else 0.0)))
    measured.samples = max(measured.samples, sum(sizes))


def _told(measured: _Measured, drawn: Drawn, lr: float, spent: int) -> NoiseScale:
    steps, gradients = len(measured.squared), measured.walked + spent
    if steps < FEWEST and measured.diverged:
        reason = f"the descent at learning rate {lr:.3g} diverged after {measured.walked} steps; a smaller rate lets it be measured"
        return NoiseScale(math.inf, math.nan, 0.0, math.nan, math.nan, measured.samples, steps, gradients, lr, drawn.count, reason)
    if steps < FEWEST:
        raise SettingError(
            f"Only {steps} of {measured.walked} steps had a batch of {drawn.parts} parts, {FEWEST} are needed: most batches are short. "
            "Give more steps, fewer parts, or a smaller batch_size."
        )
    squared, spread = np.array(measured.squared), np.array(measured.spread)
    slope, noise = float(squared.mean()), max(0.0, float(spread.mean()))
    unsure = _deviation(_without_each(squared))
    low = noise / (max(slope, 0.0) + TOLD * unsure) if noise else 0.0
    ended = ", when it diverged" if measured.diverged else ""
    first = f"measured over the first {measured.walked} steps{ended}, at batch size {measured.samples} and learning rate {lr:.3g}"
    if noise <= ROUNDING * measured.samples * slope:
        value, error, reason = 0.0, 0.0, f"every sample has the same gradient; {first}"
    elif slope <= max(TOLD * unsure, ROUNDING**2 * noise):
        value, error, reason = math.inf, math.nan, _no_slope(first)
    else:
        value, error, reason = noise / slope, _deviation(_without_each(spread) / _without_each(squared)), first
    return NoiseScale(value, error, low, slope, noise, measured.samples, steps, gradients, lr, drawn.count, reason)


def _no_slope(first: str) -> str:
    return (
        f"{first}, where no slope can be told from the noise. The loss is near its lowest there, or the batches are too small to show it: "
        "measure with a larger batch_size, or over more steps"
    )


def _without_each(values: Column) -> Column:
    """The mean without each of the blocks. A block is every 20th step, so that what changes along the descent is not taken for chance."""
    blocks = min(BLOCKS, len(values))
    block = np.arange(len(values)) % blocks
    sums, counts = np.bincount(block, values), np.bincount(block)
    return np.asarray((values.sum() - sums) / (len(values) - counts))


def _deviation(without: Column) -> float:
    """The jackknife's standard error."""
    blocks = len(without)
    return math.sqrt((blocks - 1) / blocks * float(np.square(without - without.mean()).sum()))


def _count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise SettingError(f"{name} must be an int, {least} or more, got {value!r}.")
