"""A JAX model is a problem like any other: ``jax.value_and_grad`` of its loss, its nested weights, its kinds of number."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

jax = pytest.importorskip("jax")
jnp = jax.numpy

import surefoot as sf  # noqa: E402
from surefoot.descent.population import descend_many  # noqa: E402
from surefoot.errors import ProblemError  # noqa: E402

from . import planted  # noqa: E402

EXAMPLE = Path(__file__).parents[3] / "examples" / "jax_model.py"


def loss_of(weights, batch):
    x, y = batch
    hidden, (v, c) = weights["hidden"], weights["out"]
    logits = jnp.tanh(x @ hidden["weight"] + hidden["bias"]) * hidden["alpha"] @ v + c
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()


def problem(kind=np.float32, **settings):
    train, held_out = planted.data()
    start = jax.tree.map(jnp.asarray, planted.weights(kind))
    settings = {"data": train, "validation": held_out, "batch_size": 32, "value": jax.jit(loss_of), **settings}
    return sf.Problem.of_gradient(jax.jit(jax.value_and_grad(loss_of)), start, **settings)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_it_walks_as_the_twin_in_torch(optimizer):
    planted.assert_same_walk(problem(), optimizer=optimizer)


def test_every_question_is_answered_as_for_the_twin():
    planted.assert_same_answers(problem())


def test_float64_weights_answered_in_float32_are_no_wrong_gradient():
    train, _ = planted.data()
    made = sf.Problem.of_gradient(jax.jit(jax.value_and_grad(loss_of)), planted.weights(np.float64), data=train, batch_size=32)
    run = sf.descend(made, lr=0.05, steps=80)
    assert run.weights["hidden/weight"].dtype == torch.float64
    assert sf.diagnose(run, made).verdict == sf.diagnose(sf.descend(planted.twin(), lr=0.05, steps=80), planted.twin()).verdict


def test_bfloat16():
    def squares(weights):
        assert all(part.dtype == jnp.bfloat16 for part in jax.tree.leaves(weights))
        return (weights["a"] ** 2).sum() + (weights["b"][0] ** 2).sum()

    start = {"b": (jnp.ones(2, jnp.bfloat16),), "a": jnp.full(2, 2.0, jnp.bfloat16)}
    run = sf.descend(sf.Problem.of_gradient(jax.value_and_grad(squares), start), lr=0.25, steps=2)
    assert run.weights["a"].tolist() == [0.5, 0.5]
    assert run.weights["b/0"].tolist() == [0.25, 0.25]


def test_no_process_is_forked_beside_its_threads():
    made = descend_many(problem(), lr=[0.01, 0.1], steps=5, engine="processes")
    assert (made.engine, "jax is loaded" in made.note) == ("sequential", True)


def test_auxiliary_output_is_refused():
    def with_aux(weights):
        return (weights**2).sum(), weights

    with pytest.raises(ProblemError, match="the loss a single number"):
        sf.descend(sf.Problem.of_gradient(jax.value_and_grad(with_aux, has_aux=True), jnp.ones(3)), lr=0.1, steps=1)


def test_the_example_runs():
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "learning rate" in done.stdout
