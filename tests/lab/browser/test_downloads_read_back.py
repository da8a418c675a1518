"""What is downloaded opens with what people open it with, and says what `surefoot.descend` says."""

import io
import xml.etree.ElementTree as xml

import numpy as np
import pandas
import pytest
from PIL import Image

import surefoot as sf
from tests.lab.browser.conftest import PATIENCE

expect = pytest.importorskip("playwright.sync_api").expect
PICTURES = ("Loss curve", "Contour", "Surface", "Data and fit")


def saved(page, name):
    with page.expect_download(timeout=2 * PATIENCE) as download:
        page.get_by_role("complementary", name="Download").get_by_role("button", name=name, exact=True).click()
    return download.value.path().read_bytes()


@pytest.fixture
def downloads(visit):
    page = visit("#lr=0.3&steps=40&race=lr:0.01")
    page.get_by_role("button", name="Download", exact=True).click()
    return page


def test_png_opens_with_pillow(downloads):
    for name in PICTURES:
        with Image.open(io.BytesIO(saved(downloads, f"{name} as PNG"))) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) >= 300
            assert len(picture.convert("L").getcolors()) > 2


def test_svg_is_wellformed(downloads):
    root = xml.fromstring(saved(downloads, "Loss curve as SVG"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 2


def test_gif_moves(downloads):
    with Image.open(io.BytesIO(saved(downloads, "Loss curve as GIF, moving"))) as picture:
        assert picture.format == "GIF"
        assert picture.n_frames > 10


def test_csv_is_the_trace_of_descend(downloads):
    table = pandas.read_csv(io.BytesIO(saved(downloads, "Trace as CSV")))
    problem = sf.problems.load("line")
    for place, lr in enumerate((0.3, 0.01), 1):
        rows, trace = table[table["racer"] == place], sf.descend(problem, lr=lr, steps=40, progress=False).trace
        for column in ("step", "lr", "loss", "grad_norm", "update_norm"):
            assert np.array_equal(rows[column].to_numpy(float), np.asarray(trace[column], float)), column


def test_what_a_problem_does_not_have_is_told(visit):
    page = visit("#problem=bowl&lr=0.05")
    page.get_by_role("button", name="Download", exact=True).click()
    sheet = page.get_by_role("complementary", name="Download")
    fit = sheet.get_by_role("button", name="Data and fit as PNG")
    if fit.count() and fit.is_enabled():
        fit.click()
        expect(sheet.locator("p.quiet")).to_contain_text("fit", timeout=30_000)
    expect(page.locator(".toast")).to_be_hidden()
