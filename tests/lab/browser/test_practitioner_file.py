"""A practitioner opens the lab on a file of his own; what he wrote is descended, and what he did wrong is shown as he wrote it."""

import re
import textwrap

import pytest

import surefoot as sf
from tests.lab.browser.reading import close, moment, rate_box, status

expect = pytest.importorskip("playwright.sync_api").expect

GOOD = """
    import torch
    import surefoot as sf

    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 64)[:, None]
    problem = sf.Problem(torch.nn.Linear(1, 1), data=(x, 3 * x - 1), loss=torch.nn.functional.mse_loss)
"""
BAD = """
    import torch
    import surefoot as sf

    class Fragile(torch.nn.Linear):
        def forward(self, x):
            if self.weight.abs().max() > 1.5:
                raise ArithmeticError("the weight of this model may not be above 1.5")
            return super().forward(x)

    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 64)[:, None]
    problem = sf.Problem(Fragile(1, 1), data=(x, 3 * x - 1), loss=torch.nn.functional.mse_loss)
"""


def written(folder, text):
    (folder / "train.py").write_text(textwrap.dedent(text))
    return folder


def test_a_problem_of_ones_own_is_descended_as_descend_does(visit, serve, tmp_path, monkeypatch):
    page = visit(at=serve(written(tmp_path, GOOD), "train.py:problem", "--state", "lr=0.2&steps=40"))
    expect(page.get_by_role("combobox", name="Problem", exact=True)).to_have_value("own")
    expect(page.locator(".where")).to_have_text("40 / 40")
    monkeypatch.chdir(tmp_path)
    run = sf.descend(sf.problems.load("train.py:problem"), lr=0.2, steps=40, progress=False)
    expect(page.locator(".rule .moment")).to_contain_text(re.compile(r"step, 39\b"))
    assert close(run.trace["loss"][-1], moment(page)["loss"])
    page.get_by_role("button", name="Same in Python").click()
    expect(page.get_by_role("region", name="Program")).to_contain_text('sf.problems.load("train.py:problem")')


def test_a_problem_that_raises_shows_its_own_traceback_and_the_server_lives(visit, serve, tmp_path):
    lab = serve(written(tmp_path, BAD), "train.py:problem", "--state", "lr=0.001&steps=40")
    page = visit(at=lab)
    expect(page.locator(".where")).to_have_text("40 / 40")
    rate_box(page).fill("0.5")
    raised = page.locator(".raised")
    expect(raised).to_be_visible()
    expect(raised).to_contain_text("the weight of this model may not be above 1.5")
    raised.get_by_text("Traceback").click()
    expect(raised.locator("pre")).to_contain_text("train.py")
    expect(raised.locator("pre")).to_contain_text('raise ArithmeticError("the weight of this model may not be above 1.5")')
    assert "site-packages/surefoot" not in raised.inner_text()
    assert lab.process.poll() is None

    rate_box(page).fill("0.002")
    expect(page.locator(".rule .moment")).to_contain_text("rate 0.002")
    expect(status(page)).not_to_be_empty()
