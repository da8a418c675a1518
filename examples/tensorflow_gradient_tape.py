"""A TensorFlow model with Variables and a GradientTape.  its loss and gradients -> a learning rate, a descent, the weights put back."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

import surefoot as sf

tf.random.set_seed(0)
WEIGHTS = {
    "kernel": tf.Variable(tf.random.normal((8, 32)) / 3),
    "bias": tf.Variable(tf.zeros(32)),
    "out": tf.Variable(tf.random.normal((32, 3)) / 6),
}


@tf.function(reduce_retracing=True)
def loss_of(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """The mean cross-entropy under the Variables as they are."""
    logits = tf.nn.relu(x @ WEIGHTS["kernel"] + WEIGHTS["bias"]) @ WEIGHTS["out"]
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))


def put(weights: dict[str, np.ndarray]) -> None:
    """The weights into the Variables."""
    for name, variable in WEIGHTS.items():
        variable.assign(weights[name])


def value_and_gradient(
    weights: dict[str, np.ndarray], batch: tuple[np.ndarray, np.ndarray]
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """What surefoot asks for: the loss at these weights, and its gradients."""
    put(weights)
    with tf.GradientTape() as tape:
        loss = loss_of(*map(tf.constant, batch))
    return loss, tape.gradient(loss, WEIGHTS)


def main() -> None:
    """Find, descend, and leave the Variables where the descent ended."""
    drawn = np.random.default_rng(0)
    x = drawn.standard_normal((800, 8)).astype(np.float32)
    y = (x @ drawn.standard_normal((8, 3)) + 0.3 * drawn.standard_normal((800, 3))).argmax(1)
    problem = sf.Problem.of_gradient(
        value_and_gradient,
        WEIGHTS,
        data=(x[:600], y[:600]),
        validation=(x[600:], y[600:]),
        batch_size=64,
        name="a TensorFlow network",
    )
    found = sf.find_lr(problem, optimizer="adamw", steps=300)
    print(found)
    run = sf.descend(problem, lr=found.lr, optimizer="adamw", steps=300)
    print(f"\nvalidation loss {run.trace['validation_loss'][-1]:.4f} after {len(run.trace)} steps")
    print(sf.diagnose(run, problem))
    put({name: value.numpy() for name, value in run.weights.items()})
    print(f"in TensorFlow, with these weights: {float(loss_of(tf.constant(x[600:]), tf.constant(y[600:]))):.4f}")


if __name__ == "__main__":
    main()
