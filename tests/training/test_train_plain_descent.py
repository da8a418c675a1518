"""Without trouble a training is the plain descent at its rate, bit for bit; and it holds the laws of the other verbs."""

import random
import signal
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from surefoot import Problem, Run, SettingError, Store, descend, find_lr, problems, stop
from surefoot.training.train import train

COLUMNS = ("step", "epoch", "lr", "loss", "grad_norm", "update_norm", "weight_norm", "validation_loss")


def same_rows(a, b):
    return all(np.array_equal(a[name], b[name], equal_nan=True) for name in COLUMNS)


@pytest.mark.parametrize("schedule", ["cosine", "constant", "plateau", "warmup-cosine"])
@pytest.mark.parametrize("name", ["digits-linear", "line"])
def test_without_trouble_it_is_the_descent(name, schedule):
    problem = problems.load(name)
    settings = {"optimizer": "adamw", "schedule": schedule, "steps": 120, "seed": 3}
    run = train(problem, **settings)
    found = find_lr(problem, **settings)
    plain = descend(problem, lr=found.lr, **settings)
    assert run.config["lr"] == run.config["found"]["lr"] == found.lr
    assert set(run.trace["attempt"]) == {0.0}
    if len(run.config["report"]) == 1:  # nothing of its own was done
        assert same_rows(run.trace, plain.trace)
        assert all(torch.equal(run.weights[key], plain.weights[key]) for key in plain.weights)
        assert torch.equal(run.path.weights, plain.path.weights)
    else:
        assert schedule == "constant"


def test_going_back_takes_up_the_schedule_and_the_batches_where_they_were():
    """The state gone back to, walked by hand with the smaller rate, gives the same rows."""
    problem = problems.load("digits-mlp")
    run = train(problem, steps=100, optimizer="momentum", lr=20.0)
    last = run.trace["attempt"] == run.trace["attempt"].max()
    assert run.trace["attempt"].max() >= 1
    assert run.trace["step"][last][0] == 0
    plain = descend(problem, lr=run.config["lr"], steps=100, optimizer="momentum", schedule="cosine")
    assert np.array_equal(run.trace["loss"][last], plain.trace["loss"])
    assert np.array_equal(run.trace["lr"][last], plain.trace["lr"])


def test_rows_are_in_the_order_they_were_made():
    run = train(problems.load("bowl"), steps=60, optimizer="sgd", lr=20.0)
    assert (np.diff(run.trace["attempt"]) >= 0).all()
    assert (np.diff(run.trace["seconds"]) >= 0).all()
    for attempt in np.unique(run.trace["attempt"]):
        assert (np.diff(run.trace["step"][run.trace["attempt"] == attempt]) == 1).all()


def test_same_seed_same_run():
    one, other = (train(problems.load("digits-mlp"), steps=60, optimizer="sgd", lr=100.0, seed=2) for _ in range(2))
    assert one.trace == other.trace
    assert one.config["report"] == other.config["report"]
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_one_bad_batch_is_no_trouble():
    """One step's loss, and its gradient, are a hundred times too large."""
    x = torch.randn(640, 4, generator=torch.Generator().manual_seed(0))
    y = x @ torch.ones(4, 1)
    calls = 0

    def objective(model, batch):
        nonlocal calls
        calls += 1
        return nn.functional.mse_loss(model(batch[0]), batch[1]) * (100 if calls == 110 else 1)  # 10 calls measure the start

    torch.manual_seed(0)
    problem = Problem(nn.Linear(4, 1), (x, y), objective=objective, batch_size=32)
    run = train(problem, steps=200, optimizer="sgd", lr=0.02, schedule="cosine")
    poisoned = run.trace["loss"][99]
    assert poisoned > 20 * run.trace["loss"][98]
    assert run.trace["attempt"].max() == 0
    assert run.config["report"] == []


@pytest.mark.parametrize("steps", [1, 2, 7, 30, 59])
def test_few_steps_are_enough(steps):
    run = train(problems.load("line"), steps=steps)
    assert (run.ended, len(run.trace)) == ("steps", steps)


def test_only_noise_left_is_decayed():
    """At a constant rate the loss of a noisy quadratic stays at a level known in closed form; under a falling rate it goes below."""
    noise = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 1, generator=noise)
    problem = Problem(
        nn.Linear(1, 1, bias=False), (x, 3 * x + torch.randn(4000, 1, generator=noise)), loss=nn.functional.mse_loss, batch_size=8
    )
    best = float((x.T @ (3 * x)) / (x.T @ x))
    settings = {"optimizer": "sgd", "schedule": "constant", "lr": 0.2, "steps": 800}
    runs = [(train(problem, seed=seed, **settings), descend(problem, seed=seed, **settings)) for seed in range(5)]
    decayed = [pair for pair in runs if any("goes down to 0" in line for line in pair[0].config["report"])]
    assert len(decayed) >= 3
    target = torch.linalg.lstsq(x, problem.data[1]).solution.item()
    assert best == pytest.approx(3)
    away = [[abs(run.weights["weight"].item() - target) for run in pair] for pair in decayed]
    assert sum(mine for mine, _ in away) < 0.5 * sum(plain for _, plain in away)
    assert all(pair[0].trace["lr"][-1] < 0.01 * 0.2 for pair in decayed)


def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    model[2].eval()
    x = torch.randn(40, 3)
    loader = DataLoader(
        TensorDataset(x, x.sum(1, keepdim=True)), batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(1)
    )
    return model, loader


def footprint(model, loader):
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    return weights, modes, random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state(), loader.generator.get_state()  # noqa: NPY002


@pytest.mark.parametrize("ending", ["well", "mended", "exception"])
def test_no_footprint(ending):
    model, loader = make()
    calls = 0

    def objective(m, batch):
        nonlocal calls
        calls += 1
        random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
        if ending == "exception" and calls == 30:
            raise RuntimeError
        return nn.functional.mse_loss(m(batch[0]), batch[1])

    before = footprint(model, loader)
    try:
        run = train(Problem(model, loader, objective=objective), steps=60, optimizer="sgd", lr=1e4 if ending == "mended" else 0.01)
        assert (run.trace["attempt"].max() > 0) == (ending == "mended")
    except RuntimeError:
        assert ending == "exception"
    after = footprint(model, loader)
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1:4] == after[1:4]
    assert torch.equal(before[4], after[4])
    assert torch.equal(before[5], after[5])


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread only")
def test_ctrl_c_returns_the_run_so_far_which_goes_on():
    problem = problems.load("line")
    settings = {"steps": 300, "optimizer": "sgd", "schedule": "cosine", "lr": 0.1}

    def press(row):
        if row.step == 80:
            signal.raise_signal(signal.SIGINT)
        return False

    run = train(problem, stop=press, **settings)
    assert (run.ended, len(run.trace)) == ("interrupted", 81)
    whole = descend(problem, **settings)
    assert np.array_equal(descend(problem, start=run).trace["loss"], whole.trace["loss"])


def test_stop_rules_and_probes_are_those_of_descend():
    run = train(problems.load("line"), steps=300, optimizer="sgd", lr=0.1, stop=stop.below(0.05))
    assert run.ended == "stopped"
    assert run.trace["loss"][-1] < 0.05


def test_a_run_is_saved_and_stored_with_its_report(tmp_path):
    problem = problems.load("bowl")
    run = train(problem, steps=60, optimizer="sgd", lr=20.0, store=tmp_path / "runs.sqlite")
    run.save(tmp_path / "run.pt")
    again = Run.load(tmp_path / "run.pt")
    assert again.trace == run.trace
    assert again.config["report"] == run.config["report"]
    store = Store(tmp_path / "runs.sqlite")
    assert len(store.runs()) == 1
    kept = store.load(run.config["run_id"])
    assert kept.trace["step"].tolist() == list(range(60))
    assert np.array_equal(kept.trace["loss"], run.trace["loss"][run.trace["attempt"] == run.trace["attempt"].max()])
    assert kept.config["report"] == run.config["report"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"steps": 0}, "steps must be a positive int, got 0"),
        ({"steps": None}, "steps is needed"),
        ({"optimizer": "adamww"}, "Did you mean 'adamw'"),
        ({"lr": 0}, "lr must be a positive number, got 0"),
        ({"lr": float("nan")}, "lr must be a positive number"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"budget": 0}, "budget must be a positive number"),
        ({"batch_size": 0}, "batch_size must be a positive int"),
    ],
)
def test_bad_input_names_the_way_out(asked, told):
    with pytest.raises(SettingError, match=told):
        train(problems.load("line"), **{"steps": 60, **asked})


def test_what_is_no_problem_is_refused():
    with pytest.raises(SettingError, match="must be a Problem, got a Linear"):
        train(nn.Linear(1, 1), steps=10)
