"""What the page is sent against gradient descent written out in numpy, and against the library's own verbs."""

import math

import numpy as np
import pytest
import torch

import surefoot as sf
from surefoot.lab.chosen import Setup, rates
from surefoot.lab.session import Conversation
from surefoot.lab.wire import packed, unpacked


def asked(talk, ask, state=None, **more):
    told = []
    talk.answer(
        {"ask": ask, "seq": 7, "state": state or {}, **more}, lambda message: told.append(unpacked(packed(message))), lambda: None
    )
    return told


def one(talk, ask, state=None, **more):
    return asked(talk, ask, state, **more)[-1]


@pytest.fixture
def talk():
    return Conversation(Setup())


def line_by_hand(rate, steps, noise=0.02, points=100):
    """w, b before every step and after the last, in float64, from the formula of the mean squared error."""
    x = np.linspace(0, 1, points)
    y = 0.1 * x + 0.5 + noise * np.random.default_rng(0).normal(size=points)
    weights = [np.array([0.0, -1.0])]
    for _ in range(steps):
        w, b = weights[-1]
        off = w * x + b - y
        weights.append(weights[-1] - rate * np.array([2 * (off * x).mean(), 2 * off.mean()]))
    return np.array(weights), x, y


def test_the_path_the_losses_and_the_rule_are_those_of_the_formula(talk):
    racer = one(talk, "descend", {"lr": 0.3, "steps": 50}, rest=True)["racers"][0]
    weights, x, y = line_by_hand(0.3, 50)
    losses = [((w * x + b - y) ** 2).mean() for w, b in weights[:-1]]
    assert racer["rows"] == 50
    np.testing.assert_allclose(racer["loss"], losses, rtol=1e-4)
    np.testing.assert_allclose(racer["path"]["points"].reshape(-1, 2), weights, atol=2e-6)
    rule = {key: racer["rule"][key].reshape(-1, 2) for key in ("before", "direction", "after")}
    np.testing.assert_allclose(rule["before"] - racer["rate"][:, None] * rule["direction"], rule["after"], atol=1e-6)
    np.testing.assert_allclose(rule["direction"], -np.diff(weights, axis=0) / 0.3, atol=1e-5)


def test_the_fitted_line_goes_through_the_heights_of_the_weights(talk):
    racer = one(talk, "descend", {"lr": 0.3, "steps": 20}, rest=True)["racers"][0]
    weights, *_ = line_by_hand(0.3, 20)
    ends = np.stack([weights[:, 1], weights.sum(1)], 1)  # at x = 0 and x = 1
    np.testing.assert_allclose(racer["fit"]["y"].reshape(-1, 2), ends, atol=3e-6)
    assert racer["fit"]["x"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("state", [{}, {"optimizer": "adam"}, {"batch": "mini", "batch_size": 10}, {"schedule": "cosine"}], ids=str)
def test_a_dragged_rate_shows_the_descent_that_the_resting_one_is(talk, state):
    one(talk, "rates", state)
    for rate in (rates()[150], 0.1, 0.501):
        dragged = one(talk, "descend", {**state, "lr": rate}, rest=False)
        resting = one(talk, "descend", {**state, "lr": rate}, rest=True)
        assert (dragged["exact"], resting["exact"]) == (False, True)
        np.testing.assert_allclose(dragged["racers"][0]["loss"][:50], resting["racers"][0]["loss"][:50], rtol=1e-4)
        np.testing.assert_allclose(dragged["racers"][0]["path"]["points"], resting["racers"][0]["path"]["points"], atol=1e-4)


@pytest.mark.parametrize(
    "state",
    [
        {"lr": 0.05, "steps": 30},
        {"lr": 0.05, "steps": 30, "optimizer": "momentum", "momentum": 0.5, "start": [0.5, 0.25]},
        {
            "lr": 0.01,
            "steps": 30,
            "optimizer": "adam",
            "momentum": 0.8,
            "schedule": "cosine",
            "batch": "mini",
            "batch_size": 7,
            "seed": 3,
        },
        {"problem": "himmelblau", "lr": 0.003, "steps": 30, "start": [1.0, -2.0]},
        {
            "lr": 0.05,
            "steps": 30,
            "noise": 0.3,
            "points": 11,
            "race": [{"lr": 0.5}, {"optimizer": "nesterov"}, {"batch": "single"}],
        },
        {"problem": "digits-linear", "lr": 0.1, "steps": 20, "batch": "full"},
    ],
    ids=str,
)
def test_the_same_in_python_is_the_same(talk, state, tmp_path, monkeypatch, capsys):
    """The lines are run, and what they descend is held against what the page was sent, bit for bit."""
    shown = one(talk, "descend", state, rest=True)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(shown["code"], names)
    runs = names.get("runs") or [names["run"]]
    for racer, run in zip(shown["racers"], runs, strict=True):
        np.testing.assert_array_equal(racer["loss"], run.trace["loss"].astype(np.float32))
    assert {path.name for path in tmp_path.iterdir()} == {"loss.png", "landscape.png"}
    assert capsys.readouterr().out


def test_the_surface_is_the_loss_at_every_point(talk):
    shown = one(talk, "surface", {"noise": 0.1, "points": 20})
    x, y = np.linspace(0, 1, 20), None
    y = 0.1 * x + 0.5 + 0.1 * np.random.default_rng(0).normal(size=20)
    w, b = np.meshgrid(shown["x"], shown["y"])
    by_hand = ((w[..., None] * x + b[..., None] - y) ** 2).mean(-1)
    np.testing.assert_allclose(shown["loss"].reshape(by_hand.shape), by_hand, rtol=1e-3)
    slope, height = np.polyfit(x, y, 1)
    np.testing.assert_allclose(shown["minima"][0]["point"], [slope, height], atol=1e-4)
    low, high = shown["x"][[0, -1]], shown["y"][[0, -1]]
    assert low[0] < 0 < low[1], "the start is in the picture"
    assert high[0] < -1 < high[1]


def test_the_surface_does_not_move_while_a_rate_is_dragged(talk):
    keys = {
        one(talk, "descend", {"lr": lr, "optimizer": name}, rest=True)["keys"]["surface"]
        for lr in (0.1, 5.0)
        for name in ("sgd", "adam")
    }
    assert len(keys) == 1
    assert one(talk, "descend", {"start": [1, 1]})["keys"]["surface"] not in keys
    assert one(talk, "descend", {"noise": 0.5})["keys"]["surface"] not in keys


def test_the_slider_is_marked_where_the_curvature_says(talk):
    x = np.linspace(0, 1, 100)
    curvature = np.linalg.eigvalsh(2 * np.stack([x, np.ones(100)]) @ np.stack([x, np.ones(100)]).T / 100)[-1]
    marks = {each["label"]: each["lr"] for each in one(talk, "descend", {})["problem"]["limits"]}
    assert marks == pytest.approx({"1/L": 1 / curvature, "2/L": 2 / curvature}, rel=1e-5)
    momentum = one(talk, "descend", {"optimizer": "momentum", "momentum": 0.5})["problem"]["limits"]
    assert [each["lr"] for each in momentum] == pytest.approx([3 / curvature], rel=1e-5)
    assert one(talk, "descend", {"optimizer": "adam"})["problem"]["limits"] == []


@pytest.mark.parametrize(("rate", "words"), [(0.9, "0.9 is above the stability limit 0.789"), (10.0, "diverged at step 13")])
def test_a_divergence_is_told_with_its_limit(talk, rate, words):
    racer = one(talk, "descend", {"lr": rate, "steps": 200})["racers"][0]
    assert words in racer["told"]
    assert racer["ended"] == "diverged"
    assert np.isfinite(racer["path"]["points"][: 2 * racer["diverged_at"]]).all(), "the last finite frame is kept"


def test_all_rates_at_once_have_their_best_where_the_losses_have(talk):
    shown = one(talk, "rates", {"steps": 50})
    by_hand = {}
    for rate in rates()[120:260:4]:
        weights, x, y = line_by_hand(rate, 50)
        by_hand[rate] = np.mean([((w * x + b - y) ** 2).mean() for w, b in weights[45:50]])
    best = min(by_hand, key=by_hand.get)
    assert 0.8 < shown["best"] / best < 1.25
    assert shown["picture"]["type"] == "marks"
    assert shown["map"]["layers"][0]["type"] == "heat"


def test_a_network_shows_its_plane_and_its_samples(talk):
    state = {"problem": "digits-linear", "steps": 40, "lr": 0.1}
    shown = one(talk, "descend", state, rest=True)
    run = sf.descend(sf.problems.load("digits-linear"), lr=0.1, steps=40)
    x, truth = (part[:24] for part in sf.problems.load("digits-linear").validation)
    model = sf.problems.load("digits-linear").model
    model.load_state_dict(run.weights)
    predicted = shown["samples"]["predicted"][0]
    assert predicted["classes"].reshape(-1, 24)[-1].tolist() == model(x).argmax(1).tolist()
    assert shown["samples"]["truth"] == [str(int(each)) for each in truth]
    assert predicted["steps"][[0, -1]].tolist() == [0, 40]
    surface = one(talk, "surface", state)
    assert not surface["exact"]
    assert "random walk shows 76%" in surface["text"][0]
    assert surface["paths"][0]["loss"][0] == pytest.approx(math.log(10), rel=0.2)


def test_a_classifier_of_points_says_its_chance_everywhere(talk):
    state = {"problem": "spirals", "steps": 20, "lr": 0.02, "optimizer": "adam"}
    field = one(talk, "descend", state, rest=True)["field"]
    problem = sf.problems.load("spirals")
    problem.model.load_state_dict(sf.descend(problem, lr=0.02, optimizer="adam", steps=20).weights)
    at = torch.tensor([[float(field["x"][3]), float(field["y"][30])]])
    assert field["values"].reshape(-1, 41, 41)[-1, 30, 3] == pytest.approx(problem.model(at).sigmoid().item(), abs=1e-5)


def test_a_long_descent_is_shown_while_it_goes_on(talk):
    told = asked(talk, "descend", {"steps": 3000}, rest=True)
    partial, whole = told[:-1], told[-1]
    assert len(partial) >= 2
    assert all(each["partial"] for each in partial)
    assert {each["racers"][0]["verdict"]["title"] for each in partial} == {"On its way"}, "nothing is judged before the end"
    assert not whole["partial"]
    rows = [each["racers"][0]["rows"] for each in told]
    assert rows == sorted(rows)
    assert rows[-1] == 3000
    np.testing.assert_array_equal(partial[-1]["racers"][0]["loss"], whole["racers"][0]["loss"][: rows[-2]])


def test_a_search_tells_how_far_it_is_and_what_it_found(talk):
    told = asked(talk, "find", {"steps": 200})
    found = sf.find_lr(sf.problems.load("line"), optimizer="sgd", steps=200)
    assert told[-1]["lr"] == found.lr
    assert told[-1]["picture"]["type"] == "marks"
    assert [each["kind"] for each in told[:-1]] == ["progress"] * (len(told) - 1)


def test_a_verdict_is_measured(talk):
    shown = one(talk, "verdict", {"lr": 1e-4})["verdicts"][0]
    assert (shown["verdict"], shown["basis"], shown["remedy"]["setting"]) == ("too-small", "problem", "lr")
    assert 0.01 < shown["remedy"]["value"] < 0.79
    assert len(shown["basic"]) < len(shown["detailed"])


@pytest.mark.slow
def test_text_shows_what_each_racer_takes_the_next_character_for(talk):
    shown = one(talk, "descend", {"problem": "text", "steps": 3, "lr": 0.003, "optimizer": "adamw"}, rest=True)["samples"]
    problem = sf.problems.load("text")
    problem.model.load_state_dict(sf.descend(problem, lr=0.003, optimizer="adamw", steps=3).weights)
    windows, following = problem.validation
    row = next(place for place in range(len(windows)) if _written(windows[place]).endswith(shown["before"][2]))
    assert shown["truth"][2] == _written(following[row])[-1]
    guess = problem.model(windows[row : row + 1])[0, -1].argmax().item()
    assert shown["names"][int(shown["predicted"][0]["classes"].reshape(-1, 8)[-1, 2])] == _written(torch.tensor([guess]))


def _written(codes):
    """Printable ASCII behind a line break, and one sign for everything else."""
    return "".join("\n" if code == 0 else chr(code + 31) if code < 96 else "\ufffd" for code in codes.tolist())


def test_the_data_is_drawn_anew_when_it_changes(talk):
    first = one(talk, "descend", {})
    same, other = one(talk, "descend", {"lr": 0.5}), one(talk, "descend", {"noise": 0.3})
    assert first["keys"]["data"] == same["keys"]["data"] != other["keys"]["data"]
    points = [each["pictures"]["data"]["layers"][0]["y"] for each in (first, same, other)]
    np.testing.assert_array_equal(points[0], points[1])
    assert np.std(points[2]) > 5 * np.std(points[0])
