"""The examples run as they stand, and what they print is true of what they train."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def said(name, folder):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, check=False, timeout=110, cwd=folder, env=env
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    return done.stdout


def test_the_rate_found_for_the_trainer_trains(tmp_path):
    pytest.importorskip("transformers")
    text = said("huggingface_trainer.py", tmp_path)
    found, high = float(re.search(r"learning rate (\S+) for 250 steps", text)[1]), 0.5
    assert 5e-4 < found < high  # the default of 5e-5 learns nothing in 250 steps
    losses = [float(loss) for loss in re.findall(r"'eval_loss': '(\S+)'", text)]
    assert len(losses) == 5
    assert losses[-1] < 0.35 < 0.693


def test_the_rate_found_for_the_loop_trains(tmp_path):
    pytest.importorskip("accelerate")
    text = said("accelerate_loop.py", tmp_path)
    last = next(line.split() for line in text.splitlines() if line.split()[:1] == ["191"])
    assert float(last[3]) < 0.3 < 1.0986
    assert re.search(r"^(descending|converged|noise-limited) ", text, re.MULTILINE)
