"""Every form of data gives the answer of the plain pair; nothing of the user's is changed by asking."""

import os
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import surefoot as sf
from surefoot.batch.fits import Fits, largest_batch
from surefoot.batch.fits_data import samples_of, sized

MiB = 2**20
X, Y = torch.rand(90, 1), torch.rand(90, 1)


def wide(prediction, target):
    """1 MiB for each sample on the way there, and as much on the way back."""
    return (prediction.expand(len(prediction), 2**18) * target).mean()


def problem(data, **more):
    torch.manual_seed(0)
    return sf.Problem(nn.Linear(1, 1), data, loss=wide, **more)


class Rows(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        return X[index], Y[index]


class Stream(IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        return ((X[i % 90], Y[i % 90]) for i in range(self.count))


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        Rows(),
        DataLoader(TensorDataset(X, Y), 4, shuffle=True),
        DataLoader(Rows(), 4),
        Stream(200),
        DataLoader(Stream(200), 3),
    ],
    ids=["pair", "dataset", "loader of tensors", "loader", "stream", "loader of a stream"],
)
def test_every_form_of_data_is_tried_in_batches_of_any_size(data):
    found = largest_batch(problem(data), memory=100 * MiB)
    # two MiB for each sample, and more where the heap keeps holes: as many as seven times the one MiB that a tensor has for each, and 8 MiB
    assert 4 <= found.batch_size <= 46
    assert found.bound == "memory"
    assert found.steps <= 30


@pytest.mark.parametrize("data", [(X[:20], Y[:20]), Stream(20)], ids=["pair", "stream"])
def test_all_of_the_data_at_once(data):
    # of 20 samples, whose tensors have 20 MiB, the heap has kept 120, and seven times 20 is left for more
    found = largest_batch(problem(data), memory=500 * MiB)
    assert (found.batch_size, found.bound) == (20, "data")


def test_more_than_was_asked_for_is_not_tried():
    found = largest_batch(problem((X, Y)), memory=300 * MiB, most=11)
    assert (found.batch_size, found.bound) == (11, "most")
    assert max(t.batch_size for t in found.tries) == 11


def test_a_loader_made_anew_keeps_what_it_was():
    loader = DataLoader(Rows(), 4, shuffle=True, drop_last=True, generator=torch.Generator().manual_seed(3), collate_fn=list)
    larger = sized(problem(loader), 9).data
    assert (larger.batch_size, len(larger), larger.drop_last) == (9, 10, True)
    assert larger.sampler is loader.sampler
    assert larger.generator is loader.generator
    assert larger.collate_fn is list
    assert loader.batch_size == 4
    assert samples_of(problem(loader)) == 90


def test_validation_takes_its_share():
    """A held-out pass over more samples at once than the batch has decides what fits."""
    held_out = (torch.rand(100, 1), torch.rand(100, 1))
    with pytest.raises(sf.SettingError, match=r"validation=a DataLoader"):
        largest_batch(problem((X, Y), validation=held_out), memory=100 * MiB)
    small = DataLoader(TensorDataset(*held_out), batch_size=4)
    assert largest_batch(problem((X, Y), validation=small), memory=100 * MiB).batch_size >= 3


def test_nothing_of_the_users_changes():
    loader = DataLoader(Rows(), 4, shuffle=True, generator=torch.Generator().manual_seed(3))
    asked = problem(loader)
    weights = {name: value.clone() for name, value in asked.model.state_dict().items()}
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state(), loader.generator.get_state()  # noqa: NPY002
    files, threads, mode = sorted(os.listdir(".")), torch.get_num_threads(), asked.model.training  # noqa: PTH208
    largest_batch(asked, memory=100 * MiB)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state(), loader.generator.get_state()  # noqa: NPY002
    assert before[:2] == after[:2]
    assert all(torch.equal(a, b) for a, b in zip(before[2:], after[2:], strict=True))
    assert all(torch.equal(value, weights[name]) for name, value in asked.model.state_dict().items())
    assert (files, threads, mode) == (sorted(os.listdir(".")), torch.get_num_threads(), asked.model.training)  # noqa: PTH208
    assert all(p.grad is None for p in asked.model.parameters())
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # no child is left


def test_progress_is_told_before_each_try_and_can_end_it():
    told = []
    found = largest_batch(problem((X, Y)), memory=100 * MiB, progress=lambda what, spent, steps: told.append((what, spent, steps)))
    assert [what for what, _, _ in told] == [f"{t.batch_size} samples" for t in found.tries]
    assert all(steps == 30 for _, _, steps in told)

    def enough(what, spent, steps):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        largest_batch(problem((X, Y)), memory=100 * MiB, progress=enough)


def test_it_is_said_in_a_sentence_and_a_table():
    found = largest_batch(problem((X[:20], Y[:20])), memory=500 * MiB)
    assert isinstance(found, Fits)
    assert str(found).startswith("20 samples fit into 500 MiB: all samples at once")
    assert "<td" in found._repr_html_()
