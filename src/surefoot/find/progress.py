"""What a person sees while rates or batch sizes are tried.  what is tried + how many steps -> a bar, a call, or nothing."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from surefoot.descent.live import Progress


@contextlib.contextmanager
def searching(evaluations: int, progress: Progress, title: str = "finding the rate") -> Iterator[Callable[[str, int], None]]:
    """A function to call with what is being tried and how many gradient evaluations it took.

    Args:
        evaluations: all there are to spend.
        progress: draw the bar on standard error; None: if that is a terminal. Or a function to call instead.
        title: what stands before the bar.
    """
    if callable(progress):
        yield _calling(progress, evaluations)
        return
    if not (sys.stderr.isatty() if progress is None else progress):
        yield lambda what, count: None
        return
    from rich.console import Console  # only where somebody looks: it costs 50 ms
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(title), BarColumn(24), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=evaluations)
        yield lambda what, count: bar.update(task, advance=count, description=what)


def _calling(progress: Callable[[str, int, int], None], evaluations: int) -> Callable[[str, int], None]:
    done = 0

    def told(what: str, count: int) -> None:
        nonlocal done
        done = min(done + count, evaluations)
        progress(what, done, evaluations)

    return told
