"""A JAX model: ``jax.value_and_grad`` is all it takes.  loss + pytree of weights -> a learning rate, a descent, its landscape."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import surefoot as sf


def start() -> dict[str, Any]:
    """The weights, nested as JAX programs have them."""
    first, second = jax.random.split(jax.random.key(0))
    return {
        "hidden": {"kernel": jax.random.normal(first, (4, 32)) / 2, "bias": jnp.zeros(32)},
        "out": {"kernel": jax.random.normal(second, (32, 1)) / 6, "bias": jnp.zeros(1)},
    }


def loss_of(weights: dict[str, Any], batch: tuple[jax.Array, jax.Array]) -> jax.Array:
    """The mean squared error."""
    x, y = batch
    hidden = jax.nn.relu(x @ weights["hidden"]["kernel"] + weights["hidden"]["bias"])
    return jnp.mean((hidden @ weights["out"]["kernel"] + weights["out"]["bias"] - y) ** 2)


def main() -> None:
    """Find, descend, look."""
    drawn = np.random.default_rng(0)
    x = drawn.standard_normal((800, 4)).astype(np.float32)
    y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    problem = sf.Problem.of_gradient(
        jax.jit(jax.value_and_grad(loss_of)),
        start(),
        data=(x[:600], y[:600]),
        validation=(x[600:], y[600:]),
        batch_size=64,
        value=jax.jit(loss_of),  # the loss alone, where no gradient is asked for
        name="a JAX network",
    )
    found = sf.find_lr(problem, optimizer="adamw", steps=300, schedule="cosine")
    print(found)
    run = sf.descend(problem, lr=found.lr, optimizer="adamw", steps=300, schedule="cosine")
    print(f"\nvalidation loss {run.trace['validation_loss'][-1]:.4f}, weights {', '.join(run.weights)}")
    print(sf.diagnose(run, problem))
    surface = sf.landscape(problem, [run], resolution=11)
    print(f"on the plane of the descent the loss goes from {np.nanmin(surface.loss):.3g} to {np.nanmax(surface.loss):.3g}")


if __name__ == "__main__":
    main()
