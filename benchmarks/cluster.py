"""What does a second worker bring?  sweeps on one and on two workers of a local Ray, in turns -> ratios, into docs/benchmarks.md.

python benchmarks/cluster.py [--quick]: one thread each. One Ray with two cores serves both: for "one worker" the other core is held by a task that
sleeps, so that everything else is the same, the shards too. What starting costs is measured by itself; the driver's share is the processor time of
this process, of which more workers make nothing less.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import numpy as np
import torch

import surefoot as sf
from surefoot.descent.cluster import held
from surefoot.descent.population import Population, descend_many

torch.set_num_threads(1)
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
QUICK = "--quick" in sys.argv
ROUNDS = 2 if QUICK else 4
PROMISED = 1.7
EXPECTED = (2, 8, 32, 128)  # workers

ray: Any = importlib.import_module("ray")


@dataclass(frozen=True)
class Sweep:
    """Rates x seeds of one problem."""

    problem: str
    rates: int
    seeds: int
    steps: int

    def __str__(self) -> str:
        return f"{self.problem}: {self.rates:,} rates x {self.seeds} seed{'s' * (self.seeds > 1)}, {self.steps} steps"

    def walked(self, engine: str) -> Population:
        rates = np.repeat(np.geomspace(1e-4, 0.3, self.rates), self.seeds).tolist()
        seeds = list(range(self.seeds)) * self.rates
        return descend_many(
            sf.problems.load(self.problem), lr=rates, seed=seeds, steps=self.steps, engine=engine, validate_every=self.steps
        )


CNN = Sweep("digits-cnn", 32, 1, 10 if QUICK else 60)
MANY = Sweep("digits-mlp", 50 if QUICK else 1000, 8, 10)


def timed(act: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds by the clock, seconds of this process, and what came of it."""
    began, worked = time.perf_counter(), time.process_time()
    made = act()
    return time.perf_counter() - began, time.process_time() - worked, made


@contextlib.contextmanager
def one_worker() -> Iterator[None]:
    """Inside, one of the two cores is taken."""

    @ray.remote(num_cpus=1)
    class Idler:
        def ready(self) -> bool:
            return True

    idler = Idler.remote()
    ray.get(idler.ready.remote())
    try:
        yield
    finally:
        ray.kill(idler)
        while ray.available_resources().get("CPU", 0) < 2:
            time.sleep(0.05)


def ready(workers: int) -> None:
    """So many workers have loaded torch: one that was held is ended with its task, and another starts for the next that wants it."""

    @ray.remote(num_cpus=1)
    def loaded() -> int:
        importlib.import_module("surefoot")
        time.sleep(1.0)
        return os.getpid()

    while len(set(ray.get([loaded.remote() for _ in range(workers)]))) < workers:
        pass


def in_turns(sweep: Sweep, rounds: int, local: tuple[str, ...]) -> dict[str, list[tuple[float, float, Population]]]:
    """Every way once per round, the order turned from round to round."""

    ways = {"one worker": "ray", "two workers": "ray", **{engine: engine for engine in local}}
    took: dict[str, list[tuple[float, float, Population]]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way in [*list(ways)[turn % len(ways) :], *list(ways)[: turn % len(ways)]]:
            with one_worker() if way == "one worker" else contextlib.nullcontext():
                ready(1 if way == "one worker" else 2)
                replace(sweep, rates=min(sweep.rates, 64), steps=1).walked(ways[way])  # the first walk of a process costs seconds
                took[way].append(timed(functools.partial(sweep.walked, ways[way])))
            print(f"{sweep}: {way} {took[way][-1][0]:.2f} s; {took[way][-1][2].note}", flush=True)
    return took


def row(sweep: Sweep, took: dict[str, list[tuple[float, float, Population]]]) -> str:
    ratios = [one[0] / two[0] for one, two in zip(took["one worker"], took["two workers"], strict=True)]
    seconds = {way: statistics.median(each[0] for each in rounds) for way, rounds in took.items()}
    told = " | ".join(
        f"{seconds[way]:.2f}" if way in seconds else "" for way in ("one worker", "two workers", "processes", "sequential")
    )
    return f"| {sweep} | {told} | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"


def same(took: dict[str, list[tuple[float, float, Population]]]) -> float:
    """The largest relative difference of a loss between the ways."""
    (_, first), *others = ((way, rounds[0][2]) for way, rounds in took.items())
    pairs = [(a.trace["loss"], b.trace["loss"]) for _, made in others for a, b in zip(first.runs, made.runs, strict=True)]
    return max(float(np.max(np.abs(one - other) / np.maximum(np.abs(other), 1e-12))) for one, other in pairs)


def expected(sweep: Sweep, took: dict[str, list[tuple[float, float, Population]]], starting: float) -> list[str]:
    """What more workers would take, by the calculation that the page shows."""
    two = statistics.median(each[0] for each in took["two workers"])
    driver = statistics.median(each[1] for each in took["two workers"])
    work = max(two - driver, 0.0) * 2
    lines = [
        f"{sweep}: the driver works {driver:.2f} s of it, the workers {work:.1f} s together. "
        f"With N workers driver + workers / N, and {starting:.1f} s beside it where Ray is started first:",
        "",
        "| workers | seconds | times as fast as one | share of N |",
        "|---|---|---|---|",
    ]
    for workers in EXPECTED:
        seconds = driver + work / workers
        gain = (driver + work) / seconds
        lines.append(f"| {workers} | {seconds:.2f} | {gain:.1f} | {gain / workers:.0%} |")
    return lines


def main() -> None:
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    starting, _, _ = timed(lambda: ray.init(address="local", num_cpus=2, **quiet))
    loading, _, _ = timed(lambda: Sweep("digits-mlp", 2, 1, 2).walked("ray"))  # every worker loads torch and surefoot once
    with held("ray"):  # so that the workers' engine is chosen once, and no round is of another kind
        CNN.walked("ray")  # warm
        cnn = in_turns(CNN, ROUNDS, ("processes", "sequential"))
    with held("ray"):
        Sweep("digits-mlp", 2 * 64, 1, 10).walked("ray")
        many = in_turns(MANY, 1 if QUICK else 2, ())
    stopping, _, _ = timed(ray.shutdown)
    lines = [
        "| sweep | one worker, s | two workers, s | processes, s | sequential, s | one / two workers: median (range) |",
        "|---|---|---|---|---|---|",
        row(CNN, cnn),
        row(MANY, many),
        "",
        f"Promised for the first: >= {PROMISED}. How they were walked: {cnn['two workers'][0][2].note}; {many['two workers'][0][2].note}. "
        f"The losses differ between the ways by {same(cnn):.1g} and {same(many):.1g} at most, relative.",
        f"Starting a local Ray took {starting:.1f} s, the first task on its workers (they load torch) {loading:.1f} s, stopping it {stopping:.1f} s.",
        "",
        *expected(MANY, many, starting + loading),
    ]
    print("\n".join(lines))
    if not QUICK:
        before, rest = DOCS.read_text().split("<!-- cluster -->", 1)
        _, after = rest.split("<!-- /cluster -->", 1)
        DOCS.write_text(before + "<!-- cluster -->\n" + "\n".join(lines) + "\n<!-- /cluster -->" + after)


if __name__ == "__main__":
    main()
