"""Mountains whose shape is known.  A function of a few numbers -> a problem with its minima and its steepest curvature.

Every answer is exact: the minima are found on paper, or as roots of the gradient to all digits of float64, and the curvature
is the largest eigenvalue of the Hessian at the global minimum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from surefoot.errors import SettingError
from surefoot.problem import Answer, Problem
from surefoot.problems import options


def valley() -> Problem:
    """A curve with two valleys: ``x^4/4 - x^3/3 - x^2 + 8/3``, low at x = 2 (loss 0) and less so at x = -1 (loss 9/4).

    Between them, at x = 0, stands a hill. From the start at -2.2 plain descent with a small rate walks into the nearer, higher
    valley; a rate between 0.2 and the stability limit 1/3 leaps over the hill.

    Example:
        >>> problem = valley()
        >>> problem.answer.minima, round(problem.answer.stability_limit, 3)
        (((2.0,), (-1.0,)), 0.333)
    """

    def height(x: Tensor) -> Tensor:
        # factored at the global minimum, so that the loss there is 0 and not a rounding error below it
        return ((x - 2) ** 2 * (3 * x**2 + 8 * x + 8) / 12).sum()

    answer = Answer(minima=((2.0,), (-1.0,)), loss=0.0, curvature=6.0, source="roots of f'(x) = x (x + 1) (x - 2); f''(2) = 6")
    return _surface("valley", height, (-2.2,), answer, "made here: the quartic whose slope is x (x + 1) (x - 2)")


def bowl(curvatures: Sequence[float] = (1.0, 10.0)) -> Problem:
    """A quadratic bowl ``sum(c_i x_i^2) / 2``, on which gradient descent is known in closed form.

    Args:
        curvatures: one per dimension, each above 0; their ratio is the condition number.

    Returns:
        The problem, which starts at 1 in every dimension.

    Raises:
        SettingError: there are no curvatures, or one is not above 0.

    Example:
        >>> bowl(curvatures=(1.0, 100.0)).answer.stability_limit
        0.02
    """
    values = [options.number("every curvature", c, positive=True) for c in _sequence("curvatures", curvatures)]

    def height(x: Tensor) -> Tensor:
        return (x.new_tensor(values) * x**2).sum() / 2

    answer = Answer(minima=((0.0,) * len(values),), loss=0.0, curvature=max(values), source="by construction")
    return _surface(
        "bowl",
        height,
        (1.0,) * len(values),
        answer,
        f"made here: a quadratic with the curvatures {', '.join(map('{:g}'.format, values))}",
    )


def saddle() -> Problem:
    """A mountain pass between two valleys: ``x^2/2 + (y^2 - 1)^2/4``, level at (0, 0), where the curvatures are 1 and -1.

    The start at (1, 0.01) is nearly on the ridge: descent walks to the pass, lingers, and then slides down to y = 1.

    Example:
        >>> saddle().answer.minima
        ((0.0, 1.0), (0.0, -1.0))
    """

    def height(x: Tensor) -> Tensor:
        return x[0] ** 2 / 2 + (x[1] ** 2 - 1) ** 2 / 4

    answer = Answer(minima=((0.0, 1.0), (0.0, -1.0)), loss=0.0, curvature=2.0, source="the Hessian is diag(1, 3 y^2 - 1)")
    return _surface("saddle", height, (1.0, 0.01), answer, "made here: a parabola across a double well")


def rosenbrock() -> Problem:
    """A curved, flat-bottomed canyon: ``(1 - x)^2 + 100 (y - x^2)^2``.

    Example:
        >>> rosenbrock().answer.minimum
        (1.0, 1.0)
    """

    def height(x: Tensor) -> Tensor:
        return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2

    answer = Answer(
        minima=((1.0, 1.0),), loss=0.0, curvature=501 + math.sqrt(301**2 + 400**2), source="Hessian [[802, -400], [-400, 200]]"
    )
    source = "Rosenbrock 1960, The Computer Journal 3(3), 175-184; start from Moré, Garbow and Hillstrom 1981, problem 1"
    return _surface("rosenbrock", height, (-1.2, 1.0), answer, source)


def himmelblau() -> Problem:
    """Four valleys of equal depth: ``(x^2 + y - 11)^2 + (x + y^2 - 7)^2``.

    Example:
        >>> len(himmelblau().answer.minima)
        4
    """

    def height(x: Tensor) -> Tensor:
        return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2

    # all but the first are irrational: roots of both squares, by Newton's method in float64
    minima = (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.7793102533777469, -3.2831859912861694),
        (3.5844283403304917, -1.8481265269644036),
    )
    answer = Answer(minima=minima, loss=0.0, curvature=54 + 20 * math.sqrt(2), source="Hessian at (3, 2): [[74, 20], [20, 34]]")
    return _surface("himmelblau", height, (0.0, 0.0), answer, "Himmelblau 1972, Applied Nonlinear Programming, McGraw-Hill")


def rastrigin(dimensions: int = 2) -> Problem:
    """A bowl full of dents: ``10 n + sum(x_i^2 - 10 cos(2 pi x_i))``, with a local minimum near every whole number.

    Args:
        dimensions: n, 1 or more.

    Returns:
        The problem, which starts at 2.2 in every dimension; only the global minimum is listed.

    Raises:
        SettingError: the number of dimensions makes no sense.

    Example:
        >>> rastrigin(dimensions=3).answer.minimum
        (0.0, 0.0, 0.0)
    """
    n = options.count("dimensions", dimensions)

    def height(x: Tensor) -> Tensor:
        return (10 + x**2 - 10 * torch.cos(2 * math.pi * x)).sum()

    answer = Answer(
        minima=((0.0,) * n,), loss=0.0, curvature=2 + 40 * math.pi**2, source="the Hessian is diag(2 + 40 pi^2 cos(2 pi x))"
    )
    return _surface("rastrigin", height, (2.2,) * n, answer, "Rastrigin 1974, Systems of Extremal Control, Nauka")


def beale() -> Problem:
    """A flat plain between steep walls: ``(1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2``.

    Example:
        >>> beale().answer.minimum
        (3.0, 0.5)
    """

    def height(x: Tensor) -> Tensor:
        return (1.5 - x[0] + x[0] * x[1]) ** 2 + (2.25 - x[0] + x[0] * x[1] ** 2) ** 2 + (2.625 - x[0] + x[0] * x[1] ** 3) ** 2

    # at the minimum every term is 0, so the Hessian is 2 J^T J with the rows (-1/2, 3), (-3/4, 3), (-7/8, 9/4) of J
    across, mixed, along = 2 * 1.578125, 2 * -5.71875, 2 * 23.0625
    curvature = (across + along) / 2 + math.hypot((across - along) / 2, mixed)
    answer = Answer(
        minima=((3.0, 0.5),), loss=0.0, curvature=curvature, source="Hessian 2 J^T J at (3, 1/2), where all three terms are 0"
    )
    source = "Beale 1958, Princeton technical report 25; start from Moré, Garbow and Hillstrom 1981, problem 5"
    return _surface("beale", height, (1.0, 1.0), answer, source)


def _surface(name: str, height: Callable[[Tensor], Tensor], start: tuple[float, ...], answer: Answer, source: str) -> Problem:
    return Problem.of(height, torch.tensor(start, dtype=torch.float32), name=name, answer=answer, source=source)


def _sequence(name: str, values: Sequence[float]) -> list[float]:
    listed = list(values) if hasattr(values, "__iter__") and not isinstance(values, str) else []
    if not listed:
        raise SettingError(f"{name} must be a sequence of at least one number, got {values!r}.")
    return listed
