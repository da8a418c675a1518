"""The oracle is planted: memory as a known function of the batch size, whose largest fitting size is known in closed form."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surefoot.batch.fits import _Hunt
from surefoot.batch.fits_search import Search, Try
from surefoot.batch.fits_tried import Taken, Tried


def searched(peak, limit, most=None, creep=lambda step: 1.0, budget=30, block=0.0, **settings):
    """Tries as `peak` has it; ``creep(step)`` is what the samples take after so many steps, in multiples of what they do at first."""
    search, tries, spent = Search(limit, most=most, **{"holes": 0.0, "reserve": 0, **settings}), [], 0
    while (size := search.next_size(tries)) is not None and spent + 2 <= budget and not search.settled(tries, budget - spent):
        assert size not in [t.batch_size for t in tries]
        assert 1 <= size <= (most or math.inf)
        peaks = []
        while len(peaks) < 2 or (
            len(peaks) < min(search.enough(peaks[-1], block * peaks[-1]), budget - spent) and peaks[-1] >= search.close(tries)
        ):
            taken = peak(0) + (peak(size) - peak(0)) * creep(len(peaks) + 1)
            if taken > limit:
                break
            peaks.append(taken)
        ran_out = len(peaks) < 2 or taken > limit
        steps, early = len(peaks) + ran_out, peaks[1] if len(peaks) > 1 else math.nan
        tries.append(
            Try(size, False, math.nan, math.nan, steps, early)
            if ran_out
            else Try(size, True, peaks[-1], 0.1, steps, early, block * peaks[-1])
        )
        spent += steps
    return max((t.batch_size for t in search.judged(tries) if t.fits), default=0), spent


@given(fixed=st.floats(0, 5e8), each=st.floats(1e3, 5e7), share=st.floats(30, 1e5))
def test_a_line_is_met_within_a_tenth(fixed, each, share):
    true = math.floor(share)
    found, steps = searched(lambda b: fixed + each * b, int(fixed + each * share))
    assert 0.9 * true - 1 <= found <= true
    assert steps <= 30


@given(bend=st.floats(1, 1e4), each=st.floats(0, 1e5), share=st.floats(60, 2e4))
def test_a_parabola_is_met_within_a_tenth(bend, each, share):
    true = math.floor(share)
    found, steps = searched(lambda b: 1e6 + each * b + bend * b**2, int(1e6 + each * share + bend * share**2))
    assert 0.8 * true - 1 <= found <= true
    assert steps <= 30


@pytest.mark.parametrize("grows", [1.0, 1.2, 1.5])
def test_a_heap_that_frays_is_not_overfilled(grows):
    """Samples take up to ``grows`` times more in the end than at first, half of it within three steps."""
    found, _ = searched(
        lambda b: 1e7 + 1e6 * b, 10**9, creep=lambda step: 1 + (grows - 1) * (1 - 2 ** (-(step - 1) / 3)), block=0.06, holes=2.0
    )
    assert 0.8 * 990 / grows <= found <= 990 / grows


@pytest.mark.parametrize("most", [1, 2, 8, 9, 50, 1000])
def test_all_samples_are_tried_where_they_fit(most):
    assert searched(lambda b: 1e6 + b, 10**9, most)[0] == most


def test_nothing_fits():
    assert searched(lambda b: 1e6 + b, 10**5)[0] == 0


@pytest.mark.parametrize("true", [1, 2, 3, 5, 7])
def test_few_samples_are_found_to_one(true):
    found, _ = searched(lambda b: 1e6 + 1e8 * b, int(1e6 + 1e8 * (true + 0.5)))
    assert true - 1 <= found <= true
    assert found >= 1


def test_headroom_is_left_for_so_many_samples_more():
    for headroom in (0.0, 0.05, 0.2):
        found, _ = searched(lambda b: 1e9 + 1e6 * b, int(2e9), headroom=headroom)
        assert found * (1 + headroom) <= 1000
        assert found * (1 + headroom) >= 0.93 * 1000


def test_growth_where_blocks_are_mapped_is_not_taken_for_holes():
    """16 MB came to a try whose largest block in the heap had 32 KB; those of the smaller one had 4 MB, and came nowhere near."""
    small, large = Try(8, True, 1.2e7, 0.1, 2, 1.2e7, 4.2e6), Try(128, True, 1.5e8, 0.1, 5, 1.34e8, 3.2e4)
    search = Search(157 * 10**6)
    assert [t.fits for t in search.judged([small, large])] == [True, False]
    assert 64 <= search.next_size([small, large]) < 128


def test_a_size_that_was_tried_twice_is_one_point_of_the_curve():
    tries = [
        Try(8, True, 1e6, 0.1, 2, 1e6),
        Try(64, False, 8e6, 0.1, 2, 8e6),
        Try(64, True, 8e6, 0.1, 8, 8e6),
        Try(100, True, 1.25e7, 0.1, 8, 1.25e7),
    ]
    assert 140 <= Search(2 * 10**7, holes=0.0, reserve=0).next_size(tries) <= 160  # 160 by the line through the last two


class Planted:
    """1 MiB in the heap for each sample, twice over; what a long try grows by comes as a surprise: six blocks."""

    search, count, memory = Search(60 * 2**20), None, 60 * 2**20
    problem = SimpleNamespace(model=torch.nn.Linear(1, 1))

    def steps(self, size):
        return 2

    def tried(self, size, most, close):
        early = 2.0 * size * 2**20
        long = early >= close
        return Tried(8 if long else 2, early + 6 * size * 2**20 * long, early, size * 2.0**20, Taken(size, 0.1))


def test_a_size_of_which_few_steps_told_nothing_is_tried_long():
    found = _Hunt(Planted(), lambda what, steps: None).fits()
    sizes = [t.batch_size for t in found.tries]
    assert max(map(sizes.count, sizes)) <= 2
    assert all(t.steps == 8 for i, t in enumerate(found.tries) if t.batch_size in sizes[:i])
    assert found.batch_size >= 2
