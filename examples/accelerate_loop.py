"""A loop under ``accelerate``: find its learning rate, watch it.  own network, accumulation, clipping -> the rate, the verdict.

Needs ``pip install "surefoot[accelerate]"``.
"""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from surefoot import diagnose
from surefoot.integrations.accelerate import find_lr, watch

EPOCHS, SAMPLES, BATCH, ACCUMULATED = 12, 1024, 16, 4
STEPS = EPOCHS * SAMPLES // (BATCH * ACCUMULATED)


def rings() -> DataLoader[tuple[torch.Tensor, ...]]:
    """Points in the plane, to be told apart by their distance from the middle."""
    points = torch.randn(SAMPLES, 2)
    return DataLoader(TensorDataset(points, (points.norm(dim=1) / 0.9).long().clamp(max=2)), batch_size=BATCH, shuffle=True)


def trained_by(model: nn.Module, lr: float) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Optimizer and schedule at a learning rate."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)


def main() -> None:
    """The loop of accelerate's own documentation, and two lines of ours."""
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=ACCUMULATED)
    model, loader, loss_of = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 3)), rings(), nn.CrossEntropyLoss()

    optimizer, scheduler = trained_by(model, lr=1e-3)
    found = find_lr(
        accelerator,
        model,
        loader,
        loss=loss_of,
        optimizer=optimizer,
        scheduler=scheduler,
        steps=STEPS,
        clip_norm=1.0,
        progress=False,
    )  # (1) before or after prepare(); the model stays as it is
    print(f"{found}\n")
    optimizer, scheduler = trained_by(model, lr=found.lr)
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)

    with watch(accelerator, model, optimizer, steps_per_epoch=STEPS // EPOCHS) as seen:
        for _ in range(EPOCHS):
            for points, classes in loader:
                with accelerator.accumulate(model):
                    loss = seen.loss(loss_of(model(points), classes))  # (2) the loss as it is, before backward divides it
                    accelerator.backward(loss)
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
                    scheduler.step()
                    optimizer.zero_grad()

    print(seen.trace)
    print(f"\n{diagnose(seen.trace)}")


if __name__ == "__main__":
    main()
