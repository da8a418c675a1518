"""The gradient noise scale against problems whose gradients are known sample by sample: NumPy's covariance, closed forms, many seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from surefoot import NoiseScale, Problem, noise_scale, problems
from surefoot.errors import SettingError
from tests.batch.planted_noise import Weights, bowl, drawn, tilted, truth

SPREADS = np.geomspace(0.2, 2.0, 30)  # far from the same in every direction


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lbfgs"])
def test_every_sample_a_part_gives_numpys_covariance_and_mean(optimizer):
    values = drawn(40, SPREADS, 1.0, 0)
    spread, slope = truth(values)
    found = noise_scale(tilted(values), lr=0.01, optimizer=optimizer, steps=10, batch_size="full", parts=40)
    assert found.trace == pytest.approx(spread)
    assert found.gradient_squared == pytest.approx(slope)
    assert found.value == pytest.approx(spread / slope)
    assert found.error < 1e-6 * found.value  # all of the data, every time: nothing is left to chance
    assert (found.batch_size, found.steps, found.gradients, found.data) == (40, 10, 10, 40)


def test_numerator_and_denominator_are_averaged_along_the_descent():
    values = drawn(64, SPREADS, 0.0, 1)
    start, steps, lr = 3.0, 20, 0.1
    found = noise_scale(bowl(values, start), lr=lr, optimizer="sgd", steps=steps, batch_size="full", parts=8)
    first = ((start - values.mean(axis=0)) ** 2).sum()
    slopes = first * (1 - lr) ** (2.0 * np.arange(steps))  # gradient descent in a bowl of curvature 1
    assert found.gradient_squared == pytest.approx(slopes.mean(), rel=1e-6)
    assert found.trace == pytest.approx(truth(values)[0], rel=0.2)  # seven differences a step


@pytest.mark.parametrize(("slope", "size"), [(3.0, 16), (1.0, 64), (0.5, 256)])
def test_within_fifteen_percent_where_batches_are_a_small_part_of_the_data(slope, size):
    values = drawn(30_000, SPREADS, slope, 2)
    spread, squared = truth(values)
    found = noise_scale(tilted(values), lr=0.01, optimizer="sgd", steps=100, batch_size=size)
    assert found.value == pytest.approx(spread / squared, rel=0.15)
    assert found.steps == 100


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["independent", "a quarter of the data each step"])
def test_two_standard_errors_cover_the_truth_in_nineteen_of_twenty_descents(kind):
    values = drawn(20_000 if kind == "independent" else 256, SPREADS, 1.0, 3)
    spread, squared = truth(values)
    found = [noise_scale(tilted(values), lr=0.01, optimizer="sgd", steps=60, batch_size=64, seed=seed) for seed in range(60)]
    covered = np.mean([abs(each.value - spread / squared) < 2 * each.error for each in found])
    assert covered >= 0.87  # 0.95 less three standard errors of 60 draws
    if kind == "independent":
        told = np.median([each.error for each in found]) / np.std([each.value for each in found])
        assert 0.7 < told < 1.4
    assert np.mean([each.value for each in found]) == pytest.approx(spread / squared, rel=0.05)


def test_the_end_of_an_epoch_with_a_short_part_is_unbiased():
    values = drawn(37, SPREADS, 1.0, 4)  # parts of 5, 5, 5, 5, 5, 5, 5, 2
    spread, squared = truth(values)
    found = [noise_scale(tilted(values), lr=0.01, optimizer="sgd", steps=40, batch_size=37, seed=seed) for seed in range(10)]
    assert {each.steps for each in found} == {40}
    assert np.mean([each.trace for each in found]) == pytest.approx(spread, rel=0.03)
    # not exact: the gradient of the two samples counts as much as that of five
    assert np.mean([each.gradient_squared for each in found]) == pytest.approx(squared, rel=0.05)


def test_no_slope_is_told_from_noise_in_words_not_by_a_wrong_number():
    values = drawn(4000, SPREADS, 0.0, 5)
    found = noise_scale(tilted(values - values.mean(axis=0)), lr=0.01, optimizer="sgd", steps=50)
    assert found.value == math.inf
    assert math.isnan(found.error)
    assert found.low > 100
    assert "no slope can be told from the noise" in str(found)
    assert found.useful == 4000  # the data bounds it


def test_the_same_gradient_everywhere_is_no_noise():
    found = noise_scale(tilted(np.ones((50, 3))), lr=0.01, optimizer="sgd", steps=10, batch_size=10)
    assert (found.value, found.error, found.useful) == (0.0, 0.0, 0.0)
    assert "every sample has the same gradient" in str(found)


def test_steps_needed_against_the_closed_form_of_a_noisy_bowl():
    """The best step of a bowl of curvature 1 with noise lowers the loss by |G|^2 / 2 / (1 + tr(S) / (B |G|^2)): the paper's formula, exactly."""
    spread, slope = 50.0, 2.0
    scale = NoiseScale(spread / slope, 1.0, 20.0, slope, spread, 64, 100, 100, 0.1, None, "")
    rates = np.linspace(0, 1, 10_001)
    for size in (1, 5, 25, 400):
        falls = rates * slope - rates**2 / 2 * (slope + spread / size)
        assert slope / 2 / falls.max() == pytest.approx(scale.steps_at(size), rel=1e-4)
    assert scale.steps_at(scale.useful) == 2.0


def test_a_batch_of_all_the_data_has_no_noise():
    scale = NoiseScale(100.0, 1.0, 90.0, 1.0, 100.0, 64, 100, 100, 0.1, 50, "")
    assert scale.steps_at(50) == scale.steps_at(80) == 1.0
    assert scale.steps_at(scale.useful) == pytest.approx(2.0)
    assert scale.useful < 50


def test_loaders_and_ready_batches_are_measured_like_the_pair():
    values = drawn(3000, SPREADS, 2.0, 6)
    spread, squared = truth(values)
    loader = tilted(values, lambda data: DataLoader(TensorDataset(*data), batch_size=64, shuffle=True))
    ready = tilted(values, lambda data: [tuple(part[k : k + 20] for part in data) for k in range(0, 3000, 20)])
    for problem, size in ((loader, 64), (ready, 160)):
        found = noise_scale(problem, lr=0.01, optimizer="sgd", steps=60)
        assert found.value == pytest.approx(spread / squared, rel=0.15)
        assert (found.batch_size, found.data) == (size, 3000)


class Looked(torch.nn.Module):
    def __init__(self, sparse):
        super().__init__()
        self.table = torch.nn.Embedding(20, 4, sparse=sparse)


def test_sparse_gradients_count_like_dense_ones():
    torch.manual_seed(0)
    models = [Looked(sparse) for sparse in (False, True)]
    models[1].load_state_dict(models[0].state_dict())
    words, goals = torch.randint(0, 20, (300,)), torch.randn(300, 4)
    found = [
        noise_scale(Problem(model, (words, goals), objective=lambda m, b: ((m.table(b[0]) - b[1]) ** 2).mean()), lr=0.1, optimizer="sgd", steps=20)
        for model in models
    ]  # fmt: skip
    assert found[0].value == pytest.approx(found[1].value, rel=1e-4)


def test_nothing_of_the_users_changes_and_the_same_seed_says_the_same():
    digits = problems.load("digits-linear")
    weights = {name: value.clone() for name, value in digits.model.state_dict().items()}
    before = torch.get_rng_state()
    first = noise_scale(digits, lr=0.1, optimizer="sgd", steps=20)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, weights[name]) for name, value in digits.model.state_dict().items())
    assert all(p.grad is None for p in digits.model.parameters())
    assert not any(p._backward_hooks for p in digits.model.parameters())
    assert noise_scale(digits, lr=0.1, optimizer="sgd", steps=20) == first
    assert noise_scale(digits, lr=0.1, optimizer="sgd", steps=20, seed=1) != first


def test_without_a_rate_one_is_found_and_counted():
    found = noise_scale(problems.load("line"), optimizer="sgd", steps=10, batch_size=20)
    assert 0 < found.lr < 0.79
    assert 10 < found.gradients <= 110


def test_a_notebook_shows_it():
    html = noise_scale(problems.load("line"), lr=0.1, optimizer="sgd", steps=10)._repr_html_()
    assert "gradient noise scale" in html
    assert "measured over the first 10 steps" in html


REFUSED = {
    "no data": (lambda: Problem.of(lambda x: (x**2).sum(), start=[1.0]), {}, "without data: every step sees all there is"),
    "no problem": (lambda: torch.nn.Linear(1, 1), {}, "must be a Problem, got a Linear"),
    "one batch": (lambda: tilted(np.ones((8, 2)), lambda data: [data]), {}, "a single batch: every step sees all of it"),
    "one sample": (lambda: tilted(np.ones((1, 2))), {}, "batch of one sample"),
    "stochastic": (lambda: tilted(np.ones((8, 2))), {"batch_size": 1}, "batch of one sample"),
    "too large": (lambda: tilted(np.ones((8, 2))), {"batch_size": 9}, "larger than the data, which has 8"),
    "no size": (lambda: tilted(np.ones((8, 2))), {"batch_size": "some"}, "positive int or 'full'"),
    "few steps": (lambda: tilted(np.ones((8, 2))), {"steps": 7}, "steps must be an int, 8 or more, got 7"),
    "no parts": (lambda: tilted(np.ones((8, 2))), {"parts": 1}, "parts must be an int, 2 or more, got 1"),
    "ready batches": (lambda: tilted(np.ones((8, 2)), lambda data: [data, data]), {"batch_size": 4}, "keeps its own batches"),
}


@pytest.mark.parametrize(("problem", "settings", "words"), REFUSED.values(), ids=REFUSED)
def test_misuse_names_what_it_saw(problem, settings, words):
    with pytest.raises(SettingError, match=words):
        noise_scale(problem(), **{"lr": 0.1, "optimizer": "sgd", "steps": 10, **settings})


def test_short_batches_say_so():
    ready = tilted(np.ones((30, 2)), lambda data: [tuple(part[:10] for part in data)] * 3)
    with pytest.raises(SettingError, match=r"Only 5 of 10 steps had a batch of 2 parts, 8 are needed"):
        noise_scale(ready, lr=0.1, optimizer="sgd", steps=10, parts=2)


def test_a_descent_that_blows_up_at_once_says_so():
    model = Weights(2, 1.0)
    steep = Problem(model, (torch.ones(64, 2), torch.zeros(64)), objective=lambda m, b: (m.w**4 * b[0]).sum(1).mean())
    found = noise_scale(steep, lr=1e6, optimizer="sgd", steps=20)
    assert found.value == math.inf
    assert "diverged after" in str(found)
    assert "at least" not in str(found)
