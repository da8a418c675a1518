"""A learner moves the rate of the line and looks; what the page says is what `surefoot.descend` says."""

import re

import numpy as np
import pytest

import surefoot as sf
from tests.lab.browser.reading import (
    arithmetic,
    close,
    drag,
    inked,
    moment,
    number,
    picture,
    playhead,
    rate,
    rate_box,
    rate_slider,
    status,
    wait_until,
    written,
)

expect = pytest.importorskip("playwright.sync_api").expect


def line(lr, steps=200):
    return sf.descend(sf.problems.load("line"), lr=lr, steps=steps, progress=False)


def rested(page, run):
    """The page shows this very run, to the last row."""
    last, lr = len(run.trace) - 1, re.escape(written(run.trace["lr"][-1]))
    # both in one look: between two of them the last step of a run before may give way to an early one of this
    expect(page.locator(".rule .moment")).to_contain_text(re.compile(rf"last step, {last:,}\b.* rate {lr} "))
    return moment(page)


def test_opens_on_a_descent_that_goes_well(visit):
    page = visit()
    run = line(0.1)
    said = rested(page, run)
    assert close(run.trace["loss"][-1], said["loss"])
    assert close(run.trace["grad_norm"][-1], said["slope"])
    expect(status(page)).to_contain_text("The descent has arrived")
    assert sf.diagnose(run, sf.problems.load("line")).verdict == "converged"
    assert page.evaluate("document.title") == "line · surefoot lab"


def test_dragging_the_rate_too_small_then_right_then_too_large(visit):
    page = visit()
    drag(page, rate_slider(page), 0.3, 0.1)
    small = rate(page)
    assert 1e-6 < small < 1e-4
    expect(status(page)).to_contain_text("too small")
    rested(page, line(small))

    drag(page, rate_slider(page), 0.79)
    right = rate(page)
    assert 0.2 < right < 0.6
    expect(page.locator(".verdict")).to_have_attribute("data-ill", "false")
    run = line(right)
    assert close(run.trace["loss"][-1], rested(page, run)["loss"])

    drag(page, rate_slider(page), 0.9, 1)
    assert rate(page) == 10
    run = line(10)
    assert run.ended == "diverged"
    expect(status(page)).to_contain_text("diverge")
    limit = sf.problems.load("line").answer.stability_limit
    expect(page.locator(".verdict")).to_have_attribute("data-ill", "true")
    said = page.locator("main").inner_text()
    assert "10 is above" in said or f"{limit:.3g}" in said


def test_a_descent_that_diverges_keeps_its_last_finite_frame(visit):
    page = visit("#lr=1.2")
    run = line(1.2)
    assert run.ended == "diverged"
    expect(status(page)).to_contain_text(f"{run.diverged_at:,}")
    finite = run.trace.finite["loss"]
    assert len(finite) == run.diverged_at
    page.get_by_role("slider", name="Step", exact=True).press("End")
    expect(page.locator(".where")).to_have_text(f"{len(run.trace)} / {len(run.trace)}")
    assert np.isfinite(float(moment(page)["loss"].replace(",", "")))
    for name in ("Data and fit", "Loss curve", "Contour"):
        assert inked(picture(page, name))


def test_play_pause_step_and_scrub(visit):
    page = visit("#speed=0.25")
    rested(page, line(0.1))
    page.get_by_role("button", name="Run", exact=True).click()
    wait_until(page, "__lab.drawn > 0 && __lab.drawn < 150")
    page.get_by_role("button", name="Pause", exact=True).click()
    at, rows = playhead(page)
    assert rows == 200
    assert 0 < at < 200
    page.wait_for_timeout(200)
    assert playhead(page) == (at, 200)

    page.get_by_role("button", name="One step forward").click()
    expect(page.locator(".where")).to_have_text(f"{at + 1} / 200")
    page.get_by_role("button", name="One step back").click()
    page.get_by_role("button", name="One step back").click()
    expect(page.locator(".where")).to_have_text(f"{at - 1} / 200")

    scrub = page.get_by_role("slider", name="Step", exact=True)
    drag(page, scrub, 0.2, 0.5)
    at, _ = playhead(page)
    assert abs(at - 100) <= 3
    assert close(line(0.1).trace["loss"][at], moment(page)["loss"])
    scrub.press("Home")
    expect(page.locator(".where")).to_have_text("0 / 200")
    assert close(line(0.1).trace["loss"][0], moment(page)["loss"])


def test_speed_one_plays_the_whole_run_in_about_four_seconds(visit):
    page = visit("#speed=2")
    rested(page, line(0.1))
    page.get_by_role("button", name="Run", exact=True).click()
    wait_until(page, "__lab.drawn > 0 && __lab.drawn < 200")
    page.get_by_role("button", name="Run", exact=True).wait_for(timeout=10_000)
    assert playhead(page) == (200, 200)


def test_the_rule_adds_up_and_is_that_of_the_descent(visit):
    page = visit("#step=3")
    expect(page.locator(".where")).to_have_text("3 / 200")
    said = arithmetic(page)
    path = line(0.1).path
    assert set(said) == {"w", "b"}
    for place, (before, lr, direction, after) in enumerate(said.values()):
        assert abs(before - lr * direction - after) <= 0.02 * max(abs(before), abs(after))
        walked = dict(zip(path.steps, np.asarray(path.weights)[:, place], strict=True))
        assert abs(before - walked[3]) <= 0.006 * abs(walked[3])
        assert abs(after - walked[4]) <= 0.006 * abs(walked[4])


def test_find_sets_its_mark_and_use_it_sets_the_rate(visit):
    page = visit()
    page.get_by_role("button", name="Find a good rate").click()
    mark = page.locator(".chip.found")
    mark.wait_for()
    lr = number(mark.inner_text().split()[-1])
    limit = sf.problems.load("line").answer.stability_limit
    assert limit / 100 < lr < limit
    page.get_by_role("button", name="use it: learning rate").click()
    assert rate(page) == pytest.approx(lr, rel=0.006)
    expect(page.locator(".verdict")).to_have_attribute("data-ill", "false")


def test_click_on_the_limit_takes_its_rate(visit):
    page = visit()
    page.get_by_role("button", name="2/L").click()
    assert rate_box(page).input_value() == str(rate(page))
    assert rate(page) == pytest.approx(sf.problems.load("line").answer.stability_limit, rel=1e-6)


def test_click_on_the_contour_sets_the_start(visit):
    page = visit()
    rested(page, line(0.1))
    contour = picture(page, "Contour")
    box = contour.bounding_box()
    contour.click(position={"x": box["width"] * 0.4, "y": box["height"] * 0.6})
    wait_until(page, "location.hash.includes('start=')")
    start = [float(each) for each in page.evaluate("decodeURIComponent(location.hash)").split("start=")[1].split("&")[0].split(",")]
    run = sf.descend(sf.problems.load("line").at(start), lr=0.1, steps=200, progress=False)
    assert close(run.trace["loss"][-1], rested(page, run)["loss"])
    assert [float(page.get_by_role("spinbutton", name=f"Start of {name}").input_value()) for name in "wb"] == start
