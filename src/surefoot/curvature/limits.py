"""What is the largest stable learning rate?  curvature + optimizer -> the rate above which a quadratic is left, in closed form.

Along a direction of curvature L every optimizer here is a linear recursion; it is stable as long as the roots of its
characteristic polynomial lie within the unit circle. The first root to leave is always the one at -1, which gives the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from surefoot.errors import SettingError, unknown

# lr * curvature at the limit, from the momentum and from beta1. A new optimizer is a row here and in the test's table of oracles.
LIMITS: dict[str, Callable[[float, float], float]] = {
    "sgd": lambda momentum, beta1: 2.0,
    "momentum": lambda momentum, beta1: 2 + 2 * momentum,
    "nesterov": lambda momentum, beta1: (2 + 2 * momentum) / (1 + 2 * momentum),
    "adam": lambda momentum, beta1: (2 + 2 * beta1) / (1 - beta1),
    "adamw": lambda momentum, beta1: (2 + 2 * beta1) / (1 - beta1),
}


def stability_limit(curvature: float, optimizer: str, *, momentum: float = 0.9, beta1: float = 0.9) -> float:
    """The largest learning rate at which the optimizer stays at the minimum of a quadratic of this curvature.

    With L the curvature, b the momentum and b1 Adam's decay of the gradient's average: ``sgd`` (plain gradient descent) 2/L,
    ``momentum`` (heavy ball) (2 + 2b)/L, ``nesterov`` (as torch writes it) (2 + 2b)/((1 + 2b) L), ``adam`` and ``adamw``
    (2 + 2 b1)/((1 - b1) L).

    Args:
        curvature: second derivative of the loss along the steepest direction: the largest eigenvalue of the Hessian, in loss per
            weight squared. For ``adam`` and ``adamw`` that of the preconditioned Hessian, diag(1 / (sqrt(v) + eps)) H.
        optimizer: ``"sgd"``, ``"momentum"``, ``"nesterov"``, ``"adam"`` or ``"adamw"``, in any case.
        momentum: b of ``momentum`` and ``nesterov``, in [0, 1); no dampening.
        beta1: b1 of ``adam`` and ``adamw``, in [0, 1).

    Returns:
        The learning rate; ``inf`` where the curvature is zero or negative, NaN where it is NaN. Weight decay is left out.

    Raises:
        SettingError: there is no formula for this optimizer (the message names those there are), or ``momentum`` or ``beta1`` is
            not in [0, 1).

    Example:
        >>> stability_limit(100.0, "sgd")
        0.02
        >>> [round(stability_limit(1.0, name), 3) for name in ("momentum", "nesterov", "adam")]
        [3.8, 1.357, 38.0]

    Source: Cohen et al. 2021, "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability" (momentum, Nesterov);
    Cohen et al. 2022, "Adaptive Gradient Methods at the Edge of Stability" (Adam).
    """
    formula = LIMITS.get(optimizer.lower()) if isinstance(optimizer, str) else None
    if formula is None:
        raise unknown("optimizer with a known stability limit", optimizer, LIMITS)
    for name, value in (("momentum", momentum), ("beta1", beta1)):
        if not 0 <= value < 1:
            raise SettingError(f"{name} must be at least 0 and below 1, got {value!r}.")
    if curvature <= 0:
        return math.inf
    return formula(momentum, beta1) / curvature
