"""Nonsense typed into the page is refused at its control with the way out, and what is shown stays."""

import pytest

from tests.lab.browser.reading import rate_box, run_from, status

expect = pytest.importorskip("playwright.sync_api").expect


@pytest.mark.parametrize(
    ("typed", "why"), [("0", "above 0"), ("-1", "above 0"), ("1e300", "1e38"), ("-1e300", "above 0"), ("", "above 0")]
)
def test_a_rate_that_makes_no_sense_is_refused_and_the_descent_stays(visit, typed, why):
    page = visit("#lr=0.2")
    box = rate_box(page)
    expect(box).to_have_value("0.2")
    expect(page.locator(".rule .moment")).to_contain_text("rate 0.2")
    box.fill(typed)
    box.press("Enter")
    expect(page.locator(".field-lr .why")).to_contain_text(why)
    expect(box).to_have_attribute("aria-invalid", "true")
    assert box.get_attribute("aria-describedby") == page.locator(".field-lr .why").get_attribute("id")
    assert run_from(page) == {"lr": "0.2"}
    expect(page.locator(".rule .moment")).to_contain_text("rate 0.2")

    box.fill("0.3")
    expect(page.locator(".field-lr .why")).to_be_hidden()
    expect(page.locator(".rule .moment")).to_contain_text("rate 0.3")


def test_a_word_cannot_be_typed_as_a_rate(visit):
    page = visit()
    box = rate_box(page)
    box.fill("")
    box.press_sequentially("fast")
    box.press("Enter")
    expect(page.locator(".field-lr .why")).to_be_visible()
    assert box.input_value() == ""
    expect(status(page)).not_to_be_empty()


def test_a_rate_far_too_large_diverges_and_is_told(visit):
    page = visit("#lr=1e30")
    expect(page.locator(".verdict")).to_have_attribute("data-ill", "true")
    assert "NaN" not in page.locator("body").inner_text()


def test_a_thousand_million_steps_are_cut_and_that_is_said(visit):
    page = visit("#steps=1000000000", until=None)
    note = page.locator(".controls .notes")
    expect(note).to_contain_text("1,000,000,000 steps were asked for", timeout=30_000)
    expect(note).to_contain_text("at most 20,000")
    page.get_by_role("spinbutton", name="Steps", exact=True).fill("10")
    expect(page.locator(".where")).to_have_text("10 / 10", timeout=10_000)  # nobody waits for the 20,000
    expect(note).to_be_empty()


def test_more_steps_than_can_be_counted_are_refused(visit):
    page = visit()
    box = page.get_by_role("spinbutton", name="Steps", exact=True)
    box.fill("1e12")
    box.press("Enter")
    expect(page.locator(".field-steps .why")).to_contain_text("whole number from 1 to 1e9")
    box.fill("2.5")
    box.press("Enter")
    expect(page.locator(".field-steps .why")).to_contain_text("whole number")


def test_a_start_where_the_loss_is_infinite_is_told_and_the_lab_goes_on(visit):
    page = visit("#problem=rosenbrock&lr=0.001")
    for name in "xy":
        page.get_by_role("spinbutton", name=f"Start of {name}").fill("1e20")
    expect(page.locator(".controls")).to_contain_text("inf at the very first step", timeout=30_000)
    page.get_by_role("spinbutton", name="Start of x").fill("1")
    page.get_by_role("spinbutton", name="Start of y").fill("-1")
    expect(page.locator(".rule .moment")).to_contain_text("last step", timeout=30_000)
    expect(page.get_by_text("inf at the very first step")).to_be_hidden()


def test_a_surface_with_places_that_are_not_finite_is_drawn(visit):
    page = visit("#problem=rosenbrock&lr=1&start=1e9,1e9")
    expect(page.locator(".verdict")).to_have_attribute("data-ill", "true")
    page.get_by_role("region", name="Contour", exact=True).get_by_role("img").first.wait_for()
    assert "NaN" not in page.locator("main").inner_text()


def test_a_start_typed_while_an_older_descent_is_answered_stays(visit):
    page = visit("#problem=rosenbrock&lr=0.001")
    boxes = {name: page.get_by_role("spinbutton", name=f"Start of {name}") for name in "xy"}
    expect(boxes["x"]).to_be_enabled()
    rate_box(page).fill("0.0005")  # under way, about the start as it was
    typed = "(box, value) => { box.value = value; box.dispatchEvent(new Event('input')); }"
    boxes["x"].evaluate(typed, "-1")
    boxes["y"].evaluate(typed, "2")
    expect(page.locator(".rule .moment")).to_contain_text("rate 5e-4")
    for box in boxes.values():
        box.evaluate("box => box.dispatchEvent(new Event('change'))")
    expect(boxes["x"]).to_have_value("-1")
    expect(boxes["y"]).to_have_value("2")
    assert run_from(page)["start"] == "-1,2"
