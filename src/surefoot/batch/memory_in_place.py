"""What becomes of work in this process that may take so much memory and no more?  function + bytes -> Outcome.

Where nothing can be forked: on a CPU the bytes of every tensor are added up as they come and go, on a GPU the allocator is held to a limit.
"""

from __future__ import annotations

import gc
import math
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from surefoot.batch.memory_outcome import NAN, Outcome, Work, in_a_line, wants_memory


def counted(work: Work, memory: int) -> Outcome:
    """Does the work here and adds up the bytes of all tensors that it makes, as long as each lives; gives it up above ``memory``.

    What an operation takes for itself and gives back before it ends is not seen.

    Args:
        work: a function that is given another, which tells the bytes taken at most so far.
        memory: bytes, above 0.

    Raises:
        Exception: whatever the work raised but for want of memory.

    Example:
        >>> counted(lambda peak: torch.zeros(1000).sum().item(), 2**20).peak  # a thousand numbers of four bytes, and their sum
        4004.0
    """
    bytes_of = _Bytes(memory)
    try:
        with bytes_of:
            value = work(lambda: float(bytes_of.peak))
    except Exception as error:
        if not wants_memory(error):
            raise
        held, why = False, in_a_line(error)
        traceback.clear_frames(error.__traceback__)
    else:
        held, why = True, ""
    gc.collect()
    return Outcome(held, value if held else None, float(bytes_of.peak) if held else NAN, why=why)


class _Bytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The bytes of the storages that came into being inside and still live."""

    def __init__(self, memory: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.memory, self.live, self.peak = memory, 0, 0
        self.known: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for leaf in _tensors((args, kwargs)):
            self._meet(leaf, 0)  # what is first met as an argument was there before
        made = func(*args, **(kwargs or {}))
        for leaf in _tensors(made):
            self._meet(leaf, leaf.untyped_storage().nbytes())
        if self.live > self.memory:
            raise MemoryError(f"{self.live:,} bytes of tensors where {self.memory:,} may be taken")
        return made

    def _meet(self, tensor: Tensor, size: int) -> None:
        storage = tensor.untyped_storage()
        place = storage._cdata
        if place in self.known:
            return

        def gone(_: Any) -> None:
            self.live -= size
            self.known.pop(place, None)

        self.known[place] = weakref.ref(storage, gone)
        self.live += size
        self.peak = max(self.peak, self.live)


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Calls ``seen`` with the bytes of the largest tensor made inside so far that takes less than ``below`` bytes, whenever there is a larger one.

    Attributes:
        beyond: how many tensors took as much or more.

    Example:
        >>> sizes = []
        >>> with Largest(2**20, sizes.append):
        ...     there = torch.ones(1000) + torch.ones(2**19)[:1000].sum()  # two MiB, which is too much
        >>> sizes
        [4000]
    """

    def __init__(self, below: int, seen: Callable[[int], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.below, self.seen, self.largest, self.beyond = below, seen, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        there = {leaf.untyped_storage()._cdata for leaf in _tensors((args, kwargs))}
        made = func(*args, **(kwargs or {}))
        for leaf in _tensors(made):
            storage = leaf.untyped_storage()
            if storage._cdata in there:
                continue
            size = storage.nbytes()
            self.beyond += size >= self.below
            if self.largest < size < self.below:
                self.largest = size
                self.seen(size)
        return made


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor))


def on_gpu(work: Work, memory: int, device: torch.device) -> Outcome:
    """Does the work here, the allocator held to ``memory`` bytes more than it has given out, its cache emptied before and after.

    Args:
        work: a function that is given another, which tells the bytes taken at most so far.
        memory: bytes, above 0.
        device: the GPU.

    Raises:
        Exception: whatever the work raised but for want of memory.
    """
    _emptied()
    torch.cuda.reset_peak_memory_stats(device)
    before, there = torch.cuda.memory_allocated(device), torch.cuda.mem_get_info(device)[1]
    asked = getattr(torch.cuda, "get_per_process_memory_fraction", lambda device: 1.0)
    fraction = asked(device)
    try:
        torch.cuda.set_per_process_memory_fraction(min(fraction, (torch.cuda.memory_reserved(device) + memory) / there), device)
        value, held, why = work(lambda: float(torch.cuda.max_memory_allocated(device) - before)), True, ""
        torch.cuda.synchronize(device)
    except Exception as error:
        if not wants_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        value, held, why = None, False, in_a_line(error)
    finally:
        torch.cuda.set_per_process_memory_fraction(fraction, device)
        peak = torch.cuda.max_memory_allocated(device) - before
        _emptied()
    return Outcome(held, value, float(peak) if held else math.nan, why=why)


def _emptied() -> None:
    gc.collect()
    torch.cuda.empty_cache()
