"""A lesson is a task, one right answer among three or four, and a state that the lab knows."""

import json
import re
from pathlib import Path

import pytest

import surefoot as sf
from surefoot.glossary import TERMS
from surefoot.lab.lessons import LESSONS, plain

# The keys of the lab's state with their defaults, and the names of its panes.
STATE = {
    "problem": "line", "lr": 0.1, "steps": 200, "optimizer": "sgd", "momentum": 0.9, "batch": "own", "batch_size": 32, "schedule": "constant",
    "noise": 0.02, "points": 100, "seed": 0, "start": (), "race": (), "target": "", "depth": "medium", "step": -1, "speed": 1,
    "theme": "auto", "azimuth": -60, "elevation": 35, "lesson": "", "hide": (),
}  # fmt: skip
PANES = {
    "data",
    "loss",
    "rates",
    "surface",
    "contour",
    "map",
    "rule",
    "verdict",
    "code",
    "lessons",
    "live",
    "race",
    "find",
    "download",
    "share",
}
OPTIMIZERS = {"sgd", "momentum", "nesterov", "adam", "adamw", "nadam", "rmsprop", "adagrad", "adamax", "random"}
RACED = {"lr", "optimizer", "momentum", "batch", "batch_size", "schedule"}

every = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)


def test_a_course_of_at_least_ten_each_once():
    assert len(LESSONS) >= 10
    assert len({lesson.id for lesson in LESSONS}) == len({lesson.title for lesson in LESSONS}) == len(LESSONS)
    assert {lesson.answer for lesson in LESSONS} >= {0, 1, 2}  # the right one is not always in the same place
    assert sum(lesson.minutes for lesson in LESSONS) <= 60


@every
def test_a_lesson_is_short_and_whole(lesson):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", lesson.id)
    assert 1 <= lesson.minutes <= 5
    assert len(lesson.task) < 400
    assert len(lesson.explain) < 600
    assert len(lesson.wonder) < 250
    assert lesson.question.endswith("?")
    assert 3 <= len(lesson.choices) <= 4
    assert len(set(lesson.choices)) == len(lesson.choices)
    assert 0 <= lesson.answer < len(lesson.choices)
    assert lesson.terms
    assert all(name.lower() in TERMS for name in lesson.terms)


@every
def test_a_state_names_only_what_the_lab_knows_and_what_differs(lesson):
    state = lesson.state
    assert set(state) <= set(STATE)
    assert not [key for key, value in state.items() if value == STATE[key]]
    assert state.get("problem", "line") in sf.problems.names()
    assert state.get("batch", "own") in {"own", "full", "mini", "single"}
    assert len(state.get("race", ())) <= 5
    for other in state.get("race", ()):
        assert set(other) <= RACED
    for settings in (state, *state.get("race", ())):
        assert settings.get("lr", 0.1) > 0
        assert settings.get("optimizer", "sgd") in OPTIMIZERS
        assert settings.get("schedule", "constant") in sf.schedule.names()


@every
def test_nothing_that_is_needed_is_hidden(lesson):
    assert set(lesson.hide) <= set(STATE) | PANES
    assert len(set(lesson.hide)) == len(lesson.hide)
    words = set(re.findall(r"[a-z_]+", f"{lesson.task} {lesson.wonder}"))
    raced = {key for other in lesson.state.get("race", ()) for key in other}
    assert not set(lesson.hide) & ({"lr", "steps", "problem", "seed", "lessons", "verdict"} | set(lesson.state) | raced | words)


@every
def test_plain_is_json_and_a_copy(lesson):
    said = plain(lesson)
    assert json.loads(json.dumps(said)) == said
    assert list(said) == [
        "id",
        "title",
        "minutes",
        "task",
        "state",
        "question",
        "choices",
        "answer",
        "explain",
        "wonder",
        "terms",
        "hide",
    ]
    assert said["choices"] == list(lesson.choices)
    said["state"]["lr"] = -1
    assert lesson.state.get("lr") != -1


def test_the_page_of_the_docs_lists_them():
    page = (Path(__file__).parents[2] / "docs" / "lab.md").read_text()
    rows = [line for line in page.splitlines() if "`#lesson=" in line and line.startswith("|")]
    assert rows == [f"| {lesson.title} | {lesson.minutes} | `#lesson={lesson.id}` |" for lesson in LESSONS]
