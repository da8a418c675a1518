"""At which rates are the held-out problems descended?  problem + the rate its ladder hangs from -> cases that `truth.py` labels by reruns."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import held_planes
import held_samples
import planes
from cases import Case, fine, ladder
from torch import nn

bind = functools.partial
BEST = (-2, -1, 0)

# The lowest loss of a problem, where it is known.
LOWEST = {"bowl of 50": 10.0, "dish": -1.0, "booth": 0.0, "matyas": 0.0, "dixon-price": 0.0, "powell": 0.0, "two kinds": 0.0}


scattered = bind(held_planes.scattered, planes.curvatures(30, 12), noise=2.0, batch_size=4, away=1.5, seed=2)

few_friedman = bind(held_samples.friedman, 1, (80,), samples=240, learn=36, noise=4.0, activation=nn.ReLU, seed=12)
little_text = bind(held_samples.next_character, held_samples.windowed, learn=150, batch_size=30)


def ladders() -> Iterator[Case]:
    for part in functions, small_networks, tables, networks:
        yield from part(bind(ladder, "held-out"))


def functions(at: bind[Iterator[Case]]) -> Iterator[Case]:
    fifty = bind(held_planes.bowl, held_planes.linear(4.0, 0.02, 50), floor=10.0)
    yield from at("bowl of 50", fifty, 0.4, (-6, -4, -1, 0), steps=120)
    yield from at("bowl of 50", fifty, 0.1, (-6, -4, -2, 0), "nesterov", 100)
    dish = bind(held_planes.bowl, (7.0, 2.0, 0.03), away=(1.0, -2.0, 3.0), seed=9, floor=-1.0)
    yield from at("dish", dish, 0.2, (-5, -3, -1, 0), steps=100)
    yield from at("dish", dish, 0.3, (-5, -3, -1, 0, 1, 2), "adam", 120)
    yield from at("scattered", scattered, 0.6, (-7, -5, -2, -1, 0), steps=500)
    yield from at("scattered", scattered, 0.05, (-6, -4, -1, 0), "momentum", 500)
    yield from at("scattered", scattered, 0.2, (-5, -2, -1, 0), "rmsprop", 500)
    yield from at("scattered", scattered, 0.5, (-6, -4, -2), steps=500, schedule="one-cycle")
    yield from at("booth", planes.of(held_planes.booth, (-4.0, -3.0), "booth"), 0.03, (-5, -4, -2, 0, 1), steps=60)
    yield from at("matyas", planes.of(held_planes.matyas, (8.0, -3.0), "matyas"), 1.0, (-5, -3, -1, 0, 1), steps=80)
    yield from at("dixon-price", planes.of(held_planes.dixon_price, (2.0, 1.5, 1.0), "dixon-price"), 0.01, (-5, -3, -1), steps=150)
    yield from at("booth", planes.of(held_planes.booth, (-4.0, -3.0), "booth"), 0.001, (-1, 0), "momentum", 40)
    yield from at("matyas", planes.of(held_planes.matyas, (8.0, -3.0), "matyas"), 1.0, (-1, 0), steps=40, schedule="linear")
    yield from at("dish", dish, 0.2, (-1, 0), steps=60, schedule="warmup-linear")
    powell = planes.of(held_planes.powell_singular, (1.5, -0.5, 0.0, 1.0), "powell")
    yield from at("powell", powell, 0.003, (-5, -3, -1, 0), steps=300)
    yield from at("powell", powell, 0.1, (-5, -2, -1), "adam", 300)


def small_networks(at: bind[Iterator[Case]]) -> Iterator[Case]:
    kinds = bind(held_samples.two_kinds, seed=1)
    yield from at("two kinds", kinds, 100.0, (-8, -6, -1, 0), steps=200)
    yield from at("two kinds", kinds, 1.0, (-7, -5, -1, 0), "adam", 150)
    yield from at("counts", bind(held_samples.counts, seed=5), 0.1, (-7, -5, -3, -1, 0), steps=400)
    yield from at("outliers", bind(held_samples.outliers, seed=6), 0.3, (-7, -5, -3, -1, 0, 1), steps=400)
    yield from at("outliers", bind(held_samples.outliers, seed=6), 0.1, (-6, -3, -1), "momentum", 400, schedule="linear")
    yield from at("sparse", bind(held_samples.sparse, seed=7), 0.1, (-6, -4, -2, -1, 0, 3), steps=500)
    yield from at("sparse", bind(held_samples.sparse, seed=7), 0.3, (-6, -2, -1, 0), "adam", 500)
    yield from at("linnerud", held_samples.linnerud, 0.3, (-7, -5, -3, -1, 0, 1), steps=150)
    yield from at("ranked", bind(held_samples.ranked, seed=3), 3.0, (-6, -4, -2, -1, 0), steps=300)
    yield from at("ranked", bind(held_samples.ranked, seed=3, batch_size=16, noise=0.5), 0.03, (-5, -3, -1, 0), "adam", 400)


def tables(at: bind[Iterator[Case]]) -> Iterator[Case]:
    yield from at("wine", bind(held_samples.wine, (), batch_size=16, seed=1), 0.3, (-7, -5, -2, -1, 0), steps=200)
    yield from at("iris", bind(held_samples.iris, seed=1), 1.0, (-6, -4, -2, -1, 0), steps=400)
    yield from at("iris", bind(held_samples.iris, seed=1, batch_size=10), 0.03, (-6, -4, -1, 0, 1), "rmsprop", 300)
    noisy = bind(held_samples.friedman, 1, (), samples=300, noise=1.0, batch_size=6, seed=3)
    yield from at("linear friedman", noisy, 0.1, (-6, -4, -1, 0, 1), steps=400)
    yield from at("linear friedman", noisy, 0.03, (-5, -1, 0), "momentum", 400)
    yield from at(
        "friedman2", bind(held_samples.friedman, 2, (20, 20), activation=nn.ELU, seed=4), 0.1, (-6, -4, -2, -1, 0, 3), steps=500
    )
    yield from at(
        "friedman2",
        bind(held_samples.friedman, 2, (20, 20), activation=nn.ELU, seed=4),
        0.03,
        (-5, -1, 0),
        "adamw",
        300,
        schedule="warmup-cosine",
    )
    yield from at("narrow wine", bind(held_samples.narrow, seed=2), 0.3, (-7, -5, -2, -1, 0, 4), steps=400)
    yield from at("narrow wine", bind(held_samples.narrow, seed=2), 0.1, (-4, -1, 0), "rmsprop", 300, schedule="cosine")


def networks(at: bind[Iterator[Case]]) -> Iterator[Case]:
    yield from at("swiss roll", bind(held_samples.roll, seed=5), 0.1, (-6, -4, -2, -1, 0), "momentum", 400)
    yield from at("swiss roll", bind(held_samples.roll, seed=5), 0.03, (-6, -2, -1, 0), "adam", 400, schedule="one-cycle")
    yield from at("checkers", bind(held_samples.checkers, seed=2), 0.03, (-6, -4, -1, 0), "adamw", 500)
    images = held_samples.images
    yield from at("normalized images", bind(images, held_samples.normalized), 0.3, (-7, -5, -2, -1, 0, 1), steps=150)
    yield from at("averaged images", bind(images, held_samples.averaged), 0.03, (-6, -4, -1, 0), "adam", 150)
    yield from at("averaged images", bind(images, held_samples.averaged), 0.1, BEST, "nesterov", 150, schedule="cosine")
    yield from at("attended images", bind(images, held_samples.Attending), 0.03, (-6, -4, -2, -1), "adamw", 150)
    text = held_samples.next_character
    yield from at("windowed text", bind(text, held_samples.windowed), 0.03, (-6, -4, -2, -1), "adam", 150)
    yield from at("recurrent text", bind(text, held_samples.recurrent), 1.0, (-6, -4, -1, 0), "momentum", 100)
    yield from at("normalized images", bind(images, held_samples.normalized), 0.3, (-1, 0), "momentum", 200, schedule="cosine")
    yield from at("attended images", bind(images, held_samples.Attending), 1.0, (-6, -1, 0, 4), steps=200, schedule="warmup-linear")
    yield from at("recurrent text", bind(text, held_samples.recurrent), 0.01, (-5, -1, 0), "rmsprop", 100, schedule="warmup-cosine")
    yield from at("few friedman", few_friedman, 0.01, (-5, -3, -2, -1), "adamw", 300)
    yield from at("little text", little_text, 0.03, (-6, -4, -2, -1), "adamw", 200)
    yield from at("half seen", held_samples.half_seen, 0.01, (-6, -4, -1, 0), "adamw", 200)
    yield from at("half seen", held_samples.half_seen, 1.0, (-5, -2, -1, 0), "sgd", 200, schedule="warmup-cosine")


def near_the_edge() -> Iterator[Case]:
    """Full-batch gradient descent of six small networks, where the curvature settles at 2 / rate."""
    at = bind(fine, "held-out")
    yield from at("small iris", bind(held_samples.iris, (24, 24), seed=2), (0.6, 0.9, 1.3), 500)
    yield from at("s-curve", bind(held_samples.roll, "s_curve", 150, (32, 32), seed=1), (0.12, 0.17, 0.25, 0.32), 500)
    yield from at("friedman3", bind(held_samples.friedman, 3, (32, 32), samples=120, seed=2), (0.1, 0.15, 0.22), 500)
    yield from at("squared wine", bind(held_samples.squared_wine, seed=1), (0.6, 0.8, 1.2), 300)
    yield from at("squared wine", bind(held_samples.squared_wine, seed=1), (0.8, 1.1, 1.6), 600)
    small = bind(held_samples.roll, "swiss_roll", 120, (32, 32), seed=3)
    yield from at("small swiss", small, (0.12, 0.15, 0.3, 0.4), 600)
    yield from at("tied wine", bind(held_samples.narrow, "wine", 6, "full", 1, True), (0.5, 0.8, 1.2), 400)
    yield from at("small iris", bind(held_samples.iris, (24, 24), seed=2), (0.7, 1.1), 600)
