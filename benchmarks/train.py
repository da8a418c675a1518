"""What `train` survives, and what it costs to trust it.  forced and found rates -> how the trainings end -> docs/benchmarks.md.

python benchmarks/train.py [--all]: (a) trainings forced to begin at 100 times the stable rate, against the best of eight constant rates;
(b) trainings under a constant schedule, against the plain descent at the rate that `find_lr` chose, on the held-out cases of
benchmarks/regret: the quick ones, or all. Both see the same batches, and are one and the same until `train` does something of its own.
"""

from __future__ import annotations

import copy
import math
import os
import sys
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
SEEDS = (0, 1, 2)
SCHEDULES = ("constant", "cosine")
QUICK = (
    "wine momentum constant 300", "checkerboard momentum constant 1000", "counts rmsprop constant 300", "deep linear sgd constant 300",
    "noisy labels momentum constant 400", "swiss roll adamw constant 400", "finetuned roll momentum constant 300",
    "badly scaled classes sgd constant 400", "few samples rmsprop constant 300", "signs adamw constant 500",
    "huge inputs sgd constant 400", "finetuned circles adamw constant 400",
)  # fmt: skip
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
    return training_loss(problem, run.weights)


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
    each = "".join(f" {schedule}: rate at the end, loss | ratio | tries | extra trainings |" for schedule in SCHEDULES)
    yield f"| problem | optimizer | stable rate | best constant rate: loss |{each}"
    yield "|---" * 12 + "|"
    held, count = np.zeros(len(SCHEDULES)), 0
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
            told, good = [], []
            for schedule in SCHEDULES:
                run = train(problem, steps=steps, optimizer=optimizer, schedule=schedule, lr=FORCED * stable, validate_every=steps)
                loss = end_of(problem, run)
                good.append(max(loss, FLOOR * start) / max(known[best], FLOOR * start))
                extra = len(run.trace) - steps + (run.config["found"] or {"gradients": 0})["gradients"]
                told.append(
                    f"{run.config['lr']:.3g}: {loss:.3g} | {good[-1]:.2f} | {int(run.trace['attempt'].max()) + 1} | {extra / steps:.1f}"
                )
            count, held = count + 1, held + (np.array(good) <= 2)
            yield f"| {name} | {optimizer} | {stable:.3g} | {best:.3g}: {known[best]:.3g} | {' | '.join(told)} |"
    yield ""
    ends = " and ".join(f"{int(number)} of {count} under {schedule!r}" for number, schedule in zip(held, SCHEDULES, strict=True))
    yield f"Within twice the loss of the best constant rate: {ends} (asked: all)."


def never_worse(everything: bool) -> Lines:
    """Both on three seeds; a difference counts where it is more than the seeds differ."""
    chosen = [case for case in cases.held_out() if everything or case.name in QUICK]
    yield "| case | rates found | constant: validation, training loss | train: the same | decays from | worse by, in seed noise: the same |"
    yield "|---|---|---|---|---|---|"
    worse = better = 0
    for case in chosen:
        problem = case.made
        ends: dict[str, list[tuple[float, float]]] = {"constant": [], "train": []}
        decays: list[str] = []
        rates: list[float] = []
        for seed in SEEDS:
            asked = {"optimizer": case.optimizer, "steps": case.steps, "seed": seed, "validate_every": case.steps}
            run = train(problem, schedule="constant", **asked)
            rates.append(run.config["found"]["lr"])
            plain = sf.descend(problem, lr=rates[-1], **asked)
            ends["constant"].append(both(problem, plain))
            ends["train"].append(both(problem, run))
            decays += [line.split(":")[0].removeprefix("step ") for line in run.config["report"] if "goes down to 0" in line] or [
                "-"
            ]
            if run.trace["attempt"].max():
                decays[-1] += f" ({int(run.trace['attempt'].max())} mended)"
        one, other = np.array(ends["constant"]), np.array(ends["train"])
        noise = np.maximum(one.std(0, ddof=1), 1e-3 * np.abs(one.mean(0)))
        by = (other.mean(0) - one.mean(0)) / noise
        worse, better = worse + (by > 1), better + (by < -1)
        (a, b), (c, d) = one.mean(0), other.mean(0)
        found = ", ".join(f"{rate:.2g}" for rate in rates)
        yield f"| {case.name} | {found} | {a:.4g}, {b:.4g} | {c:.4g}, {d:.4g} | {', '.join(decays)} | {by[0]:+.1f}, {by[1]:+.1f} |"
    yield ""
    yield (
        f"Of {len(chosen)} cases, worse by more than the seed noise: {int(worse[0])} (validation loss), {int(worse[1])} (training loss); "
        f"better by more: {int(better[0])}, {int(better[1])}."
    )


def both(problem: sf.Problem, run: sf.Run) -> tuple[float, float]:
    """Validation and full training loss at the end."""
    return float(run.trace["validation_loss"][-1]), end_of(problem, run)


def main() -> None:
    parts = (forced(), never_worse("--all" in sys.argv))
    said = [line for part in parts for line in shown(part)]
    before, rest = DOCS.read_text().split("<!-- train -->", 1)
    _, after = rest.split("<!-- /train -->", 1)
    DOCS.write_text(before + "<!-- train -->\n" + "\n".join(said) + "\n<!-- /train -->" + after)


def shown(part: Lines) -> Lines:
    for line in part:
        print(line, flush=True)
        yield line
    yield ""


if __name__ == "__main__":
    main()
