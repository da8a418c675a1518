"""What the best rate really is.  A case -> the final losses of full trainings on a dense grid of rates, three seeds each.

Kept in ``truth.json`` beside this file; ``python benchmarks/regret.py --truth`` makes it anew.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from cases import Case

from surefoot import Problem, descend
from surefoot.descent.batches import validation_source
from surefoot.descent.validate import evaluating, mean_loss

FILE = Path(__file__).with_name("truth.json")
SEEDS = (1001, 1002, 1003)  # none of them is a seed that any finder is given
COARSE = [4.0**exponent for exponent in range(-17, 6)]  # 6e-11 to 1e3
HALF_OCTAVE = math.sqrt(2)
BELOW, ABOVE = 8, 10  # half octaves of the dense grid, below and above the best rate of the coarse one
MOST = 3000  # samples of the training data that its loss is measured on


@dataclass(frozen=True)
class Truth:
    """Final losses on the grid: ``validation[rate][seed]`` and ``training[rate][seed]``, infinite where the training diverged."""

    case: str
    start_validation: float
    start_training: float
    rates: list[float]
    validation: list[list[float]]
    training: list[list[float]]

    def best(self, kind: str = "validation") -> float:
        return float(np.mean(getattr(self, kind), axis=1).min())

    def regret(self, losses: Iterable[float], kind: str = "validation") -> float:
        """(loss - best) / (start - best) of the mean over the seeds, 1 at most: 0 is perfect, 1 is "learned nothing"."""
        start, best = getattr(self, f"start_{kind}"), self.best(kind)
        loss = float(np.mean(list(losses)))
        return min(1.0, (loss - best) / (start - best)) if math.isfinite(loss) else 1.0

    def plateau(self, within: float = 0.01) -> tuple[float, float]:
        """The lowest and the highest rate in one piece around the best one whose regret is at most this, or as good within the noise.

        As good within the noise: a paired difference to the best rate of less than two standard errors.
        """
        losses = np.array(self.validation)
        means = losses.mean(1)
        best = int(means.argmin())
        with np.errstate(invalid="ignore"):
            differences = losses - losses[best]
            errors = 2 * differences.std(1, ddof=1) / math.sqrt(losses.shape[1])
        room = np.maximum(within * (self.start_validation - means[best]), np.nan_to_num(errors, nan=0.0, posinf=0.0))
        good = means - means[best] <= room
        first = last = best
        while first > 0 and good[first - 1]:
            first -= 1
        while last + 1 < len(good) and good[last + 1]:
            last += 1
        return self.rates[first], self.rates[last]

    def ceiling(self) -> float | None:
        """The smallest rate above the best one at which most seeds overflowed, or lost ten times what there was to gain."""
        training = np.array(self.training)
        room = 10 * (self.start_training - self.best("training"))
        lost = (training > self.start_training + room).mean(1) > 0.5
        best = int(np.mean(self.validation, axis=1).argmin())
        above = [rate for rate, gone in zip(self.rates[best:], lost[best:], strict=True) if gone]
        return above[0] if above else None


def final_losses(case: Case, lr: float, seed: int) -> tuple[float, float]:
    """Validation and training loss after the whole training at this rate."""
    run = descend(case.made, lr=lr, optimizer=case.optimizer, schedule=case.schedule, steps=case.steps, seed=seed,
                  validate_every=case.steps)  # fmt: skip
    if run.ended == "diverged":
        return math.inf, math.inf
    model = _model(case.made, run.weights)
    return _loss(case.made, model, case.made.validation), _loss(case.made, model, _some(case.made.data))


def start_losses(problem: Problem) -> tuple[float, float]:
    return _loss(problem, problem.model, problem.validation), _loss(problem, problem.model, _some(problem.data))


def _model(problem: Problem, weights: object) -> torch.nn.Module:
    import copy

    model = copy.deepcopy(problem.model)
    model.load_state_dict(dict(weights))  # type: ignore[call-overload]
    return model


def _loss(problem: Problem, model: torch.nn.Module, data: object) -> float:
    with torch.random.fork_rng(devices=[]), evaluating(model):
        torch.manual_seed(0)
        loss = mean_loss(problem, model, validation_source(data, torch.device("cpu"), torch.float32))
    return loss if math.isfinite(loss) else math.inf


def _some(data: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return data[0][:MOST], data[1][:MOST]


def measured(case: Case) -> Truth:
    """The dense grid around the best of the coarse one."""
    torch.set_num_threads(1)
    start_validation, start_training = start_losses(case.made)
    coarse = [final_losses(case, rate, SEEDS[0])[0] for rate in COARSE]
    middle = COARSE[int(np.argmin(coarse))]
    rates = [middle * HALF_OCTAVE**index for index in range(-BELOW, ABOVE + 1)]
    losses = {rate: [final_losses(case, rate, seed) for seed in SEEDS] for rate in rates}

    def best() -> float:
        return min(rates, key=lambda rate: float(np.mean([v for v, _ in losses[rate]])))

    while rates.index(best()) < 3 or rates.index(best()) > len(rates) - 4:  # the best one must not lie at the edge
        low = rates.index(best()) < 3
        new = rates[0] / HALF_OCTAVE if low else rates[-1] * HALF_OCTAVE
        rates = [new, *rates] if low else [*rates, new]
        losses[new] = [final_losses(case, new, seed) for seed in SEEDS]
    while len(rates) < 40 and not all(t > start_training for _, t in losses[rates[-1]]):  # up to the ceiling
        new = rates[-1] * HALF_OCTAVE
        rates.append(new)
        losses[new] = [final_losses(case, new, seed) for seed in SEEDS]
    return Truth(case.name, start_validation, start_training, rates,
                 [[v for v, _ in losses[rate]] for rate in rates], [[t for _, t in losses[rate]] for rate in rates])  # fmt: skip


def known() -> dict[str, Truth]:
    """The truths on file."""
    return {entry["case"]: Truth(**entry) for entry in json.loads(FILE.read_text())} if FILE.exists() else {}


def truths(cases: list[Case], anew: bool = False) -> dict[str, Truth]:
    """The truth of every case, from the file where it is there."""
    on_file = {} if anew else known()
    missing = [case.name for case in cases if case.name not in on_file]
    if missing:
        with ProcessPoolExecutor(int(os.environ.get("WORKERS", "2")), mp_context=get_context("fork")) as pool:
            for truth in pool.map(_named, missing):
                print(f"{truth.case:44} best {truth.best():.4g} plateau {truth.plateau()} ceiling {truth.ceiling()}", flush=True)
                on_file[truth.case] = truth
                FILE.write_text(json.dumps([asdict(entry) for entry in on_file.values()]))
    return {case.name: on_file[case.name] for case in cases}


def _named(name: str) -> Truth:
    import cases

    return measured(next(case for case in [*cases.tuning(), *cases.held_out()] if case.name == name))


if __name__ == "__main__":
    import cases

    truths([*cases.tuning(), *cases.held_out()])
