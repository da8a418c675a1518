"""`surefoot report` as it is typed; what is in the file, tests/lab/test_report_parsed.py says."""

import json
import re

import pytest

OWN = """
import surefoot as sf

problem = sf.Problem.of(lambda x: (x**2).sum(), start=[1.0, 2.0], name="mine")
"""


@pytest.fixture
def recorded(surefoot):
    surefoot("descend line --lr 0.3 --steps 30 --no-plot")
    return surefoot


def test_a_run_becomes_a_file(recorded, tmp_path):
    said = recorded("report 1 -o out/report.html --no-landscape")
    assert re.fullmatch(r"report: out/report.html \(0\.\d MB\)\n", said)
    assert (tmp_path / "out" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_alone_it_is_the_last_run_under_a_name_that_is_free(recorded, tmp_path):
    recorded("descend line --lr 0.1 --steps 10 --no-plot")
    answers = [json.loads(recorded("report --json --no-landscape")) for _ in range(2)]
    assert [answer["path"] for answer in answers] == ["surefoot-report-line.html", "surefoot-report-line-2.html"]
    assert all(answer["runs"] == [2] and answer["problem"] for answer in answers)
    assert answers[0]["bytes"] == (tmp_path / "surefoot-report-line.html").stat().st_size


def test_several_runs_race(recorded):
    recorded("descend line --lr 0.1 --steps 30 --no-plot")
    assert json.loads(recorded("report 1 2 --json --no-landscape"))["runs"] == [1, 2]


def test_a_problem_that_is_gone_is_told_and_can_be_given(surefoot, tmp_path):
    (tmp_path / "train.py").write_text(OWN)
    surefoot("descend train.py:problem --lr 0.1 --steps 10 --no-plot")
    (tmp_path / "train.py").rename(tmp_path / "moved.py")
    assert not json.loads(surefoot("report 1 --json"))["problem"]
    assert "could not be made again" in surefoot.err
    assert "--problem NAME adds the landscape" in surefoot.err
    assert json.loads(surefoot("report 1 --json --problem moved.py:problem"))["problem"]
    assert not surefoot.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("report 7", "no run 7"),
        ("report latest", "goes by its number"),
        ("report 1 --problem lime", "Did you mean 'line'?"),
        ("report 1 --problem valley", "give the problem that was descended"),
        ("report 1 -o .", "is a folder"),
    ],
)
def test_misuse_names_what_it_saw(recorded, tmp_path, words, says):
    assert says in recorded(words, code=2)
    assert not list(tmp_path.glob("*.html"))


def test_open_opens_the_file(recorded, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    recorded("report 1 -o r.html --no-landscape --open")
    assert opened == [(tmp_path / "r.html").as_uri()]
