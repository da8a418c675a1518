"""The batch size to train with: the parts of the answer against closed forms, the whole on problems whose noise is known, bad input in words."""

from __future__ import annotations

import dataclasses
import functools
import math
import time

import numpy as np
import pytest
import torch

from surefoot import BatchSize, NoiseScale, Problem, descend, find_batch_size, find_lr, problems
from surefoot.batch import choose
from surefoot.batch.choose import MINIMUM, at_no_cost, chosen
from surefoot.batch.fits import Fits
from surefoot.batch.memory_words import bytes_of
from surefoot.batch.rate_rule import LINEAR, ROOT, predicted, rule_of
from surefoot.batch.speed import sizes_around, speeds
from surefoot.errors import SettingError
from tests.batch.planted_noise import bowl, drawn, tilted


def scale(value, data=None):
    return NoiseScale(value, value / 10, value / 2, 1.0, value, 64, 100, 100, 0.1, data, "measured")


# ---- the size


@pytest.mark.parametrize(
    ("value", "data", "fits", "expected"),
    [
        (100.0, None, 4096, (128, 1)),
        (90.0, None, 4096, (64, 1)),  # 64 and 128 are as near in factors at 90.5
        (100.0, 100, 4096, (64, 1)),  # useful: 50
        (1e6, 100, 100, (100, 1)),  # 128 is the power of two, but there are 100
        (0.0, None, 4096, (1, 1)),
        (1000.0, None, 100, (64, 16)),
        (1000.0, None, 1, (1, 1024)),
        (math.inf, None, 4096, (48, 1)),
    ],
)
def test_the_power_of_two_next_to_what_is_useful_in_parts_that_fit(value, data, fits, expected):
    assert chosen(scale(value, data), fits, 48) == expected


def test_sizes_timed_hold_the_answer_and_nothing_beyond_what_fits():
    for size, most, own in (
        (64, 10**6, 64),
        (64, 64, 10),
        (1, 1, 1),
        (3, 5, 3),
        (1024, 1438, 500),
        (64, 10**6, 7),
        (4, 4096, 4096),
    ):
        timed = sizes_around(size, most, own)
        assert {size, own} <= set(timed)
        assert timed == sorted(set(timed))
        assert 1 <= min(timed) <= max(timed) <= most
        assert len(timed) <= 7
    assert sizes_around(64, 1438, 64)[-1] == 1438


@pytest.mark.parametrize(
    ("overhead", "each", "expected"),
    [
        (1.0, 0.0, 256),
        (1.0, 0.0156, 64),
        (-1.0, 1.0, 8),
        (10.0, 1.0, 16),
    ],  # seconds a step and a sample: the step of 8 at most doubled
)
def test_smaller_than_ones_own_only_where_it_saves_time(overhead, each, expected):
    timed = [(size, size / (overhead + each * size)) for size in (2, 8, 16, 64, 256, 1024)]
    assert at_no_cost(timed, 8, 256) == expected
    assert at_no_cost(timed, 256, 8) == 256


# ---- the rate


def test_the_rules_against_the_papers_table_of_limits():
    noise = scale(1000.0)
    assert predicted(0.1, 1, 2, noise, LINEAR) == pytest.approx(0.2, rel=2e-3)  # far below the noise scale: linear
    assert predicted(0.1, 1, 4, noise, ROOT) == pytest.approx(0.2, rel=2e-3)  # square root
    assert predicted(0.1, 1000, 10**9, noise, LINEAR) == pytest.approx(0.2, rel=1e-5)  # far above: no more
    assert predicted(0.1, 64, 64, noise, ROOT) == 0.1
    assert math.isnan(predicted(0.1, 64, 128, scale(math.inf), LINEAR))


@pytest.mark.parametrize(
    ("optimizer", "rule"),
    [("sgd", LINEAR), ("momentum", LINEAR), (torch.optim.SGD, LINEAR), ("adamw", ROOT), ("rmsprop", ROOT),
     (lambda model: torch.optim.SGD(model.parameters(), lr=1.0), LINEAR)],
)  # fmt: skip
def test_each_optimizer_has_its_rule(optimizer, rule):
    assert rule_of(problems.load("line"), optimizer) == rule


# ---- the speed


def test_speed_is_that_of_steps_that_sleep_so_long():
    class Slow(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(1))

    def objective(model, batch):
        time.sleep(0.001 * len(batch[0]) + 0.01)
        return (model.w * batch[0]).mean()

    problem = Problem(Slow(), (torch.ones(100), torch.zeros(100)), objective=objective)
    measured = dict(speeds(problem, [1, 10, 100], 0.1, {"optimizer": "sgd"}, lambda what, count: None))
    for size, speed in measured.items():
        slept = size / (0.001 * size + 0.01)
        assert 0.5 * slept < speed < 1.02 * slept  # a loaded machine may be slower, never faster


# ---- the whole


@pytest.fixture(scope="module")
def answer():
    """With steps that take as long as they have samples, so that no clock decides anything."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(choose, "speeds", lambda problem, sizes, *_: tuple((size, 1000.0 + size) for size in sizes))
        yield find_batch_size(problems.load("digits-linear"), optimizer="sgd", steps=300, engine="sequential")


def test_the_answer_is_made_of_its_parts(answer):
    assert isinstance(answer, BatchSize)
    assert answer.fits == 1438
    assert answer.memory.bound == "data"
    assert answer.useful == pytest.approx(1 / (1 / answer.noise_scale + 1 / 1438))
    assert answer.batch_size == 2 ** round(math.log2(answer.useful))
    assert answer.accumulate == 1
    assert answer.gradients <= 300
    assert answer.steps_to_target == tuple((n, 1 + answer.noise_scale * (1 / n - 1 / 1438)) for n, _ in answer.samples_per_second)
    assert min(times for _, times in answer.time_to_target) == 1.0 == dict(answer.time_to_target)[answer.fastest]
    assert answer.reference_size == 64
    assert answer.lr == answer.found.lr


def test_the_rate_is_the_one_that_find_lr_finds_at_that_size(answer):
    digits = problems.load("digits-linear")
    again = find_lr(
        digits, optimizer="sgd", steps=300, engine="sequential", batch_size=answer.batch_size,
        budget=(300 - answer.gradients + answer.found.gradients + 0.5) / 300,
    )  # fmt: skip
    assert answer.gradients - answer.found.gradients + again.gradients <= 300
    assert again.lr == pytest.approx(answer.lr, rel=0.5)  # what was left over differs by the evaluations of the last rung
    run = descend(digits, lr=answer.lr, batch_size=answer.batch_size, accumulate=answer.accumulate, steps=100)
    assert run.ended == "steps"


def test_the_same_seed_gives_the_same_answer_and_nothing_changes(answer, monkeypatch):
    digits = problems.load("digits-linear")
    weights = {name: value.clone() for name, value in digits.model.state_dict().items()}
    before = torch.get_rng_state()
    monkeypatch.setattr(choose, "speeds", lambda problem, sizes, *_: tuple((size, 1000.0 + size) for size in sizes))
    again = find_batch_size(digits, optimizer="sgd", steps=300, engine="sequential")
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, weights[name]) for name, value in digits.model.state_dict().items())
    for name in ("batch_size", "accumulate", "useful", "noise_scale", "lr", "predicted_lr", "gradients", "confident"):
        assert getattr(again, name) == getattr(answer, name), name


def test_it_says_what_to_do(answer):
    text = str(answer)
    assert text.startswith(
        f"batch size {answer.batch_size} (useful at first, up to about {answer.useful:.0f}; memory holds 1,438, all of the data)"
    )
    assert f"learning rate {answer.lr:.3g}" in text
    assert f"noise scale {answer.noise_scale:.3g} +- " in text
    assert f"{answer.gradients} gradient evaluations" in text
    html = answer._repr_html_()
    assert "samples per second" in html
    assert f"batch size {answer.batch_size}" in html


def test_what_does_not_fit_is_accumulated(monkeypatch):
    values = drawn(4000, np.ones(40), 0.0, 0)  # tr(S) = 40, and |G|^2 = 0.4 at first: a noise scale of 100
    monkeypatch.setattr(choose, "largest_batch", lambda problem, **settings: Fits(10, 2**20, "memory", (), 20))
    found = find_batch_size(bowl(values, 0.1), optimizer="sgd", steps=300, schedule="constant", engine="sequential")
    assert found.batch_size == 8
    assert found.accumulate >= 4
    assert found.samples == 2 ** round(math.log2(found.useful))
    assert found.reference_size == 10
    assert f"x {found.accumulate} accumulated = {found.samples} samples per update" in str(found)
    assert all(size <= 10 for size, _ in found.samples_per_second)


def test_beyond_what_was_looked_at_only_what_is_useful_is_tried(monkeypatch):
    values = drawn(4000, np.ones(40), 0.0, 0)  # a noise scale of 100 at first
    asked = []

    def fits(problem, *, most, memory, **settings):
        asked.append((most, memory))
        return Fits(most or 3000, 2**30, "memory" if most is None else "most", (), 5)

    monkeypatch.setattr(choose, "largest_batch", fits)
    monkeypatch.setattr(choose, "LOOKED", 10)
    find = functools.partial(
        find_batch_size, bowl(values, 0.1).with_(batch_size=8), optimizer="sgd", steps=300, engine="sequential"
    )
    found = find()
    assert asked[0] == (32, None)  # four times the problem's own
    assert asked[1:] == [(math.ceil(2 * found.noise.useful), None)]
    assert found.accumulate == 1
    assert "and more: no larger one was tried" in str(found)
    asked.clear()
    assert find(memory="1GB").fits == 3000
    assert asked == [(None, 10**9)]


def test_where_no_slope_can_be_told_the_size_stays_and_it_is_not_confident():
    values = drawn(1000, np.ones(20), 0.0, 1)
    found = find_batch_size(tilted(values - values.mean(axis=0)), optimizer="sgd", steps=400, engine="sequential")
    assert not found.confident
    assert found.batch_size == 64
    assert found.useful == math.inf
    assert found.fastest is None
    assert "how much is useful cannot be told" in str(found)
    assert "the noise scale is not known" in found.reason


def test_three_samples_are_enough_for_an_answer():
    values = np.array([[1.0, 2.0], [2.0, 2.5], [3.0, 1.0]])
    found = find_batch_size(bowl(values, 0.0), optimizer="sgd", steps=300, engine="sequential")
    assert found.fits == 3
    assert 1 <= found.batch_size <= 3
    assert found.noise_scale > 0
    assert str(found)


def test_batch_normalisation_never_meets_a_sample_alone():
    torch.manual_seed(0)
    x = torch.randn(129, 6)
    y = (x[:, :1] > 0).float() + 0.1 * torch.randn(129, 1)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    found = find_batch_size(Problem(model, (x, y), loss=torch.nn.functional.mse_loss), steps=300, engine="sequential")
    sizes = [found.batch_size, found.reference_size, *(size for size, _ in found.samples_per_second)]
    assert all(size > 1 and 129 % size != 1 for size in sizes)


def test_the_budget_is_kept():
    for steps in (MINIMUM, 400):
        assert find_batch_size(problems.load("digits-linear"), steps=steps, engine="sequential").gradients <= steps


REFUSED = {
    "no data": (lambda: Problem.of(lambda x: (x**2).sum(), start=[1.0]), {}, "without data.*no batch size to choose"),
    "ready batches": (lambda: tilted(np.ones((8, 2)), lambda data: [data]), {}, "ready batches|single batch"),
    "memory in words": (lambda: problems.load("line"), {"memory": "lots"}, "number of bytes.*'2GB'.*got 'lots'"),
    "no memory": (lambda: problems.load("line"), {"memory": 0}, "number of bytes"),
    "little budget": (lambda: problems.load("line"), {"budget": 0.01}, "10 gradient evaluations are too few.*Raise budget to"),
    "no budget": (lambda: problems.load("line"), {"budget": -1}, "budget must be a positive number"),
    "unknown optimizer": (lambda: problems.load("line"), {"optimizer": "adamm"}, "Did you mean 'adam"),
}


@pytest.mark.parametrize(("problem", "settings", "words"), REFUSED.values(), ids=REFUSED)
def test_misuse_names_what_it_saw(problem, settings, words):
    with pytest.raises(SettingError, match=words):
        find_batch_size(problem(), **{"optimizer": "sgd", **settings})


@pytest.mark.parametrize("text", ["lots", "", "GB", "-2GB", "2 XB", "1e", "0", "nan", "9" * 30, True, [1]])
def test_words_that_are_no_memory(text):
    with pytest.raises(SettingError, match="memory must be a number of bytes"):
        bytes_of(text)


def test_the_answer_is_frozen(answer):
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.batch_size = 1
