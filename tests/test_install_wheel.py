"""Oracle: a clean environment. The built wheel installs there, finds its data and runs, away from the sources."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_runs_in_a_clean_environment(tmp_path):
    def run(*command, **options):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, cwd=tmp_path, **options)
        assert done.returncode == options.get("expected", 0), done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("surefoot-*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "clean")
    python = tmp_path / "clean" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel)
    surefoot = python.with_name("surefoot")
    assert "digits-cnn" in run(surefoot, "problems")
    assert "recorded as run 1" in run(surefoot, "descend", "line", "--lr", "0.5", "--steps", "20")
    where = run(python, "-c", "import surefoot; print(surefoot.__file__)")
    assert str(tmp_path) in where
    assert (Path(where.strip()).parent / "py.typed").exists()
