"""A training loop of your own, watched.  own module, DataLoader, AdamW and clipping -> what it did, and what is to be said of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf

EPOCHS, SAMPLES = 6, 2048


class Network(nn.Module):
    """Two numbers -> the logits of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(2, 64)
        self.dropout = nn.Dropout(0.1)
        self.output = nn.Linear(64, 3)

    def forward(self, points: Tensor) -> Tensor:
        """(samples, 2) -> (samples, 3)."""
        return self.output(self.dropout(torch.relu(self.hidden(points))))


def rings() -> DataLoader[tuple[Tensor, ...]]:
    """Points in the plane, to be told apart by their distance from the middle."""
    points = torch.randn(SAMPLES, 2)
    return DataLoader(TensorDataset(points, (points.norm(dim=1) / 0.9).long().clamp(max=2)), batch_size=64, shuffle=True)


def main() -> None:
    """The loop is the usual one; two lines of it are for the watching."""
    torch.manual_seed(0)
    model, loader = Network(), rings()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)

    def loss_of(points: Tensor, classes: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(points), classes)

    # every 48 steps a line on standard error, which ends with the verdict so far
    with sf.watch(model, optimizer, alpha=16, every=48, steps_per_epoch=len(loader)) as seen:  # (1)
        for _ in range(EPOCHS):
            for points, classes in loader:
                optimizer.zero_grad()
                loss = seen.loss(loss_of, points, classes)  # (2) instead of loss_of(points, classes)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()

    print(seen.trace[-64:])
    print("\nlength of the update over that of the weights, by tensor:")
    for name, ratio in seen.ratios.items():
        print(f"  {name:<16}{ratio:.1e}")
    print(
        f"\n{sf.diagnose(seen.trace)}"
    )  # from the trace alone; with a Problem whose model stands where this one does, it measures


if __name__ == "__main__":
    main()
