"""Every picture of README and docs that the demo does not draw.  problems -> PNG and GIF files in docs/pictures.

Run by ``make pictures``; each is drawn as a user would draw it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import surefoot as sf

FOLDER = Path(__file__).parent / "pictures"
Picture = tuple[str, Any, dict[str, Any]]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    makers: tuple[Callable[[], Iterator[Picture]], ...] = (of_the_line, of_valleys, of_a_network)
    for name, answer, options in (picture for maker in makers for picture in maker()):
        path = FOLDER / name
        if path.suffix == ".gif":
            sf.animate(answer, path, dpi=80, **options)
        else:
            sf.plot(answer, **options).figure.savefig(path, dpi=110)
        print(path.relative_to(FOLDER.parents[1]), f"{path.stat().st_size / 1000:.0f} kB")


def of_the_line() -> Iterator[Picture]:
    """Two weights: the whole surface."""
    line = sf.problems.load("line")
    race = sf.landscape(line, [sf.descend(line, lr=lr, steps=200) for lr in (0.01, 0.1, 0.7, 0.9)], resolution=151)
    yield "line-landscape.png", race, {}
    yield "line-landscape.gif", race, {}
    regimes = [sf.descend(line, lr=lr, steps=200) for lr in (0.005, 0.4, 0.78, 0.9)]
    yield "line-multiples.png", sf.landscape(line, regimes, resolution=151), {"kind": "multiples"}
    yield (
        "line-3d.png",
        sf.landscape(line, [sf.descend(line, lr=lr, steps=200) for lr in (0.05, 0.7)], resolution=81),
        {"kind": "3d"},
    )
    rates = [0.003 * 1.25**k for k in range(28)]
    many = sf.descend_many(line, lr=rates, steps=300).runs
    yield "line-map.png", list(many), {"kind": "map", "curvature": line.answer.curvature if line.answer else None}


def of_valleys() -> Iterator[Picture]:
    """One weight: the curve, a walker that stays in the wrong valley, and one that does not."""
    valley = sf.problems.load("valley")
    stuck, freed = (sf.descend(valley, lr=lr, steps=200) for lr in (0.03, 0.25))
    yield "valley.png", sf.landscape(valley, stuck, resolution=301), {}
    yield "valley-race.gif", sf.landscape(valley, [stuck, freed], resolution=301), {"theme": "dark"}
    himmelblau = sf.problems.load("himmelblau")
    yield "himmelblau-3d.png", sf.landscape(himmelblau, sf.descend(himmelblau, lr=0.01, steps=100), resolution=81), {"kind": "3d"}


def of_a_network() -> Iterator[Picture]:
    """26,122 weights: slices, with what they hold."""
    digits = sf.problems.load("digits-mlp")
    runs = [sf.descend(digits, lr=lr, steps=200) for lr in (0.02, 0.1, 0.5)]
    plane = sf.landscape(digits, runs)
    yield "digits-plane.png", plane, {}
    yield "digits-plane-dark.png", plane, {"theme": "dark"}
    yield "digits-3d.png", plane, {"kind": "3d"}
    yield "digits-random.png", sf.landscape(digits, runs[1], plane="random"), {}
    yield (
        "digits-line.png",
        sf.landscape(digits, [runs[1], sf.descend(digits, lr=0.1, steps=200, seed=1)], plane="line", resolution=61),
        {},
    )


if __name__ == "__main__":
    main()
