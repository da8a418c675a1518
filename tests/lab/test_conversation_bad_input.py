"""Whatever a page asks, the conversation goes on, and what is said helps."""

import pytest
import torch

import surefoot as sf
from surefoot.lab.bench import Cancelled
from surefoot.lab.chosen import Setup
from surefoot.lab.session import ANSWERS, Conversation


def one(talk, **question):
    told = []
    talk.answer({"seq": 1, **question}, told.append, lambda: None)
    return told[-1]


@pytest.fixture
def talk():
    return Conversation(Setup())


@pytest.mark.parametrize(
    ("state", "field", "words"),
    [
        ({"lr": 0}, "lr", "above 0"),
        ({"lr": -1}, "lr", "above 0"),
        ({"lr": 1e300}, "lr", "1e+38"),
        ({"steps": 0}, "steps", "from 1"),
        ({"start": [1.0]}, "start", "line has 2 weights, got a start of 1"),
        ({"problem": "own"}, "problem", "surefoot lab train.py:problem"),
        ({"problem": "table"}, "problem", "drop a CSV"),
        ({"problem": "lines"}, "problem", "Did you mean 'line'"),
        ({"problem": "../secret.csv"}, "problem", "no problem named"),
        ({"problem": "/etc/passwd.py:problem"}, "problem", "no problem named"),
    ],
    ids=str,
)
def test_a_state_that_makes_no_sense_is_refused_at_its_control(talk, state, field, words):
    for ask in ("descend", "surface", "verdict", "rates", "find"):
        said = one(talk, ask=ask, state=state)
        assert (said["kind"], said["field"], said["seq"], said["ask"]) == ("refused", field, 1, ask)
        assert words in said["text"]
    assert one(talk, ask="descend", state={})["kind"] == "scene"


def test_too_many_steps_are_cut_and_it_is_said(talk):
    said = one(talk, ask="descend", state={"steps": 10**9, "lr": 10})
    assert "1,000,000,000 steps" in said["notes"][0]
    assert "20,000" in said["notes"][0]
    assert said["state"]["steps"] == 10**9, "what was asked for stands"


@pytest.mark.parametrize("ask", [None, 3, "__class__", "eval", ["descend"], {}])
def test_an_unknown_question_is_refused(talk, ask):
    assert one(talk, ask=ask)["kind"] == "refused"


def test_users_code_that_raises_is_shown_with_its_own_lines(tmp_path):
    file = tmp_path / "train.py"
    file.write_text(
        "import torch\nimport surefoot as sf\n\n"
        "def objective(model, batch):\n    if model.calls:\n        raise RuntimeError('the disk of the user is full')\n"
        "    return model(batch).sum()\n\n"
        "class Model(torch.nn.Linear):\n    calls = 0\n\n"
        "problem = sf.Problem(Model(1, 1), [torch.ones(1, 1)], objective=objective)\nproblem.model.calls = 1\n"
    )
    talk = Conversation(Setup(own=sf.problems.load(f"{file}:problem"), own_name="train.py:problem"))
    said = one(talk, ask="descend", state={"problem": "own"})
    assert said["kind"] == "raised"
    assert "the disk of the user is full" in said["text"]
    assert f'File "{file}", line 6, in objective' in said["traceback"]
    assert "surefoot/descent" not in said["traceback"]
    assert one(talk, ask="descend", state={})["kind"] == "scene"


def test_a_recorded_run_never_makes_the_page_run_a_file(tmp_path):
    (tmp_path / "train.py").write_text(
        "import pathlib\nimport surefoot as sf\n\n"
        "with (pathlib.Path(__file__).parent / 'ran').open('a') as file:\n    file.write('once ')\n"
        "problem = sf.Problem.of(lambda x: (x**2).sum(), start=[1.0])\n"
    )
    own, store = sf.problems.load(f"{tmp_path}/train.py:problem"), str(tmp_path / "runs.sqlite")
    number = sf.descend(own, lr=0.1, steps=3, store=store, progress=False).config["run_id"]
    said = one(Conversation(Setup(store=store)), ask="run", run=number)
    assert said["kind"] == "refused"
    assert f"surefoot lab {tmp_path}/train.py:problem" in said["text"]
    assert one(Conversation(Setup(own=own, store=store)), ask="run", run=number)["kind"] == "scene"
    assert (tmp_path / "ran").read_text() == "once ", "by the first line of this test alone"


def test_an_interrupted_descent_is_walked_again(talk, monkeypatch):
    once = iter([True])

    def waiting():
        if next(once, False):
            raise KeyboardInterrupt

    told = []
    talk.answer({"ask": "descend", "state": {}, "rest": True}, told.append, waiting)
    assert told[-1]["racers"][0]["ended"] == "interrupted"
    assert one(talk, ask="descend", state={}, rest=True)["racers"][0]["ended"] == "steps"


def test_a_surface_of_nothing_finite_is_refused_not_drawn():
    talk = Conversation(
        Setup(own=sf.Problem.of(lambda x: (x.abs().sqrt() * 1e30).sum() ** 3, start=[1.0, 1.0, 1.0]), own_name="steep")
    )
    kinds = {
        one(talk, ask=ask, state={"problem": "own", "lr": 1e10, "steps": 5})["kind"] for ask in ("descend", "surface", "verdict")
    }
    assert kinds <= {"scene", "surface", "verdicts", "refused"}


def test_a_surface_with_holes_is_drawn():
    talk = Conversation(Setup(own=sf.Problem.of(lambda x: x.log().sum() ** 2, start=[1.5, 2.0]), own_name="log"))
    shown = one(talk, ask="surface", state={"problem": "own", "lr": 0.1})
    assert shown["kind"] == "surface"
    assert not all(map(torch.isfinite, torch.tensor(shown["loss"]).flatten()))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.csv", "", "cannot be read"),
        ("x.csv", "a\n1\n2\n", "2 rows and 1 column"),
        ("x.csv", "hello world", "0 rows"),
        ("x.csv", "a,b\n1,1\n1,1\n", "no column that could be predicted"),
        ("x.csv", "x" * 6_000_000, "more than 5 MB"),
        ("x.csv", None, "comes as a text"),
        (None, "a,b\n1,2\n", "comes as a text"),
        ("x.csv", ",".join(map(str, range(600))) + "\n" + ",".join("1" * 600) + "\n" + ",".join("2" * 600), "600 columns"),
        ("x.csv", 'a,b\n"1,2\n3,4', "cannot be read"),
    ],
    ids=str,
)
def test_a_table_that_is_none_is_refused(talk, name, text, words):
    said = one(talk, ask="table", name=name, text=text)
    assert said["kind"] == "refused"
    assert words in said["text"]


def test_a_table_is_learnt_and_its_formulas_are_texts(talk):
    rows = "\n".join(f"{i / 10},=cmd|' /C calc'!A{i % 2},{0.3 * i + 1}" for i in range(40))
    columns = one(talk, ask="table", name="../../evil.csv", text=f"x,formula,y\n{rows}\n")
    assert (columns["name"], columns["rows"], columns["target"]) == ("evil.csv", 40, "y")
    assert [each["kind"] for each in columns["columns"]] == ["number", "text", "number"]
    shown = one(talk, ask="descend", state={"problem": "table", "target": "y", "lr": 0.1})
    assert shown["kind"] == "scene"
    assert "/tmp" not in str(shown["problem"])
    assert shown["problem"]["title"] == "evil.csv"
    wrong = one(talk, ask="descend", state={"problem": "table", "target": "Y"})
    assert (wrong["kind"], wrong["field"]) == ("refused", "target")
    assert wrong["text"].startswith("evil.csv has no column named 'Y'. Did you mean 'y'?")


def test_a_table_leaves_nothing_behind(talk, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one(talk, ask="table", name="x.csv", text="a,b\n1,2\n3,5\n4,4\n")
    assert len(list(tmp_path.iterdir())) == 1
    del talk.table
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ask", ["descend", "rates", "find", "surface", "verdict"])
def test_what_waits_ends_a_question_and_the_next_one_is_answered(talk, ask):
    def waiting():
        raise Cancelled

    with pytest.raises(Cancelled):
        talk.answer(
            {"ask": ask, "state": {"problem": "digits-linear", "steps": 50}, "compute": True}, lambda message: None, waiting
        )
    assert one(talk, ask="descend", state={})["kind"] == "scene"


def test_every_kind_of_question_is_answered_with_its_number(talk):
    assert set(ANSWERS) >= {"hello", "descend", "surface", "verdict", "rates", "range", "find", "download", "table", "run"}
    for ask in ("hello", "descend", "range"):
        assert one(talk, ask=ask, state={})["seq"] == 1


@pytest.mark.parametrize(("what", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("gif", b"GIF8"), ("csv", b"step,")])
def test_a_file_is_what_it_says(talk, what, start):
    import base64

    said = one(talk, ask="download", state={"steps": 20}, what=what, pane="loss")
    assert base64.b64decode(said["base64"]).startswith(start)
    assert said["name"].endswith(f".{what}")


def test_a_csv_holds_the_rows_of_the_descent(talk):
    import base64
    import io

    import pandas

    said = one(talk, ask="download", state={"steps": 20, "lr": 0.3}, what="csv", pane="loss")
    rows = pandas.read_csv(io.BytesIO(base64.b64decode(said["base64"])))
    trace = sf.descend(sf.problems.load("line"), lr=0.3, steps=20).trace
    assert rows["loss"].tolist() == trace["loss"].tolist()
