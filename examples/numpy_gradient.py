"""A model of nothing but NumPy, its gradient by hand.  functions of arrays -> a learning rate, a descent, what is to be said of it."""

from __future__ import annotations

import numpy as np

import surefoot as sf


def data(count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Points on two half moons, and which."""
    drawn = np.random.default_rng(0)
    angle, which = drawn.uniform(0, np.pi, count), drawn.integers(0, 2, count)
    points = np.stack([np.cos(angle) + which, (1 - 2 * which) * np.sin(angle) + which / 2], 1)
    return (points + 0.1 * drawn.standard_normal((count, 2))).astype(np.float32), which


def start() -> dict[str, np.ndarray]:
    """The weights of a network with one hidden layer."""
    drawn = np.random.default_rng(1)
    return {
        "w": drawn.standard_normal((2, 32)).astype(np.float32),
        "b": np.zeros(32, np.float32),
        "v": (drawn.standard_normal(32) / 6).astype(np.float32),
    }


def value_and_gradient(weights: dict[str, np.ndarray], batch: tuple[np.ndarray, np.ndarray]) -> tuple[float, dict[str, np.ndarray]]:
    """The mean cross-entropy, and its derivative with respect to each weight."""
    points, which = batch
    hidden = np.tanh(points @ weights["w"] + weights["b"])
    logit = hidden @ weights["v"]
    loss = np.logaddexp(0, logit).mean() - (logit * which).mean()
    error = (1 / (1 + np.exp(-logit)) - which) / len(which)
    inner = error[:, None] * weights["v"] * (1 - hidden**2)
    return loss, {"w": points.T @ inner, "b": inner.sum(0), "v": hidden.T @ error}


def main() -> None:
    """Find, descend, explain."""
    points, which = data()
    problem = sf.Problem.of_gradient(
        value_and_gradient, start(), data=(points[:400], which[:400]), validation=(points[400:], which[400:]), batch_size=32, name="moons"
    )  # fmt: skip
    found = sf.find_lr(problem, optimizer="adamw", steps=400)
    print(found)
    run = sf.descend(problem, lr=found.lr, optimizer="adamw", steps=400)
    print(f"\nvalidation loss {run.trace['validation_loss'][-1]:.4f} after {len(run.trace)} steps")
    print(sf.diagnose(run, problem))
    hidden = np.tanh(points[400:] @ run.weights["w"].numpy() + run.weights["b"].numpy())
    right = (hidden @ run.weights["v"].numpy() > 0) == which[400:]
    print(f"{right.mean():.1%} of the held-out points are told apart")


if __name__ == "__main__":
    main()
