"""Grids filled in levels, interrupted, kept and gone on with, against the same grid filled in one go."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from surefoot import Problem, descend, problems
from surefoot.errors import SettingError, StoreError, SurefootWarning
from surefoot.surfaces import progressive
from surefoot.surfaces.surface import landscape


def digits() -> Problem:
    return problems.load("digits-mlp", width=16)


class Slow:
    """A bowl that is walked one point at a time, and presses Ctrl-C after so many."""

    def __init__(self, press_after: int | None = None):
        self.calls, self.press_after = 0, press_after

    def problem(self) -> Problem:
        return Problem.of(self, start=[1.0, 1.0])

    def __call__(self, x):
        if not torch._C._functorch.is_batchedtensor(x):  # calls that try batching do not count
            self.calls += 1
            if self.calls == self.press_after:
                os.kill(os.getpid(), signal.SIGINT)
        return (x * x).sum() if float(x.detach()[0]) < 9 else x.sum()  # looks at its numbers: one by one


def test_a_grid_in_many_passes_is_the_grid_in_one():
    problem = digits()
    whole = landscape(problem, plane="random", resolution=21, data=200)
    parts = landscape(problem, plane="random", resolution=21, data=200, memory_limit=1)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    assert parts.loss.shape == (21, 21)


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread only")
def test_ctrl_c_gives_what_is_there_and_the_file_goes_on(tmp_path):
    file = tmp_path / "surface.pt"
    asked = {"resolution": 33, "extent": (-2, 2, -2, 2), "progress": False}
    whole = Slow()
    expected = landscape(whole.problem(), **asked)
    cut = Slow(press_after=200)
    coarse = landscape(cut.problem(), keep=file, **asked)
    stride = (33 - 1) // (len(coarse.axes[0]) - 1)
    assert stride in (2, 4, 8)
    assert f"interrupted: every {stride}th of 33 points" in coarse.note
    assert np.array_equal(coarse.loss, expected.loss[::stride, ::stride])
    assert np.array_equal(coarse.axes[0], expected.axes[0][::stride])
    rest = Slow()
    assert np.array_equal(landscape(rest.problem(), keep=file, **asked).loss, expected.loss)
    # the minima's own descents and the corners of the fingerprint come on top, but the points of the first call do not come again
    assert rest.calls < whole.calls - 150


def test_ctrl_c_before_anything_is_there_is_ctrl_c():
    with pytest.raises(KeyboardInterrupt):
        landscape(Slow(press_after=3).problem(), resolution=33, extent=(-2, 2, -2, 2))


def test_a_file_of_another_surface_is_left_alone(tmp_path):
    file = tmp_path / "surface.pt"
    problem = digits()
    first = landscape(problem, plane="random", resolution=3, keep=file)
    before = file.read_bytes()
    for other in ({"resolution": 4}, {"extent": (-2, 2, -2, 2)}, {"seed": 1}, {"data": "validation"}):
        with pytest.raises(SettingError, match="is not of this surface"):
            landscape(problem, plane="random", keep=file, **{"resolution": 3, **other})
    assert file.read_bytes() == before
    assert np.array_equal(landscape(problem, plane="random", resolution=3, keep=file).loss, first.loss)
    (tmp_path / "notes.txt").write_text("not a surface")
    with pytest.raises(StoreError, match="cannot be read"):
        landscape(problem, plane="random", resolution=3, keep=tmp_path / "notes.txt")
    with pytest.raises(StoreError, match="could not be written"):
        landscape(problem, plane="random", resolution=3, keep=tmp_path / "nowhere" / "surface.pt")


def test_what_takes_long_says_so_before_it_goes_on(monkeypatch):
    monkeypatch.setattr(progressive, "LONG", 0.0)
    monkeypatch.setattr(progressive, "SHOWN", 0.0)
    with pytest.warns(SurefootWarning, match=r"^961 points will take about [\d.]+ s, coarse ones first"):
        landscape(Slow().problem(), resolution=31, extent=(-1, 1, -1, 1))


def test_coarse_levels_come_first():
    seen = []

    def bowl(x):
        seen.append((float(x[0]), float(x[1])) if not torch._C._functorch.is_batchedtensor(x) else None)
        return (x * x).sum() if float(x.detach()[0]) < 99 else x.sum()

    landscape(Problem.of(bowl, start=[0.5, 0.5]), resolution=65, extent=(0, 64, 0, 64))
    points = [each for each in seen if each is not None]
    on = [point for point in points if all(value == int(value) for value in point)]  # without the start and the like
    assert {value % 16 for point in on[:25] for value in point} == {0.0}
    assert {value % 8 for point in on[:81] for value in point} == {0.0}


PEAK = """
import sys, torch
from surefoot import problems
from surefoot.surfaces import grid
from surefoot.surfaces.surface import landscape

grid.PASS = 2**40  # nothing but the limit bounds a pass

def highest():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1])

torch.set_num_threads(1)
line = problems.load("line", points=1000)
landscape(line, resolution=31, data="train")
before = highest()
landscape(line, resolution=251, data="train", memory_limit=int(sys.argv[1]))
print(highest() - before)
"""


def peak(limit: int) -> float:
    """MiB that a surface of 63,001 points over 1,000 samples adds to the memory of a process of its own."""
    out = subprocess.run([sys.executable, "-c", PEAK, str(limit)], capture_output=True, text=True, check=True, timeout=120)
    return int(out.stdout) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the highest memory of a process is read from /proc")
def test_memory_stays_below_its_limit():
    limited, free = peak(96 * 2**20), peak(2**30)
    assert limited < 96 + 24  # the grid itself, and what the allocator does not give back at once
    assert free > 200  # 63,001 x 1,000 float32: the limit is what bounds it


def test_a_run_of_one_point_has_a_surface_through_it():
    problem = digits()
    run = descend(problem, lr=0.1, steps=1)
    surface = landscape(problem, run, resolution=3)
    assert surface.plane.kind == "random"
    assert "does not span a plane" in str(surface)
    with pytest.raises(SettingError, match="fewer than 2 directions"):
        landscape(problem, run, plane="path", resolution=3)
