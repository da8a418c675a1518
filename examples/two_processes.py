"""A learning rate found, and a loop watched, by two processes.  torchrun --nproc-per-node 2 examples/two_processes.py -> what rank 0 prints."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

import surefoot as sf

STEPS, SAMPLES, BATCH = 120, 1024, 32


def rings() -> TensorDataset:
    """Points in the plane, to be told apart by their distance from the middle: the same on every rank."""
    drawn = torch.Generator().manual_seed(0)
    points = torch.randn(SAMPLES, 2, generator=drawn)
    return TensorDataset(points, (points.norm(dim=1) / 0.9).long().clamp(max=2))


def network() -> DistributedDataParallel:
    """Two numbers -> the logits of three classes, wrapped as for any training of several processes."""
    torch.manual_seed(0)
    return DistributedDataParallel(nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 3)))


def main() -> None:
    """Every rank makes the same calls, each with its own part of the data; one of them prints."""
    dist.init_process_group("gloo")  # "nccl" on GPUs
    first = dist.get_rank() == 0
    dataset = rings()
    loader = DataLoader(dataset, batch_size=BATCH, sampler=DistributedSampler(dataset))  # half of the samples
    loss_of = nn.functional.cross_entropy

    problem = sf.Problem(network(), loader, loss=loss_of, name="rings")
    found = sf.find_lr(problem, optimizer="adamw", steps=STEPS)  # the model is wrapped, so the ranks search together
    rates: list[float] = [0.0] * dist.get_world_size()
    dist.all_gather_object(rates, found.lr)
    if first:
        print(found)
        print(f"the ranks agree: {len(set(rates)) == 1}")

    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=found.lr)
    with sf.watch(model, optimizer, steps_per_epoch=len(loader)) as seen:  # your own loop, as it was
        for step in range(STEPS):
            if step % len(loader) == 0:
                loader.sampler.set_epoch(step // len(loader))  # type: ignore[attr-defined]
                batches = iter(loader)
            points, classes = next(batches)
            optimizer.zero_grad()
            seen.loss(loss_of(model(points), classes)).backward()
            optimizer.step()
    if first:  # the trace holds the mean loss of all ranks, and asking for it makes nobody wait
        print(f"loss over both ranks: {seen.trace['loss'][0]:.3f} at first, {seen.trace['loss'][-8:].mean():.3f} in the end")
        print(sf.diagnose(seen.trace).verdict)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
