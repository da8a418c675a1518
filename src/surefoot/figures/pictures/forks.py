"""The fork test.  a diagnosis -> the loss of the same steps at other learning rates, the verdict above it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from surefoot.diagnosis.diagnosis import Diagnosis
from surefoot.errors import SettingError
from surefoot.figures.layers import Marks
from surefoot.figures.pictures.loss import loss_picture
from surefoot.trace import COLUMNS, Column, Trace

ALWAYS = 3  # a tenth of the rate, it, and three times it; of higher ones only the best, for more curves hide each other


def forks_picture(answer: Diagnosis) -> Marks:
    """The losses of the fork test against the step from where the run was examined.

    Args:
        answer: a diagnosis that was made with the problem.

    Returns:
        Marks with a curve for each rate.

    Raises:
        SettingError: the diagnosis rests on a trace alone, or there was nothing to fork: the run was lost, or the problem broken.

    Example:
        >>> from surefoot import descend, diagnose, problems
        >>> line = problems.load("line")
        >>> forks_picture(diagnose(descend(line, lr=1e-3, steps=100), line)).title
        'too-small: the same steps at other rates'
    """
    if not answer.forks:
        raise SettingError(
            f"This diagnosis ({answer.verdict}) has no fork test to draw: give diagnose the problem; of a run that was lost "
            "the loss against the step tells more: plot(run)."
        )
    drawn = loss_picture([_trace(rate, answer.forks[rate]) for rate in _picked(answer.forks)])
    notes = [answer.told, *([answer.remedy.text] if answer.remedy is not None else [])]
    return replace(
        drawn, title=f"{answer.verdict}: the same steps at other rates", x_label="step of the fork", notes=(*notes, *drawn.notes)
    )


def _picked(forks: Mapping[float, Column]) -> list[float]:
    """The three that every fork test has, and the one that ended lowest."""
    rates = sorted(forks)
    best = min(
        rates, key=lambda rate: (not np.isfinite(forks[rate]).all(), float(np.mean(forks[rate][-max(1, len(forks[rate]) // 4) :])))
    )
    return sorted({*rates[:ALWAYS], best})


def _trace(rate: float, losses: Column) -> Trace:
    columns = {name: np.full(len(losses), np.nan) for name in COLUMNS}
    return Trace({**columns, "step": np.arange(len(losses)), "lr": np.full(len(losses), rate), "loss": losses})
