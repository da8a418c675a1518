"""Python files of the user's: what they make is taken, what they break is told in their own lines, what they touch is put back."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest
import torch

from surefoot.errors import ProblemError, SettingError, UserFileError
from surefoot.problems import load

FIT = """
import torch
from surefoot.problem import Problem
x = torch.linspace(0, 1, 20).unsqueeze(1)
problem = Problem(torch.nn.Linear(1, 1), (x, 2 * x), loss=torch.nn.functional.mse_loss)
named = problem.with_(name="a fit")
model = problem.model
def make():
    return named
def sized(width):
    return named
def wrong():
    return model
"""


@pytest.fixture
def train(tmp_path):
    def write(code: str, name: str = "train.py"):
        (tmp_path / name).write_text(code)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("attribute", "name"), [(":problem", "train.py:problem"), ("", "train.py:problem"), (":named", "a fit"), (":make", "a fit")]
)
def test_a_problem_or_a_function_that_makes_one_is_taken(train, attribute, name):
    file = train(FIT)
    problem = load(f"{file}{attribute}")
    assert problem.name == name
    assert problem.recipe == {"name": str(file.resolve()) + attribute}
    assert torch.isfinite(problem.loss_on(problem.model, problem.data))


def test_its_weights_are_drawn_from_the_seed_and_not_from_the_callers_state(train):
    file = train(FIT)
    torch.manual_seed(1)
    one = load(f"{file}:problem").model.weight
    torch.manual_seed(2)
    assert torch.equal(one, load(f"{file}:problem").model.weight)
    assert not torch.equal(one, load(f"{file}:problem", seed=3).model.weight)


def test_it_leaves_no_footprint(train):
    draws = "random.random(); numpy.random.rand(); torch.rand(1); torch.manual_seed(9); sys.path.append('x')\n"
    file = train("import random, sys, numpy, torch, beside\n" + draws + FIT)
    train("here = 1", "beside.py")
    arguments = sys.argv[:]

    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), sys.path[:], sys.argv[:]  # noqa: NPY002

    before = states()
    load(f"{file}:problem")
    assert states() == before
    assert sys.argv == arguments
    assert "beside" not in sys.modules
    assert sorted(path.name for path in file.parent.iterdir()) == ["beside.py", "train.py"]


def test_it_leaves_no_footprint_when_it_raises(train):
    file = train("import torch; torch.rand(1)\nraise ValueError('no')")
    before = torch.get_rng_state(), sys.path[:]
    with pytest.raises(UserFileError):
        load(f"{file}:problem")
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == sys.path


def test_files_beside_it_are_imported_anew_each_time(train):
    train("width = 1", "shape.py")
    file = train(FIT + "\nimport shape\nproblem = Problem(torch.nn.Linear(1, shape.width), (x, x), loss=lambda p, t: p.sum())")
    assert load(f"{file}:problem").model.out_features == 1
    train("width = 12", "shape.py")
    assert load(f"{file}:problem").model.out_features == 12


def test_a_main_block_is_not_run_and_arguments_are_not_seen(train):
    file = train(FIT + "\nimport sys\nassert len(sys.argv) == 1\nif __name__ == '__main__':\n    raise RuntimeError")
    assert load(f"{file}:problem")


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        (
            "problme",
            ["train.py has no 'problme'", "Did you mean 'problem'?", "problem, named", "Its functions: make, sized, wrong"],
        ),
        ("model", ["train.py:model is a Linear, not a Problem", "Problem(model, data, loss=...)"]),
        ("x", ["train.py:x is a Tensor, not a Problem"]),
        ("sized", ["train.py:sized needs the arguments width"]),
        ("wrong", ["train.py:wrong() returned a Linear, not a Problem", "return Problem("]),
    ],
)
def test_what_is_no_problem_is_refused(train, attribute, words):
    with pytest.raises(UserFileError) as caught:
        load(f"{train(FIT)}:{attribute}")
    for word in words:
        assert word in str(caught.value)


def test_a_file_without_a_problem_says_so(train):
    with pytest.raises(UserFileError, match="There is no Problem in it"):
        load(f"{train('x = 1')}:problem")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserFileError, match=r"There is no file .*train\.py.*current folder"):
        load(f"{tmp_path}/train.py:problem")


def test_an_error_is_told_in_the_lines_of_the_file_alone(train):
    file = train("import json\n\ndef read(text):\n    return json.loads(text)\n\nproblem = read('{oops')\n")
    with pytest.raises(UserFileError) as caught:
        load(f"{file}:problem")
    said = str(caught.value)
    assert said.startswith("train.py raised JSONDecodeError while it was run:\n")
    assert "line 6, in <module>" in said
    assert "line 4, in read" in said
    assert "return json.loads(text)" in said
    assert "decoder.py" not in said
    assert "importlib" not in said
    assert "Expecting property name" in said.splitlines()[-1]
    assert type(caught.value.__cause__).__name__ == "JSONDecodeError"


def test_an_error_in_the_function_is_told_the_same_way(train):
    with pytest.raises(UserFileError, match=r"(?s)raised ZeroDivisionError.*line 2, in make.*1 / 0.*division by zero"):
        load(f"{train('def make():' + chr(10) + '    return 1 / 0')}:make")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = (1,\ny = 2", "raised SyntaxError"),
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("import sys\nsys.exit(2)", "asked Python to exit"),
        ("from surefoot.problem import Problem\nproblem = Problem(1, 2)", "model must be a torch.nn.Module"),
    ],
)
def test_other_ways_to_fail(train, code, words):
    with pytest.raises(UserFileError, match=words) as caught:
        load(f"{train(code)}:problem")
    assert "train.py" in str(caught.value)
    assert caught.value.__cause__ is not None


def test_ctrl_c_is_not_an_error_of_the_file(train):
    with pytest.raises(KeyboardInterrupt):
        load(f"{train('raise KeyboardInterrupt')}:problem")


def test_it_is_a_problem_error_and_takes_no_options_but_the_seed(train):
    assert issubclass(UserFileError, ProblemError)
    with pytest.raises(SettingError, match=r"has no option 'size'\. Its options: seed"):
        load(f"{train(FIT)}:problem", size=3)
