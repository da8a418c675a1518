"""Which processes walk together?  a problem whose model is wrapped in DistributedDataParallel -> its ranks, which meet, average and part alike.

Whatever the ranks do together begins with a meeting: one message of fixed length from each to all. It says what comes next, so that ranks that are
out of step find out instead of waiting, and it is where a rank that gave up by an exception says so. Meetings have a process group of their own
(gloo), for they must not be mistaken for the user's own collectives; gradients are averaged in the group that the model was wrapped with.
"""

from __future__ import annotations

import contextlib
import datetime
import sys
import warnings
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from surefoot.errors import SettingError, SurefootError
from surefoot.problem import Problem

KINDS = ("left", "alike", "epoch", "gradient", "end", "validation", "news", "over", "together")
NUMBERS, WORDS = 4, 480  # float64 numbers and bytes of text that a rank can say at a meeting
PATIENCE = datetime.timedelta(seconds=60)  # for the others, where this rank has given up already
_INTERRUPTED = "KeyboardInterrupt"
_meetings: weakref.WeakKeyDictionary[Any, Any] = (
    weakref.WeakKeyDictionary()
)  # torch alone holds groups: what outlives it may abort at exit


class Ranks:
    """The processes of one descent, search or diagnosis, as one of them sees them.

    Args:
        group: the process group that the model was wrapped with.
        buffers: whether buffers are those of rank 0 after every step, as DistributedDataParallel has it by default.

    Attributes:
        rank: which of them this is, from 0.
        size: how many there are.
        parted: whether one of them has given up: there are no further meetings.
    """

    def __init__(self, group: Any, buffers: bool = True) -> None:
        self.group, self.buffers = group, buffers
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        self.parted = False
        self._room = _room_of(group)

    @property
    def leads(self) -> bool:
        """Whether this one speaks for all: it alone prints, draws and writes."""
        return self.rank == 0

    # ---- meetings

    def meet(self, kind: str, *numbers: float) -> list[tuple[float, ...]]:
        """Says some numbers, and hears those of all ranks in their order; bit for bit the same list everywhere.

        Raises:
            SurefootError: on every rank, where one has given up, is gone, or is doing something else.
            KeyboardInterrupt: where one was interrupted.
        """
        if self.parted:
            raise SurefootError("The processes have parted after an error on one of them; nothing more can be done together.")
        heard = self._heard(kind, numbers)
        kinds = {told for told, _, _ in heard}
        if kinds == {kind}:
            return [said for _, said, _ in heard]
        self.parted = True
        left = [(rank, words) for rank, (told, _, words) in enumerate(heard) if told == "left"]
        if any(words == _INTERRUPTED for _, words in left):
            raise KeyboardInterrupt
        if left:
            raise SurefootError(f"Rank {left[0][0]} gave up, and so do the others: {left[0][1]}")
        does = ", ".join(f"rank {rank}: {told}" for rank, (told, _, _) in enumerate(heard))
        raise SurefootError(
            f"The processes do not do the same ({does}). Every rank must make the same calls with the same arguments."
        )

    def alike(self, told: dict[str, Any]) -> None:
        """Checks that all ranks say the same.

        Raises:
            SettingError: on every rank, naming what differs.
        """
        everyone = self.gathered(told)
        for rank, other in enumerate(everyone[1:], start=1):
            differs = next((what for what, value in everyone[0].items() if other.get(what) != value), None)
            if differs:
                raise SettingError(
                    f"All processes must descend the same model under the same settings: {_differing(differs, everyone[0][differs], other[differs])} "
                    f"on rank {rank}. Build the model and the settings alike on every rank; only the data is each rank's own."
                )

    def gathered(self, value: Any) -> list[Any]:
        """What each rank has, in their order."""
        self.meet("alike")
        everyone: list[Any] = [None] * self.size
        dist.all_gather_object(everyone, value, group=self._room)
        return everyone

    def news(self, value: Any = None) -> Any:
        """Rank 0 says something, the others hear it."""
        self.meet("news")
        told = [value]
        dist.broadcast_object_list(told, src=dist.get_global_rank(self._room, 0), group=self._room)
        return told[0]

    # ---- the end

    @contextlib.contextmanager
    def leaving(self) -> Iterator[None]:
        """Inside, an exception on this rank reaches the others at their next meeting; here it is raised as it is."""
        try:
            yield
        except BaseException as error:
            self.leave(error)
            raise

    def leave(self, error: BaseException) -> None:
        """Says that this rank gives up, and why; unless somebody has already."""
        if self.parted or sys.is_finalizing():
            return
        self.parted = True
        words = _INTERRUPTED if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {' '.join(str(error).split())}"
        words = "it left its loop." if isinstance(error, GeneratorExit) else words
        with contextlib.suppress(Exception):  # the error itself is what counts
            self._heard("left", (), words, PATIENCE)

    # ---- tensors

    @torch.no_grad()
    def average(self, parameters: Sequence[Tensor]) -> None:
        """The gradients become the mean over the ranks, one message per kind of number; none where no rank has one."""
        kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
        for p in parameters:
            kinds.setdefault((p.dtype, p.device), []).append(p)
        for alike in kinds.values():
            self._average(alike)

    def _average(self, parameters: Sequence[Tensor]) -> None:
        parts = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense() if p.grad.is_sparse else p.grad for p in parameters]
        there = parts[0].new_tensor([p.grad is not None for p in parameters])
        flat = torch.cat([*(part.reshape(-1) for part in parts), there])
        dist.all_reduce(flat, group=self._group_of(flat))
        *means, somewhere = torch.split(flat, [*(p.numel() for p in parameters), len(parameters)])
        for p, mean, known in zip(parameters, means, somewhere.tolist(), strict=True):
            if known:
                mean = mean.div_(self.size).view(p.shape)
                sparse = p.grad is not None and p.grad.is_sparse
                p.grad = mean.to_sparse(1) if sparse else mean

    @torch.no_grad()
    def share_buffers(self, model: nn.Module) -> None:
        """Buffers (running statistics) become those of rank 0."""
        held = list(model.buffers()) if self.buffers else []
        for buffer in held:
            dist.broadcast(buffer, src=dist.get_global_rank(self.group, 0), group=self._group_of(buffer))

    def _group_of(self, tensor: Tensor) -> Any:
        return self._room if tensor.device.type == "cpu" else self.group

    # ---- within

    def _heard(
        self, kind: str, numbers: Sequence[float], words: str = "", patience: datetime.timedelta | None = None
    ) -> list[tuple[str, tuple[float, ...], str]]:
        own = np.zeros(8 * (2 + NUMBERS) + WORDS, dtype=np.uint8)
        own[: 8 * (2 + len(numbers))] = np.array([KINDS.index(kind), len(numbers), *numbers], dtype=np.float64).view(np.uint8)
        text = words.encode()[:WORDS]
        own[-WORDS : len(own) - WORDS + len(text)] = np.frombuffer(text, np.uint8)
        everyone = [torch.empty(len(own), dtype=torch.uint8) for _ in range(self.size)]
        try:
            work = dist.all_gather(everyone, torch.from_numpy(own), group=self._room, async_op=True)
            work.wait(patience) if patience else work.wait()
        except RuntimeError as error:
            self.parted = True
            raise SurefootError(f"Another of the {self.size} processes is gone, or did not answer: {error}") from error
        return [_read(each.numpy()) for each in everyone]


@dataclass(frozen=True)
class Together(Problem):
    """A problem that several processes descend, each with its own data: the model without its wrapping, and the ranks."""

    ranks: Ranks = field(kw_only=True)

    def __post_init__(self) -> None:
        """All was checked when the problem was made."""


@contextlib.contextmanager
def together(problem: Any) -> Iterator[Any]:
    """The problem as it is to be worked on: where its model is wrapped in DistributedDataParallel, all ranks inside or none.

    An exception on one rank ends the work on all; who leaves without one waits until all have come so far.

    Raises:
        SettingError: the model is sharded (FSDP), of which no process has all weights.
    """
    if isinstance(problem, Together):
        with problem.ranks.leaving():
            yield problem
        return
    wrapped = replicated(problem.model) if isinstance(problem, Problem) else None
    if wrapped is None or dist.get_world_size(wrapped.process_group) == 1:
        yield alone(problem)
        return
    ranks = Ranks(wrapped.process_group, wrapped.broadcast_buffers)
    with ranks.leaving():
        ranks.meet("together")
        yield Together(**{**_parts(problem), "model": wrapped.module, "ranks": ranks})
        if not ranks.parted:  # after an interruption all of them have
            ranks.meet("over")


def alone(problem: Any) -> Any:
    """The problem of this process: the model without a wrapping whose forward or backward pass would wait for the other ranks.

    Example:
        >>> problem = Problem.of(lambda x: x**2, start=1.0)
        >>> alone(problem) is problem
        True
    """
    if not isinstance(problem, Problem):
        return problem
    if isinstance(problem, Together):
        return Problem(**{key: value for key, value in _parts(problem).items() if key != "ranks"})
    refuse_sharded(problem.model)
    wrapped = replicated(problem.model)
    return problem if wrapped is None else problem.with_(model=wrapped.module)


def ranks_of(problem: Any) -> Ranks | None:
    """The ranks that descend it, within `together`."""
    return problem.ranks if isinstance(problem, Together) else None


def leads(problem: Any) -> bool:
    """Whether this process is the one that prints, draws and writes."""
    ranks = ranks_of(problem)
    return ranks is None or ranks.leads


def refuse_together(problem: Problem) -> None:
    """Raises where the model is wrapped for several processes, for what only one does."""
    refuse_sharded(problem.model)
    if replicated(problem.model) is not None:
        raise SettingError(
            "The model is wrapped in DistributedDataParallel, and train goes back over its own steps, which one process does by itself. "
            "Use find_lr and descend, which the ranks do together, or give the model inside (model.module) on one of them."
        )


def refuse_sharded(model: nn.Module) -> None:
    """Raises where the weights are spread over processes."""
    if sharded(model):
        raise SettingError(
            "The model is sharded (FSDP, or DTensor parameters): no process holds all of its weights, so it can be watched, but not copied and "
            "descended. Find the rate on an unsharded copy that fits, of fewer layers if need be, or wrap it in DistributedDataParallel."
        )


def sharded(model: nn.Module) -> bool:
    """Whether the weights of the model are spread over processes."""
    fsdp = sys.modules.get("torch.distributed.fsdp")  # who has such a model has loaded it
    whole = fsdp is not None and any(isinstance(module, fsdp.FullyShardedDataParallel) for module in model.modules())
    return whole or any(hasattr(p, "full_tensor") for p in model.parameters())


def replicated(model: nn.Module) -> nn.parallel.DistributedDataParallel | None:
    """The wrapping of a model whose gradients DistributedDataParallel averages, compiled or not; None for any other."""
    inner = getattr(model, "_orig_mod", model)
    return inner if isinstance(inner, nn.parallel.DistributedDataParallel) else None


def fingerprint(model: nn.Module) -> dict[str, Any]:
    """What must be the same on all ranks: names, shapes and types of the weights, and their bits in a number.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> before = fingerprint(layer)
        >>> _ = layer.weight.data.neg_()
        >>> [what for what, told in fingerprint(layer).items() if told != before[what]]
        ['the values of the weights']
    """
    tensors = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    shapes = {name: f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}" for name, value in tensors.items()}
    moving = [name for name, p in model.named_parameters() if p.requires_grad]
    return {
        "the names of the weights": list(tensors),
        "the shape of": shapes,
        "the names of the trained weights": moving,
        "the values of the weights": {name: f"checksum {_bits(value) % 2**64:016x}" for name, value in tensors.items()},
    }


def _differing(what: str, one: Any, other: Any) -> str:
    """What differs, as it is here and there.

    >>> _differing("the shape of", {"weight": "(2, 4)", "bias": "(2,)"}, {"weight": "(3, 4)", "bias": "(3,)"})
    'the shape of weight is (2, 4) on rank 0 and (3, 4)'
    """
    if isinstance(one, dict) and isinstance(other, dict):
        name = next(name for name in one if one[name] != other.get(name))
        what, one, other = f"{what} {name}", one[name], other.get(name)
    return f"{what} is {one!s:.120} on rank 0 and {other!s:.120}"


def _bits(tensor: Tensor) -> int:
    """A sum over the bits that knows their places; of whole numbers, so that no order of adding changes it."""
    if not tensor.numel():
        return 0
    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    flat = tensor.detach().contiguous().reshape(-1)
    flat = torch.view_as_real(flat).reshape(-1) if flat.is_complex() else flat
    whole = flat.view(kinds[flat.element_size()]).long()
    places = torch.arange(1, len(whole) + 1, device=whole.device) * 6364136223846793005  # Knuth's: neighbours share no bits
    return int((whole * (places | 1)).sum())


def _parts(problem: Problem) -> dict[str, Any]:
    return {each.name: getattr(problem, each.name) for each in fields(problem)}


def _room_of(group: Any) -> Any:
    """The gloo group for meetings of these ranks, made once."""
    known = _meetings.get(group)
    if known is not None and (made := known()) is not None:
        return made
    ranks = dist.get_process_group_ranks(group)
    apart = len(ranks) < dist.get_world_size()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = dist.new_group(ranks, backend="gloo", use_local_synchronization=apart)
    _meetings[group] = weakref.ref(made)
    return made


def _read(said: Any) -> tuple[str, tuple[float, ...], str]:
    numbers = said[:-WORDS].view(np.float64)
    count = int(numbers[1])
    return (
        KINDS[int(numbers[0])],
        tuple(numbers[2 : 2 + count].tolist()),
        bytes(said[-WORDS:]).rstrip(b"\0").decode(errors="replace"),
    )
