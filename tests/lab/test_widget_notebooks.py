"""The widget in a real JupyterLab and a real marimo, seen through Chromium: what the page does, the kernel says, and the other way round."""

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest

CELLS = (
    "import surefoot.lab\nlab = surefoot.lab.Lab('line', lr=0.3)\nlab",
    "print('kernel has', lab.state['lr'])",
    "lab.state = {**lab.state, 'lr': 0.02}",
)
MARIMO = """
import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    from surefoot.lab import Lab

    lab = mo.ui.anywidget(Lab("line", lr=0.3))
    lab
    return lab, mo


@app.cell
def _(lab, mo):
    mo.md(f"kernel has {lab.state['lr']}")


@app.cell
def _(mo):
    button = mo.ui.run_button(label="set it")
    button
    return (button,)


@app.cell
def _(button, lab):
    if button.value:
        lab.widget.state = {**lab.widget.state, "lr": 0.02}
"""
pytestmark = pytest.mark.slow


def needs(name):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install 'surefoot[notebook-test]'")


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A function: a command with a place for the port -> its address, once it answers."""
    for name in (
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "IPYTHONDIR",
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
    ):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    started = []

    def start(command, path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [sys.executable, "-m", *(word.format(port=port) for word in command)]
        with (tmp_path / "server.log").open("w") as log:
            started.append(subprocess.Popen(words, cwd=tmp_path, stdout=log, stderr=log))
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
            else:
                return f"http://127.0.0.1:{port}{path}"
        raise AssertionError((tmp_path / "server.log").read_text())

    yield start
    for process in started:
        process.terminate()
        process.wait(30)


@pytest.fixture
def page():
    """A page of Chromium, which remembers the hosts it asked."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 950})
        page.set_default_timeout(90_000)
        page.hosts, page.raised = set(), []
        page.on("request", lambda request: page.hosts.add(urlsplit(request.url).hostname))
        page.on("pageerror", lambda error: page.raised.append(str(error)))
        yield page
        browser.close()


def moved(page):
    """Moves the slider eleven places to the right by keys; the box that shows the rate."""
    slider, box = (page.get_by_role(role, name="Learning rate").first for role in ("slider", "spinbutton"))
    slider.wait_for()
    assert float(box.input_value()) == 0.3
    slider.focus()
    for _ in range(11):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("window.__lab.rtt.length > 1")
    page.wait_for_timeout(1500)
    assert float(box.input_value()) == 0.562  # 10^(-6 + 230 / 40), to three digits
    return box


def arrived(page, box, rate):
    for _ in range(100):
        if float(box.input_value()) == rate:
            return
        page.wait_for_timeout(100)
    raise AssertionError(box.input_value())


def test_jupyterlab(served, page, tmp_path):
    needs("jupyterlab")
    cells = [{"cell_type": "code", "id": f"cell-{place}", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
             for place, source in enumerate(CELLS)]  # fmt: skip
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    (tmp_path / "lab.ipynb").write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    command = ["jupyterlab", "--no-browser", "--allow-root", "--port={port}", "--IdentityProvider.token=", "--ServerApp.root_dir=."]
    page.goto(served(command, "/lab/tree/lab.ipynb"))
    shown = page.locator(".jp-CodeCell")
    page.get_by_text("Python 3", exact=False).first.wait_for()

    def run(place):
        shown.nth(place).locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")

    run(0)
    box = moved(page)
    run(1)
    shown.nth(1).get_by_text("kernel has 0.562", exact=True).wait_for()
    run(2)
    arrived(page, box, 0.02)
    assert page.hosts <= {"127.0.0.1", None}
    assert not page.raised


def test_marimo(served, page, tmp_path):
    needs("marimo")
    (tmp_path / "lab.py").write_text(MARIMO)
    page.goto(served(["marimo", "run", "lab.py", "--headless", "--port", "{port}", "--no-token"], "/"))
    box = moved(page)
    page.get_by_text("kernel has 0.562", exact=True).wait_for()
    page.get_by_role("button", name="set it").click()
    arrived(page, box, 0.02)
    assert page.hosts <= {"127.0.0.1", None}
    assert not page.raised
