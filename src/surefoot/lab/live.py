"""What is recorded while it goes on?  a file of runs -> the list of them, and of one what is new, as plain messages."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surefoot.diagnosis.diagnose import diagnose
from surefoot.errors import SettingError, StoreError, SurefootError
from surefoot.figures.marks import marks
from surefoot.lab.scene import verdict as told
from surefoot.lab.wire import picture
from surefoot.run import Path as Walked
from surefoot.run import Run
from surefoot.store import Entry, Store
from surefoot.trace import Trace

PATIENCE = 1.0  # s between two verdicts at least
SHARE = 0.1  # of the time at most goes into verdicts; those of long runs are rarer
LOOK = 1.0  # s after which a file that has not changed is looked at all the same: a killed process leaves no trace in it


def listed(store: str | None) -> dict[str, Any]:
    """The message ``runs``: all runs, the oldest first.

    A file that does not exist yet is an empty list; why one cannot be read is told in ``note``.

    Example:
        >>> listed("nowhere/runs.sqlite")
        {'kind': 'runs', 'runs': [], 'note': None}
    """
    try:
        if store is None or not _there(store):
            return {"kind": "runs", "runs": [], "note": None}
        return {"kind": "runs", "runs": [_line(entry) for entry in Store(store).runs()], "note": None}
    except (StoreError, OSError) as error:
        return {"kind": "runs", "runs": [], "note": str(error)}


def signature(store: str | None) -> Any:
    """Something that changes whenever the file does."""
    return tuple(_stamp(f"{store}{ending}") for ending in ("", "-wal")) if store is not None else None


class Follower:
    """One run, read as it grows.

    Args:
        store: the file of runs.
        run: the number of the run.
        clock: seconds.

    Example:
        >>> import tempfile
        >>> from surefoot import descend, problems
        >>> file = tempfile.mkdtemp() + "/runs.sqlite"
        >>> run = descend(problems.load("line"), lr=0.1, steps=20, store=file)
        >>> follower = Follower(file, run.config["run_id"])
        >>> message = follower.news()
        >>> message["rows"], message["ended"], message["last"]["step"], follower.news()
        (20, 'steps', 19, None)
    """

    def __init__(self, store: str | None, run: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._id, self._clock = store, run, clock
        self._trace: Trace | None = None
        self._entry: Entry | None = None
        self._seen: Any = None
        self._looked = self._due = -math.inf
        self._judged = 0  # rows that the last verdict was about
        self._gone = False

    def news(self) -> dict[str, Any] | None:
        """The message ``live`` where there is more than was told, ``refused`` (once) where the run cannot be read any more, else None."""
        now = self._clock()
        seen = signature(self._store)
        if self._gone:
            return None
        if seen == self._seen and now - self._looked < LOOK and not (self._unjudged() and now >= self._due):
            return None
        self._seen, self._looked = seen, now
        try:
            grown = self._read()
        except (StoreError, OSError) as error:
            self._gone = True
            return {"kind": "refused", "ask": "follow", "field": None, "text": str(error)}
        verdict = self._verdict(now)
        return self._message(verdict) if grown or verdict is not None else None

    def _read(self) -> bool:
        """Reads what is new; whether anything is."""
        if self._store is None:
            raise StoreError("The lab was started without a file of runs.")
        store = Store(self._store)
        entry = store.entry(self._id)
        if self._entry is not None and entry.started != self._entry.started:  # another file of the same name
            self._trace, self._judged = None, 0
        since = 0 if self._trace is None or not len(self._trace) else int(self._trace["step"][-1]) + 1
        new = store.trace(self._id, since=since)
        grown = self._trace is None or len(new) > 0 or self._entry is None or entry.ended != self._entry.ended
        self._trace = new if self._trace is None else self._trace + new
        self._entry = entry
        return grown

    def _unjudged(self) -> bool:
        return self._trace is not None and len(self._trace) > self._judged

    def _verdict(self, now: float) -> Mapping[str, Any] | None:
        if not self._unjudged() or now < self._due:
            return None
        begun = self._clock()
        run = self._run()
        self._judged = len(run.trace)
        try:
            return told(diagnose(run))
        except SurefootError:
            return None
        finally:
            took = self._clock() - begun
            self._due = now + max(PATIENCE, took / SHARE)

    def _run(self) -> Run:
        """The rows so far with their settings, which say how to read them."""
        assert self._trace is not None
        assert self._entry is not None
        ended: Any = self._entry.ended if self._entry.ended in ("steps", "stopped", "diverged") else "interrupted"
        return Run(self._trace, {}, Walked(np.zeros(0, dtype=int), torch.empty(0, 0)), ended, self._entry.config)

    def _message(self, verdict: Mapping[str, Any] | None) -> dict[str, Any]:
        run = self._run()
        assert self._entry is not None
        last = run.trace[-1] if len(run.trace) else None
        return {
            "kind": "live",
            "run": self._id,
            "rows": len(run.trace),
            "picture": _picture(run),
            "last": last and {name: _finite(getattr(last, name)) for name in ("step", "loss", "lr", "grad_norm")},
            "ended": self._entry.ended,
            "verdict": verdict,
        }


def _picture(run: Run) -> dict[str, Any] | None:
    """The curve so far; None where there is nothing to draw yet."""
    if not len(run.trace):
        return None
    try:
        return picture(marks(run))
    except SettingError:
        return None


def _line(entry: Entry) -> dict[str, Any]:
    config = entry.config
    return {
        "id": entry.id,
        "problem": config.get("problem"),
        "optimizer": config.get("optimizer"),
        "lr": _finite(config.get("lr")),
        "steps": config.get("steps"),
        "rows": entry.steps,
        "loss": _finite(entry.loss),
        "ended": entry.ended,
        "started": entry.started,
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _there(store: str) -> bool:
    """Whether a file is there; an empty one is about to become a store."""
    return Path(store).is_dir() or (Path(store).exists() and Path(store).stat().st_size > 0)


def _stamp(path: str) -> Any:
    try:
        seen = Path(path).stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size
