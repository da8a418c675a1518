"""The learning-rate range test.  Problem -> one short descent under a rising rate (Smith 2015) -> Trace."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from surefoot.descent.live import Progress
from surefoot.descent.loop import descend
from surefoot.descent.stop import blow_up
from surefoot.errors import SettingError
from surefoot.problem import Problem
from surefoot.run import Run
from surefoot.trace import Trace

MINIMUM_STEPS = 10  # fewer points carry no curve (the published rules drop the first ten per cent and the last one to five)


def range_test(
    problem: Problem,
    *,
    optimizer: Any = "sgd",
    low: float = 1e-8,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int | str | None = None,
    seed: int | None = 0,
    start: Run | None = None,
    stop_factor: float | None = 4.0,
    clip_norm: float | None = None,
    accumulate: int | None = None,
    autocast: str | None = None,
    device: Any = "auto",
    progress: Progress = None,
) -> Trace:
    """Descends while the rate rises from ``low`` to ``high`` by the same factor at every step.

    ``lr_i = low * (high / low) ** (i / (steps - 1))``. The loss of row i was measured before the step at ``lr_i`` was made. Nothing of
    the problem is changed; `suggest` reads a rate from the trace.

    Args:
        problem: what to descend.
        optimizer: as for `descend`; groups keep their ratios.
        low: the first rate, above 0.
        high: the last rate, above ``low``.
        steps: how many rates are passed through, at least 10.
        batch_size: as for `descend`.
        seed: as for `descend`.
        start: a run to start from instead of the model as it is.
        stop_factor: the test ends early when the smoothed loss has risen by this many times what had been gained; None: never.
        clip_norm: as for `descend`.
        accumulate: as for `descend`.
        autocast: as for `descend`.
        device: as for `descend`.
        progress: as for `descend`.

    Returns:
        A trace with rising ``lr``. It ends at the blow-up, which may be a loss that is not finite.

    Raises:
        SettingError: ``low`` is not below ``high``, or there are too few steps.
        ProblemError: as `descend`.

    Example:
        >>> from surefoot import problems
        >>> trace = range_test(problems.load("line"), low=1e-3, high=10.0, steps=50)
        >>> bool(trace["lr"][0] == 1e-3), trace[-1].lr > 0.79  # it blows up somewhere above the stability limit
        (True, True)
    """
    check_rates(low, high)
    if steps < MINIMUM_STEPS:
        raise SettingError(f"A range test needs at least {MINIMUM_STEPS} steps to have a curve, got {steps}.")
    rule = [] if stop_factor is None else [blow_up(stop_factor)]
    run = descend(
        problem.with_(validation=None), lr=low, schedule=_rising(high / low), optimizer=optimizer, steps=steps, batch_size=batch_size,
        seed=seed, start=start, stop=rule, clip_norm=clip_norm, accumulate=accumulate, autocast=autocast, device=device, progress=progress,
    )  # fmt: skip
    if run.ended == "interrupted":
        raise KeyboardInterrupt  # half a curve is no answer
    return run.trace if start is None else run.trace[len(start.trace) :]


def _rising(ratio: float) -> Callable[[int, int], float]:
    return lambda step, steps: ratio ** (step / (steps - 1))


def check_rates(low: float, high: float) -> None:
    """Raises where these do not bound a range of rates."""
    for name, value in (("low", low), ("high", high)):
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise SettingError(f"{name} must be a positive number, got {value!r}.")
    if low >= high:
        raise SettingError(f"low must be below high, got low={low:g} and high={high:g}.")
