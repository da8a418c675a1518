"""The user's own Python file.  train.py:problem -> the problem that the file makes, and nothing else changed by running it."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import os
import random
import sys
import traceback
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from surefoot.errors import UserFileError
from surefoot.problem import Problem
from surefoot.problems import options


def script(path: str | os.PathLike[str], attribute: str = "problem", *, seed: int = 0) -> Problem:
    r"""The problem that a Python file makes.

    The file is run once, from its top, under another name than ``__main__``; files beside it can be imported by it. What it
    does to ``sys.path``, ``sys.argv`` and the random generators is undone.

    Args:
        path: the file.
        attribute: the name in it of a `Problem`, or of a function without arguments that returns one.
        seed: what the random generators of Python, NumPy and torch begin with while the file runs, 0 or more.

    Returns:
        The problem, named after the file if it has no name.

    Raises:
        UserFileError: there is no such file or name, the name is no problem, or the file raises: then with the lines of the file
            that led there.

    Example:
        >>> import tempfile
        >>> code = "import surefoot\n" + "bowl = surefoot.Problem.of(lambda x: (x**2).sum(), start=[1.0])"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "train.py").write_text(code)
        ...     problem = script(Path(folder, "train.py"), "bowl")
        >>> print(problem)
        train.py:bowl: 1 weight
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise UserFileError(f"There is no file {path}. Check the name and the folder; the current folder is {Path.cwd()}.")
    with _restored(file, options.count("seed", seed, least=0)):
        module = _run(file)
        problem = _made(_found(module, attribute, file), attribute, file)
    return problem if problem.name else problem.with_(name=f"{file.name}:{attribute}")


def _run(file: Path) -> ModuleType:
    # a name that cannot be another module's; registered, because dataclasses and pickle look their module up
    name = f"surefoot_user_{zlib.crc32(str(file).encode()):08x}_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserFileError(f"{file} is not a Python file; its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _own_lines(file):
        spec.loader.exec_module(module)
    return module


def _found(module: ModuleType, attribute: str, file: Path) -> Any:
    names = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    if attribute in names:
        return names[attribute]
    problems = [name for name, value in names.items() if isinstance(value, Problem)]
    makers = [name for name, value in names.items() if inspect.isfunction(value) and value.__module__ == module.__name__]
    holds = f"The problems in it: {options.listed(problems)}." if problems else "There is no Problem in it."
    functions = f" Its functions: {options.listed(makers)}." if makers else ""
    hint = options.hint(attribute, problems + makers)
    raise UserFileError(f"{file.name} has no {attribute!r}.{hint} {holds}{functions}")


def _made(value: Any, attribute: str, file: Path) -> Problem:
    where = f"{file.name}:{attribute}"
    if isinstance(value, Problem):
        return value
    if not callable(value) or isinstance(value, torch.nn.Module):
        raise UserFileError(
            f"{where} is {_kind(value)}, not a Problem. Make one of it in the file: Problem(model, data, loss=...)."
        )
    if missing := _arguments(value):
        raise UserFileError(f"{where} needs the arguments {', '.join(missing)}, but is called without any. Give them defaults.")
    with _own_lines(file):
        made = value()
    if not isinstance(made, Problem):
        raise UserFileError(f"{where}() returned {_kind(made)}, not a Problem. End it with: return Problem(model, data, loss=...).")
    return made


def _arguments(function: Any) -> list[str]:
    """The arguments that a function cannot be called without."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C: only the call can tell
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


@contextlib.contextmanager
def _own_lines(file: Path) -> Iterator[None]:
    """Whatever the file raises becomes an error whose message holds the lines of the file alone."""
    try:
        yield
    except (Exception, SystemExit) as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
        lines = [*traceback.format_list(frames), *traceback.format_exception_only(error)]
        what = "asked Python to exit" if isinstance(error, SystemExit) else f"raised {type(error).__name__}"
        raise UserFileError(f"{file.name} {what} while it was run:\n{''.join(lines).rstrip()}") from error


@contextlib.contextmanager
def _restored(file: Path, seed: int) -> Iterator[None]:
    """Runs under the user's folder and the seed; afterwards paths, arguments, modules and random states are as before."""
    path, arguments, modules = sys.path[:], sys.argv[:], set(sys.modules)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state(), _accelerator_states()  # noqa: NPY002
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # no __pycache__ in the user's folder
    sys.path.insert(0, str(file.parent))
    sys.argv[:] = [str(file)]
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # the user's file may draw from NumPy's global generator
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        sys.path[:], sys.argv[:], sys.dont_write_bytecode = path, arguments, bytecode
        _forget_siblings(file.parent, modules)
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        _set_accelerator_states(states[3])


def _forget_siblings(folder: Path, before: set[str]) -> None:
    """Another folder's model.py must not find this one's in its place, nor an edited one its older self."""
    for name in set(sys.modules) - before:
        top = name.partition(".")[0]
        if top not in before and _lies_in(sys.modules.get(top), folder):
            del sys.modules[name]


def _lies_in(module: ModuleType | None, folder: Path) -> bool:
    origin = getattr(module, "__file__", None)
    if module is None or origin is None or module.__name__.startswith("surefoot_user_"):
        return False
    place = Path(origin)
    return (place.parent.parent if place.stem == "__init__" else place.parent).resolve() == folder


def _accelerator_states() -> list[torch.Tensor]:
    # asking for the state of a GPU that nobody has used yet would start it
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]


def _set_accelerator_states(states: list[torch.Tensor]) -> None:
    if states:
        torch.cuda.set_rng_state_all(states)
