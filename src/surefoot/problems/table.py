"""The user's own table.  points.csv + the name of its target -> linear, logistic or network regression on its columns."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.errors import SurefootWarning, UserFileError, unknown
from surefoot.problem import Loss, Problem
from surefoot.problems.columns import Encoded, Matrix, encode, numbers
from surefoot.problems.csv_file import read
from surefoot.problems.initial import seeded
from surefoot.problems.least_squares import least_squares
from surefoot.problems.options import hint, listed
from surefoot.problems.split import Indices, split

if TYPE_CHECKING:
    import pandas

MODELS = ("auto", "linear", "logistic", "network")
CLASSES = 10  # whole numbers up to so many different ones may be names of classes
ROWS_PER_CLASS = 5  # ... if there are so many rows for each: five points on a line are not five classes
ROWS_TO_HOLD_OUT = 20  # with fewer, a fifth of them would tell nothing
HIDDEN = 64
SOLVABLE = 10**7  # numbers in the inputs up to which least squares costs about a second and 100 MB


def table(
    path: str | os.PathLike[str],
    target: str | None = None,
    *,
    model: str = "auto",
    categorical: Collection[str] = (),
    seed: int = 0,
) -> Problem:
    r"""Predicting one column of a CSV or TSV file from the others.

    A target is a class where it is text, or only 0 and 1, or at most ten whole numbers with five rows or more for each;
    otherwise it is an amount, and standardised, so that a loss of 1 is what guessing its mean costs.

    Args:
        path: the file; its first line holds the names of the columns.
        target: the column to predict.
        model: ``"linear"`` (mean squared error), ``"logistic"`` (cross entropy; softmax where there are more than two classes),
            ``"network"`` (two hidden layers of 64, for either), or ``"auto"``: linear for an amount, logistic for a class.
        categorical: columns whose numbers are names, such as postcodes.
        seed: what the split and the first weights are drawn from, 0 or more.

    Returns:
        The problem, with a fifth of the rows held out where there are 20 or more; ``source`` says in plain lines what was
        made of the table, and ``answer`` is the closed form of a linear regression.

    Raises:
        UserFileError: the file or the target cannot be made into a problem; the message says what was seen and the way out.
        SettingError: there is no such model, or the seed makes no sense.

    Warns:
        SurefootWarning: values were missing, or rows or columns were left out.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "points.csv")
        ...     _ = file.write_text("x,y" + "".join(f"\n{x},{3 * x + 1}" for x in range(10)))
        ...     problem = table(file, "y")
        >>> print(problem, "|", problem.answer.loss < 1e-12)
        points.csv: 2 weights | True
    """
    path = Path(path)
    if model not in MODELS:
        raise unknown("model", model, MODELS)
    categorical = (categorical,) if isinstance(categorical, str) else tuple(categorical)
    whole = read(path)
    frame, name = _with_known_target(whole, target, categorical, path)
    labels = _classes(frame[name], model, name in categorical, path)
    learn, held_out = _split(len(frame), seed, labels)
    goal = _amount(frame[name], learn, path) if labels is None else _class(labels)
    inputs = encode(frame.drop(columns=name), learn, categorical, path)
    source = _source(path, whole, name, goal, inputs, (learn, held_out))
    _warn(path, len(whole) - len(frame), inputs)
    return _problem(path, inputs.matrix, goal, "network" if model == "network" else goal.model, (learn, held_out), seed, source)


@dataclass(frozen=True)
class Goal:
    """What is to be predicted: numbers for the loss, and words for the reader."""

    values: Tensor  # (rows, 1) float32, or (rows,) int64 classes
    outputs: int
    loss: Loss
    model: str
    words: str


def _with_known_target(
    frame: pandas.DataFrame, target: str | None, categorical: Collection[str], path: Path
) -> tuple[pandas.DataFrame, str]:
    """The rows whose target is known, and the target's name; the index still counts the rows of the file."""
    names = [str(name) for name in frame.columns]
    if target is None:
        raise UserFileError(
            f"Which column of {path} is to be predicted? Give target= (--target on the command line), one of: {listed(names)}."
        )
    for name in (target, *categorical):
        if name not in names:
            raise UserFileError(f"{path} has no column named {name!r}.{hint(name, names)} Its columns: {listed(names)}.")
    if not len(frame):
        raise UserFileError(f"{path} has column names but no rows. Add at least two.")
    known = frame[frame[target].notna()]
    if not len(known):
        raise UserFileError(
            f"The target {target!r} of {path} is missing in every one of the {len(frame):,} rows. Give another target."
        )
    if len(known) < 2:
        lost = f" with a known target {target!r} (of {len(frame):,})" if len(frame) > 1 else ""
        raise UserFileError(f"{path} has one row only{lost}; there is nothing to learn from a single one. Add at least one more.")
    return known, target


def _classes(column: pandas.Series[Any], model: str, named: bool, path: Path) -> pandas.Categorical[Any] | None:
    """The target as classes, or None where it is an amount."""
    import pandas

    values = None if named else numbers(column, path)
    if values is None and model == "linear":
        raise UserFileError(
            f"The target {column.name!r} of {path} is text, and model='linear' predicts numbers. Use model='logistic' or 'network'."
        )
    if values is not None and (model == "linear" or (model != "logistic" and not _looks_like_classes(values))):
        return None
    labels = pandas.Categorical(column.astype(str) if values is None else [f"{value:.12g}" for value in values])
    count = len(labels.categories)
    if count < 2:
        raise UserFileError(
            f"The target {column.name!r} of {path} holds a single class, {str(labels[0])!r}, in all {len(column):,} rows: "
            "there is nothing to tell apart. Add rows of another class, or give another target."
        )
    if count > max(2, len(column) / 2):
        way_out = "Give a target that repeats." if values is None else "Use model='linear' or 'network'."
        raise UserFileError(
            f"The target {column.name!r} of {path} has {count:,} different values in {len(column):,} rows: no classes. {way_out}"
        )
    return labels


def _looks_like_classes(values: Matrix) -> bool:
    different = np.unique(values)
    enough_rows = len(different) * ROWS_PER_CLASS <= len(values) or set(different) == {0.0, 1.0}
    return len(different) <= CLASSES and enough_rows and bool((different == different.round()).all())


def _split(rows: int, seed: int, labels: pandas.Categorical[Any] | None) -> tuple[Indices, Indices]:
    learn, held_out = split(rows, seed, None if labels is None else labels.codes)
    return (learn, held_out) if rows >= ROWS_TO_HOLD_OUT else (np.arange(rows), held_out[:0])


def _amount(column: pandas.Series[Any], learn: Indices, path: Path) -> Goal:
    values = numbers(column, path)
    assert values is not None, "text was made into classes"
    mean, deviation = float(values[learn].mean()), float(values[learn].std())
    if not np.isfinite(values).all() or not deviation > 0:
        seen = f"is {values[0]:g} in every row that is learnt from" if deviation == 0 else "is infinite in places"
        raise UserFileError(f"The target {column.name!r} of {path} {seen}. Give another target.")
    scaled = torch.from_numpy(((values - mean) / deviation).astype(np.float32))[:, None]
    words = f"an amount, standardised (mean {mean:.4g}, standard deviation {deviation:.4g}): guessing the mean costs a loss of 1"
    return Goal(scaled, 1, nn.functional.mse_loss, "linear", words)


def _class(labels: pandas.Categorical[Any]) -> Goal:
    codes = np.asarray(labels.codes, dtype=np.int64)
    counts = np.bincount(codes)
    words = f"{len(counts)} classes: " + listed(
        [f"{name} ({count:,} rows)" for name, count in zip(labels.categories, counts, strict=True)]
    )
    if len(counts) == 2:
        return Goal(
            torch.from_numpy(codes.astype(np.float32))[:, None],
            1,
            nn.functional.binary_cross_entropy_with_logits,
            "logistic",
            words,
        )
    return Goal(torch.from_numpy(codes), len(counts), nn.functional.cross_entropy, "logistic", words)


def _problem(path: Path, matrix: Matrix, goal: Goal, model: str, parts: tuple[Indices, Indices], seed: int, source: str) -> Problem:
    inputs = torch.from_numpy(matrix)
    built = seeded(
        lambda: _network(matrix.shape[1], goal.outputs) if model == "network" else nn.Linear(matrix.shape[1], goal.outputs), seed
    )
    learnt, held_out = ((inputs[part], goal.values[part]) for part in map(torch.from_numpy, parts))
    solvable = model == "linear" and matrix.size <= SOLVABLE
    kind = {"linear": "linear regression", "network": f"a network with two hidden layers of {HIDDEN}"}.get(
        model, "logistic regression" if goal.outputs == 1 else "softmax regression"
    )
    weights = sum(parameter.numel() for parameter in built.parameters())
    return Problem(
        built,
        learnt,
        loss=goal.loss,
        validation=held_out if len(held_out[0]) else None,
        name=path.name,
        answer=least_squares(*learnt) if solvable else None,
        source=f"{source}\nmodel: {kind}, {weights:,} weights",
    )


def _network(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, outputs),
    )


def _source(path: Path, whole: pandas.DataFrame, name: str, goal: Goal, inputs: Encoded, parts: tuple[Indices, Indices]) -> str:
    """What was made of the table, a line for each fact."""
    learnt, held_out = map(len, parts)
    lost = len(whole) - learnt - held_out
    lines = [
        f"{path}: {len(whole):,} rows; {learnt:,} to learn from, {held_out:,} held out"
        + (f", {lost:,} without a target left out" if lost else ""),
        f"target {name!r}: {goal.words}",
        f"numeric columns, standardised: {listed(inputs.numeric) or 'none'}",
        f"categorical columns: {listed(inputs.categorical) or 'none'}",
    ]
    lines += [f"filled: {'; '.join(inputs.filled)}"] if inputs.filled else []
    lines += [f"left out: {'; '.join(inputs.dropped)}"] if inputs.dropped else []
    return "\n".join(lines)


def _warn(path: Path, lost: int, inputs: Encoded) -> None:
    notes = [f"{lost:,} {'row' if lost == 1 else 'rows'} without a target left out"] if lost else []
    notes += inputs.filled + [f"column {column} left out" for column in inputs.dropped]
    if notes:
        warnings.warn(f"{path.name}: {'; '.join(notes)}.", SurefootWarning, stacklevel=4)
