"""What a range test suggests.  Trace + rule -> Suggestion, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surefoot import html
from surefoot.errors import unknown
from surefoot.find.rules import RULES
from surefoot.find.rules.pick import Curve
from surefoot.trace import Trace

FEWEST_ROWS = 10
# In standard deviations of the noise. Measured with 100 rows: of 2,000 curves of pure noise 0.1 % pass; of 500 planted curves that fall by
# five standard deviations or more none is refused, by three 1 %, by two 34 %.
SIGNIFICANT_FALL = 2.0


@dataclass(frozen=True)
class Suggestion:
    """What one rule reads from a range test.

    Attributes:
        lr: the rate, or None where the rule has no answer.
        rule: the name of the rule.
        at: the row of the trace it was read at, or None.
        reason: what was looked for, or why there is no answer.
    """

    lr: float | None
    rule: str
    at: int | None
    reason: str

    def __str__(self) -> str:
        return f"{self.rule}: {'no answer' if self.lr is None else f'{self.lr:.3g}'} ({self.reason})"

    def _repr_html_(self) -> str:
        at = [] if self.at is None else [("read at row", self.at)]
        return html.table(
            f"{self.rule}: {'no answer' if self.lr is None else html.number(self.lr)}", [*at, ("reason", self.reason)]
        )


def suggest(trace: Trace, rule: str = "steepest") -> Suggestion:
    """Reads a learning rate from a range test by one of the published rules.

    Only rows before the first loss that is not finite count. Whatever the rule, there is no answer where the loss never fell by
    more than its noise: the mean of the lowest tenth of neighbouring rows must lie more than two standard deviations of the noise (from
    second differences, so that the shape of the curve does not count) below the mean of the first tenth.

    Args:
        trace: what `range_test` returned.
        rule: a name from ``surefoot.find.rules.RULES``.

    Returns:
        The suggestion; its ``lr`` is None where the rule has no answer, and ``reason`` says why.

    Raises:
        SettingError: there is no such rule.

    Example:
        >>> from surefoot import problems, range_test
        >>> trace = range_test(problems.load("line"), low=1e-4, high=10.0)
        >>> suggest(trace, "minimum/10").lr == suggest(trace, "minimum").lr / 10
        True
    """
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    finite = trace.finite
    lr, loss = finite["lr"], finite["loss"]
    refusal = _refusal(lr, loss)
    if refusal is not None:
        return Suggestion(None, rule, None, refusal)
    pick = RULES[rule](lr, loss)
    return Suggestion(pick.lr, rule, pick.at, pick.reason)


def _refusal(lr: Curve, loss: Curve) -> str | None:
    """Why no rule may answer, or None."""
    if len(lr) < FEWEST_ROWS:
        return f"a curve needs at least {FEWEST_ROWS} rows with a finite loss, there are {len(lr)}"
    if not (np.diff(lr) > 0).all():
        return "the rate does not rise from row to row, so this is no range test"
    fall, noise = fall_and_noise(loss)
    before_any_blow_up = np.abs(loss[: FEWEST_ROWS // 2]).max()
    resolution = 4 * float(np.finfo(np.float32).eps) * float(before_any_blow_up)
    if not fall > max(SIGNIFICANT_FALL * noise, resolution):
        return f"the loss never fell by more than its noise (fall {max(fall, 0.0):.2g}, noise {noise:.2g}): the curve cannot tell"
    return None


def fall_and_noise(loss: Curve) -> tuple[float, float]:
    """How far the lowest tenth lies below the first tenth, and the standard deviation of the noise."""
    width = max(3, len(loss) // 10)
    means = np.convolve(loss, np.full(width, 1 / width), "valid")
    bends = np.diff(loss, 2)
    # 1.4826 * median: a standard deviation that blow-ups do not move; sqrt(6): of loss_(i+1) - 2 loss_i + loss_(i-1) under white noise
    noise = 1.4826 * float(np.median(np.abs(bends))) / np.sqrt(6)
    return float(means[0] - means.min()), float(noise)
