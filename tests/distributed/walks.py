"""What each of two ranks does in the tests of descents; run by `tests.distributed.processes`."""

import copy

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import surefoot as sf

SAMPLES, BATCH = 256, 32


def model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))


def data():
    drawn = torch.Generator().manual_seed(2)
    x = torch.randn(SAMPLES, 4, generator=drawn)
    return x, torch.sin(x.sum(1, keepdim=True)) + 0.1 * torch.randn(SAMPLES, 1, generator=drawn)


def whole_batches():
    x, y = data()
    return list(zip(x.split(BATCH), y.split(BATCH), strict=True))


def own_batches(rank, size=2):
    """This rank's share of each of the whole batches."""
    return [tuple(part.chunk(size)[rank] for part in batch) for batch in whole_batches()]


def problem(rank, **more):
    return sf.Problem(DistributedDataParallel(model()), own_batches(rank), loss=nn.functional.mse_loss, name="sines", **more)


def told(run):
    """What must be the same on all ranks."""
    return {
        "columns": {name: np.nan_to_num(run.trace[name], nan=-1.0).tolist() for name in run.trace.columns if name != "seconds"},
        "weights": {name: value.tolist() for name, value in run.weights.items()},
        "ended": run.ended,
        "names": list(run.weights),
    }


def raised(call, *kinds):
    """Class and words of what is raised."""
    try:
        call()
    except (*kinds, sf.SurefootError) as error:
        return type(error).__name__, str(error)
    return None


def descents():
    rank, out = dist.get_rank(), {}
    out["descend"] = told(sf.descend(problem(rank), lr=0.1, optimizer="adamw", steps=40, progress=False))
    out["clipped"] = told(
        sf.descend(problem(rank), lr=0.1, steps=20, accumulate=2, clip_norm=0.1, schedule="cosine", progress=False)
    )
    held_out = data() if rank == 0 else []
    out["validated"] = told(sf.descend(problem(rank, validation=held_out), lr=0.1, steps=20, validate_every=5, progress=False))
    out["diverged"] = told(sf.descend(problem(rank), lr=1e6, steps=40, progress=False))
    out["closure"] = told(sf.descend(problem(rank), lr=0.5, optimizer="lbfgs", steps=5, progress=False))
    uneven = problem(rank).with_(data=own_batches(rank)[: 8 - 3 * rank])
    out["uneven"] = told(sf.descend(uneven, lr=0.1, steps=20, progress=False))
    out["epochs"] = told(sf.descend(uneven, lr=0.1, epochs=2, progress=False))
    out["rows"] = [row.loss for row in sf.steps(problem(rank), lr=0.1, steps=6)]
    for row in sf.steps(problem(rank), lr=0.1, steps=6):
        if row.step == 3:
            break
    first = sf.descend(problem(rank), lr=0.1, steps=10, progress=False)
    out["continued"] = told(sf.descend(problem(rank), lr=0.1, steps=10, start=first, progress=False))
    out["clock"] = told(
        sf.descend(problem(rank), lr=0.1, steps=10_000, stop=lambda row: rank == 1 and row.step == 7, progress=False)
    )
    out["seedless"] = told(sf.descend(problem(rank), lr=0.1, steps=3, seed=None, progress=False))
    own = problem(rank)
    before = copy.deepcopy(own.model.state_dict()), torch.get_rng_state()
    sf.descend(own, lr=0.1, steps=3, progress=False)
    out["kept"] = all(
        torch.equal(a, b) for a, b in zip(before[0].values(), own.model.state_dict().values(), strict=True)
    ) and torch.equal(before[1], torch.get_rng_state())
    if rank == 0:
        out["plain"] = told(
            sf.descend(sf.Problem(model(), own_batches(0), loss=nn.functional.mse_loss), lr=0.1, steps=3, progress=False)
        )
    return out


def searches():
    rank, out = dist.get_rank(), {}
    for name, engine in (("auto", "auto"), ("asked", "vmap")):
        found = sf.find_lr(problem(rank), optimizer="adamw", steps=200, engine=engine, progress=False)
        out[name] = {"lr": found.lr, "low": found.low, "high": found.high, "ceiling": found.ceiling, "confident": found.confident,
                     "reason": found.reason, "gradients": found.gradients, "steps": found.steps, "engine": found.engine,
                     "trials": [trace["loss"].tolist() for trace in found.trials]}  # fmt: skip
    return out


class Odd(nn.Module):
    """A module that raises, or is interrupted, in one of its forward passes."""

    def __init__(self, error, at):
        super().__init__()
        self.inner, self.error, self.at, self.passes = nn.Linear(4, 1), error, at, 0

    def forward(self, x):
        self.passes += 1
        if self.error is not None and self.passes == self.at:
            raise self.error
        return self.inner(x)


def odd(rank, at, error, on=1):
    torch.manual_seed(1)
    return sf.Problem(
        DistributedDataParallel(Odd(error if rank == on else None, at)), own_batches(rank), loss=nn.functional.mse_loss
    )


def failures():
    rank, out = dist.get_rank(), {}
    out["forward"] = raised(
        lambda: sf.descend(odd(rank, 5, RuntimeError("a cable")), lr=0.1, steps=20, progress=False), RuntimeError
    )
    out["first"] = raised(
        lambda: sf.descend(odd(rank, 1, RuntimeError("no cable")), lr=0.1, steps=20, progress=False), RuntimeError
    )
    out["search"] = raised(lambda: sf.find_lr(odd(rank, 12, ValueError("x"), 0), steps=200, progress=False), ValueError)

    def cancelled(what, done, steps):
        raise OSError("enough")

    out["progress"] = raised(lambda: sf.descend(problem(rank), lr=0.1, steps=20, progress=cancelled), OSError)

    def probed(moment):
        if rank == 1 and moment.step == 4:
            raise LookupError("probe")
        return 1.0

    probe = sf.probe.Probe("odd", probed, after=True)
    out["probe"] = raised(lambda: sf.descend(problem(rank), lr=0.1, steps=20, probes=[probe], progress=False), LookupError)
    out["setting"] = raised(lambda: sf.descend(problem(rank), lr=0.1 + rank, steps=20, progress=False))
    out["refused"] = raised(lambda: sf.descend(problem(rank), lr=-rank or 0.1, steps=20, progress=False))
    moved = problem(rank)
    with torch.no_grad():
        moved.model.module[0].weight.add_(1e-3 * rank)
    out["moved"] = raised(lambda: sf.find_lr(moved, steps=200, progress=False))
    torch.manual_seed(0)
    shape = DistributedDataParallel(nn.Sequential(nn.Linear(4, 2 + rank), nn.Linear(2 + rank, 1)), init_sync=False)
    other = sf.Problem(shape, own_batches(rank), loss=nn.functional.mse_loss)
    out["shape"] = raised(lambda: sf.descend(other, lr=0.1, steps=3, progress=False))

    def data():
        yield from own_batches(rank)[:3]
        if rank == 0:
            raise EOFError("no more")

    class Source:
        def __iter__(self):
            return data()

    out["data"] = raised(lambda: sf.descend(problem(rank).with_(data=Source()), lr=0.1, steps=20, progress=False), EOFError)

    def loop():
        for row in sf.steps(problem(rank), lr=0.1, steps=20):
            if rank == 0 and row.step == 3:
                raise KeyError("loop")

    out["loop"] = raised(loop, KeyError)
    out["ctrl-c"] = told(sf.descend(odd(rank, 6, KeyboardInterrupt()), lr=0.1, steps=20, progress=False))

    def apart():
        if rank:
            sf.descend(problem(rank), lr=0.1, steps=3, progress=False)
        else:
            sf.find_lr(problem(rank), steps=200, progress=False)

    out["calls"] = raised(apart)
    out["after"] = told(sf.descend(problem(rank), lr=0.1, steps=3, progress=False))
    out["numbers"] = bool(np.isfinite(out["after"]["columns"]["loss"]).all())
    return out


def everything():
    return {**descents(), **searches(), **failures()}
