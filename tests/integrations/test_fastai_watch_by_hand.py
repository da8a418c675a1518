"""What the fastai callback sees is what `surefoot.watch` sees of the same training written as a loop, and it changes nothing."""

import contextlib
import copy
import functools
import pickle
import random

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("fastai")

from tests.integrations.fastai_learners import QUIET, batches, learner, net, samples  # isort: skip  (imports fastai without its warnings)

from fastai.callback.core import Callback, CancelFitException
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.schedule import fit_one_cycle, lr_find  # noqa: F401  puts them on Learner
from fastai.callback.training import GradientAccumulation, GradientClip
from fastai.optimizer import SGD, OptimWrapper
from fastcore.foundation import L

from surefoot import diagnose, watch
from surefoot.errors import SettingError
from surefoot.integrations.fastai import Watch, one_cycle

pytestmark = [pytest.mark.filterwarnings(word) for word in QUIET]
COLUMNS = ("step", "epoch", "lr", "loss", "grad_norm", "update_norm", "weight_norm")


class Scaled(MixedPrecision):
    """fastai's mixed precision, which is for CUDA, on a CPU."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def before_fit(self):
        self.autocast = torch.autocast("cpu", dtype=torch.float16)
        self.learn.scaler, self.scales = scaler(self.scale), L()


def scaler(scale):
    return torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=5)


def by_hand(optimizer, *, epochs=2, accumulate=1, clip=None, scale=None, rates=None):
    """The loop that a fit with these settings amounts to."""
    model = net()
    made, scaling, taken = optimizer(model), None if scale is None else scaler(scale), 0
    with watch(model, made, scaler=scaling, steps_per_epoch=8 // accumulate) as seen:
        for index, (x, y) in enumerate(batches() * epochs):
            for group in made.param_groups if rates else ():
                group["lr"] = rates(index)
            with torch.autocast("cpu", dtype=torch.float16, enabled=scale is not None):
                prediction = model(x)
                loss = nn.functional.cross_entropy(prediction.float(), y)
            told = seen.loss(loss) / accumulate
            (told if scaling is None else scaling.scale(told)).backward()
            taken += 1
            if taken % accumulate:
                continue
            if scaling is not None:
                scaling.unscale_(made)
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            made.step() if scaling is None else (scaling.step(made), scaling.update())
            made.zero_grad()
    return seen.trace


def wrapped(**settings):
    return functools.partial(OptimWrapper, opt=functools.partial(torch.optim.AdamW, **settings))


CASES = {
    "torch's own": (wrapped(), [], lambda m: torch.optim.AdamW(m.parameters(), lr=0.01), {}, 0.0),
    "fastai's own": (functools.partial(SGD, mom=0.9), [], lambda m: torch.optim.SGD(m.parameters(), lr=0.01, momentum=0.9), {}, 1e-6),
    "accumulated": (
        SGD, [GradientAccumulation(64)], lambda m: torch.optim.SGD(m.parameters(), lr=0.01), {"accumulate": 2}, 1e-6,
    ),
    "clipped": (SGD, [GradientClip(0.1)], lambda m: torch.optim.SGD(m.parameters(), lr=0.01), {"clip": 0.1}, 1e-6),
    "scaled": (SGD, [Scaled(2.0**4)], lambda m: torch.optim.SGD(m.parameters(), lr=0.01), {"scale": 2.0**4}, 1e-6),
    "scaled too far": (SGD, [Scaled(2.0**30)], lambda m: torch.optim.SGD(m.parameters(), lr=0.01), {"scale": 2.0**30}, 1e-6),
}  # fmt: skip


def agree(ours, theirs, rtol):
    assert len(ours) == len(theirs) > 0
    for name in COLUMNS:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=rtol, atol=0, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_it_sees_what_a_loop_sees(case):
    opt_func, cbs, optimizer, amounts, rtol = CASES[case]
    seen, made = Watch(norms=1), learner(opt_func, cbs)
    made.fit(2, cbs=seen)
    agree(seen.trace, by_hand(optimizer, **amounts), rtol)
    assert len(seen.trace) < 16 or case not in ("accumulated", "scaled too far")
    assert list(seen.ratios) == [name for name, _ in made.model.named_parameters()]
    assert seen.note is None


def test_one_cycle_and_its_rates():
    seen = Watch(norms=1)
    learner(SGD).fit_one_cycle(3, 0.2, cbs=seen)
    rates = [0.2 * one_cycle(step, 24) for step in range(24)]
    assert seen.trace["lr"].tolist() == pytest.approx(rates)
    theirs = by_hand(lambda m: torch.optim.SGD(m.parameters(), lr=1.0), epochs=3, rates=rates.__getitem__)
    agree(seen.trace, theirs, 1e-5)


def test_norms_are_measured_every_sixteenth_step_where_nothing_is_asked_for():
    seldom = Watch()
    learner(SGD).fit(3, cbs=seldom)
    assert len(seldom.trace) == 24
    for name in ("grad_norm", "update_norm", "weight_norm"):
        assert np.flatnonzero(np.isfinite(seldom.trace[name])).tolist() == [0, 16]


def test_of_several_groups_it_is_the_first_ones_rate():
    seen = Watch(norms=1)
    learner(SGD, splitter=lambda m: [list(m[0].parameters()), list(m[2].parameters())]).fit(1, lr=slice(0.01, 0.04), cbs=seen)
    assert seen.trace["lr"].tolist() == pytest.approx([0.01] * 8)


def test_the_validation_loss_is_the_recorders():
    made, seen = learner(), Watch(norms=1)
    made.fit(2, cbs=seen)
    column = seen.trace["validation_loss"]
    x, y = samples()
    assert np.flatnonzero(~np.isnan(column)).tolist() == [7, 15]
    assert column[[7, 15]].tolist() == pytest.approx([values[1] for values in made.recorder.values])
    assert column[-1] == pytest.approx(nn.functional.cross_entropy(made.model(x), y).item(), rel=1e-5)


def footprint(made):
    made.opt.state_dict()
    return {
        "weights": {name: value.clone() for name, value in made.model.state_dict().items()},
        "optimizer": [copy.deepcopy(made.opt.state[p]) for p in made.model.parameters()],
        "hypers": [dict(hyper) for hyper in made.opt.hypers],
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()),  # noqa: NPY002
        "order": made.dls.train.rng.getstate(),
        "recorder": (
            list(made.recorder.lrs),
            [float(loss) for loss in made.recorder.losses],
            [list(v) for v in made.recorder.values],
        ),
        "callbacks": [type(callback).__name__ for callback in made.cbs],
    }


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_it_leaves_no_footprint():
    prints = []
    for cbs in ([], [Watch(norms=1, every=7)]):
        made = learner(shuffle=True, model=nn.Sequential(net(), nn.Dropout(0.2)))
        random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
        made.fit_one_cycle(2, cbs=cbs)
        prints.append(footprint(made))
        assert all(not p._post_accumulate_grad_hooks for p in made.model.parameters())
    assert same(*prints)


class Breaking(Callback):
    def __init__(self, error):
        super().__init__()
        self.error, self.fired = error, False

    def after_pred(self):
        if self.training and self.iter == 5 and not self.fired:
            self.fired = True
            raise self.error


@pytest.mark.parametrize("error", [RuntimeError("no more"), KeyboardInterrupt(), CancelFitException()])
def test_whatever_ends_a_fit_ends_the_watching_and_a_second_fit_goes_on(error):
    made, seen, always = learner(SGD), Watch(norms=1), Watch(norms=1)
    made.add_cb(Breaking(error))
    made.add_cb(always)
    with contextlib.suppress(RuntimeError, KeyboardInterrupt):
        made.fit(1, cbs=seen)
    assert len(seen.trace) == len(always.trace) == 5
    assert seen._seen is None
    made.fit(1)
    assert len(always.trace) == 13
    assert always.trace["step"].tolist() == list(range(13))
    assert all(not p._post_accumulate_grad_hooks for p in made.model.parameters())
    made.validate()
    assert len(always.trace) == 13
    made.model = net()
    made.fit(1, reset_opt=True)
    assert len(always.trace) == 8


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated")  # in the checkpoint that fastai's search makes and loads
def test_what_fastais_own_search_tries_is_no_part_of_the_training(tmp_path):
    seen = Watch(norms=1)
    made = learner(SGD, cbs=[seen], path=tmp_path)
    made.lr_find(end_lr=100, num_it=20, show_plot=False)
    assert len(seen.trace) == 0
    made.fit(1)
    assert len(seen.trace) == 8
    made.lr_find(end_lr=100, num_it=20, show_plot=False)
    assert len(seen.trace) == 8


class Told:
    def __init__(self):
        self.lengths = []

    def send(self, trace):
        self.lengths.append(len(trace))


def test_trackers_are_told_and_the_diagnosis_is_the_traces(capfd):
    told = Told()
    seen = Watch(norms=1, to=told, every=6)
    learner().fit(2, cbs=seen)
    assert told.lengths == [6, 12, 16]
    assert "step 6 " in capfd.readouterr().err
    assert seen.diagnosis == diagnose(seen.trace)
    assert pickle.loads(pickle.dumps(seen)).trace == seen.trace


@pytest.mark.parametrize(
    ("wrong", "word"),
    [({"norms": 0}, "norms must be"), ({"every": 1.5}, "every must be"), ({"to": 3}, "Values can be sent to a SummaryWriter")],
)
def test_settings_that_make_no_sense_are_refused(wrong, word):
    with pytest.raises(SettingError, match=word):
        Watch(**wrong)
