"""Gradients written by hand in NumPy are a problem like any other: the twin in torch, closed forms, and what is refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf
from surefoot.errors import ProblemError

from . import planted

EXAMPLE = Path(__file__).parents[3] / "examples" / "numpy_gradient.py"


def loss_of(weights, batch):
    x, y = batch
    hidden, (v, c) = weights["hidden"], weights["out"]
    logits = np.tanh(x @ hidden["weight"] + hidden["bias"]) * hidden["alpha"] @ v + c
    logits = logits - logits.max(1, keepdims=True)
    return -(logits - np.log(np.exp(logits).sum(1, keepdims=True)))[np.arange(len(y)), y].mean()


def value_and_gradient(weights, batch):
    x, y = batch
    hidden, (v, c) = weights["hidden"], weights["out"]
    tanh = np.tanh(x @ hidden["weight"] + hidden["bias"])
    logits = tanh * hidden["alpha"] @ v + c
    logits = logits - logits.max(1, keepdims=True)
    loss = -(logits - np.log(np.exp(logits).sum(1, keepdims=True)))[np.arange(len(y)), y].mean()
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    share[np.arange(len(y)), y] -= 1
    share /= len(y)
    back = share @ v.T
    inner = back * hidden["alpha"] * (1 - tanh**2)
    # another order of keys than the weights have, as JAX returns them: bias and alpha have one shape
    return loss, {
        "out": [(tanh * hidden["alpha"]).T @ share, share.sum(0)],
        "hidden": {"alpha": (back * tanh).sum(0), "bias": inner.sum(0), "weight": x.T @ inner},
    }


def problem(kind=np.float32, function=value_and_gradient, **settings):
    train, held_out = planted.data()
    settings = {"data": train, "validation": held_out, "batch_size": 32, **settings}
    return sf.Problem.of_gradient(function, planted.weights(kind), **settings)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_it_walks_as_the_twin_in_torch(optimizer):
    planted.assert_same_walk(problem(), optimizer=optimizer)


def test_in_float64_to_ten_digits():
    planted.assert_same_walk(problem(np.float64), planted.twin(np.float64), rel=1e-10)


def test_every_question_is_answered_as_for_the_twin():
    planted.assert_same_answers(problem(value=loss_of))


@pytest.mark.parametrize("form", ["loader", "list", "mappings"])
def test_batches_come_in_the_structure_they_have(form):
    (x, y), _ = planted.data()
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    seen = []

    def mapped(weights, batch):
        seen.append(batch)
        return value_and_gradient(weights, (batch["x"], batch["y"]) if form == "mappings" else batch)

    data = {
        "loader": lambda: DataLoader(
            TensorDataset(*tensors), batch_size=50, shuffle=True, generator=torch.Generator().manual_seed(3)
        ),
        "list": lambda: [(x[k : k + 50], y[k : k + 50]) for k in range(0, 200, 50)],
        "mappings": lambda: [{"x": x[k : k + 50], "y": y[k : k + 50]} for k in range(0, 200, 50)],
    }[form]
    made = problem(function=mapped, data=data(), batch_size=None, validation=None)
    run = sf.descend(made, lr=0.1, steps=8)
    other = sf.Problem(
        planted.Twin(), data(), objective=lambda model, batch: torch.nn.functional.cross_entropy(
            model(batch["x"] if form == "mappings" else batch[0]), batch["y"] if form == "mappings" else batch[1]
        )
    )  # fmt: skip
    np.testing.assert_allclose(run.trace["loss"], sf.descend(other, lr=0.1, steps=8).trace["loss"], rtol=1e-4)
    parts = list(seen[0].values()) if form == "mappings" else list(seen[0])
    assert all(type(part) is np.ndarray for part in parts)
    assert (parts[0].dtype, parts[1].dtype, len(parts[0])) == (np.float32, np.int64, 50)


def test_validation_asks_for_the_loss_alone_where_it_can():
    calls = {"both": 0, "loss": 0}

    def both(*given):
        calls["both"] += 1
        return value_and_gradient(*given)

    def alone(*given):
        calls["loss"] += 1
        return loss_of(*given)

    with_value = sf.descend(problem(function=both, value=alone), lr=0.1, steps=20)
    assert calls == {"both": 20, "loss": 20}
    assert with_value.trace["validation_loss"] == pytest.approx(sf.descend(problem(), lr=0.1, steps=20).trace["validation_loss"])


def test_the_curvature_is_that_of_the_closed_form():
    a = np.diag([1.0, 4.0, 100.0]) + 0.5
    for kind, rel in ((np.float64, 1e-7), (np.float32, 1e-3)):
        bowl = sf.Problem.of_gradient(
            lambda x, a=a, k=kind: (x @ a.astype(k) @ x / 2, a.astype(k) @ x), np.array([1.0, -2.0, 3.0], kind)
        )
        found = sf.spectrum(bowl)
        ends = np.linalg.eigvalsh(a)
        assert found.largest == pytest.approx(ends[-1], rel=rel)
        assert found.smallest == pytest.approx(ends[0], abs=rel * ends[-1])
    run = sf.descend(bowl, lr=2.1 / ends[-1], steps=60)
    assert sf.diagnose(run, bowl).verdict in ("too-large", "diverging", "overflow")


def test_rounding_to_float32_is_not_taken_for_a_wrong_gradient():
    """The weights in float64, the answers in float32, as JAX gives them by default."""

    def narrow(weights, batch):
        loss, gradients = value_and_gradient(
            {
                "hidden": {k: v.astype(np.float32) for k, v in weights["hidden"].items()},
                "out": [v.astype(np.float32) for v in weights["out"]],
            },
            (batch[0].astype(np.float32), batch[1]),
        )
        return np.float32(loss), gradients

    made = problem(np.float64, narrow)
    run = sf.descend(made, lr=0.05, steps=80)
    verdict = sf.diagnose(run, made).verdict
    assert verdict == sf.diagnose(sf.descend(planted.twin(), lr=0.05, steps=80), planted.twin()).verdict
    wrong = problem(np.float64, lambda *given: (lambda loss, g: (loss, {**g, "out": [-g["out"][0], g["out"][1]]}))(*narrow(*given)))
    assert sf.diagnose(sf.descend(wrong, lr=0.05, steps=80), wrong).verdict == "broken"


def test_bfloat16_weights_are_handed_out_as_they_are():
    kinds = pytest.importorskip("ml_dtypes")
    seen = []

    def squares(weights):
        seen.append(weights["w"].dtype)
        return (weights["w"].astype(np.float32) ** 2).sum(), {"w": 2 * weights["w"]}

    made = sf.Problem.of_gradient(squares, {"w": np.array([1.0, 2.0], kinds.bfloat16)})
    run = sf.descend(made, lr=0.25, steps=3)
    assert run.weights["w"].dtype == torch.bfloat16
    assert run.weights["w"].tolist() == [0.125, 0.25]
    assert set(seen) == {np.dtype(kinds.bfloat16)}


def test_names_that_a_module_has_already():
    start = {"type": np.ones(2), "a.b": np.ones(1), "a_b": np.ones(3), "training": np.array(2.0), "x": {"w": (np.ones(1), None)}}

    def squares(w):
        parts = [w["type"], w["a.b"], w["a_b"], w["training"], w["x"]["w"][0]]
        assert w["x"]["w"][1] is None
        return sum(float((p**2).sum()) for p in parts), {
            "type": 2 * w["type"], "a.b": 2 * w["a.b"], "a_b": 2 * w["a_b"], "training": 2 * w["training"], "x": {"w": (2 * w["x"]["w"][0], None)}
        }  # fmt: skip

    run = sf.descend(sf.Problem.of_gradient(squares, start), lr=0.25, steps=1)
    assert {name: value.reshape(-1)[0].item() for name, value in run.weights.items()} == {
        "type_": 0.5, "a_b": 0.5, "a_b_": 0.5, "training_": 1.0, "x/w/0": 0.5,
    }  # fmt: skip


def test_a_branch_without_gradient_stays():
    start = {"moved": np.ones(2), "kept": {"a": np.ones(1), "b": np.ones(1)}}
    made = sf.Problem.of_gradient(lambda w: ((w["moved"] ** 2).sum(), {"moved": 2 * w["moved"], "kept": None}), start)
    with pytest.warns(UserWarning, match="No gradient reaches kept/a, kept/b"):
        run = sf.descend(made, lr=0.5, steps=1)
    assert run.weights["moved"].tolist() == [0.0, 0.0]
    assert run.weights["kept/a"].item() == 1.0


def test_the_functions_arguments_are_copies():
    def careless(x):
        gradient = 2 * x
        x += 100
        return ((x - 100) ** 2).sum(), gradient

    start = np.array([3.0, 4.0])
    run = sf.descend(sf.Problem.of_gradient(careless, start), lr=0.25, steps=1)
    assert run.weights["x"].tolist() == [1.5, 2.0]
    assert start.tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda w: (1.0, {"a": np.ones(2)}), "no 'b' in one with 'a'"),
        (lambda w: (1.0, [np.ones(2), np.ones(1)]), "no 'a' in a list"),
        (lambda w: (1.0, {"a": np.ones(3), "b": np.ones(1)}), r"gradient of shape \(3,\) for weights of shape \(2,\)"),
        (lambda w: (1.0, {"a": "steep", "b": np.ones(1)}), "the gradient of a must be numbers"),
        (lambda w: 1.0, r"must return \(loss, gradients\), got a float"),
        (lambda w: ("low", {"a": np.ones(2), "b": np.ones(1)}), "the loss must be numbers"),
        (lambda w: (np.ones(4), {"a": np.ones(2), "b": np.ones(1)}), "The loss must be a scalar"),
    ],
)
def test_an_answer_of_another_structure_is_refused(function, said):
    with pytest.raises(ProblemError, match=said):
        sf.descend(sf.Problem.of_gradient(function, {"a": np.ones(2), "b": np.ones(1)}), lr=0.1, steps=1)


def test_misuse():
    def f(w):
        return 0.0, w

    with pytest.raises(ProblemError, match="need data="):
        sf.Problem.of_gradient(f, np.ones(2), validation=planted.data()[0])
    with pytest.raises(ProblemError, match="a must be numbers, got a str"):
        sf.Problem.of_gradient(f, {"a": "heavy"})
    with pytest.raises(ProblemError, match="start holds no weights"):
        sf.Problem.of_gradient(f, {})
    with pytest.raises(ProblemError, match="one-shot generator"):
        sf.Problem.of_gradient(f, np.ones(2), data=(x for x in [1]))


def test_the_example_runs():
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "learning rate" in done.stdout
