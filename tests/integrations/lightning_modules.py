"""Modules and trainers that the tests of the Lightning callback share: as users write them."""

import logging

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

pl = pytest.importorskip("lightning.pytorch")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

# Lightning's own advice, about loaders without workers above all
QUIET = [
    "ignore:.*does not have many workers",
    "ignore:.*number of training batches",
    "ignore:You defined a .validation_step.",
    "ignore:.*does not use the .*val_dataloader",
    "ignore:.*isinstance.treespec, LeafSpec",
    "ignore:You passed .precision='16-mixed'",
    "ignore:.*Trying to infer the .batch_size.",
    "ignore:.*was returned .None.",
    "ignore:.*returned .None.. If this was on purpose",
    "ignore:Checkpoint directory .* exists",
    "ignore:Detected call of .lr_scheduler.step",
    "ignore:You.re resuming from a checkpoint",
    "ignore:.*configure_optimizers. returned .None",
    "ignore:.*max_epochs",
]
STEPS = 16  # two epochs of eight batches


def net():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))


def samples():
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(256, 4, generator=generator)
    return x, (x[:, 0] * x[:, 1] > 0).long()


def loader(shuffle=False, **settings):
    return DataLoader(TensorDataset(*samples()), batch_size=32, shuffle=shuffle, **settings)


class Plain(pl.LightningModule):
    """The loss is returned, the validation loss is logged."""

    def __init__(self):
        super().__init__()
        self.net = net()

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01)


class ByHand(Plain):
    """One optimizer, moved by the module itself."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.manual_backward(loss)
        nn.utils.clip_grad_norm_(self.parameters(), 0.1)
        optimizer.step()


class Two(Plain):
    """Two optimizers, in turns."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        for factor, optimizer in zip((1.0, 5.0), self.optimizers(), strict=True):
            optimizer.zero_grad()
            loss = factor * nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.manual_backward(loss)
            optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.SGD(self.net[0].parameters(), lr=0.1), torch.optim.SGD(self.net[2].parameters(), lr=0.2)]


def trainer(*callbacks, **settings):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(**{"accelerator": "cpu", "max_epochs": 2, **quiet, **settings}, callbacks=list(callbacks))
