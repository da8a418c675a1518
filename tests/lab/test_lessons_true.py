"""The lessons say what is so: the state of each is descended, every number in its text is measured, and its right answer is the outcome."""

import functools
import re

import numpy as np
import pytest
import torch

import surefoot as sf
from surefoot.lab.lessons import LESSONS

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?")
HUNDRED = torch.linspace(0, 1, 100).double().numpy()


def load(state):
    """The problem of a state, with its start."""
    name = state.get("problem", "line")
    problem = sf.problems.load(name, **({"noise": state["noise"]} if "noise" in state else {}))
    for parameter, value in zip(problem.model.parameters(), state.get("start", ()), strict=False):
        parameter.data.fill_(value)
    return problem


def walk(state, **changed):
    """One descent of a state, under the contract's defaults, with some of it changed."""
    chosen = (
        {"lr": 0.1, "steps": 200, "optimizer": "sgd", "schedule": "constant", "batch": "own", "batch_size": 32}
        | dict(state)
        | changed
    )
    size = {"own": None, "full": "full", "single": 1, "mini": chosen["batch_size"]}[chosen["batch"]]
    kept = {key: chosen[key] for key in ("lr", "steps", "optimizer", "schedule")}
    return sf.descend(load(chosen), batch_size=size, progress=False, **kept)


def racers(lesson):
    return [walk(lesson.state), *(walk(lesson.state, **other) for other in lesson.state.get("race", ()))]


def losses(**settings):
    """The losses of a descent of the line, row by row."""
    return walk({}, **settings).trace["loss"]


def first_below(column, bound):
    return int(np.flatnonzero(column < bound)[0])


@functools.cache
def line_points(noise):
    y = np.float32(0.1 * HUNDRED + 0.5 + noise * np.random.default_rng(0).normal(size=100))
    return HUNDRED, y.astype(float)


def on_all_points(w, b, noise=0.02):
    x, y = line_points(noise)
    return float(np.mean((w * x + b - y) ** 2))


def ended_at(run, noise=0.02):
    """The loss of a descent's last line on all of the points."""
    return on_all_points(run.weights["w"].item(), run.weights["b"].item(), noise)


def best_line(noise):
    x, y = line_points(noise)
    w, b = np.polyfit(x, y, 1)
    return w, b, on_all_points(w, b, noise)


def steepest():
    """The largest curvature of the mean squared error of the line, 2/n X^T X, and its direction."""
    design = np.stack([HUNDRED, np.ones(100)])
    values, vectors = np.linalg.eigh(2 / 100 * design @ design.T)
    return values[-1], vectors[:, -1]


def centred(points):
    return points - points.mean(axis=0)


def across(run):
    """The place of every step along the steepest direction, from the minimum."""
    w, b, _ = best_line(0.02)
    return (run.path.weights.double().numpy() - [w, b]) @ steepest()[1]


# What each lesson claims: the index of the right choice as the outcome decides it, and (as written, as measured) for every number.


def loss(lesson):
    (run,) = racers(lesson)
    w, b, lowest = best_line(0.1)
    start = run.trace[0].loss
    assert ended_at(run, 0.1) == pytest.approx(lowest, rel=1e-4)
    assert on_all_points(0.1, 0.5, 0) < 1e-12  # without noise the true line has no loss
    right = 0 if start == 0 else 1 if start < on_all_points(0, 0, 0.1) else 2
    return right, [
        ("0.1", 0.1), ("0.5", 0.5), ("0", 0), ("0.0093", start), ("0.01", 0.1**2), ("0.0092", ended_at(run, 0.1)),
        ("0.115", run.weights["w"].item()), ("0.501", run.weights["b"].item()), ("0.115", w), ("0.501", b),
        ("-1", -1), ("2.4", on_all_points(0, -1, 0.1)), ("2.4", on_all_points(0, -1, 0)),
    ]  # fmt: skip


def guessing(lesson):
    slope, guess = racers(lesson)
    high = walk({"problem": "digits-linear", "lr": 1.0, "optimizer": "random"})
    assert min(ended_at(slope), ended_at(guess)) == pytest.approx(best_line(0.02)[2], rel=1e-4)
    ratio = ended_at(guess) / ended_at(slope)
    return (2 if ratio > 1.1 else 0 if ratio < 0.9 else 1), [
        ("200", 200), ("0.00037", ended_at(slope)), ("0.0064", ended_at(guess)), ("4", int((guess.trace["update_norm"] > 0).sum())),
        ("11", first_below(slope.trace["loss"], ended_at(guess))), ("650", sum(w.numel() for w in high.weights.values())),
        ("200", 200 + int((high.trace["update_norm"] > 0).sum())),  # none was kept
    ]  # fmt: skip


def too_small(lesson):
    (run,) = racers(lesson)
    first, last = run.trace[0].loss, ended_at(run)
    gone = (first - last) / first
    assert (np.diff(run.trace["loss"]) < 0).all()
    # plain descent of a quadratic in closed form: the error is multiplied by (1 - lr H) at every step
    design = np.stack([HUNDRED, np.ones(100)])
    curvatures, directions = np.linalg.eigh(2 / 100 * design @ design.T)
    w, b, lowest = best_line(0.02)
    error = directions.T @ ([0, -1] - np.array([w, b]))

    def after(lr, steps):
        return lowest + (curvatures / 2) @ ((1 - lr * curvatures) ** steps * error) ** 2

    assert after(0.1, 200) == pytest.approx(losses(lr=0.1, steps=201)[-1], rel=1e-3)
    assert after(1e-5, 2_000_000) == pytest.approx(after(0.1, 200), rel=0.02)
    return int(np.abs(np.array([0.01, 0.5, 0.99]) - gone).argmin()), [
        ("0.00001", 0.00001), ("200", 200), ("1", 100 * gone), ("2.41", first), ("2.38", last), ("10,000", round(0.1 / 0.00001)),
        ("0.1", 0.1), ("0.0005", losses(lr=0.1, steps=201)[-1]), ("2,000,000", 200 * round(0.1 / 0.00001)),
    ]  # fmt: skip


def overshoot(lesson):
    (run,) = racers(lesson)
    curvature, _ = steepest()
    jumps = across(run)[:30]
    crosses = bool((jumps[1:] * jumps[:-1] < 0).all())
    shorter = bool((np.abs(jumps[1:]) < np.abs(jumps[:-1])).all())
    faster = [first_below(losses(lr=lr, steps=400), 0.00037) for lr in (0.7, 0.75, 0.78)]
    assert faster[0] < faster[1] < faster[2]
    assert losses(lr=0.8)[-1] > losses(lr=0.8)[0]
    assert jumps[1] / jumps[0] == pytest.approx(1 - 0.7 * curvature, rel=1e-3)
    return (2 if not shorter else 1 if crosses else 0), [
        ("1", 1), ("0.39", 1 / curvature), ("2", 2), ("0.79", 2 / curvature), ("0.7", 0.7), ("0.78", abs(jumps[1] / jumps[0])),
        ("2.54", curvature), ("-0.78", 1 - 0.7 * curvature), ("0.00037", 0.00037), ("56", first_below(run.trace["loss"], 0.00037)),
        ("103", first_below(losses(lr=0.39), 0.00037)), ("0.75", 0.75), ("0.8", 0.8),
    ]  # fmt: skip


def divergence(lesson):
    (run,) = racers(lesson)
    curvature, _ = steepest()
    column = run.trace["loss"]
    longer = walk(lesson.state, steps=2000)
    jumps = np.abs(across(run)[:40])
    assert jumps[1:] / jumps[:-1] == pytest.approx(curvature - 1, rel=0.01)
    assert column[20] / column[19] == pytest.approx((1 - curvature) ** 2, rel=1e-3)
    lowest = best_line(0.02)[2]
    assert losses(lr=0.78, steps=2001)[-1] == pytest.approx(lowest, rel=1e-3)
    assert losses(lr=0.8, steps=1000)[-1] > 1e20
    assert losses(lr=0.5, steps=101)[-1] == pytest.approx(lowest, rel=1e-3)
    return (3 if (np.diff(column[:97]) > 0).all() and longer.ended == "diverged" else 0), [
        ("1", 1), ("1.0", 1.0), ("2", 2), ("0.79", 2 / curvature), ("0.5", 0.5), ("1,000", 1000), ("1,000,000", 1_000_000), ("1.54", curvature - 1),
        ("2.54", curvature), ("-1.54", 1 - curvature), ("2.4", (1 - curvature) ** 2), ("2.4", column[0]), ("12,700", column[10]), ("10", 10),
        ("97", run.diverged_at), ("100", 100), ("0.78", 0.78), ("2000", 2000), ("0.8", 0.8),
    ]  # fmt: skip


def two_knobs(lesson):
    slow, fast = racers(lesson)
    assert len(slow.trace) == 400
    needed = {choice: losses(lr=0.05, steps=801)[steps] for choice, steps in enumerate((200, 400, 800))}
    assert needed[1] == pytest.approx(fast.trace["loss"][200], rel=0.01)
    assert needed[0] > 4 * needed[1]  # half as many steps do not do
    assert losses(lr=0.8, steps=26)[25] > losses(lr=0.8, steps=26)[0]
    return min(choice for choice, value in needed.items() if value < 0.00055), [
        ("0.1", 0.1), ("0.05", 0.05), ("200", 200), ("400", 400), ("800", 800), ("0.0005", losses(lr=0.1, steps=201)[200]),
        ("0.0005", needed[1]), ("0.0005", losses(lr=0.2)[100]), ("0.0005", losses(lr=0.4)[50]), ("0.2", 0.2), ("100", 20 / 0.2),
        ("0.4", 0.4), ("50", 20 / 0.4), ("0.8", 0.8), ("25", 20 / 0.8),
    ]  # fmt: skip


def two_valleys(lesson):
    small, large = racers(lesson)
    near, deep = (run.weights["x"].item() for run in (small, large))

    def height(x):
        return x**4 / 4 - x**3 / 3 - x**2 + 8 / 3

    def slope(x):
        return x * (x + 1) * (x - 2)

    rolled = walk({"problem": "valley", "lr": 0.03, "optimizer": "momentum"})
    assert rolled.weights["x"].item() == pytest.approx(2, abs=1e-3)
    beyond = walk({"problem": "valley", "lr": 0.35}).path.weights.flatten()
    assert beyond[1] > 0  # it leaps
    assert beyond[-50:].min() < 1.9  # and does not settle
    assert beyond[-50:].max() > 2.1
    assert height(0) > height(-1) > height(2)
    right = {(-1, 2): 0, (-1, -1): 1, (2, 2): 2}.get((round(near), round(deep)), 3)
    return right, [
        ("-1", near), ("2.25", height(-1)), ("2", deep), ("0", height(2)), ("0", slope(0)), ("-2.2", small.path.weights[0].item()),
        ("0.03", 0.03), ("0.25", 0.25), ("-11.1", slope(-2.2)), ("2.77", 0.25 * -slope(-2.2)), ("0.57", large.path.weights[1].item()),
        ("0.33", 0.03 * -slope(-2.2)), ("-1.87", small.path.weights[1].item()), ("0.35", 0.35), ("0.33", 2 / 6),
    ]  # fmt: skip


def mountain_pass(lesson):
    (run,) = racers(lesson)
    column, slope = run.trace["loss"], run.trace["grad_norm"]
    sideways = run.path.weights[:10, 1].numpy()
    assert sideways[1:] / sideways[:-1] == pytest.approx(1.1, abs=0.001)
    assert column[30] < 0.95 * column[20]
    ridge = sf.descend(sf.Problem.of(lambda x: x[0] ** 2 / 2 + (x[1] ** 2 - 1) ** 2 / 4, start=[1.0, 0.0]), lr=0.1, steps=5000)
    assert ridge.weights["x"][1].item() == 0.0
    assert ridge.trace[-1].loss == pytest.approx(0.25)
    return (2 if column[-1] < 1e-4 else 0 if column[-1] < column[20] + 0.01 else 1), [
        ("20", 20), ("0.26", column[20]), ("1.0", slope[0]), ("0.14", slope[20]), ("0", column[-1]), ("0.01", run.path.weights[0, 1].item()),
        ("30", 30), ("60", 60), ("0.001", column[60]), ("1", 1), ("0", 0),
    ]  # fmt: skip


def noise(lesson):
    one, ten, everything = (ended_at(run, 0.1) for run in racers(lesson))
    lowest = best_line(0.1)[2]
    assert everything == pytest.approx(lowest, rel=1e-3)
    arrived = [value < 1.05 * lowest for value in (one, ten, everything)]
    right = {(True, True, True): 0, (False, True, True): 1, (False, False, True): 3}[tuple(arrived)]
    return right, [
        ("0.3", 0.3), ("200", 200), ("100", len(HUNDRED)), ("10", 10), ("0.033", one), ("0.0093", ten), ("0.0092", everything),
        ("0.0092", lowest), ("2,000", 10 * 200), ("20,000", 100 * 200), ("0.05", 0.05),
    ]  # fmt: skip


def decay(lesson):
    runs = racers(lesson)
    constant, cosine, linear = (ended_at(run, 0.1) for run in runs)
    assert len({float(run.trace["loss"][0]) for run in runs}) == 1  # the same first point
    right = 0 if min(cosine, linear) < 0.9 * constant else 1 if constant < 0.9 * min(cosine, linear) else 2
    small = walk(lesson.state, lr=0.03)
    assert ended_at(walk(lesson.state, lr=0.03, steps=2000), 0.1) < 0.8 * ended_at(small, 0.1)  # it had not arrived yet
    return right, [
        ("0.3", 0.3), ("0", 0), ("200", 200), ("0.033", constant), ("0.0093", cosine), ("0.0095", linear), ("0.0092", best_line(0.1)[2]),
        ("0.03", 0.03), ("0.016", ended_at(small, 0.1)),
    ]  # fmt: skip


def range_test(lesson):
    good, lowest = racers(lesson)
    limit = 2 / steepest()[0]
    for low, steps in ((1e-8, 100), (1e-6, 100), (1e-4, 100), (1e-3, 50)):
        found = sf.suggest(sf.range_test(load({}), low=low, high=10.0, steps=steps), "minimum").lr
        assert 2 < found < 4, (low, steps)
        assert walk({}, lr=found, steps=2000).ended == "diverged"
        assert losses(lr=found / 10)[-1] < 0.0004
    assert losses(lr=1e-5)[-1] > 2  # left of it is not equally good
    return (2 if lowest.ended == "diverged" and good.trace[-1].loss < 0.0004 else 0), [
        ("2", 2), ("4", 4), ("2.5", 2.5), ("25", lowest.diverged_at), ("0.25", 2.5 / 10), ("0.00037", good.trace[-1].loss),
        ("0.00037", best_line(0.02)[2]), ("0.79", limit),
    ]  # fmt: skip


def momentum(lesson):
    plain, rolling = racers(lesson)
    xs = [run.weights["x"].tolist() for run in (plain, rolling)]
    later = walk(lesson.state, steps=5000)
    assert later.trace[-1].loss > rolling.trace[-1].loss
    assert {walk(lesson.state, lr=0.01, optimizer=name).ended for name in ("sgd", "momentum")} == {"diverged"}
    start = np.array([-1.2, 1.0])
    covered = [np.linalg.norm(np.array(x) - start) / np.linalg.norm(1 - start) for x in xs]
    right = 0 if covered[0] == pytest.approx(covered[1], abs=0.1) else 1 if covered[1] > 0.9 and xs[0][0] < -0.1 else 2
    return right, [
        ("0.001", 0.001), ("500", 500), ("0.9", 0.9), ("1", 1), ("-0.51", xs[0][0]), ("2.3", plain.trace[-1].loss), ("0.96", xs[1][0]),
        ("0.0018", rolling.trace[-1].loss), ("10", 1 / (1 - 0.9)), ("5,000", 5000), ("0.0038", later.trace[-1].loss), ("0.5", 0.5),
        ("0.99", 0.99), ("0.01", 0.01),
    ]  # fmt: skip


def network(lesson):
    (run,) = racers(lesson)
    problem = load(lesson.state)
    plane = sf.landscape(problem, [run], resolution=5, progress=False)
    strengths = np.linalg.svd(centred(run.path.weights.double().numpy()), compute_uv=False) ** 2
    assert strengths[:2].sum() / strengths.sum() == pytest.approx(plane.explained, abs=0.002)
    faster = walk(lesson.state, lr=0.5)
    second = sf.landscape(problem, [faster], resolution=5, progress=False)
    gap = np.abs(np.asarray(plane.paths[0].loss) - np.asarray(plane.paths[0].under)).max()
    assert faster.trace["loss"][-20:].mean() < run.trace["loss"][-20:].mean()
    held = 100 * plane.explained
    right = 2 if held > 95 else 0 if held < 1 else 1
    return right, [
        ("26,122", sum(w.numel() for w in run.weights.values())), ("1", 1), ("95", 95), ("99.5", held), ("76", 100 * plane.by_chance),
        ("80", 80), ("0.03", gap), ("2.3", run.trace["loss"][0]), ("0.4", run.trace["loss"][-20:].mean()), ("0.5", 0.5),
        ("93", 100 * second.explained),
    ]  # fmt: skip


CLAIMS = {
    "loss": loss,
    "guessing": guessing,
    "too-small": too_small,
    "overshoot": overshoot,
    "divergence": divergence,
    "two-knobs": two_knobs,
    "two-valleys": two_valleys,
    "mountain-pass": mountain_pass,
    "noise": noise,
    "decay": decay,
    "range-test": range_test,
    "momentum": momentum,
    "network": network,
}


def agrees(shown, value):
    """Whether the number as written is the measured one, rounded to the digits it is written with; whole numbers exactly."""
    digits = shown.replace(",", "")
    if isinstance(value, int):
        return float(digits) == value
    whole = len(digits.lstrip("-")) - len(digits.lstrip("-").rstrip("0"))
    unit = 10.0 ** -len(digits.partition(".")[2]) if "." in digits else 10.0 ** (whole if float(digits) else 0)
    return abs(float(digits) - value) <= unit / 2 * (1 + 1e-6)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_every_number_is_measured_and_the_right_answer_is_the_outcome(lesson):
    right, figures = CLAIMS[lesson.id](lesson)
    assert lesson.answer == right
    text = " ".join([lesson.task, lesson.question, *lesson.choices, lesson.explain, lesson.wonder])
    assert set(NUMBER.findall(text)) == {shown for shown, _ in figures}
    assert not [(shown, value) for shown, value in figures if not agrees(shown, value)]


def test_the_check_of_a_number_can_fail():
    assert agrees("0.033", 0.03327)
    assert not agrees("0.034", 0.03327)
    assert agrees("12,700", 12718.0)
    assert not agrees("12,800", 12718.0)
    assert not agrees("97", 98)
    assert agrees("-0.78", -0.7751)


def test_noise_and_decay_are_no_matter_of_luck():
    """Over other seeds too: one point per step ends above ten, ten near all of them; a falling rate ends below a constant one."""

    def mean_excess(**settings):
        found = []
        for seed in range(10):
            problem = sf.problems.load("line", noise=0.1, seed=seed)
            run = sf.descend(problem, lr=0.3, steps=200, seed=seed, **settings)
            x, y = (part.double().numpy() for part in problem.data)
            w, b = run.weights["w"].item(), run.weights["b"].item()
            found.append(np.mean((w * x + b - y) ** 2) / problem.answer.loss - 1)
        return np.mean(found)

    one, ten, everything = mean_excess(batch_size=1), mean_excess(batch_size=10), mean_excess(batch_size="full")
    assert one > 4 * ten > 4 * 10 * everything
    assert mean_excess(batch_size=1, schedule="cosine") < one / 10
    assert mean_excess(batch_size=1, schedule="linear") < one / 5
