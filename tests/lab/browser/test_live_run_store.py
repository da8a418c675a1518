"""A descent in another terminal appears in the lab and moves, while the page keeps moving too."""

import contextlib
import re
import subprocess

import pytest

from surefoot.store import Store
from tests.lab.browser.conftest import SUREFOOT, surroundings
from tests.lab.browser.reading import number, wait_until

expect = pytest.importorskip("playwright.sync_api").expect
STEPS = 20_000
FRAMES = """() => new Promise(done => {
  const began = performance.now();
  let frames = 0;
  const next = now => { frames++; now - began < 1500 ? requestAnimationFrame(next) : done(frames * 1000 / (now - began)); };
  requestAnimationFrame(next);
})"""
HEAP = "() => { gc(); return performance.memory.usedJSHeapSize / 1e6; }"


@contextlib.contextmanager
def descending(folder):
    command = [str(SUREFOOT), "descend", "line", "--lr", "0.001", "--steps", str(STEPS)]
    process = subprocess.Popen(command, cwd=folder, env=surroundings(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def step_of(page):
    said = page.locator(".banner.following").inner_text()
    found = re.search(r"step ([\d,]+)", said)
    return int(number(found[1])) if found else -1


def test_a_descent_of_20000_steps_appears_and_moves(visit, serve, tmp_path):
    page = visit(at=serve(tmp_path))
    page.get_by_role("navigation", name="Sheets").get_by_role("button", name=re.compile("^(Recorded|Live runs)")).click()
    with descending(tmp_path) as process:
        follow = page.get_by_role("button", name="Follow run 1")
        follow.wait_for()
        follow.click()
        wait_until(page, "document.querySelector('.banner.following').innerText.includes('step ')")
        first, heap = step_of(page), page.evaluate(HEAP)
        rates = []
        while max(rates, default=0) < 20 and len(rates) < 5 and process.poll() is None:  # another test may have the machine's cores
            rates.append(page.evaluate(FRAMES))
        assert max(rates) >= 20
        assert step_of(page) > first
        assert process.wait(300) == 0
    expect(page.locator(".banner.following")).to_contain_text("ended", timeout=20_000)
    assert step_of(page) == STEPS - 1
    assert page.evaluate(HEAP) - heap < 30
    (recorded,) = Store(tmp_path / "runs.sqlite").runs()
    assert recorded.ended == "steps"
    page.get_by_role("button", name="Stop following").click()
    expect(page.locator(".banner.following")).to_be_hidden()
