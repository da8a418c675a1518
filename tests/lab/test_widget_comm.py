"""The widget with a stand-in for the notebook: what goes over the channel is taken apart by hand."""

import asyncio
import copy
import json
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest

import surefoot as sf

pytest.importorskip("anywidget", reason="anywidget is not installed: pip install 'surefoot[notebook]'")
from surefoot.lab import Lab
from surefoot.lab import widget as made


@pytest.fixture
def lab(monkeypatch):
    """A function: what a Lab is made with -> the Lab; what it sends is in ``.sent``."""
    labs = []

    def make(*given, **state):
        lab = Lab(*given, **state)
        lab.sent = []
        monkeypatch.setattr(lab, "send", lambda content, buffers: lab.sent.append((content, buffers)))
        labs.append(lab)
        return lab

    yield make
    for each in labs:
        each.close()


def asked(lab, ask, seq=1, view="v", **more):
    """What is answered; a page asks by a custom message."""
    lab.sent.clear()
    lab._handle_custom_msg({"ask": ask, "seq": seq, "view": view, **more}, [])
    assert all(content == {"view": view} for content, _ in lab.sent)
    return [heard(buffers[0]) for _, buffers in lab.sent]


def heard(frame):
    (length,) = struct.unpack("<I", frame[:4])
    return json.loads(frame[4 : 4 + length])


def from_the_page(lab, state):
    """The page's side of the traitlet, as the protocol of widgets has it."""
    lab.set_state({"state": state})


def test_cells_read_and_set_all_of_the_state(lab):
    one = lab("line", lr=0.3)
    assert (one.state["lr"], one.state["steps"], one.state["problem"]) == (0.3, 200, "line")
    one.state = {**one.state, "lr": 0.5, "race": [{"lr": 0.1}]}
    assert (one.state["lr"], one.state["race"]) == (0.5, [{"lr": 0.1}])
    one.state = {"steps": 20}
    assert (one.state["lr"], one.state["steps"]) == (0.3, 20)
    assert one.get_state("state")["state"]["steps"] == 20


def test_a_control_that_moves_changes_the_state_and_nothing_echoes(lab, monkeypatch):
    one, echoed = lab("line"), []
    monkeypatch.setattr(one, "send_state", lambda key=None: echoed.append(key))
    from_the_page(one, {**one.state, "lr": 2, "start": [1, 2]})
    assert (one.state["lr"], one.state["start"]) == (2.0, [1.0, 2.0])
    assert "state" not in echoed
    assert {"state"} not in echoed


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"lr": 0}, "must be above 0, got 0"),
        ({"lr": float("nan")}, "must be a number, got nan"),
        ({"lrr": 1}, "Did you mean 'lr'?"),
        ({"steps": 10**10}, "from 1 to 1e"),
        ({"optimizer": "sdg"}, "'sdg'"),
        ([1], "expected a dict"),
    ],
)
def test_a_bad_state_raises_in_the_cell_and_changes_nothing(lab, given, says):
    import traitlets

    one = lab("line", lr=0.3)
    with pytest.raises(traitlets.TraitError if isinstance(given, list) else sf.SettingError, match=says):
        one.state = given
    assert one.state["lr"] == 0.3
    with pytest.raises((sf.SettingError, traitlets.TraitError)):
        from_the_page(one, given)
    assert one.state["lr"] == 0.3


def test_changing_a_value_in_place_is_refused_and_a_copy_is_free(lab):
    one = lab("line")
    for change in (lambda: one.state.update(lr=1.0), lambda: one.state.__setitem__("lr", 1.0), lambda: one.state.pop("lr")):
        with pytest.raises(sf.SettingError, match=r"lab\.state = \{\*\*lab\.state"):
            change()
    copied = copy.deepcopy(one.state)
    copied["lr"] = 1.0
    assert one.state["lr"] == 0.1


def test_questions_are_answered_with_the_librarys_numbers(lab):
    one = lab("line")
    (welcome,) = asked(one, "hello")
    assert welcome["kind"] == "welcome"
    assert not welcome["live"]
    (scene,) = asked(one, "descend", 2, state={"lr": 0.4, "steps": 30}, rest=True)[-1:]
    assert (scene["kind"], scene["seq"]) == ("scene", 2)
    offset, count = scene["racers"][0]["loss"]["f32"]
    frame = one.sent[-1][1][0]
    numbers = np.frombuffer(frame, "<f4", offset=4 + struct.unpack("<I", frame[:4])[0])
    expected = sf.descend(sf.problems.load("line"), lr=0.4, steps=30, progress=False).trace["loss"]
    assert np.array_equal(numbers[offset : offset + count], expected.astype("f4"))


def test_a_problem_of_ones_own(lab):
    problem = sf.Problem.of(lambda x: (x**2).sum(), start=[1.0], name="mine")
    one = lab(problem, lr=0.2)
    assert one.problem is problem
    assert asked(one, "hello")[0]["own"]["name"] == "mine"
    scene = asked(one, "descend", state=dict(one.state), rest=True)[-1]
    assert (scene["problem"]["title"], scene["racers"][0]["lr"]) == ("mine", 0.2)


@pytest.mark.parametrize("content", [None, 3, [], {}, {"ask": "descend"}, {"ask": "eval", "seq": 1}, {"ask": "runs", "seq": 1, "on": True},
                                     {"ask": "descend", "seq": 1, "state": {"lr": -1}}, {"ask": "find", "seq": 1, "state": 4}])  # fmt: skip
def test_what_is_no_question_is_refused_and_the_next_one_answered(lab, content):
    one = lab("line")
    one._handle_custom_msg(content, [])
    assert heard(one.sent[-1][1][0])["kind"] == "refused"
    assert asked(one, "hello")[0]["kind"] == "welcome"


def test_the_users_own_error_is_told_and_the_next_question_answered(lab):
    def broken(x):
        raise ZeroDivisionError("mine")

    one = lab(sf.Problem.of(broken, start=[1.0]))
    told = asked(one, "descend", state={"problem": "own"}, rest=True)[-1]
    assert told["kind"] in ("raised", "refused")
    assert "mine" in told["text"]
    assert asked(one, "hello")[0]["kind"] == "welcome"


def test_an_interrupt_ends_the_question(lab, monkeypatch):
    one = lab("line")
    monkeypatch.setattr(one._talk, "answer", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert asked(one, "surface", 5) == [{"kind": "cancelled", "seq": 5, "what": "surface"}]


def test_a_question_in_another_thread_is_answered_where_the_cells_run(lab, monkeypatch):
    async def cell():
        one = lab("line")
        where = []
        monkeypatch.setattr(one._talk, "answer", lambda *_: where.append(threading.get_ident()))
        other = threading.Thread(target=one._handle_custom_msg, args=({"ask": "hello", "seq": 1}, []))
        other.start()
        other.join()
        assert where == []  # this cell is still running
        await asyncio.sleep(0)
        return where

    assert asyncio.run(cell()) == [threading.get_ident()]


@pytest.mark.parametrize(
    ("given", "state", "says"),
    [
        (3, {}, "got a int"),
        ("lime", {}, "'line'"),
        ("line", {"lr": -1}, "above 0"),
        ("line", {"learning_rate": 1}, "learning_rate"),
    ],
)
def test_misuse_names_what_it_saw(given, state, says):
    with pytest.raises(sf.SurefootError, match=says):
        Lab(given, **state)


def test_the_page_is_in_it():
    assert "render" in Lab._esm[-200:]
    assert made.PAGE.joinpath("lab.css").read_text(encoding="utf-8") == Lab._css


def test_without_anywidget_the_way_out_is_named():
    code = """
import sys
sys.modules["anywidget"] = None
import surefoot.lab
try:
    surefoot.lab.Lab
except ImportError as error:
    print(type(error).__mro__[1].__name__, error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    assert said.startswith("SettingError ")
    assert 'pip install "surefoot[notebook]"' in said
