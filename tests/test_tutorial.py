"""The tutorial: every source runs as a script, asserts what its words claim, and is what its notebook shows."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "tutorial"
NAMES = ["the-line", "why-it-overshoots", "a-real-network"]


def cells_of_source(name):
    """(kind, text) of each cell of a percent-format file, read by hand."""
    parts = re.split(r"^# %%(.*)\n", (FOLDER / f"{name}.py").read_text(), flags=re.MULTILINE)[1:]
    for kind, text in zip(parts[::2], parts[1::2], strict=True):
        if "markdown" in kind:
            yield "markdown", "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.strip().splitlines())
        else:
            yield "code", text.strip()


def notebook(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text())


def test_every_source_has_its_notebook():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)
    assert {path.stem for path in FOLDER.glob("*.py")} == {*NAMES, "execute"}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_shows_its_source(name):
    shown = [(cell["cell_type"], "".join(cell["source"]).strip()) for cell in notebook(name)["cells"]]
    assert shown == list(cells_of_source(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_was_executed_well_and_tells_nothing_of_the_machine(name):
    outputs = [output for cell in notebook(name)["cells"] for output in cell.get("outputs", [])]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert {"image/png", "text/html"} <= kinds
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    text = (FOLDER / f"{name}.ipynb").read_text()
    assert len(text) < 1_500_000
    words = "".join(str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert not re.search(r"(/home/|/root/|/tmp/|/Users/)", words)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_source_runs_and_its_claims_hold(name, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py")], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
