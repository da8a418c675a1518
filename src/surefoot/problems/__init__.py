"""Something to descend.  A name, a table, a folder of pictures or a Python file -> a `Problem`.

A new built-in problem is one function in a file of this folder and one row in the table below.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from surefoot.errors import SettingError, UserFileError, unknown
from surefoot.problems.options import hint

if TYPE_CHECKING:  # names and descriptions are told without torch
    from surefoot.problem import Problem

__all__ = ["describe", "is_script", "load", "names"]


class Entry(NamedTuple):
    """Where a problem is made, and one line about it."""

    module: str
    function: str
    line: str


_BUILT_IN: Mapping[str, Entry] = {
    "beale": Entry("surfaces", "beale", "2-D surface: a flat plain between steep walls"),
    "bowl": Entry("surfaces", "bowl", "quadratic bowl with chosen curvatures, known in closed form"),
    "breast-cancer": Entry("clinic", "breast_cancer", "logistic regression: malignant or benign, 569 tumours"),
    "diabetes": Entry("clinic", "diabetes", "linear regression: progression of diabetes, 442 patients"),
    "digits-cnn": Entry("digits", "cnn", "convolutional classifier of 1,797 scanned digits"),
    "digits-linear": Entry("digits", "linear", "softmax regression on 1,797 scanned digits"),
    "digits-mlp": Entry("digits", "mlp", "dense classifier of 1,797 scanned digits, 26,122 weights"),
    "himmelblau": Entry("surfaces", "himmelblau", "2-D surface with four minima of equal depth"),
    "line": Entry("line", "line", "a line w x + b through noisy points, the first thing to descend"),
    "photo-patches": Entry("photos", "photo_patches", "denoising autoencoder on squares of two photographs"),
    "rastrigin": Entry("surfaces", "rastrigin", "n-D bowl full of dents, each a local minimum"),
    "rosenbrock": Entry("surfaces", "rosenbrock", "2-D surface: a curved, flat-bottomed canyon"),
    "saddle": Entry("surfaces", "saddle", "2-D surface: a mountain pass between two minima"),
    "spirals": Entry("spirals", "spirals", "two spirals told apart by a small network: a slow starter"),
    "text": Entry("text", "text", "character transformer on the source of Python's standard library"),
    "valley": Entry("surfaces", "valley", "1-D curve with a local and a global minimum"),
}
_TABLES = (".csv", ".tsv")
_OWN = "A problem of your own is a table (points.csv), a folder with a sub-folder of pictures per class, or train.py:problem."


def names() -> list[str]:
    """The names of the built-in problems, sorted.

    Example:
        >>> "digits-cnn" in names()
        True
    """
    return sorted(_BUILT_IN)


def describe(name: str) -> str:
    """One line about a built-in problem; nothing is loaded for it.

    Raises:
        SettingError: there is no such problem.

    Example:
        >>> describe("valley")
        '1-D curve with a local and a global minimum'
    """
    if name not in _BUILT_IN:
        raise unknown("problem", name, _BUILT_IN)
    return _BUILT_IN[name].line


def load(name: str | os.PathLike[str], *, at: Sequence[float] | None = None, **options: Any) -> Problem:
    """The problem of this name, or the one that a file or folder of the user's makes.

    Args:
        name: a built-in problem (see `names`), a table ``points.csv`` or ``points.tsv``, a folder with one sub-folder of pictures
            per class, or ``train.py:problem``, a Python file and the name of a problem in it. A folder that is called like a
            built-in problem is meant by ``./text``.
        at: the weights to begin at, one after the other, as `Problem.at` takes them; None: the problem's own.
        options: whatever that problem can be made with; for a table ``target``, the column to predict, is needed.

    Returns:
        The problem; the same options give the same problem, bit for bit.

    Raises:
        SettingError: there is no such problem, or it has no such option; the message names the nearest one, and all that there are.
            Or ``at`` does not fit its model.
        UserFileError: the file or folder is missing or cannot be made into a problem.

    Example:
        >>> load("bowl", curvatures=(1.0, 4.0)).answer.stability_limit
        0.5
    """
    name = os.fspath(name)
    module, function, first = _home(name)
    make = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    _check_options(name, make, len(first), options)
    problem: Problem = make(*first, **options)
    problem = problem.with_(recipe={"name": _findable(name), **options})
    return problem if at is None else problem.at(at)


def is_script(name: str) -> bool:
    """Whether it names a Python file of the user's, which `load` would run.

    Raises:
        SettingError: as `load`.
        UserFileError: as `load`.

    Example:
        >>> is_script("train.py:problem"), is_script("points.csv"), is_script("line")
        (True, False, False)
    """
    return _home(name)[0] == "script"


def _home(name: str) -> tuple[str, str, tuple[str, ...]]:
    """Module, function and first arguments."""
    if name in _BUILT_IN:
        return _BUILT_IN[name].module, _BUILT_IN[name].function, ()
    file, colon, attribute = name.rpartition(":")
    if colon and file.lower().endswith(".py"):
        return "script", "script", (file, attribute or "problem")
    if name.lower().endswith(".py"):
        return "script", "script", (name,)
    if name.lower().endswith(_TABLES):
        return "table", "table", (name,)
    if Path(name).is_dir():
        return "images", "images", (name,)
    raise _nothing(name)


def _nothing(name: str) -> Exception:
    if Path(name).is_file():
        return UserFileError(f"{name} is no kind of file that can be read. {_OWN}")
    if Path(name).suffix or Path(name).name != name:
        return UserFileError(f"There is no file or folder {name}; the current folder is {Path.cwd()}. {_OWN}")
    return SettingError(f"{unknown('problem', name, _BUILT_IN)} {_OWN}")


def _check_options(name: str, make: Callable[..., Problem], given: int, options: Mapping[str, Any]) -> None:
    taken = [option for option in list(inspect.signature(make).parameters)[given:] if option != "attribute"]
    for option in options:
        if option not in taken:
            has = f"Its options: {', '.join(taken)}" if taken else "It has none"
            raise SettingError(f"{name} has no option {option!r}.{hint(option, taken)} {has}.")


def _findable(name: str) -> str:
    """The name as it can be loaded again from any folder."""
    if name in _BUILT_IN:
        return name
    file, colon, attribute = name.rpartition(":")
    return f"{Path(file).resolve()}:{attribute}" if colon and file.lower().endswith(".py") else str(Path(name).resolve())
