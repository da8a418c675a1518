"""Light and dark, phones and large screens, with and without movement: measured on the page, not on pictures of it."""

import pytest

from tests.lab.browser.reading import inked, picture, playhead, wait_until

expect = pytest.importorskip("playwright.sync_api").expect
WIDER = """() => [...document.querySelectorAll('body *')].filter(e => {
  const style = getComputedStyle(e), box = e.getBoundingClientRect();
  if (!e.checkVisibility({checkVisibilityCSS: true}) || box.width === 0 || style.position === 'fixed') return false;
  for (let up = e.parentElement; up; up = up.parentElement) if (getComputedStyle(up).overflowX !== 'visible') return false;
  return box.right > innerWidth + 1;
}).map(e => e.outerHTML.slice(0, 120))"""
BACKGROUND = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


@pytest.mark.parametrize(("scheme", "theme"), [("light", ""), ("dark", ""), ("light", "#theme=dark"), ("dark", "#theme=light")])
def test_light_and_dark(visit, scheme, theme):
    page = visit(theme, color_scheme=scheme)
    dark = theme.endswith("dark") if theme else scheme == "dark"
    assert page.locator("html").get_attribute("data-theme") == ("dark" if dark else "light")
    brightness = sum(page.evaluate(BACKGROUND)) / 3
    assert brightness < 80 if dark else brightness > 200
    assert inked(picture(page, "Loss curve"))


def test_the_theme_changes_at_once_and_is_kept_in_the_link(visit):
    page = visit(color_scheme="light")
    page.get_by_role("combobox", name="Theme").select_option("dark")
    assert sum(page.evaluate(BACKGROUND)) / 3 < 80
    wait_until(page, "location.hash === '#theme=dark'")


@pytest.mark.parametrize("problem", ["line", "bowl"])
def test_a_phone_never_scrolls_sideways(visit, problem):
    page = visit(f"#problem={problem}", **PHONE)
    page.wait_for_timeout(500)
    for name in (None, "Lessons", "Same in Python", "Share", "Download"):
        if name:
            page.get_by_role("navigation", name="Sheets").get_by_role("button", name=name, exact=True).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
        assert page.evaluate(WIDER) == [], name
        if name:
            page.get_by_role("button", name=f"Close {name}").click()
    small = "() => [...document.querySelectorAll('button.play, .playbar button')].map(e => e.getBoundingClientRect().height)"
    assert min(page.evaluate(small)) >= 24


@pytest.mark.parametrize("size", [(1280, 800), (1440, 900), (3840, 2160)])
def test_one_screen_holds_it_all(visit, size):
    page = visit(viewport={"width": size[0], "height": size[1]})
    picture(page, "Contour")
    assert page.evaluate("document.documentElement.scrollHeight") <= size[1]
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for name in ("Loss curve", "Contour", "Verdict"):
        box = page.get_by_role("region", name=name, exact=True).bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= size[1]


def test_where_motion_is_not_wanted_nothing_plays_by_itself(visit):
    page = visit("#lesson=too-small", until=".page-lessons h2", reduced_motion="reduce")
    sheet = page.get_by_role("complementary", name="Lessons")
    expect(page.locator(".where")).to_have_text("0 / 200")
    sheet.get_by_role("radio").first.check()
    sheet.get_by_role("button", name="Run", exact=False).first.click()
    sheet.locator(".outcome").wait_for()
    assert playhead(page) == (200, 200)
    assert page.evaluate("__lab.steps") < 10
    moving = "() => document.getAnimations().filter(a => a.playState === 'running').length"
    assert page.evaluate(moving) == 0
