"""Whose illness is known beforehand?  closed forms and planted faults -> cases that carry their label."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import planes
import samples
import torch
from cases import Case

from surefoot import Problem, problems

bind = functools.partial


def case(split: str, label: str, problem: str, build: Callable[[], Problem], why: str, **settings: Any) -> Case:
    told = " ".join(value if isinstance(value, str) else f"{value:g}" for value in settings.values() if not callable(value))
    return Case(f"{problem}: {label} {told}", problem, split, label, build, settings, f"construction: {why}")


def poison(
    split: str,
    problem: str,
    clean: Callable[[], Problem],
    spoil: Callable[[Problem], Problem],
    lr: float,
    steps: int,
    optimizer: str = "sgd",
) -> Case:
    """One sample spoilt; what the descent is worth is measured on the samples as they were."""
    why = f"one sample spoilt: {spoil.func.__name__} {spoil.keywords}"  # type: ignore[attr-defined]
    made = case(split, "spiking", problem, lambda: spoil(clean()), why, lr=lr, optimizer=optimizer, steps=steps)
    return replace(made, name=f"{made.name} {next(iter(spoil.keywords.values())):g}", clean=clean)  # type: ignore[attr-defined]


def quadratics(split: str, problem: str, top: float, build: Callable[[], Problem]) -> Iterator[Case]:
    """Around the limit 2 / top: the loss along the steepest direction is multiplied by (1 - lr top)^2 at every step."""
    at = bind(case, split, problem=problem, build=build)
    for product, steps in ((1.998, 100), (2.0, 80)):
        yield at("oscillating", why=f"(1 - {product})^2 per step", lr=product / top, steps=steps)
    yield at(
        "oscillating",
        why="Nesterov at 0.999 of its limit (2 + 2 b) / ((1 + 2 b) curvature)",
        lr=0.999 * 3.8 / 2.8 / top,
        optimizer="nesterov",
        steps=100,
    )
    for product, steps in ((2.06, 100), (2.2, 60), (2.6, 40)):
        yield at("diverging", why=f"grows by (1 - {product})^2 per step", lr=product / top, steps=steps)
    yield at("diverging", why="momentum above its limit 3.8 / curvature", lr=3.9 / top, optimizer="momentum", steps=60)
    for product, steps in ((2.8, 300), (40.0, 100)):
        yield at("overflow", why=f"grows by (1 - {product})^2 per step", lr=product / top, steps=steps)


def cycles(
    split: str, problem: str, function: Any, start: tuple[float, ...], rates: tuple[float, ...], steps: int
) -> Iterator[Case]:
    for lr in rates:
        why = "above 2 / curvature, in a stable cycle of two"
        yield case(split, "oscillating", problem, planes.of(function, start, problem), why, lr=lr, steps=steps)


def stuck(
    split: str, label: str, problem: str, function: Any, start: tuple[float, ...], why: str, *settings: dict[str, Any]
) -> Iterator[Case]:
    for chosen in settings:
        yield case(split, label, problem, planes.of(function, start, problem), why, **chosen)


def plain(lr: float, steps: int, optimizer: Any = "sgd", **more: Any) -> dict[str, Any]:
    return {"lr": lr, "optimizer": optimizer, "steps": steps, **more}


# ---- the first half


def calibration() -> Iterator[Case]:
    yield from _here("calibration")
    yield from _there("calibration")


def _here(on: str) -> Iterator[Case]:
    yield from quadratics(on, "bowl of 10", 1.0, bind(planes.quadratic, planes.curvatures(100, 10)))
    yield from cycles(on, "log-cosh", planes.log_cosh, (2.0, -1.0), (2.5, 4.0), 120)
    yield from _stuck_here(on)
    yield from _flats_here(on)
    for at in _spikes_here(on), _bugs_here(on), _overfits_here(on), _converged_here(on):
        yield from at


def _stuck_here(on: str) -> Iterator[Case]:
    yield from stuck(on, "local-minimum", "tilted double well", planes.tilted, (1.5,), "x = 0.96 is not the deeper minimum",
                     plain(0.05, 200), plain(0.02, 150, "momentum"), plain(0.05, 300, "adam"))  # fmt: skip
    yield from stuck(on, "local-minimum", "styblinski-tang", planes.styblinski_tang, (3.5, 2.0), "2.75 is the local minimum",
                     plain(0.02, 100), plain(0.05, 300, "adam"))  # fmt: skip
    yield from stuck(on, "local-minimum", "rastrigin of 5", planes.rastrigin, (2.2, -1.1, 3.1, 0.9, -2.0), "dents away from 0",
                     plain(0.002, 100), plain(0.001, 200, "momentum"))  # fmt: skip
    yield case(
        on,
        "local-minimum",
        "valley",
        bind(problems.load, "valley"),
        "the nearer minimum is not the deeper one",
        **plain(0.005, 2000),
    )
    yield from stuck(on, "saddle", "pass", planes.pass_between, (1.0, 0.0), "on the ridge, where the gradient leads to the pass",
                     plain(0.3, 100), plain(0.1, 200, "momentum"))  # fmt: skip
    yield case(on, "saddle", "pass", planes.of(planes.pass_between, (1.0, 1e-9)), "1e-9 beside the ridge, grown by 1.1^100 at most",
               **plain(0.1, 100))  # fmt: skip
    yield case(on, "saddle", "linear pair", bind(planes.linear_pair, 0.0), "all weights 0", **plain(0.1, 200))
    yield case(
        on, "saddle", "linear pair", bind(planes.linear_pair, 1e-8), "all weights 1e-8, too few steps to leave", **plain(0.05, 60)
    )
    yield case(on, "saddle", "linear pair", bind(planes.linear_pair, 1e-8), "all weights 1e-8, too few steps to leave",
               **plain(0.002, 100, "momentum"))  # fmt: skip


def _flats_here(on: str) -> Iterator[Case]:
    yield from stuck(on, "plateau", "shoulder", planes.shoulder, (-1.0,), "level at 0, the minimum is at 1",
                     plain(0.02, 1000), plain(0.01, 600), plain(0.02, 800, schedule="cosine"))  # fmt: skip
    yield from stuck(on, "plateau", "gaussian well", planes.gaussian_well, (5.0, 4.0), "six from the well", plain(1.0, 200),
                     plain(0.1, 300, "momentum"))  # fmt: skip
    yield case(on, "plateau", "waves with dead units", lambda: samples.dead(samples.waves(activation=torch.nn.ReLU)),
               "every unit of the first layer is dead", **plain(0.1, 300))  # fmt: skip
    yield case(on, "plateau", "saturated", bind(samples.saturated, 18.0), "sigmoid(18) is 1 to 2e-8", **plain(1.0, 200))
    yield case(on, "plateau", "saturated", bind(samples.saturated, 14.0, batch_size=20), "the slope of the sigmoid is 1e-6",
               **plain(1.0, 300))  # fmt: skip


def _spikes_here(on: str) -> Iterator[Case]:
    waves = bind(samples.waves, samples=640, batch_size=8, seed=4, frequency=2)
    for size, lr, optimizer in ((10.0, 0.03, "sgd"), (20.0, 0.01, "sgd"), (30.0, 0.002, "momentum")):
        yield poison(on, "wild waves", waves, bind(samples.wild_targets, size=size), lr, 900, optimizer)
    regression = bind(samples.regression, inputs=6, samples=800, noise=0.3, batch_size=8, seed=11)
    for size, lr in ((40.0, 0.01), (100.0, 0.005)):
        yield poison(on, "wild regression", regression, bind(samples.wild_targets, size=size), lr, 1000)
    digits = bind(samples.digits, "mlp", width=32, batch_size=16)
    yield poison(on, "digits-mlp", digits, bind(samples.poisoned, scale=10.0), 0.1, 900)


def _bugs_here(on: str) -> Iterator[Case]:
    ten = bind(planes.quadratic, planes.curvatures(100, 10))
    yield case(on, "broken", "bowl of 10", lambda: samples.reversed_gradient(ten()), "gradient reversed", **plain(0.05, 100))
    yield case(
        on, "broken", "moons", lambda: samples.reversed_gradient(samples.moons(seed=1)), "gradient reversed", **plain(0.05, 100)
    )
    yield case(on, "broken", "digits-mlp", lambda: samples.reversed_gradient(samples.digits("mlp", width=32)), "gradient reversed",
               **plain(0.02, 100))  # fmt: skip
    yield case(
        on, "broken", "regression", bind(samples.regression, seed=4), "maximize=True", **plain(0.003, 150, samples.maximizing())
    )
    yield case(on, "broken", "moons", bind(samples.moons, seed=1), "AdamW with maximize=True",
               **plain(0.001, 150, samples.maximizing(maker=torch.optim.AdamW)))  # fmt: skip
    yield case(on, "broken", "halved", bind(samples.halved, 2.0), "the gradient of the heavier use is cut off", **plain(0.02, 200))
    yield case(on, "broken", "regression", lambda: samples.another_value(samples.regression(seed=4), lambda p, y: (p + y).square().mean()),
               "another loss is differentiated", **plain(0.01, 200))  # fmt: skip
    yield case(on, "broken", "waves with a cut", lambda: samples.missing(samples.waves(seed=5)), "all but the last layer is detached",
               **plain(0.05, 200))  # fmt: skip


def _overfits_here(on: str) -> Iterator[Case]:
    why = "labels shuffled, memorized"
    for settings in (plain(0.005, 400, "adamw"), plain(0.05, 600, "momentum")):
        yield case(on, "overfitting", "shuffled digits", lambda: samples.shuffled(samples.digits("mlp", learn=200, width=64, batch_size=32)), why,
                   **settings)  # fmt: skip
    for settings in (plain(0.003, 500, "adamw"), plain(0.001, 600, "adam"), plain(0.003, 400, "adamw", schedule="cosine")):
        yield case(
            on, "overfitting", "few samples", bind(samples.few, seed=1), "thirty samples with noise of 1, memorized", **settings
        )


def _converged_here(on: str) -> Iterator[Case]:
    yield from stuck(on, "converged", "rastrigin of 5", planes.rastrigin, (0.2, -0.3, 0.1, 0.25, -0.2), "in the dent of the minimum",
                     plain(0.002, 150), plain(0.0005, 400, "momentum"))  # fmt: skip
    yield case(
        on,
        "converged",
        "bowl of 10",
        bind(planes.quadratic, planes.curvatures(10, 10), offset=2.0),
        "(1 - 0.1)^800",
        **plain(1.0, 400),
    )
    yield from stuck(on, "converged", "tilted double well", planes.tilted, (-0.3,), "in the deeper well", plain(0.05, 200))
    yield from stuck(on, "converged", "styblinski-tang", planes.styblinski_tang, (-1.0, -3.5), "in the deepest well",
                     plain(0.02, 100), plain(0.01, 300, "momentum"))  # fmt: skip
    start = (1.5, -1.0, 0.7, 2.0, 0.3, 0.5, 1.0, 0.2)  # curvature 2.37
    yield from stuck(on, "converged", "catapult", planes.scalar_product, start, "2.8 and 3.6 over the first curvature: a catapult, then 0",
                     plain(1.183, 150), plain(1.521, 100))  # fmt: skip
    why = "x^4 falls as 1 / steps^2: at most 1e-5 of the gap is left"
    yield from stuck(on, "converged", "x^4", planes.power(4), (1.0,), why, plain(0.3, 1500), plain(0.05, 2000, "momentum"))
    exact = bind(samples.regression, inputs=6, samples=200, noise=0.0, batch_size=10, seed=21)
    yield case(on, "converged", "exact regression", exact, "no noise in the targets", **plain(0.1, 1500))


# ---- the second half


def _there(on: str) -> Iterator[Case]:
    yield from quadratics(on, "canyon", 100.0, bind(planes.quadratic, (100.0, 1.0, 0.05), seed=2))
    yield from cycles(on, "hyperbola", planes.hyperbola, (3.0,), (2.6, 5.0), 100)
    yield from cycles(on, "quartic wall", planes.quartic_wall, (0.7, 1.3), (1.1, 1.2), 200)
    yield from _stuck_there(on)
    yield from _flats_there(on)
    for at in _spikes_there(on), _bugs_there(on), _overfits_there(on), _converged_there(on):
        yield from at


def _stuck_there(on: str) -> Iterator[Case]:
    yield from stuck(on, "local-minimum", "six-hump camel", planes.six_hump_camel, (-1.6, 0.6), "-0.2155 is not the lowest",
                     plain(0.02, 300), plain(0.005, 400, "momentum"))  # fmt: skip
    yield from stuck(on, "local-minimum", "egg carton", planes.egg_carton, (11.5, -6.0, 5.5), "dents away from 0",
                     plain(0.5, 100), plain(0.1, 300, "momentum"), plain(0.05, 400, "adam"), plain(0.3, 150, schedule="cosine"))  # fmt: skip
    yield from stuck(on, "saddle", "hat", planes.mexican_hat, (0.0, 0.0, 0.0, 1.0), "along the axis to the top", plain(0.2, 100),
                     plain(0.05, 300, "momentum"), plain(0.1, 150, schedule="cosine"))  # fmt: skip
    yield from stuck(
        on, "saddle", "product", planes.product, (0.0, 0.0, 0.0), "u = v = 0", plain(0.5, 80), plain(0.05, 200, "adam")
    )
    yield case(on, "saddle", "exclusive or of twins", samples.twins, "units that start alike stay alike", **plain(0.1, 200))


def _flats_there(on: str) -> Iterator[Case]:
    yield from stuck(on, "plateau", "broad shoulder", planes.broad_shoulder, (-1.2,), "level at 0, the minimum is at 1",
                     plain(0.1, 1500), plain(0.03, 1000))  # fmt: skip
    yield from stuck(on, "plateau", "sech well", planes.sech_well, (5.0, 6.0, 4.0), "nine from the well", plain(1.0, 150),
                     plain(3.0, 500))  # fmt: skip
    yield case(on, "plateau", "digits with dead units", lambda: samples.dead(samples.digits("mlp", width=16, learn=400)),
               "every unit of the first layer is dead", **plain(0.1, 400))  # fmt: skip
    yield case(on, "plateau", "teacher with dead units", lambda: samples.dead(samples.teacher(seed=6)), "every hidden unit is dead",
               **plain(0.1, 300))  # fmt: skip
    yield case(
        on, "plateau", "saturated network", bind(samples.saturated, -20.0, hidden=8), "sigmoid(-20) is 2e-9", **plain(0.5, 300)
    )
    yield case(on, "plateau", "saturated network", bind(samples.saturated, -16.0, hidden=8), "sigmoid(-16) is 1e-7",
               **plain(0.05, 200, "momentum"))  # fmt: skip


def _spikes_there(on: str) -> Iterator[Case]:
    teacher = bind(samples.teacher, samples=1600, batch_size=16, seed=4)
    for size, lr, optimizer in ((10.0, 0.03, "sgd"), (20.0, 0.03, "sgd"), (20.0, 0.001, "momentum")):
        yield poison(on, "wild teacher", teacher, bind(samples.wild_targets, size=size), lr, 900, optimizer)
    regression = bind(samples.regression, inputs=10, samples=1280, noise=0.4, batch_size=16, seed=31)
    for size, lr in ((60.0, 0.01), (150.0, 0.005)):
        yield poison(on, "wild regression of 10", regression, bind(samples.wild_targets, size=size), lr, 1000)
    yield poison(
        on, "wild rings", bind(samples.rings, samples=720, batch_size=8, seed=9), bind(samples.wild_targets, size=12.0), 0.03, 900
    )


def _bugs_there(on: str) -> Iterator[Case]:
    yield case(on, "broken", "rotated bowl", lambda: samples.reversed_gradient(planes.quadratic(planes.curvatures(30, 20), seed=7)),
               "gradient reversed", **plain(0.02, 150))  # fmt: skip
    yield case(
        on,
        "broken",
        "teacher",
        lambda: samples.reversed_gradient(samples.teacher(seed=3)),
        "gradient reversed",
        **plain(0.003, 100),
    )
    yield case(on, "broken", "digits-linear", lambda: samples.reversed_gradient(samples.digits("linear")), "gradient reversed",
               **plain(0.001, 100, "adam"))  # fmt: skip
    yield case(
        on, "broken", "diabetes", bind(problems.load, "diabetes"), "maximize=True", **plain(0.005, 150, samples.maximizing())
    )
    yield case(on, "broken", "blobs", bind(samples.blobs, seed=3), "momentum with maximize=True",
               **plain(0.0005, 150, samples.maximizing(momentum=0.9)))  # fmt: skip
    yield case(on, "broken", "halved of 8", bind(samples.halved, 1.5, size=8, seed=3, batch_size=20), "the gradient of the heavier use is cut off",
               **plain(0.02, 200))  # fmt: skip
    yield case(on, "broken", "waves", lambda: samples.another_value(samples.waves(seed=2), lambda p, y: (p + 3 * y).square().mean()),
               "another loss is differentiated", **plain(0.02, 200))  # fmt: skip
    yield case(on, "broken", "teacher with a cut", lambda: samples.missing(samples.teacher(seed=7)), "all but the last layer is detached",
               **plain(0.05, 200))  # fmt: skip


def _overfits_there(on: str) -> Iterator[Case]:
    for settings in (plain(0.05, 2000), plain(0.02, 400, "momentum")):
        yield case(
            on,
            "overfitting",
            "wide regression",
            bind(samples.wide_regression, seed=5),
            "44 samples, 41 weights, noise of 1",
            **settings,
        )
    for settings in (plain(0.003, 600, "adamw"), plain(0.1, 800)):
        yield case(on, "overfitting", "fifty samples", bind(samples.few, inputs=16, learn=50, noise=1.5, seed=9, batch_size=10),
                   "fifty samples with noise of 1.5, memorized", **settings)  # fmt: skip
    yield case(on, "overfitting", "shuffled cnn", lambda: samples.shuffled(samples.digits("cnn", learn=96, batch_size=32)),
               "labels shuffled, memorized", **plain(0.005, 150, "adamw"))  # fmt: skip


def _converged_there(on: str) -> Iterator[Case]:
    yield from stuck(on, "converged", "egg carton", planes.egg_carton, (1.0, -0.8, 0.5), "in the dent at 0", plain(0.8, 100),
                     plain(0.1, 500, "momentum"), plain(0.3, 200, schedule="cosine"))  # fmt: skip
    yield case(
        on,
        "converged",
        "rotated bowl",
        bind(planes.quadratic, planes.curvatures(10, 20), seed=8),
        "(1 - 0.1)^600",
        **plain(1.0, 300),
    )
    yield from stuck(on, "converged", "six-hump camel", planes.six_hump_camel, (0.3, -0.9), "a global minimum", plain(0.05, 300))
    yield case(on, "converged", "himmelblau", bind(problems.load, "himmelblau"), "one of four equal minima", **plain(0.01, 500))
    start = (*(2.0,) * 8, *(-0.5 + 1.5 * index / 7 for index in range(8)))  # curvature 4.34
    yield from stuck(on, "converged", "catapult of 16", planes.labelled_product, start, "2.2 and 2.8 over the first curvature: a catapult, then 0",
                     plain(0.5067, 150), plain(0.6448, 120))  # fmt: skip
    why = "x^6 falls as 1 / steps^1.5: at most 1e-5 of the gap is left"
    yield from stuck(on, "converged", "x^6", planes.power(6), (1.0, 0.8), why, plain(0.05, 3000), plain(0.1, 1500))
    exact = bind(samples.regression, inputs=10, samples=300, noise=0.0, batch_size=20, seed=41)
    yield case(on, "converged", "exact regression of 10", exact, "no noise in the targets", **plain(0.1, 2000))
