"""What the published finders answer.  Planted curves -> tests/find/rules/published.json, by running the packages themselves.

Each finder runs from its own public entry point (``Learner.lr_find``, ``Tuner.lr_find``, ``LRFinder.range_test`` and ``plot``) on a
model of one weight whose loss is the planted curve at the rate the finder has just set, so that its own ladder of rates, smoothing,
stop rule and trimming are all in the answer.  Run it in an environment with the extra ``bench``::

    python benchmarks/published_rules.py
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import tempfile
import warnings
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

try:
    import torchvision  # noqa: F401
except (ImportError, RuntimeError):  # a CUDA build beside a CPU torch: Lightning is content without it, not with a broken one
    sys.modules["torchvision"] = None  # type: ignore[assignment]

HOME = Path(__file__).parents[1] / "tests" / "find" / "rules"
sys.path.insert(0, str(HOME))
from planted import Curve  # noqa: E402

STEPS = 100  # the default of all three packages

CURVES = [
    Curve(),
    Curve(width=0.8, edge=3.0),
    Curve(steepest=-4.5, width=0.3, edge=1e-2),
    Curve(start=20.0, fall=19.0, steepest=-2.0, edge=0.3),
    Curve(start=0.69, fall=0.02, steepest=-3.0, edge=20.0),
    Curve(fall=0.0, edge=1.0),
    *(Curve(noise=noise, seed=seed) for seed, noise in enumerate([0.005, 0.02, 0.05, 0.1, 0.2, 0.4])),
    *(
        Curve(start=0.7, fall=0.6, steepest=-4.0, width=0.6, edge=0.1, noise=noise, seed=100 + seed)
        for seed, noise in enumerate([0.01, 0.05])
    ),
    *(Curve(fall=0.0, edge=100.0, noise=0.3, seed=200 + seed) for seed in range(2)),
]


class Planted(torch.nn.Module):
    """One weight, and a loss that depends on the learning rate alone; it keeps the rates and the losses that it gave."""

    def __init__(self, curve: Curve) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.curve = curve
        self.lr: list[float] = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.sum() * self.weight

    def loss(self, lr: float) -> torch.Tensor:
        self.lr.append(lr)
        return torch.tensor(self.curve(np.array(self.lr))[-1], dtype=torch.float32) + 0 * self.weight.sum()


def data() -> TensorDataset:
    return TensorDataset(torch.ones(2 * STEPS, 1), torch.zeros(2 * STEPS))


def fastai(curve: Curve) -> tuple[list[float], dict[str, float]]:
    from fastai.callback.schedule import minimum, slide, steep, valley
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import SGD

    model = Planted(curve)
    with tempfile.TemporaryDirectory() as folder:
        batches = DataLoaders(DataLoader(data()), DataLoader(data()), device=torch.device("cpu"))
        learner = Learner(batches, model, loss_func=lambda *_: model.loss(learner.opt.hypers[-1]["lr"]), opt_func=SGD, path=folder)
        found = learner.lr_find(num_it=STEPS, show_plot=False, suggest_funcs=(steep, valley, slide, minimum))
    return model.lr, {"steepest": found.steep, "valley": found.valley, "slide": found.slide, "minimum/10": found.minimum}


def lightning(curve: Curve) -> tuple[list[float], dict[str, float]]:
    import lightning.pytorch as pl
    from lightning.pytorch.tuner import Tuner

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.planted, self.lr = Planted(curve), 1.0

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return self.planted.loss(self.optimizers().param_groups[0]["lr"])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    module = Module()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(accelerator="cpu", max_epochs=1, default_root_dir=folder, **quiet)
        found = Tuner(trainer).lr_find(module, DataLoader(data()), num_training=STEPS)
    return module.planted.lr, {"lightning": found.suggestion()}


def torch_lr_finder(curve: Curve) -> tuple[list[float], dict[str, float]]:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot
    from torch_lr_finder import LRFinder

    model = Planted(curve)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-7)
    finder = LRFinder(model, optimizer, lambda *_: model.loss(optimizer.param_groups[0]["lr"]), device="cpu")
    finder.range_test(DataLoader(data()), end_lr=10, num_iter=STEPS)
    _, found = finder.plot(ax=pyplot.figure().subplots())
    pyplot.close("all")
    return model.lr, {"torch-lr-finder": found}


def answers(curve: Curve) -> dict[str, Any]:
    """Per package: how many rows it recorded before it stopped, and for each of its rules the row and the rate it answers."""
    packages = {}
    for finder in (fastai, lightning, torch_lr_finder):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            ladder, found = finder(curve)
        rows = {rule: {"row": nearest(ladder, lr * (10 if rule == "minimum/10" else 1)), "lr": lr} for rule, lr in found.items()}
        packages[finder.__name__] = {"ladder": ladder, "rules": rows}
    return packages


def nearest(ladder: list[float], lr: float) -> int:
    return int(np.argmin(np.abs(np.log(np.array(ladder) / lr))))


def main() -> None:
    warnings.filterwarnings("ignore")
    ladders: dict[str, list[float]] = {}
    cases = []
    for curve in CURVES:
        found = answers(curve)
        for package, answer in found.items():
            ladder = answer.pop("ladder")
            answer["rows"] = len(ladder)
            ladders[package] = max(ladders.get(package, []), ladder, key=len)
        # The losses themselves are made again from the curve; their sum tells whether numpy still draws the same noise.
        losses = curve(np.array(ladders["torch_lr_finder"])).astype(np.float32)
        cases.append({"curve": asdict(curve), "first_losses": losses[:3].tolist(), "packages": found})
    names = {"fastai": "fastai", "lightning": "lightning", "torch_lr_finder": "torch-lr-finder"}
    versions = {package: version(name) for package, name in names.items()} | {"torch": version("torch")}
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HOME / "published.json").write_text(
        f'{{"versions": {json.dumps(versions)},\n"ladders": {json.dumps(ladders)},\n"cases": [\n{lines}\n]}}\n'
    )


if __name__ == "__main__":
    main()
