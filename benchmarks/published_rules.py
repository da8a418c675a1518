"""What the real packages suggest on planted curves.  fastai, Lightning, torch-lr-finder -> tests/find/rules/published.json.

Run with the extra `bench` installed: ``python benchmarks/published_rules.py``. The tests compare our rules with the file, row for row.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from fastai.callback.schedule import minimum, slide, steep, valley
from fastai.learner import AvgSmoothLoss
from lightning.pytorch.tuner.lr_finder import _LRFinder
from torch_lr_finder import LRFinder

TESTS = Path(__file__).parents[1] / "tests" / "find" / "rules"
sys.path.insert(0, str(TESTS))
from planted import Curve, ladder  # noqa: E402

CURVES = [
    Curve(noise=noise, seed=seed, steepest=steepest)
    for noise in (0.0, 0.01, 0.05, 0.2)
    for seed in range(5)
    for steepest in (-4.0, -2.5)
]


def fastai_losses(losses: np.ndarray) -> torch.Tensor:
    """The recorder's losses, by fastai's own metric."""
    average, smoothed = AvgSmoothLoss(beta=0.98), []
    average.reset()
    for loss in losses:
        average.accumulate(SimpleNamespace(loss=torch.tensor(loss, dtype=torch.float32), yb=None))
        smoothed.append(float(average.value))
    return torch.tensor(smoothed, dtype=torch.float64)


def of_fastai(lr: np.ndarray, losses: np.ndarray) -> dict[str, float]:
    trimmed = slice(len(lr) // 10, -5)
    rates, smoothed = torch.tensor(lr)[trimmed], fastai_losses(losses)[trimmed]
    rules = {"valley": valley, "slide": slide, "minimum/10": minimum, "steepest": steep}
    return {name: float(rule(rates, smoothed, len(lr))[0]) for name, rule in rules.items()}


def of_lightning(lr: np.ndarray, losses: np.ndarray) -> float:
    average, smoothed = 0.0, []
    for step, loss in enumerate(losses, start=1):  # its callback runs after the step was counted
        average = 0.98 * average + 0.02 * loss
        smoothed.append(average / (1 - 0.98 ** (step + 1)))
    finder = _LRFinder("exponential", float(lr[0]), float(lr[-1]), len(lr))
    finder.results = {"lr": list(lr), "loss": smoothed}
    return float(finder.suggestion())


def of_torch_lr_finder(lr: np.ndarray, losses: np.ndarray) -> float:
    history = [float(losses[0])]
    for loss in losses[1:]:
        history.append(0.05 * float(loss) + 0.95 * history[-1])
    model = torch.nn.Linear(1, 1)
    finder = LRFinder(model, torch.optim.SGD(model.parameters(), lr=0.1), torch.nn.MSELoss())
    finder.history = {"lr": list(lr), "loss": history}
    _, axes = matplotlib.pyplot.subplots()
    with contextlib.redirect_stdout(io.StringIO()):
        _, rate = finder.plot(ax=axes, suggest_lr=True)
    matplotlib.pyplot.close("all")
    return float(rate)


def main() -> None:
    lr = ladder()
    cases = []
    for curve in CURVES:
        losses = curve(lr)
        answers = {
            **of_fastai(lr, losses),
            "lightning": of_lightning(lr, losses),
            "torch-lr-finder": of_torch_lr_finder(lr, losses),
        }
        cases.append({"curve": vars(curve), "answers": answers})
    (TESTS / "published.json").write_text(json.dumps(cases, indent=1) + "\n")
    assert all(math.isfinite(rate) for case in cases for rate in case["answers"].values())
    print(f"{len(cases)} curves written")


if __name__ == "__main__":
    main()
