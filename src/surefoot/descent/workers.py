"""Work in several processes, one thread each.  functions -> what they return, in order.

Two multi-threaded torch processes on two cores slow each other down more than tenfold, so every worker keeps to one thread. Workers are forked:
a user's loss may be a lambda, which cannot be sent to a process that starts from nothing.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch

from surefoot.errors import SurefootError


def cores() -> int:
    """How many processes are worth starting: 1 where forking is not to be had."""
    cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    if "fork" not in multiprocessing.get_all_start_methods() or cuda or unforkable():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def unforkable() -> str:
    """Why this process should not be forked; empty where it may be."""
    loaded = [name for name in ("jax", "tensorflow") if name in sys.modules]
    return f"{loaded[0]} is loaded, whose threads do not survive the forking of processes" if loaded else ""


def in_processes(tasks: Sequence[Callable[[], Any]], done: Callable[[int, Any], Any], interrupted: object) -> list[Any]:
    """What the tasks return, each worked off in one of the forked processes.

    Args:
        tasks: functions without arguments; their results must be picklable.
        done: called with 1 and the result whenever one has come, and what it returns is the result; with 0 and None ten times a second
            while there is none.
        interrupted: becomes true when the work shall be given up.

    Raises:
        SurefootError: a worker was killed.
        KeyboardInterrupt: it was given up; no worker is left.
        Exception: whatever a task raised.
    """
    count = min(cores(), len(tasks))
    context = multiprocessing.get_context("fork")
    workers: dict[Any, Any] = {}
    for first in range(count):
        mine, theirs = context.Pipe(duplex=False)
        # not a daemon: a loader with workers of its own must be able to start them
        worker = context.Process(target=_work, args=(tasks, range(first, len(tasks), count), theirs))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: the workers touch no lock of torch's
            worker.start()
        theirs.close()
        workers[mine] = worker
    try:
        return _gathered(workers, len(tasks), done, interrupted)
    finally:
        for worker in workers.values():
            worker.terminate()
            worker.join()


def _work(tasks: Sequence[Callable[[], Any]], mine: range, pipe: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    torch.set_num_threads(1)
    for index in mine:
        try:
            pipe.send_bytes(pickle.dumps((index, tasks[index](), None)))
        except Exception as error:
            pipe.send_bytes(_dumped(index, error))
            break
    pipe.close()
    os._exit(0)  # nothing of the parent's is to be tidied up twice


def _dumped(index: int, error: Exception) -> bytes:
    try:
        return pickle.dumps((index, None, error))
    except Exception:
        return pickle.dumps((index, None, SurefootError(f"{type(error).__name__}: {error}")))


def _gathered(workers: dict[Any, Any], count: int, done: Callable[[int, Any], Any], interrupted: object) -> list[Any]:
    results: dict[int, Any] = {}
    open_pipes = list(workers)
    while len(results) < count:
        if interrupted:
            raise KeyboardInterrupt
        ready = multiprocessing.connection.wait(open_pipes, timeout=0.1)
        if not ready:
            done(0, None)
        for pipe in ready:
            try:
                index, result, error = pickle.loads(pipe.recv_bytes())  # type: ignore[union-attr]
            except EOFError:
                open_pipes.remove(pipe)
                if not open_pipes and len(results) < count:
                    raise SurefootError("A worker process ended before its work was done; was it out of memory?") from None
                continue
            if error is not None:
                raise error
            results[index] = done(1, result)
    return [results[index] for index in range(count)]
