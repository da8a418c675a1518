"""Whose illness is known beforehand, on the held-out side?  closed forms and planted faults -> cases that carry their label."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import held_ladders
import held_planes
import held_samples
import samples
import torch
from cases import Case
from planted import case, plain, poison, stuck
from torch import nn

from surefoot import Problem

bind = functools.partial
ON = "held-out"


def planted_cases() -> Iterator[Case]:
    parts = (oscillating, growing, local_minima, saddles, planes_flat, networks_flat, spikes, reversed_bugs, other_bugs, overfits)
    for part in (*parts, converged):
        yield from part()


def put(label: str, problem: str, build: Callable[[], Problem], why: str, *settings: dict[str, Any]) -> Iterator[Case]:
    for chosen in settings:
        yield case(ON, label, problem, build, why, **chosen)


def on(label: str, problem: str, function: Any, start: tuple[float, ...], why: str, *settings: dict[str, Any]) -> Iterator[Case]:
    yield from stuck(ON, label, problem, function, start, why, *settings)


def bowl_of_50() -> Problem:
    return held_planes.bowl(held_planes.linear(4.0, 0.02, 50), floor=10.0)


def dish() -> Problem:
    return held_planes.bowl((7.0, 2.0, 0.03), away=(1.0, -2.0, 3.0), seed=9, floor=-1.0)


# ---- rates around a limit


def oscillating() -> Iterator[Case]:
    yield from put("oscillating", "bowl of 50", bowl_of_50, "(1 - 1.9995)^2 per step", plain(1.9995 / 4, 120))
    yield from put("oscillating", "dish", dish, "(1 - 2)^2 per step", plain(2 / 7, 90))
    yield from put("oscillating", "dish", dish, "Nesterov at 0.9998 of its limit 3.8 / 2.8 / curvature",
                   plain(0.9998 * 3.8 / 2.8 / 7, 130, "nesterov"))  # fmt: skip
    why = "above 2 / curvature, in a stable cycle of two"
    yield from on("oscillating", "arctan wall", held_planes.arctan_wall, (6.0, -5.0), why, plain(2.4, 150), plain(4.0, 100))
    yield from on("oscillating", "ricker wall", held_planes.ricker_wall, (1.8,), why, plain(2.2, 120), plain(2.45, 150))
    yield from on("oscillating", "ricker wall", held_planes.ricker_wall, (1.8,), "above 2 / curvature, in a stable cycle of four",
                  plain(2.6, 200))  # fmt: skip


def growing() -> Iterator[Case]:
    why = "(1 - rate x top curvature)^2 per step is above 1"
    yield from put("diverging", "bowl of 50", bowl_of_50, why, plain(2.05 / 4, 120), plain(2.3 / 4, 50))
    yield from put("diverging", "dish", dish, why, plain(2.12 / 7, 80), plain(3.0 / 7, 25))
    yield from put(
        "diverging", "dish", dish, "Nesterov's limit is 3.8 / 2.8 / curvature", plain(1.15 * 3.8 / 2.8 / 7, 60, "nesterov")
    )
    yield from put("diverging", "scattered", held_ladders.scattered, why, plain(2.15, 60), plain(2.08, 90))
    yield from put("overflow", "bowl of 50", bowl_of_50, why, plain(3.5 / 4, 250), plain(25.0, 100))
    yield from put("overflow", "dish", dish, why, plain(1.0, 200), plain(5.0, 150, "momentum"))


# ---- standstills


def local_minima() -> Iterator[Case]:
    yield from on("local-minimum", "three-hump camel", held_planes.three_hump_camel, (-2.0, 1.4), "0.2986 at (-1.75, 0.87)",
                  plain(0.05, 150), plain(0.02, 250, "momentum"))  # fmt: skip
    yield from on("local-minimum", "levy", held_planes.levy, (-6.0, 5.2, 4.6), "dents away from 1", plain(0.05, 300),
                  plain(0.05, 500, "adam"))  # fmt: skip
    yield from on("local-minimum", "griewank", held_planes.griewank, (6.0, 9.3), "dents away from 0", plain(0.3, 200),
                  plain(0.1, 200, "nesterov"))  # fmt: skip
    yield from on("local-minimum", "ackley", held_planes.ackley, (2.2, -1.1, 2.9), "dents away from 0", plain(0.01, 150),
                  plain(0.003, 300, "momentum", schedule="cosine"))  # fmt: skip
    yield from on("local-minimum", "sine wells", held_planes.sine_wells, (1.9, -2.9), "1.53 and -2.55 are not the deepest",
                  plain(0.05, 100), plain(0.03, 400, "adam"))  # fmt: skip
    yield from on("local-minimum", "mccormick", held_planes.mccormick, (3.2, 2.2), "pi further along (1, 1) is a deeper one",
                  plain(0.1, 120))  # fmt: skip


def saddles() -> Iterator[Case]:
    yield from on("saddle", "ripples", held_planes.ripples, (3.0, 3.0), "x = y leads to the saddle (1, 1)", plain(0.1, 100),
                  plain(0.02, 300, "momentum"), plain(0.05, 400, "adam"))  # fmt: skip
    yield from on("saddle", "four wells", held_planes.four_wells, (0.4, 0.0), "y = 0 leads to the saddle (1, 0)", plain(0.03, 120),
                  plain(0.02, 150, schedule="cosine"))  # fmt: skip
    yield from on("saddle", "factors", held_planes.factors, (0.0,) * 12, "U = V = 0", plain(0.2, 100))
    small = tuple(1e-9 * (-1) ** index for index in range(12))
    yield from on("saddle", "factors", held_planes.factors, small, "all numbers 1e-9, too few steps to leave", plain(0.05, 80))
    yield from put("saddle", "zeroed wine", lambda: held_samples.zeroed(held_samples.narrow("wine", batch_size=20, seed=4)),
                   "all weights 0: the layers wait for each other", plain(0.1, 200), plain(0.001, 200, "adamw"))  # fmt: skip
    yield from put("saddle", "zeroed iris", lambda: held_samples.zeroed(held_samples.iris((10,), seed=5)),
                   "all weights 0: the layers wait for each other", plain(0.2, 150, "momentum"))  # fmt: skip


def planes_flat() -> Iterator[Case]:
    yield from on("plateau", "easom", held_planes.easom, (-1.5, 8.0), "nearly seven from the hole", plain(1.0, 150),
                  plain(10.0, 200, "momentum"))  # fmt: skip
    yield from on("plateau", "deep hole", held_planes.deep_hole, (4.0, -3.0, 4.0, 3.0, -3.0, 4.0), "nine from the hole",
                  plain(0.5, 200), plain(5.0, 300))  # fmt: skip
    yield from on("plateau", "high shoulder", held_planes.high_shoulder, (-1.1,), "level at 0, the minimum is at 1",
                  plain(0.1, 1200), plain(0.004, 1500, "momentum"))  # fmt: skip
    yield from on("plateau", "terraces", held_planes.terraces, (-100.5, -99.8), "down the first step, two hundred to the next",
                  plain(0.5, 600), plain(1.0, 800))  # fmt: skip


def networks_flat() -> Iterator[Case]:
    yield from put("plateau", "dead friedman", lambda: samples.dead(held_samples.friedman(3, (24,), activation=nn.ReLU, seed=6)),
                   "every hidden unit is dead", plain(0.2, 300), plain(0.02, 250, "momentum"))  # fmt: skip
    yield from put("plateau", "dead wine", lambda: samples.dead(held_samples.wine((16, 16), nn.ReLU, seed=7)),
                   "every unit of the first layer is dead", plain(0.3, 300))  # fmt: skip
    yield from put("plateau", "wrong wine", lambda: held_samples.wrong_end(held_samples.wine(seed=8).with_(loss=held_samples.brier), 10.0),
                   "softmax says the first kind, sure to 2e-9", plain(0.5, 200), plain(0.1, 200, "momentum"))  # fmt: skip
    bounded = bind(held_samples.friedman, 2, (12,), samples=200, batch_size=20, seed=8)
    yield from put("plateau", "wrong friedman", lambda: held_samples.wrong_end(bounded().with_(loss=held_samples.bounded), 10.0),
                   "tanh(10) is 1 to 4e-9", plain(0.3, 300))  # fmt: skip


# ---- faults


def spikes() -> Iterator[Case]:
    friedman = bind(held_samples.friedman, 1, (32,), samples=720, batch_size=8, seed=10)
    for size, lr, optimizer in ((15.0, 0.02, "sgd"), (30.0, 0.002, "momentum")):
        yield poison(ON, "wild friedman", friedman, bind(samples.wild_targets, size=size), lr, 900, optimizer)
    roll = bind(held_samples.roll, "swiss_roll", 640, batch_size=8, seed=11)
    for size, lr in ((12.0, 0.03), (25.0, 0.01)):
        yield poison(ON, "wild roll", roll, bind(samples.wild_targets, size=size), lr, 900)
    curve = bind(held_samples.roll, "s_curve", 800, (20,), 10, 12)
    yield poison(ON, "wild s-curve", curve, bind(samples.wild_targets, size=20.0), 0.02, 1000)
    yield poison(ON, "poisoned wine", bind(held_samples.wine, batch_size=4, seed=15), bind(samples.poisoned, scale=20.0), 0.03, 900)


def reversed_bugs() -> Iterator[Case]:
    yield from put("broken", "bowl of 50", lambda: samples.reversed_gradient(bowl_of_50()), "gradient reversed", plain(0.01, 80))
    yield from put("broken", "wine", lambda: samples.reversed_gradient(held_samples.wine(batch_size=16, seed=1)), "gradient reversed",
                   plain(0.01, 100), plain(0.003, 120, "adam"))  # fmt: skip
    text = bind(held_samples.next_character, held_samples.windowed)
    yield from put("broken", "windowed text", lambda: samples.reversed_gradient(text()), "gradient reversed",
                   plain(0.01, 100, "momentum"))  # fmt: skip
    yield from put("broken", "swiss roll", bind(held_samples.roll, seed=5), "Adam with maximize=True",
                   plain(0.001, 100, samples.maximizing(maker=torch.optim.Adam)))  # fmt: skip
    yield from put("broken", "averaged images", bind(held_samples.images, held_samples.averaged), "maximize=True",
                   plain(0.05, 120, samples.maximizing()))  # fmt: skip


def other_bugs() -> Iterator[Case]:
    yield from put("broken", "differencing", bind(held_samples.differencing, seed=2), "the gradient of the heavier use is cut off",
                   plain(0.01, 200), plain(0.005, 100, "momentum"))  # fmt: skip
    linnerud = held_samples.linnerud
    yield from put("broken", "linnerud", lambda: samples.another_value(linnerud(), lambda p, y: (p + 2 * y).square().mean()),
                   "another loss is differentiated", plain(0.05, 150))  # fmt: skip
    yield from put("broken", "narrow iris with a cut", lambda: held_samples.detached_encoder(held_samples.narrow("iris", seed=3)),
                   "the encoder is detached", plain(0.1, 200))  # fmt: skip


def overfits() -> Iterator[Case]:
    yield from put("overfitting", "few friedman", held_ladders.few_friedman, "36 samples with noise, memorized", plain(0.002, 500, "adamw"),
                   plain(0.003, 800, "momentum"))  # fmt: skip
    wine = bind(held_samples.wine, (48,), nn.SiLU, learn=60, batch_size=12, seed=13)
    yield from put("overfitting", "shuffled wine", lambda: samples.shuffled(wine()), "labels shuffled, memorized",
                   plain(0.003, 400, "adam"), plain(0.02, 800, "momentum"))  # fmt: skip
    yield from put("overfitting", "little text", held_ladders.little_text, "150 characters, memorized", plain(0.01, 400, "adamw"),
                   plain(0.003, 600, "rmsprop"))  # fmt: skip
    images = bind(held_samples.images, held_samples.Attending, learn=120, batch_size=24)
    yield from put("overfitting", "shuffled images", lambda: samples.shuffled(images()), "labels shuffled, memorized",
                   plain(0.01, 500, "adamw", schedule="cosine"))  # fmt: skip


# ---- healthy


def converged() -> Iterator[Case]:
    yield from on("converged", "booth", held_planes.booth, (-4.0, -3.0), "(1 - 0.1)^400", plain(0.05, 200))
    yield from on("converged", "booth", held_planes.booth, (-4.0, -3.0), "momentum, 0.9^300", plain(0.03, 300, "momentum"))
    yield from on("converged", "matyas", held_planes.matyas, (8.0, -3.0), "(1 - 0.06)^600", plain(1.5, 300, schedule="linear"))
    yield from on("converged", "three-hump camel", held_planes.three_hump_camel, (0.7, -0.4), "in the dent of 0", plain(0.1, 200),
                  plain(0.02, 300, "momentum"))  # fmt: skip
    yield from on("converged", "levy", held_planes.levy, (1.4, 0.7, 1.2), "in the dent of the minimum", plain(0.1, 400))
    yield from on("converged", "griewank", held_planes.griewank, (1.2, -1.0), "in the dent of 0", plain(0.5, 150),
                  plain(0.05, 500, "adam", schedule="cosine"))  # fmt: skip
    yield from on("converged", "dixon-price", held_planes.dixon_price, (1.2, 0.8, 0.6), "near the minimum", plain(0.03, 600),
                  plain(0.01, 400, "nesterov"))  # fmt: skip
    yield from on("converged", "sine wells", held_planes.sine_wells, (-0.1, -0.9), "in the deepest dent", plain(0.05, 120))
    yield from on("converged", "bohachevsky", held_planes.bohachevsky, (0.1, -0.08), "in the dent of 0", plain(0.01, 200),
                  plain(0.005, 200, "momentum"))  # fmt: skip
    start = (2.5, 0.3, -0.2, 0.5)
    yield from on("converged", "catapult of a chain", held_planes.chain, start, "above 2 / the first curvature: a catapult, then 0",
                  plain(0.36, 120), plain(0.45, 150))  # fmt: skip
    exact = bind(held_samples.friedman, 1, (), samples=200, batch_size=10, seed=14)
    yield from put(
        "converged", "exact linear friedman", lambda: held_samples.exact(exact()), "no noise in the targets", plain(0.1, 1200)
    )
