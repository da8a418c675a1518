"""Which descents are diagnosed?  problems x settings -> cases with labels, some to calibrate on, the others to be judged on.

The two splits share no problem.  A case that carries its label is ill or healthy by construction: a closed form, or an illness planted
(`planted.py`).  The others are rates on a ladder; what is true of them was found out by running them again and again (`truth.py`), and where
that gave no clear answer the case is left out.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import planes
import samples
from torch import nn

from surefoot import Problem, Run, descend, problems

SPLITS = ("calibration", "held-out")
STEP = math.sqrt(10)  # between two rates of a ladder


# The lowest loss of a problem, where it is known.
LOWEST = {"rotated bowl": 0.5, "canyon": -3.0} | dict.fromkeys(
    (
        "bowl of 10",
        "steep bowl of 20",
        "noisy bowl",
        "shaken bowl",
        "rosenbrock",
        "himmelblau",
        "beale",
        "separable",
        "wide separable",
    ),
    0.0,
)


@dataclass(frozen=True)
class Case:
    """One descent whose state at its end is known.

    Attributes:
        name: unique.
        problem: the family by which the split is made.
        split: ``"calibration"`` or ``"held-out"``.
        label: one of surefoot's verdicts; empty where `truth.py` has still to find it.
        build: makes the problem.
        settings: what `descend` is asked for.
        source: where the label comes from: ``"construction: ..."`` or ``"reruns"``.
        base: for a rate on a ladder, the rate the ladder hangs from; 0 otherwise.
        clean: the problem before some of its samples were spoilt, where they were.
    """

    name: str
    problem: str
    split: str
    label: str
    build: Callable[[], Problem] = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    base: float = 0.0
    clean: Callable[[], Problem] | None = field(default=None, repr=False)

    def run(self, **changes: Any) -> Run:
        """The descent, or the same one with some of its settings changed."""
        return descend(self.build(), **{**SILENT, **self.settings, **changes})


SILENT = {"progress": False}


def optimizer_name(optimizer: Any) -> str:
    return optimizer if isinstance(optimizer, str) else getattr(optimizer, "label", "own")


def ladder(
    split: str,
    problem: str,
    build: Callable[[], Problem],
    base: float,
    rungs: Sequence[int],
    optimizer: Any = "sgd",
    steps: int = 300,
    **more: Any,
) -> Iterator[Case]:
    """The same descent at ``base * 10^(rung / 2)`` for every rung."""
    told = " ".join(str(value) for value in more.values())
    for rung in rungs:
        lr = float(f"{base * STEP**rung:.4g}")
        name = f"{problem} {optimizer_name(optimizer)} {told + ' ' if told else ''}{steps} at {lr:.3g}"
        settings = {"lr": lr, "optimizer": optimizer, "steps": steps, **more}
        yield Case(name, problem, split, "", build, settings, "reruns", base)


ALL = (-7, -5, -3, -2, -1, 0, 1, 2, 3)
SHORT = (-6, -3, -1, 0, 1, 2)
HEALTHY = (-2, -1, 0)  # around the best rate
LOW = (-4, 0)


def calibration_ladders() -> Iterator[Case]:
    at = functools.partial(ladder, "calibration")
    yield from _ladders_here(at)
    yield from _ladders_there(at)


def _ladders_here(at: functools.partial[Iterator[Case]]) -> Iterator[Case]:
    ten = functools.partial(planes.quadratic, planes.curvatures(100, 10))
    yield from at("bowl of 10", ten, 1.5, (-6, -4, -2, -1, 0, 1), steps=150)
    yield from at("bowl of 10", ten, 0.3, (-6, -4, -2, -1, 0, 1), "momentum", 120)
    yield from at("bowl of 10", ten, 0.05, (-6, -4, -1, 0, 1, 2), "adam", 200)
    steep = functools.partial(planes.quadratic, planes.curvatures(1e4, 20), seed=3)
    yield from at("steep bowl of 20", steep, 1.5, (-5, -3, -1, 0), steps=800)
    yield from at("steep bowl of 20", steep, 1.0, (-5, -3, -1, 0), "momentum", 300)
    noisy = functools.partial(planes.noisy, planes.curvatures(10, 5), noise=1.0, batch_size=8, seed=1)
    yield from at("noisy bowl", noisy, 0.3, (-7, -5, -3, -1, 0, 1), steps=400)
    yield from at("noisy bowl", noisy, 0.1, (-6, -4, -2, 0), "adam", 400)
    yield from at("noisy bowl", noisy, 0.3, (-6, -2, 0), steps=400, schedule="cosine")
    regression = functools.partial(samples.regression, seed=4)
    yield from at("regression", regression, 0.05, (-7, -5, -3, -1, 0, 1, 2, 3), steps=500)
    yield from at("regression", regression, 0.05, (-6, -2, 0), "adamw", 300, schedule="warmup-cosine")
    yield from at("rosenbrock", functools.partial(problems.load, "rosenbrock"), 1e-3, (-5, -3, -1, 0, 1), steps=1000)
    yield from at("rosenbrock", functools.partial(problems.load, "rosenbrock"), 0.03, (-5, -3, -1, 0, 1), "adam", 1000)
    yield from at("valley", functools.partial(problems.load, "valley"), 0.01, (-4, -2, 0, 1, 2), steps=100)
    yield from at("separable", functools.partial(samples.separable, seed=2), 1000.0, (-9, -7, -2, -1, 0, 1), steps=200)
    yield from at("breast-cancer", functools.partial(problems.load, "breast-cancer"), 0.3, (-6, -4, -1, 0, 1), steps=300)
    yield from at(
        "breast-cancer", functools.partial(problems.load, "breast-cancer"), 0.03, (-5, -1, 0), "adamw", 300, schedule="cosine"
    )
    moons = functools.partial(samples.moons, seed=1)
    yield from at("moons", moons, 1.0, (-6, -4, -1, 0, 1, 2), steps=600)
    yield from at("moons", moons, 0.01, (-5, -1, 0, 1), "adamw", 300)
    yield from at("rings", functools.partial(samples.rings, seed=1), 0.1, (-5, -1, 0, 1, 2), steps=1000)
    yield from at("rings", functools.partial(samples.rings, seed=1, batch_size=16), 0.1, (-5, -1, 0, 1), steps=500)
    yield from at("digits-mlp", functools.partial(samples.digits, "mlp", width=32), 0.3, (-7, -5, -3, -1, 0, 1, 2, 3, 5), steps=300)
    yield from at("digits-mlp", functools.partial(samples.digits, "mlp", width=32), 0.03, (-6, -4, -1, 0, 1, 2), "momentum", 300)
    yield from at("digits-mlp", functools.partial(samples.digits, "mlp", width=32), 0.01, (-6, -4, -1, 0, 1, 3), "adamw", 200)
    yield from at("digits-mlp", functools.partial(samples.digits, "mlp", width=32), 0.3, HEALTHY, steps=200, schedule="cosine")
    yield from at("photo-patches", samples.patches, 0.003, (-6, -4, -1, 0, 1, 2), "adamw", 200)
    yield from at("photo-patches", samples.patches, 1.0, (-5, -3, -1, 0, 1), steps=300)
    yield from at("photo-patches", samples.patches, 0.003, HEALTHY, "adamw", 150, schedule="warmup-cosine")
    yield from at("squeeze", functools.partial(samples.squeeze, seed=2), 0.3, (-5, -1, 0, 1, 2), steps=800)
    yield from at("squeeze", functools.partial(samples.squeeze, seed=2), 0.01, (-5, -1, 0, 1), "adamw", 400)


def _ladders_there(at: functools.partial[Iterator[Case]]) -> Iterator[Case]:
    rotated = functools.partial(planes.quadratic, planes.curvatures(30, 20), seed=7, offset=0.5)
    yield from at("rotated bowl", rotated, 1.2, (-6, -4, -2, -1, 0, 1), steps=80)
    yield from at("rotated bowl", rotated, 0.4, (-6, -4, -2, -1, 0, 1), "momentum", 100)
    yield from at("rotated bowl", rotated, 0.05, (-6, -4, -1, 0, 1, 2), "adam", 150)
    canyon = functools.partial(planes.quadratic, (100.0, 1.0, 0.05), offset=-3.0)
    yield from at("canyon", canyon, 0.015, (-5, -3, -1, 0, 1), steps=500)
    yield from at("canyon", canyon, 0.01, (-5, -3, -1, 0), "nesterov", 200)
    shaken = functools.partial(planes.noisy, planes.curvatures(50, 20), noise=0.5, batch_size=4, seed=5, away=2.0)
    yield from at("shaken bowl", shaken, 0.5, (-7, -5, -3, -1, 0, 1), steps=600)
    yield from at("shaken bowl", shaken, 0.1, (-6, -4, -2, 0), "momentum", 600)
    yield from at("shaken bowl", shaken, 0.3, (-6, -2, 0), steps=600, schedule="linear")
    yield from at("line", functools.partial(problems.load, "line"), 0.5, (-7, -5, -3, -1, 0, 1, 2), steps=200)
    yield from at("line", functools.partial(problems.load, "line", noise=0.3), 0.2, (-6, -3, -1, 0), "momentum", 100)
    yield from at("line", functools.partial(problems.load, "line", noise=0.5), 0.3, (-5, 0, 1), steps=300, batch_size=2)
    yield from at("diabetes", functools.partial(problems.load, "diabetes"), 0.2, (-6, -4, -2, -1, 0, 1), steps=300)
    yield from at("diabetes", functools.partial(problems.load, "diabetes"), 0.1, (-6, -3, -1, 0), steps=400, batch_size=8)
    yield from at("himmelblau", functools.partial(problems.load, "himmelblau"), 0.01, (-6, -4, -1, 0, 1), steps=200)
    yield from at("himmelblau", functools.partial(problems.load, "himmelblau"), 0.3, (-5, -3, -1, 0, 1), "adam", 200)
    yield from at("beale", functools.partial(problems.load, "beale"), 0.01, (-5, -3, -1, 0), "momentum", 600)
    wide = functools.partial(samples.separable, inputs=12, samples=120, margin=0.6, seed=8)
    yield from at("wide separable", wide, 3.0, (-6, -4, -2, -1, 0, 1), "momentum", 300)
    waves = functools.partial(samples.waves, seed=2)
    yield from at("waves", waves, 0.1, (-5, -1, 0, 1, 2), steps=1500)
    yield from at("waves", waves, 0.01, (-6, -4, -1, 0, 1), "adamw", 500)
    yield from at("teacher", functools.partial(samples.teacher, seed=3), 0.2, (-5, -3, -1, 0, 1, 2), steps=1000)
    yield from at("teacher", functools.partial(samples.teacher, seed=3, batch_size=16), 0.1, (-5, -3, -1, 0, 1), steps=500)
    yield from at("spirals", functools.partial(problems.load, "spirals"), 0.01, (-6, -1, 0, 1, 2), "adamw", 800)
    yield from at("digits-linear", functools.partial(samples.digits, "linear"), 0.5, (-7, -5, -3, -1, 0, 1, 2), steps=300)
    yield from at("digits-linear", functools.partial(samples.digits, "linear"), 0.02, (-5, -3, -1, 0, 1), "adamw", 200)
    yield from at("digits-cnn", functools.partial(samples.digits, "cnn", learn=500), 0.05, (-6, -4, -1, 0, 1, 2), "momentum", 100)
    yield from at("digits-cnn", functools.partial(samples.digits, "cnn", learn=500), 0.003, HEALTHY, "adamw", 80, schedule="cosine")
    yield from at("text", samples.text, 0.01, (-6, -4, -1, 0, 1, 2), "adamw", 200)
    yield from at("text", samples.text, 1.0, (-5, -3, -1, 0, 1), steps=200)
    yield from at("text", samples.text, 0.01, HEALTHY, "adamw", 200, schedule="warmup-cosine")
    yield from at("deep linear", functools.partial(samples.deep_linear, seed=3), 0.1, (-5, -3, -1, 0, 1), steps=400)
    yield from at("blobs", functools.partial(samples.blobs, seed=3), 0.1, (-6, -4, -1, 0, 1, 2), steps=500)
    yield from at("blobs", functools.partial(samples.blobs, seed=3), 0.03, (-5, -1, 0, 1, 2), "adamw", 400)


def candidates() -> list[Case]:
    """Every case, those without a label too."""
    import held_ladders
    import held_out
    import planted

    calibration = [*planted.calibration(), *calibration_ladders(), *near_the_edge()]
    return [*calibration, *held_out.planted_cases(), *held_ladders.ladders(), *held_ladders.near_the_edge()]


def labelled() -> list[Case]:
    """The cases whose label is known, from construction or from reruns."""
    import truth

    known = truth.known()
    found = [case if case.label else replace(case, label=known.get(case.name, {}).get("label", "")) for case in candidates()]
    return [case for case in found if case.label]


def named(name: str) -> Case:
    return next(case for case in labelled() if case.name == name)


def fine(split: str, problem: str, build: Callable[[], Problem], rates: Sequence[float], steps: int) -> Iterator[Case]:
    """Full-batch gradient descent at rates near where the curvature settles at 2 / rate."""
    for lr in rates:
        settings = {"lr": lr, "optimizer": "sgd", "steps": steps}
        yield Case(f"{problem} full batch {steps} at {lr:g}", problem, split, "", build, settings, "reruns", rates[0])


def near_the_edge() -> Iterator[Case]:
    squeeze = functools.partial(samples.squeeze, batch_size="full", seed=2)
    yield from fine("calibration", "squeeze", squeeze, (1.0, 1.3, 1.7), 600)
    yield from fine("calibration", "prototypes", samples.prototypes, (0.5, 1.0, 1.5, 2.0), 300)
    yield from fine("calibration", "squared digits", samples.squared_digits, (0.7, 1.0, 1.4, 2.0), 400)
    yield from fine("calibration", "waves", functools.partial(samples.waves, seed=2), (0.16, 0.2, 0.25, 0.3), 600)


def parameters(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]
