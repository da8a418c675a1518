"""What `train` survives, and what it costs to trust it.  forced and found rates -> how the trainings end -> docs/benchmarks.md.

python benchmarks/train.py [--all]: (a) trainings forced to begin at 100 times the stable rate, against the best of eight constant rates; (b) trainings
at the rate that `find_lr` chose, against the plain descent at that constant rate, on the held-out cases of benchmarks/regret (twelve quick ones, or all).
"""

from __future__ import annotations

import copy
import math
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent / "regret"))

import cases

import surefoot as sf
from surefoot.descent.batches import validation_source
from surefoot.descent.validate import evaluating, mean_loss
from surefoot.training.train import train

torch.set_num_threads(1)
warnings.filterwarnings("ignore")
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
OPTIMIZERS = ("sgd", "momentum", "adamw")
FORCED = 100.0  # times the stable rate
RATES = 8  # of the grid of constant rates, a factor of 3 apart, from the stable one downwards
BISECTIONS = 5  # of the factor of 10 between the last rate that held and the first that did not: to a factor of 1.07
MOST = 1500  # samples that a training loss is measured on
FLOOR = 1e-6  # of the loss at the start: below it float32 and luck decide
Lines = Iterator[str]


def small_text() -> sf.Problem:
    problem = sf.problems.load("text", context=16, width=32, layers=1)
    return problem.with_(
        data=tuple(part[:4000] for part in problem.data), validation=tuple(part[:300] for part in problem.validation)
    )


def few_patches() -> sf.Problem:
    problem = sf.problems.load("photo-patches")
    return problem.with_(
        data=tuple(part[:3000] for part in problem.data), validation=tuple(part[:300] for part in problem.validation)
    )


def few_images() -> sf.Problem:
    return sf.problems.load("digits-cnn")


PROBLEMS: dict[str, tuple[Callable[[], sf.Problem], int]] = {
    "line": (lambda: sf.problems.load("line"), 400),
    "bowl": (lambda: sf.problems.load("bowl"), 400),
    "digits-linear": (lambda: sf.problems.load("digits-linear"), 300),
    "digits-mlp": (lambda: sf.problems.load("digits-mlp"), 200),
    "digits-cnn": (few_images, 100),
    "text": (small_text, 100),
    "photo-patches": (few_patches, 150),
}


def training_loss(problem: sf.Problem, weights: Any) -> float:
    """The mean loss over the training data (at most 1,500 samples), in evaluation mode."""
    data = problem.data
    if isinstance(data, tuple) and len(data) == 2 and hasattr(data[0], "shape"):
        data = (data[0][:MOST], data[1][:MOST])
    model = copy.deepcopy(problem.model)
    model.load_state_dict(dict(weights))
    with evaluating(model), torch.no_grad():
        if data is None or not hasattr(data, "__len__"):
            return math.nan
        loss = mean_loss(problem, model, validation_source(data, torch.device("cpu"), torch.float32))
    return loss if math.isfinite(loss) else math.inf


def end_of(problem: sf.Problem, run: sf.Run) -> float:
    """The full training loss at the end of a run, infinite where it diverged."""
    if run.ended == "diverged":
        return math.inf
    loss = training_loss(problem, run.weights)
    return loss


def constant(problem: sf.Problem, optimizer: str, lr: float, steps: int) -> float:
    return end_of(problem, sf.descend(problem, lr=lr, optimizer=optimizer, steps=steps, validate_every=steps))


def stable_rate(at: Callable[[float], float], start: float) -> float:
    """The largest rate, to 7 %, at which a whole descent ends below where it began; every rate below it is taken to hold too."""
    low = 1e-3
    while not at(low) < start:
        low /= 10
    while at(low * 10) < start:
        low *= 10
    high = 10 * low
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if at(middle) < start else (low, middle)
    return low


def forced() -> Lines:
    yield "| problem | optimizer | stable rate | best constant rate: loss | train from 100 x stable: loss | ratio | tries | rate at the end | extra gradients |"
    yield "|---|---|---|---|---|---|---|---|---|"
    held = count = 0
    for name, (build, steps) in PROBLEMS.items():
        problem = build()
        start = training_loss(problem, problem.model.state_dict())
        for optimizer in OPTIMIZERS:
            known: dict[float, float] = {}

            def at(
                lr: float,
                optimizer: str = optimizer,
                known: dict[float, float] = known,
                steps: int = steps,
                problem: sf.Problem = problem,
            ) -> float:
                if lr not in known:
                    known[lr] = constant(problem, optimizer, lr, steps)
                return known[lr]

            stable = stable_rate(at, start)
            for index in range(RATES):
                at(stable / 3**index)
            best = min(known, key=lambda lr: known[lr])
            run = train(problem, steps=steps, optimizer=optimizer, lr=FORCED * stable, validate_every=steps)
            loss = end_of(problem, run)
            ratio = max(loss, FLOOR * start) / max(known[best], FLOOR * start)
            count, held = count + 1, held + (ratio <= 2)
            found = run.config["found"]
            yield (
                f"| {name} | {optimizer} | {stable:.3g} | {best:.3g}: {known[best]:.3g} | {loss:.3g} | {ratio:.2f} | {int(run.trace['attempt'].max()) + 1} "
                f"| {run.config['lr']:.3g} | {len(run.trace) - steps + (found['gradients'] if found else 0)} |"
            )
    yield ""
    yield f"{held} of {count} end within twice the loss of the best constant rate (asked: all)."


def main() -> None:
    for line in forced():
        print(line, flush=True)


if __name__ == "__main__":
    main()
