"""Oracle: what was written. A descent in another process, rows put into the file by hand: the pages are told exactly that, as it comes."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from surefoot import Store, descend, problems
from surefoot.lab.live import Follower, listed
from tests.lab.conftest import ask, heard

WALK = """
import sys, time
from surefoot import descend, problems
descend(problems.load('line'), lr=0.1, steps=10**6, stop=lambda row: time.sleep(0.002), store=sys.argv[1], progress=False)
"""


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "runs.sqlite")


@pytest.fixture
def walking(file):
    """A descent in another process, which goes on until it is ended."""
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", WALK, file], env={**os.environ, "OMP_NUM_THREADS": "1"})
    yield process
    process.kill()
    process.wait()


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def put(file, run, steps, loss=lambda step: 1.0 / (step + 1)):
    """Rows as another process writes them: plain SQL."""
    with sqlite3.connect(file) as connection:
        connection.executemany(
            "INSERT INTO rows VALUES (?, ?, 0, 0.1, ?, 1, 0.1, 1, NULL, 0, NULL)", [(run, step, loss(step)) for step in steps]
        )
    connection.close()


def recorded(file, steps=10, **settings):
    return descend(problems.load("line"), **{"lr": 0.1, "steps": steps, "store": file, **settings}).config["run_id"]


def test_a_list_is_what_was_recorded(file):
    recorded(file, lr=0.3)
    recorded(file, lr=50.0, steps=300, optimizer="momentum")
    told = listed(file)
    kept = sqlite3.connect(file).execute("SELECT started FROM runs ORDER BY id").fetchall()
    assert told["note"] is None
    assert [(run["id"], run["lr"], run["optimizer"], run["ended"]) for run in told["runs"]] == [
        (1, 0.3, "sgd", "steps"),
        (2, 50.0, "momentum", "diverged"),
    ]
    assert [run["started"] for run in told["runs"]] == [started for (started,) in kept]
    assert (told["runs"][0]["rows"], told["runs"][0]["steps"], told["runs"][0]["problem"]) == (10, 10, "line")
    assert told["runs"][1]["loss"] is None or np.isfinite(told["runs"][1]["loss"])


@pytest.mark.parametrize("spoilt", ["text", "folder", "of something else", "cut", "newer"])
def test_a_file_that_cannot_be_read_is_told_and_not_raised(file, spoilt):
    if spoilt == "folder":
        Path(file).mkdir()
    elif spoilt == "text":
        Path(file).write_text("these are no runs\n" * 100)
    elif spoilt == "of something else":
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE other (a)")
    else:
        recorded(file)
        if spoilt == "cut":
            with Path(file).open("r+b") as opened:
                opened.seek(100)
                opened.write(b"\xff" * 9000)
        else:
            with sqlite3.connect(file) as connection:
                connection.execute("PRAGMA user_version = 99")
    told = listed(file)
    assert told["runs"] == []
    assert Path(file).name in told["note"]
    refused = Follower(file, 1).news()
    assert (refused["kind"], refused["ask"]) == ("refused", "follow")


@pytest.mark.parametrize("nothing", [None, "missing", "empty"])
def test_a_file_that_is_not_there_yet_is_an_empty_list(file, nothing):
    if nothing == "empty":
        Path(file).touch()
    assert listed(file if nothing else None) == {"kind": "runs", "runs": [], "note": None}


def test_only_what_is_new_is_read_and_all_is_told(file, monkeypatch):
    run = recorded(file)
    asked = []
    trace = Store.trace
    monkeypatch.setattr(
        Store, "trace", lambda self, id, before=None, since=0: asked.append(since) or trace(self, id, before, since)
    )
    clock = Clock()
    follower = Follower(file, run, clock)
    first = follower.news()
    assert (first["rows"], first["last"]["step"], first["ended"]) == (10, 9, "steps")
    assert follower.news() is None
    put(file, run, range(10, 25))
    clock.now += 0.01
    second = follower.news()
    assert (second["rows"], second["last"]) == (25, {"step": 24, "loss": 1 / 25, "lr": 0.1, "grad_norm": 1.0})
    assert asked[0] == 0
    assert set(asked[1:]) == {10}
    whole = Store(file).trace(run)
    drawn = [layer["y"] for layer in second["picture"]["layers"] if layer["type"] == "line"]
    assert any(np.array_equal(each, whole["loss"]) for each in drawn)


def test_a_verdict_comes_at_most_once_a_second(file):
    run = recorded(file)
    clock = Clock()
    follower = Follower(file, run, clock)
    verdicts = []
    for tick in range(1, 31):
        clock.now = tick * 0.1
        put(file, run, range(9 + tick, 10 + tick))
        message = follower.news()
        verdicts.append(message["verdict"] is not None)
        assert message["rows"] == 10 + tick
    assert verdicts[0]
    assert sum(verdicts) == 3
    clock.now += 1
    assert follower.news()["verdict"]["basis"] == "trace"  # the last word is about all rows
    clock.now += 10
    assert follower.news() is None


@pytest.mark.parametrize("loss", [float("inf"), None])
def test_a_loss_that_is_no_number_is_null_and_the_picture_stays(file, loss):
    run = recorded(file)
    put(file, run, [10, 11], lambda step: loss)
    message = Follower(file, run).news()
    assert message["last"]["loss"] is None
    assert message["picture"]["layers"]


def test_a_run_that_is_deleted_or_unknown_is_told_once(file):
    run = recorded(file)
    clock = Clock()
    follower = Follower(file, run, clock)
    follower.news()
    Store(file).delete(run)
    clock.now += 2
    refused = follower.news()
    assert (refused["kind"], "no run 1" in refused["text"]) == ("refused", True)
    clock.now += 2
    assert follower.news() is None
    assert Follower(file, 7).news()["kind"] == "refused"


def test_a_new_file_of_the_same_name_is_read_anew(file):
    run = recorded(file, steps=30)
    clock = Clock()
    follower = Follower(file, run, clock)
    assert follower.news()["rows"] == 30
    for ending in ("", "-wal", "-shm"):
        Path(file + ending).unlink(missing_ok=True)
    time.sleep(1.1)  # runs are told apart by the second in which they began
    recorded(file, steps=12)
    clock.now += 0.1
    assert follower.news()["rows"] == 12


def test_a_run_of_20_000_steps_is_followed_cheaply(file):
    run = recorded(file)
    put(file, run, range(10, 20_000))
    clock = Clock()
    follower = Follower(file, run, clock)
    follower.news()
    times = []
    for tick in range(20):
        put(file, run, range(20_000 + 50 * tick, 20_050 + 50 * tick))
        clock.now += 0.01
        begun = time.perf_counter()
        message = follower.news()
        times.append(time.perf_counter() - begun)
        assert message["verdict"] is None
    assert np.median(times) < 0.3  # 0.003 where nothing else runs; what read every row anew would take seconds


class Silent:
    def answer(self, question, tell, waiting):
        pass


def until(page, wanted, timeout=30):
    """The first message for which ``wanted`` is true."""
    end = time.monotonic() + timeout
    while True:
        message = heard(page, timeout=end - time.monotonic())
        if wanted(message):
            return message


def test_a_run_of_another_process_appears_moves_and_ends_on_the_page(lab, file, request):
    here = lab(Silent, store=file)
    with here.page() as page:
        ask(page, "runs", 1, on=True)
        assert heard(page) == {"kind": "runs", "runs": [], "note": None, "seq": 1}
        process = request.getfixturevalue("walking")
        first = until(page, lambda message: message["runs"])
        assert (first["seq"], first["runs"][0]["problem"], first["runs"][0]["ended"]) == (1, "line", "running")
        ask(page, "follow", 2, run=first["runs"][0]["id"])
        until(page, lambda message: message["kind"] == "live" and message["rows"] > 0)
        until(page, lambda message: message["kind"] == "live" and message["rows"] > 200)
        process.send_signal(signal.SIGKILL)
        process.wait()
        told = {}
        while not (told.get("live") == told.get("runs") == "killed"):
            message = heard(page)
            told[message["kind"]] = message["ended"] if message["kind"] == "live" else message["runs"][0]["ended"]
        assert listed(file)["runs"][0]["rows"] == sqlite3.connect(file).execute("SELECT count(*) FROM rows").fetchone()[0]
        ask(page, "follow", 3, run=None)
        ask(page, "runs", 4, on=False)
        with pytest.raises(TimeoutError):
            page.recv(timeout=1.5)


def test_a_file_deleted_while_it_is_watched_is_told(lab, file):
    run = recorded(file)
    here = lab(Silent, store=file)
    with here.page() as page:
        ask(page, "runs", 1, on=True)
        ask(page, "follow", 1, run=run)
        until(page, lambda message: message["kind"] == "live")
        Path(file).unlink()
        told = [heard(page), heard(page)]
        assert {message["kind"] for message in told} == {"runs", "refused"}
        assert [message["runs"] for message in told if message["kind"] == "runs"] == [[]]


def test_pages_that_follow_nothing_are_told_nothing(lab, file):
    recorded(file)
    here = lab(Silent, store=file)
    with here.page() as one, here.page() as other:
        ask(one, "follow", 1, run=99)
        refused = heard(one)
        assert (refused["kind"], refused["ask"], refused["seq"]) == ("refused", "follow", 1)
        with pytest.raises(TimeoutError):
            other.recv(timeout=0.3)


def test_what_is_told_is_coalesced_to_thirty_a_second(lab, file):
    run = recorded(file)
    here = lab(Silent, store=file)
    with here.page() as page:
        ask(page, "follow", 1, run=run)
        until(page, lambda message: True)
        begun, count, step, rows = time.monotonic(), 0, 10, 0
        while time.monotonic() - begun < 1:
            put(file, run, [step])
            step += 1
        while rows < step:
            count, rows = count + 1, heard(page)["rows"]
        assert rows == step
        assert count <= 4 + 30 * (time.monotonic() - begun)


def test_rows_since_a_step_are_the_end_of_the_trace(file):
    run = recorded(file, steps=30)
    store = Store(file)
    whole = store.trace(run)
    assert store.trace(run, since=0) == whole
    assert store.trace(run, since=20) == whole[20:]
    assert store.trace(run, 25, since=20) == whole[20:25]
    assert len(store.trace(run, since=30)) == 0
    assert store.trace(run)[:20] + store.trace(run, since=20) == whole
