"""Planted property: how many points a path holds, which, and that they are the weights at those steps."""

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import Problem, descend
from surefoot.descent import path as path_module


def problem(width):
    torch.manual_seed(0)
    x = torch.randn(32, width)
    return Problem(nn.Linear(width, 1), (x, x.sum(1, keepdim=True)), loss=nn.functional.mse_loss, batch_size="full")


def test_a_small_problem_keeps_every_step():
    run = descend(problem(5), lr=0.01, steps=200)
    assert run.path.steps.tolist() == list(range(201))
    halfway = descend(problem(5), lr=0.01, steps=77)
    assert np.asarray(run.path)[77].tolist() == torch.cat([halfway.weights[n].reshape(-1) for n in ("weight", "bias")]).tolist()


@pytest.mark.parametrize(("steps", "stride"), [(10, 1), (64, 1), (65, 2), (300, 8), (1000, 16)])
def test_a_large_one_keeps_at_most_65_points_evenly_and_the_end(steps, stride):
    run = descend(problem(2000), lr=1e-5, steps=steps)
    assert run.path.steps.tolist() == sorted({*range(0, steps, stride), steps})
    assert len(run.path) <= 66
    assert run.path[-1].tolist() == torch.cat([run.weights[n].reshape(-1) for n in ("weight", "bias")]).tolist()


def test_a_continued_run_is_thinned_on_the_same_grid():
    first = descend(problem(2000), lr=1e-5, steps=60)
    longer = descend(problem(2000), lr=1e-5, steps=440, start=first)
    assert longer.path.steps.tolist() == [*range(0, 500, 8), 500]
    assert torch.equal(longer.path.weights, descend(problem(2000), lr=1e-5, steps=500).path.weights)


def test_the_path_of_a_huge_model_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(path_module, "POINTS_BYTES", 5 * 2001 * 4)
    run = descend(problem(2000), lr=1e-5, steps=100)
    assert run.path.steps.tolist() == [0, 32, 64, 96, 100]
    monkeypatch.setattr(path_module, "POINTS_BYTES", 1)
    assert descend(problem(2000), lr=1e-5, steps=100).path.steps.tolist() == [0, 100]
