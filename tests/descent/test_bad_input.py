"""Misuse is an exception that names what it saw and the way out."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import Problem, ProblemError, SettingError, SurefootWarning, descend, find_lr, problems, range_test, steps

X, Y = torch.randn(20, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(20, 1)
MSE = nn.functional.mse_loss


def problem(**changes):
    return Problem(**{"model": nn.Linear(2, 1), "data": (X, Y), "loss": MSE, **changes})


def frozen():
    return nn.Linear(2, 1).requires_grad_(False)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.spare = nn.Linear(2, 1), nn.Linear(2, 1)

    def forward(self, x):
        return self.used(x)


MAKING = {
    "no module": (lambda: Problem(lambda x: x, (X, Y)), "Problem.of"),
    "two ways": (lambda: problem(objective=lambda m, b: 0), "not both"),
    "one-shot": (lambda: problem(data=(batch for batch in [(X, Y)])), "one-shot generator.*list"),
    "one-shot validation": (lambda: problem(validation=iter([(X, Y)])), "validation is a one-shot"),
    "empty": (lambda: problem(data=(X[:0], Y[:0])), "empty"),
    "empty list": (lambda: problem(data=[]), "empty"),
    "unequal": (lambda: problem(data=(X, Y[:5])), "20 and 5"),
    "one array": (lambda: problem(data=X), "pair"),
    "nothing": (lambda: problem(data=3), "DataLoader"),
}
DESCENDING = {
    "frozen": (lambda: problem(model=frozen()), "no trainable parameter"),
    "not a scalar": (lambda: problem(loss=lambda p, t: (p - t) ** 2), r"shape \(20, 1\).*mean"),
    "not a tensor": (lambda: problem(loss=lambda p, t: 1.0), "float"),
    "detached": (lambda: problem(loss=lambda p, t: MSE(p, t).detach()), "does not depend"),
    "NaN in the data": (lambda: problem(data=(X / 0 * 0, Y)), "nan at the very first step.*40 values of the inputs"),
    "NaN in the model": (lambda: problem(model=_with_nan()), "first step.*weight"),
    "log of zero": (lambda: problem(loss=lambda p, t: (p * 0).log().mean()), "log of zero"),
    "no loss": (lambda: problem(loss=None), "objective"),
    "three parts": (lambda: problem(data=[(X, Y, Y)]), "tuple of 3"),
    "text": (lambda: problem(data=(np.array([["a", "b"]]), np.array([[1.0]]))), "not numbers"),
    "no batch": (lambda: problem(data=_Empty()), "empty"),
}
SETTINGS = {
    "lr 0": ({"lr": 0}, "positive number, got 0"),
    "lr negative": ({"lr": -0.1}, "got -0.1"),
    "lr NaN": ({"lr": float("nan")}, "got nan"),
    "lr text": ({"lr": "big"}, "'big'"),
    "lr too large for the weights": ({"lr": 1e300}, r"float32 can hold, up to 3.4e\+38, got 1e\+300"),
    "no lr": ({}, "find_lr"),
    "steps 0": ({"lr": 0.1, "steps": 0}, "steps must be a positive int"),
    "both": ({"lr": 0.1, "steps": 5, "epochs": 1}, "not both"),
    "optimizer": ({"lr": 0.1, "optimizer": "adamm"}, "Did you mean 'adamw'|Did you mean 'adam'"),
    "optimizer of no kind": ({"lr": 0.1, "optimizer": 3}, "got 3"),
    "function": ({"lr": 0.1, "optimizer": lambda model: 3}, "returned a int"),
    "schedule": ({"lr": 0.1, "schedule": "cosinus"}, "Did you mean 'cosine'"),
    "batch": ({"lr": 0.1, "batch_size": 21}, "larger than the data, which has 20"),
    "batch 0": ({"lr": 0.1, "batch_size": 0}, "positive int or 'full'"),
    "seed": ({"lr": 0.1, "seed": -1}, "seed"),
    "device": ({"lr": 0.1, "device": "quantum"}, "quantum"),
    "fp16": ({"lr": 0.1, "autocast": "fp16"}, "bf16"),
    "clip": ({"lr": 0.1, "clip_norm": 0}, "clip_norm"),
}


def _with_nan():
    model = nn.Linear(2, 1)
    model.weight.data.fill_(float("nan"))
    return model


class _Empty:
    def __iter__(self):
        return iter(())


@pytest.mark.parametrize("case", MAKING)
def test_making_a_problem(case):
    make, words = MAKING[case]
    with pytest.raises(ProblemError, match=words):
        make()


@pytest.mark.parametrize("case", DESCENDING)
def test_descending_it(case):
    make, words = DESCENDING[case]
    with pytest.raises(ProblemError, match=words):
        descend(make(), lr=0.1, steps=3)


@pytest.mark.parametrize("case", SETTINGS)
def test_settings(case):
    settings, words = SETTINGS[case]
    with pytest.raises(SettingError, match=words):
        descend(problem(), **settings)
    with pytest.raises(SettingError, match=words):
        steps(problem(), **settings)


def test_a_loader_keeps_its_own_batches():
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=5)
    with pytest.raises(SettingError, match=r"loader\.dataset"):
        descend(problem(data=loader), lr=0.1, batch_size=10)


def test_a_parameter_without_gradient_is_named_and_left_alone():
    unused = Unused()
    with pytest.warns(SurefootWarning, match=r"spare\.weight, spare\.bias"):
        run = descend(problem(model=unused), lr=0.1, optimizer="adamw", steps=3)
    assert torch.equal(run.weights["spare.weight"], unused.spare.weight)


def test_finding():
    with pytest.raises(SettingError, match="low must be below high"):
        find_lr(problem(), low=1.0, high=0.1)
    with pytest.raises(SettingError, match=r"20 gradient evaluations are too few to try rates: 60 are needed"):
        find_lr(problem(), steps=20)
    with pytest.raises(SettingError, match="at least 10 steps"):
        range_test(problem(), steps=5)


@pytest.mark.parametrize("kind", ["constant", "noise"])
def test_a_curve_that_cannot_tell_is_not_answered_confidently(kind):
    generator = torch.Generator().manual_seed(0)

    def loss(x):
        return x.sum() * 0 + 1.0 + (torch.randn((), generator=generator) if kind == "noise" else 0.0)

    found = find_lr(Problem.of(loss, [1.0]), optimizer="sgd", steps=400)
    assert not found.confident
    assert "cannot tell" in found.reason


def test_built_in_problems_finish_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        descend(problems.load("breast-cancer"), lr=0.1, steps=3)
