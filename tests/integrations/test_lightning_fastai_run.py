"""The examples run, those of the docstrings are true, two processes do not wait for each other, and what is missing is named."""

import doctest
import importlib
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(*arguments, timeout=120):
    # warnings as Python shows them, not as this run treats them; the path as it is here
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=timeout, cwd=ROOT, env=environment)


@pytest.mark.parametrize(("framework", "name"), [("lightning", "lightning_module"), ("fastai", "fastai_learner")])
def test_an_example_finds_a_rate_and_watches(framework, name):
    pytest.importorskip(framework)
    ran = python(f"examples/{name}.py")
    assert ran.returncode == 0, ran.stderr
    losses = [float(loss) for loss in re.findall(r"validation loss ([0-9.]+)", ran.stdout)]
    assert ran.stdout.startswith("learning rate")
    assert len(losses) == 2
    assert losses[1] < 0.5 * losses[0]
    assert "too-small" in ran.stdout


@pytest.mark.parametrize("framework", ["lightning", "fastai"])
def test_the_examples_of_the_docstrings(framework):
    pytest.importorskip(framework)
    names = {"lightning": ["lightning", "lightning_module", "lightning_copy"], "fastai": ["fastai", "fastai_learner"]}[framework]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            module = importlib.import_module(f"surefoot.integrations.{name}")
            assert doctest.testmod(module, optionflags=doctest.IGNORE_EXCEPTION_DETAIL).failed == 0, name
    assert name


@pytest.mark.parametrize(("module", "blocked"), [("lightning", ["lightning", "pytorch_lightning"]), ("fastai", ["fastai"])])
def test_a_framework_that_is_not_installed_is_named(module, blocked):
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); import surefoot.integrations.{module}"
    ran = python("-c", code)
    assert f"NotInstalled: The {module.capitalize() if module != 'fastai' else module} callback needs" in ran.stderr
    assert f"surefoot[{module}]" in ran.stderr


def test_two_processes_watch_each_its_own():
    pytest.importorskip("lightning")
    ran = python("-W", "ignore", "-m", "tests.integrations.ddp_lightning")
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = dict(re.findall(r"rank (\d): (.*)", ran.stdout))
    assert sorted(told) == ["0", "1"]
    (steps, weights, loss, note), (other_steps, other_weights, other_loss, other_note) = (told[rank].split() for rank in "01")
    assert steps == other_steps == "8"  # eight batches over two processes, twice
    assert weights == other_weights
    assert loss != other_loss
    assert note == other_note == "None"
