"""A Ray of our own comes and goes, Ctrl-C ends it, and an address where there is none is refused in time: seen from outside, by other processes."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from surefoot import Store, find_lr, problems
from surefoot.descent.population import descend_many
from surefoot.errors import SettingError

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def alone(code: str, **options) -> subprocess.Popen[str]:
    """A Python of its own, and process group of its own, in which warnings are errors."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options)


def descendants(of: int) -> set[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    parent = dict(zip(map(int, listed[::2]), map(int, listed[1::2]), strict=True))
    found, before = {of}, set()
    while found != before:
        before = set(found)
        found |= {pid for pid, above in parent.items() if above in found}
    return found - {of}


def gone(processes: set[int], within: float) -> bool:
    deadline = time.monotonic() + within
    while alive := [
        pid for pid in processes if Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes()
    ]:
        if time.monotonic() > deadline:
            print("still there:", alive)
            return False
        time.sleep(0.1)
    return True


OWN = """
import os, signal, sys
import surefoot as sf
assert "ray" not in sys.modules
def turned(number, frame): ...
signal.signal(signal.SIGTERM, turned)
before = dict(os.environ)
found = sf.find_lr(sf.problems.load("digits-mlp"), steps=200, engine="ray")
import ray
assert not ray.is_initialized()
assert signal.getsignal(signal.SIGTERM) is turned
changed = {name for name in {*os.environ, *before} if os.environ.get(name) != before.get(name)}
assert not {name for name in changed if name.startswith("RAY") or name == "PYTHONBREAKPOINT"}, changed
print(repr(found.lr), found.engine)
"""


def test_a_ray_of_our_own_is_stopped_and_leaves_nothing():
    made = alone(OWN)
    started = set()
    while made.poll() is None:
        started |= descendants(made.pid)
        time.sleep(0.2)
    out, err = made.communicate()
    assert made.returncode == 0, err
    assert err == ""  # nothing is said that nobody asked for
    rate, engine = out.split()
    assert engine == "ray"
    assert float(rate) == pytest.approx(find_lr(problems.load("digits-mlp"), steps=200).lr, rel=1e-3)
    assert len(started) >= 3  # at least one that keeps the objects, one that keeps the books, one worker
    assert gone(started, within=30)


INTERRUPTED = """
import sys, time, torch
import surefoot as sf
from surefoot.descent.population import descend_many

def objective(model, batch):
    time.sleep(0.002)
    return sum((p**2).sum() for p in model.parameters())

def main():
    problem = sf.Problem(torch.nn.Linear(2, 1), [()], objective=objective)
    def seen(steps):
        if steps:
            print("arrived", flush=True)
    try:
        descend_many(problem, lr=[0.001 * (k + 1) for k in range(400)], steps=400, engine="ray", store=sys.argv[1], seen=seen)
    except KeyboardInterrupt:
        import ray
        assert not ray.is_initialized()
        print("interrupted", flush=True)
main()
"""


def test_ctrl_c_leaves_nothing_running_and_keeps_what_has_arrived(tmp_path):
    script, file = tmp_path / "sweep.py", tmp_path / "runs.sqlite"
    script.write_text(INTERRUPTED)
    made = subprocess.Popen(
        [sys.executable, script, file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert made.stdout is not None
    assert made.stdout.readline() == "arrived\n", made.communicate()[1]
    started = descendants(made.pid)
    pressed = time.monotonic()
    os.killpg(made.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, err = made.communicate(timeout=60)
    assert out.splitlines()[-1] == "interrupted", (made.returncode, out, err)
    assert made.returncode == 0
    assert time.monotonic() - pressed < 30
    assert len(started) >= 4
    assert gone(started, within=30)
    stored = Store(file).runs()
    assert 0 < len(stored) < 400
    assert {(entry.ended, entry.steps) for entry in stored} == {("steps", 400)}


def refused(engine: str, match: str, within: float = 60) -> None:
    began = time.monotonic()
    with pytest.raises(SettingError, match=match):
        descend_many(problems.load("line"), lr=[0.1, 0.2], steps=5, engine=engine)
    assert time.monotonic() - began < within
    assert not ray.is_initialized()


WAY_OUT = r"ray start --head.*engine='ray:local'"


@pytest.fixture
def closed() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize("spelling", ["ray:127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_an_address_where_nobody_is(spelling, closed):
    refused(spelling.format(closed), rf"No Ray cluster could be joined at '\S*127\.0\.0\.1:{closed}' \(.*refused\).*{WAY_OUT}")


def test_the_address_of_the_environment(monkeypatch, closed):
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed}")
    refused("ray", rf"No Ray cluster could be joined at '127\.0\.0\.1:{closed}'")
    assert os.environ["RAY_ADDRESS"] == f"127.0.0.1:{closed}"


def test_an_address_where_nobody_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        refused(f"ray:127.0.0.1:{port}", rf"No Ray cluster could be joined at '127\.0\.0\.1:{port}' \(timed out\)")


def test_an_address_where_somebody_else_answers():
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        refused(f"ray:127.0.0.1:{server.server_port}", "something else answers there")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("address", ["ray:somewhere", "ray://", "ray:host:port", "ray:127.0.0.1:70000"])
def test_what_is_no_address(address):
    refused(address, "no address of a Ray cluster|No Ray cluster could be joined")


def test_the_command_line():
    code = "from surefoot.cli.main import main; main()"
    command = [sys.executable, "-c", code, "find", "digits-mlp", "--steps", "200"]
    made, twin = (
        subprocess.run([*command, *engine], capture_output=True, text=True, timeout=180) for engine in (["--engine", "ray"], [])
    )
    assert made.returncode == twin.returncode == 0, made.stderr
    assert made.stderr == ""
    rate = [line for line in made.stdout.splitlines() if line.startswith("learning rate")]
    assert len(rate) == 1
    assert rate == [line for line in twin.stdout.splitlines() if line.startswith("learning rate")]
    nobody = subprocess.run([*command, "--engine", "ray:nowhere"], capture_output=True, text=True, timeout=180)
    assert nobody.returncode == 2
    assert "no address of a Ray cluster" in nobody.stderr
    assert "Traceback" not in nobody.stderr


def test_the_example():
    script = Path(__file__).parents[2] / "examples" / "ray_sweep.py"
    command = [sys.executable, "-W", "error", script, "ray", "6", "2"]
    made = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("12 descents, engine ray: ")
    assert "recorded: 12 runs" in made.stdout
