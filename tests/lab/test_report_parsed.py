"""A report is read as a browser reads it: by a parser of HTML and frames taken apart by hand, and by Chromium, offline."""

import base64
import hashlib
import html.parser
import json
import re
import shutil
import struct

import numpy as np
import pytest

import surefoot as sf

MOST = 1_500_000  # bytes
NASTY = "</script><script>alert(1)</script><!-- \"'&"


class Parsed(html.parser.HTMLParser):
    """What a page consists of: its title, every start tag, and the text of every script and style."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self._within = [], [], None
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style", "title"):
            self._within = (tag, dict(attrs))
            self.texts.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        self._within = None

    def handle_data(self, data):
        if self._within:
            self.texts[-1][2] += data

    def of(self, tag):
        return [(attrs, text) for name, attrs, text in self.texts if name == tag]

    @property
    def policy(self):
        return next(attrs["content"] for tag, attrs in self.tags if attrs.get("http-equiv") == "Content-Security-Policy")

    @property
    def messages(self):
        """By kind, the arrays in it as numpy has them."""
        data = base64.b64decode(next(text for attrs, text in self.of("script") if attrs.get("id") == "surefoot-data"))
        found, at = {}, 0
        while at < len(data):
            (size,) = struct.unpack_from("<I", data, at)
            (length,) = struct.unpack_from("<I", data, at + 4)
            numbers = np.frombuffer(data, "<f4", (size - 4 - length) // 4, at + 8 + length)
            message = json.loads(data[at + 8 : at + 8 + length], object_hook=lambda item, numbers=numbers: arrays(item, numbers))
            found[message["kind"]] = message
            at += 4 + size
        return found


def arrays(item, numbers):
    return numbers[item["f32"][0] : sum(item["f32"])] if item.keys() == {"f32"} else item


def descended(name="line", **settings):
    return sf.descend(sf.problems.load(name), progress=False, **{"lr": 0.3, "steps": 40, **settings})


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    run = descended(steps=1000)
    return run, Parsed(sf.report(run, tmp_path_factory.mktemp("report") / "line.html"))


def test_it_holds_the_numbers_of_the_run(one):
    run, page = one
    racer = page.messages["scene"]["racers"][0]
    assert page.messages["scene"]["about"].startswith("line: ")
    for name, column in (("loss", "loss"), ("rate", "lr"), ("grad_norm", "grad_norm"), ("update_norm", "update_norm")):
        assert np.array_equal(racer[name], run.trace[column].astype("f4")), name
    assert np.array_equal(racer["path"]["points"].reshape(-1, 2), np.asarray(run.path))
    assert racer["ended"] == "steps"
    assert page.messages["welcome"]["lessons"] == []
    assert page.messages["verdicts"]["verdicts"][0]["basis"] == "problem"
    assert page.messages["rates"]["map"]
    assert page.messages["range"]["suggestions"]


def test_the_landscape_is_the_mean_squared_error(one):
    surface = one[1].messages["surface"]
    x = np.linspace(0, 1, 100)
    y = 0.1 * x + 0.5 + 0.02 * np.random.default_rng(0).normal(size=100)
    off = surface["x"][None, :, None] * x + surface["y"][:, None, None] - y
    np.testing.assert_allclose(surface["loss"].reshape(len(surface["y"]), -1), (off**2).mean(2), rtol=1e-4)


def test_the_keys_agree_so_that_nothing_is_missed(one):
    messages = one[1].messages
    keys = messages["scene"]["keys"]
    assert {name: key for name, key in keys.items() if name != "data"} == {
        "surface": messages["surface"]["key"],
        "rates": messages["rates"]["key"],
        "verdict": messages["verdicts"]["key"],
    }


def test_the_program_in_it_makes_the_run_again(one):
    run, page = one
    made = {}
    exec(page.messages["scene"]["code"].split("print(")[0], made)
    assert np.array_equal(made["run"].trace["loss"], run.trace["loss"])


def test_what_the_program_cannot_say_hides_it(tmp_path):
    page = Parsed(sf.report(descended(clip_norm=0.1), tmp_path / "clipped.html"))
    assert page.messages["welcome"]["state"]["hide"] == ["code"]


def test_a_browser_may_run_this_script_and_nothing_else(one):
    page = one[1]
    policy = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
    assert policy["default-src"] == "'none'"
    script = next(text for attrs, text in page.of("script") if attrs.get("type") == "module")
    for name, text in (("script-src", script), ("style-src", page.of("style")[0][1])):
        assert policy[name] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    sources = [attrs[key] for _, attrs in page.tags for key in ("src", "href") if key in attrs]
    assert all(source.startswith("data:") for source in sources), sources
    assert not re.search(r"@import|url\(\s*['\"]?http", page.of("style")[0][1])


@pytest.mark.parametrize("known", [True, False], ids=["with its problem", "by its trace"])
def test_a_name_cannot_become_a_script(tmp_path, known):
    problem = sf.Problem.of(lambda x: (x**2).sum(), start=[1.0, 2.0], name=NASTY)
    run = sf.descend(problem, lr=0.1, steps=10, progress=False)
    page = Parsed(sf.report(run, tmp_path / "nasty.html", problem=problem if known else None))
    assert [attrs.get("type") for attrs, _ in page.of("script")] == ["application/octet-stream", "module"]
    assert page.of("title")[0][1].startswith(NASTY)
    assert page.messages["scene"]["problem"]["title"] == NASTY
    assert "alert(1)" not in re.sub("<title>.*?</title>", "", page.text)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), [("line", {"steps": 1000}), ("digits-cnn", {"lr": 0.1, "steps": 1000})])
def test_a_report_weighs_little(tmp_path, name, settings):
    assert sf.report(descended(name, **settings), tmp_path / "r.html").stat().st_size < MOST


@pytest.mark.slow
def test_a_long_path_is_thinned_and_says_so(tmp_path):
    run = descended(steps=20_000)
    written = sf.report(run, tmp_path / "long.html")
    scene = Parsed(written).messages["scene"]
    racer = scene["racers"][0]
    assert written.stat().st_size < MOST
    assert len(racer["loss"]) == 20_000
    kept = racer["path"]["steps"].astype(int)
    assert (kept[0], kept[-1], len(kept)) == (0, 20_000, 2_000)
    assert np.array_equal(racer["path"]["points"].reshape(-1, 2), np.asarray(run.path)[kept])
    assert any("2,000 of 20,001" in note for note in scene["notes"])
    assert not any("at most" in note for note in scene["notes"])


def test_a_race_holds_every_run(tmp_path):
    runs = [descended(lr=lr, optimizer=optimizer) for lr, optimizer in ((0.1, "sgd"), (2.0, "sgd"), (0.05, "adam"))]
    scene = Parsed(sf.report(runs, tmp_path / "race.html", landscape=False)).messages["scene"]
    assert [(racer["lr"], racer["optimizer"]) for racer in scene["racers"]] == [(0.1, "sgd"), (2.0, "sgd"), (0.05, "adam")]
    assert [racer["ended"] for racer in scene["racers"]] == [run.ended for run in runs]
    assert scene["state"]["race"] == [{"lr": 2.0}, {"lr": 0.05, "optimizer": "adam"}]


def test_without_its_problem_it_says_so(tmp_path):
    run = sf.descend(sf.Problem.of(lambda x: (x**2).sum(), start=[1.0]), lr=0.1, steps=30, progress=False)
    messages = Parsed(sf.report(run, tmp_path / "bare.html")).messages
    assert set(messages) == {"welcome", "scene", "verdicts"}
    assert "does not know how its problem was made" in messages["scene"]["notes"][0]
    assert messages["scene"]["notes"][0] in messages["scene"]["pictures"]["loss"]["notes"]
    assert messages["verdicts"]["verdicts"][0]["basis"] == "trace"


def test_the_default_name_takes_no_other_reports_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = descended()
    first, second = (sf.report(run, landscape=False) for _ in range(2))
    assert (str(first), str(second)) == ("surefoot-report-line.html", "surefoot-report-line-2.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == [str(second), str(first)]


def test_what_was_there_survives_a_failure(tmp_path, monkeypatch):
    target = tmp_path / "report.html"
    target.write_text("old")
    monkeypatch.setattr("surefoot.run.os.fsync", lambda _: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(sf.StoreError, match="the disk is full"):
        sf.report(descended(), target, landscape=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sf.StoreError, match="the disk is full"):
        sf.report(descended(), landscape=False)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert target.read_text() == "old"


@pytest.mark.parametrize(
    ("given", "path", "match"),
    [
        (lambda: 3, "r.html", "got int"),
        (lambda: [], "r.html", "got list"),
        (lambda: [descended(), descended("bowl", lr=0.05)], "r.html", "line, bowl"),
        (lambda: [descended()] * 7, "r.html", "at most 6"),
        (descended, "", "is a folder"),
        (descended, "nowhere/r.html", "there is no folder"),
    ],
)
def test_misuse_names_what_it_saw(tmp_path, given, path, match):
    with pytest.raises(sf.SurefootError, match=match):
        sf.report(given(), tmp_path / path)
    assert not list(tmp_path.iterdir())


def test_another_problem_is_refused(tmp_path):
    with pytest.raises(sf.SettingError, match="give the problem that was descended"):
        sf.report(descended(), tmp_path / "r.html", problem=sf.problems.load("valley"))


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["line", "nasty"])
def test_it_opens_from_disk_without_a_network(chromium, tmp_path, kind):
    problem = sf.Problem.of(lambda x: (x**2).sum(), start=[1.0, 2.0], name=NASTY)
    run = descended() if kind == "line" else sf.descend(problem, lr=0.1, steps=10, progress=False)
    written = sf.report(run, tmp_path / f"{kind}.html", problem=None if kind == "line" else problem)
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    page, requests, errors = context.new_page(), [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
    page.goto(written.as_uri())
    page.get_by_role("status").get_by_text("descent").first.wait_for()
    page.wait_for_function("window.__lab.drawn > 0" if page.evaluate("'drawn' in window.__lab") else "true")
    assert page.locator(".pane:visible canvas").count() >= 3
    for name in ("Find a good rate", "Lessons", "Live runs", "Share", "Add a descent", "use it", "Compute"):
        assert not page.get_by_role("button", name=name).locator("visible=true").count(), name
    if kind == "line":  # both tests of the rate are there
        page.get_by_label("What is shown against the rate").select_option("range")
    page.wait_for_timeout(300)
    assert not page.get_by_text("Computing").locator("visible=true").count()
    assert not errors
    assert requests == [written.as_uri()]
    context.close()
