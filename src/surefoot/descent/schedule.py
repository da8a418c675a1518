"""How does the learning rate change on the way?  step, steps -> multiplier of the learning rate.

A schedule is a plain function ``(step, steps) -> multiplier`` with ``step`` counted from 0 and ``steps`` the horizon. The one
that must see what happens, `on_plateau`, is a value with ``start`` and ``after`` beside it. To add a schedule: write the
function (or a function that returns it), and add a row to ``SCHEDULES``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from surefoot.errors import SettingError, unknown
from surefoot.trace import Row

Schedule: TypeAlias = Callable[[int, int], float]

WARMUP = 0.05  # share of the horizon; the project's contract for "warmup-*"


def constant(step: int, steps: int) -> float:
    """1 at every step."""
    return 1.0


def linear(step: int, steps: int) -> float:
    """``1 - step / steps``: straight down to zero.

    >>> linear(25, 100)
    0.75
    """
    return 1 - step / steps


def cosine(step: int, steps: int) -> float:
    """``0.5 * (1 + cos(pi * step / steps))`` (Loshchilov and Hutter 2017, one cycle without restart).

    >>> cosine(0, 100), cosine(50, 100)
    (1.0, 0.5)
    """
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def step_decay(at: Iterable[float] = (0.5, 0.75), factor: float = 0.1) -> Schedule:
    """Multiplied by ``factor`` at each of these shares of the horizon (default: He et al. 2016, at 1/2 and 3/4).

    >>> [step_decay()(step, 100) for step in (49, 50)]
    [1.0, 0.1]
    """
    shares = tuple(at)

    def schedule(step: int, steps: int) -> float:
        return factor ** sum(step >= share * steps for share in shares)

    return schedule


def exponential(end: float = 0.01) -> Schedule:
    """``end ** (step / steps)``: the same factor at every step, down to ``end`` at the horizon.

    >>> exponential(end=0.01)(50, 100)
    0.1
    """
    return lambda step, steps: end ** (step / steps)


def inverse_time(decay: float = 9.0) -> Schedule:
    """``1 / (1 + decay * step / steps)`` (the classical 1/t rule of Robbins and Monro 1951); a tenth at the horizon by default.

    >>> inverse_time(decay=9)(100, 100)
    0.1
    """
    return lambda step, steps: 1 / (1 + decay * step / steps)


def warmup(then: Schedule | OnPlateau = constant, share: float = WARMUP) -> Schedule | OnPlateau:
    """A linear warm-up over ``share`` of the horizon, then another schedule over what is left.

    The first step already moves, ``multiplier = (step + 1) / warm``, and the last one of the warm-up is at the full rate.

    >>> schedule = warmup(cosine)
    >>> [schedule(step, 100) for step in (0, 4, 5)]
    [0.2, 1.0, 1.0]
    """
    if isinstance(then, OnPlateau):
        return OnPlateau(then.factor, then.patience, then.threshold, then.cooldown, then.floor, warmup_share=share)

    def schedule(step: int, steps: int) -> float:
        warm = _warm(steps, share)
        return (step + 1) / warm if step < warm else then(step - warm, steps - warm)

    return schedule


def warmup_stable_decay(warm_share: float = WARMUP, decay_share: float = 0.2) -> Schedule:
    """Linear warm-up, a flat stretch, then straight down to zero over the last ``decay_share`` (Haegele et al. 2024: 20 %).

    >>> schedule = warmup_stable_decay()
    >>> [round(schedule(step, 100), 6) for step in (0, 50, 90)]
    [0.2, 1.0, 0.5]
    """

    def flat_then_down(step: int, steps: int) -> float:
        decay = max(1, round(decay_share * steps / (1 - warm_share)))
        return min(1.0, (steps - step) / decay)

    schedule = warmup(flat_then_down, warm_share)
    assert not isinstance(schedule, OnPlateau)
    return schedule


def one_cycle(rise: float = 0.3, start_divisor: float = 25.0, end_divisor: float = 1e4) -> Schedule:
    """Up along a cosine from ``1 / start_divisor`` to 1 over ``rise`` of the horizon, then down to ``1 / (start_divisor * end_divisor)``.

    Smith and Topin 2018, with the cosine arms and the defaults of ``torch.optim.lr_scheduler.OneCycleLR``.

    >>> schedule = one_cycle()
    >>> round(schedule(0, 100), 6), round(schedule(29, 100), 6)
    (0.04, 1.0)
    """
    low, end = 1 / start_divisor, 1 / (start_divisor * end_divisor)

    def schedule(step: int, steps: int) -> float:
        peak = rise * steps - 1
        if step <= peak:
            return _anneal(low, 1.0, step / peak)
        last = steps - 1
        return _anneal(1.0, end, (step - peak) / (last - peak) if last > peak else 1.0)

    return schedule


def triangular(cycles: int = 2, low: float = 0.1) -> Schedule:
    """``cycles`` straight ramps from ``low`` up to 1 and down again (Smith 2017, "triangular").

    >>> [round(triangular()(step, 100), 6) for step in (0, 25, 50, 75)]
    [0.1, 1.0, 0.1, 1.0]
    """

    def schedule(step: int, steps: int) -> float:
        phase = (step * cycles / steps) % 1
        return low + (1 - low) * (1 - abs(2 * phase - 1))

    return schedule


class PlateauState(NamedTuple):
    """What `OnPlateau` remembers between rows."""

    multiplier: float = 1.0
    best: float = math.inf
    bad: int = 0
    cooling: int = 0


@dataclass(frozen=True)
class OnPlateau:
    """Multiplied by ``factor`` when the loss has not improved for more than ``patience`` measurements.

    It looks at the validation loss where there is any, else at the loss of every step. As ``torch``'s ``ReduceLROnPlateau`` with the same
    defaults, but for the threshold, which is relative to the size of the best loss and so works on negative losses too.

    Attributes:
        factor: what the multiplier is multiplied by, between 0 and 1.
        patience: measurements without improvement that are put up with.
        threshold: share of the best loss by which a new one must be lower to count.
        cooldown: measurements after a cut during which nothing is counted.
        floor: the smallest multiplier.
        warmup_share: share of the horizon with a linear warm-up in front.

    Example:
        >>> plateau = OnPlateau(patience=1)
        >>> state = plateau.start()
        >>> for loss in (1.0, 1.0, 1.0):
        ...     state = plateau.measured(state, loss)
        >>> state.multiplier
        0.1
    """

    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    cooldown: int = 0
    floor: float = 0.0
    warmup_share: float = 0.0

    def start(self) -> PlateauState:
        """The state before the first row."""
        return PlateauState()

    def multiplier(self, state: PlateauState, step: int, steps: int) -> float:
        """The multiplier at this step."""
        warm = _warm(steps, self.warmup_share) if self.warmup_share else 0
        return min(1.0, (step + 1) / warm) * state.multiplier if step < warm else state.multiplier

    def after(self, state: PlateauState, row: Row, validated: bool) -> PlateauState:
        """The state after this row; ``validated`` says whether the problem has validation data to wait for."""
        loss = row.validation_loss if validated else row.loss
        return self.measured(state, loss) if not math.isnan(loss) else state

    def measured(self, state: PlateauState, loss: float) -> PlateauState:
        """The state after one more measured loss."""
        better = math.isinf(state.best) or loss < state.best - self.threshold * abs(state.best)
        best, bad = (loss, 0) if better else (state.best, state.bad + 1)
        cooling = max(0, state.cooling - 1)
        if state.cooling > 0:
            bad = 0
        if bad <= self.patience:
            return PlateauState(state.multiplier, best, bad, cooling)
        return PlateauState(max(self.floor, state.multiplier * self.factor), best, 0, self.cooldown)


SCHEDULES: dict[str, Schedule | OnPlateau] = {
    "constant": constant,
    "cosine": cosine,
    "exponential": exponential(),
    "inverse-time": inverse_time(),
    "linear": linear,
    "one-cycle": one_cycle(),
    "plateau": OnPlateau(),
    "step": step_decay(),
    "triangular": triangular(),
    "warmup-stable-decay": warmup_stable_decay(),
}


def names() -> list[str]:
    """The names of the schedules; each but the warm-up ones also with ``warmup-`` before it."""
    return sorted([*SCHEDULES, *(f"warmup-{name}" for name in SCHEDULES if not name.startswith("warmup"))])


def named(schedule: Any) -> Schedule | OnPlateau:
    """The schedule of this name, or the given function itself.

    Raises:
        SettingError: there is no schedule of this name, or it is neither a name nor callable.

    Example:
        >>> named("warmup-cosine")(99, 100) < 0.01
        True
    """
    if isinstance(schedule, str):
        name = schedule.replace("_", "-").lower()
        if name in SCHEDULES:
            return SCHEDULES[name]
        if name.startswith("warmup-") and name.removeprefix("warmup-") in SCHEDULES:
            return warmup(SCHEDULES[name.removeprefix("warmup-")])
        raise unknown("schedule", schedule, names())
    if not callable(schedule) and not isinstance(schedule, OnPlateau):
        raise SettingError(f"schedule must be a name or a function (step, steps) -> multiplier, got {schedule!r}.")
    return schedule  # type: ignore[no-any-return]


def _warm(steps: int, share: float) -> int:
    return max(1, round(share * steps))


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
