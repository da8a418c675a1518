"""What the Lightning callback sees is what `surefoot.watch` sees of the same training written as a loop, and it changes nothing."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("lightning")

from surefoot import diagnose, watch
from surefoot.errors import SettingError
from surefoot.integrations.lightning import Watch
from tests.integrations.lightning_modules import QUIET, STEPS, ByHand, Plain, Two, loader, net, pl, samples, trainer

pytestmark = [pytest.mark.filterwarnings(word) for word in QUIET]
COLUMNS = ("step", "epoch", "lr", "loss", "grad_norm", "update_norm", "weight_norm")


def by_hand(model, optimizer, *, epochs=2, accumulate=1, clip=None, kind=None, scaler=None):
    """The loop that a trainer with these settings amounts to."""
    batches = list(zip(*(part.split(32) for part in samples()), strict=True))
    per_epoch = -(-len(batches) // accumulate)
    with watch(model, optimizer, scaler=scaler, steps_per_epoch=per_epoch) as seen:
        for _ in range(epochs):
            for index, (x, y) in enumerate(batches):
                with torch.autocast("cpu", dtype=kind or torch.bfloat16, enabled=kind is not None, cache_enabled=False):
                    loss = nn.functional.cross_entropy(model(x), y)
                loss = seen.loss(loss) / accumulate
                (loss if scaler is None else scaler.scale(loss)).backward()
                if (index + 1) % accumulate and index + 1 < len(batches):
                    continue
                if scaler is not None:
                    scaler.unscale_(optimizer)
                if clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step() if scaler is None else (scaler.step(optimizer), scaler.update())
                optimizer.zero_grad()
    return seen.trace


def agree(ours, theirs, rtol=0.0):
    assert len(ours) == len(theirs)
    for name in COLUMNS:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=rtol, atol=0, err_msg=name)


class Groups(Plain):
    def configure_optimizers(self):
        return torch.optim.SGD(
            [{"params": self.net[0].parameters(), "lr": 0.3}, {"params": self.net[2].parameters()}], lr=0.1, momentum=0.9
        )


class Forgetful(Plain):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.3)


CASES = {
    "plain": (Plain, {}, {}),
    "accumulated": (Plain, {"accumulate_grad_batches": 2}, {"accumulate": 2}),
    "accumulated, the last one short": (Plain, {"accumulate_grad_batches": 3}, {"accumulate": 3}),
    "clipped": (Plain, {"gradient_clip_val": 0.1}, {"clip": 0.1}),
    "bf16": (Plain, {"precision": "bf16-mixed"}, {"kind": torch.bfloat16}),
    "groups": (Groups, {}, {}),
    "by hand": (ByHand, {}, {"clip": 0.1}),
}


@pytest.mark.parametrize("case", CASES)
def test_it_sees_what_a_loop_sees(case):
    kind, settings, amounts = CASES[case]
    module, other, seen = kind(), kind(), Watch(norms=1)
    trainer(seen, **settings).fit(module, loader())
    theirs = by_hand(other.net, other.configure_optimizers(), **amounts)
    agree(seen.trace, theirs, rtol=1e-6 if amounts.get("accumulate") == 3 else 0.0)  # (x / 3) * 3 is not x
    assert seen.note is None
    assert list(seen.ratios) == [name for name, _ in module.named_parameters()]


def scaled(scale):
    return torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=5)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("scale", [2.0**4, 2.0**40])  # the second overflows at first: those steps are skipped
def test_scaled_losses_are_told_as_they_are(scale, accumulate):
    module, other, seen = Plain(), Plain(), Watch(norms=1)
    plugin = pl.plugins.MixedPrecision("16-mixed", "cpu", scaler=scaled(scale))
    trainer(seen, plugins=[plugin], max_epochs=6, accumulate_grad_batches=accumulate).fit(module, loader())
    theirs = by_hand(
        other.net, other.configure_optimizers(), epochs=6, accumulate=accumulate, kind=torch.float16, scaler=scaled(scale)
    )
    assert 0 < len(theirs) < 6 * 8 / accumulate or scale < 2.0**20
    agree(seen.trace, theirs)


def test_lbfgs_evaluates_several_times_and_its_row_tells_of_the_first():
    class Second(Plain):
        def configure_optimizers(self):
            return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=4)

    seen = Watch(norms=1)
    trainer(seen, max_epochs=1).fit(Second(), loader())
    x, y = (part[:32] for part in samples())
    loss = nn.functional.cross_entropy((start := net())(x), y)
    gradients = torch.autograd.grad(loss, list(start.parameters()))
    assert len(seen.trace) == 8
    assert seen.trace["loss"][0] == loss.item()
    assert seen.trace["grad_norm"][0] == pytest.approx(torch.cat([g.flatten() for g in gradients]).norm().item(), rel=1e-6)


def test_norms_are_measured_every_sixteenth_step_where_nothing_is_asked_for():
    always, seldom = Watch(norms=1), Watch()
    trainer(always, max_epochs=3).fit(Plain(), loader())
    trainer(seldom, max_epochs=3).fit(Plain(), loader())
    assert len(seldom.trace) == len(always.trace) == 24
    for name in ("grad_norm", "update_norm", "weight_norm"):
        assert np.flatnonzero(np.isfinite(seldom.trace[name])).tolist() == [0, 16]
        np.testing.assert_array_equal(seldom.trace[name][[0, 16]], always.trace[name][[0, 16]])


def footprint(fitted, module):
    return {
        "weights": {name: value.clone() for name, value in module.state_dict().items()},
        "optimizer": copy.deepcopy(fitted.optimizers[0].state_dict()),
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()),  # noqa: NPY002
        "logged": dict(fitted.callback_metrics),
    }


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize("kind", [Plain, ByHand])
def test_it_leaves_no_footprint(kind, tmp_path):
    prints, files = [], []
    for callbacks in ([], [Watch(norms=1, every=5)]):
        random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
        module = kind()
        module.net.insert(1, nn.Dropout(0.3))
        fitted = trainer(*callbacks)
        fitted.fit(module, loader(shuffle=True), loader())
        prints.append(footprint(fitted, module))
        path = tmp_path / f"{len(callbacks)}.ckpt"
        fitted.save_checkpoint(path)
        files.append(torch.load(path, weights_only=False))
        assert all(not p._post_accumulate_grad_hooks for p in module.parameters())
        assert not fitted.optimizers[0]._optimizer_step_pre_hooks
    assert same(*prints)
    assert files[0]["callbacks"] == files[1]["callbacks"] == {}


def test_the_validation_loss_is_the_one_that_was_logged():
    module, seen, unasked = Plain(), Watch(norms=1), Watch(norms=1, validation=None)
    trainer(seen).fit(module, loader(), loader())
    column = seen.trace["validation_loss"]
    x, y = samples()
    assert np.flatnonzero(~np.isnan(column)).tolist() == [7, 15]  # not the sanity check's
    assert column[-1] == pytest.approx(nn.functional.cross_entropy(module.net(x), y).item(), rel=1e-5)
    trainer(unasked).fit(Plain(), loader(), loader())
    assert np.isnan(unasked.trace["validation_loss"]).all()


def test_a_second_fit_goes_on_and_another_module_begins_anew(tmp_path):
    module, seen = Forgetful(), Watch(norms=1)
    fitted = trainer(seen, max_epochs=1)
    fitted.fit(module, loader())
    fitted.save_checkpoint(tmp_path / "half.ckpt")
    first = seen.trace
    fitted.fit_loop.max_epochs = 2
    fitted.fit(module, loader())  # its optimizer is a new one, and these remember nothing
    whole = seen.trace
    assert whole[: len(first)] == first
    agree(whole, uninterrupted(Forgetful))
    seconds = whole["seconds"]
    assert (np.diff(seconds) > 0).all()
    resumed, late = Forgetful(), Watch(norms=1)
    trainer(late).fit(resumed, loader(), ckpt_path=tmp_path / "half.ckpt", weights_only=False)
    agree_from(late.trace, whole[8:])
    trainer(seen, max_epochs=1).fit(Forgetful(), loader())
    assert seen.trace == first


def uninterrupted(kind=Plain):
    seen = Watch(norms=1)
    trainer(seen).fit(kind(), loader())
    return seen.trace


def agree_from(resumed, whole):
    for name in ("lr", "loss", "grad_norm", "update_norm", "weight_norm"):
        assert resumed[name].tolist() == whole[name].tolist(), name


def test_an_exception_ends_the_watching_and_keeps_the_rows():
    class Broken(Plain):
        def training_step(self, batch, batch_idx):
            if batch_idx == 5:
                raise RuntimeError("no more")
            return super().training_step(batch, batch_idx)

    module, seen = Broken(), Watch(norms=1)
    with pytest.raises(RuntimeError, match="no more"):
        trainer(seen).fit(module, loader())
    assert len(seen.trace) == 5
    assert all(not p._post_accumulate_grad_hooks for p in module.parameters())


def test_steps_that_are_left_out_make_no_row():
    class Picky(Plain):
        def training_step(self, batch, batch_idx):
            return None if batch_idx % 4 == 1 else super().training_step(batch, batch_idx)

    seen = Watch(norms=1)
    trainer(seen, max_epochs=1).fit(Picky(), loader())
    assert len(seen.trace) == 6
    assert np.isfinite(seen.trace["loss"]).all()


def test_fast_dev_run_and_a_limit():
    seen = Watch(norms=1)
    trainer(seen, fast_dev_run=2).fit(Plain(), loader(), loader())
    assert len(seen.trace) == 2
    seen = Watch(norms=1)
    trainer(seen, max_steps=11).fit(Plain(), loader(), loader())
    assert seen.trace["epoch"].tolist() == [step / 8 for step in range(11)]


def test_of_several_optimizers_one_must_be_named():
    with pytest.raises(SettingError, match=r"Watch\(optimizer=0\)"):
        trainer(Watch(norms=1)).fit(Two(), loader())
    with pytest.raises(SettingError, match="counted from 0"):
        trainer(Watch(norms=1, optimizer=2)).fit(Two(), loader())
    module, both = Two(), [Watch(norms=1, optimizer=0), Watch(norms=1, optimizer=1)]
    before = module.net[2].weight.norm().item(), module.net[2].bias.norm().item()
    trainer(*both).fit(module, loader())
    first, second = (seen.trace for seen in both)
    assert len(first) == len(second) == STEPS
    assert first["lr"].tolist() == [0.1] * STEPS
    assert (first["loss"] * 4 < second["loss"]).all()  # the second's is five times as large
    assert second["weight_norm"][0] == pytest.approx(np.hypot(*before), rel=1e-6)
    np.testing.assert_allclose(second["update_norm"], 0.2 * second["grad_norm"], rtol=1e-4)
    assert list(both[0].ratios) == ["net.0.weight", "net.0.bias"]


def test_a_module_without_optimizer_is_left_alone():
    class Frozen(Plain):
        def configure_optimizers(self):
            return None

    seen = Watch(norms=1)
    trainer(seen, max_epochs=1).fit(Frozen(), loader())
    assert len(seen.trace) == 0 or seen.note


class Told:
    def __init__(self, fails=False):
        self.lengths, self.fails = [], fails

    def send(self, trace):
        self.lengths.append(len(trace))
        if self.fails:
            raise OSError("disk full")


def test_trackers_are_told_on_the_way_and_at_the_end(capfd):
    told, failing = Told(), Told(fails=True)
    seen = Watch(norms=1, to=[told, failing], every=6)
    trainer(seen).fit(Plain(), loader())
    assert told.lengths == [6, 12, STEPS]
    assert failing.lengths == [6]
    assert "disk full" in seen.note
    assert "step 6 " in capfd.readouterr().err


def test_the_diagnosis_is_that_of_the_trace_and_both_survive_pickling():
    seen = Watch(norms=1)
    trainer(seen).fit(Plain(), loader())
    again = pickle.loads(pickle.dumps(seen))
    assert again.trace == seen.trace
    assert again.diagnosis == seen.diagnosis == diagnose(seen.trace)


def test_modules_of_the_other_package_are_watched_too():
    other = pytest.importorskip("pytorch_lightning")
    assert other.LightningModule is not pl.LightningModule

    class Elsewhere(other.LightningModule):
        __init__ = lambda self: (other.LightningModule.__init__(self), setattr(self, "net", Plain().net))[0]  # noqa: E731
        training_step = lambda self, batch, batch_idx: nn.functional.cross_entropy(self.net(batch[0]), batch[1])  # noqa: E731
        configure_optimizers = Plain.configure_optimizers

    seen = Watch(norms=1)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    other.Trainer(accelerator="cpu", max_epochs=2, callbacks=[seen], **quiet).fit(Elsewhere(), loader())
    assert seen.trace == uninterrupted()


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"norms": 0}, "norms must be"),
        ({"every": 1.5}, "every must be"),
        ({"to": 3}, "Values can be sent to a SummaryWriter"),
        ({"optimizer": "first"}, "number from 0"),
        ({"validation": 3}, "name of a logged value"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, word):
    with pytest.raises(SettingError, match=word):
        Watch(**wrong)
