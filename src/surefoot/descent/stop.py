"""When is a descent over before its last step?  row -> bool.

A stop rule is anything that is called with a `Row` and answers whether to stop after it. Rules that remember are made anew for
each descent by calling them here; they are plain closures, so a test needs rows and no training.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from surefoot.trace import Row

StopRule: TypeAlias = Callable[[Row], bool]

BLOW_UP_WARMUP = 10  # rows: before, there is no telling noise from a blow-up


def below(loss: float) -> StopRule:
    """Stop once the loss of a step is below this."""
    return lambda row: row.loss < loss


def after_seconds(seconds: float) -> StopRule:
    """Stop once this much wall time has passed."""
    return lambda row: row.seconds >= seconds


def small_gradient(norm: float) -> StopRule:
    """Stop once the l2 norm of the gradient is at most this: a minimum, a saddle or a plateau."""
    return lambda row: row.grad_norm <= norm


def no_improvement(patience: int, *, validation: bool = True) -> StopRule:
    """Stop when the best loss is ``patience`` measurements old.

    Args:
        patience: measurements (validations, or steps with ``validation=False``) without a new best that are put up with.
        validation: look at the validation loss rather than at the loss of every step.
    """
    best, age = math.inf, 0

    def rule(row: Row) -> bool:
        nonlocal best, age
        loss = row.validation_loss if validation else row.loss
        if math.isnan(loss):
            return False
        best, age = (loss, 0) if loss < best else (best, age + 1)
        return age >= patience

    return rule


def blow_up(factor: float = 4.0, *, smoothing: float = 0.9) -> StopRule:
    """Stop when the smoothed loss has risen above its best by ``factor`` times all that had been gained.

    Counted from the gain, not from zero, so that it holds for negative losses and does not care for an added constant. The
    published finders stop at 4 (fastai) or 5 (torch-lr-finder) times the best loss, and at once when that is negative.

    Args:
        factor: rise allowed, in units of the gain (start minus best); what counts as gain is at least three times the mean change from
            row to row, so that the noise of small batches is not taken for a blow-up, and 0.1 % of the first loss. The first ten rows never stop it.
        smoothing: weight of the past in the moving average, 0 to 1.

    Example:
        >>> stop = blow_up(smoothing=0.0)
        >>> row = Row(0, 0.0, 0.1, 0.0, 1.0, 0.1, 1.0, float("nan"), 0.0)
        >>> any(stop(row._replace(loss=-1.0 - step / 10)) for step in range(11))
        False
        >>> stop(row._replace(loss=2.1))  # more than 4 times the gain of 1 above the best, -2
        True
    """
    average = weight = changed = 0.0
    first = best = before = math.nan
    rows = 0

    def rule(row: Row) -> bool:
        nonlocal average, weight, first, best, before, changed, rows
        average = smoothing * average + (1 - smoothing) * row.loss
        weight = smoothing * weight + (1 - smoothing)
        loss = average / weight
        first = loss if math.isnan(first) else first
        best = loss if math.isnan(best) else min(best, loss)
        noise = 3 * changed / max(1, rows - 1)
        rose = rows >= BLOW_UP_WARMUP and loss - best > factor * max(first - best, noise, 1e-3 * abs(first))
        changed += 0.0 if math.isnan(before) else abs(row.loss - before)
        before, rows = row.loss, rows + 1
        return rose

    return rule
