"""What does a callback cost?  the same training in each framework, bare and watched, in turns in one process -> docs/benchmarks.md.

python benchmarks/callbacks.py: one thread; frameworks that are not installed are left out with a word. Every fit trains a copy of the same
model on the same batches. A step is the processor time of the thread from one forward pass to the next, so that what a framework does before
and after its loop does not count, and others on the machine cannot lengthen it by taking its place. The overhead is the median of the ratios
round by round. To add a framework: write a function ``(problem, model, batches, watched)`` that trains once over the batches, and a row in
``FRAMEWORKS``.
"""

from __future__ import annotations

import copy
import logging
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch

import surefoot as sf

torch.set_num_threads(1)
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
WARM = 4  # steps of a fit that do not count
PROBLEMS = {"digits-cnn": (133, 12), "text": (21, 7)}  # steps of a fit, and rounds
WAYS = {"bare": False, "bare again": False, "watched": True}
RATE = 1e-4
Batches = Sequence[tuple[torch.Tensor, torch.Tensor]]


def main() -> None:
    quick = 8 if "--quick" in sys.argv else 1
    said = ["| framework | problem | ms a step | two bare fits differ by | watched | promised |", "|---|---|---|---|---|---|"]
    for framework, fit in FRAMEWORKS.items():
        for name, (steps, rounds) in PROBLEMS.items():
            try:
                said.append(row(framework, fit, name, steps, max(3, rounds // quick)))
            except ImportError as error:
                print(f"{framework} is left out: {error}")
                break
            print(said[-1], flush=True)
    before, rest = DOCS.read_text().split("<!-- callbacks -->", 1)
    _, after = rest.split("<!-- /callbacks -->", 1)
    DOCS.write_text(before + "<!-- callbacks -->\n" + "\n".join(said) + "\n<!-- /callbacks -->" + after)


def row(framework: str, fit: Callable[..., None], name: str, steps: int, rounds: int) -> str:
    problem = sf.problems.load(name)
    size = problem.batch_size or len(problem.data[0])
    whole = len(problem.data[0]) // size
    batches = [tuple(part[k % whole * size : (k % whole + 1) * size].clone() for part in problem.data) for k in range(steps)]
    took: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(rounds):
        for way in list(WAYS)[turn % len(WAYS) :] + list(WAYS)[: turn % len(WAYS)]:
            took[way].append(step(problem, batches, fit, WAYS[way]))
    base = statistics.median(took["bare"]) * 1e3
    other, plain = (overhead(took[way], took["bare"]) for way in list(WAYS)[1:])
    return f"| {framework} | {name} | {base:.2f} | {other} | {plain} | <= 3 % |"


def step(problem: sf.Problem, batches: Batches, fit: Callable[..., None], watched: bool) -> float:
    """Seconds of one step: the mean of a fit, for what is done every 16th step counts as well."""
    model, times = copy.deepcopy(problem.model).train(), []
    model.register_forward_pre_hook(lambda *_: times.append(time.thread_time()))
    fit(problem, model, batches, watched)
    assert len(times) == len(batches), "a fit is one forward pass per batch"
    return (times[-1] - times[WARM]) / (len(times) - 1 - WARM)


def overhead(ours: list[float], bare: list[float]) -> str:
    """In percent: the median round, and the quartiles."""
    low, middle, high = statistics.quantiles([100 * (one / other - 1) for one, other in zip(ours, bare, strict=True)], n=4)
    return f"{middle:.1f} % ({low:.1f} to {high:.1f})"


def own_loop(problem: sf.Problem, model: Any, batches: Batches, watched: bool) -> None:
    """A loop of one's own and `surefoot.watch`, to compare with."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)

    def train(told: Callable[[Any], Any]) -> None:
        for batch in batches:
            optimizer.zero_grad()
            told(problem.loss_on(model, batch)).backward()
            optimizer.step()

    if not watched:
        return train(lambda loss: loss)
    with sf.watch(model, optimizer) as seen:
        train(seen.loss)
    return whole(seen.trace, seen.note, batches)


def lightning(problem: sf.Problem, model: Any, batches: Batches, watched: bool) -> None:
    """One epoch of a Trainer that says and writes nothing."""
    import lightning.pytorch as pl

    from surefoot.integrations.lightning import Watch

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return problem.loss_on(self.model, batch)

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=RATE)

    watch = Watch()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, callbacks=[watch] if watched else [], **quiet)
    trainer.fit(Module(), torch.utils.data.DataLoader(batches, batch_size=None))
    if watched:
        whole(watch.trace, watch.note, batches)


def fastai(problem: sf.Problem, model: Any, batches: Batches, watched: bool) -> None:
    """One epoch of a Learner without a progress bar, with fastai's own Adam."""
    from fastai.callback.progress import ProgressCallback
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner

    from surefoot.integrations.fastai import Watch

    loader = DataLoader(list(batches), bs=None)
    learner = Learner(
        DataLoaders(loader, DataLoader([], bs=None), device="cpu"), model, lambda made, *target: problem.loss(made, *target)
    )
    learner.remove_cb(ProgressCallback)
    watch = Watch()
    with learner.no_logging():
        learner.fit(1, RATE, cbs=[watch] if watched else [])
    if watched:
        whole(watch.trace, watch.note, batches)


def whole(trace: sf.Trace, note: str | None, batches: Batches) -> None:
    """Whether everything was seen."""
    assert len(trace) == len(batches), note
    assert note is None, note


# A new framework is a row here.
FRAMEWORKS: dict[str, Callable[..., None]] = {"none (`surefoot.watch`)": own_loop, "Lightning": lightning, "fastai": fastai}


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # of the frameworks, about how they are used here
    main()
