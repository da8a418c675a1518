"""What a population recorded is what it returned; what had ended when it was given up is there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from surefoot import Store, descend, problems
from surefoot.descent import population as module
from surefoot.descent.population import descend_many, fork
from surefoot.errors import StoreError, SurefootWarning

RATES = [0.01, 0.1, 1e38]


def bowl():
    return problems.load("digits-mlp")


@pytest.mark.parametrize("engine", ["vmap", "sequential", "processes"])
def test_every_engine_records_each_run(engine, tmp_path):
    file = tmp_path / "runs.sqlite"
    made = descend_many(bowl(), lr=RATES, steps=6, engine=engine, store=file)
    entries = {entry.id: entry for entry in Store(file).runs()}
    assert sorted(entries) == [1, 2, 3]
    assert sorted(entry.config["lr"] for entry in entries.values()) == RATES
    for run in made.runs:
        again = Store(file).load(run.config["run_id"])
        assert again.ended == run.ended == entries[run.config["run_id"]].ended
        assert again.trace == run.trace
        assert again.config == run.config
        assert all(torch.equal(again.weights[name], value) for name, value in run.weights.items() if run.ended == "steps")
    plain = descend_many(bowl(), lr=RATES, steps=6, engine=engine)
    for run, unrecorded in zip(made.runs, plain.runs, strict=True):
        assert np.array_equal(run.trace["loss"], unrecorded.trace["loss"], equal_nan=True)
        assert "store" not in unrecorded.config


def test_a_recorded_run_goes_on(tmp_path):
    file = tmp_path / "runs.sqlite"
    made = descend_many(bowl(), lr=RATES[:2], steps=6, engine="vmap", store=file).runs[0]
    loaded = Store(file).load(made.config["run_id"])
    whole = descend(bowl(), lr=RATES[0], steps=6)
    further = fork(bowl(), loaded, [0.05], steps=3, store=file).runs[0]
    twin = descend(bowl(), start=whole, lr=0.05, schedule="constant", steps=3)
    np.testing.assert_allclose(further.trace["loss"], twin.trace["loss"], rtol=1e-4)
    entry = Store(file).entry(further.config["run_id"])
    assert (entry.parent, entry.steps) == (made.config["run_id"], 9)


@pytest.mark.parametrize("engine", ["sequential", "processes"])
def test_what_has_ended_stays_when_the_rest_is_given_up(engine, tmp_path):
    file = tmp_path / "runs.sqlite"

    def seen(steps):
        if file.exists() and Store(file).runs():
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        descend_many(bowl(), lr=[0.01] * 40, steps=40, engine=engine, store=file, seen=seen)
    entries = Store(file).runs()
    assert 0 < len(entries) < 40
    assert {entry.ended for entry in entries} == {"steps"}
    assert all(len(Store(file).load(entry.id).trace) == 40 for entry in entries)


def test_a_store_that_cannot_be_written_is_refused_before_anything_is_walked(tmp_path):
    (tmp_path / "runs.sqlite").write_text("no store")
    called = []
    with pytest.raises(StoreError, match="not a store of runs"):
        descend_many(bowl(), lr=RATES, steps=6, store=tmp_path / "runs.sqlite", seen=called.append)
    assert not called


def test_the_descents_go_on_when_the_disk_is_full(monkeypatch, tmp_path):
    def full(store, runs, start=None):
        if runs:
            raise StoreError("the disk is full.")

    monkeypatch.setattr(module, "record", full)
    with pytest.warns(SurefootWarning, match=r"go on, but 3 could not be recorded: the disk is full\."):
        made = descend_many(bowl(), lr=RATES, steps=6, engine="vmap", store=tmp_path / "runs.sqlite")
    assert [run.ended for run in made.runs] == ["steps", "steps", "diverged"]


def test_runs_are_recorded_all_or_none(monkeypatch, tmp_path):
    from surefoot import store

    file, written = tmp_path / "runs.sqlite", []
    runs = descend_many(bowl(), lr=RATES[:2], steps=6, engine="sequential").runs
    write = store.write_whole

    def once(content, path):
        if written:
            raise StoreError("the disk is full.")
        written.append(path)
        write(content, path)

    monkeypatch.setattr(store, "write_whole", once)
    with pytest.raises(StoreError, match="full"):
        store.record(file, runs)
    assert Store(file).runs() == []
    assert not written[0].exists()
