"""What a cluster answers is what one process answers; what goes wrong on a worker comes out here, and nothing is left running."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
import torch

from surefoot import Problem, Store, find_lr, problems
from surefoot.descent.population import descend_many
from surefoot.descent.stop import below
from surefoot.errors import ProblemError, SettingError, SurefootError

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:ray", "ignore::ResourceWarning")
HERE = os.getpid()


@pytest.fixture(scope="module", autouse=True)
def running():
    kept = dict(os.environ), signal.getsignal(signal.SIGTERM)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=128 * 2**20)
    yield
    assert ray.is_initialized()  # it was running before, and is left running
    ray.shutdown()
    os.environ.clear()
    os.environ.update(kept[0])
    signal.signal(signal.SIGTERM, kept[1])


def idle() -> bool:
    """Whether all cores of the cluster are free within some seconds."""
    deadline = time.monotonic() + 20
    while ray.available_resources().get("CPU", 0) < 2:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def bowl(objective) -> Problem:
    """Four numbers, with a function of ours on the way to the loss."""
    data = [torch.arange(8.0).view(2, 4) / 8]  # one batch
    model = torch.nn.Linear(4, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
        model.bias.zero_()
    return Problem(model, data, objective=objective)


def elsewhere(act):
    """A loss during which something happens, but on the workers only."""

    def objective(model, batch):
        if os.getpid() != HERE:
            act()
        return (model(batch) ** 2).mean()

    return objective


def same(one, other, tolerance: float) -> None:
    assert [run.ended for run in one.runs] == [run.ended for run in other.runs]
    assert [run.config for run in one.runs] == [run.config for run in other.runs]
    for ours, theirs in zip(one.runs, other.runs, strict=True):
        for column in ("loss", "lr", "epoch", "grad_norm", "validation_loss"):
            np.testing.assert_allclose(ours.trace[column], theirs.trace[column], rtol=tolerance, atol=0, err_msg=column)
        for name, value in theirs.weights.items():
            torch.testing.assert_close(ours.weights[name], value, rtol=10 * tolerance, atol=tolerance / 10, equal_nan=True)


def test_what_is_walked_in_one_pass_is_the_same_to_rounding():
    problem = problems.load("digits-mlp")
    asked = {"lr": [*np.geomspace(1e-3, 0.3, 9).tolist(), 1e30], "seed": [0, 1] * 5, "steps": 50}
    steps = []
    made, twin = descend_many(problem, **asked, engine="ray", seen=steps.append), descend_many(problem, **asked, engine="vmap")
    assert made.engine == "ray"
    assert "engine vmap" in made.note
    same(made, twin, 1e-4)
    assert sum(steps) == sum(len(run.trace) for run in made.runs)


def noisy() -> Problem:
    """More is random than the order of the samples: descents of several seeds are walked one after the other."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 10))
    return problems.load("digits-mlp").with_(model=model, recipe=None)


def test_what_is_walked_one_by_one_is_the_same_bit_for_bit():
    problem = noisy()
    asked = {"lr": [1e-3, 1e-2, 0.1, 1.0, 1e9, 0.03, 0.3], "seed": [3, 1, 4, 1, 5, 9, 2], "steps": 30, "optimizer": "adam"}
    asked["stop"] = lambda: below(1.0)
    made, twin = descend_many(problem, **asked, engine="ray"), descend_many(problem, **asked, engine="sequential")
    assert "engine sequential" in made.note
    same(made, twin, 0)
    assert made.gradients == twin.gradients
    for ours, theirs in zip(made.runs, twin.runs, strict=True):
        assert all(np.array_equal(ours.trace[name], theirs.trace[name], equal_nan=True) for name in ("update_norm", "weight_norm"))
        assert torch.equal(ours.path.weights.nan_to_num(), theirs.path.weights.nan_to_num())
    further = {"lr": [0.01, 0.1], "steps": 5, "start": made.runs[0]}
    same(descend_many(problem, **further, engine="ray"), descend_many(problem, **further, engine="sequential"), 0)


@pytest.mark.parametrize("problem", [noisy(), problems.load("digits-mlp")], ids=["one by one", "in one pass"])
def test_the_rate_found_is_the_same(problem):
    asked = {"steps": 150, "seed": 2, "optimizer": "sgd"}
    made, twin = find_lr(problem, **asked, engine="ray"), find_lr(problem, **asked)
    assert made.engine == "ray"
    assert made.gradients == twin.gradients <= 150
    assert [len(trace) for trace in made.trials] == [len(trace) for trace in twin.trials]
    assert made.lr == pytest.approx(twin.lr, rel=1e-3)
    assert (made.low, made.high) == pytest.approx((twin.low, twin.high), rel=1e-3)
    assert made.confident == twin.confident


def test_a_killed_workers_shard_is_walked_again(tmp_path):
    flag = tmp_path / "killed"

    def die_once():
        try:
            flag.touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    asked = {"lr": [1e-3, 1e-2, 3e-2], "steps": 20}
    made = descend_many(bowl(elsewhere(die_once)), **asked, engine="ray", store=tmp_path / "runs.sqlite")
    assert flag.exists()
    twin = descend_many(bowl(elsewhere(die_once)), **asked, engine="vmap")
    assert [run.ended for run in made.runs] == ["steps"] * 3
    for ours, theirs in zip(made.runs, twin.runs, strict=True):
        np.testing.assert_allclose(ours.trace["loss"], theirs.trace["loss"], rtol=1e-4)
    assert sorted(entry.id for entry in Store(tmp_path / "runs.sqlite").runs()) == [1, 2, 3]


def test_a_shard_that_kills_every_worker_is_given_up():
    problem = bowl(elsewhere(lambda: os.kill(os.getpid(), signal.SIGKILL)))
    with pytest.raises(SurefootError, match="lost 4 times with its worker"):
        descend_many(problem, lr=1e-3, steps=20, engine="ray")
    assert idle()


def test_the_users_exception_comes_out_as_itself():
    class Weather(Exception):
        pass

    def rain():
        raise Weather("rain in the data")

    with pytest.raises(Weather, match="rain in the data") as raised:
        descend_many(bowl(elsewhere(rain)), lr=[1e-3, 1e-2], steps=20, engine="ray")
    assert "in rain" in raised.value.__notes__[0]  # the worker's own lines
    assert idle()


def test_what_cannot_be_pickled_is_named():
    lock = threading.Lock()

    def objective(model, batch):
        with lock:
            return (model(batch) ** 2).mean()

    with pytest.raises(ProblemError, match=r"problem's objective cannot be sent to the workers: .*lock"):
        descend_many(bowl(objective), lr=[1e-3, 1e-2], steps=20, engine="ray")


def test_a_worker_without_the_data(tmp_path):
    (tmp_path / "here").write_text("1 2 3 4")

    class FromFile(torch.utils.data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            numbers = (tmp_path / ("here" if os.getpid() == HERE else "there")).read_text().split()
            return torch.tensor([float(number) + index for number in numbers])

    problem = bowl(lambda model, batch: (model(batch) ** 2).mean()).with_(data=FromFile(), batch_size=2)
    with pytest.raises(ProblemError, match=r"(?s)Worker \S+ has no such file: \S+there\. Put the data where all workers see it"):
        descend_many(problem, lr=[1e-3, 1e-2], steps=20, engine="ray")


def test_what_has_arrived_is_in_the_store_when_the_rest_is_given_up(tmp_path):
    def seen(steps):
        if steps:
            raise KeyError("enough")

    file = tmp_path / "runs.sqlite"
    problem = bowl(lambda model, batch: (model(batch) ** 2).mean())
    with pytest.raises(KeyError, match="enough"):
        descend_many(problem, lr=np.geomspace(1e-4, 1e-2, 24).tolist(), steps=300, engine="ray", store=file, seen=seen)
    stored = Store(file).runs()
    assert 0 < len(stored) < 24
    twin = descend_many(problem, lr=stored[0].config["lr"], steps=300, engine="sequential").runs[0]
    again = Store(file).load(stored[0].id)
    assert again.ended == "steps"
    np.testing.assert_allclose(again.trace["loss"], twin.trace["loss"], rtol=1e-4)
    assert idle()


def test_the_callers_random_state_and_weights_stay():
    problem = noisy()
    weights = [p.clone() for p in problem.model.parameters()]
    state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    descend_many(problem, lr=[0.1, 0.2], steps=5, engine="ray")
    assert torch.equal(torch.get_rng_state(), state[0])
    assert np.array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002
    assert all(torch.equal(one, other) for one, other in zip(weights, problem.model.parameters(), strict=True))


def test_engines_that_there_are_not():
    problem = bowl(lambda model, batch: (model(batch) ** 2).mean())
    for engine in ("rays", "ray:", "Ray", "", "vmap:auto", None):
        with pytest.raises(SettingError, match="engine must be one of auto, vmap, sequential, processes, ray or ray:ADDRESS, got"):
            descend_many(problem, lr=0.1, steps=5, engine=engine)
