"""axe-core finds nothing serious on any screen."""

import re

import pytest

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed (pip install surefoot[test])"
)
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
SHEETS = ("Lessons", "Recorded|Live runs", "Same in Python", "Share", "Download")


def serious(page):
    """What axe-core finds serious or critical, each with where it is."""
    found = axe.Axe().run(page).response["violations"]
    return [
        (each["id"], node["html"][:150]) for each in found if each["impact"] in ("serious", "critical") for node in each["nodes"]
    ]


@pytest.mark.parametrize(
    "options",
    [{}, {"color_scheme": "dark"}, PHONE, {**PHONE, "color_scheme": "dark"}],
    ids=["light", "dark", "phone", "dark phone"],
)
def test_the_lab(visit, options):
    page = visit("#lr=1.2&depth=detailed&race=lr:0.1;lr:0.01,optimizer:adam", **options)
    page.wait_for_timeout(1000)
    assert serious(page) == []


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}], ids=["light", "dark"])
def test_each_sheet(visit, options):
    page = visit(**options)
    for name in SHEETS:
        page.get_by_role("navigation", name="Sheets").get_by_role("button", name=re.compile(f"^({name})")).click()
        assert serious(page) == [], name
    page.get_by_role("button", name="Lessons", exact=True).click()
    page.get_by_role("complementary").locator(".contents button").first.click()
    page.wait_for_timeout(500)
    assert serious(page) == []


def test_what_is_wrong(visit):
    page = visit()
    box = page.get_by_role("spinbutton", name="Learning rate", exact=True)
    box.fill("0")
    box.press("Enter")
    page.get_by_role("combobox", name="Problem", exact=True).select_option("table")
    assert serious(page) == []


def test_images_and_networks(visit):
    page = visit("#problem=digits-linear&lr=0.1&steps=30")
    page.wait_for_timeout(1000)
    assert serious(page) == []
