"""What cannot be answered is refused with what was seen and the way out; what the user's own code raises comes out as it is."""

import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

import surefoot as sf
from surefoot.batch.fits import largest_batch

MiB = 2**20
X, Y = torch.rand(64, 8), torch.rand(64, 1)


def line(data=(X, Y), model=None, loss=nn.functional.mse_loss, **more):
    return sf.Problem(model or nn.Linear(8, 1), data, loss=loss, **more)


class Own(Exception):
    pass


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"memory": 0}, "memory must be a positive int, in bytes, got 0"),
        ({"memory": 1.5e9}, "memory must be a positive int"),
        ({"headroom": 1}, "headroom must be a number from 0 up to 1"),
        ({"headroom": -0.1}, "headroom"),
        ({"most": 0}, "most must be a positive int, got 0"),
        ({"optimizer": "adamm"}, "Did you mean 'adam"),
        ({"accumulate": -1}, "accumulate must be a positive int"),
        ({"autocast": "fp8"}, "autocast must be"),
        ({"device": "nowhere"}, "device='nowhere' cannot be used here"),
    ],
)
def test_settings_that_make_no_sense(settings, said):
    with pytest.raises(sf.SettingError, match=said):
        largest_batch(line(), **{"memory": 256 * MiB, **settings})


def test_no_problem():
    with pytest.raises(sf.SettingError, match="must be a Problem, got a Linear"):
        largest_batch(nn.Linear(1, 1))


def test_a_function_has_no_batches():
    with pytest.raises(sf.SettingError, match="no batch size to choose"):
        largest_batch(sf.Problem.of(lambda x: (x**2).sum(), start=[1.0]))


def test_ready_batches_keep_their_size():
    with pytest.raises(sf.SettingError, match=r"list of ready batches.*Give a pair"):
        largest_batch(line([(X, Y), (X, Y)]))


def test_a_loader_with_batches_of_its_own():
    loader = DataLoader(TensorDataset(X, Y), batch_sampler=BatchSampler(RandomSampler(X), 4, drop_last=False))
    loader.batch_sampler.__class__ = type("Buckets", (BatchSampler,), {})
    with pytest.raises(sf.SettingError, match=r"Buckets.*data=loader\.dataset"):
        largest_batch(line(loader))


def test_a_single_sample_that_does_not_fit_says_what_it_needs():
    x = torch.rand(10, 1)
    problem = line((x, x), nn.Linear(1, 1), lambda p, y: (p.expand(len(p), 2**23) * y).mean())  # 32 MiB for each sample
    with pytest.raises(
        sf.SettingError, match=r"Not even 1 sample a step fits: training needs \d+\.?\d* MiB, and may take 20 MiB"
    ) as raised:
        largest_batch(problem, memory=20 * MiB)
    needs = float(str(raised.value).split("needs ")[1].split()[0])
    assert 32 <= needs <= 80
    assert "autocast" in str(raised.value)
    assert any("you tried to allocate" in note for note in raised.value.__notes__)


def test_what_it_needs_is_more_than_what_it_may_take():
    with pytest.raises(sf.SettingError, match="Not even 1 sample") as raised:
        largest_batch(line(), memory=2 * MiB)  # of a step nothing is seen: it is what a long training takes besides
    needs, unit = str(raised.value).split("needs ")[1].split(",")[0].split()
    assert unit == "MiB"
    assert float(needs) > 2


def test_what_the_path_takes_is_said_where_it_is_much():
    model = nn.Linear(8, 200_000, bias=False)  # 6.1 MiB of weights; of the path 65 points and the end
    with pytest.raises(sf.SettingError, match=r"\(403 MiB of it for the points of the path") as raised:
        largest_batch(line((X, Y), model), memory=300 * MiB)
    assert 403 <= float(str(raised.value).split("needs ")[1].split()[0]) <= 600


def test_the_users_exception_is_not_taken_for_want_of_memory():
    def loss(prediction, target):
        if len(target) > 20:
            raise Own("no more than twenty")
        return nn.functional.mse_loss(prediction, target)

    with pytest.raises(Own, match="no more than twenty") as raised:
        largest_batch(line(loss=loss), memory=256 * MiB)
    assert any("8 did fit" in note for note in raised.value.__notes__)


def test_an_exception_that_cannot_be_sent_is_told():
    class Local(Exception):
        pass

    def loss(prediction, target):
        raise Local("from within")

    with pytest.raises(sf.SurefootError, match="Local: from within"):
        largest_batch(line(loss=loss), memory=256 * MiB)


def test_a_batch_of_one_is_not_tried_on_batch_normalisation():
    model = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    data = (torch.rand(129, 8), torch.rand(129, 1))  # batches of 128 would leave one
    found = largest_batch(line(data, model), memory=256 * MiB, most=128)
    assert all(129 % t.batch_size != 1 for t in found.tries)
    sf.descend(line(data, model), lr=1e-3, batch_size=found.batch_size, steps=6, progress=False)


def test_a_single_sample_of_batch_normalisation_is_its_own_error():
    model = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        largest_batch(line((X[:1], Y[:1]), model), memory=256 * MiB)


def test_a_process_that_is_killed_is_no_answer():
    def loss(prediction, target):
        import os
        import signal

        os.kill(os.getpid(), signal.SIGSEGV)

    with pytest.raises(sf.SurefootError, match="ended its process"):
        largest_batch(line(loss=loss), memory=64 * MiB)
