"""How did the step fare along its own line?  the gradient before it and after it -> curvature along the step, where it landed."""

from __future__ import annotations

from torch import Tensor

from surefoot.errors import SettingError


def two_gradients(before: Tensor, after: Tensor, step: Tensor) -> tuple[float, float]:
    """The curvature along a step, and where the step landed on its line, from one extra gradient.

    With d the step, g0 and g1 the gradients of the same loss on the same batch before and after it:
    curvature = (g1 - g0).d / d.d, which on a quadratic is d'Hd / d'd, and alpha = -(g1.d) / (g0.d).

    Args:
        before: g0, of any shape, in loss per weight.
        after: g1, of the same shape.
        step: d, the update that was made (the weights after minus the weights before), of the same shape.

    Returns:
        The curvature along the step, in loss per weight squared, the mean of it over the line where it changes; and alpha: -1 for no
        way at all, below 0 short of the minimum along the line, 0 onto it, 1 as far behind it as the step began before it (the
        stability limit of plain gradient descent), above 1 further out. Computed in float64. NaN where there is no step, or, for
        alpha, where the loss is level along it.

    Raises:
        SettingError: the three do not hold equally many values.

    Example:
        >>> import torch
        >>> hessian, start = torch.tensor([1.0, 10.0]), torch.tensor([0.0, 1.0])
        >>> step = -0.15 * hessian * start
        >>> curvature, alpha = two_gradients(hessian * start, hessian * (start + step), step)
        >>> round(curvature, 5), round(alpha, 5)  # alpha + 1 = lr * curvature, for plain gradient descent
        (10.0, 0.5)

    Source: Schneider, Dangel & Hennig 2021, "Cockpit" (alpha, there from a quadratic fitted to losses and slopes).
    """
    sizes = [before.numel(), after.numel(), step.numel()]
    if len(set(sizes)) > 1:
        raise SettingError(f"The gradients and the step must hold equally many values, got {sizes[0]}, {sizes[1]} and {sizes[2]}.")
    # float64: near the minimum g1.d is a small difference of large numbers
    g0, g1, d = (values.detach().double().flatten() for values in (before, after, step))
    length, slope_before, slope_after = float(d @ d), float(g0 @ d), float(g1 @ d)
    curvature = float((g1 - g0) @ d) / length if length else float("nan")
    alpha = -slope_after / slope_before if slope_before else float("nan")
    return curvature, alpha
