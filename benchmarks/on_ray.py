"""Where are the cases of a benchmark worked off?  a function of the file that was run + jobs -> what it returns for each, in their order.

In processes of this machine, or as tasks of Ray's. The workers of a cluster need this folder at the same place.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from surefoot.descent.cluster import cluster, held, on_cluster

Mapped = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@contextlib.contextmanager
def pool(engine: str, workers: int = 2) -> Iterator[Mapped]:
    """What maps a function to jobs.

    Args:
        engine: ``"processes"``, or ``"ray"`` as `descend_many` takes it.
        workers: how many processes; a cluster has its own number.
    """
    if on_cluster(engine):
        with held(engine):
            yield functools.partial(_mapped, engine)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as processes:
        yield processes.map


def _mapped(engine: str, function: Callable[[Any], Any], jobs: Iterable[Any]) -> list[Any]:
    file = Path(str(sys.modules[function.__module__].__file__)).resolve()
    parts = {"folder": str(file.parent), "module": file.stem, "function": function.__name__}

    def work(parts: Mapping[str, str], job: Any) -> Any:
        if parts["folder"] not in sys.path:
            sys.path.insert(0, parts["folder"])
        return getattr(importlib.import_module(parts["module"]), parts["function"])(job)

    asked, answers = list(jobs), {}
    with cluster(engine) as found:
        found.gathered(work, parts, asked, answers.__setitem__, lambda: None, interrupted=False)
    return [answers[index] for index in range(len(asked))]


def workers() -> int:
    """How many processes of this machine to use."""
    return int(os.environ.get("WORKERS", "2"))
