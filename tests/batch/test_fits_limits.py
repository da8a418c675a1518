"""The oracle is arithmetic: bytes allocated on purpose, control groups written by hand."""

import os

import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot.batch import fits_tried
from surefoot.batch.fits import largest_batch
from surefoot.batch.memory_confined import can_confine, confined
from surefoot.batch.memory_free import _left_in_groups, free
from surefoot.batch.memory_in_place import counted
from surefoot.batch.memory_outcome import wants_memory

MiB = 2**20
linux = pytest.mark.skipif(not can_confine(), reason="no process can be forked and held to a limit here")


def held(*sizes):
    return lambda peak: len([torch.ones(size * MiB // 4) for size in sizes])


@linux
def test_a_confined_process_gets_what_it_may_take_and_no_more():
    assert confined(held(40, 40), 90 * MiB).held
    assert not confined(held(40, 40, 40), 90 * MiB).held


@linux
def test_the_peak_of_a_confined_process_is_its_own():
    torch.ones(200 * MiB // 4)  # this process has had a higher one
    assert confined(held(50, 50), 400 * MiB).peak / MiB == pytest.approx(100, abs=3)


@linux
def test_a_process_that_is_killed_is_told_from_one_that_ran_out():
    assert confined(lambda peak: os.kill(os.getpid(), 9), 90 * MiB).signal == 9


def test_tensors_are_counted_as_they_come_and_go():
    def work(peak):
        for _ in range(3):
            torch.ones(1000) + torch.ones(1000)  # two, and their sum
        return peak()

    assert counted(work, MiB).value == 12000.0


def test_what_was_there_before_and_views_of_it_are_not_counted():
    there = torch.ones(1000)
    assert counted(lambda peak: there[10:].view(-1, 10).t().add_(1).shape, MiB).peak == 0


def test_counting_gives_up_at_the_limit():
    outcome = counted(lambda peak: [torch.ones(MiB // 4) for _ in range(100)], 10 * MiB)
    assert not outcome.held


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
        RuntimeError("std::bad_alloc"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_want_of_memory_is_known_by_its_words(error):
    assert wants_memory(error)
    wrapped = KeyError("wrapped")
    wrapped.__cause__ = error
    assert wants_memory(wrapped)


def test_where_nothing_can_be_forked_tensors_are_counted(monkeypatch):
    """1 MiB a sample there, and as much on the way back."""
    monkeypatch.setattr(fits_tried, "can_confine", lambda: False)
    x = torch.rand(300, 1)
    problem = sf.Problem(nn.Linear(1, 1), (x, x), loss=lambda p, y: (p.expand(len(p), 2**18) * y).mean())
    state = torch.get_rng_state()
    found = largest_batch(problem, memory=200 * MiB, headroom=0.0)
    assert found.steps <= 30
    at = next(t for t in found.tries if t.batch_size == found.batch_size)
    assert at.peak <= 200 * MiB
    assert at.peak / found.batch_size * (found.batch_size * 1.04 + 1) > 200 * MiB
    assert torch.equal(state, torch.get_rng_state())


def test_the_least_that_a_control_group_leaves_counts(tmp_path):
    own = tmp_path / "cgroup"
    own.write_text("0::/a/b\n")
    for group, limit, used, files in (("a", "max", 5, 0), ("a/b", "1000", 700, 100)):
        (tmp_path / group).mkdir()
        (tmp_path / group / "memory.max").write_text(f"{limit}\n")
        (tmp_path / group / "memory.current").write_text(f"{used}\n")
        (tmp_path / group / "memory.stat").write_text(f"anon 1\ninactive_file {files}\n")
    assert _left_in_groups(tmp_path, own) == [400]


def test_what_is_free_is_less_than_what_there_is():
    there = free(torch.device("cpu"))
    assert there is None or 0 < there < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu_the_answer_fits_and_a_tenth_more_does_not():
    x = torch.rand(20000, 1)
    model = nn.Linear(1, 1).cuda()
    problem = sf.Problem(model, (x, x), loss=lambda p, y: (p.expand(len(p), 2**18) * y).mean())
    found = largest_batch(problem, memory=2**30)
    reserved = torch.cuda.memory_reserved()
    at = next(t for t in found.tries if t.batch_size == found.batch_size)
    assert 0.85 * 2**30 <= at.peak <= 2**30
    assert reserved <= 2**26  # the cache is empty again
    sf.descend(problem, lr=1e-3, batch_size=found.batch_size, steps=20, progress=False)
