"""Oracle: a clean environment. The built wheel installs there, finds its data and runs, away from the sources."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
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
    opens_without_node(surefoot, tmp_path)


def opens_without_node(surefoot, folder):
    """The page and all that it consists of come out of the wheel; nothing else of this machine is to be found."""
    surroundings = {"PATH": str(folder / "nothing"), "HOME": str(folder)}
    command = [surefoot, "lab", "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=surroundings) as lab:
        try:
            address = re.search(r"(http://127\.0\.0\.1:\d+/)(\?token=\S+)", lab.stdout.readline())
            for part in ("", "lab.js", "lab.css"):
                with urllib.request.urlopen(f"{address.group(1)}{part}{address.group(2)}", timeout=60) as answer:
                    assert answer.read() == (ROOT / "src" / "surefoot" / "lab" / "page" / (part or "index.html")).read_bytes()
        finally:
            lab.send_signal(signal.SIGINT)
        assert lab.wait(60) == 0
