"""Surfaces against closed forms, direct evaluations of the model, and what they must leave alone."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import Problem, descend, problems
from surefoot.errors import ProblemError, SettingError
from surefoot.surfaces.grid import Rows
from surefoot.surfaces.surface import landscape

CURVATURES = torch.tensor([1.0, 10.0], dtype=torch.float64)


def bowl() -> Problem:
    return Problem.of(lambda x: (CURVATURES * x * x).sum() / 2, start=torch.tensor([3.0, 1.0], dtype=torch.float64), name="bowl")


def digits(model: nn.Module | None = None) -> Problem:
    problem = problems.load("digits-mlp", width=16)
    return problem if model is None else problem.with_(model=model)


def direct(problem: Problem, row: torch.Tensor, samples: int = 2000) -> float:
    """The loss at these weights, by putting them into a copy of the model; the samples are all of the training data."""
    model = copy.deepcopy(problem.model).eval()
    torch.nn.utils.vector_to_parameters(row, model.parameters())
    x, y = problem.data
    with torch.no_grad():
        return float(problem.loss(model(x), y))


def test_a_bowl_is_its_formula():
    surface = landscape(bowl(), resolution=31, extent=(-2, 2, -1, 3))
    x, y = np.meshgrid(np.linspace(-2, 2, 31), np.linspace(-1, 3, 31))
    assert np.abs(surface.loss - (x**2 + 10 * y**2) / 2).max() < 1e-12
    assert surface.exact


def test_its_representation_is_one_line():
    assert repr(landscape(bowl(), resolution=3, extent=(-1, 1, -1, 1))) == "<Surface: 3 x 3 points (axes), loss 0 to 5.5>"


def test_the_line_is_its_formula():
    problem = problems.load("line")
    x, y = (part.double().numpy().ravel() for part in problem.data)
    surface = landscape(problem, resolution=41)
    w, b = np.meshgrid(*surface.axes)
    expected = ((w[..., None] * x + b[..., None] - y) ** 2).mean(-1)
    assert np.abs(surface.loss / expected - 1).max() < 2e-4  # float32
    assert surface.samples == len(x)


def test_one_weight_gives_a_curve():
    surface = landscape(Problem.of(lambda x: (x**2).sum(), start=[2.0]), resolution=21, extent=(-1, 3))
    assert len(surface.axes) == 1
    assert surface.loss == pytest.approx(np.linspace(-1, 3, 21) ** 2, rel=1e-6)


def test_a_descent_on_a_bowl_lies_on_its_surface():
    run = descend(bowl(), lr=0.15, steps=30)
    surface = landscape(bowl(), run, resolution=11)
    (path,) = surface.paths
    assert path.coordinates[0].tolist() == [3, 1]
    assert path.distance.max() == 0
    assert path.loss == pytest.approx(path.under)
    # each coordinate shrinks by its own factor
    factors = 1 - 0.15 * CURVATURES.numpy()
    assert path.coordinates == pytest.approx(np.array([3.0, 1.0]) * factors ** path.steps[:, None])


@pytest.mark.parametrize("plane", ["path", "random"])
def test_networks_are_evaluated_as_they_are_one_by_one(plane):
    problem = digits()
    run = descend(problem, lr=0.1, steps=40)
    surface = landscape(problem, run, plane=plane, resolution=5, data="train")
    grid = np.stack(np.meshgrid(*surface.axes), -1)
    rows = surface.plane.rows(torch.from_numpy(grid.reshape(-1, 2)))
    expected = [direct(problem, row) for row in rows]
    assert surface.loss.ravel() == pytest.approx(expected, rel=1e-5)


def test_the_path_is_measured_on_and_under():
    problem = digits()
    run = descend(problem, lr=0.1, steps=60)
    surface = landscape(problem, run, resolution=3, data="train")
    (path,) = surface.paths
    assert path.loss[-1] == pytest.approx(direct(problem, run.path[-1]), rel=1e-5)
    assert path.under[-1] == pytest.approx(path.loss[-1], rel=1e-5)  # the plane passes through the end
    assert path.distance[-1] == pytest.approx(0, abs=1e-5)
    middle = len(path.steps) // 2
    nearest = surface.plane.rows(torch.from_numpy(path.coordinates[middle : middle + 1]))[0]
    assert path.under[middle] == pytest.approx(direct(problem, nearest), rel=1e-4)
    at = int(np.flatnonzero(run.path.steps == path.steps[middle])[0])
    assert path.distance[middle] == pytest.approx(float((nearest - run.path[at]).norm()), rel=1e-3)
    assert 0.5 < surface.explained < 1


def test_several_runs_race_on_one_surface():
    problem = bowl()
    runs = [descend(problem, lr=lr, steps=10) for lr in (0.01, 0.1, 0.19)]
    surface = landscape(problem, runs, resolution=5)
    assert [len(path.steps) for path in surface.paths] == [11, 11, 11]
    for path in surface.paths:
        for axis, line in enumerate(surface.axes):
            assert line[0] <= path.coordinates[:, axis].min()
            assert path.coordinates[:, axis].max() <= line[-1]


def test_a_diverging_path_does_not_widen_the_picture():
    problem = bowl()
    surface = landscape(problem, descend(problem, lr=0.3, steps=200), resolution=5)
    assert max(abs(line).max() for line in surface.axes) < 100


def test_two_ends_and_their_start():
    problem = digits()
    runs = [descend(problem, lr=0.1, steps=20, seed=seed) for seed in (0, 1)]
    surface = landscape(problem, runs, plane="ends", resolution=5, extent=(0, 1, -0.5, 0.5), data="train")
    assert surface.loss[2, 0] == pytest.approx(direct(problem, runs[0].path[-1]), rel=1e-5)
    assert surface.loss[2, -1] == pytest.approx(direct(problem, runs[1].path[-1]), rel=1e-5)


def test_batch_normalisation_uses_the_statistics_of_the_data():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))
    problem = digits(model)
    surface = landscape(problem, plane="random", resolution=3, data="train")
    training = copy.deepcopy(model).train()
    x, y = problem.data
    assert surface.loss[1, 1] == pytest.approx(problem.loss(training(x), y).item(), rel=1e-5)
    assert "batch normalisation" in str(surface)


class Branching(nn.Module):
    """Looks at its numbers before it decides: no batched pass can."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        out = self.layer(x)
        return out if out.sum() > 0 else 2 * out


def test_what_cannot_be_batched_is_walked_one_by_one():
    torch.manual_seed(0)
    problem = digits(Branching())
    surface = landscape(problem, plane="random", resolution=3, data="train")
    rows = surface.plane.rows(torch.from_numpy(np.stack(np.meshgrid(*surface.axes), -1).reshape(-1, 2)))
    assert surface.loss.ravel() == pytest.approx([direct(problem, row) for row in rows], rel=1e-5)
    assert "one by one" in surface.note


def test_regions_without_a_finite_loss_are_kept_as_such():
    surface = landscape(Problem.of(lambda x: x.sqrt().sum(), start=[1.0]), resolution=5, extent=(-1, 1))
    assert np.isnan(surface.loss).tolist() == [True, True, False, False, False]
    assert "2 points have no finite loss" in str(surface)


def test_portions_by_memory_give_the_same():
    problem = digits()
    run = descend(problem, lr=0.1, steps=20)
    whole = landscape(problem, run, resolution=7)
    parts = landscape(problem, run, resolution=7, memory_limit=1)
    assert Rows(problem, 2000, 0, 1).at_once() == 1
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)


def test_everything_of_the_caller_is_left_alone():
    problem = digits(nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 10)))
    run = descend(problem, lr=0.1, steps=5)
    before, path = copy.deepcopy(problem.model.state_dict()), run.path.weights.clone()
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    landscape(problem, run, resolution=3)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, before[name]) for name, value in problem.model.state_dict().items())
    assert torch.equal(run.path.weights, path)
    assert problem.model.training
    assert all(p.grad is None for p in problem.model.parameters())


def test_data_may_be_chosen():
    problem = digits()
    assert landscape(problem, plane="random", resolution=2, data=100).samples == 100
    assert landscape(problem, plane="random", resolution=2, data="train").samples == len(problem.data[0])
    assert landscape(problem, plane="random", resolution=2, data="validation").samples == len(problem.validation[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"plane": "flat"}, "plane must be a Plane or one of auto, axes, path, line, ends, curvature, random, got 'flat'"),
        ({"resolution": 1}, "resolution must be an int from 2 to 10,000, got 1: one point is no surface"),
        ({"resolution": 10_001}, "10,000 x 10,000 are a hundred million already"),
        ({"extent": (1, 0, 0, 1)}, r"extent must be \(low, high, low of the second axis, high of it\)"),
        ({"extent": (0, 1)}, "extent must be"),
        ({"data": "all"}, "data must be"),
        ({"data": 0}, "data must be"),
        ({"data": "validation"}, "problem has none"),
        ({"plane": "path"}, "needs a run"),
        ({"plane": "ends"}, "needs two runs"),
    ],
)
def test_misuse_names_what_it_saw(settings, message):
    with pytest.raises(SettingError, match=message):
        landscape(bowl(), **settings)


def test_held_out_data_may_bring_its_own_batches():
    problem = digits()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*problem.validation), batch_size=50)
    whole = landscape(problem, plane="random", resolution=2, data="validation")
    assert landscape(problem.with_(validation=loader), plane="random", resolution=2, data="validation").loss == pytest.approx(
        whole.loss, rel=1e-5
    )


def test_a_frozen_model_is_refused():
    model = nn.Linear(64, 10).requires_grad_(False)
    with pytest.raises(ProblemError, match="no trainable parameter"):
        landscape(digits(model), resolution=2)


def test_runs_of_another_problem_are_refused():
    unnamed = descend(bowl().with_(name=""), lr=0.1, steps=2)
    assert unnamed.config["problem"] != "digits-mlp"
    with pytest.raises(SettingError, match="Run 1 descended 'bowl', and this is 'digits-mlp'"):
        landscape(digits(), [descend(digits(), lr=0.1, steps=2), descend(bowl(), lr=0.1, steps=2)])
    with pytest.raises(SettingError, match="Run 0 has 2 weights, the problem"):
        landscape(digits(), dataclasses.replace(unnamed, config={}))
    with pytest.raises(SettingError, match="needs one or two weights"):
        landscape(digits(), plane="axes")
