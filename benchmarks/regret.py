"""How good are learning rates?  cases + what is true of them -> the regret of every finder, into docs/benchmarks.md.

Regret = (loss at the rate - best loss on a dense grid) / (loss at the start - best), each the mean of three seeds that no finder saw; 1 at most. ::

    python benchmarks/regret.py               # surefoot, and the others from regret/peers.json
    python benchmarks/regret.py --peers       # runs the others again (needs the extra bench)
    python benchmarks/regret.py --engine ray  # the searches on a cluster; the same answers
    python benchmarks/regret.py --truth       # makes the dense grids anew (about ten minutes)
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

HOME = Path(__file__).parent / "regret"
sys.path[:0] = [str(HOME), str(HOME.parent)]

import cases  # noqa: E402
import on_ray  # noqa: E402
import truth  # noqa: E402

from surefoot import find_lr  # noqa: E402

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
RESULTS, PEERS = HOME / "results.json", HOME / "peers.json"
SEEDS = (0, 1)  # of the searches
BUDGETS = (1.0, 3.0)
ORDER = [
    *("surefoot, budget 3", "surefoot, budget 1", "surefoot, budget 1, confident", "optuna TPE 3", "optuna TPE 1"),
    *("Prodigy", "DAdaptAdam", "DAdaptSGD", "DAdaptSGD momentum 0.9", "library default", "fastai minimum/10"),
    *("fastai valley", "fastai slide", "fastai steep", "lightning", "torch-lr-finder"),
]


def ours(job: tuple[str, float, int]) -> dict[str, Any]:
    """One search, judged."""
    torch.set_num_threads(1)
    name, budget, seed = job
    case = _case(name)
    found = find_lr(case.made, optimizer=case.optimizer, schedule=case.schedule, steps=case.steps, budget=budget, seed=seed)
    return {"case": name, "finder": f"surefoot, budget {budget:g}", "seed": seed, "lr": found.lr, "cost": found.gradients / case.steps,
            "low": found.low, "high": found.high, "ceiling": found.ceiling, "confident": found.confident, "reason": found.reason,
            **_judged(case, found.lr)}  # fmt: skip


def theirs(job: tuple[str, str, float | None, float]) -> dict[str, Any]:
    """One suggestion of another package, judged; no suggestion teaches nothing."""
    torch.set_num_threads(1)
    name, finder, lr, cost = job
    nothing = {"validation": 1.0, "training": 1.0}
    usable = lr is not None and math.isfinite(lr) and lr > 0
    return {"case": name, "finder": finder, "seed": 0, "lr": lr, "cost": cost, **(_judged(_case(name), lr) if usable else nothing)}


def _judged(case: cases.Case, lr: float) -> dict[str, float]:
    known = truth.known()[case.name]
    losses = [truth.final_losses(case, lr, seed) for seed in truth.SEEDS]
    return {"validation": known.regret(v for v, _ in losses), "training": known.regret((t for _, t in losses), "training")}


@functools.cache
def _case(name: str) -> cases.Case:
    return next(case for case in cases.held_out() if case.name == name)


def free(known: dict[str, truth.Truth], peers: dict[str, Any]) -> list[dict[str, Any]]:
    """Optimizers without a learning rate: their final losses are what they cost."""
    return [
        {"case": name, "finder": finder, "seed": 0, "lr": None, "cost": 0.0,
         "validation": known[name].regret(v for v, _ in losses), "training": known[name].regret((t for _, t in losses), "training")}
        for name, entry in peers.items() for finder, losses in entry["free"].items()
    ]  # fmt: skip


def results(engine: str = "processes") -> list[dict[str, Any]]:
    """Every finder on every held-out case."""
    names = [case.name for case in cases.held_out()]
    peers = {name: entry for name, entry in json.loads(PEERS.read_text()).items() if name in names} if PEERS.exists() else {}
    others = [
        (name, finder, lr, entry["gradients"].get(finder, 0) / _case(name).steps)
        for name, entry in peers.items() for finder, lr in entry["suggestions"].items()
    ]  # fmt: skip
    with on_ray.pool(engine, on_ray.workers()) as mapped:
        judged = list(mapped(ours, [(name, budget, seed) for budget in BUDGETS for name in names for seed in SEEDS]))
        judged += list(mapped(theirs, others))
    return judged + free(truth.known(), peers)


def row(finder: str, entries: Iterable[dict[str, Any]]) -> str:
    chosen = list(entries)
    validation, training = (np.array([entry[kind] for entry in chosen]) for kind in ("validation", "training"))
    cost = float(np.mean([entry["cost"] for entry in chosen]))
    return (f"| {finder} | {len(chosen)} | {cost:.2f} | {validation.mean():.3f} | {np.quantile(validation, 0.9):.3f} | {validation.max():.2f} "
            f"| {training.mean():.3f} | {np.quantile(training, 0.9):.3f} | {training.max():.2f} |")  # fmt: skip


def table(entries: list[dict[str, Any]]) -> list[str]:
    by = {finder: [entry for entry in entries if entry["finder"] == finder] for finder in {entry["finder"] for entry in entries}}
    by["surefoot, budget 1, confident"] = [entry for entry in by["surefoot, budget 1"] if entry["confident"]]
    lines = ["| finder | answers | cost (trainings) | validation: mean | 90 % | worst | training: mean | 90 % | worst |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    return lines + [row(finder, by[finder]) for finder in ORDER if by.get(finder)]


def promises(entries: list[dict[str, Any]]) -> list[str]:
    """What `Found` says beside the rate, against the truth."""
    known = truth.known()
    lines = []
    for budget in BUDGETS:
        chosen = [entry for entry in entries if entry["finder"] == f"surefoot, budget {budget:g}"]
        sure = np.mean([entry["confident"] for entry in chosen])
        overlap = np.mean([_overlaps(entry, known[entry["case"]]) for entry in chosen])
        both = [(entry["ceiling"], known[entry["case"]].ceiling()) for entry in chosen]
        near = [abs(math.log2(ours / real)) <= 1 for ours, real in both if ours and real]
        pairs = [[entry["lr"] for entry in chosen if entry["case"] == name] for name in {entry["case"] for entry in chosen}]
        agree = np.mean([max(rates) / min(rates) <= 2 for rates in pairs])
        lines.append(f"Budget {budget:g}: confident in {sure:.0%} of the searches; [low, high] overlaps the true plateau in {overlap:.0%}; `ceiling` "
                     f"within a factor of two of the truth in {np.mean(near):.0%} of the {len(near)} where both are known; two seeds agree within a "
                     f"factor of two in {agree:.0%} of the cases.")  # fmt: skip
    return lines


def _overlaps(entry: dict[str, Any], known: truth.Truth) -> bool:
    low, high = known.plateau()
    return bool(entry["low"] <= high and entry["high"] >= low)


def worst(entries: list[dict[str, Any]]) -> list[str]:
    """Case by case: ours at budget 1 beside the best of the range-test rules."""
    rules = ("fastai minimum/10", "fastai valley", "fastai slide", "fastai steep", "lightning", "torch-lr-finder")
    lines = [
        "| case | traits | best rate | surefoot (two seeds) | regret | confident | best range-test rule |",
        "|---|---|---|---|---|---|---|",
    ]
    known = truth.known()
    for case in cases.held_out():
        mine = [entry for entry in entries if entry["case"] == case.name and entry["finder"] == "surefoot, budget 1"]
        others = [entry for entry in entries if entry["case"] == case.name and entry["finder"] in rules]
        best = min(others, key=lambda entry: entry["validation"], default=None)
        told = f"{best['finder']} {best['validation']:.3f}" if best else ""
        rate = known[case.name].rates[int(np.mean(known[case.name].validation, axis=1).argmin())]
        rates, regrets = (
            ", ".join(format(entry[key], form) for entry in mine) for key, form in (("lr", ".2g"), ("validation", ".3f"))
        )
        sure = ", ".join("yes" if entry["confident"] else "no" for entry in mine)
        lines.append(f"| {case.name} | {', '.join(case.traits)} | {rate:.2g} | {rates} | {regrets} | {sure} | {told} |")
    return lines


def report(entries: list[dict[str, Any]]) -> list[str]:
    """The tables: on the new cases, then on all held-out ones."""
    new = [entry for entry in entries if cases.is_new(entry["case"])]
    count, every = len({entry["case"] for entry in new}), len(cases.held_out())
    first = f"On the {count} cases that were neither chosen nor dropped nor tuned on by what they gave, {len(SEEDS)} searches each:"
    fresh = [entry for entry in entries if cases.is_fresh(entry["case"])]
    told = [
        f"{finder.removeprefix('surefoot, ')} {np.mean([e['validation'] for e in fresh if e['finder'] == finder]):.3f}"
        for finder in ORDER[:2]
    ]
    alone = (f"On the {len({entry['case'] for entry in fresh})} of them that no version of `find_lr` had met before they were measured here, mean "
             f"validation regret: {', '.join(told)}.")  # fmt: skip
    easier = (
        f"{every - count} of them stayed because the first version of `find_lr` did not fail on them: they are the easier ones."
    )
    second = f"On all {every} held-out cases. {easier}"
    third = "Case by case, on validation loss, at a budget of one training:"
    parts = [[first], table(new), promises(new), [alone], [second], table(entries), promises(entries), [third], worst(entries)]
    return [line for part in parts for line in (*part, "")][:-1]


def write(entries: list[dict[str, Any]]) -> None:
    text = DOCS.read_text()
    before, rest = text.split("<!-- regret -->", 1)
    _, after = rest.split("<!-- /regret -->", 1)
    DOCS.write_text(before + "<!-- regret -->\n" + "\n".join(report(entries)) + "\n<!-- /regret -->" + after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--truth", action="store_true", help="make the dense grids anew")
    parser.add_argument("--peers", action="store_true", help="run the other packages again")
    parser.add_argument("--tables", action="store_true", help="only write the tables anew from the results on file")
    parser.add_argument("--engine", default="processes", help="where the searches are made: processes, ray or ray:HOST:PORT")
    asked = parser.parse_args()
    if asked.tables:
        write(json.loads(RESULTS.read_text()))
        return
    truth.truths([*cases.tuning(), *cases.held_out()], anew=asked.truth)
    if asked.peers:
        subprocess.run([sys.executable, "peers.py", "held-out", "peers.json"], cwd=HOME, check=True)
    entries = results(asked.engine)
    RESULTS.write_text(json.dumps(entries, indent=0))
    write(entries)
    print("\n".join(report(entries)))


if __name__ == "__main__":
    main()
