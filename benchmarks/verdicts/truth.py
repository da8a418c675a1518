"""What is true of a descent on a ladder of rates?  case -> the same descent at every other rate, and gone on with for long -> its label.

For every case: the full training loss at the start, averaged over the last tenth of the run, and after the same descent at fourteen other
rates half a decade apart; then the run is gone on with at lr / 10, lr and 3 lr, for half its length ("near") and for 1,000 steps more
("far"), on the same kind of batches; for full-batch descents of networks the largest eigenvalue of the Hessian, for functions of up to 20
numbers all of them.  "Excess" is what lies above the lowest loss that is known or that any of these reached, "gap" the excess of the start.
The labels:

- overflow: not finite.  diverging: above the start by nine gaps or more; above it by less than that: left out.
- overfitting: the validation loss (mean of three measurements) ended 15 % or more above its lowest, while the batches' losses fell by 40 % or
  more; risen by 4 % or more otherwise: left out.  On the held-out side the full training loss at the end must also lie 5 % or more below
  that at the step of the lowest validation loss; the labels of the calibration side, which are older, do without.
- local-minimum: none of the three rates, near or far, changes the excess by 1 %, it is 2 % of the gap or more, and all eigenvalues are positive.
- too-small: the best rate is 30 times as large or more and half of the gap is left; or 8 times as large or more, 30 % of the gap is left,
  and ten times the rate leaves less than 60 % of that.
- converged: the excess is at most 1e-5 of the gap, or 3e-7 of the loss.
- noise-limited (mini-batches), oscillating (full batch), at a constant rate: near and far, lr keeps 60 % of the excess or more, and in one of
  them 75 %; near, lr / 10 leaves at most 40 % of the lesser of these; the excess is 2 % of the gap or 10 % of the loss, at least.
- descending: 0.01 % of the gap left or more; lr within a factor of 3.3 of the best one, or neither three nor ten times the rate leaves less
  than 60 % of the excess; and at a constant rate near at most 85 % of the excess is left at lr, and lr / 10 does not leave less than half of
  what lr leaves; lr x eigenvalue below 1.6 for the full-batch gradient descent of a network.
- edge-of-stability: the same with lr x eigenvalue between 1.75 and 2.4, and a loss that rises in 3 % of the last fifth of the steps or more.

Whatever fits none of these is in between, and left out.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cases
import held_ladders
import numpy as np
import torch
from cases import STEP, Case
from torch import Tensor, nn

from surefoot import Problem, Run, SettingError, descend
from surefoot.descent.batches import validation_source
from surefoot.descent.validate import evaluating, mean_loss

FILE = Path(__file__).with_name("labels.json")
RUNGS = range(-7, 7)
FAR = 1000
LOWEST = {**cases.LOWEST, **held_ladders.LOWEST}


# ---- what is measured


def full_loss(problem: Problem, model: nn.Module) -> float:
    """The loss over all training data."""
    with torch.random.fork_rng(devices=[]), evaluating(model):
        if isinstance(problem.data, list):
            with torch.no_grad():
                loss = float(problem.loss_on(model, problem.data[0]))
        else:
            loss = mean_loss(problem, model, validation_source(problem.data, torch.device("cpu"), torch.float32))
    return loss if math.isfinite(loss) else math.inf


def at(problem: Problem, point: Tensor) -> nn.Module:
    model = copy.deepcopy(problem.model)
    nn.utils.vector_to_parameters(point, cases.parameters(model))
    return model


def tail(problem: Problem, run: Run, share: float, most: int = 10) -> float:
    """The full loss averaged over the last ``share`` of the steps of the run's last leg; infinite if it diverged."""
    if run.ended == "diverged":
        return math.inf
    first = run.path.steps[-1] - share * run.config["steps"]
    chosen = [index for index, step in enumerate(run.path.steps) if step >= first]
    chosen = [chosen[round(i)] for i in np.linspace(0, len(chosen) - 1, min(most, len(chosen)))]
    return float(np.mean([full_loss(problem, at(problem, run.path[index])) for index in chosen]))


def gone_on(problem: Problem, run: Run, factor: float) -> list[float]:
    """The loss after going on at another rate: near, far."""
    quiet = {"schedule": "constant", "progress": False, "validate_every": 10**6}
    try:
        near = descend(
            problem,
            start=run,
            lr=run.config["lr"] * factor,
            optimizer=_optimizer(run),
            steps=max(50, run.config["steps"] // 2),
            **quiet,
        )
        if near.ended == "diverged":
            return [math.inf, math.inf]
        far = descend(problem, start=near, lr=near.config["lr"], optimizer=_optimizer(run), steps=FAR, **quiet)
    except SettingError:
        return [math.inf, math.inf]
    return [tail(problem, near, 0.25), tail(problem, far, 0.25)]


def _optimizer(run: Run) -> Any:
    return run.config["optimizer"]


def hessian_product(problem: Problem, model: nn.Module, vector: Tensor) -> Tensor:
    weights = cases.parameters(model)
    batch = problem.data[0] if isinstance(problem.data, list) else problem.data
    gradient = torch.autograd.grad(problem.loss_on(model, batch), weights, create_graph=True)
    flat = torch.cat([g.flatten() for g in gradient])
    return torch.cat([h.flatten() for h in torch.autograd.grad(flat @ vector, weights, allow_unused=True, materialize_grads=True)])


def eigenvalues(problem: Problem, point: Tensor) -> list[float]:
    """The smallest and the largest one of the Hessian, from all of it where it is small; else the largest, by power iteration."""
    model = at(problem, point)
    size = len(point)
    if size <= 20:
        columns = torch.stack([hessian_product(problem, model, column) for column in torch.eye(size)])
        values = torch.linalg.eigvalsh((columns + columns.T).double() / 2)
        return [float(values[0]), float(values[-1])]
    vector = torch.randn(size, generator=torch.Generator().manual_seed(0))
    for _ in range(60):
        vector = hessian_product(problem, model, vector / vector.norm())
    return [math.nan, float(vector.norm())]


def fell(run: Run) -> float:
    """The batches' losses at the end (mean of the last 15 %) over those when the validation loss was lowest."""
    losses, validation = run.trace["loss"], run.trace["validation_loss"]
    width = max(5, round(0.15 * len(losses)))
    low = int(np.nanargmin(validation))
    return float(losses[-width:].mean() / losses[max(0, low - width // 2) : low + width // 2 + 1].mean())


def fell_full(problem: Problem, run: Run) -> float:
    """The full training loss at the end over that at the step of the lowest validation loss."""
    low = int(np.nanargmin(run.trace["validation_loss"]))
    index = int(np.abs(np.asarray(run.path.steps) - low).argmin())
    return full_loss(problem, at(problem, run.path[-1])) / full_loss(problem, at(problem, run.path[index]))


def measured(case: Case, grid: dict[float, float]) -> dict[str, Any]:
    problem = case.build()
    run = case.run()
    m: dict[str, Any] = {"start": full_loss(problem, problem.model), "ended": run.ended, "end": tail(problem, run, 0.1)}
    losses = run.trace["loss"]
    m["rises"] = float(np.mean(np.diff(losses[-max(20, len(losses) // 5) :]) > 0)) if len(losses) > 1 else 0.0
    validation = run.trace["validation_loss"][np.isfinite(run.trace["validation_loss"])]
    if len(validation) > 4:
        smooth = np.convolve(validation, np.ones(3) / 3, "valid")
        m["validation"] = [float(smooth[0]), float(smooth.min()), float(smooth[-1])]
        m["fell"] = fell(run)
        if case.split == "held-out":
            m["fell_full"] = fell_full(problem, run)
    m["grid"] = grid
    if run.ended == "steps":
        m["on"] = {name: gone_on(problem, run, factor) for name, factor in (("tenth", 0.1), ("same", 1.0), ("triple", 3.0))}
        m["full"] = run.config["batch_size"] == "full" or isinstance(problem.data, list)
        m["weights"] = sum(p.numel() for p in cases.parameters(problem.model))
        if m["full"] and (m["weights"] <= 20 or case.settings["optimizer"] == "sgd"):
            m["eigenvalues"] = eigenvalues(problem, run.path[-1])
    m["known"] = LOWEST.get(case.problem)
    return m


# ---- what it means


def label(m: dict[str, Any], lr: float, constant: bool) -> tuple[str, str]:
    """The verdict and its reason; an empty verdict where it is in between."""
    if m["ended"] == "diverged":
        return "overflow", "not finite"
    lowest = [
        value
        for value in (m["known"], m["end"], *m["grid"].values(), *(v for pair in m["on"].values() for v in pair))
        if value is not None
    ]
    reference = min(lowest)
    gap, excess = m["start"] - reference, m["end"] - reference
    if gap <= 0:
        return "", "nothing ever gained"
    if excess > 1.02 * gap:
        return (
            ("diverging", f"{excess / gap:.3g} gaps above") if excess >= 10 * gap else ("", f"above the start: {excess / gap:.2f}")
        )
    for judge in (_overfit, _local, _small, _stationary, _healthy):
        answer = judge(m, lr, constant, gap, excess, reference)
        if answer is not None:
            return answer
    return "", f"in between: {_told(m, gap, excess, reference)}"


def _overfit(m: dict[str, Any], lr: float, constant: bool, gap: float, excess: float, reference: float) -> tuple[str, str] | None:
    if "validation" not in m:
        return None
    _, low, last = m["validation"]
    if last >= 1.15 * low and m.get("fell", 1.0) <= 0.6 and m.get("fell_full", 0.0) <= 0.95:
        return "overfitting", f"validation {low:.3g} -> {last:.3g}"
    return ("", f"validation {low:.3g} -> {last:.3g}") if last >= 1.04 * low else None


def _small(m: dict[str, Any], lr: float, constant: bool, gap: float, excess: float, reference: float) -> tuple[str, str] | None:
    best = min(m["grid"], key=m["grid"].get)
    left, left10 = excess / gap, (_larger(m, lr, 10) - reference) / gap
    if (best >= 29 * lr and left >= 0.5) or (best >= 8 * lr and left >= 0.3 and left10 <= 0.6 * left):
        return "too-small", f"{left:.0%} left, {left10:.0%} at ten times, best {best:.2g}"
    return None


def _larger(m: dict[str, Any], lr: float, times: float) -> float:
    """The loss after the same steps at so many times the rate."""
    return min((abs(math.log(rate / lr / times)), loss) for rate, loss in m["grid"].items())[1]  # type: ignore[no-any-return]


def _ratios(m: dict[str, Any], excess: float, reference: float) -> tuple[float, float]:
    """What is left of the excess, near, at lr and at lr / 10."""
    return tuple((m["on"][name][0] - reference) / max(excess, 1e-30) for name in ("same", "tenth"))  # type: ignore[return-value]


def _stationary(
    m: dict[str, Any], lr: float, constant: bool, gap: float, excess: float, reference: float
) -> tuple[str, str] | None:
    stay, drop = _ratios(m, excess, reference)
    far = (m["on"]["same"][1] - reference) / max(excess, 1e-30)
    large = excess >= 0.02 * gap or excess >= 0.1 * abs(m["end"])
    if excess <= 1e-5 * gap or excess <= 3e-7 * abs(m["end"]):
        return "converged", f"excess {excess / gap:.1e} of the gap"
    if constant and large and min(stay, far) >= 0.6 and max(stay, far) >= 0.75 and drop <= 0.4 * min(stay, far, 1.0):
        told = f"lr: {stay:.2f} near, {far:.2f} far; lr/10: {drop:.2f} near; excess {excess / gap:.2g} of the gap"
        return "oscillating" if m["full"] else "noise-limited", told
    return None


def _local(m: dict[str, Any], lr: float, constant: bool, gap: float, excess: float, reference: float) -> tuple[str, str] | None:
    ends = [abs(value - m["end"]) / max(excess, 1e-30) for pair in m["on"].values() for value in pair]
    positive = m.get("eigenvalues", [-1])[0] > 0
    return ("local-minimum", f"excess {excess:.3g}") if positive and max(ends) < 0.01 and excess >= 0.02 * gap else None


def _healthy(m: dict[str, Any], lr: float, constant: bool, gap: float, excess: float, reference: float) -> tuple[str, str] | None:
    best = min(m["grid"], key=m["grid"].get)
    stay, drop = _ratios(m, excess, reference)
    near_best = 1 / 3.3 <= lr / best <= 3.3 or min(_larger(m, lr, times) - reference for times in (3, 10)) > 0.6 * excess
    if excess < 1e-4 * gap or not near_best or (constant and (stay > 0.85 or drop < 0.5 * stay)):
        return None
    sharpness = lr * m["eigenvalues"][1] if m["weights"] > 20 and "eigenvalues" in m and constant else 0.0
    told = f"best {best:.2g}, near: {stay:.2f} at lr, {drop:.2f} at lr/10"
    if sharpness < 1.6:
        return "descending", told
    return (
        ("edge-of-stability", f"lr x eigenvalue {sharpness:.2f}, {told}")
        if 1.75 <= sharpness <= 2.4 and m["rises"] >= 0.03
        else None
    )


def _told(m: dict[str, Any], gap: float, excess: float, reference: float) -> str:
    stay, drop = _ratios(m, excess, reference)
    best = min(m["grid"], key=m["grid"].get)
    return f"left {excess / gap:.2g}, near {stay:.2f} / {drop:.2f}, best {best:.2g}, eigenvalues {m.get('eigenvalues')}, rises {m['rises']:.2f}"


# ---- the file


def known() -> dict[str, Any]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def group(name: str) -> str:
    """Cases of one group share their grid."""
    return name.rpartition(" at ")[0]


def truths_of(name: str) -> dict[str, Any]:
    """Every case of a ladder."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    members = [case for case in cases.candidates() if case.base and group(case.name) == name]
    problem = members[0].build()
    grid = {}
    for rung in RUNGS:
        rate = float(f"{members[0].base * STEP**rung:.4g}")
        grid[rate] = tail(problem, members[0].run(lr=rate, validate_every=10**6), 0.1)
    return {case.name: _compact(case, measured(case, grid)) for case in members}


def _compact(case: Case, m: dict[str, Any]) -> dict[str, Any]:
    found, reason = label(m, case.settings["lr"], case.settings.get("schedule", "constant") == "constant")
    return {"label": found, "reason": reason, **_rounded(m)}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def relabelled() -> None:
    """The labels anew from the measurements on file, after a change of the rules."""
    candidates = {case.name: case for case in cases.candidates()}
    entries = {name: m for name, m in known().items() if name in candidates}
    for name, m in entries.items():
        case = candidates[name]
        m["grid"] = {float(rate): loss for rate, loss in m["grid"].items()}
        m["known"] = LOWEST.get(case.problem)
        if "validation" in m and "fell" not in m and m["ended"] == "steps":
            m["fell"] = fell(case.run())
        m["label"], m["reason"] = label(m, case.settings["lr"], case.settings.get("schedule", "constant") == "constant")
    _write(entries)


def _write(entries: dict[str, Any]) -> None:
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(entries.items()))
    FILE.write_text("{\n" + lines + "\n}\n")


def make(anew: bool = False) -> None:
    """The truth of every ladder that is not on file."""
    entries = {} if anew else known()
    names = dict.fromkeys(group(case.name) for case in cases.candidates() if case.base and case.name not in entries)
    with ProcessPoolExecutor(int(os.environ.get("WORKERS", "2")), mp_context=get_context("fork")) as pool:
        began = time.perf_counter()
        jobs = {pool.submit(truths_of, name): name for name in names}
        for job in as_completed(jobs):
            entries.update(job.result())
            _write(entries)
            print(f"{time.perf_counter() - began:6.0f} s  {jobs[job]}", flush=True)


if __name__ == "__main__":
    import sys

    relabelled() if "--relabel" in sys.argv else make("--anew" in sys.argv)
