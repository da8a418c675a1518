"""What a notebook shows, read back: by an XML parser and by Python's own HTML parser, against the values themselves."""

import math
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import surefoot as sf
from surefoot import html
from surefoot.curvature.spectrum import Spectrum
from surefoot.descent.batches import DEFAULT_BATCH_SIZE
from surefoot.surfaces.minima import Minimum
from tests.planted_values import (
    INF,
    NAN,
    VALUES,
    bowl,
    found,
    found_of,
    line,
    pair,
    path_on,
    population,
    problem_of,
    run,
    run_of,
    slice_of_ten,
    surface_of,
    ten_weights,
    trace_of,
)

HOSTILE = "<script>alert('1')</script> & \"x\" </td></table> <!-- \x00\x1b\ud800"
SHOWN = "<script>alert('1')</script> & \"x\" </td></table> <!-- \ufffd\ufffd\ufffd"
SCREEN = 30  # rows, headings included


# ---- reading it back


class Cells(HTMLParser):
    """The texts of all cells, and what else there is."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self.styles, self.inside = [], [], [], False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.styles += [value for name, value in attrs if name == "style"]
        assert {name for name, _ in attrs} <= {"style", "scope", "colspan"}
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def tree(value):
    """The fragment as a tree; raises where it is not well-formed."""
    return ElementTree.fromstring(f"<all>{value._repr_html_()}</all>")


def rows(value):
    """The cells of each row, as texts."""
    return [["".join(cell.itertext()) for cell in row if cell.tag in ("th", "td")] for row in tree(value).iter("tr")]


def named(value):
    """Names and texts of the pairs."""
    return {row[0]: row[1] for row in rows(value) if len(row) == 2}


def whole(value):
    return "".join(tree(value).itertext())


def numbers(text):
    return [float(found.replace(",", "")) for found in re.findall(r"-?(?:\d[\d,]*\.?\d*(?:e[+-]\d+)?|inf|NaN)", text)]


def shows(text, *expected):
    """Whether the numbers in a text are these, to five digits."""
    assert numbers(text) == pytest.approx(expected, rel=1e-4, nan_ok=True), (text, expected)


# ---- the battery


@pytest.mark.parametrize("kind", VALUES)
def test_every_value_is_a_well_formed_small_table(kind):
    value = VALUES[kind]()
    text = value._repr_html_()
    parsed = Cells(text)
    assert parsed.rows == rows(value)
    assert set(parsed.tags) <= {"div", "table", "thead", "tbody", "tr", "th", "td"}
    assert len(text.encode()) < 20_000
    assert len(parsed.rows) <= SCREEN
    for table in tree(value).iter("table"):
        widths = {sum(int(cell.get("colspan", 1)) for cell in row) for row in table.iter("tr")}
        assert len(widths) <= 1


@pytest.mark.parametrize("kind", VALUES)
def test_no_colour_is_fixed(kind):
    for style in Cells(VALUES[kind]()._repr_html_()).styles:
        assert not re.search(r"#[0-9a-f]{3}|\brgb|hsl|\bwhite\b(?!-)|black|gr[ae]y", style)
        declared = dict(part.split(":") for part in style.split(";") if part)
        assert declared.get("color", "inherit") == "inherit"
        assert declared.get("background", "none") == "none"


@pytest.mark.parametrize("kind", VALUES)
def test_showing_changes_nothing_and_repeats(kind):
    value = VALUES[kind]()
    state = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first = value._repr_html_()
    assert value._repr_html_() == first
    assert torch.equal(state[0], torch.get_rng_state())
    assert state[1] == np.random.get_state()[1].tolist()  # noqa: NPY002


# ---- the numbers


def test_trace_numbers():
    trace = run().trace
    head, *body = rows(trace)
    assert head == [*sf.Row._fields[:-1]]
    assert len(body) == 7
    assert numbers(body[3][0]) == [len(trace) - 6]
    for cells, row in zip([*body[:3], *body[4:]], [*trace[:3], *trace[-3:]], strict=True):
        shows(" ".join(cells), *row[:-1])
    assert "40 steps" in whole(trace)


def test_short_trace_is_shown_whole():
    assert [cells[0] for cells in rows(trace_of(*range(7)))[1:]] == [str(step) for step in range(7)]


def test_trace_names_its_probes():
    trace = sf.Trace({**{name: np.zeros(2) for name in sf.Row._fields[:-1]}, "sharpness": np.ones(2)})
    assert "sharpness" in whole(trace)
    shows(named(trace[0])["sharpness"], 1.0)


def test_nan_and_infinities_are_shown():
    assert [cells[3] for cells in rows(trace_of(1e300, INF, -INF, NAN))[1:]] == ["1e+300", "inf", "-inf", "NaN"]


def test_row_numbers():
    row = run().trace[3]
    shown = named(row)
    for name in sf.Row._fields[1:-1]:
        shows(shown[name], getattr(row, name))
    assert "step 3" in whole(row)


def test_run_numbers():
    shown, trace = named(run()), run().trace
    shows(shown["first loss"], trace["loss"][0])
    shows(shown["last loss"], trace["loss"][-1])
    shows(shown["lr"], 0.1)
    assert (shown["ended"], shown["optimizer"], shown["steps"]) == ("done", "sgd", "40")
    assert "clip_norm" not in shown  # not chosen
    assert "bowl: 40 steps with sgd at a learning rate of 0.1" in whole(run())


def test_diverged_run_says_where_and_what_to_do():
    diverged = sf.descend(line(), lr=1e6, steps=50)
    shown = named(diverged)
    assert shown["ended"] == f"diverged at step {diverged.diverged_at}"
    shows(shown["last finite loss"], diverged.last_finite.loss)
    assert "A smaller learning rate is needed" in whole(diverged)


def test_run_shows_the_last_validation_loss_that_was_measured():
    measured = sf.descend(ten_weights(), lr=0.01, steps=20, validate_every=7)
    losses = [loss for loss in measured.trace["validation_loss"] if not math.isnan(loss)]
    shows(named(measured)["validation loss"], losses[-1])


def test_path_numbers():
    assert named(run().path) == {"points": "41", "weights": "2", "updates made": "0 to 40"}


def test_problem_numbers():
    shown = named(ten_weights())
    assert (shown["model"], shown["weights"], shown["loss"]) == ("Linear", "10", "mse_loss")
    assert shown["data"] == "30 samples: inputs of shape (30, 9), targets of shape (30, 1)"
    assert shown["validation"].startswith("30 samples")
    assert shown["batch size"].startswith(str(DEFAULT_BATCH_SIZE))
    assert named(ten_weights().with_(batch_size="full"))["batch size"] == "full"


@pytest.mark.parametrize(
    ("kind", "data", "size"),
    [
        ("problem of a loader", "DataLoader of 4 batches", "its own"),
        ("problem of a data set", "TensorDataset of 7 samples", "64"),
        ("problem of a stream", "Stream of batches", "its own"),
        ("problem of batches", "list of 1 batches", "its own"),
    ],
)
def test_forms_of_data(kind, data, size):
    shown = named(VALUES[kind]())
    assert shown["data"] == data
    assert shown["batch size"].startswith(size)


def test_ways_to_a_loss():
    assert named(VALUES["problem of batches"]())["loss"] == "model(**batch).loss"
    assert named(problem_of(pair()))["loss"] == "MSELoss"
    assert named(problem_of(pair(), loss=None, objective=lambda model, batch: 0))["loss"] == "objective <lambda>"
    assert "function of the weights" in named(bowl())["loss"]


def test_known_answer_is_shown():
    for shown in (named(bowl()), named(bowl().answer)):
        shows(shown["known minimum"], 0.0, 0.0)
        shows(shown["loss there"], 0.0)
        shows(shown["curvature there"], 8.0)
        shows(shown["stability limit"], 0.25)
        assert shown["known from"] == "by construction"


def test_several_minima_are_counted():
    answer = sf.Answer(minima=tuple((float(place),) for place in range(9)))
    assert named(answer)["known minima"] == "(0), (1), (2), (3), and 5 more"


def test_found_numbers():
    value, shown = found(), named(found())
    shows(whole(value).split(" for ")[0], value.lr)
    shows(shown["as good"], value.low, value.high)
    shows(shown["diverges at"], value.ceiling)
    assert shown["confident" if value.confident else "not confident"] == value.reason
    assert shown["cost"].startswith(f"{value.gradients:,} gradient evaluations")
    body = [row for row in rows(value) if len(row) == 3][1:]
    assert len(body) == min(len(value.trials), 13)
    for cells, trace in zip(body[:6], value.trials, strict=False):
        rates = sorted({float(trace["lr"].min()), float(trace["lr"].max())})
        shows(" ".join(cells), *rates, len(trace), trace["loss"][-1])


def test_long_found_is_shortened_in_the_middle():
    body = rows(VALUES["found, many trials"]())
    losses = [float(row[2]) for row in body if len(row) == 3 and row[2] != "last loss"]
    assert losses == [*range(6), *range(494, 500)]
    assert ["\u2026 488 more \u2026"] in body


def test_found_by_numbers():
    head, first, second = rows(VALUES["found by"]())
    assert head[0] == "batch_size"
    shows(" ".join(first[:-1]), 16, 0.03, 0.01, 0.1, 0.5)
    assert (first[-1], second[0], second[-2:]) == ("yes", "full", ["", "no"])


def test_suggestion_numbers():
    suggested = VALUES["suggestion"]()
    shows(whole(suggested).split("read at row")[0], suggested.lr)
    assert named(suggested) == {"read at row": str(suggested.at), "reason": suggested.reason}
    assert "steepest: no answer" in whole(VALUES["suggestion, none"]())


def test_population_numbers():
    value = population()
    body = [row for row in rows(value) if len(row) == 4][1:]
    shown = [*value.runs[:6], *value.runs[-6:]]
    assert ["\u2026 18 more \u2026"] in rows(value)
    for cells, one in zip(body, shown, strict=True):
        shows(f"{cells[0]} {cells[1]} {cells[3]}", one.config["lr"], len(one.trace), one.trace["loss"][-1])
        assert cells[2] == one.ended
    assert {"diverged", "steps"} <= {cells[2] for cells in body}
    assert f"engine sequential; {value.gradients:,} gradient evaluations" in whole(value)


def test_population_shows_what_tells_the_runs_apart():
    head, *body = rows(VALUES["population of seeds"]())
    assert head == ["rate", "seed", "steps", "ended", "final loss"]
    assert [cells[1] for cells in body] == ["1", "2"]


def test_surface_numbers():
    value = slice_of_ten()
    shown, path = named(value), value.paths[0]
    assert (shown["points"], shown["samples"]) == ("5 x 5", "30")
    shows(shown["loss"], value.loss.min(), value.loss.max())
    assert shown["motion of the paths in it"] == f"{100 * value.explained:.0f}% (a random walk shows 76%)"
    shows(shown["paths away from it by up to"], path.distance.max())
    shows(shown["loss under a path differs by up to"], np.abs(path.under - path.loss).max())


def test_surface_counts_what_is_not_finite_and_what_is_apart():
    shown = named(surface_of(np.array([1.0, INF, NAN, 4.0]), paths=(path_on((0.5, 0.1), (1.0, INF), (3.5, INF)), path_on())))
    assert (shown["points without a finite loss"], shown["loss"]) == ("2", "1 to 4")
    shows(shown["paths away from it by up to"], 0.5)
    shows(shown["loss under a path differs by up to"], 2.5)
    assert named(VALUES["surface, finite nowhere"]())["loss"] == "finite nowhere"


def test_minima_are_a_table():
    body = rows(surface_of(np.zeros((3, 3)), True, minima=(Minimum((1.0, -2.0), 0.5), Minimum((3.0, 4.0), 0.75)), note="a note"))
    assert body[-3:] == [["x", "y", "loss"], ["1", "-2", "0.5"], ["3", "4", "0.75"]]
    assert named(Minimum((1.0, -2.0), 0.5)) == {"at": "1, -2", "loss": "0.5"}


def test_spectrum_numbers():
    shown = [row[1] for row in rows(Spectrum(100.0, -4.0, 1e-5, 2e-5, 1512, 42))]
    shows(" ".join(shown), 100, 1e-5, -4, 2e-5, 25, 2 / 100, 3.8 / 100, 1512, 42)
    assert "downwards" in whole(Spectrum(100.0, -4.0, 1e-5, 2e-5, 1512, 42))
    assert "downwards" not in whole(Spectrum(100.0, 4.0, 1e-5, 2e-5, 1512, 42))


def test_store_lists_its_runs(tmp_path):
    file = tmp_path / "runs.sqlite"
    one = sf.descend(bowl(), lr=0.1, steps=5, store=file)
    sf.descend(bowl(), lr=0.05, steps=3, start=one, store=file)
    sf.descend(line(), lr=1e6, steps=50, store=file)
    store = sf.Store(file)
    head, *body = rows(store)
    assert head[:6] == ["run", "problem", "optimizer", "rate", "steps", "loss"]
    for cells, entry in zip(body, store.runs(), strict=True):
        shows(" ".join([cells[0], *cells[3:6]]), entry.id, entry.config["lr"], entry.steps, entry.loss)
        assert (cells[1], cells[2], cells[6]) == (entry.config["problem"], "sgd", entry.ended)
    assert [cells[-1] for cells in body] == ["", "run 1", ""]
    assert Cells(store._repr_html_()).rows == rows(store)


def test_store_that_is_empty_or_gone(tmp_path):
    file = tmp_path / "runs.sqlite"
    sf.descend(bowl(), lr=0.1, steps=5, store=file)
    store = sf.Store(file)
    store.delete(1)
    assert len(rows(store)) == 1
    file.unlink()
    assert "cannot be" in whole(store)


# ---- hostile words


@pytest.mark.parametrize(
    "value",
    [
        run_of(trace_of(1.0), problem=HOSTILE, optimizer=HOSTILE),
        problem_of(pair(), name=HOSTILE, source=HOSTILE),
        found_of(reason=HOSTILE),
        sf.FoundBy(HOSTILE, ((HOSTILE, found_of()),)),
        sf.Suggestion(0.1, HOSTILE, 1, HOSTILE),
        sf.Population((run_of(trace_of(1.0), seed=1), run_of(trace_of(1.0), seed=HOSTILE)), "vmap", HOSTILE, 1),
        surface_of(np.zeros((2, 2)), note=HOSTILE, names=(HOSTILE, "y")),
        sf.Answer(source=HOSTILE),
        sf.Trace({**{name: np.zeros(2) for name in sf.Row._fields[:-1]}, HOSTILE: np.ones(2)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_hostile_words_are_only_words(value):
    assert SHOWN in whole(value)
    assert "script" not in Cells(value._repr_html_()).tags
    value._repr_html_().encode()  # half a surrogate cannot be sent


def test_a_store_with_a_hostile_name(tmp_path):
    file = tmp_path / "<b>&.sqlite"
    sf.descend(bowl(HOSTILE.replace("\ud800", "")), lr=0.1, steps=2, store=file)
    assert "<b>&.sqlite" in whole(sf.Store(file))
    assert rows(sf.Store(file))[1][1] == SHOWN[:-1]


# ---- the tables themselves


class Counted(list):
    """Remembers which rows were asked for."""

    def __getitem__(self, place):
        asked.append(place)
        return super().__getitem__(place)


asked: list[int] = []


def test_only_rows_that_are_shown_are_asked_for():
    asked.clear()
    html.grid(["n"], Counted(range(10**6)), cells=lambda n: [n], ends=3)
    assert sorted(asked) == [0, 1, 2, 999_997, 999_998, 999_999]


@pytest.mark.parametrize(("count", "shown"), [(0, 0), (1, 1), (5, 5), (6, 4)])
def test_never_a_single_row_is_left_out(count, shown):
    text = html.grid(["n"], range(count), cells=lambda n: [f"row {n}"], ends=2)
    assert len(re.findall("row \\d", text)) == shown
    assert (" more " in text) == (shown < count)


def test_numbers_stand_right_and_words_left():
    cells = ElementTree.fromstring(html.grid(["word", "number", "both"], [("a", 1, 2.0), ("b", NAN, "none")])).findall(".//td")
    assert ["right" in cell.get("style") for cell in cells] == [False, True, True] * 2
    assert "tabular-nums" in html.table("", [])


@pytest.mark.parametrize(
    ("value", "shown"),
    [(np.int64(12345), "12,345"), (np.float32(0.5), "0.5"), (1e-310, "1e-310"), (-0.0, "-0"), (10**30, f"{10**30:,}"), (True, "True"), (None, "")],
)  # fmt: skip
def test_kinds_of_numbers(value, shown):
    assert ElementTree.fromstring(html.table("", [("x", value)])).findtext(".//td", "") == shown


def test_long_words_are_shortened_in_the_middle():
    text = ElementTree.fromstring(html.table("", [("x", "a" * 500 + "z" * 500)])).findtext(".//td")
    assert (text[0], text[-1]) == ("a", "z")
    assert "600 characters more" in text


# ---- what print shows is as it was


def test_printed_words_stay_as_they_were():
    steps = [sf.Row(step, 0.0, 0.1, loss, 1.0, 0.1, 1.0, value, 0.5) for step, (loss, value) in enumerate([(2.0, NAN), (1.0, 1.5)])]
    assert str(run_of(sf.Trace.of(steps), "stopped", problem="bowl", optimizer="sgd", lr=0.1)) == (
        "bowl: 2 steps with sgd at a learning rate of 0.1, 0.5 s\nstopped by a stop rule: loss 2 -> 1, validation loss 1.5"
    )
    assert str(run_of(trace_of(1.0, NAN), "diverged", lr=0.5)) == (
        "a problem: 2 steps with ? at a learning rate of 0.5, 0 s\ndiverged at step 1: the loss was 1 at step 0, 1 at step 0 (the last finite one). "
        "A smaller learning rate is needed."
    )
    assert str(run_of(trace_of())) == "a problem: 0 steps with ? at a learning rate of nan\nsteps: no finite loss"
    assert str(bowl()) == "bowl: 2 weights"
    assert str(trace_of()) == "an empty trace"
    assert repr(trace_of(1.0)) == "<Trace of 1 steps>"
    assert str(sf.Suggestion(None, "steepest", None, "flat")) == "steepest: no answer (flat)"
    assert str(Spectrum(1.0, -4.0, 0.0, 0.0, 1, 2)).splitlines()[2:] == [
        "a direction curves downwards: this is no minimum",
        "cost: 2 Hessian products",
    ]
    assert str(surface_of(np.zeros((2, 2)), True, minima=(Minimum((1.0, 2.0), 0.5),), note="a note")) == (
        "2 x 2 points (axes), loss 0 to 0, over 1,234 samples\nexact: these are all the weights there are\nminimum at 1, 2: loss 0.5\na note"
    )
