"""What `find_lr` answers where the truth is known: stability limits in closed form, planted scales, broken losses."""

from __future__ import annotations

import os
import re
import types

import pytest
import torch
from torch import nn

from surefoot import Problem, Run, descend, find_lr, plot, problems, range_test
from surefoot.errors import ProblemError, SettingError
from surefoot.find import choose
from surefoot.find.bracket import edge
from surefoot.find.found import FoundBy


def regression(scale: float = 1.0, shift: float = 0.0, sign: float = 1.0, noise: float = 0.1) -> Problem:
    """A linear regression whose loss is multiplied and moved."""
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(400, 5, generator=drawn)
    y = x @ torch.randn(5, 1, generator=drawn) + noise * torch.randn(400, 1, generator=drawn)
    torch.manual_seed(0)
    return Problem(
        nn.Linear(5, 1), (x[:300], y[:300]), validation=(x[300:], y[300:]),
        loss=lambda prediction, target: sign * (scale * nn.functional.mse_loss(prediction, target) + shift),
    )  # fmt: skip


def curvature(problem: Problem) -> float:
    """The largest eigenvalue of the Hessian of the mean squared error, in closed form."""
    x = torch.cat([problem.data[0], torch.ones(len(problem.data[0]), 1)], 1).double()
    return float(torch.linalg.eigvalsh(2 / len(x) * x.T @ x)[-1])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e8])
def test_the_rate_is_below_the_stability_limit_and_moves_with_the_scale_of_the_loss(scale):
    problem = regression(scale)
    limit = 2 / (scale * curvature(problem))
    found = find_lr(problem, optimizer="sgd", steps=300)
    assert found.confident, found.reason
    assert 0.02 * limit < found.lr < limit
    assert found.low <= found.lr <= found.high
    if found.ceiling is not None:
        assert 0.5 * limit < found.ceiling < 4 * limit


@pytest.mark.parametrize("shift", [-1000.0, 1000.0])
def test_a_constant_added_to_the_loss_changes_little(shift):
    found, plain = (find_lr(regression(shift=s), optimizer="sgd", steps=300) for s in (shift, 0.0))
    assert found.confident, found.reason
    assert 0.2 < found.lr / plain.lr < 5


@pytest.mark.parametrize("curved", [1e9, 1e-2])
def test_the_bracket_moves_by_itself(curved):
    bowl = Problem.of(lambda x: curved * (x**2).sum() / 2, start=[1.0, -2.0])
    found = find_lr(bowl, optimizer="sgd", steps=300)
    assert found.confident, found.reason
    assert 0.01 < found.lr * curved < 2


def test_the_ceiling_of_gradient_descent_is_the_stability_limit():
    found = find_lr(problems.load("bowl", curvatures=(1.0, 4.0)), optimizer="sgd", steps=400)
    assert found.ceiling == pytest.approx(0.5, rel=1.0)
    assert found.ceiling > 0.5
    assert found.lr < 0.5


def noise_alone(model, batch):
    return torch.randn(()) + 0 * model(batch[0]).sum()


def constant(model, batch):
    return 1.0 + 0 * model(batch[0]).sum()


BROKEN = {
    "noise": {"objective": noise_alone, "loss": None},
    "constant": {"objective": constant, "loss": None},
    "negative squares": {"loss": lambda prediction, target: -nn.functional.mse_loss(prediction, target)},
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("validated", [True, False])
def test_broken_losses_are_never_confident(broken, validated, seed):
    problem = regression().with_(**BROKEN[broken])
    found = find_lr(problem if validated else problem.with_(validation=None), optimizer="sgd", steps=200, seed=seed)
    assert not found.confident
    assert len(found.reason) > 30


class Reversed(torch.autograd.Function):
    """A gradient of the wrong sign."""

    @staticmethod
    def forward(ctx, loss):
        return loss.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_gradient_of_the_wrong_sign_is_found_out(optimizer):
    problem = regression().with_(loss=lambda prediction, target: Reversed.apply(nn.functional.mse_loss(prediction, target)))
    found = find_lr(problem, optimizer=optimizer, steps=200)
    assert not found.confident
    assert "gradient" in found.reason


def test_a_loss_that_breaks_at_every_rate():
    problem = Problem.of(lambda x: torch.where(x == 1.0, x, x * torch.nan).sum(), start=[1.0])
    found = find_lr(problem, optimizer="sgd", steps=200)
    assert not found.confident
    assert "every rate that was tried overflowed" in found.reason


@pytest.mark.parametrize("budget", [0.5, 1.0, 3.0])
def test_the_budget_is_respected(budget):
    found = find_lr(problems.load("digits-linear"), steps=200, budget=budget)
    assert found.gradients <= budget * 200
    assert found.gradients == pytest.approx(
        sum(len(trial) for trial in found.trials), abs=30
    )  # and the steps that chose the engine


@pytest.mark.parametrize("steps", [60, 70, 80, 120])
@pytest.mark.parametrize("name", ["digits-linear", "spirals"])
def test_small_budgets_are_respected_and_answered(name, steps):
    assert find_lr(problems.load(name), optimizer="sgd", steps=steps).gradients <= steps


def test_what_is_wrong_with_a_problem_is_said_as_descend_says_it():
    digits = problems.load("digits-linear")
    with pytest.raises(ProblemError, match="The loss must be a scalar"):
        find_lr(digits.with_(loss=nn.CrossEntropyLoss(reduction="none")), steps=100)
    for model in (nn.Flatten(), nn.Linear(64, 10).requires_grad_(False)):
        with pytest.raises(ProblemError, match="no trainable parameter"):
            find_lr(digits.with_(model=model), steps=100)


def test_same_seed_same_answer_and_other_seeds_near():
    one, same, other = (find_lr(problems.load("digits-mlp"), steps=200, seed=seed, engine="vmap") for seed in (3, 3, 4))
    assert one.lr == same.lr
    assert all(a == b for a, b in zip(one.trials, same.trials, strict=True))
    assert 0.25 < one.lr / other.lr < 4


def test_groups_keep_their_ratios():
    seen = []

    def optimizer(model):
        made = torch.optim.SGD([{"params": [model.weight], "lr": 0.1}, {"params": [model.bias], "lr": 0.01}])
        seen.append(made)
        return made

    find_lr(regression(), optimizer=optimizer, steps=100, engine="sequential")
    assert all(made.param_groups[0]["lr"] == pytest.approx(10 * made.param_groups[1]["lr"]) for made in seen[3:])


def test_in_the_middle_of_a_training_the_run_stays_as_it_is():
    problem = problems.load("digits-mlp")
    run = descend(problem, optimizer="adamw", lr=1e-3, steps=100)
    before = {name: value.clone() for name, value in run.weights.items()}
    found = find_lr(problem, start=run, steps=200)
    assert isinstance(run, Run)
    assert all(torch.equal(value, before[name]) for name, value in run.weights.items())
    assert found.trials[0]["step"][0] == 100


def test_over_batch_sizes():
    table = find_lr(problems.load("digits-linear"), optimizer="sgd", steps=100, over={"batch_size": [16, 256]})
    assert isinstance(table, FoundBy)
    assert [value for value, _ in table.entries] == [16, 256]
    assert table[16].lr < 4 * table[256].lr
    assert str(table).count("\n") == 2


def loaders():
    x, y = regression().data
    yield "three batches", [(x[i : i + 50], y[i : i + 50]) for i in (0, 50, 100)]

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(zip(x[:64], y[:64], strict=True))

    yield "iterable", Stream()
    yield "loader", torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=32, shuffle=True)


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in loaders()])
def test_short_and_iterable_data(data):
    found = find_lr(regression().with_(data=data), optimizer="sgd", steps=200)
    assert found.confident, found.reason
    assert found.lr < 2 / curvature(regression())


class HuggingFace(nn.Module):
    """Called with the batch's keys, the loss in what it returns."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 1)

    def forward(self, inputs, labels):
        return types.SimpleNamespace(loss=nn.functional.mse_loss(self.layer(inputs), labels), logits=None)


def test_dict_batches():
    x, y = regression().data
    torch.manual_seed(0)
    batches = [{"inputs": x[i : i + 50], "labels": y[i : i + 50]} for i in range(0, 300, 50)]
    found = find_lr(Problem(HuggingFace(), batches), optimizer="sgd", steps=200)
    assert found.confident, found.reason
    assert found.engine in ("vmap", "sequential")


class Unrepeatable(nn.Module):
    """Adds noise that no seed reaches, enough of it that losses do not round to the same."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 1)

    def forward(self, x):
        return self.layer(x) + 1e-2 * int.from_bytes(os.urandom(8), "big") / 2**64


def test_a_forward_pass_that_cannot_be_repeated_is_said_and_averaged():
    torch.manual_seed(0)
    found = find_lr(regression().with_(model=Unrepeatable()), optimizer="sgd", steps=300)
    assert "forward pass" in found.reason


def test_fine_tuning_weights_that_are_already_good():
    problem = problems.load("digits-linear")
    good = descend(problem, optimizer="sgd", lr=0.5, steps=400)
    model = nn.Linear(64, 10)
    model.load_state_dict(dict(good.weights))
    found = find_lr(problem.with_(model=model), optimizer="sgd", steps=200)
    after = descend(problem.with_(model=model), optimizer="sgd", lr=found.lr, steps=200)
    assert after.trace["validation_loss"][-1] < good.trace["validation_loss"][-1] + 0.02


def test_misuse_names_what_it_saw():
    problem = regression()
    with pytest.raises(SettingError, match=r"low must be below high, got low=1 and high=0\.1"):
        find_lr(problem, low=1.0, high=0.1)
    with pytest.raises(SettingError, match=rf"10 gradient evaluations are too few to try rates: {choose.MINIMUM} are needed"):
        find_lr(problem, steps=10)
    with pytest.raises(SettingError, match="engine must be one of"):
        find_lr(problem, engine="magic")
    with pytest.raises(SettingError, match="over takes one setting"):
        find_lr(problem, over={"colour": [1]})
    with pytest.raises(ProblemError, match="at the very first step"):
        find_lr(problem.with_(loss=lambda prediction, target: (prediction * torch.nan).sum()))


def test_the_edge_of_a_range_test_is_above_the_limit():
    test = range_test(problems.load("line"), low=1e-6, high=1e3, steps=60)
    assert 0.79 < edge(test) < 0.79 * 50


def test_the_answer_can_be_drawn():
    found = find_lr(problems.load("line"), optimizer="sgd", steps=200)
    assert f"{found.lr:.3g}" in plot(found).get_title(loc="left")


def test_a_fall_that_is_too_small_for_its_noise_is_not_said_to_be_within_it():
    drawn = torch.Generator().manual_seed(0)
    x, y = torch.randn(64, 4, generator=drawn), torch.randint(0, 2, (64,), generator=drawn)  # nothing to learn but by heart
    torch.manual_seed(0)
    found = find_lr(Problem(nn.Linear(4, 2), (x, y), loss=nn.functional.cross_entropy, batch_size=4), steps=60)
    assert not found.confident
    assert re.search(
        r"the loss went from [\d.]+ to [\d.]+, no fall by 4 standard errors of its batches \([\d.]+ each\)", found.reason
    )
