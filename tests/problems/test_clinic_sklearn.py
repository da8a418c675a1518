"""The regressions on patients against scikit-learn and a linear programme."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from sklearn.linear_model import LinearRegression

from surefoot.problems import load


def test_diabetes_ends_where_sklearn_ends():
    problem = load("diabetes")
    x, y = (part.double().numpy() for part in problem.data)
    fit = LinearRegression().fit(x, y[:, 0])
    assert problem.answer.minimum == pytest.approx((*fit.coef_, fit.intercept_), abs=1e-9)
    assert problem.answer.loss == pytest.approx(1 - fit.score(x, y[:, 0]), rel=1e-5)


def test_diabetes_the_answer_is_in_the_order_of_the_models_parameters():
    problem = load("diabetes")
    with torch.no_grad():
        torch.nn.utils.vector_to_parameters(torch.tensor(problem.answer.minimum, dtype=torch.float32), problem.model.parameters())
    loss = problem.loss_on(problem.model, problem.data)
    assert loss.item() == pytest.approx(problem.answer.loss, rel=1e-5)
    assert max(g.abs().max().item() for g in torch.autograd.grad(loss, list(problem.model.parameters()))) < 1e-5


@pytest.mark.parametrize("name", ["diabetes", "breast-cancer"])
def test_inputs_are_standardised_on_the_part_that_is_learnt_from(name):
    inputs = load(name).data[0].double()
    assert inputs.mean(0).abs().max() < 1e-6
    assert (inputs.std(0, correction=0) - 1).abs().max() < 1e-6


def test_breast_cancer_has_no_minimum_because_a_plane_separates_the_classes():
    x, y = (part.double().numpy() for part in load("breast-cancer").data)
    sides = (2 * y - 1) * np.c_[x, np.ones(len(x))]
    free = [(None, None)] * sides.shape[1]
    plane = linprog(np.zeros(sides.shape[1]), A_ub=-sides, b_ub=-np.ones(len(sides)), bounds=free)
    assert plane.status == 0
    assert (sides @ plane.x >= 1 - 1e-6).all()
