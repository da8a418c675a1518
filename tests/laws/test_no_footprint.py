"""Law 1: after any verb, also after an exception or Ctrl-C, nothing of the caller's has changed."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from surefoot import Problem, animate, descend, descend_many, diagnose, find_lr, fork, landscape, range_test, spectrum, steps, train

VERBS = {
    "descend": lambda problem: descend(problem, lr=0.01, steps=60),
    "steps": lambda problem: [row for row, _ in zip(steps(problem, lr=0.01, steps=60), range(30), strict=False)],
    "range_test": lambda problem: range_test(problem, steps=40),
    "find_lr": lambda problem: find_lr(problem, steps=100),
    "descend_many": lambda problem: descend_many(problem, lr=[0.001, 0.01], steps=30, engine="vmap"),
    "descend_many one by one": lambda problem: descend_many(problem, lr=[0.001, 0.01], seed=[0, 1], steps=30),
    "landscape": lambda problem: landscape(problem, descend(problem, lr=0.01, steps=10), resolution=5, data=20),
    "landscape of curvature": lambda problem: landscape(problem, plane="curvature", resolution=3, data=20),
    "spectrum": lambda problem: spectrum(problem, data=20),
    "animate": lambda problem: animate(landscape(problem, descend(problem, lr=0.01, steps=10), resolution=3), most=3, dpi=30),
    "diagnose": lambda problem: diagnose(descend(problem, lr=0.01, steps=20), problem),
    "train": lambda problem: train(problem, steps=40),
    "train, forced too high": lambda problem: train(problem, steps=40, lr=1e6, optimizer="sgd"),
    "fork": lambda problem: fork(problem, descend(problem, lr=0.01, steps=20), [0.001, 0.01], steps=20),
}


def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    model[2].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    x = torch.randn(40, 3)
    loader = DataLoader(
        TensorDataset(x, x.sum(1, keepdim=True)), batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(1)
    )
    return model, loader


def footprint(model, loader):
    return {
        "weights": copy.deepcopy(model.state_dict()),
        "grad": None if model[0].weight.grad is None else model[0].weight.grad.clone(),
        "modes": [module.training for module in model.modules()],
        "identity": [id(p) for p in model.parameters()],
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "torch": torch.get_rng_state(),
        "loader": loader.generator.get_state(),
    }


def same(a, b):
    if isinstance(a, dict):
        return all(same(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("ending", ["well", "exception", "interrupt"])
def test_nothing_of_the_callers_changes(verb, ending):
    model, loader = make()
    calls = 0

    def objective(m, batch):
        nonlocal calls
        calls += 1
        random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
        if ending != "well" and calls == 25:
            raise {"exception": RuntimeError, "interrupt": KeyboardInterrupt}[ending]
        return nn.functional.mse_loss(m(batch[0]), batch[1])

    before = footprint(model, loader)
    try:
        VERBS[verb](Problem(model, loader, objective=objective, validation=loader))
    except (RuntimeError, KeyboardInterrupt):
        assert ending != "well"
    assert same(before, footprint(model, loader))


@pytest.mark.parametrize("verb", VERBS)
def test_training_is_bit_equal_with_and_without(verb):
    def train(first):
        model, loader = make()
        torch.manual_seed(7)
        if first:
            VERBS[verb](Problem(model, loader, loss=nn.functional.mse_loss))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        losses = []
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    assert train(first=False) == train(first=True)


def test_between_two_rows_the_generators_are_the_users():
    model, loader = make()
    torch.manual_seed(5)
    alone = [torch.rand(1).item() for _ in range(5)]
    torch.manual_seed(5)
    assert [
        torch.rand(1).item()
        for _ in zip(range(5), steps(Problem(model, loader, loss=nn.functional.mse_loss), lr=0.01), strict=False)
    ] == alone
