"""The server stops and starts again: the page says so, keeps its state, and goes on by itself."""

import pytest

from tests.lab.browser.conftest import UNREACHABLE
from tests.lab.browser.reading import rate, rate_box, run_from

expect = pytest.importorskip("playwright.sync_api").expect


def test_the_page_comes_back_with_its_state_when_the_server_does(visit, serve, tmp_path):
    lab = serve(tmp_path)
    page = visit("#lr=0.3&steps=60&race=lr:0.01", at=lab)
    page.watched.expected += (UNREACHABLE,)
    expect(page.locator(".where")).to_have_text("60 / 60")
    page.get_by_role("button", name="One step back").click()
    expect(page.locator(".rule .moment")).to_contain_text("step 59: ")
    before = page.locator(".rule").inner_text()
    lab.stop()

    banner = page.locator(".banner.offline")
    expect(banner).to_be_visible()
    expect(banner).to_contain_text("trying again")
    assert page.locator(".rule").inner_text() == before
    page.get_by_role("button", name="One step back").click()
    expect(page.locator(".where")).to_have_text("58 / 60")
    rate_box(page).fill("0.2")

    serve(tmp_path, port=lab.port)
    expect(banner).to_be_hidden(timeout=20_000)
    expect(page.locator(".rule .moment")).to_contain_text("rate 0.2", timeout=20_000)
    assert rate(page) == 0.2
    expect(page.locator(".rivals > li")).to_have_count(1)
    page.wait_for_timeout(400)
    assert run_from(page) == {"lr": "0.2", "steps": "60", "race": "lr:0.01", "step": "58"}


def test_two_tabs_do_not_see_each_other(visit, lab):
    one = visit("#lr=0.3")
    other = visit("#lr=0.02&problem=bowl", context=one.context)
    rate_box(one).fill("0.25")
    expect(one.locator(".rule .moment")).to_contain_text("rate 0.25")
    assert rate(other) == 0.02
    expect(other).to_have_title("bowl · surefoot lab")
    rate_box(other).fill("0.03")
    expect(other.locator(".rule .moment")).to_contain_text("rate 0.03")
    assert rate(one) == 0.25
    expect(one).to_have_title("line · surefoot lab")
    assert lab.process.poll() is None


def test_whoever_has_no_token_sees_no_lab(browser, lab):
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(f"http://127.0.0.1:{lab.port}/")
    assert answer.status == 403
    assert "token" in page.locator("body").inner_text()
    context.close()
