"""What do the other ranks say of a training loop?  own rows -> rows over all ranks, by way of the process group's key-value store.

Nobody waits: each rank leaves its numbers in the store now and then, and takes what the others have left there when somebody asks. No collective
is called, so that loaders of different lengths, a rank that raises and a rank that never asks are all the same to the training.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch.distributed as dist
from torch import Tensor, nn

from surefoot.descent.ranks import replicated, sharded
from surefoot.errors import SettingError
from surefoot.trace import Column, Row

PATIENCE = 2.0  # seconds: after the end, for what the others were about to say
COLUMNS = ("loss", "grad_norm", "update_norm", "weight_norm")
_watches: dict[tuple[Any, ...], int] = {}  # how many were entered at each place in the program


class Told:
    """The numbers of all ranks of one loop.

    Args:
        model: wrapped in DistributedDataParallel, or sharded.

    Attributes:
        shards: whether a rank sees a part of the weights only, so that norms have to be put together.
    """

    def __init__(self, model: nn.Module) -> None:
        wrapped = replicated(model)
        self.shards = wrapped is None
        group = dist.group.WORLD if wrapped is None else wrapped.process_group
        ranks = tuple(dist.get_process_group_ranks(group))
        self.rank, self.size = dist.get_rank(group), len(ranks)
        place = (*ranks, _so_far(group))
        _watches[place] = _watches.get(place, 0) + 1
        self._place = f"surefoot/watch/{'-'.join(map(str, place))}/{_watches[place]}"
        self._sent, self._chunks = 0, [0] * self.size
        self._heard: list[Column] = [np.empty((0, len(COLUMNS))) for _ in ranks]
        self._over, self._strange, self._patient = [False] * self.size, [False] * self.size, True
        self._length = math.nan  # of the weights at the first step, by which ranks know that they watch the same loop

    def tell(self, rows: Sequence[Row], over: bool = False) -> None:
        """Leaves in the store what is new in the own rows; ``over``: there will be no more."""
        new = _columns(rows[self._sent :])
        if not len(new) and not (over and not self._over[self.rank]):
            return
        if self._sent == 0 and rows:
            self._length = float(rows[0].weight_norm)
        _store().set(self._key(self.rank), np.concatenate([[float(over), self._length], new.ravel()]).tobytes())
        self._sent, self._over[self.rank] = len(rows), over
        self._chunks[self.rank] += 1

    def over_all(self, rows: Sequence[Row]) -> tuple[list[Row], str | None]:
        """The rows over all ranks, and what they lack, in a sentence."""
        with contextlib.suppress(RuntimeError, ValueError):  # the processes have parted: what was heard counts
            self._listen(PATIENCE if self._over[self.rank] and self._patient else 0.0)
        own, silent, lacking = _columns(rows), [], len(rows)
        parts = [own]
        for rank in range(self.size):
            if rank == self.rank or self._strange[rank]:
                continue
            heard = self._heard[rank][: len(rows)]
            if len(heard) < len(rows) and not self._over[rank]:
                silent.append(rank)
                lacking = min(lacking, len(heard))
            parts.append(np.vstack([heard, np.full((len(rows) - len(heard), len(COLUMNS)), np.nan)]))
        parted = [rank for rank, strange in enumerate(self._strange) if strange]
        joined = self._joined(np.stack(parts), lacking, bool(parted))
        return [
            row._replace(**dict(zip(COLUMNS, each, strict=True))) for row, each in zip(rows, joined.tolist(), strict=True)
        ], _lack(silent, lacking, len(rows), parted, self.shards)

    def _joined(self, parts: Column, known: int, parted: bool) -> Column:
        """(rows, columns) of (ranks, rows, columns), of which all ranks have told the first so many."""
        out: Column = parts[0].copy()
        told = ~np.isnan(parts[:, :, 0])
        losses = np.where(told, parts[:, :, 0], 0.0).sum(0) / np.maximum(told.sum(0), 1)
        out[:known, 0] = np.where(told.any(0), losses, np.nan)[:known]
        if self.shards:
            out[:, 1:] = np.nan
            if not parted:
                out[:known, 1:] = np.sqrt((parts[:, :known, 1:] ** 2).sum(0))
        return out

    def _listen(self, patience: float) -> None:
        until, store = time.monotonic() + patience, _store()
        while True:
            for rank in range(self.size):
                while rank != self.rank and not self._over[rank] and store.check([self._key(rank)]):
                    self._take(rank, np.frombuffer(store.get(self._key(rank))))
            if all(self._over) or time.monotonic() >= until:
                self._patient = self._patient and not patience  # once is enough
                return
            time.sleep(0.005)

    def _take(self, rank: int, said: Column) -> None:
        over, length, rows = bool(said[0]), float(said[1]), said[2:].reshape(-1, len(COLUMNS))
        self._chunks[rank] += 1
        self._over[rank] = over
        # the weights of all ranks are the same: who began elsewhere tells of another loop
        known = not (math.isnan(length) or math.isnan(self._length) or self.shards)
        self._strange[rank] |= known and not math.isclose(length, self._length, rel_tol=1e-4)
        self._heard[rank] = np.vstack([self._heard[rank], rows])

    def _key(self, rank: int) -> str:
        return f"{self._place}/{rank}/{self._chunks[rank]}"


def told_of(model: nn.Module) -> Told | None:
    """What the ranks of this model say; None for a model that this process trains by itself.

    Raises:
        SettingError: the model is sharded in a way whose norms cannot be put together.
    """
    if not dist.is_available() or not dist.is_initialized() or not (replicated(model) is not None or sharded(model)):
        return None
    if _hybrid(model):
        raise SettingError(
            "The model is sharded within groups that repeat each other (HYBRID_SHARD), which cannot be watched; fully_shard on a mesh can."
        )
    told = Told(model)
    return told if told.size > 1 else None


def counted(tensors: Sequence[Tensor], rank: int, flat: bool) -> list[Tensor]:
    """This rank's shards of some tensors; of what several ranks have, the first one's.

    Args:
        tensors: parameters or their gradients.
        rank: of this process.
        flat: whether those without a mesh are shards (FullyShardedDataParallel), and not whole on every rank.
    """
    kept: list[Tensor] = []
    each: Any
    for each in tensors:
        if hasattr(each, "full_tensor"):
            where = each.device_mesh.get_coordinate()
            if all(at == 0 or not placed.is_replicate() for at, placed in zip(where, each.placements, strict=True)):
                kept.append(each._local_tensor)
        elif flat or rank == 0:
            kept.append(each)
    return kept


def flat_shards(model: nn.Module) -> bool:
    """Whether FullyShardedDataParallel has cut the weights up."""
    return any(strategy != "NO_SHARD" for strategy in _strategies(model))


def _store() -> Any:
    return dist.distributed_c10d._get_default_store()  # asked for each time: it must not outlive the process group


def _so_far(group: Any) -> int:
    """How many collectives the ranks have called: the same on all of them, also where one has watched by itself before."""
    try:
        return int(group._get_sequence_number_for_group())
    except (AttributeError, RuntimeError):
        return 0


def _hybrid(model: nn.Module) -> bool:
    return any("HYBRID" in strategy for strategy in _strategies(model))


def _strategies(model: nn.Module) -> list[str]:
    fsdp = sys.modules.get("torch.distributed.fsdp")
    wrapped = [] if fsdp is None else [each for each in model.modules() if isinstance(each, fsdp.FullyShardedDataParallel)]
    return [each.sharding_strategy.name for each in wrapped]


def _columns(rows: Sequence[Row]) -> Column:
    return np.array([[getattr(row, name) for name in COLUMNS] for row in rows], dtype=float).reshape(-1, len(COLUMNS))


def _lack(silent: list[int], known: int, rows: int, parted: list[int], shards: bool) -> str | None:
    if parted:
        return (
            f"Rank {parted[0]} watches another training, so the trace leaves it out: enter watch on every rank, in the same order."
        )
    if not silent:
        return None
    norms = ", and norms are not known" if shards else ""
    return f"From step {known} of {rows} on the loss is that of this rank alone{norms}: rank {silent[0]} has not told its own."
