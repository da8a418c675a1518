"""Measurements of patients.  Ten or thirty numbers each -> how a disease will go on, or which one it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.problem import Answer, Problem
from surefoot.problems.initial import seeded
from surefoot.problems.least_squares import least_squares
from surefoot.problems.split import Indices, split


def diabetes(seed: int = 0) -> Problem:
    """Linear regression: the progression of diabetes after a year from ten measurements of 442 patients.

    Inputs and target are standardised, so that a loss of 1 is what guessing the mean costs. Two of the inputs are nearly the sum
    of others: the condition number is in the hundreds, and the last digits of the answer take many steps.

    Args:
        seed: what the split and the first weights are drawn from, 0 or more.

    Returns:
        A full-batch problem with its closed-form answer on the part that is learnt from.

    Example:
        >>> problem = diabetes()
        >>> len(problem.answer.minimum), problem.answer.loss < 0.6
        (11, True)
    """
    from sklearn.datasets import load_diabetes

    inputs, progression = load_diabetes(return_X_y=True, scaled=False)
    learn, held_out = split(len(inputs), seed)
    x, y = _standardised(inputs, learn), _standardised(progression[:, None], learn)
    return Problem(
        seeded(lambda: nn.Linear(10, 1), seed),
        (x[learn], y[learn]),
        loss=nn.functional.mse_loss,
        validation=(x[held_out], y[held_out]),
        batch_size="full",
        name="diabetes",
        answer=least_squares(x[learn], y[learn]),
        source="Efron, Hastie, Johnstone and Tibshirani 2004, Annals of Statistics 32(2), 407-499, as scikit-learn ships it; "
        "inputs and target standardised, a fifth held out",
    )


def breast_cancer(seed: int = 0) -> Problem:
    """Logistic regression: malignant or benign, from thirty measurements of 569 tumours.

    The classes can be separated by a plane: the loss falls towards 0 and the weights grow for ever, and no minimum is reached.

    Args:
        seed: what the split and the first weights are drawn from, 0 or more.

    Example:
        >>> problem = breast_cancer()
        >>> problem.answer.loss, problem.answer.minimum
        (0.0, None)
    """
    from sklearn.datasets import load_breast_cancer

    inputs, benign = load_breast_cancer(return_X_y=True)
    learn, held_out = split(len(inputs), seed, benign)
    x, y = _standardised(inputs, learn), torch.from_numpy(benign[:, None].astype(np.float32))
    return Problem(
        seeded(lambda: nn.Linear(30, 1), seed),
        (x[learn], y[learn]),
        loss=nn.functional.binary_cross_entropy_with_logits,
        validation=(x[held_out], y[held_out]),
        batch_size=64,
        name="breast-cancer",
        answer=Answer(
            loss=0.0, source="the classes are linearly separable, so 0 is the greatest lower bound, which no weights reach"
        ),
        source="UCI data set 'Breast Cancer Wisconsin (Diagnostic)' (Wolberg et al. 1995), as scikit-learn ships it; "
        "inputs standardised, a stratified fifth held out",
    )


def _standardised(values: Any, learn: Indices) -> Tensor:
    """Mean 0 and standard deviation 1 on the rows that are learnt from."""
    known = values[learn]
    return torch.from_numpy(((values - known.mean(axis=0)) / known.std(axis=0)).astype(np.float32))
