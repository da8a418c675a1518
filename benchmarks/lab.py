"""How quick is the lab?  the page in headless Chromium, moved by hand -> a table of all that docs claim of it.

python benchmarks/lab.py [--minutes 10]: one machine, `surefoot lab` in a process of its own, Debian's Chromium without a GPU. Every figure is
measured on the page's own counters (`window.__lab`), the processes' own clocks, or the sizes of files. --minutes is how long a live run is
followed while the memory of the page is watched; with less than ten the figure says so.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

import surefoot as sf

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-precise-memory-info", "--js-flags=--expose-gc",
]  # fmt: skip
SUREFOOT = str(Path(sys.executable).with_name("surefoot"))
PAGE = Path(sf.__file__).parent / "lab" / "page"
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
STARTS = 5
LIVE_STEPS = 20_000
FRAMES = """seconds => new Promise(done => {
  const began = performance.now();
  let frames = 0, last = began, longest = 0;
  const next = now => {
    frames++; longest = Math.max(longest, now - last); last = now;
    now - began < 1000 * seconds ? requestAnimationFrame(next) : done([frames * 1000 / (now - began), longest]);
  };
  requestAnimationFrame(next);
})"""
DRAG = """seconds => new Promise(done => {
  const slider = document.querySelector('.field-lr input[type=range]'), began = performance.now();
  const least = Number(slider.min), most = least + (Number(slider.max) - least) * 6 / 7;
  let moves = 0;
  const next = now => {
    const place = (now - began) / 2000 % 2;  // two seconds for six decades
    slider.value = String(Math.round(least + (most - least) * (place < 1 ? place : 2 - place)));
    slider.dispatchEvent(new Event('input', {bubbles: true}));
    moves++;
    now - began < 1000 * seconds ? requestAnimationFrame(next) : done(moves);
  };
  requestAnimationFrame(next);
})"""
HEAP = "() => { gc(); return performance.memory.usedJSHeapSize / 1e6; }"
PAINTED = """() => [...document.querySelectorAll('.pane-loss canvas')].some(c => c.width > 100 &&
  new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size > 2)"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--minutes", type=float, default=0.5, help="how long the memory of a page that follows a live run is watched"
    )
    minutes = parser.parse_args().minutes
    before = os.getloadavg()[0]
    tell("| what | measured | asked |\n|---|---|---|")
    row("page, gzipped", f"{weight() / 1024:.0f} KB", "<= 150 KB")
    row("report of a run of 1,000 steps", report(), "< 1.5 MB")
    row("`surefoot lab` to its address, beyond `import torch`", starting(), "< 1 s")
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder)) as url, sync_playwright() as driven:
        browser = driven.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        first = opened(context.new_page(), url)
        row("load to the first picture", f"{1000 * first:.0f} ms first, {again(context, url)} after", "<= 1.0 s")
        page = context.pages[0]
        row("round trip, rate dragged over six decades", dragging(page), "median <= 20 ms, 95 % <= 50 ms")
        row("surface, contour and curve moving", playing(page), "60 frames/s")
        following(page, Path(folder), minutes)
        browser.close()
    here = f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, Chromium without GPU"
    write([f"{here}; load {before:.1f} before, {os.getloadavg()[0]:.1f} after.", "", *SAID])


SAID: list[str] = []


def tell(line: str) -> None:
    print(line, flush=True)
    SAID.append(line)


def row(what: str, measured: str, wanted: str) -> None:
    tell(f"| {what} | {measured} | {wanted} |")


def write(lines: list[str]) -> None:
    before, rest = DOCS.read_text().split("<!-- lab -->", 1)
    _, after = rest.split("<!-- /lab -->", 1)
    DOCS.write_text(before + "<!-- lab -->\n" + "\n".join(lines) + "\n<!-- /lab -->" + after)


def weight() -> int:
    return sum(len(gzip.compress(path.read_bytes(), mtime=0)) for path in PAGE.iterdir())


def report() -> str:
    if not hasattr(sf, "report"):
        return "there is none yet"
    run = sf.descend(sf.problems.load("line"), lr=0.1, steps=1000, progress=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        sf.report(run, path)
        return f"{path.stat().st_size / 1e6:.2f} MB"


def surroundings(folder: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(folder), "OMP_NUM_THREADS": "1"}


@contextlib.contextmanager
def lab(folder: Path) -> Iterator[str]:
    """`surefoot lab` in a process of its own: its address."""
    command = [SUREFOOT, "lab", "--no-browser", "--json", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=folder, env=surroundings(folder), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    said = ""
    try:
        for line in process.stdout or ():
            said += line
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(said)["url"]
                break
    finally:
        process.terminate()
        process.wait(20)


def starting() -> str:
    """Seconds from the command to the printed address, less those of `import torch`, in turns."""
    beyond = []
    for _ in range(STARTS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        torch = time.perf_counter() - began
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            with lab(Path(folder)):
                beyond.append((time.perf_counter() - began, torch))
    took, torch = (statistics.median(each) for each in zip(*beyond, strict=True))
    return f"{took - torch:+.2f} s ({took:.2f} s; `import torch` alone {torch:.2f} s)"


def until(page: Page, truth: str, seconds: float = 60) -> None:
    """Asked from outside: the page's own rules allow no text to be evaluated in it."""
    end = time.perf_counter() + seconds
    while not page.evaluate(truth):
        if time.perf_counter() > end:
            raise TimeoutError(f"{truth}\nin {page.url}: {page.inner_text('body')[:500]}")
        time.sleep(0.01)


def opened(page: Page, url: str) -> float:
    """Seconds from asking for the page to a drawn loss curve."""
    began = time.perf_counter()
    page.goto(url)
    until(page, PAINTED)
    return time.perf_counter() - began


def again(context: Any, url: str) -> str:
    took = []
    for _ in range(STARTS):
        page = context.new_page()
        took.append(opened(page, url))
        page.close()
    return f"{1000 * statistics.median(took):.0f} ms"


def dragging(page: Page, seconds: float = 8) -> str:
    """The rate taken back and forth between 1e-6 and 1, a change in every frame."""
    page.wait_for_timeout(3000)  # the rates of the slider are walked beforehand
    before = page.evaluate("__lab.rtt.length")
    moves = page.evaluate(DRAG, seconds)
    trips = sorted(page.evaluate("n => __lab.rtt.slice(n)", before))
    page.wait_for_timeout(1500)
    return f"median {statistics.median(trips):.1f} ms, 95 % {trips[int(0.95 * len(trips))]:.1f} ms ({len(trips)} answers to {moves} changes)"


def playing(page: Page) -> str:
    """Frames a second while a run is played and the surface is turned at the same time."""
    page.goto(re.sub(r"#.*", "", page.url) + "#steps=1000&speed=0.25")
    page.reload()
    until(page, PAINTED)
    page.get_by_role("region", name="Surface").get_by_role("img").wait_for()
    page.wait_for_timeout(3000)
    page.get_by_role("button", name="Run", exact=True).click()
    plain = [page.evaluate(FRAMES, 2) for _ in range(3)]
    counted = page.evaluate("__lab.fps")
    rate, longest = max(plain)
    return f"{rate:.0f} frames/s ({counted:.0f} on the page's own counter, longest frame {longest:.0f} ms)"


def following(page: Page, folder: Path, minutes: float) -> None:
    """Frames and memory while live runs of 20,000 steps stream, one after the other, into the page that follows them."""
    page.get_by_role("navigation", name="Sheets").get_by_role("button", name=re.compile("^(Recorded|Live runs)")).click()
    heaps: list[float] = []
    rates: list[list[float]] = []
    end, number = time.perf_counter() + 60 * minutes, 0
    while time.perf_counter() < end or not rates:
        number += 1
        command = [SUREFOOT, "descend", "line", "--lr", "0.001", "--steps", str(LIVE_STEPS)]
        process = subprocess.Popen(
            command, cwd=folder, env=surroundings(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        page.get_by_role("button", name=f"Follow run {number}", exact=True).click(timeout=60_000)
        while process.poll() is None:
            rates.append(page.evaluate(FRAMES, 1))
        heaps.append(page.evaluate(HEAP))
    typical = statistics.median(rate for rate, _ in rates)
    row("a live run of 20,000 steps streams", f"{typical:.0f} frames/s, slowest second {min(rates)[0]:.0f}", ">= 30 frames/s")
    grown = f"{heaps[0]:.1f} MB after one run, {heaps[-1]:.1f} MB after {number} ({minutes:g} min)"
    row("memory of the page that follows", grown, "does not grow over ten minutes")


if __name__ == "__main__":
    main()
