"""Was the memory enough?  an exception -> whether it says no; and how work under a limit went, as a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

NAN = float("nan")
Work: TypeAlias = Callable[[Callable[[], float]], Any]  # called with a function that tells the bytes taken at most so far
# What says that memory was wanting where no MemoryError does: torch's allocator, C++, the system, a DataLoader's worker, oneDNN, Python's C code.
WANTING = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "cannot allocate memory",
    "out of memory",
    "memoryerror",
    "unable to allocate",
    "could not create a memory",
    "could not create a primitive",
    "error return without exception set",
)


@dataclass(frozen=True)
class Outcome:
    """How the work went.

    Attributes:
        held: whether the memory was enough.
        value: what the work returned.
        peak: bytes that it took at most; NaN where it ran out of them.
        signal: what killed it, or 0.
        why: what said that the memory was not enough, in a line; empty where it was.
    """

    held: bool
    value: Any = None
    peak: float = NAN
    signal: int = 0
    why: str = ""


def in_a_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says.

    Example:
        >>> in_a_line(MemoryError("no room"))
        'MemoryError: no room'
    """
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")


def wants_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, says that there was not enough memory.

    Example:
        >>> wants_memory(MemoryError()), wants_memory(ValueError("Expected more than 1 value per channel"))
        (True, False)
    """
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        if isinstance(error, RuntimeError | OSError | ImportError | SystemError) and any(
            word in str(error).lower() for word in WANTING
        ):
            return True
        error = error.__cause__ or error.__context__
    return False
