"""The table of pictures: every row has one, the same answer has the same marks, anything else is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from planted_pictures import EVERY_PANELS, EVERY_PICTURE, noisy, run, trace

from surefoot.errors import SettingError
from surefoot.figures.layers import COLOURS, Marks
from surefoot.figures.marks import kinds, marks
from surefoot.figures.pictures import PICTURES

ALL = EVERY_PICTURE | EVERY_PANELS


def layers(picture):
    return [layer for panel in getattr(picture, "panels", [picture]) for layer in panel.layers]


def test_every_row_of_the_table_is_tested():
    tested = {
        picture
        for answer, kind, _ in [*EVERY_PICTURE.values(), *EVERY_PANELS.values()]
        for row, picture in PICTURES.items()
        if isinstance(answer, row[0]) and row[1] == kind
    }
    assert tested == set(PICTURES.values())


@pytest.mark.parametrize(("answer", "kind", "problem"), ALL.values(), ids=ALL)
def test_marks_are_pure(answer, kind, problem):
    assert marks(answer, kind=kind, problem=problem) == marks(answer, kind=kind, problem=problem)


@pytest.mark.parametrize(("answer", "kind", "problem"), ALL.values(), ids=ALL)
def test_marks_are_frozen(answer, kind, problem):
    picture = marks(answer, kind=kind, problem=problem)
    with pytest.raises(dataclasses.FrozenInstanceError):
        picture.title = "another"
    arrays = [value for layer in layers(picture) for value in vars(layer).values() if isinstance(value, np.ndarray)]
    assert arrays or layers(picture)
    assert not any(array.flags.writeable for array in arrays)


@pytest.mark.parametrize(("answer", "kind", "problem"), ALL.values(), ids=ALL)
def test_colours_are_known(answer, kind, problem):
    for layer in layers(marks(answer, kind=kind, problem=problem)):
        colour = getattr(layer, "colour", "ink")
        assert colour in COLOURS if isinstance(colour, str) else 0 <= colour <= 1


def test_other_numbers_are_other_marks():
    assert marks(run(noisy(20))) != marks(run(noisy(20, seed=1)))
    assert marks(run(noisy(20))) != "a picture"


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(SettingError, match=r"no kind of picture of a Run named 'los'. Did you mean 'loss'"):
        marks(run(noisy(20)), kind="los")


@pytest.mark.parametrize("value", [3, "loss", None, {}], ids=repr)
def test_a_value_without_a_picture_is_told_which_have_one(value):
    with pytest.raises(
        SettingError, match=r"has no picture. These have one: Trace, Run, Found, BatchSize, Diagnosis, Surface, a list of runs"
    ):
        marks(value)


def test_the_usual_kind_comes_first():
    assert [next(iter(kinds(answer))) for answer in (trace([1.0]), run([1.0]), [])] == ["loss", "loss", "loss"]


def test_layers_can_be_told_apart():
    assert isinstance(marks(run([1.0])), Marks)
    assert marks(run([1.0])).of(Marks) == ()
