"""Laws 2 and 4: the same seed gives the same trace, and stopped and continued is never stopped, bit for bit."""

import numpy as np
import pytest
import schedulefree
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from surefoot import Problem, Run, descend, diagnose, find_lr, problems, stop, train


class Augmented(Dataset):
    """Draws from two global generators for every sample."""

    def __init__(self):
        self.x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return self.x[index] + torch.randn(3) * 0.1 + np.random.rand() * 0.1, self.x[index].sum(0, keepdim=True)  # noqa: NPY002


class Stream:
    """Batches without a length."""

    def __iter__(self):
        for _ in range(5):
            x = torch.randn(8, 3)
            yield x, x.sum(1, keepdim=True)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))


X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
DATA = {
    "pair": lambda: (X, X.sum(1, keepdim=True)),
    "dataset": Augmented,
    "loader": lambda: DataLoader(TensorDataset(X, X.sum(1, keepdim=True)), batch_size=16, shuffle=True),
    "own generator": lambda: DataLoader(Augmented(), batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(3)),
    "stream": Stream,
}
SETTINGS = {
    "sgd": {"optimizer": "sgd"},
    "adam, cosine": {"optimizer": "adam", "schedule": "cosine"},
    "plateau": {"optimizer": "momentum", "schedule": "plateau"},
    "schedulefree": {"optimizer": schedulefree.AdamWScheduleFree},
    "lbfgs": {"optimizer": "lbfgs"},
    "random": {"optimizer": "random"},
    "accumulate, clip": {"optimizer": "adam", "accumulate": 2, "clip_norm": 0.5},
}


def problem(data):
    size = 16 if data in ("pair", "dataset") else None
    return Problem(network(), DATA[data](), loss=nn.functional.mse_loss, validation=(X, X.sum(1, keepdim=True)), batch_size=size)


def equal(a, b):
    return (
        a.trace == b.trace
        and all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)
        and np.array_equal(a.path.steps, b.path.steps)
        and torch.equal(a.path.weights, b.path.weights)
    )


@pytest.mark.parametrize("data", DATA)
def test_same_seed_same_trace(data):
    first, second, other = (descend(problem(data), lr=0.01, steps=20, seed=seed) for seed in (4, 4, 5))
    assert equal(first, second)
    assert first.trace != other.trace


def test_seed_none_draws_entropy():
    first, second = (descend(problem("pair"), lr=0.01, steps=10, seed=None) for _ in range(2))
    assert first.trace != second.trace
    assert equal(first, descend(problem("pair"), lr=0.01, steps=10, seed=first.config["seed"]))


@pytest.mark.parametrize("at", [0, 2, 7, 14])
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("settings", ["sgd", "adam, cosine"])
def test_stopped_and_continued_is_never_stopped(data, settings, at, tmp_path):
    chosen = SETTINGS[settings]
    whole = descend(problem(data), lr=0.01, steps=20, **chosen)
    part = descend(problem(data), lr=0.01, steps=20, stop=lambda row: row.step == at, validate_every=1, **chosen)
    assert (part.ended, len(part.trace)) == ("stopped", at + 1)
    part.save(tmp_path / "run.pt")
    rest = descend(problem(data), start=Run.load(tmp_path / "run.pt"))
    assert rest.ended == "steps"
    assert np.array_equal(whole.trace["loss"], rest.trace["loss"])
    assert all(torch.equal(whole.weights[name], rest.weights[name]) for name in whole.weights)
    assert torch.equal(whole.path.weights, rest.path.weights)


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_kind_of_optimizer_and_schedule_continues(settings):
    chosen = SETTINGS[settings]
    whole = descend(problem("pair"), lr=0.01, steps=40, validate_every=3, **chosen)
    part = descend(problem("pair"), lr=0.01, steps=40, validate_every=3, stop=lambda row: row.step == 17, **chosen)
    rest = descend(problem("pair"), lr=0.01, steps=40, validate_every=3, start=part, **chosen)
    assert np.array_equal(whole.trace["loss"], rest.trace["loss"])
    assert np.array_equal(whole.trace["lr"], rest.trace["lr"])
    assert all(torch.equal(whole.weights[name], rest.weights[name]) for name in whole.weights)


def test_finished_runs_go_on_for_more_steps():
    whole = descend(problem("pair"), lr=0.01, steps=30)
    first = descend(problem("pair"), lr=0.01, steps=12)
    assert np.array_equal(descend(problem("pair"), lr=0.01, steps=18, start=first).trace["loss"], whole.trace["loss"])


def test_continuing_leaves_the_run_as_it_was():
    first = descend(problem("pair"), lr=0.01, steps=12, optimizer="adam")
    again = [descend(problem("pair"), lr=0.001, steps=10, start=first, optimizer="adam") for _ in range(2)]
    assert equal(*again)


def test_a_search_is_the_same_twice():
    first, second = (find_lr(problems.load("digits-linear"), steps=100, seed=2) for _ in range(2))
    assert first.lr == second.lr
    assert all(a == b for a, b in zip(first.trials, second.trials, strict=True))


@pytest.mark.parametrize("data", ["pair", "own generator"])
def test_a_diagnosis_is_the_same_twice(data):
    run = descend(problem(data), lr=0.01, steps=40)
    first, second = (diagnose(run, problem(data)) for _ in range(2))
    assert (first.verdict, first.told, first.gradients) == (second.verdict, second.told, second.gradients)
    assert first.evidence == second.evidence
    assert first.remedy == second.remedy
    assert all(np.array_equal(first.forks[rate], second.forks[rate], equal_nan=True) for rate in first.forks | second.forks)


@pytest.mark.parametrize("forced", [{}, {"lr": 1e4, "optimizer": "sgd"}])
@pytest.mark.parametrize("data", ["pair", "own generator"])
def test_a_training_is_the_same_twice_mended_or_not(data, forced):
    first, second = (train(problem(data), steps=60, **forced) for _ in range(2))
    assert equal(first, second)
    assert first.config["report"] == second.config["report"]
    assert ("back to step" in " ".join(first.config["report"])) == bool(forced)


def test_stop_rules_are_values():
    run = descend(problem("pair"), lr=0.05, steps=500, stop=[stop.below(0.5), stop.after_seconds(60)])
    assert run.ended == "stopped"
    assert run.trace["loss"][-1] < 0.5 <= run.trace["loss"][:-1].min()


def test_a_finished_run_in_a_store_goes_on_as_the_run_itself(tmp_path):
    from surefoot import Store

    run = descend(problem("loader"), lr=0.01, steps=12, store=tmp_path / "runs.sqlite")
    kept = Store(tmp_path / "runs.sqlite").load(run.config["run_id"])
    assert kept.trace == run.trace
    again, from_store = (descend(problem("loader"), lr=0.01, steps=10, start=start) for start in (run, kept))
    assert equal(again, from_store)
