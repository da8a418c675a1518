"""A TensorFlow model is a problem like any other: Variables, a GradientTape, sparse gradients and unconnected weights."""

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import surefoot as sf  # noqa: E402

from . import planted  # noqa: E402

EXAMPLE = Path(__file__).parents[3] / "examples" / "tensorflow_gradient_tape.py"
VARIABLES = {
    "hidden": {name: tf.Variable(value) for name, value in planted.weights()["hidden"].items()},
    "out": [tf.Variable(value) for value in planted.weights()["out"]],
}


@tf.function(reduce_retracing=True)
def loss_of(x, y):
    hidden, (v, c) = VARIABLES["hidden"], VARIABLES["out"]
    logits = tf.matmul(tf.tanh(tf.matmul(x, hidden["weight"]) + hidden["bias"]) * hidden["alpha"], v) + c
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))


def put(weights):
    tf.nest.map_structure(lambda variable, value: variable.assign(value), VARIABLES, weights)


def value_and_gradient(weights, batch):
    put(weights)
    with tf.GradientTape() as tape:
        loss = loss_of(*map(tf.constant, batch))
    return loss, tape.gradient(loss, VARIABLES)


def value(weights, batch):
    put(weights)
    return loss_of(*map(tf.constant, batch))


def problem(**settings):
    train, held_out = planted.data()
    settings = {"data": train, "validation": held_out, "batch_size": 32, "value": value, **settings}
    return sf.Problem.of_gradient(value_and_gradient, planted.weights(), **settings)


def test_variables_are_a_start():
    train, _ = planted.data()
    put(planted.weights())
    made = sf.Problem.of_gradient(value_and_gradient, VARIABLES, data=train, batch_size=32)
    run, other = (sf.descend(each, lr=0.1, steps=10) for each in (made, problem(validation=None)))
    assert run.trace == other.trace


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_it_walks_as_the_twin_in_torch(optimizer):
    planted.assert_same_walk(problem(), optimizer=optimizer)


def test_every_question_is_answered_as_for_the_twin():
    planted.assert_same_answers(problem())


def test_rows_of_a_table_and_a_weight_that_is_not_connected():
    table, beside = tf.Variable(np.ones((4, 2), np.float32)), tf.Variable(np.ones(3, np.float32))

    def looked_up(weights):
        table.assign(weights["table"])
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table, [1, 1, 3]) ** 2)
        return loss, tape.gradient(loss, {"table": table, "beside": beside})

    kinds = looked_up({"table": table.numpy()})[1]
    assert isinstance(kinds["table"], tf.IndexedSlices)
    assert kinds["beside"] is None
    made = sf.Problem.of_gradient(looked_up, {"table": table, "beside": beside})
    with pytest.warns(UserWarning, match="No gradient reaches beside"):
        run = sf.descend(made, lr=0.125, steps=1)
    assert run.weights["table"].tolist() == [[1, 1], [0.5, 0.5], [1, 1], [0.75, 0.75]]  # row 1 was looked up twice


def test_bfloat16():
    variable = tf.Variable(tf.constant([1.0, 2.0], tf.bfloat16))

    def squares(weights):
        variable.assign(weights)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(variable**2)
        return loss, tape.gradient(loss, variable)

    run = sf.descend(sf.Problem.of_gradient(squares, variable), lr=0.25, steps=3)
    assert run.weights["x"].tolist() == [0.125, 0.25]


def test_the_example_runs():
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "learning rate" in done.stdout
