"""What linear regression ends at.  Inputs + targets -> its one minimum, the loss there and the curvature, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from surefoot.problem import Answer


def least_squares(inputs: Any, targets: Any) -> Answer:
    """The closed-form answer of ``mean((inputs @ w + b - targets)**2)``.

    With the design matrix ``D = [inputs 1]`` of n rows the minimum solves ``D (w, b) = targets`` in the least-squares sense, and
    the Hessian is ``(2/n) D^T D`` everywhere.

    Args:
        inputs: (samples,) or (samples, features).
        targets: (samples,) or (samples, 1).

    Returns:
        The minimum as ``(w..., b)``, the one nearest to 0 where there are many.

    Example:
        >>> answer = least_squares([0.0, 1.0, 2.0], [1.0, 3.0, 5.0])
        >>> np.allclose(answer.minimum, (2, 1)), answer.loss < 1e-28
        (True, True)

    Source:
        Gauss, 1809; the curvature by differentiating twice.
    """
    target = np.asarray(targets, dtype=np.float64).reshape(-1)
    design = np.column_stack([np.asarray(inputs, dtype=np.float64).reshape(len(target), -1), np.ones(len(target))])
    solution = np.linalg.lstsq(design, target, rcond=None)[0]
    return Answer(
        minima=(tuple(solution.tolist()),),
        loss=float(np.mean((design @ solution - target) ** 2)),
        curvature=float(np.linalg.eigvalsh(design.T @ design * (2 / len(target)))[-1]),
        source="least squares, solved in float64; curvature: largest eigenvalue of (2/n) [x 1]^T [x 1]",
    )
