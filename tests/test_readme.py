"""The README's commands are run as they stand there."""

import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from surefoot.cli.main import main
from surefoot.diagnosis.verdicts import VERDICTS

ROOT = Path(__file__).parents[1]
COMMANDS = re.findall(r"^surefoot ([^#\n]*)", (ROOT / "README.md").read_text(), flags=re.MULTILINE)


def test_the_commands_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.csv").write_text("x,y\n" + "".join(f"{x},{3 * x + 1 + x % 7}\n" for x in range(100)))
    assert len(COMMANDS) >= 7
    ill = ("surefoot descend line --lr 0.9", "surefoot diagnose")  # the second looks at what the first left behind
    for command in COMMANDS:
        if command.startswith("lab"):  # which goes on until Ctrl-C
            opens_and_ends(command)
            continue
        with pytest.raises(SystemExit) as exited:
            main(shlex.split(command))
        assert exited.value.code == int(f"surefoot {command}".strip() in ill), command + capsys.readouterr().err
    assert "stability" not in capsys.readouterr().err


def opens_and_ends(command):
    installed = Path(sys.executable).with_name("surefoot")
    with subprocess.Popen([installed, *shlex.split(command), "--no-browser"], stdout=subprocess.PIPE, text=True) as lab:
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", lab.stdout.readline())
            with urllib.request.urlopen(address.group(), timeout=60) as page:
                assert b"<html" in page.read()
        finally:
            lab.send_signal(signal.SIGINT)
        assert lab.wait(60) == 0


def test_its_python_runs(tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    torch.manual_seed(0)
    x = torch.randn(256, 4)
    y = (x.sum(1) > 0).long()
    names = {
        "model": torch.nn.Linear(4, 2),
        "loader": torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=32),
        "held_out": (x[:64], y[:64]),
    }
    exec(code.group(1).replace("2000", "200"), names)
    assert names["run"].ended == "steps"
    assert (tmp_path / "loss.png").stat().st_size > 10_000


def test_the_loop_of_ones_own_is_watched_and_judged(tmp_path):
    script = str(ROOT / "examples" / "watch_your_own_loop.py")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^step (\d+) .* update/weight ", done.stderr, flags=re.MULTILINE) == ["48", "96", "144"]
    assert re.search(rf"^({'|'.join(VERDICTS)}) \(\d+% sure\): ", done.stdout, flags=re.MULTILINE)


def test_every_verdict_is_explained_and_every_example_named():
    told = (ROOT / "docs" / "diagnosis.md").read_text()
    assert re.findall(r"^\| `([a-z-]+)` \|", told, flags=re.MULTILINE) == list(VERDICTS)
    for page in ("README.md", "docs/diagnosis.md"):
        text = (ROOT / page).read_text()
        for target in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (ROOT / page).parent.joinpath(target).exists(), (page, target)


@pytest.mark.slow
def test_the_demo_runs_and_writes_its_pictures(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"accuracy on the held-out images: ([0-9.]+)%", done.stdout).group(1)) > 95
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["line.png", "loss.png", "rate.png", "rates.png"]
