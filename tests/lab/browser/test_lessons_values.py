"""Every lesson is predicted, run and explained as it says it is."""

import pytest

from surefoot.lab.lessons import LESSONS
from tests.lab.browser.reading import rate, wait_until

expect = pytest.importorskip("playwright.sync_api").expect
QUICK = [lesson for lesson in LESSONS if lesson.state.get("problem", "line") == "line" and not lesson.state.get("race")]


def opened(page, lesson):
    page.get_by_role("button", name="Lessons", exact=True).click()
    page.get_by_role("button", name=lesson.title, exact=True).click()
    return page.get_by_role("complementary", name="Lessons")


def test_all_lessons_are_offered(visit):
    page = visit()
    page.get_by_role("button", name="Lessons", exact=True).click()
    sheet = page.get_by_role("complementary", name="Lessons")
    expect(sheet.locator(".contents button")).to_have_text([lesson.title for lesson in LESSONS])
    assert len(LESSONS) >= 8


@pytest.mark.parametrize("right", [True, False])
def test_predict_run_explain(visit, right):
    lesson = next(each for each in LESSONS if each.id == "too-small")
    page = visit("#speed=10")
    sheet = opened(page, lesson)
    expect(sheet.get_by_text(lesson.task, exact=False).first).to_be_visible()
    expect(page.get_by_role("status")).to_be_hidden()
    expect(sheet.get_by_text(lesson.explain[:40])).to_have_count(0)
    for name in lesson.hide:
        assert page.locator(f".field-{name}:visible").count() == 0

    choice = lesson.answer if right else (lesson.answer + 1) % len(lesson.choices)
    sheet.get_by_role("radio", name=lesson.choices[choice]).check()
    sheet.get_by_role("button", name="Run", exact=False).first.click()
    outcome = sheet.locator(".outcome")
    outcome.wait_for(timeout=20_000)
    expect(outcome).to_have_text("You predicted it." if right else "It went otherwise.")
    expect(outcome).to_be_focused()
    expect(sheet).to_contain_text(lesson.explain[:40])
    expect(sheet).to_contain_text(lesson.wonder[:40])
    expect(page.get_by_role("status")).to_be_visible()
    assert rate(page) == lesson.state["lr"]


def test_each_lesson_opens_by_a_link_with_its_own_settings(visit, lab):
    page = visit()
    for lesson in QUICK:
        page.goto("about:blank")
        page.goto(f"{lab.url}#lesson={lesson.id}")
        sheet = page.get_by_role("complementary", name="Lessons")
        expect(sheet.get_by_text(lesson.question)).to_be_visible(timeout=20_000)
        expect(sheet.get_by_role("radio")).to_have_count(len(lesson.choices))
        if "lr" in lesson.state:
            assert rate(page) == lesson.state["lr"]


def test_closing_the_sheet_gives_everything_back(visit):
    page = visit("#lesson=too-small", until=".page-lessons h2")
    expect(page.get_by_role("region", name="Race")).to_be_hidden()
    page.get_by_role("button", name="Close Lessons").click()
    expect(page.get_by_role("region", name="Race")).to_be_visible()
    expect(page.get_by_role("status")).to_be_visible()
    wait_until(page, "!location.hash.includes('lesson') && !location.hash.includes('hide')")
