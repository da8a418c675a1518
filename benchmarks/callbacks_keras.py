"""What does the Keras callback cost?  ``fit`` bare and watched, in turns, on every backend that is there -> docs/benchmarks.md.

python benchmarks/callbacks_keras.py: one process per backend, for Keras takes one of them. Each way has a model of its own, compiled
alike; blocks of one epoch are timed, the order changed from round to round. What is compared is the processor time of the process; the overhead is
the median of the ratios round by round.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BACKENDS = ("torch", "jax", "tensorflow")
SAMPLES, BATCH = 2048, 64
ROUNDS, WARM = 24, 3
WAYS = ("bare", "bare again", "watched")


def main() -> None:
    rows = {}
    for backend in BACKENDS:
        if importlib.util.find_spec(backend) is None:
            print(f"{backend} is not installed here: its row stays", flush=True)
            continue
        environment = {**os.environ, "KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(
            [sys.executable, __file__, "--one", *sys.argv[1:]], env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        rows[backend] = json.loads(done.stdout.splitlines()[-1])["row"]
        print(rows[backend], flush=True)
    before, rest = DOCS.read_text().split("<!-- keras -->", 1)
    within, after = rest.split("<!-- /keras -->", 1)
    old = {line.split("|")[1].strip(): line for line in within.strip().splitlines()[2:]}  # of backends that another environment has
    said = [
        "| backend | network | ms a step | two bare fits differ by | watched | promised |",
        "|---|---|---|---|---|---|",
        *({**old, **rows}[backend] for backend in BACKENDS if backend in {**old, **rows}),
    ]
    DOCS.write_text(before + "<!-- keras -->\n" + "\n".join(said) + "\n<!-- /keras -->" + after)


def one() -> None:
    import keras
    import numpy as np

    from surefoot.integrations.keras import Watch

    rounds = 6 if "--quick" in sys.argv else ROUNDS
    drawn = np.random.default_rng(0)
    x, y = drawn.standard_normal((SAMPLES, 8, 8, 1)).astype("float32"), drawn.integers(0, 10, SAMPLES)
    models: dict[str, tuple[Any, list[Any]]] = {}
    for way in WAYS:
        keras.utils.set_random_seed(0)
        models[way] = (network(keras), [Watch()] if way == "watched" else [])
    took: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(rounds):
        for way in WAYS[turn % len(WAYS) :] + WAYS[: turn % len(WAYS)]:
            model, callbacks = models[way]
            began = time.process_time()
            model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0, callbacks=callbacks)
            took[way].append((time.process_time() - began) / (SAMPLES // BATCH))
    watch = models["watched"][1][0]
    assert watch.watching, watch.note
    weights = models["bare"][0].count_params()
    step = statistics.median(took["bare"][WARM:]) * 1e3
    again, watched = (overhead(took[way][WARM:], took["bare"][WARM:]) for way in WAYS[1:])
    row = f"| {keras.backend.backend()} | convolutions, {weights:,} weights | {step:.2f} | {again} | {watched} | <= 3 % |"
    print(json.dumps({"row": row}))


def network(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def overhead(ours: list[float], bare: list[float]) -> str:
    """In percent: the median round, and the quartiles."""
    ratios = [100 * (one / other - 1) for one, other in zip(ours, bare, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.1f} % ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    one() if "--one" in sys.argv else main()
