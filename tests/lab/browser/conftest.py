"""The lab as a user has it: a process started in a folder, a browser that looks at it, and nothing that goes wrong unseen."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-precise-memory-info", "--js-flags=--expose-gc",
)  # fmt: skip
PATIENCE = 30_000  # ms: another test may have the machine's cores
UNREACHABLE = "ERR_CONNECTION_REFUSED"  # what Chromium itself writes to the console when a server is away
READBACK = "willReadFrequently"  # said of the tests' own look at the pixels
SUREFOOT = Path(sys.executable).with_name("surefoot")


@dataclass
class Served:
    """A lab in a process of its own."""

    process: subprocess.Popen
    url: str
    folder: Path

    @property
    def port(self):
        return urlsplit(self.url).port

    def stop(self):
        self.process.terminate()
        return self.process.wait(20)


@dataclass
class Watched:
    """All that went wrong in a browser's context, and what was expected to."""

    wrong: list = field(default_factory=list)
    expected: tuple = (READBACK,)

    def console(self, message):
        if message.type in ("error", "warning") and not any(each in message.text for each in self.expected):
            self.wrong.append(f"console: {message.text}")

    def asked(self, request):
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.hostname != "127.0.0.1":
            self.wrong.append(f"asked another host: {request.url}")


def surroundings(state):
    """What a process of ours sees: a folder of its own for what is kept between starts."""
    return {**os.environ, "XDG_STATE_HOME": str(state), "OMP_NUM_THREADS": "1"}


def started(folder, state, *words, port=0):
    """`surefoot lab` as typed in a folder; back as soon as it has said where it is."""
    command = [str(SUREFOOT), "lab", *words, "--no-browser", "--json", "--port", str(port)]
    with (folder / "errors.txt").open("a") as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=surroundings(state), stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
    said = ""
    for line in process.stdout:
        said += line
        with contextlib.suppress(json.JSONDecodeError):
            return Served(process, json.loads(said)["url"], folder)
    raise AssertionError(f"{' '.join(command)} said {said!r}, {(folder / 'errors.txt').read_text()!r}")


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.flaky(reruns=1))  # where frames are late a test may look too early; the summary names it


@pytest.fixture(scope="package")
def serve(tmp_path_factory):
    """A function: a folder, words of the command line, port -> `Served`; each one is stopped in the end."""
    state, labs = tmp_path_factory.mktemp("state"), []

    def start(folder, *words, port=0):
        labs.append(started(folder, state, *words, port=port))
        return labs[-1]

    yield start
    for each in labs:
        each.stop()
        each.process.stdout.close()


@pytest.fixture(scope="package")
def lab(serve, tmp_path_factory):
    """The lab that most tests look at, as `surefoot lab` starts it."""
    return serve(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="package")
def browser():
    """Chromium, for the tests of this folder alone: while it is there, the thread's asyncio is taken."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (pip install surefoot[test])")
    with playwright.sync_playwright() as driven:
        browser = driven.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, lab):
    """A function: what follows the address (such as "#lr=0.3"), whose lab, options of the context -> a page that shows it.

    In the end of the test nothing may have gone wrong on any page: no error on the console, no exception, no request to another host.
    """
    contexts = []

    def visited(after="", at=None, until="[role=status] strong:not(:empty)", context=None, **options):
        if context is None:
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "accept_downloads": True, **options})
            contexts.append((context, watching(context)))
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.watched = next(watched for each, watched in contexts if each is context)
        page.goto((at or lab).url + after)
        if until:
            page.locator(until).first.wait_for()
        return page

    yield visited
    wrong = [each for _, watched in contexts for each in watched.wrong]
    for context, _ in contexts:
        context.close()
    assert wrong == []


def watching(context):
    watched = Watched()
    context.on("console", watched.console)
    context.on("weberror", lambda error: watched.wrong.append(f"exception: {error.error}"))
    context.on("request", watched.asked)
    return watched
