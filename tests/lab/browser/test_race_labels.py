"""Six descents from one start: each with its own colour, dash, label and outcome."""

import pytest

import surefoot as sf
from tests.lab.browser.reading import close, wait_until

expect = pytest.importorskip("playwright.sync_api").expect
RIVALS = "lr:0.001;lr:0.3;lr:1.2;lr:0.1,optimizer:adam;optimizer:random"


def test_a_race_of_six(visit):
    page = visit(f"#race={RIVALS}")
    rows = page.locator(".rivals > li")
    expect(rows).to_have_count(5)
    expect(page.get_by_role("button", name="Add a descent")).to_be_hidden()
    expect(rows.last.locator(".fared")).to_contain_text("loss")
    marks = rows.locator("i.dash")
    looks = [(mark.get_attribute("class"), mark.evaluate("m => getComputedStyle(m).color")) for mark in marks.all()]
    assert len(set(looks)) == 5
    assert len({colour for _, colour in looks}) == 5
    problem = sf.problems.load("line")
    gone = sf.descend(problem, lr=1.2, steps=200, progress=False)
    assert gone.ended == "diverged"
    expect(rows.nth(2)).to_contain_text(sf.diagnose(gone).explain("basic").splitlines()[0].rstrip("."))

    small, adam = (
        sf.descend(problem, **given, steps=200, progress=False) for given in ({"lr": 0.001}, {"lr": 0.1, "optimizer": "adam"})
    )
    for run, row in ((small, 0), (adam, 3)):
        text = rows.nth(row).locator(".fared").inner_text()
        assert close(run.trace["loss"][-1], text.split("loss ")[1]), text


def test_rivals_are_added_changed_and_removed_by_hand(visit):
    page = visit()
    for _ in range(5):
        page.get_by_role("button", name="Add a descent").click()
    expect(page.get_by_role("button", name="Add a descent")).to_be_hidden()
    page.get_by_role("combobox", name="Optimizer of descent 3").select_option("adam")
    page.get_by_role("spinbutton", name="Rate of descent 2").fill("0.25")
    for number in (6, 5, 4):
        page.get_by_role("button", name=f"Remove descent {number}").click()
    wait_until(page, "location.hash.startsWith('#race=lr:0.25;') && location.hash.includes('optimizer:adam')")
    expect(page.locator(".rivals > li")).to_have_count(2)
    expect(page.locator(".others li")).to_have_count(2)
