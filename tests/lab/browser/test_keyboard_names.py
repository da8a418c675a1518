"""All by keyboard, and every control with the name that a screen reader says."""

import pytest

from tests.lab.browser.reading import playhead, rate, rate_box, rate_slider, status, wait_until

expect = pytest.importorskip("playwright.sync_api").expect
FOCUSED = """() => {
  const e = document.activeElement, style = getComputedStyle(e);
  const seen = style.outlineStyle !== 'none' || style.boxShadow !== 'none';
  return {name: e.getAttribute('aria-label') || e.innerText || e.tagName, seen};
}"""
REACHED = """() => [...document.querySelectorAll('button, input, select, summary, a[href], [tabindex="0"]')]
  .filter(e => e.checkVisibility({checkVisibilityCSS: true}) && !e.disabled && e.tabIndex >= 0).length"""
NEW = """() => {
  const seen = (window.__reached ??= new Set()), before = seen.size;
  return seen.add(document.activeElement).size > before;
}"""
NAMELESS = """() => [...document.querySelectorAll('button, input, select, [role=img]')]
  .filter(e => e.checkVisibility() && !e.closest('label'))
  .filter(e => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.innerText))
  .map(e => e.outerHTML.slice(0, 100))"""


def around(page, most=300):
    """What the Tab key reaches, in order, until it leaves the page or comes back to the first."""
    seen = []
    page.evaluate("document.activeElement.blur()")
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body") or not page.evaluate(NEW):
            break
        seen.append(page.evaluate(FOCUSED))
    return seen


def test_tab_reaches_every_control_and_shows_where_it_is(visit):
    page = visit()
    page.wait_for_timeout(1500)
    reachable = page.evaluate(REACHED)
    seen = around(page)
    assert len(seen) >= reachable - 4  # of a group of radio buttons only one is a stop
    assert [each for each in seen if not each["seen"]] == []
    names = [each["name"] for each in seen]
    order = [
        "Lessons",
        "Problem",
        "Learning rate",
        "Find a good rate",
        "Steps",
        "Optimizer",
        "Add a descent",
        "One step back",
        "Step",
        "Speed",
    ]
    places = [names.index(name) for name in order]
    assert places == sorted(places)


def test_arrows_move_the_rate_and_space_plays(visit):
    page = visit("#speed=0.25")
    slider = rate_slider(page)
    slider.focus()
    before = rate(page)
    page.keyboard.press("ArrowRight")
    assert rate(page) > before
    page.keyboard.press("ArrowLeft")
    assert rate(page) == pytest.approx(before, rel=0.03)
    page.keyboard.press("Home")
    assert rate(page) == 1e-6
    page.keyboard.press("End")
    assert rate(page) == 10
    rate_box(page).focus()
    page.keyboard.press("ArrowDown")
    assert 8.5 < rate(page) < 10

    rate_box(page).fill("0.1")
    expect(page.locator(".rule .moment")).to_contain_text("rate 0.1 ")
    wait_until(page, "__lab.drawn === 200")  # of this rate: the last one diverged after fewer steps
    slider.focus()
    page.keyboard.press("Space")
    wait_until(page, "__lab.drawn > 0 && __lab.drawn < 190")
    page.keyboard.press("Space")
    at, rows = playhead(page)
    assert 0 < at < rows
    page.get_by_role("button", name="One step forward").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".where")).to_have_text(f"{at + 1} / {rows}")


def test_a_sheet_opens_and_closes_by_keyboard_and_gives_the_focus_back(visit):
    page = visit()
    knob = page.get_by_role("button", name="Download", exact=True)
    knob.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Download")).to_be_focused()
    expect(knob).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(knob).to_be_focused()
    expect(knob).to_have_attribute("aria-expanded", "false")


def test_the_names_a_screen_reader_says(visit):
    page = visit()
    expect(page.get_by_label("Learning rate", exact=True)).to_have_count(2)
    expect(rate_slider(page)).to_have_count(1)
    expect(rate_box(page)).to_have_count(1)
    expect(status(page)).to_have_count(1)
    expect(page.locator("[aria-live]:not([aria-live=off])")).to_have_count(0)
    assert page.get_by_role("region", name="Verdict").get_by_role("status").count() == 1
    for role in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_text("surefoot lab")
    wait_until(page, f"({NAMELESS})().length === 0")
    assert rate_slider(page).get_attribute("aria-valuetext") == "0.1"
