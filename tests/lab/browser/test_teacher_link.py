"""A teacher hides what a class is not to see and hands on a link; whoever opens it sees the same state, without what is hidden."""

import pytest

from tests.lab.browser.reading import rate, rate_box, run_from, status, wait_until

expect = pytest.importorskip("playwright.sync_api").expect


def test_a_link_with_hidden_controls_opens_without_them_and_with_the_same_state(visit):
    teacher = visit("#lr=0.3&steps=60&noise=0.1&seed=7&race=lr:0.01;lr:0.6,optimizer:momentum&step=20&speed=2")
    teacher.get_by_role("button", name="Share", exact=True).click()
    for name in ("Noise", "Seed", "Optimizer", "Verdict"):
        teacher.get_by_role("group", name="For a class: hide").get_by_label(name, exact=True).check()
    link = teacher.get_by_role("textbox", name="Link to this view").input_value()
    assert "token" not in link

    student = visit("#" + link.partition("#")[2], until=".where:not(:empty)")
    expect(student.locator(".where")).to_have_text("20 / 60")
    assert rate(student) == 0.3
    for name in ("Noise", "Seed"):
        expect(student.get_by_role("spinbutton", name=name, exact=True, include_hidden=True)).to_be_hidden()
    expect(student.get_by_role("combobox", name="Optimizer", exact=True)).to_be_hidden()
    expect(student.get_by_role("region", name="Verdict")).to_be_hidden()
    expect(student.get_by_role("combobox", name="Batch", exact=True)).to_be_visible()
    expect(student.locator(".rivals > li")).to_have_count(2)

    wait_until(student, "location.hash.includes('hide=')")
    seen = run_from(student)
    assert set(seen.pop("hide").split(",")) == {"noise", "seed", "optimizer", "verdict"}
    teacher.wait_for_timeout(300)
    assert seen == run_from(teacher)
    assert seen == {
        "lr": "0.3",
        "steps": "60",
        "noise": "0.1",
        "seed": "7",
        "race": "lr:0.01;lr:0.6,optimizer:momentum",
        "step": "20",
        "speed": "2",
    }


def test_a_link_that_makes_no_sense_is_told_and_the_rest_of_it_used(visit):
    page = visit("#lr=-3&colour=red&steps=50&optimizer=lion&start=1,2,3&hide=everything")
    told = page.locator(".toast")
    expect(told).to_contain_text("Not used from the link")
    assert rate(page) == 0.1
    expect(page.locator(".where")).to_have_text("50 / 50")
    wait_until(page, "location.hash === '#steps=50'")


def test_another_link_in_the_same_tab_is_another_state(visit):
    page = visit("#lr=0.3")
    expect(rate_box(page)).to_have_value("0.3")
    page.evaluate("location.hash = '#problem=bowl&lr=0.05'")
    expect(rate_box(page)).to_have_value("0.05")
    expect(page.get_by_role("combobox", name="Problem", exact=True)).to_have_value("bowl")
    expect(page).to_have_title("bowl · surefoot lab")
    expect(status(page)).not_to_be_empty()


def test_the_lab_started_with_a_state_begins_with_it(visit, serve, tmp_path):
    page = visit(at=serve(tmp_path, "bowl", "--state", "lr=0.02&steps=77&hide=seed,race"))
    assert rate(page) == 0.02
    expect(page.locator(".where")).to_have_text("77 / 77")
    expect(page.get_by_role("combobox", name="Problem", exact=True)).to_have_value("bowl")
    expect(page.get_by_role("region", name="Race")).to_be_hidden()
