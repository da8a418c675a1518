"""What each of two ranks does in the tests of `diagnose`; run by `tests.distributed.processes`."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import surefoot as sf
from tests.distributed.walks import model, own_batches, problem, raised

CASES = {"too small": (1e-4, 60), "lost": (300.0, 30), "standing": (0.3, 200)}


def bowl(rank):
    """Least squares, which a descent gets to the bottom of; each rank has half of the samples."""
    drawn = torch.Generator().manual_seed(3)
    x = torch.randn(64, 3, generator=drawn)
    y = x @ torch.tensor([[1.0], [2.0], [-1.0]])
    torch.manual_seed(1)
    own = (x, y) if rank is None else (x.chunk(2)[rank], y.chunk(2)[rank])
    layer = nn.Linear(3, 1)
    return sf.Problem(layer if rank is None else DistributedDataParallel(layer), [own], loss=nn.functional.mse_loss)


def of_case(name, rank):
    return bowl(rank) if name == "standing" else problem(rank)


def everything():
    rank, out = dist.get_rank(), {}
    for name, (lr, steps) in CASES.items():
        run = sf.descend(of_case(name, rank), lr=lr, steps=steps, progress=False)
        found = sf.diagnose(run, of_case(name, rank))
        out[name] = {"verdict": found.verdict, "basis": found.basis, "said": str(found), "forks": sorted(found.forks)}

    watched = problem(rank)
    optimizer = torch.optim.SGD(watched.model.parameters(), lr=1e-4)
    with sf.watch(watched.model, optimizer, verdict=None) as seen:
        for x, y in own_batches(rank) * 6:
            optimizer.zero_grad()
            seen.loss(nn.functional.mse_loss(watched.model(x), y)).backward()
            optimizer.step()
    found = sf.diagnose(seen.trace, watched, optimizer="sgd")
    out["watched"] = {"verdict": found.verdict, "basis": found.basis, "said": str(found)}

    def cancelled(stage, done, count):
        if stage == "the forks":
            raise OSError("enough")

    run = sf.descend(problem(rank), lr=0.1, steps=40, progress=False)
    out["cancelled"] = raised(lambda: sf.diagnose(run, problem(rank), progress=cancelled), OSError)
    out["train"] = raised(lambda: sf.train(problem(rank), steps=100, progress=False))
    out["at"] = raised(lambda: problem(rank).at([0.0]))
    alone = problem(rank, validation=own_batches(rank)[:1])
    if rank == 0:  # these ask nobody
        surface = sf.landscape(alone, [run], resolution=5, progress=False)
        out["landscape"] = surface.loss.shape
        out["curvature"] = sf.spectrum(alone, run.weights).largest > 0
        classes = sf.Problem(DistributedDataParallel(nn.Linear(4, 3), init_sync=False), own_batches(0), loss=nn.functional.mse_loss)
        plain = sf.Problem(model(), own_batches(0), loss=nn.functional.mse_loss)
        here = sf.find_lr(plain, optimizer="sgd", steps=100, progress=False)
        out["plain"] = here.lr, here.engine
        inner = {name: value.clone() for name, value in classes.model.module.state_dict().items()}
        deployed = sf.Run(run.trace, inner, run.path, "steps", run.config)
        out["accuracy"] = sf.probe.accuracy_of(classes, deployed, [(torch.randn(8, 4), torch.zeros(8, dtype=torch.long))])
    return out
