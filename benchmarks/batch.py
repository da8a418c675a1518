"""Does the noise scale say how steps are saved?  digits-mlp to a target loss at many batch sizes, each at its best rate -> docs/benchmarks.md.

python benchmarks/batch.py: five minutes on one core. The rate of each batch size is the best of a grid of half octaves by the mean steps of
three seeds, so that nothing of what is compared decides it; the noise scale is measured once, at the problem's own batch size, over its steps.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

import surefoot as sf
from surefoot.batch.rate_rule import LINEAR, ROOT, predicted
from surefoot.figures.layers import Line, Marks, Panels, Points, Rule, Span
from surefoot.figures.matplotlib import draw
from surefoot.figures.scales import number, padded

torch.set_num_threads(1)
DOCS = Path(__file__).parents[1] / "docs"
TARGET = 0.3  # of the mean training loss: from 2.31, where every class is as likely as any other
SEEDS = (0, 1, 2)
SIZES = (1438, 512, 256, 128, 64, 32, 16, 8, 4)
FIRST = {"sgd": 0.45, "adamw": 0.011}  # where the grid begins, at all of the data
PLACES = (0, 20, 40, 60, 100, 200)  # steps
OWN = 64  # the problem's own batch size
MOST = 20_000  # steps
NOTES = (
    "Circles: measured, three seeds, each batch size at its best rate. Dashed: predicted from the noise scale (shaded: two standard errors).",
    "Dotted: the curve of that form which fits the circles, and the noise scale that it would take, its bend.",
)
LOOKS = 60  # so often is the loss measured on the way


@dataclass
class Measured:
    """Steps to the target at one batch size: of each seed, at the best rate."""

    size: int
    lr: float
    steps: list[float]

    @property
    def mean(self) -> float:
        return float(np.mean(self.steps))


def main() -> None:
    sizes = SIZES[:4] if "--quick" in sys.argv else SIZES
    problem = sf.problems.load("digits-mlp")
    problem = problem.with_(validation=problem.data)  # the target is one of training
    said, panels = [], []
    for optimizer, rate in FIRST.items():
        measured = best_of_each(problem, optimizer, rate, sizes)
        own = next(each for each in measured if each.size == OWN or len(sizes) < len(SIZES))
        noise = sf.noise_scale(problem, lr=own.lr, optimizer=optimizer, steps=max(8, round(own.mean)), batch_size=own.size)
        lines, panel = told(optimizer, measured, noise)
        lines += ["", along(problem, optimizer, own.lr)]
        said += [*lines, ""]
        panels.append(panel)
        print("\n".join(lines), flush=True)
    if len(sizes) < len(SIZES):
        return
    before, rest = (DOCS / "benchmarks.md").read_text().split("<!-- batch -->", 1)
    _, after = rest.split("<!-- /batch -->", 1)
    (DOCS / "benchmarks.md").write_text(before + "<!-- batch -->\n" + "\n".join(said[:-1]) + "\n<!-- /batch -->" + after)
    draw(Panels(f"digits-mlp: steps to a training loss of {TARGET} against the batch size", tuple(panels), NOTES)).figure.savefig(
        DOCS / "pictures" / "batch.png", dpi=110
    )  # type: ignore[union-attr]


def best_of_each(problem: sf.Problem, optimizer: str, rate: float, sizes: tuple[int, ...]) -> list[Measured]:
    found = []
    for size in sizes:
        found.append(best(problem, optimizer, rate, size, found[-1].mean if found else 100.0))
        rate = found[-1].lr
        print(optimizer, size, f"{rate:.3g}", found[-1].steps, flush=True)
    return found


def best(problem: sf.Problem, optimizer: str, rate: float, size: int, expected: float) -> Measured:
    """The grid is walked outwards from the rate of the size before until two rates to either side are worse."""
    tried: dict[int, Measured] = {}
    ahead = [0]
    while ahead:
        for place in ahead:
            quickest = min((each.mean for each in tried.values()), default=math.inf)
            lr = rate * 2 ** (place / 2)
            most = int(min(MOST, 2 * quickest if math.isfinite(quickest) else 20 * expected))
            tried[place] = Measured(
                size, lr, [steps_to(problem, optimizer, lr, size, seed, most, min(quickest, expected)) for seed in SEEDS]
            )
        at = min(tried, key=lambda place: tried[place].mean)
        ahead = [place for place in (at - 1, at + 1, at - 2, at + 2) if place not in tried and abs(place) < 16]
    return tried[at]


def steps_to(problem: sf.Problem, optimizer: str, lr: float, size: int, seed: int, most: int, expected: float) -> float:
    """Steps until the mean loss over all of the training data is at the target; infinite where it is not within so many."""
    run = sf.descend(
        problem, lr=lr, optimizer=optimizer, steps=most, batch_size=size, seed=seed, validate_every=max(1, int(expected / LOOKS)),
        stop=lambda row: row.validation_loss <= TARGET, progress=False,
    )  # fmt: skip
    there = np.flatnonzero(run.trace["validation_loss"] <= TARGET)
    return float(there[0] + 1) if len(there) else math.inf


def told(optimizer: str, measured: list[Measured], noise: sf.NoiseScale) -> tuple[list[str], Marks]:
    sizes = np.array([each.size for each in measured], dtype=float)
    steps = np.array([each.mean for each in measured])
    count = float(noise.data or math.inf)
    fewest, critical = fitted(sizes, steps, count)
    least = float(np.exp(np.mean(np.log(steps) - np.log([noise.steps_at(size) for size in sizes]))))
    lines = [
        f"`{optimizer}`: noise scale {noise.value:.3g} ± {noise.error:.2g} samples, measured at batch size {noise.batch_size} over the {noise.steps} "
        f"steps to the target; the curve through the measured steps has its bend at {critical:.3g}, **{critical / noise.value:.2f}** times that.",
        "",
        "| batch size | best rate | by the rule, from 64 | steps to the target (3 seeds) | predicted from the noise scale | measured / predicted |",
        "|---|---|---|---|---|---|",
    ]
    for each in measured:
        expected = least * noise.steps_at(each.size)
        spread = f"{each.mean:.0f} ({min(each.steps):.0f} to {max(each.steps):.0f})"
        ruled = predicted(noise.lr, noise.batch_size, each.size, noise, LINEAR if optimizer == "sgd" else ROOT)
        lines.append(f"| {each.size} | {each.lr:.2g} | {ruled:.2g} | {spread} | {expected:.0f} | {each.mean / expected:.2f} |")
    fine = np.geomspace(sizes.min(), sizes.max(), 80)
    curve = least * np.array([noise.steps_at(size) for size in fine])
    bend = fewest * (1 + critical * (1 / fine - 1 / count))
    points = np.array([(each.size, step) for each in measured for step in each.steps])
    return lines, Marks(
        f"{optimizer}: noise scale {number(noise.value, 2)} ± {number(noise.error, 2)}, bend at {number(critical, 2)}", "batch size",
        "steps to the target", padded(sizes.min(), sizes.max(), "log"), (min(5.0, steps.min()), 600.0), "log", "log",
        layers=(
            Span(noise.value - 2 * noise.error, noise.value + 2 * noise.error, "noise scale, two standard errors", "sky"),
            Rule(critical, "bend", "grey", "dotted"),
            Line(fine, curve, "orange", "predicted from it", "dashed"),
            Line(fine, bend, "grey", "the curve of that form through the points", "dotted"),
            Points(points[:, 0], points[:, 1], "blue", "measured, three seeds", "circle"),
        ),
    )  # fmt: skip


def along(problem: sf.Problem, optimizer: str, lr: float) -> str:
    """The noise scale over 20 steps each, from different places of the descent at the problem's own batch size."""
    said = []
    for place in PLACES:
        there = (
            problem
            if not place
            else problem.at(sf.descend(problem, lr=lr, optimizer=optimizer, steps=place, batch_size=OWN, progress=False).weights)
        )
        noise = sf.noise_scale(there, lr=lr, optimizer=optimizer, steps=20, batch_size=OWN)
        said.append(
            f"{noise.value:.0f} ± {noise.error:.0f} from step {place}"
            if math.isfinite(noise.value)
            else f"not to be told from step {place}"
        )
    return f"Over 20 steps each of that descent: {', '.join(said)}."


def fitted(sizes: np.ndarray, steps: np.ndarray, count: float) -> tuple[float, float]:
    """The fewest steps and the bend of fewest (1 + bend (1 / size - 1 / count)), by least squares of the logarithms."""
    grid = np.geomspace(0.5, 5000, 4000)
    inner = np.log(1 + grid[:, None] * (1 / sizes - 1 / count)) - np.log(steps)
    at = int(inner.var(axis=1).argmin())
    return float(np.exp(-inner[at].mean())), float(grid[at])


if __name__ == "__main__":
    main()
