"""When is the caller asked in between?  pieces of work -> a call now and then, in the caller's own random state.

What is called there is somebody else's: a server that answers its page, a bar that is drawn. It may descend, draw random numbers or give up by an
exception, and the work goes on, or not, as if nothing had been.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator

from surefoot.descent.snapshot import World

PAUSE = 0.02  # seconds between two calls: changing the random state twice takes a hundredth of it


@contextlib.contextmanager
def paused(call: Callable[[int], None] | None) -> Iterator[Callable[[int, World | None], None]]:
    """A function to call with each piece of work: how many steps it was, and the world in which one is just now.

    Args:
        call: hears of all steps since it was called last; None: nobody does.

    Example:
        >>> heard = []
        >>> with paused(heard.append) as seen:
        ...     for _ in range(5):
        ...         seen(2, None)
        >>> heard
        [2, 8]
    """
    if call is None:
        yield lambda steps, world: None
        return
    last, waiting = -math.inf, 0

    def seen(steps: int, world: World | None) -> None:
        nonlocal last, waiting
        waiting += steps
        if time.perf_counter() - last < PAUSE:
            return
        told, waiting = waiting, 0
        with contextlib.nullcontext() if world is None else world.left():
            call(told)
        last = time.perf_counter()

    yield seen
    if waiting:
        call(waiting)
