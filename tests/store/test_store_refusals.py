"""Misuse of the file of runs is a StoreError that names the file and the way out; what was there survives."""

import os
import pickle
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
import torch

import surefoot.store
from surefoot import Run, Store, StoreError, descend, problems


@pytest.fixture
def kept(tmp_path):
    file = tmp_path / "runs.sqlite"
    return file, descend(problems.load("line"), lr=0.1, steps=30, store=file)


def line(store, **settings):
    return descend(problems.load("line"), **{"lr": 0.1, "steps": 5, **settings}, store=store)


def text_file(path):
    path.write_text("no database, but long enough to be taken for the header of one " * 3)


def other_database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")


def newer(path):
    line(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")


REFUSED = {
    "text": (text_file, "not a store"),
    "other database": (other_database, "something else"),
    "newer": (newer, "newer surefoot.*99"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_store(tmp_path, case):
    make, words = REFUSED[case]
    file = tmp_path / "some.sqlite"
    make(file)
    before = file.read_bytes() if file.is_file() else None
    for use in (line, lambda path: Store(path).runs()):
        with pytest.raises(StoreError, match=words):
            use(file)
    assert before is None or file.read_bytes() == before


def test_a_missing_folder_or_file(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        line(tmp_path / "nowhere" / "runs.sqlite")
    with pytest.raises(StoreError, match="There is no store"):
        Store(tmp_path / "runs.sqlite")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_store_is_read_but_not_written(kept):
    file, run = kept
    file.chmod(0o444)
    file.parent.chmod(0o555)
    try:
        assert Store(file).trace(1) == run.trace
        with pytest.raises(StoreError, match="read-only"):
            line(file)
    finally:
        file.parent.chmod(0o755)


def test_a_locked_store(kept, monkeypatch):
    monkeypatch.setattr(surefoot.store, "LOCK_TIMEOUT", 0.1)
    file, run = kept
    with sqlite3.connect(file) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="is locked: another process"):
            line(file)
        assert Store(file).trace(1) == run.trace  # readers are not kept out
        other.rollback()


def test_a_damaged_checkpoint_and_an_unknown_run(kept):
    file, run = kept
    with pytest.raises(StoreError, match=r"no run 7\. Known: 1"):
        Store(file).load(7)
    (file.parent / "runs.sqlite.checkpoints" / "1.pt").write_bytes(b"PK broken")
    with pytest.raises(StoreError, match="cannot be read"):
        Store(file).load(1)
    assert Store(file).trace(1) == run.trace


def test_a_smaller_rate_is_a_new_run_and_the_old_one_stays(kept):
    file, run = kept
    longer = descend(problems.load("line"), lr=0.01, steps=20, start=Store(file).load(1), store=file)
    old, new = Store(file).runs()
    assert (old.steps, new.steps, new.parent) == (30, 50, 1)
    assert Store(file).trace(1) == run.trace == longer.trace[:30]
    assert Store(file).load(2).trace == longer.trace
    Store(file).delete(1)
    assert [entry.id for entry in Store(file).runs()] == [2]
    assert Store(file).load(2).trace == longer.trace


def test_a_diverged_run_keeps_its_last_row(tmp_path):
    run = line(tmp_path / "runs.sqlite", lr=10, steps=200)
    loaded = Store(tmp_path / "runs.sqlite").load(1)
    assert (loaded.ended, loaded.diverged_at) == ("diverged", run.diverged_at)
    assert loaded.trace == run.trace


def test_save_and_load_round_trip_and_a_failed_save_leaves_the_old_file(tmp_path, kept):
    _, run = kept
    run.save(tmp_path / "run.pt")
    loaded = Run.load(tmp_path / "run.pt")
    assert loaded.trace == run.trace
    assert all(torch.equal(loaded.weights[name], run.weights[name]) for name in run.weights)
    assert np.array_equal(np.asarray(loaded.path), np.asarray(run.path))
    with pytest.raises(StoreError, match="could not be written"):
        run.save(tmp_path / "missing" / "run.pt")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"surefoot_run": 1, "x": os.system}, protocol=2))
    with pytest.raises(StoreError, match=r"evil\.pt cannot be read"):
        Run.load(tmp_path / "evil.pt")
    with pytest.raises(StoreError, match="no file"):
        Run.load(tmp_path / "none.pt")


FULL = """
import resource, signal, sys, time, warnings
import torch
from torch import nn
import surefoot as sf

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
network = nn.Linear(20_000, 10)  # a checkpoint of 800 kB
x, y = torch.randn(16, 20_000), torch.randn(16, 10)
calls = 0


def objective(model, batch):
    global calls
    calls += 1
    if calls == 30:  # the first checkpoint is there: from now on no file may grow beyond 400 kB
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    time.sleep(0.05)
    return nn.functional.mse_loss(model(batch[0]), batch[1])


with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    run = sf.descend(sf.Problem(network, (x, y), objective=objective), lr=1e-6, steps=60, store="runs.sqlite")
print(run.ended, len(run.trace))
print(" ".join(str(w.message) for w in caught if issubclass(w.category, sf.SurefootWarning)))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits")
def test_a_full_disk_while_checkpointing(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "steps 60" in done.stdout
    assert "The descent goes on, but run 1 could not be recorded" in done.stdout
    checkpoint = tmp_path / "runs.sqlite.checkpoints" / "1.pt"
    survived = torch.load(checkpoint, weights_only=True)
    assert 0 <= survived["state"]["step"] < 60
    assert [path.name for path in checkpoint.parent.glob(".*part")] == []
