"""Oracle: closed forms of gradient descent on a quadratic and of the line's least squares."""

import numpy as np
import pytest
import torch

from surefoot import Problem, SettingError, descend, problems

CURVATURE = 4.0
LIMITS = {"sgd": 2 / CURVATURE, "momentum": (2 + 2 * 0.9) / CURVATURE, "nesterov": (2 + 2 * 0.9) / ((1 + 2 * 0.9) * CURVATURE)}


def bowl(start=(1.0, -2.0)):
    return problems.load("bowl", curvatures=(CURVATURE, 1.0)) if start is None else _bowl(start)


def _bowl(start):
    curvatures = torch.tensor([CURVATURE, 1.0], dtype=torch.float64)
    return Problem.of(lambda x: (curvatures * x**2).sum() / 2, torch.tensor(start, dtype=torch.float64))


@pytest.mark.parametrize("lr", [0.01, 0.25, 0.49, 0.5])
def test_gradient_descent_on_a_bowl(lr):
    """x_t = (1 - lr c)^t x_0 along each axis; the loss, the gradient and the update follow."""
    run = descend(bowl(), lr=lr, steps=40)
    t = np.arange(40)[:, None]
    x = (1 - lr * np.array([CURVATURE, 1.0])) ** t * np.array([1.0, -2.0])
    gradient = np.array([CURVATURE, 1.0]) * x
    assert run.trace["loss"] == pytest.approx((x * gradient).sum(1) / 2, rel=1e-9)
    assert run.trace["grad_norm"] == pytest.approx(np.linalg.norm(gradient, axis=1), rel=1e-9)
    assert run.trace["update_norm"] == pytest.approx(lr * np.linalg.norm(gradient, axis=1), rel=1e-9, abs=1e-15)
    assert run.trace["weight_norm"] == pytest.approx(np.linalg.norm(x, axis=1), rel=1e-9)
    assert np.asarray(run.path)[:40] == pytest.approx(x, rel=1e-9, abs=1e-15)
    assert len(run.path) == 41


@pytest.mark.parametrize("optimizer", LIMITS)
def test_stability_limits(optimizer):
    """Below the limit the steep axis shrinks, above it grows (science: 2/L, (2+2b)/L, (2+2b)/((1+2b)L))."""
    limit = LIMITS[optimizer]
    below = descend(_bowl([1.0, 0.0]), lr=0.97 * limit, optimizer=optimizer, steps=600)
    above = descend(_bowl([1.0, 0.0]), lr=1.03 * limit, optimizer=optimizer, steps=600)
    assert below.trace["loss"][-1] < 1e-3 < 1e3 < above.trace["loss"][-1]


def test_exactly_at_the_limit_plain_descent_jumps_forever():
    run = descend(_bowl([1.0, 0.0]), lr=2 / CURVATURE, steps=101)
    assert set(run.trace["loss"]) == {CURVATURE / 2}
    assert np.asarray(run.path)[:, 0].tolist() == [1.0, -1.0] * 51


def test_line_reaches_least_squares():
    line = problems.load("line")
    x, y = (part.double().numpy().reshape(-1) for part in line.data)
    best = np.polyfit(x, y, 1)
    run = descend(line, lr=0.7, steps=3000)
    assert [run.weights["w"].item(), run.weights["b"].item()] == pytest.approx(best, abs=1e-5)


def test_line_in_the_first_table_of_the_mission():
    """Start w=0, b=-1, 200 steps, float32: what each rate does, against the closed-form growth |1 - lr L| of a plain loop."""
    line = problems.load("line")
    limit = line.answer.stability_limit
    assert limit == pytest.approx(0.79, abs=0.01)
    ended = {lr: descend(line, lr=lr, steps=200).ended for lr in (1e-6, 0.05, 0.7, 0.9, 1.0, 10.0)}
    assert ended == {1e-6: "steps", 0.05: "steps", 0.7: "steps", 0.9: "diverged", 1.0: "diverged", 10.0: "diverged"}
    tiny = descend(line, lr=1e-6, steps=200)
    assert abs(tiny.weights["w"].item()) < 1e-3


def test_plain_loop_beyond_the_limit_in_float32():
    """The same without stopping at the first infinite loss: 0.9 drives w beyond 10^20, 10 to NaN."""
    line = problems.load("line")
    x, y = line.data

    def end(lr):
        w, b = torch.tensor(0.0, requires_grad=True), torch.tensor(-1.0, requires_grad=True)
        for _ in range(200):
            gradients = torch.autograd.grad(((w * x + b - y) ** 2).mean(), (w, b))
            with torch.no_grad():
                w -= lr * gradients[0]
                b -= lr * gradients[1]
        return w.item()

    growth = abs(1 - 0.9 * line.answer.curvature) ** 200
    assert 0.1 * growth < abs(end(0.9)) < 10 * growth
    assert np.isnan(end(10.0))


def test_continue_with_a_smaller_rate_gets_closer():
    line = problems.load("line")
    first = descend(line, lr=0.5, steps=50)
    second = descend(line, lr=0.05, steps=200, start=first)
    assert second.trace["loss"][-1] < first.trace["loss"][-1]
    assert second.trace["step"].tolist() == list(range(250))
    assert second.trace[:50] == first.trace


def test_random_guessing_never_gets_worse_and_descent_beats_it():
    line = problems.load("line")
    guessed = descend(line, lr=1.0, optimizer="random", steps=200)
    assert (np.diff(guessed.trace["loss"]) <= 0).all()
    assert descend(line, lr=0.5, steps=200).trace["loss"][-1] < guessed.trace["loss"][-1]


def test_lbfgs_solves_a_quadratic_through_its_closure():
    run = descend(_bowl([1.0, -2.0]), lr=1.0, optimizer=torch.optim.LBFGS, steps=5)
    assert run.trace["loss"][-1] < 1e-12


def test_a_diverging_run_tells_where():
    run = descend(_bowl([1.0, 1.0]), lr=1e200, steps=50)
    assert run.ended == "diverged"
    assert run.diverged_at == run.trace["step"][-1]
    assert np.isfinite(run.last_finite.loss)
    with pytest.raises(SettingError, match=f"diverged at step {run.diverged_at}"):
        descend(_bowl([1.0, 1.0]), lr=0.1, start=run)


def test_of_gradient_equals_autograd():
    def value_and_gradient(x):
        return (np.array([CURVATURE, 1.0]) * x**2).sum() / 2, np.array([CURVATURE, 1.0]) * x

    given = Problem.of_gradient(value_and_gradient, np.array([1.0, -2.0]))
    assert descend(given, lr=0.1, steps=30).trace["loss"] == pytest.approx(
        descend(bowl(), lr=0.1, steps=30).trace["loss"], rel=1e-12
    )


def test_of_gradient_takes_sequences_and_mappings():
    def loss(weights):
        return float((weights["a"] ** 2).sum() + weights["b"] ** 2), {"a": 2 * weights["a"], "b": 2 * weights["b"]}

    run = descend(Problem.of_gradient(loss, {"a": np.ones(3), "b": np.array(2.0)}), lr=0.25, steps=3)
    assert run.weights["a"].tolist() == [0.125] * 3
    assert run.weights["b"].item() == 0.25
    pair = Problem.of_gradient(lambda w: ((w[0] ** 2).sum(), [2 * w[0], None]), [np.ones(2), np.ones(1)])
    with pytest.warns(UserWarning, match="No gradient reaches 1"):
        assert descend(pair, lr=0.5, steps=1).weights["0"].tolist() == [0.0, 0.0]
