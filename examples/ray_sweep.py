"""A sweep on a cluster.  rates x seeds of one problem -> the runs, recorded as they arrive, and the rate that did best over all seeds.

Without an address a Ray is started on this machine, a worker per core, and stopped afterwards; ``ray:HOST:PORT`` is a cluster. ::

    python examples/ray_sweep.py                                # 16 rates x 2 seeds
    python examples/ray_sweep.py ray:10.0.0.1:6379 1000 8       # 1,000 rates x 8 seeds there
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import surefoot as sf

STEPS = 60


def main(engine: str = "ray", rates: int = 16, seeds: int = 2) -> None:
    """Every rate with every seed, on whatever workers there are."""
    tried = np.geomspace(1e-3, 10, rates)
    problem = sf.problems.load("digits-mlp")
    file = Path(tempfile.mkdtemp()) / "sweep.sqlite"

    many = sf.descend_many(
        problem, lr=np.repeat(tried, seeds).tolist(), seed=list(range(seeds)) * rates, steps=STEPS, engine=engine, store=file
    )

    print(f"{len(many.runs):,} descents, engine {many.engine}: {many.note}")
    losses = np.array([run.trace["validation_loss"][-1] if run.ended == "steps" else np.inf for run in many.runs]).reshape(
        rates, seeds
    )
    best = int(losses.mean(axis=1).argmin())
    print(
        f"after {STEPS} steps the lowest validation loss over {seeds} seeds: {losses[best].mean():.3f} at a rate of {tried[best]:.3g}"
    )
    print(f"diverged: {sum(run.ended == 'diverged' for run in many.runs)}; recorded: {len(sf.Store(file).runs())} runs")


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:]))
