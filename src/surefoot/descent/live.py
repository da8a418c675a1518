"""What a person sees while a descent goes on.  rows -> a status line every so many steps and a progress bar, a call, or nothing."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from typing import TypeAlias

from surefoot.descent.pauses import paused
from surefoot.descent.snapshot import World
from surefoot.trace import Row

Progress: TypeAlias = (
    bool | Callable[[str, int, int], None] | None
)  # what is being done, how much of it is done, and how much there is


@contextlib.contextmanager
def live(
    steps: int, every: int | None, progress: Progress, what: str, world: World | None = None
) -> Iterator[Callable[[Row], None]]:
    """A function to call with each row.

    Args:
        steps: rows to come.
        every: steps between two status lines on standard output; None for none.
        progress: draw a bar on standard error; None: if that is a terminal. Or a function to call now and then.
        what: the words before the bar.
        world: the random state that rows are made in, which is left for the function.
    """
    if callable(progress):
        with paused(_calling(progress, steps, what)) as seen:

            def tell(row: Row) -> None:
                _line(row, every)
                seen(1, world)

            yield tell
        return
    drawn = sys.stderr.isatty() if progress is None else progress
    if not drawn:
        yield lambda row: _line(row, every)
        return
    from rich.console import Console  # only where somebody looks: it costs 50 ms
    from rich.progress import Progress, TextColumn, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:3], TimeRemainingColumn(), TextColumn("loss {task.fields[loss]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=steps, loss="")

        def show(row: Row) -> None:
            if every and row.step % every == 0:
                bar.console.print(status(row), highlight=False)
            bar.update(task, advance=1, loss=f"{row.loss:.4g}")

        yield show


def status(row: Row) -> str:
    """One row in a line.

    >>> print(status(Row(20, 0.5, 0.05, 0.25, 1.0, 0.05, 2.0, float("nan"), 0.1)))
    step     20  loss 0.25        lr 0.05      gradient 1          update 0.05
    """
    validation = "" if math.isnan(row.validation_loss) else f"  validation {row.validation_loss:.6g}"
    return f"step {row.step:>6}  loss {row.loss:<10.6g}  lr {row.lr:<9.4g} gradient {row.grad_norm:<10.4g} update {row.update_norm:.4g}{validation}"


def _calling(progress: Callable[[str, int, int], None], steps: int, what: str) -> Callable[[int], None]:
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        progress(what, done, steps)

    return told


def _line(row: Row, every: int | None) -> None:
    if every and row.step % every == 0:
        print(status(row), flush=True)
