"""Descents whose illness is built in: what the command line says of them, and that its remedy helps."""

import fcntl
import json
import re
import sqlite3

import pytest

from surefoot.cli import verdict
from surefoot.errors import SettingError

# What is true by the closed form: the line's stability limit is 0.789, the valley's nearer minimum is the higher one.
ILL = {
    "line --lr 0.0001": ("too-small", 0),
    "line --lr 0.9": ("overflow", 1),
    "line --lr 10": ("overflow", 1),
    "valley --lr 0.01": ("local-minimum", 0),
}


@pytest.mark.parametrize("words", ILL)
def test_descend_ends_with_the_verdict_and_what_to_do(surefoot, words):
    name, code = ILL[words]
    lines = surefoot(f"descend {words}", code).splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("recorded as run 1"))
    said, remedy, *weights = lines[at + 1 :]
    assert said.startswith(f"{name} (")
    assert re.match(r"What to do: .*\d", remedy)
    assert [line.partition(":")[0] for line in weights] == ["The remedy's weights"] * (name == "local-minimum")


@pytest.mark.parametrize("lr", ["0.0001", "0.9", "10"])
def test_the_rate_that_it_names_ends_lower(surefoot, lr):
    before = json.loads(surefoot(f"descend line --lr {lr} --json", code=int(float(lr) > 0.5)))
    remedy = before["diagnosis"]["remedy"]
    assert remedy["setting"] == "lr"
    assert 0.01 < remedy["value"] < 0.789
    after = json.loads(surefoot(f"descend line --lr {remedy['value']} --json"))
    assert after["ended"] == "steps"
    assert after["last_finite"]["loss"] < 0.01 < before["last_finite"]["loss"]


@pytest.mark.parametrize("lr", ["0.9", "10"])
def test_divergence_is_told_once(surefoot, lr):
    out = surefoot(f"descend line --lr {lr}", code=1)
    assert "diverged at step" in out
    assert "largest stable rate" in out
    assert "2 / curvature" not in out
    assert "smaller learning rate is needed" not in out


def test_a_healthy_descent_needs_nothing(surefoot):
    out = surefoot("descend line --lr 0.05")
    assert out.splitlines()[-1].startswith("converged (")
    assert "converged" not in surefoot("descend line --lr 0.05 --no-diagnose")
    assert json.loads(surefoot("descend line --lr 0.05 --no-diagnose --json"))["diagnosis"] is None


def test_a_long_run_is_judged_by_its_trace(surefoot, monkeypatch):
    monkeypatch.setattr(verdict, "SHORT", 0.0)
    out = surefoot("descend line --lr 0.9 --store far.sqlite", code=1)
    assert "surefoot diagnose 1 --store far.sqlite measures" in out.splitlines()[-1]
    assert "Above 0.789" in out  # which the trace cannot tell
    assert json.loads(surefoot("descend line --lr 0.9 --json", code=1))["diagnosis"]["basis"] == "trace"
    assert "measures" not in surefoot("descend line --lr 0.9 --no-record", code=1).splitlines()[-1]


@pytest.mark.parametrize("error", [SettingError("there is a fly in it"), RuntimeError("there is a fly in it"), KeyboardInterrupt()])
@pytest.mark.parametrize("words", ["descend line --lr 0.9", "descend line --lr 0.1", "train line --lr 0.1 --steps 50"])
def test_what_goes_wrong_in_the_diagnosis_costs_no_run(surefoot, monkeypatch, error, words):
    def fails(*arguments, **options):
        raise error

    monkeypatch.setattr("surefoot.diagnosis.diagnose.diagnose", fails)
    code = int("0.9" in words)
    out = surefoot(words, code)
    assert "recorded as run 1" in out
    assert surefoot.err.startswith("note: ")
    assert "interrupted" in surefoot.err or "a fly" in surefoot.err
    assert ("the last finite one" in out) == bool(code)
    answer = json.loads(surefoot(f"{words} --json", code))
    assert answer["diagnosis"] is None
    assert answer["last_finite"]["step"] > 10


# ---- surefoot diagnose


def test_a_recorded_run_is_judged_as_at_its_end(surefoot):
    for number, (words, (name, code)) in enumerate(ILL.items(), 1):
        at_end = json.loads(surefoot(f"descend {words} --json", code))["diagnosis"]
        again = json.loads(surefoot(f"diagnose {number} --json", code=1))
        assert {**again, "gradients": None} == {**at_end, "gradients": None}
        assert (again["verdict"], again["basis"], again["ill"]) == (name, "problem", True)
        assert again["gradients"] > 0
        assert again["evidence"]
    for words in ("diagnose", "diagnose last"):  # how many gradients it takes depends on the engine that the clock chose
        assert {**json.loads(surefoot(f"{words} --json", code=1)), "gradients": None} == {**again, "gradients": None}


def test_a_trace_does_not_see_the_other_valley(surefoot):
    surefoot("descend valley --lr 0.01 --no-diagnose")
    answer = json.loads(surefoot("diagnose 1 --trace --json"))
    assert (answer["verdict"], answer["ill"], answer["basis"], answer["gradients"], answer["remedy"]) == (
        "converged",
        False,
        "trace",
        0,
        None,
    )
    assert surefoot("diagnose 1", code=1).splitlines()[-1].startswith("The remedy's weights: x ")


def test_three_depths_tell_more_and_more(surefoot):
    surefoot("descend line --lr 0.0001 --no-diagnose")
    basic, medium, detailed = (surefoot(f"diagnose 1 --depth {depth}", code=1) for depth in ("basic", "medium", "detailed"))
    assert surefoot("diagnose 1", code=1) == medium
    assert "threshold" not in basic
    assert "threshold" in medium
    assert "source:" not in medium
    assert "source:" in detailed
    assert len({text.splitlines()[0] for text in (basic, medium, detailed)}) == 1  # which run it is
    assert all("What to do: " in text for text in (basic, medium, detailed))


def test_a_problem_that_cannot_be_made_again_leaves_the_trace(surefoot, tmp_path):
    table = tmp_path / "points.csv"
    table.write_text("x,y\n" + "".join(f"{x},{3 * x}\n" for x in range(40)))
    surefoot("descend points.csv --target y --lr 0.00001")
    assert json.loads(surefoot("diagnose 1 --json", code=1))["basis"] == "problem"
    table.rename(tmp_path / "moved.csv")
    assert json.loads(surefoot("diagnose 1 --json", code=1))["basis"] == "trace"
    assert "could not be made again" in surefoot.err
    named = json.loads(surefoot("diagnose 1 --problem moved.csv --target y --json", code=1))
    assert (named["basis"], named["verdict"]) == ("problem", "too-small")


def test_a_run_that_is_going_on_is_judged_by_its_rows(surefoot, tmp_path):
    surefoot("descend line --lr 0.0001 --no-diagnose")
    with sqlite3.connect(tmp_path / "runs.sqlite") as connection:
        connection.execute("UPDATE runs SET ended = NULL")
    with (tmp_path / "runs.sqlite.checkpoints" / "1.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert json.loads(surefoot("diagnose 1 --json", code=1))["basis"] == "trace"
    assert "still going on" in surefoot.err


def test_an_id_that_is_not_there(surefoot):
    surefoot("descend line --lr 0.1 --steps 10 --no-diagnose")
    assert len(surefoot("diagnose 7", code=2).splitlines()) == 1
    assert "no run 7. Known: 1" in surefoot.err
    assert "recorded run" in surefoot("diagnose 1 --columns loss=y", code=2)


def test_without_a_fork_test_there_is_nothing_to_draw(surefoot, tmp_path):
    surefoot("descend line --lr 10 --no-diagnose", code=1)
    assert surefoot("diagnose 1 --plot --picture forks.png", code=1) == surefoot("diagnose 1", code=1)
    surefoot("diagnose 1 --plot", code=1)
    assert "nothing to draw" in surefoot.err
    assert not (tmp_path / "forks.png").exists()


# ---- surefoot train


def test_train_tells_what_it_found_and_how_it_ended(surefoot):
    out = surefoot("train digits-linear --steps 100")
    assert "found, with" in out
    assert "recorded as run 1" in out
    assert "digits-linear" in surefoot("runs show 1")
    answer = json.loads(surefoot("train digits-linear --steps 100 --json"))
    assert answer["config"]["lr"] == answer["found"]["lr"]
    assert answer["tries"] == 1
    assert out.count(answer["found"]["reason"]) == 1
    assert answer["diagnosis"]["basis"] == "problem"
    assert answer["last_finite"]["loss"] < 0.5


@pytest.mark.parametrize("lr", ["20", "1e30"])
def test_train_mends_what_was_forced_to_diverge(surefoot, lr):
    out = surefoot(f"train bowl --optimizer sgd --steps 100 --lr {lr}")
    assert "back to step 0" in out
    answer = json.loads(surefoot(f"train bowl --optimizer sgd --steps 100 --lr {lr} --json"))
    assert answer["tries"] > 1
    assert answer["last_finite"]["loss"] < 0.01
    # the rows of the try that was abandoned are no illness of the one that led to the end
    assert answer["diagnosis"]["verdict"] in ("converged", "descending")
    assert json.loads(surefoot("diagnose last --json"))["verdict"] == answer["diagnosis"]["verdict"]
