"""A Keras model on whichever backend is set.  a compiled model -> its learning rate, its training watched, what is to be said of it."""

from __future__ import annotations

import importlib.util
import os

if "KERAS_BACKEND" not in os.environ:  # Keras itself would take TensorFlow, whether it is there or not
    os.environ["KERAS_BACKEND"] = next(name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from surefoot.integrations.keras import Watch, find_lr


def data(count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Points on a spiral of three arms, and which arm."""
    drawn = np.random.default_rng(0)
    arm, far = drawn.integers(0, 3, count), drawn.uniform(0.1, 1, count)
    angle = 2 * np.pi * arm / 3 + 4 * far + 0.15 * drawn.standard_normal(count)
    return np.stack([far * np.cos(angle), far * np.sin(angle)], 1).astype("float32"), arm


def model_of(lr: float) -> keras.Model:
    """A network with batch normalisation and dropout."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(48, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(48, activation="relu"),
            layers.Dropout(0.1),
            layers.Dense(3),
        ]
    )
    model.compile(keras.optimizers.Adam(lr), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def main() -> None:
    """Find, fit, explain."""
    x, y = data()
    train, held_out = (x[:480], y[:480]), (x[480:], y[480:])
    found = find_lr(model_of(1e-3), *train, batch_size=60, validation_data=held_out, epochs=12)
    print(f"on {keras.backend.backend()}: {found}")
    seen = Watch()  # norms at every 16th batch
    model = model_of(found.lr)
    model.fit(*train, batch_size=60, epochs=12, validation_data=held_out, verbose=0, callbacks=[seen])
    print(f"\n{seen.trace}")
    print(f"\n{seen.diagnosis}")
    _, right = model.evaluate(*held_out, verbose=0)
    print(f"{right:.1%} of the held-out points are told apart")


if __name__ == "__main__":
    main()
