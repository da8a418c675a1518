"""One descent from its first step to its end.  trace + weights + path + how it ended -> Run, in memory or in a file."""

from __future__ import annotations

import contextlib
import os
import pickle
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import IO, Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from surefoot import html
from surefoot.duration import duration
from surefoot.errors import StoreError
from surefoot.trace import Column, Row, Trace

SCHEMA = 1
Ended: TypeAlias = Literal["steps", "stopped", "diverged", "interrupted"]


@dataclass(frozen=True)
class Path:
    """The trainable weights along the way, flattened in the order of the model's parameters.

    Attributes:
        steps: (points,) how many updates had been made at each point, rising.
        weights: (points, weights) on the CPU, in the model's dtype.

    Example:
        >>> path = Path(np.array([0, 1]), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        >>> len(path), np.asarray(path).shape, path[-1].tolist()
        (2, (2, 2), [0.0, 0.0])
    """

    steps: Column
    weights: Tensor

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Tensor:
        return self.weights[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Column:
        values = self.weights.float().numpy() if self.weights.dtype is torch.bfloat16 else self.weights.numpy()
        return np.array(values, dtype=dtype) if dtype is not None or copy else values

    def _repr_html_(self) -> str:
        between = f"{self.steps[0]:,} to {self.steps[-1]:,}" if len(self) else None
        return html.table("a path", [("points", len(self)), ("weights", self.weights.shape[-1]), ("updates made", between)])


@dataclass(frozen=True)
class Run:
    """A descent and how it ended.

    Attributes:
        trace: one row per step, since the very first start.
        weights: the state dict at the end, as one would deploy it (averaged, where the optimizer averages).
        path: the trainable weights along the way: every step for
            problems of up to 1,000 weights, else at most 65 points and 1 GiB.
        ended: ``"steps"`` (all were walked), ``"stopped"`` (by a stop rule), ``"diverged"`` (the loss or the weights are not
            finite any more) or ``"interrupted"`` (Ctrl-C).
        config: the settings, plain values only.
        state: everything needed to go on from here as if never stopped: weights, optimizer, random state, place in the data.

    Example:
        >>> from surefoot import Problem, descend
        >>> run = descend(Problem.of(lambda x: (x**2).sum(), start=[1.0]), lr=0.25, steps=10)
        >>> run.ended, run.weights["x"].item() == 0.5**10
        ('steps', True)
    """

    trace: Trace
    weights: Mapping[str, Tensor]
    path: Path
    ended: Ended
    config: Mapping[str, Any]
    state: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def diverged_at(self) -> int | None:
        """The step at which the loss or the weights stopped being finite numbers, or None."""
        return int(self.trace["step"][-1]) if self.ended == "diverged" else None

    @property
    def last_finite(self) -> Row | None:
        """The last row whose loss is a finite number, or None."""
        finite = self.trace.finite
        return finite[-1] if len(finite) else None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the run to one file, whole or not at all: a file that was there before survives a failure.

        Raises:
            StoreError: the file cannot be written; the message names it and says why.
        """
        content = {
            "surefoot_run": SCHEMA,
            "trace": {name: torch.from_numpy(self.trace[name].copy()) for name in self.trace.columns},
            "weights": dict(self.weights),
            "path": {"steps": torch.from_numpy(np.array(self.path.steps)), "weights": self.path.weights},
            "ended": self.ended,
            "config": dict(self.config),
            "state": dict(self.state),
        }
        write_whole(content, FilePath(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Run:
        """Reads a run that `save` wrote; nothing in the file is executed (``weights_only=True``).

        Raises:
            StoreError: there is no such file, it is not a run, or it is from a newer version.
        """
        content = read_whole(FilePath(path))
        if not isinstance(content, dict) or "surefoot_run" not in content:
            raise StoreError(f"{path} is not a saved run.")
        if content["surefoot_run"] > SCHEMA:
            raise StoreError(
                f"{path} was written by a newer surefoot (schema {content['surefoot_run']}, this one reads {SCHEMA}). Update surefoot."
            )
        trace = Trace({name: column.numpy() for name, column in content["trace"].items()})
        points = Path(content["path"]["steps"].numpy(), content["path"]["weights"])
        return cls(trace, content["weights"], points, content["ended"], content["config"], content["state"])

    def __str__(self) -> str:
        return f"{_headline(self)}\n{_outcome(self)}"

    def _repr_html_(self) -> str:
        return html.table(_headline(self), _rows(self), [_outcome(self)] if self.ended == "diverged" else ())


def write_whole(content: Mapping[str, Any], path: FilePath) -> None:
    """Writes tensors and plain values to ``path``, atomically."""
    content = pytree.tree_map_only(Tensor, _own, content)
    with whole(path) as file:
        torch.save(content, file)


@contextlib.contextmanager
def whole(path: FilePath) -> Iterator[IO[bytes]]:
    """A file to write to that is ``path`` once all is written: beside it first, to the disk, then in its place.

    Raises:
        StoreError: it cannot be written; what was there before is still there.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with temporary.open("xb") as file:  # readable for whom the user's files are, unlike those of tempfile
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch's zip writer reports a full disk as a RuntimeError
        raise StoreError(f"{path} could not be written ({error}); what was there before is still there.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _own(tensor: Tensor) -> Tensor:
    """The tensor itself, or a copy of it where it is a small part of something larger, all of which would be written."""
    return tensor.clone() if tensor.untyped_storage().nbytes() > 2 * tensor.numel() * tensor.element_size() else tensor


def read_whole(path: FilePath) -> Any:
    """What `write_whole` wrote, on the CPU, without executing anything in the file."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise StoreError(f"There is no file {path}.") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        raise StoreError(
            f"{path} cannot be read: it is damaged or not a file of tensors ({str(error).splitlines()[0]})."
        ) from error


_HOW = {"steps": "done", "stopped": "stopped by a stop rule", "interrupted": "interrupted"}


def _headline(run: Run) -> str:
    config = run.config
    name = config.get("problem") or "a problem"
    seconds = f", {duration(run.trace['seconds'][-1])}" if len(run.trace) else ""
    return f"{name}: {len(run.trace):,} steps with {config.get('optimizer', '?')} at a learning rate of {config.get('lr', float('nan')):.4g}{seconds}"


def _outcome(run: Run) -> str:
    finite = run.trace.finite
    if not len(finite):
        return f"{run.ended}: no finite loss"
    first, last = finite[0], finite[-1]
    if run.ended == "diverged":
        return (
            f"diverged at step {run.diverged_at}: the loss was {first.loss:.4g} at step {first.step}, "
            f"{last.loss:.4g} at step {last.step} (the last finite one). A smaller learning rate is needed."
        )
    validation = _validation(finite)
    held_out = "" if validation is None else f", validation loss {validation:.4g}"
    return f"{_HOW[run.ended]}: loss {first.loss:.4g} -> {last.loss:.4g}{held_out}"


def _validation(trace: Trace) -> float | None:
    """The last validation loss that was measured, or None."""
    measured = trace["validation_loss"][np.isfinite(trace["validation_loss"])]
    return float(measured[-1]) if len(measured) else None


def _rows(run: Run) -> Iterator[tuple[str, Any]]:
    """What a notebook shows: how it went, then the settings."""
    finite = run.trace.finite
    diverged = f"diverged at step {run.diverged_at:,}" if run.ended == "diverged" and len(run.trace) else run.ended
    yield "ended", _HOW.get(run.ended, diverged)
    yield "first loss", finite[0].loss if len(finite) else None
    yield "last loss" if run.ended != "diverged" else "last finite loss", finite[-1].loss if len(finite) else None
    validation = _validation(finite)
    if validation is not None:
        yield "validation loss", validation
    yield from ((key, value) for key, value in run.config.items() if value is not None and key not in ("problem", "recipe"))
