"""Law 3: a population equals its members.  The batched pass against `Walk`, the slow twin; one row per optimizer and kind of model."""

from __future__ import annotations

import functools
import types
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import Problem, descend, problems
from surefoot.descent import population as module
from surefoot.descent.population import descend_many, fork
from surefoot.descent.stop import blow_up
from surefoot.errors import ProblemError, SettingError

RATES = [1e-4, 1e-3, 3e-3]


def network(*layers: nn.Module, seed: int = 0) -> Problem:
    torch.manual_seed(seed)
    for layer in layers:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    digits = problems.load("digits-mlp")
    data = tuple(part[:500] for part in digits.data)
    held_out = tuple(part[:100] for part in digits.validation)
    return digits.with_(model=nn.Sequential(*layers), data=data, validation=held_out, recipe=None)


def plain() -> Problem:
    return network(nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, 10))


def same(problem: Problem, rates=RATES, steps: int = 50, engine: str = "vmap", tolerance: float = 1e-4, **settings):
    """Asserts that the engine gives the twin's traces; returns what it made."""
    made = descend_many(problem, lr=rates, steps=steps, engine=engine, **settings)
    twin = descend_many(problem, lr=rates, steps=steps, engine="sequential", **settings)
    assert made.engine == engine, made.note
    for one, other in zip(made.runs, twin.runs, strict=True):
        assert one.ended == other.ended
        assert len(one.trace) == len(other.trace)
        for column in ("loss", "lr", "epoch", "grad_norm", "weight_norm", "validation_loss"):
            np.testing.assert_allclose(one.trace[column], other.trace[column], rtol=tolerance, err_msg=column)
        # where an update is as small as the rounding of the weights, its norm is that rounding
        kept = np.isfinite(other.trace["update_norm"])
        norms, room = other.trace["update_norm"][kept], 3e-7 * other.trace["weight_norm"][kept]
        assert (np.abs(one.trace["update_norm"][kept] - norms) <= tolerance * norms + room).all()
        if one.ended != "diverged":
            assert all(torch.allclose(one.weights[name], value, rtol=1e-3, atol=1e-5) for name, value in other.weights.items())
    return made


ELEMENTWISE = ["sgd", "momentum", "nesterov", "adam", "adamw", "nadam", "radam", "adamax", "adagrad", "adadelta", "rmsprop"]
OTHERS = ["asgd", "rprop", "adafactor"]


@pytest.mark.parametrize("optimizer", [*ELEMENTWISE, *OTHERS])
def test_every_optimizer(optimizer):
    same(plain(), optimizer=optimizer)


@pytest.mark.parametrize(
    "optimizer",
    [
        functools.partial(torch.optim.SGD, momentum=0.9, dampening=0.3, weight_decay=0.1),
        functools.partial(torch.optim.AdamW, weight_decay=0.5, amsgrad=True),
        functools.partial(torch.optim.RMSprop, momentum=0.5, centered=True),
        functools.partial(torch.optim.Adam, maximize=True),
        pytest.param("prodigy", id="third party"),
    ],
)
def test_settings_of_optimizers(optimizer):
    if optimizer == "prodigy":
        optimizer = pytest.importorskip("prodigyopt").Prodigy
    same(plain(), optimizer=optimizer, steps=20)


def groups(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        [{"params": model[0].parameters(), "lr": 1e-3}, {"params": model[2].parameters(), "lr": 1e-2, "weight_decay": 0.3}]
    )


def test_parameter_groups_keep_their_ratios():
    same(plain(), optimizer=groups)


def test_each_descent_may_have_an_optimizer_of_its_own():
    same(plain(), optimizer=["sgd", "adam", functools.partial(torch.optim.SGD, momentum=0.5)])


SETTINGS = [{"clip_norm": 0.5}, {"schedule": "warmup-cosine"}, {"accumulate": 3}, {"schedule": "plateau", "validate_every": 1}]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: next(iter(settings)))
def test_clipping_schedules_and_accumulation(settings):
    same(plain(), optimizer="momentum", **settings)


def test_dropout_draws_the_same_numbers_for_all():
    same(network(nn.Linear(64, 24), nn.ReLU(), nn.Dropout(0.4), nn.Linear(24, 10)), optimizer="adamw")


def test_running_statistics_are_each_copys_own():
    problem = network(nn.Linear(64, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 10))
    made = same(problem, optimizer="sgd", rates=[0.01, 0.3])
    means = [run.weights["1.running_mean"] for run in made.runs]
    assert not torch.allclose(means[0], means[1])
    assert [int(run.weights["1.num_batches_tracked"]) for run in made.runs] == [50, 50]


def test_seeds_see_batches_of_their_own():
    made = same(plain(), rates=[1e-3] * 3, seed=[0, 1, 2], optimizer="adamw")
    assert len({run.trace["loss"][3] for run in made.runs}) == 3


def test_seeds_with_dropout_are_walked_one_by_one_and_it_is_said():
    made = descend_many(network(nn.Linear(64, 10), nn.Dropout(0.5)), lr=1e-3, seed=[0, 1], steps=5, engine="vmap")
    assert made.engine == "sequential"
    assert "random" in made.note


class Dict(nn.Module):
    """As Hugging Face's models: called with the batch's keys, the loss in what it returns; one layer is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(64, 10), nn.Linear(3, 3)

    def forward(self, x, labels):
        return types.SimpleNamespace(loss=nn.functional.cross_entropy(self.used(x), labels))


def test_dict_batches_and_unused_weights():
    x, y = problems.load("digits-mlp").data
    batches = [{"x": x[i : i + 50], "labels": y[i : i + 50]} for i in range(0, 500, 50)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(Problem(Dict(), batches), optimizer="adamw")


def test_tied_and_frozen_weights():
    model = nn.Sequential(nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 10))
    model[2].weight = model[1].weight
    model[0].bias.requires_grad_(False)
    same(network(*model), optimizer="adamw")


@pytest.mark.parametrize("name", ["digits-cnn", "spirals", "photo-patches", "line", "rosenbrock"])
def test_built_in_problems(name):
    same(problems.load(name), optimizer="adamw", steps=10)


def test_diverged_members_are_dropped_and_leave_the_others_alone():
    made = same(problems.load("line"), rates=[0.1, 0.5, 1e8, 1e20, 1e36])
    assert [run.ended for run in made.runs] == ["steps", "steps", "diverged", "diverged", "diverged"]
    alone = descend_many(problems.load("line"), lr=[0.1, 0.5], steps=50, engine="vmap")
    assert np.allclose(made.runs[1].trace["loss"], alone.runs[1].trace["loss"], rtol=1e-6)
    assert made.gradients == sum(len(run.trace) for run in made.runs) + 1  # the scout's step


def test_stop_rules_are_made_for_each():
    made = descend_many(problems.load("line"), lr=[0.1, 5.0], steps=100, stop=lambda: blow_up(4.0), engine="vmap")
    assert [run.ended for run in made.runs] == ["steps", "stopped"]


def test_the_closed_form_of_a_quadratic():
    rates = [0.1, 0.5, 1.5]
    made = descend_many(Problem.of(lambda x: (x**2).sum() / 2, start=[1.0]), lr=rates, steps=30, engine="vmap")
    for rate, run in zip(rates, made.runs, strict=True):
        np.testing.assert_allclose(run.trace["loss"], 0.5 * (1 - rate) ** (2 * np.arange(30)), rtol=1e-4, atol=1e-30)


# ---- forks


def test_a_fork_goes_on_as_the_run_would_and_leaves_it_as_it_is():
    problem = plain()
    run = descend(problem, lr=1e-3, optimizer="adamw", steps=20)
    before = {name: value.clone() for name, value in run.weights.items()}
    forked = fork(problem, run, [1e-3, 1e-2], steps=10)
    alone = descend(problem, start=run, lr=1e-2, steps=10)
    np.testing.assert_allclose(forked.runs[1].trace["loss"], alone.trace["loss"], rtol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in run.weights.items())
    assert len(forked.runs[0].trace) == 30


@pytest.mark.parametrize("optimizer", ELEMENTWISE)
def test_weights_that_are_single_numbers_keep_their_history(optimizer):
    """`line` has two parameters without a dimension: the shape of their momentum is that of a count."""
    line = problems.load("line")
    run = descend(line, lr=1e-3, optimizer=optimizer, steps=20)
    same(line, start=run, steps=20, optimizer=optimizer)


@pytest.mark.parametrize("optimizer", ["adamw", "rprop", groups])
def test_a_member_can_be_gone_on_from(optimizer, tmp_path):
    problem = plain()
    member = descend_many(problem, lr=[1e-4, 1e-3], steps=10, optimizer=optimizer, engine="vmap").runs[1]
    member.save(tmp_path / "member.run")
    assert (tmp_path / "member.run").stat().st_size < 200_000  # its own weights, not those of all
    alone = descend(problem, lr=1e-3, steps=10, optimizer=optimizer)
    on, other = (
        descend(problem, start=run, steps=5, optimizer=optimizer, lr=1e-3)
        for run in (type(member).load(tmp_path / "member.run"), alone)
    )
    np.testing.assert_allclose(on.trace["loss"], other.trace["loss"], rtol=1e-4)


# ---- engines, memory, bad input


def test_a_loader_with_workers_of_its_own_can_be_read_in_processes():
    torch.manual_seed(0)
    inputs = torch.randn(32, 4)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(inputs, inputs.sum(1, keepdim=True)), batch_size=8, num_workers=1
    )
    problem = Problem(torch.nn.Linear(4, 1), loader, loss=torch.nn.functional.mse_loss)
    made, twin = (descend_many(problem, lr=[0.01, 0.1], steps=5, engine=engine) for engine in ("processes", "sequential"))
    assert made.engine == "processes"
    assert [run.trace["loss"].tolist() for run in made.runs] == [run.trace["loss"].tolist() for run in twin.runs]


def test_processes_give_the_same_bit_for_bit():
    problem = plain()
    made = descend_many(problem, lr=RATES, steps=10, engine="processes")
    twin = descend_many(problem, lr=RATES, steps=10, engine="sequential")
    assert made.engine == "processes"
    assert all(one.trace == other.trace for one, other in zip(made.runs, twin.runs, strict=True))


def test_an_error_in_a_process_arrives():
    def objective(model, batch):
        if float(model.x.detach()) != 1.0:
            raise ValueError("no further")
        return (model.x**2).sum()

    problem = Problem.of(lambda x: (x**2).sum(), start=[1.0]).with_(objective=objective)
    with pytest.raises(ValueError, match="no further"):
        descend_many(problem, lr=[0.1, 0.2], steps=3, engine="processes")


@pytest.mark.parametrize("optimizer", ["lbfgs"])
def test_what_cannot_be_batched_is_walked_one_by_one_and_it_is_said(optimizer):
    made = descend_many(problems.load("line"), lr=[0.1, 0.2], steps=5, optimizer=optimizer, engine="vmap")
    assert (made.engine, made.note) == ("sequential", "the optimizer evaluates the loss itself")


def test_a_model_with_control_flow_on_values_is_walked_one_by_one():
    problem = Problem.of(lambda x: (x**2).sum() if float(x.detach().sum()) > 0 else x.abs().sum(), start=[1.0, 2.0])
    made = descend_many(problem, lr=[0.1, 0.2], steps=5, engine="vmap")
    assert made.engine == "sequential"
    assert made.note


def test_auto_says_which_engine_it_took():
    assert descend_many(problems.load("spirals"), lr=list(np.logspace(-3, -1, 8)), steps=10).engine in ("vmap", "sequential")


def test_portions_by_memory_give_the_same():
    problem = plain()
    whole = descend_many(problem, lr=RATES, steps=10, engine="vmap")
    parts = descend_many(problem, lr=RATES, steps=10, engine="vmap", memory=1)
    assert parts.engine == "vmap"
    assert "portions of 1" in parts.note
    assert all(np.allclose(a.trace["loss"], b.trace["loss"], rtol=1e-5) for a, b in zip(whole.runs, parts.runs, strict=True))


def test_out_of_memory_halves_the_portion_then_walks_one_by_one(monkeypatch):
    class Greedy(module.Herd):
        def __init__(self, problem, settings, *rest):
            if len(settings) > limit:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            super().__init__(problem, settings, *rest)

    monkeypatch.setattr(module, "Herd", Greedy)
    limit = 2
    made = descend_many(plain(), lr=[1e-4, 1e-3, 1e-3, 1e-2, 1e-2], steps=5, engine="vmap")
    assert (made.engine, made.note) == ("vmap", "out of memory with 5 at once, so in portions of 2")
    limit = 0
    made = descend_many(plain(), lr=RATES, steps=5, engine="vmap")
    assert made.engine == "sequential"
    assert "the memory does not hold a batched copy" in made.note


def test_misuse_names_what_it_saw():
    line = problems.load("line")
    with pytest.raises(SettingError, match="engine must be one of"):
        descend_many(line, lr=[0.1], steps=2, engine="gpu")
    with pytest.raises(SettingError, match=r"2 of lr, 3 of seed"):
        descend_many(line, lr=[0.1, 0.2], seed=[1, 2, 3], steps=2)
    with pytest.raises(SettingError, match="lr must be a positive number"):
        descend_many(line, lr=[0.1, -1.0], steps=2)
    with pytest.raises(ProblemError, match="at the very first step"):
        descend_many(Problem.of(lambda x: (x * float("nan")).sum(), start=[1.0]), lr=[0.1, 0.2], steps=2)


@pytest.mark.parametrize("name", ["line", "himmelblau", "digits-linear"])
def test_paths_lead_where_each_descent_alone_goes(name):
    problem, rates = problems.load(name), [1e-3, 0.01, 2.0, 0.005]
    made = descend_many(problem, lr=rates, steps=40, engine="vmap", paths=True)
    for rate, run in zip(rates, made.runs, strict=True):
        alone = descend(problem, lr=rate, steps=40)
        assert run.ended == alone.ended
        assert run.path.steps.tolist() == alone.path.steps.tolist()
        torch.testing.assert_close(run.path.weights, alone.path.weights, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_without_being_asked_a_path_walked_in_one_pass_is_its_end():
    made = descend_many(problems.load("line"), lr=[0.1, 0.2], steps=5, engine="vmap")
    assert [run.path.steps.tolist() for run in made.runs] == [[5], [5]]


def test_paths_of_a_run_gone_on_from_begin_where_it_ended():
    problem = problems.load("line")
    start = descend(problem, lr=0.1, steps=7)
    made = descend_many(problem, lr=[0.1, 0.2], steps=5, start=start, engine="vmap", paths=True)
    assert made.runs[1].path.steps.tolist() == [7, 8, 9, 10, 11, 12]
    assert torch.equal(made.runs[1].path[0], start.path[-1])
