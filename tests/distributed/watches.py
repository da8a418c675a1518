"""What each of two ranks does in the tests of `watch`; run by `tests.distributed.processes`."""

import time

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel

import surefoot as sf
from tests.distributed.walks import model, own_batches, raised, whole_batches


def trained(model, batches, rank, *, clip=None, around=None, read=True, **asked):
    """A plain training loop; the trace, the note, the losses and the norms that the loop itself saw."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses, norms = [], []
    with sf.watch(model, optimizer, verdict=None, **asked) as seen:
        for x, y in batches:
            optimizer.zero_grad()
            loss = seen.loss(nn.functional.mse_loss(model(x), y))
            loss.backward()
            losses.append(loss.item())
            if clip:
                norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
                norms.append(float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm))
            optimizer.step()
    trace = seen.trace if read else None
    return {"columns": {} if trace is None else {name: trace[name].tolist() for name in trace.columns}, "note": seen.note, "losses": losses,
            "norms": norms, "ratios": dict(seen.ratios)}  # fmt: skip


def loops():
    rank, out = dist.get_rank(), {}
    batches = own_batches(rank) * 9  # more rows than lie unread at a time
    out["usual"] = trained(DistributedDataParallel(model()), batches, rank, clip=0.1)
    out["views"] = trained(
        DistributedDataParallel(model(), gradient_as_bucket_view=True, static_graph=True), batches[:6], rank, clip=0.1
    )
    small = DistributedDataParallel(model(), bucket_cap_mb=1e-4)
    out["buckets"] = trained(small, batches[:6], rank, clip=0.1)
    out["first only"] = trained(DistributedDataParallel(model()), batches[:6], rank, read=rank == 0)
    uneven = DistributedDataParallel(model())
    optimizer = torch.optim.SGD(uneven.parameters(), lr=0.1)
    with uneven.join(), sf.watch(uneven, optimizer, verdict=None) as seen:
        for x, y in batches[: 5 + 3 * rank]:
            optimizer.zero_grad()
            seen.loss(nn.functional.mse_loss(uneven(x), y)).backward()
            optimizer.step()
    dist.barrier()
    out["uneven"] = {"loss": seen.trace["loss"].tolist(), "note": seen.note}

    seen_by = {}

    def interrupted():
        own = DistributedDataParallel(model())
        optimizer = torch.optim.SGD(own.parameters(), lr=0.1)
        with sf.watch(own, optimizer, verdict=None) as seen:
            seen_by["seen"] = seen
            for step, (x, y) in enumerate(batches[:4]):
                if rank == 1 and step == 3:
                    raise LookupError("here")
                if step == 3:
                    return
                optimizer.zero_grad()
                seen.loss(nn.functional.mse_loss(own(x), y)).backward()
                optimizer.step()

    out["raised"] = raised(interrupted, LookupError)
    out["raised trace"] = seen_by["seen"].trace["loss"].tolist()

    middle = DistributedDataParallel(model())
    optimizer = torch.optim.SGD(middle.parameters(), lr=0.1)
    with sf.watch(middle, optimizer, verdict=None) as seen:
        for x, y in batches[:3]:
            optimizer.zero_grad()
            seen.loss(nn.functional.mse_loss(middle(x), y)).backward()
            optimizer.step()
        if rank == 0:
            out["middle"] = seen.trace["loss"].tolist(), seen.note
    out["middle end"] = seen.trace["loss"].tolist(), seen.note

    # one rank alone opens a watch, then both do
    lonely = DistributedDataParallel(model())
    optimizer = torch.optim.SGD(lonely.parameters(), lr=0.1)
    with sf.watch(lonely, optimizer, verdict=None) if rank == 0 else torch.enable_grad() as seen:
        for x, y in batches[:3]:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(lonely(x), y)
            (seen.loss(loss) if rank == 0 else loss).backward()
            optimizer.step()
    if rank == 0:
        began = time.monotonic()
        out["lonely"] = seen.trace["loss"].tolist(), seen.note, time.monotonic() - began < 30
    out["after it"] = trained(DistributedDataParallel(model()), batches[:3], rank)
    other = model()
    with torch.no_grad():
        other[0].weight.mul_(2)
    two = DistributedDataParallel(model()), DistributedDataParallel(other)
    out["strange"] = trained(two[rank], batches[:3], rank)
    out["alpha alike"] = raised(lambda: trained(DistributedDataParallel(model()), batches[:1], rank, alpha=1))
    return out


def shards():
    rank, out = dist.get_rank(), {}
    whole = whole_batches()[:6]
    own = own_batches(rank)[:6]
    out["twin"] = trained(model(), whole, rank, clip=0.1) | {"ratios": None}
    second = model()
    for layer in (second[0], second[2]):
        fully_shard(layer)
    out["fully_shard"] = trained(fully_shard(second), own, rank, clip=0.1)
    for name, settings in {"flat": {}, "original": {"use_orig_params": True}}.items():
        first = FullyShardedDataParallel(model(), device_id=torch.device("cpu"), **settings)
        out[name] = trained(first, own, rank)
    out["alpha"] = raised(lambda: trained(second, own, rank, alpha=1))
    problem = sf.Problem(second, own, loss=nn.functional.mse_loss)
    out["descend"] = raised(lambda: sf.descend(problem, lr=0.1, steps=3))
    out["find"] = raised(lambda: sf.find_lr(problem, steps=200))
    out["flat find"] = raised(lambda: sf.find_lr(sf.Problem(first, own, loss=nn.functional.mse_loss), steps=200))
    return out


def everything():
    return {**loops(), **shards()}
