"""A LightningModule: its learning rate found, its training watched.  module, loaders, Trainer -> Found, Trace, what is to be said of it."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from surefoot.integrations.lightning import Watch, find_lr

EPOCHS = 5


class Rings(pl.LightningModule):
    """Points in the plane, told apart by their distance from the middle."""

    def __init__(self, lr: float = 1e-4) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 3))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss on a batch."""
        loss = nn.functional.cross_entropy(self.network(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """The loss on held-out points, logged."""
        self.log("val_loss", nn.functional.cross_entropy(self.network(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        """AdamW, down along a cosine."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams["lr"])
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}


def points(samples: int) -> TensorDataset:
    """Points and their classes."""
    x = torch.randn(samples, 2)
    return TensorDataset(x, (x.norm(dim=1) / 0.9).long().clamp(max=2))


def trainer(*callbacks: Any) -> pl.Trainer:
    """A Trainer that says and writes nothing."""
    return pl.Trainer(
        max_epochs=EPOCHS, callbacks=list(callbacks), accelerator="cpu", gradient_clip_val=1.0,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip


def main() -> None:
    """Finds the rate with the module's own optimizer, schedule and clipping, then trains with it and looks on."""
    torch.manual_seed(0)
    batches, held_out = DataLoader(points(2048), batch_size=64, shuffle=True), DataLoader(points(512), batch_size=512)
    module = Rings()
    found = find_lr(module, batches, held_out, trainer())
    print(found)

    for lr in (module.hparams["lr"], found.lr):
        watch = Watch()
        torch.manual_seed(0)
        trainer(watch).fit(Rings(lr), batches, held_out)
        print(f"\nat {lr:.2g}: validation loss {watch.trace['validation_loss'][-1]:.3f} after {len(watch.trace)} steps")
        print(watch.diagnosis)


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    main()
