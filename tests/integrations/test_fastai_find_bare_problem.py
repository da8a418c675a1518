"""The rate found for a Learner is the one found for the same torch model as a bare problem, and the Learner stays as it was."""

import copy
import functools
import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("fastai")

from tests.integrations.fastai_learners import QUIET, batches, learner, net, samples  # isort: skip  (imports fastai without its warnings)

from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.training import GradientAccumulation, GradientClip
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import SGD, Adam, Lamb, OptimWrapper, QHAdam, RAdam, RMSProp, ranger

import surefoot
from surefoot.errors import ProblemError, SettingError, SurefootWarning
from surefoot.integrations import fastai_learner
from surefoot.integrations.fastai import find_lr, one_cycle, problem_of, settings_of
from surefoot.integrations.fastai_learner import Borrowed

pytestmark = [pytest.mark.filterwarnings(word) for word in QUIET]
STEPS = 80


def bare(validation=None, **settings):
    problem = surefoot.Problem(net(), batches(), loss=nn.functional.cross_entropy, validation=validation)
    return surefoot.find_lr(problem, **{"steps": STEPS, "engine": "sequential", **settings})


def answer(found):
    return found.lr, found.low, found.high, found.ceiling, found.confident, found.gradients


def stock(model):
    """fastai's Adam in torch's words: biases do not decay."""
    decayed = [p for p in model.parameters() if p.ndim > 1], [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": part, "weight_decay": wd} for part, wd in zip(decayed, (0.01, 0.0), strict=True)]
    return torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.99), eps=1e-5)


@pytest.mark.parametrize("engine", ["vmap", "sequential"])  # "auto" takes the quicker of the two, and they differ by rounding
def test_the_rate_is_that_of_the_bare_problem(engine):
    ours, theirs = find_lr(learner(Adam), steps=STEPS, engine=engine), bare(batches(64), optimizer=stock, engine=engine)
    assert ours.engine == theirs.engine  # one descent alone is always walked by itself
    assert answer(ours) == answer(theirs)
    assert [trial["loss"].tolist() for trial in ours.trials] == [trial["loss"].tolist() for trial in theirs.trials]


def test_also_with_groups_accumulation_clipping_and_a_cycle():
    made = learner(
        functools.partial(SGD, mom=0.9),
        [GradientAccumulation(64), GradientClip(0.5)],
        lr=slice(0.02, 0.08),
        splitter=lambda m: [list(m[0].parameters()), list(m[2].parameters())],
    )
    ours = find_lr(made, epochs=20, schedule=one_cycle, engine="sequential")

    def optimizer(model):
        groups = [{"params": model[0].parameters(), "lr": 0.02}, {"params": model[2].parameters(), "lr": 0.08}]
        return torch.optim.SGD(groups, lr=1.0, momentum=0.9)

    theirs = bare(batches(64), optimizer=optimizer, accumulate=2, clip_norm=0.5, schedule=one_cycle)
    assert ours.steps == STEPS
    assert answer(ours) == answer(theirs)


def test_the_order_of_the_batches_is_the_seeds():
    made = learner(shuffle=True)
    first, again, other = (find_lr(made, steps=STEPS, seed=seed, engine="sequential") for seed in (1, 1, 2))
    assert [trace["loss"].tolist() for trace in first.trials] == [trace["loss"].tolist() for trace in again.trials]
    assert first.trials[0]["loss"].tolist() != other.trials[0]["loss"].tolist()
    data = problem_of(made).data
    random.seed(0)
    epochs = [torch.cat([x for x, _ in data]) for _ in range(2)]
    assert not torch.equal(*epochs)
    assert torch.equal(epochs[0].sort(0).values, samples()[0].sort(0).values)


OPTIMIZERS = {
    "Adam": (Adam, torch.optim.AdamW),
    "Adam, l2": (functools.partial(Adam, decouple_wd=False, wd=0.1, eps=1e-3, sqr_mom=0.9), torch.optim.Adam),
    "SGD": (SGD, torch.optim.SGD),
    "SGD, momentum": (functools.partial(SGD, mom=0.9), torch.optim.SGD),
    "SGD, l2": (functools.partial(SGD, mom=0.8, wd=0.1, decouple_wd=False), torch.optim.SGD),
    "SGD, decay": (functools.partial(SGD, mom=0.8, wd=0.1), Borrowed),
    "RMSProp": (RMSProp, torch.optim.RMSprop),
    "RMSProp, momentum": (functools.partial(RMSProp, mom=0.9), Borrowed),
    "RAdam": (RAdam, Borrowed),
    "Lamb": (Lamb, Borrowed),
    "QHAdam": (QHAdam, Borrowed),
    "ranger": (ranger, Borrowed),
    "torch's": (functools.partial(OptimWrapper, opt=torch.optim.NAdam), torch.optim.NAdam),
}


@pytest.mark.parametrize("wd", [None, 0.05])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_makes_fastais_own_twenty_steps(name, wd):
    opt_func, kind = OPTIMIZERS[name]
    if wd and name in ("SGD", "SGD, momentum", "RMSProp"):
        kind = Borrowed  # weights that shrink by themselves, which torch's do not
    made = learner(opt_func, wd=wd)
    model = copy.deepcopy(made.model)
    optimizer = settings_of(made)["optimizer"](model)
    assert type(optimizer) is kind
    made.fit(3, 0.01)
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    for x, y in batches() * 3:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    rtol = 0 if kind in (Borrowed, torch.optim.NAdam) else 2e-5  # torch rounds in another order
    for ours, theirs in zip(model.parameters(), made.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=rtol, atol=rtol / 10)


def test_a_borrowed_optimizer_finds_a_rate_and_leaves_theirs_alone():
    assert find_lr(learner(Lamb), steps=60).lr > 0


def everything(made):
    return {
        "weights": {name: value.clone() for name, value in made.model.state_dict().items()},
        "optimizer": None if made.opt is None else [copy.deepcopy(made.opt.state[p]) for p in made.model.parameters()],
        "hypers": None if made.opt is None else [dict(hyper) for hyper in made.opt.hypers],
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()),  # noqa: NPY002
        "order": (made.dls.train.rng.getstate(), made.dls.train.fake_l.d is made.dls.train, sorted(vars(made.dls.train))),
        "recorder": [list(values) for values in getattr(made.recorder, "values", [])],
        "callbacks": [id(callback) for callback in made.cbs],
        "learner": sorted(vars(made)),
        "modes": [part.training for part in made.model.modules()],
        "trained": [p.requires_grad for p in made.model.parameters()],
    }


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize("fitted", [0, 1])
def test_a_learner_stays_as_it_is(fitted):
    made = learner(shuffle=True, model=nn.Sequential(net(), nn.BatchNorm1d(2), nn.Dropout(0.1)))
    made.fit(fitted)
    before = everything(made)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_lr(made, steps=60)
    assert same(before, everything(made))
    with pytest.raises(ZeroDivisionError):
        find_lr(made, steps=60, progress=lambda *_: 1 / 0)
    assert same(before, everything(made))


def test_frozen_weights_stay_frozen():
    made = learner(SGD, splitter=lambda m: [list(m[0].parameters()), list(m[2].parameters())])
    made.freeze()
    problem, settings = problem_of(made), settings_of(made)
    run = surefoot.descend(problem, lr=0.1, steps=5, **settings)
    assert torch.equal(run.weights["0.weight"], made.model[0].weight)
    assert not torch.equal(run.weights["2.weight"], made.model[2].weight)


def test_fastais_losses_and_tensors():
    flat, plain = (find_lr(made, steps=60, engine="sequential") for made in (learner(loss=CrossEntropyLossFlat()), learner()))
    assert flat.lr == plain.lr


def test_mixed_precision_counts_where_it_works():
    made = learner(cbs=[MixedPrecision(amp_mode="bf16")])
    assert "autocast" not in settings_of(made)
    assert fastai_learner._of_callbacks(made, "cuda:0", {})["autocast"] == "bf16"


class Mixing(Callback):
    def before_batch(self):
        pass


def built():
    return OptimWrapper(opt=torch.optim.SGD(net().parameters(), lr=1.0))


def without_batches():
    rows = list(zip(*samples(), strict=True))[:8]
    return Learner(DataLoaders(DataLoader(rows, bs=32, drop_last=True), device="cpu"), net(), nn.CrossEntropyLoss())


def without_targets():
    return Learner(DataLoaders(DataLoader(list(samples()[0]), bs=32), device="cpu"), net(), nn.MSELoss())


REFUSED = {
    "no learner": (lambda: find_lr(net()), ProblemError, "must be a fastai Learner"),
    "no batches": (lambda: find_lr(without_batches()), ProblemError, "no training batch"),
    "no targets": (lambda: find_lr(without_targets(), steps=60), ProblemError, "without a target"),
    "an optimizer that is built": (lambda: find_lr(learner(built())), SettingError, "Pass optimizer="),
    "parts of batches": (lambda: find_lr(learner(cbs=[GradientAccumulation(50)])), SettingError, "Pass accumulate="),
    "epochs in words": (lambda: find_lr(learner(), "5"), SettingError, "epochs must be a positive int"),
    "no epochs": (lambda: find_lr(learner(), 0), SettingError, "epochs must be a positive int"),
    "half an epoch": (lambda: find_lr(learner(), 8.5), SettingError, "pass steps="),
    "another norm": (lambda: find_lr(learner(cbs=[GradientClip(1.0, 1.0)])), SettingError, "Pass clip_norm="),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_with_the_way_out(case):
    call, kind, word = REFUSED[case]
    with pytest.raises(kind, match=word):
        call()


def test_the_way_out_leads_out():
    assert find_lr(learner(built()), optimizer="sgd", steps=60).lr > 0
    assert find_lr(learner(cbs=[GradientAccumulation(50)]), accumulate=2, steps=60).lr > 0
    assert find_lr(learner(cbs=[GradientClip(1.0, 1.0)]), clip_norm=2.0, steps=60).lr > 0


def test_what_is_not_followed_is_said():
    with pytest.warns(SurefootWarning, match="Mixing"):
        settings_of(learner(cbs=[Mixing()]))
