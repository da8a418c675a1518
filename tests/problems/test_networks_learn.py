"""The networks learn: a plain torch loop brings each well under what knowing nothing costs."""

from __future__ import annotations

import copy

import pytest
import torch

from surefoot.problems import load


def trained(problem, lr: float, steps: int) -> torch.nn.Module:
    model = copy.deepcopy(problem.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    random = torch.Generator().manual_seed(0)
    inputs, targets = problem.data
    for _ in range(steps):
        picked = torch.randint(len(inputs), (64,), generator=random)
        optimizer.zero_grad()
        problem.loss_on(model, (inputs[picked], targets[picked])).backward()
        optimizer.step()
    return model


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_digits_cnn_reads_more_than_97_percent_within_300_steps(seed):
    problem = load("digits-cnn", seed=seed)
    inputs, targets = problem.validation
    right = trained(problem, lr=3e-3, steps=300)(inputs).argmax(1) == targets
    assert right.float().mean() > 0.97


@pytest.mark.slow
def test_photo_patches_come_out_cleaner_than_they_went_in():
    problem = load("photo-patches")
    noisy, clean = problem.validation
    assert problem.loss(noisy, clean).item() == pytest.approx(0.01, rel=0.02)
    assert problem.loss_on(trained(problem, lr=1e-3, steps=600), problem.validation) < 0.0075


@pytest.mark.slow
def test_text_guesses_better_than_the_frequencies_of_the_characters():
    problem = load("text", context=32, width=32)
    counts = torch.bincount(problem.data[0].flatten(), minlength=97).double() + 1
    frequencies = -(counts / counts.sum()).log()[problem.validation[1]].mean()
    model = trained(problem, lr=5e-3, steps=150)
    with torch.no_grad():
        assert problem.loss_on(model, problem.validation) < frequencies - 0.5
