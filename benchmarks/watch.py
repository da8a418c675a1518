"""What does watching cost?  one training loop bare, watched, and watched with alpha, in turns in one process -> docs/benchmarks.md.

python benchmarks/watch.py: one thread. Each way has a copy of the same model and optimizer, and takes blocks of 16 steps on the same
batches, the order changed from round to round. What is compared is the processor time of the thread, which others on the machine cannot
lengthen by taking its place (they still can by emptying its caches); the overhead is the median of the ratios round by round.
"""

from __future__ import annotations

import contextlib
import copy
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch

import surefoot as sf
from surefoot.descent.watch import watch

torch.set_num_threads(1)
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BLOCK = 16
WARM = 2  # rounds that do not count
PROBLEMS = {"digits-cnn": (120, 5), "text": (20, 2)}  # rounds, and the percentage promised
OPTIMIZERS = {
    "SGD, momentum": lambda w: torch.optim.SGD(w, lr=1e-3, momentum=0.9),
    "AdamW": lambda w: torch.optim.AdamW(w, lr=1e-4),
}
WAYS: dict[str, dict[str, Any] | None] = {"bare": None, "bare again": None, "default": {}, "alpha": {"alpha": BLOCK}}


def main() -> None:
    quick = 10 if "--quick" in sys.argv else 1
    said = [
        "| problem | optimizer | ms a step | two bare loops differ by | watched | promised | with alpha every 16 steps | promised |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, (rounds, promised) in PROBLEMS.items():
        for optimizer in OPTIMIZERS:
            said.append(row(name, optimizer, max(rounds // quick, WARM + 2), promised))
            print(said[-1], flush=True)
    said += [
        "",
        "Beside it, from the literature and not measured here: Cockpit's smallest preset takes 1.5 to 60 times the time of a step.",
    ]
    before, rest = DOCS.read_text().split("<!-- watch -->", 1)
    _, after = rest.split("<!-- /watch -->", 1)
    DOCS.write_text(before + "<!-- watch -->\n" + "\n".join(said) + "\n<!-- /watch -->" + after)


def row(name: str, optimizer: str, rounds: int, promised: int) -> str:
    problem = sf.problems.load(name)
    size = problem.batch_size or len(problem.data[0])
    batches = [tuple(part[k * size : (k + 1) * size].clone() for part in problem.data) for k in range(BLOCK)]
    took: dict[str, list[float]] = {way: [] for way in WAYS}
    with contextlib.ExitStack() as stack:
        loops = {}
        for way, settings in WAYS.items():
            model = copy.deepcopy(problem.model)
            made = OPTIMIZERS[optimizer](model.parameters())
            seen = None if settings is None else stack.enter_context(watch(model, made, **settings))
            loops[way] = (model, made, seen)
        for turn in range(rounds):
            order = list(WAYS)[turn % len(WAYS) :] + list(WAYS)[: turn % len(WAYS)]
            for way in order:
                took[way].append(block(problem, batches, *loops[way]))
        notes = [seen.note for _, _, seen in loops.values() if seen is not None and seen.note]
        assert not notes, notes
    other, plain, alpha = (overhead(took[way], took["bare"]) for way in list(WAYS)[1:])
    base = statistics.median(took["bare"]) * 1e3
    return f"| {name} | {optimizer} | {base:.2f} | {other} | {plain} | <= {promised} % | {alpha} | <= 10 % |"


def block(problem: sf.Problem, batches: list[Any], model: Any, optimizer: Any, seen: Any) -> float:
    """Seconds of one step."""
    began = time.thread_time()
    for batch in batches:
        optimizer.zero_grad()
        loss = problem.loss_on(model, batch) if seen is None else seen.loss(problem.loss_on, model, batch)
        loss.backward()
        optimizer.step()
    return (time.thread_time() - began) / len(batches)


def overhead(ours: list[float], bare: list[float]) -> str:
    """In percent: the median round, and the quartiles."""
    ratios = [100 * (one / other - 1) for one, other in zip(ours[WARM:], bare[WARM:], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.1f} % ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
