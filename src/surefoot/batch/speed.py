"""How many samples per second?  problem + batch sizes -> real steps of each, timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from surefoot.batch.fits_data import sized
from surefoot.descent.batches import samples
from surefoot.descent.probe import Moment, Probe
from surefoot.descent.settings import Settings
from surefoot.descent.walk import Walk
from surefoot.problem import Problem

STEPS = 5  # the first of which does not count: it is slower than the rest
SIZES, FACTOR = 7, 4  # how many sizes, and the factor between them


def sizes_around(size: int, most: int, own: int) -> list[int]:
    """Batch sizes a factor of 4 apart, this one and the problem's own among them, none above ``most``, which is the last one where it is near.

    Example:
        >>> sizes_around(64, 1438, 64), sizes_around(2, 3, 2), sizes_around(1, 4096, 100)
        ([1, 4, 16, 64, 256, 1024, 1438], [2, 3], [1, 4, 16, 64, 100])
    """
    around = [size * FACTOR**power for power in range(1, 4)]
    below = [size // FACTOR**power for power in range(1, 4)]
    inside = {size, own, *(each for each in (*around, *below) if 1 <= each <= most)}
    if len(inside) < SIZES and max(inside) * FACTOR >= most:
        inside.add(most)
    dropped = [each for each in sorted(inside) if each not in (size, own)][: len(inside) - SIZES] if len(inside) > SIZES else []
    return sorted(inside - set(dropped))


def speeds(
    problem: Problem, sizes: Sequence[int], lr: float, settings: dict[str, Any], seen: Callable[[str, int], None]
) -> tuple[tuple[int, float], ...]:
    """Samples per second at each batch size: the quickest of four steps, each with everything that a step of `descend` does.

    Args:
        problem: what is descended.
        sizes: the batch sizes.
        lr: the rate that is descended with; it does not matter for the time.
        settings: what else `descend` takes.
        seen: called with what was done and how many steps it took.
    """
    return tuple((size, _speed(problem.with_(validation=None), size, lr, settings, seen)) for size in sizes)


def _speed(problem: Problem, size: int, lr: float, settings: dict[str, Any], seen: Callable[[str, int], None]) -> float:
    counted = Probe("samples", lambda moment: float(_samples(moment)))
    walk = Walk(sized(problem, size), Settings(lr=lr, steps=STEPS, **settings), None, (), [counted])
    rows = []
    with walk.world.entered():
        while walk.ended is None:
            rows.append(walk.advance())
            seen("samples per second", 1)
    taken = np.diff([row.seconds for row in rows])
    counts = np.array([row.probes["samples"] for row in rows[1:]])
    return float(np.max(counts / taken)) if len(taken) else float(counts.sum())


def _samples(moment: Moment) -> int:
    return sum(samples(batch) for batch in moment.batches)
