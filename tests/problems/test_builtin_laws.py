"""One battery of laws for every built-in problem; a new row of the table is under it at once."""

from __future__ import annotations

import copy
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from surefoot.problem import Problem, is_pair
from surefoot.problems import describe, load, names

CLASSIFIERS = ["breast-cancer", "digits-cnn", "digits-linear", "digits-mlp", "spirals"]


def tensors(problem: Problem) -> list[torch.Tensor]:
    parts = [part for part in (problem.data, problem.validation) if part is not None and is_pair(part)]
    return [*problem.model.state_dict().values(), *(tensor for part in parts for tensor in part)]


def first_batch(problem: Problem):
    return tuple(part[:64] for part in problem.data) if is_pair(problem.data) else problem.data[0]


@pytest.mark.parametrize("name", names())
def test_it_knows_its_name_its_source_and_its_way_back(name):
    problem = load(name)
    assert problem.name == name
    assert len(problem.source) > 20
    assert problem.recipe == {"name": name}
    assert describe(name)
    assert "\n" not in describe(name)


@pytest.mark.parametrize("name", names())
def test_same_options_same_problem_bitwise(name):
    one, other = load(name), load(name)
    assert len(tensors(one)) == len(tensors(other))
    assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))
    assert one.answer == other.answer


@pytest.mark.parametrize("name", names())
def test_no_footprint_on_random_states_and_defaults(name):
    torch.manual_seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state(), torch.get_default_dtype(), sys.path[:]  # noqa: NPY002
    load(name)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state(), torch.get_default_dtype(), sys.path[:]  # noqa: NPY002
    assert torch.equal(before[2], after[2])
    assert before[:2] + before[3:] == after[:2] + after[3:]


@pytest.mark.parametrize("name", names())
def test_the_random_state_of_the_caller_changes_nothing(name):
    torch.manual_seed(1)
    one = tensors(load(name))
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(one, tensors(load(name)), strict=True))


@pytest.mark.parametrize("name", names())
def test_the_start_has_a_finite_loss_whose_gradient_reaches_every_parameter(name):
    problem = load(name)
    model = copy.deepcopy(problem.model)
    loss = problem.loss_on(model, first_batch(problem))
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize("name", names())
def test_weights_are_float32_and_inputs_fit_them(name):
    problem = load(name)
    assert {parameter.dtype for parameter in problem.model.parameters()} == {torch.float32}
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in tensors(problem) if tensor.dtype != torch.bool)


@pytest.mark.parametrize("name", [name for name in names() if load(name).validation is not None])
def test_nothing_that_is_held_out_is_learnt_from(name):
    problem = load(name)
    learnt, held_out = (part[0].flatten(1) for part in (problem.data, problem.validation))
    assert 0.05 < len(held_out) / (len(learnt) + len(held_out)) < 0.25
    # repeated text, such as a window of blanks, is no leak; digits and patients do not repeat
    if name != "text":
        assert not {row.tobytes() for row in learnt.numpy()} & {row.tobytes() for row in held_out.numpy()}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_split_keeps_the_share_of_every_class(name):
    problem = load(name)
    learnt, held_out = (np.unique(part[1].numpy(), return_counts=True)[1] for part in (problem.data, problem.validation))
    assert np.abs(held_out / (learnt + held_out) - 0.2).max() < 0.01


@pytest.mark.parametrize("name", [*CLASSIFIERS, "diabetes", "photo-patches"])
def test_another_seed_is_another_problem(name):
    assert not all(torch.equal(a, b) for a, b in zip(tensors(load(name)), tensors(load(name, seed=1)), strict=True))


@pytest.mark.parametrize("name", ["digits-cnn", "digits-mlp", "photo-patches", "spirals", "text"])
def test_a_network_can_be_descended_in_copies_and_differentiated_twice(name):
    # what the batched descents and the curvature of later work rest on
    problem = load(name)
    inputs, targets = (part[:4] for part in first_batch(problem))
    weights = {key: value.detach() for key, value in problem.model.named_parameters()}

    def loss(values):
        return problem.loss(torch.func.functional_call(problem.model, values, (inputs,)), targets)

    copies = {key: torch.stack([value, value * 0.9]) for key, value in weights.items()}
    gradients = torch.func.vmap(torch.func.grad(loss))(copies)
    alone = torch.func.grad(loss)(weights)
    assert all(torch.allclose(gradients[key][0], alone[key], rtol=1e-4, atol=1e-6) for key in weights)
    slope_along = torch.func.grad(lambda values: sum((torch.func.grad(loss)(values)[key] * weights[key]).sum() for key in weights))
    assert all(torch.isfinite(value).all() for value in slope_along(weights).values())


def test_the_dense_network_has_exactly_its_weights():
    assert sum(p.numel() for p in load("digits-mlp").model.parameters()) == 26_122
    assert sum(p.numel() for p in load("digits-mlp", width=1000).model.parameters()) > 1_000_000


def test_text_targets_are_the_inputs_one_character_ahead_and_the_model_is_causal():
    problem = load("text", context=16, width=16, layers=1)
    inputs, targets = problem.data
    assert torch.equal(inputs.flatten()[1:], targets.flatten()[:-1])
    changed = inputs[:1].clone()
    changed[0, 10] = (changed[0, 10] + 1) % 97
    difference = (problem.model(changed) - problem.model(inputs[:1])).abs().amax(-1)[0]
    assert difference[:10].max() == 0
    assert difference[10] > 0


def test_importing_the_package_costs_torch_and_numpy_only():
    heavy = ["sklearn", "pandas", "PIL", "scipy", "matplotlib"]
    code = f"import sys, surefoot.problems as p; p.names(); print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
