"""Other weights to begin at: the model is then what torch's own ``load_state_dict`` makes of it, and the first row tells of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import Problem, ProblemError, SettingError, Store, descend, problems


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    model[2].bias.requires_grad_(False)
    model.eval()
    return Problem(model, (torch.randn(20, 3), torch.randn(20, 1)), loss=nn.functional.mse_loss, name="net")


def other_state(problem, seed=1):
    drawn = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(value.shape, generator=drawn) if value.is_floating_point() else value + 3
        for name, value in problem.model.state_dict().items()
    }


def test_a_state_dict_is_taken_as_torch_takes_it():
    problem = network()
    state = other_state(problem)
    before = {name: value.clone() for name, value in problem.model.state_dict().items()}
    there = problem.at(state)
    twin = network().model
    twin.load_state_dict(state)
    assert all(torch.equal(value, twin.state_dict()[name]) for name, value in there.model.state_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in problem.model.state_dict().items())
    assert (there.model.training, there.data, there.loss, there.called) == (False, problem.data, problem.loss, "net")
    assert [p.requires_grad for p in there.model.parameters()] == [p.requires_grad for p in problem.model.parameters()]


@pytest.mark.parametrize(
    "kind", [list, tuple, np.asarray, torch.tensor, lambda row: torch.tensor(row, dtype=torch.float16).double()]
)
def test_a_row_is_taken_as_torch_takes_it(kind):
    problem = network()
    moved = [p for p in problem.model.parameters() if p.requires_grad]
    row = [0.125 * index for index in range(sum(p.numel() for p in moved))]
    there = problem.at(kind(row))
    twin = network().model
    nn.utils.vector_to_parameters(torch.tensor(row), [p for p in twin.parameters() if p.requires_grad])
    assert all(torch.equal(value, twin.state_dict()[name]) for name, value in there.model.state_dict().items())


def test_a_part_is_enough_and_leaves_the_rest():
    problem = problems.load("line").at({"b": 7.0})
    assert (problem.model.w.item(), problem.model.b.item()) == (0.0, 7.0)


def test_the_first_row_is_the_loss_there():
    problem = problems.load("line").at([0.5, -1])
    x, y = (part.double().numpy() for part in problem.data)
    assert descend(problem, lr=0.1, steps=1).trace["loss"][0] == pytest.approx(np.mean((0.5 * x - 1 - y) ** 2), rel=1e-6)
    assert descend(Problem.of(lambda x: (x**2).sum(), start=3.0).at([4.0]), lr=0.1, steps=1).trace["loss"][0] == 16.0


def test_weights_of_a_run_continue_its_loss():
    problem = problems.load("bowl")
    run = descend(problem, lr=0.05, steps=7)
    longer = descend(problem, lr=0.05, steps=8)
    assert descend(problem.at(run.weights), lr=0.05, steps=1).trace["loss"][0] == longer.trace["loss"][7]
    assert descend(problem.at(run.path[-1]), lr=0.05, steps=1).trace["loss"][0] == longer.trace["loss"][7]


def test_the_recipe_tells_of_the_start(tmp_path):
    problem = problems.load("line", noise=0.1).at([0.1, -1]).at({"w": 0.3})
    again = problems.load(**problem.recipe)
    assert problem.recipe == {"name": "line", "noise": 0.1, "at": [pytest.approx(0.3), -1.0]}
    assert torch.equal(again.model.w, problem.model.w)
    assert torch.equal(again.model.b, problem.model.b)
    recorded = descend(problem, lr=0.1, steps=3, store=tmp_path / "runs.db")
    kept = Store(tmp_path / "runs.db").load(recorded.config["run_id"])
    anew = descend(problems.load(**kept.config["recipe"]), lr=0.1, steps=3)
    assert anew.trace["loss"].tolist() == kept.trace["loss"].tolist()


def test_a_start_that_a_recipe_cannot_tell_leaves_none():
    assert problems.load("digits-mlp").at(torch.zeros(26_122)).recipe is None
    normalised = network().with_(recipe={"name": "somewhere"})
    assert normalised.at(other_state(normalised)).recipe is None
    assert Problem.of(lambda x: x, start=1.0).at([2.0]).recipe is None


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0], r"2 trainable weights \(w, b\), got 1 numbers"),
        ([], "got 0 numbers"),
        ([1.0, 2.0, 3.0], "got 3 numbers"),
        ([[1.0, 2.0]], r"one after the other.*shape \(1, 2\)"),
        ([1.0, float("nan")], "finite numbers of float32, got nan for b"),
        ([1.0, 1e300], r"finite numbers of float32, got 1e\+300 for b"),
        ({"w": float("inf")}, "got inf for w"),
        ({"W": 1.0}, r"no weights named 'W'. Did you mean 'w'\? It has: w, b"),
        ({"w": [1.0, 2.0]}, r"'w' have the shape \(\), got the shape \(2,\)"),
        ("ab", "must be numbers, got 'ab'"),
        (None, "must be numbers, got None"),
        (["1", "2"], "must be numbers"),
        ([1.0, [2.0]], "must be numbers"),
    ],
)
def test_misuse_names_what_it_saw(weights, words):
    line = problems.load("line")
    with pytest.raises(SettingError, match=words):
        line.at(weights)
    assert (line.model.w.item(), line.model.b.item()) == (0.0, -1.0)


def test_a_place_in_a_matrix_is_named():
    row = torch.zeros(20)
    row[4] = torch.inf
    with pytest.raises(SettingError, match=r"got inf for weight\[1, 0\]"):
        Problem(nn.Linear(4, 4), (torch.zeros(2, 4), torch.zeros(2, 4)), loss=nn.functional.mse_loss).at(row)


def test_a_model_without_weights_is_refused():
    data = (torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(ProblemError, match="lazy"):
        Problem(nn.LazyLinear(4), data, loss=nn.functional.mse_loss).at([1.0])
    with pytest.raises(ProblemError, match="no trainable parameter"):
        Problem(nn.Identity(), data, loss=nn.functional.mse_loss).at([1.0])
