"""Names: the nearest one is offered, and what looks like a file is treated as one."""

from __future__ import annotations

import pytest

from surefoot.errors import SettingError, UserFileError
from surefoot.problems import describe, load, names


def test_the_names_are_those_of_the_contract():
    surfaces = {"valley", "bowl", "saddle", "rosenbrock", "himmelblau", "rastrigin", "beale"}
    data = {"line", "digits-linear", "digits-mlp", "digits-cnn", "photo-patches", "spirals", "text", "diabetes", "breast-cancer"}
    assert names() == sorted(surfaces | data)


@pytest.mark.parametrize("ask", [load, describe])
def test_an_unknown_name_gets_the_nearest_one(ask):
    with pytest.raises(SettingError, match=r"no problem named 'digit-cnn'. Did you mean 'digits-cnn'\? Known: beale, "):
        ask("digit-cnn")


def test_an_unknown_name_hears_of_problems_of_ones_own():
    with pytest.raises(SettingError, match=r"points\.csv.*folder.*train\.py:problem"):
        load("nothing-like-it")


@pytest.mark.parametrize("name", ["pictures/cats", "table.xlsx", "no/such/folder/"])
def test_what_looks_like_a_file_but_is_not_there_is_said_so(name):
    with pytest.raises(UserFileError, match=r"There is no file or folder .*; the current folder is"):
        load(name)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UserFileError, match=r"notes\.txt is no kind of file that can be read"):
        load(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("line", {"nose": 0.1}, r"line has no option 'nose'. Did you mean 'noise'\? Its options: points, noise, seed"),
        ("digits-cnn", {"width": 3}, "digits-cnn has no option 'width'. Its options: seed"),
        ("beale", {"seed": 3}, "beale has no option 'seed'. It has none"),
    ],
)
def test_an_unknown_option_gets_those_that_there_are(name, options, words):
    with pytest.raises(SettingError, match=words):
        load(name, **options)


def test_options_are_passed_on_and_remembered():
    problem = load("bowl", curvatures=(2.0, 3.0, 4.0))
    assert problem.answer.curvature == 4.0
    assert problem.recipe == {"name": "bowl", "curvatures": (2.0, 3.0, 4.0)}
    again = load(**problem.recipe)
    assert again.answer == problem.answer
