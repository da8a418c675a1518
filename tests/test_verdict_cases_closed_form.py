"""Are the labels of the benchmark of verdicts true?  cases -> what closed forms, dense Hessians and reruns of this file's own say of them."""

from __future__ import annotations

import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import surefoot as sf
from surefoot.diagnosis.verdicts import HEALTHY, VERDICTS

FOLDER = Path(__file__).parents[1] / "benchmarks" / "verdicts"
MODULES = ("cases", "truth", "planted", "planes", "samples", "held_out", "held_ladders", "held_planes", "held_samples")


# Written down once more, so that the labels do not rest on the functions that the benchmark descends.
M = [[2.0, 0.5, 0.0], [0.5, 1.0, -0.5], [0.0, -0.5, 1.5]]
FUNCTIONS = {
    "pass": lambda w: w[0] ** 2 / 2 + (w[1] ** 2 - 1) ** 2 / 4,
    "hat": lambda w: (w[0] ** 2 + w[1] ** 2 + w[2] ** 2 - 1) ** 2 / 4 + 2 * w[3] ** 2,
    "product": lambda w: (w[0] * w[1] - 1) ** 2 / 2 + (w[2] - 2) ** 2 / 2,
    "ripples": lambda w: 1 + torch.cos(w[0] - w[1]) + (w[0] + w[1] - 2) ** 2 / 2,
    "four wells": lambda w: (w[0] ** 2 - 1) ** 2 + (w[1] ** 2 - 2) ** 2,
    "factors": lambda w: sum(
        (w[2 * i] * w[6 + j] + w[2 * i + 1] * w[9 + j] - M[i][j]) ** 2 / 2 for i in range(3) for j in range(3)
    ),
}


@pytest.fixture(scope="module")
def cases():
    """The benchmark's own modules, gone again afterwards: other benchmarks have files of the same names."""
    before = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    sys.path.insert(0, str(FOLDER))
    try:
        import cases

        yield cases
    finally:
        sys.path.remove(str(FOLDER))
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def of(cases, text):
    found = [case for case in cases.labelled() if text in case.name]
    assert found, text
    return found


def test_names_are_unique_and_labels_are_verdicts(cases):
    labelled = cases.labelled()
    assert len({case.name for case in labelled}) == len(labelled)
    assert {case.label for case in labelled} == set(VERDICTS) - {"unsure"}
    assert all(case.source.startswith("construction: ") or case.source == "reruns" for case in labelled)


def test_there_are_enough_runs_of_every_kind_on_both_sides(cases):
    labelled = cases.labelled()
    for split, least in (("calibration", 320), ("held-out", 150)):
        chosen = [case for case in labelled if case.split == split]
        counts = Counter(case.label for case in chosen)
        assert len(chosen) >= least
        assert len({case.problem for case in chosen}) >= 30
        assert all(counts[label] >= 5 for label in VERDICTS if label != "unsure"), counts
        assert sum(counts[label] for label in HEALTHY) >= 50, counts


def test_no_problem_is_on_both_sides(cases):
    sides = {}
    for case in cases.candidates():
        assert sides.setdefault(case.problem, case.split) == case.split


@pytest.mark.parametrize("kind", ["oscillating", "diverging"])
def test_a_quadratic_around_its_limit_follows_the_closed_form(cases, kind):
    """(1 - lr h)^2t along every direction: h from 1/100 to 1 in ten steps, from u = (1, ..., 1)."""
    h = 100.0 ** (-np.arange(10) / 9)
    chosen = [case for case in of(cases, f"bowl of 10: {kind}") if case.settings.get("optimizer", "sgd") == "sgd"]
    assert len(chosen) >= 2
    for case in chosen:
        lr = case.settings["lr"]
        losses = case.run().trace["loss"]
        expected = [(h * (1 - lr * h) ** (2 * t)).sum() / 2 for t in range(len(losses))]
        assert losses == pytest.approx(expected, rel=0.02)
        assert (lr > 2) == (kind == "diverging")


def test_nesterov_near_its_limit_has_a_root_that_alternates(cases):
    """z^2 - (1 + b)(1 - a) z + b (1 - a) with a = lr h: below the limit, by less than one percent per step."""
    (case,) = of(cases, "bowl of 10: oscillating 1.35579 nesterov")
    a, b = case.settings["lr"], 0.9
    slowest = min(np.roots([1, -(1 + b) * (1 - a), b * (1 - a)]).real)
    assert -1 < slowest < -0.99
    losses = case.run().trace["loss"]
    assert losses[-1] / losses[-11] == pytest.approx(slowest**20, rel=0.01)


def test_walls_hold_the_cycle_they_are_said_to_hold(cases):
    for case in of(cases, "log-cosh: oscillating"):
        end = float(next(iter(case.run().weights.values())).abs()[0])
        assert math.tanh(end) == pytest.approx(2 * end / case.settings["lr"], rel=1e-4)
    for case in of(cases, "hyperbola: oscillating"):
        end = float(next(iter(case.run().weights.values())).abs()[0])
        assert math.sqrt(1 + end**2) == pytest.approx(case.settings["lr"] / 2, rel=1e-4)
    for case in of(cases, "arctan wall: oscillating"):
        end = float(next(iter(case.run().weights.values())).abs()[0])
        assert 2 * end == pytest.approx(case.settings["lr"] * math.atan(end), rel=1e-4)


def test_rickers_map_has_the_period_it_is_said_to_have(cases):
    """y -> y + r (1 - e^y): cycles of two below r = 2.526, of four above."""
    for case in of(cases, "ricker wall: oscillating"):
        lr, y = case.settings["lr"], -1.8
        for _ in range(3000):
            y += lr * (1 - math.exp(y))
        cycle = [y := y + lr * (1 - math.exp(y)) for _ in range(4)]
        values = sorted(math.exp(y) - y - 1 for y in cycle)
        assert sorted(case.run().trace["loss"][-4:]) == pytest.approx(values, rel=1e-2)
        assert (abs(cycle[0] - cycle[2]) < 1e-6) == (lr < 2.526)


def test_zeroed_networks_have_a_direction_down_that_the_gradient_does_not_see(cases):
    for case in of(cases, "zeroed"):
        run, problem = case.run(), case.build()
        problem.model.load_state_dict(dict(run.weights))
        hidden = {name for name, weight in run.weights.items() if name.endswith("weight") and not weight.any()}
        assert hidden  # the layers still wait for each other
        loss = problem.loss_on(problem.model, problem.data)
        weights = [p for p in problem.model.parameters() if p.dim() > 1]
        gradient = torch.autograd.grad(loss, weights, create_graph=True)
        assert max(float(g.detach().abs().max()) for g in gradient) < 1e-6
        v = [torch.randn(w.shape, generator=torch.Generator().manual_seed(0)) for w in weights]
        for _ in range(100):  # the Hessian's eigenvalues are +-s here; shifted by 3, power iteration finds 3 + s
            h = torch.autograd.grad(gradient, weights, grad_outputs=v, retain_graph=True)
            v = [3 * x - y for x, y in zip(v, h, strict=True)]
            norm = math.sqrt(sum(float((x**2).sum()) for x in v))
            v = [x / norm for x in v]
        assert 3 - norm < -0.1


def test_saddles_of_functions_have_a_level_gradient_and_curvatures_of_both_signs(cases):
    for case in [case for name in FUNCTIONS for case in of(cases, f"{name}: saddle")]:
        function, run = FUNCTIONS[case.problem], case.run()
        start = next(iter(run.weights.values())).double()
        gradient = torch.autograd.functional.jacobian(function, start)
        values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(function, start))
        assert gradient.norm() < 1e-3
        assert values[0] < -0.1 < 0.1 < values[-1]


def test_local_minima_are_higher_than_another_place(cases):
    lower = {"tilted double well": [-1.036], "styblinski-tang": [-2.9035, -2.9035], "rastrigin of 5": [0.0] * 5}
    lower |= {"six-hump camel": [0.0898, -0.7126], "egg carton": [0.0] * 3, "three-hump camel": [0.0, 0.0], "levy": [1.0] * 3}
    lower |= {"ackley": [1e-6] * 3, "sine wells": [-0.5123, -0.5123], "mccormick": [-0.5472, -1.5472]}
    for name, place in lower.items():
        for case in of(cases, f"{name}: local-minimum"):
            problem = case.build()
            problem.model.x.data = torch.tensor(place)
            assert problem.loss_on(problem.model, ()).item() < case.run().trace["loss"][-1] - 0.1


def test_catapults_rise_first_and_reach_zero(cases):
    for case in of(cases, "catapult"):
        losses = case.run().trace["loss"]
        assert losses.max() > 2 * losses[0], case.name
        assert losses[-1] < 1e-6 * losses[0], case.name


def test_flats_have_neither_slope_nor_curvature(cases):
    for name, loss in (("shoulder: plateau", None), ("gaussian well: plateau", 1.0), ("sech well: plateau", 1.0),
                       ("easom: plateau", 0.0), ("deep hole: plateau", 2.0), ("high shoulder: plateau", 1 / 56)):  # fmt: skip
        for case in of(cases, name):
            trace = case.run().trace
            assert trace["grad_norm"][-1] < 5e-3
            assert loss is None or trace["loss"][-1] == pytest.approx(loss, abs=3e-5)


def test_broken_problems_do_not_follow_their_own_gradient(cases):
    """To first order the loss changes by gradient . step; where all parameters have a gradient, a bug shows as a ratio far from 1."""
    for case in of(cases, "broken"):
        if "cut" in case.name or any(callable(value) for value in case.settings.values()):
            continue  # detached layers get no gradient at all; an optimizer in the wrong direction is not the problem's
        problem = case.build()
        batch = problem.data[0] if isinstance(problem.data, list) else tuple(part[:50] for part in problem.data)
        loss = problem.loss_on(problem.model, batch)
        gradients = torch.autograd.grad(loss, list(problem.model.parameters()))
        size = 0.01 / float(sum(g.square().sum() for g in gradients)) ** 0.5
        with torch.no_grad():
            for p, g in zip(problem.model.parameters(), gradients, strict=True):
                p -= size * g
            change = float(problem.loss_on(problem.model, batch) - loss)
        ratio = change / (-size * float(sum(g.square().sum() for g in gradients)))
        assert ratio < 0.5, (case.name, ratio)


def test_spiking_runs_have_few_far_spikes_with_recovery_between(cases):
    for case in [case for case in cases.labelled() if case.label == "spiking"]:
        losses = case.run().trace["loss"]
        middle = np.array([np.median(losses[max(0, i - 20) : i + 21]) for i in range(len(losses))])
        hot = np.flatnonzero(losses > 4 * middle)
        starts = [step for step, before in zip(hot[1:], hot[:-1], strict=True) if step - before > 8]
        assert len(starts) >= 3, case.name
        assert len(hot) < 0.06 * len(losses), case.name
        assert np.median(losses[-100:]) < np.median(losses[:20]), case.name


def test_overfitting_runs_have_risen_validation_losses(cases):
    for case in [case for case in cases.labelled() if case.label == "overfitting" and case.source != "reruns"]:
        trace = case.run().trace
        measured = trace["validation_loss"][np.isfinite(trace["validation_loss"])]
        assert measured[-1] > 1.15 * measured.min(), case.name
        assert trace["loss"][-20:].mean() < 0.7 * trace["loss"][:20].mean(), case.name


def test_a_noise_limited_run_sits_where_the_closed_form_puts_its_noise(cases):
    """Per direction, E w^2 = lr s^2 / (h (2 - lr h)) with s^2 the variance of a batch's mean gradient (drawn without replacement)."""
    (case,) = of(cases, "noisy bowl sgd 400 at 0.949")
    assert case.label == "noise-limited"
    h, lr = 10.0 ** (-np.arange(5) / 4), case.settings["lr"]
    s2 = 1.0 / 8  # noise 1, batches of 8
    expected = (lr * s2 / (2 - lr * h)).sum() / 2
    path = np.asarray(case.run().path)[200:]
    assert (h * path**2).sum(1).mean() / 2 == pytest.approx(expected, rel=0.35)


def test_a_label_from_reruns_stands_a_rerun(cases):
    """Too small: ten times the rate leaves less. Descending: it leaves no less than half."""
    small = of(cases, "line sgd 200 at 0.000158")[0]
    assert small.label == "too-small"
    assert small.run(lr=10 * small.settings["lr"]).trace["loss"][-1] < 0.6 * small.run().trace["loss"][-1]
    assert sf.descend(small.build(), lr=1e-9, steps=2).trace["loss"][0] == small.run().trace["loss"][0]
