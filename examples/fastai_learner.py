"""A fastai Learner: its learning rate found, its training watched.  Learner -> Found, Trace, what is to be said of it."""

from __future__ import annotations

import torch
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import Learner
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from torch import nn

from surefoot.integrations.fastai import Watch, find_lr, one_cycle

EPOCHS = 4


def rings(samples: int, batch_size: int, shuffle: bool) -> DataLoader:
    """Points in the plane, to be told apart by their distance from the middle."""
    x = torch.randn(samples, 2)
    rows = list(zip(x, (x.norm(dim=1) / 0.9).long().clamp(max=2), strict=True))
    return DataLoader(rows, bs=batch_size, shuffle=shuffle)


def learner(loaders: DataLoaders) -> Learner:
    """A small network under the Adam of fastai."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 3))
    return Learner(loaders, network, nn.CrossEntropyLoss()).remove_cb(ProgressCallback)


def main() -> None:
    """Finds the rate for one cycle with the Learner's own optimizer, then trains with it and looks on."""
    torch.manual_seed(0)
    loaders = DataLoaders(rings(2048, 64, True), rings(512, 512, False), device="cpu")
    found = find_lr(learner(loaders), epochs=EPOCHS, schedule=one_cycle)
    print(found)

    for lr in (1e-4, found.lr):
        watch, made = Watch(), learner(loaders)
        with made.no_logging():
            made.fit_one_cycle(EPOCHS, lr, cbs=watch)
        print(f"\nat {lr:.2g}: validation loss {watch.trace['validation_loss'][-1]:.3f} after {len(watch.trace)} steps")
        print(watch.diagnosis)


if __name__ == "__main__":
    main()
