"""Oracle: an undisturbed run. A process killed at any moment, interrupted or stopped is continued to the same rows, weights and path, bit for bit."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from surefoot import Store, StoreError

TRAIN = """
import time, torch
from torch import nn
import surefoot as sf

torch.manual_seed(0)
x = torch.randn(300, 5)
y = x.sum(1, keepdim=True)


def objective(model, batch):
    time.sleep(0.003)
    return nn.functional.mse_loss(model(batch[0]), batch[1])


network = nn.Sequential(nn.Linear(5, 16), nn.Dropout(0.2), nn.Linear(16, 1))
problem = sf.Problem(network, (x, y), objective=objective, batch_size=32, validation=(x[:50], y[:50]))
"""
SETTINGS = ["--lr", "0.01", "--optimizer", "adam", "--schedule", "cosine", "--steps", "700"]


def surefoot(*arguments, **options):
    command = [sys.executable, "-c", "from surefoot.cli.main import main; main()", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def finished(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def rows_within(store, count, seconds=60):
    """Waits until that many rows are visible from this process."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if store.exists():
            try:
                seen = Store(store).runs()
            except StoreError:
                seen = []
            if seen and seen[0].steps >= count:
                return seen[0]
        time.sleep(0.02)
    raise AssertionError(f"no {count} rows in {seconds} s")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    (folder / "train.py").write_text(TRAIN)
    finished(surefoot("descend", "train.py:problem", *SETTINGS, "--store", "whole.sqlite", cwd=folder))
    return folder


def same(one, other):
    return (
        one.trace == other.trace
        and all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
        and np.array_equal(one.path.steps, other.path.steps)
        and torch.equal(one.path.weights, other.path.weights)
    )


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "how"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (400, signal.SIGKILL), (200, signal.SIGINT)])
def test_a_run_that_was_ended_goes_on_as_if_nothing_had_happened(folder, rows, how):
    name = f"{rows}-{how.name}.sqlite"
    process = surefoot("descend", "train.py:problem", *SETTINGS, "--store", name, cwd=folder)
    entry = rows_within(folder / name, rows)
    assert entry.ended == "running"
    with pytest.raises(StoreError, match="still being written"):
        Store(folder / name).load(1)
    with pytest.raises(StoreError, match="still being written"):
        Store(folder / name).delete(1)
    process.send_signal(how)
    process.communicate(timeout=30)
    left = Store(folder / name).entry(1)
    assert left.ended == ("killed" if how is signal.SIGKILL else "interrupted")
    assert rows <= left.steps < 700
    assert "done" in finished(surefoot("descend", "--continue", "1", "--store", name, cwd=folder))
    assert len(Store(folder / name).runs()) == 1
    assert Store(folder / name).trace(1)["step"].tolist() == list(range(700))
    assert same(Store(folder / name).load(1), Store(folder / "whole.sqlite").load(1))
