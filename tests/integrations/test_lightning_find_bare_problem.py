"""The rate found for a LightningModule is the one found for the same torch model as a bare problem, and the module stays as it was."""

import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

pytest.importorskip("lightning")

import surefoot
from surefoot.descent.schedule import cosine
from surefoot.errors import ProblemError, SettingError
from surefoot.integrations.lightning import find_lr, problem_of, settings_of
from tests.integrations.lightning_modules import QUIET, ByHand, Plain, Two, loader, net, pl, samples, trainer

pytestmark = [pytest.mark.filterwarnings(word) for word in QUIET]
STEPS = 100


def bare(shuffle=True, validation=None, **settings):
    problem = surefoot.Problem(net(), loader(shuffle), loss=nn.functional.cross_entropy, validation=validation)
    return surefoot.find_lr(problem, **{"optimizer": torch.optim.AdamW, "steps": STEPS, "engine": "sequential", **settings})


def answer(found):
    return found.lr, found.low, found.high, found.ceiling, found.confident, found.gradients


@pytest.mark.parametrize("engine", ["vmap", "sequential"])  # "auto" takes the quicker of the two, and they differ by rounding
def test_the_rate_is_that_of_the_bare_problem(engine):
    ours, theirs = find_lr(Plain(), loader(True), steps=STEPS, engine=engine), bare(engine=engine)
    assert ours.engine == theirs.engine  # one descent alone is always walked by itself
    assert answer(ours) == answer(theirs)
    assert [trial["loss"].tolist() for trial in ours.trials] == [trial["loss"].tolist() for trial in theirs.trials]


def test_also_on_the_validation_loss_that_is_only_logged():
    ours = find_lr(Plain(), loader(True), loader(), steps=STEPS, seed=4, engine="sequential")
    assert answer(ours) == answer(bare(validation=loader(), seed=4))
    assert ours.lr != bare(seed=4).lr


def test_with_what_module_and_trainer_ask_for():
    class Asking(Plain):
        def __init__(self, lr):
            super().__init__()
            self.save_hyperparameters()

        def configure_optimizers(self):
            groups = [{"params": self.net[0].parameters(), "lr": 3 * self.hparams.lr}, {"params": self.net[2].parameters()}]
            optimizer = torch.optim.SGD(groups, lr=self.hparams.lr, momentum=0.9)
            horizon = self.trainer.estimated_stepping_batches
            scheduler = schedulers.CosineAnnealingLR(optimizer, T_max=horizon)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    fitted = trainer(max_epochs=25, accumulate_grad_batches=2, gradient_clip_val=0.5)
    ours = find_lr(Asking(0.02), loader(True), trainer=fitted, engine="sequential")

    def optimizer(model):
        groups = [{"params": model[0].parameters(), "lr": 3.0}, {"params": model[2].parameters()}]
        return torch.optim.SGD(groups, lr=1.0, momentum=0.9)

    theirs = bare(optimizer=optimizer, schedule=settings_of(Asking(0.02), loader(), trainer=fitted)["schedule"],
                  accumulate=2, clip_norm=0.5)  # fmt: skip
    assert ours.steps == 100  # 25 epochs of 4 updates
    assert answer(ours) == answer(theirs)


SCHEDULED = {
    "by step": ({"interval": "step"}, lambda o, n: schedulers.CosineAnnealingLR(o, n), cosine),
    "by epoch": ({}, lambda o, n: schedulers.StepLR(o, 1, 0.5), lambda step, n: 0.5 ** (step // 8)),
    "every other epoch": ({"frequency": 2}, lambda o, n: schedulers.StepLR(o, 1, 0.5), lambda step, n: 0.5 ** (step // 16)),
    "from nothing": ({"interval": "step"}, lambda o, n: schedulers.LambdaLR(o, lambda s: s / n), lambda step, n: step / n),
    "one cycle": ({"interval": "step"}, lambda o, n: schedulers.OneCycleLR(o, 0.3, total_steps=n), "one-cycle"),
}


@pytest.mark.parametrize("case", SCHEDULED)
def test_the_schedule_is_the_schedulers(case):
    told, made, expected = SCHEDULED[case]

    class Scheduled(Plain):
        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.02)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": made(optimizer, 80), **told}}

    settings = settings_of(Scheduled(), loader(), trainer=trainer(max_epochs=10))
    expected = surefoot.schedule.named(expected) if isinstance(expected, str) else expected
    assert settings["steps"] == 80
    ours = [settings["schedule"](step, 80) for step in range(80)]
    assert ours == pytest.approx([expected(step, 80) for step in range(80)], rel=1e-6, abs=1e-12)
    optimizer = settings["optimizer"](problem_of(Scheduled(), loader()).model)
    assert optimizer.param_groups[0]["lr"] > 0


def test_plateau_and_lists():
    class Listed(Plain):
        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.02)
            return [optimizer], [{"scheduler": schedulers.ReduceLROnPlateau(optimizer), "monitor": "val_loss"}]

    assert settings_of(Listed(), loader())["schedule"] == "plateau"


def test_the_horizon_is_the_trainers():
    limits = {"max_epochs": 3, "max_steps": 20, "limit_train_batches": 0.5}
    assert settings_of(Plain(), loader(), trainer=trainer(**limits))["steps"] == 12
    assert settings_of(Plain(), loader(), trainer=trainer(max_epochs=9, max_steps=20))["steps"] == 20
    assert "steps" not in settings_of(Plain(), loader())


def test_precision_and_device():
    settings = settings_of(Plain(), loader(), trainer=trainer(precision="bf16-mixed"))
    assert (settings["autocast"], settings["device"]) == ("bf16", "cpu")
    assert problem_of(Plain(), loader(), trainer=trainer(precision="64-true")).model.net[0].weight.dtype == torch.float64


class Data(pl.LightningDataModule):
    """Its own split and hooks."""

    def __init__(self):
        super().__init__()
        self.set_up = 0

    def setup(self, stage):
        self.set_up += 1
        self.rows = torch.utils.data.random_split(TensorDataset(*samples()), [192, 64])

    def train_dataloader(self):
        return DataLoader(self.rows[0], batch_size=32, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.rows[1], batch_size=64)

    def on_after_batch_transfer(self, batch, index):
        return batch[0] * 0.5, batch[1]


def test_a_data_module_brings_loaders_and_hooks_and_is_not_set_up():
    data = Data()
    problem = problem_of(Plain(), data)
    batch = (torch.ones(3, 4), torch.tensor([0, 1, 0]))
    assert problem.loss_on(problem.model, batch) == nn.functional.cross_entropy(net()(batch[0] * 0.5), batch[1])
    assert (len(problem.data), len(problem.validation), data.set_up, data.trainer) == (6, 1, 0, None)
    assert find_lr(Plain(), data, steps=60).lr > 0


def test_the_validation_loss_may_also_be_returned_or_missing():
    class Returning(Plain):
        def validation_step(self, batch):
            return {"loss": self.net(batch[0]).sum()}

    class Without(Plain):
        validation_step = None

    class Silent(Plain):
        def validation_step(self, batch, batch_idx):
            self.log("accuracy", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())

    batch = samples()
    for kind, loss in (
        (Returning, net()(batch[0]).sum()),
        (Silent, nn.functional.cross_entropy(net()(batch[0]), batch[1])),
        (Without, nn.functional.cross_entropy(net()(batch[0]), batch[1])),
    ):
        problem = problem_of(kind(), loader(), loader())
        with torch.no_grad():
            assert problem.loss_on(problem.model.eval(), batch) == loss, kind


def everything(module, fitted, data):
    inner = {name: value for name, value in vars(module).items() if not name.startswith("_") and name != "training"}
    return {
        "weights": {name: value.clone() for name, value in module.state_dict().items()},
        "optimizer": fitted.optimizers[0].state_dict()["state"][0]["exp_avg"].clone(),
        "rates": [group["lr"] for group in fitted.optimizers[0].param_groups],
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()),  # noqa: NPY002
        "modes": [part.training for part in module.modules()],
        "trainer": (module.trainer is fitted, fitted.global_step, fitted.current_epoch, dict(fitted.callback_metrics)),
        "attributes": inner,
        "data": (data.set_up, data.trainer is fitted, id(data.rows)),
        "grad": [None if p.grad is None else p.grad.clone() for p in module.parameters()],
    }


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_a_module_that_is_half_trained_and_attached_stays_as_it_is():
    module, data, fitted = Plain(), Data(), trainer(max_epochs=2)
    fitted.fit(module, data)
    before = everything(module, fitted, data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_lr(module, data, trainer=fitted, steps=STEPS)
    assert same(before, everything(module, fitted, data))
    assert found.lr > 0
    assert set(problem_of(module, data).data.dataset.indices) == set(data.rows[0].indices)  # no other split
    with pytest.raises(ZeroDivisionError):
        find_lr(module, data, trainer=fitted, steps=STEPS, progress=lambda *_: 1 / 0)
    assert same(before, everything(module, fitted, data))
    fitted.fit_loop.max_epochs = 3
    fitted.fit(module, data)


class NoStep(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = net()


class Leaving(Plain):
    def training_step(self, batch, batch_idx):
        return None


class Busy(Plain):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) / self.trainer.strategy.world_size


class Several(Plain):
    def configure_optimizers(self):
        return [torch.optim.SGD(self.net[0].parameters(), lr=1.0), torch.optim.SGD(self.net[2].parameters(), lr=1.0)]


class Clipping(Plain):
    def configure_gradient_clipping(self, optimizer, gradient_clip_val, gradient_clip_algorithm):
        pass


class Warming(Plain):
    def optimizer_step(self, *args, **kwargs):
        return super().optimizer_step(*args, **kwargs)


class Endless(IterableDataset):
    def __iter__(self):
        return iter(zip(*samples(), strict=True))


REFUSED = {
    "no module": (lambda: find_lr(net(), loader()), ProblemError, "must be a LightningModule"),
    "a class": (lambda: find_lr(Plain, loader()), ProblemError, r"the class Plain. Pass Plain\(...\)"),
    "no training_step": (lambda: find_lr(NoStep(), loader()), ProblemError, "no training_step"),
    "a step that returns None": (lambda: find_lr(Leaving(), loader()), ProblemError, "returned NoneType"),
    "no loader": (lambda: find_lr(Plain()), ProblemError, "no training data"),
    "a data set": (lambda: find_lr(Plain(), TensorDataset(*samples())), ProblemError, "must be a loader"),
    "two loaders": (lambda: find_lr(Plain(), loader(), [loader(), loader()]), ProblemError, "several validation loaders"),
    "a generator": (lambda: find_lr(Plain(), iter(loader())), ProblemError, "one-shot"),
    "optimized by hand": (lambda: find_lr(ByHand(), loader()), SettingError, "objective="),
    "two optimizers by hand": (lambda: find_lr(Two(), loader()), SettingError, "objective="),
    "two optimizers": (lambda: find_lr(Several(), loader()), SettingError, "Pass optimizer="),
    "clipped by value": (
        lambda: find_lr(Plain(), loader(), trainer=trainer(gradient_clip_val=1.0, gradient_clip_algorithm="value")),
        SettingError, "clip_norm=",
    ),
    "clipped its own way": (lambda: find_lr(Clipping(), loader()), SettingError, "clip_norm="),
    "a step of its own": (lambda: find_lr(Warming(), loader()), SettingError, "schedule="),
    "a trainer that trains": (lambda: find_lr(Busy(), loader(), steps=STEPS), ProblemError, "self.trainer.strategy"),
    "epochs of unknown length": (
        lambda: find_lr(Plain(), DataLoader(Endless(), batch_size=32), trainer=trainer()), SettingError, "Pass steps=",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_with_the_way_out(case):
    call, kind, word = REFUSED[case]
    with pytest.raises(kind, match=word):
        call()


def test_the_way_out_leads_out():
    assert find_lr(Several(), loader(), optimizer="sgd", steps=60).lr > 0
    assert find_lr(Clipping(), loader(), clip_norm=None, steps=60).lr > 0
    assert find_lr(Warming(), loader(), schedule="warmup-constant", steps=60).lr > 0
    assert find_lr(Plain(), DataLoader(Endless(), batch_size=32), trainer=trainer(), steps=60).lr > 0
    by_hand = surefoot.Problem(ByHand(), loader(), objective=lambda m, b: nn.functional.cross_entropy(m.net(b[0]), b[1]))
    assert surefoot.find_lr(by_hand, optimizer="adamw", steps=60).lr > 0


class Drawing(Plain):
    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.logger.experiment.add_scalar("loss", loss, self.global_step)
        self.logger.experiment["loss"] = loss
        for logger in self.loggers:
            logger.log_metrics({"loss": loss})
        return loss


def test_a_module_that_draws_with_its_logger_finds_one_that_does_nothing(tmp_path):
    own = pl.loggers.CSVLogger(tmp_path)
    asked = {"steps": 60, "progress": False}
    with_one = find_lr(Drawing(), loader(), trainer=trainer(logger=own), **asked)
    assert answer(with_one) == answer(find_lr(Plain(), loader(), trainer=trainer(logger=own), **asked))
    assert answer(with_one) == answer(find_lr(Drawing(), loader(), **asked))
    assert not list(tmp_path.iterdir())
    assert problem_of(Plain(), loader(), trainer=trainer(logger=False)).model.logger is None  # as in its training
