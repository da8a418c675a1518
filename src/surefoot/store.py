"""Runs on disk, readable while they run.  rows, points and checkpoints -> one SQLite file and a folder beside it -> Run.

The file is in WAL mode: a second process reads while the first writes, one transaction a second. Weights, optimizer, random
state and place in the data lie beside it in ``<file>.checkpoints/<id>.pt``, written whole or not at all, after the rows that lead
up to them; what was recorded past the last checkpoint when a process was killed is walked again, bit for bit the same.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sqlite3
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import IO, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from surefoot import html
from surefoot.errors import StoreError, SurefootWarning
from surefoot.run import Path, Run, read_whole, write_whole
from surefoot.trace import COLUMNS, Row, Trace

try:
    import fcntl
except ImportError:  # Windows: whether a run is still being written cannot be told there
    fcntl = None  # type: ignore[assignment]

SCHEMA = 1
APPLICATION = 0x53554645  # "SUFE": tells our files from other SQLite files
INTERVAL = 1.0  # seconds between two transactions
CHECKPOINT_SHARE = 0.2  # of the time at most goes into writing checkpoints; large models are saved less often
LOCK_TIMEOUT = 5.0  # seconds to wait for another writer
LISTED = ("run", "problem", "optimizer", "rate", "steps", "loss", "ended", "started", "after")

_TABLES = """
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, parent INTEGER, started TEXT NOT NULL, config TEXT NOT NULL, ended TEXT);
CREATE TABLE rows (
  run INTEGER NOT NULL, step INTEGER NOT NULL, epoch REAL, lr REAL, loss REAL, grad_norm REAL, update_norm REAL, weight_norm REAL,
  validation_loss REAL, seconds REAL, probes TEXT, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE points (
  run INTEGER NOT NULL, step INTEGER NOT NULL, weights BLOB NOT NULL, dtype TEXT NOT NULL, PRIMARY KEY (run, step)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Entry:
    """One line of the list of runs.

    Attributes:
        id: what ``surefoot descend --continue`` takes.
        parent: the run it goes on from, if any.
        started: local date and time.
        config: the settings.
        steps: rows recorded so far.
        loss: the last loss (NaN where there is none).
        ended: as in `Run`, ``"running"``, or ``"killed"`` when the process went away without a word.
    """

    id: int
    parent: int | None
    started: str
    config: Mapping[str, Any]
    steps: int
    loss: float
    ended: str


class Store:
    """A file of runs, for reading and tidying up; `descend` writes into it with ``store=``.

    Args:
        path: of the SQLite file, which must exist.

    Raises:
        StoreError: there is no such file, it is no store, or it is from a newer version.

    Example:
        >>> import tempfile
        >>> from surefoot import descend, problems
        >>> file = tempfile.mkdtemp() + "/runs.sqlite"
        >>> run = descend(problems.load("line"), lr=0.1, steps=20, store=file)
        >>> Store(file).load(run.config["run_id"]).trace == run.trace
        True
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = FilePath(path)
        if not self.path.exists():
            raise StoreError(f"There is no store {path}. `surefoot descend` makes one, or give --store.")
        with self._reading():
            pass

    def runs(self) -> list[Entry]:
        """All runs, the oldest first."""
        return self._entries("")

    def _entries(self, which: str, *values: int) -> list[Entry]:
        with self._reading() as connection:
            listed = connection.execute(
                "SELECT id, parent, started, config, ended, (SELECT count(*) FROM rows WHERE run = id),"
                f" (SELECT loss FROM rows WHERE run = id ORDER BY step DESC LIMIT 1) FROM runs {which} ORDER BY id",
                values,
            ).fetchall()
        return [
            Entry(
                id,
                parent,
                started,
                json.loads(config),
                steps,
                float("nan") if loss is None else loss,
                ended or self._unfinished(id),
            )
            for id, parent, started, config, ended, steps, loss in listed
        ]

    def entry(self, id: int) -> Entry:
        """The run's line in the list.

        Raises:
            StoreError: there is no run with this number.
        """
        found = self._entries("WHERE id = ?", id)
        if not found:
            known = ", ".join(str(entry.id) for entry in self.runs()) or "none yet"
            raise StoreError(f"{self.path} holds no run {id}. Known: {known}.")
        return found[0]

    def trace(self, id: int, before: int | None = None, since: int = 0) -> Trace:
        """The rows recorded so far, also of a run that is going on: those from step ``since`` on, and below ``before`` if it is given."""
        self.entry(id)
        limit = 2**62 if before is None else before
        with self._reading() as connection:
            query = f"SELECT {', '.join(COLUMNS)}, probes FROM rows WHERE run = ? AND step >= ? AND step < ? ORDER BY step"
            rows = connection.execute(query, (id, since, limit)).fetchall()
        return Trace.of(_row(values) for values in rows)

    def load(self, id: int) -> Run:
        """The run as of its last checkpoint: what `descend` takes as ``start``.

        Raises:
            StoreError: there is no such run, it is still being written, or its checkpoint is missing or damaged.
        """
        entry = self.entry(id)
        if entry.ended == "running":
            raise StoreError(f"Run {id} is still being written by another process; wait for it, or stop it first.")
        checkpoint = read_whole(_checkpoint(self.path, id))
        step = int(checkpoint["state"]["step"])
        ended: Any = entry.ended if entry.ended != "killed" else "interrupted"
        config = {**entry.config, "run_id": id, "store": str(self.path.resolve())}
        limit = step + 1 if ended == "diverged" else step  # the row of the loss that broke has no update
        return Run(self.trace(id, limit), checkpoint["weights"], self._points(id, step), ended, config, checkpoint["state"])

    def delete(self, id: int) -> None:
        """Removes the run, its rows and its checkpoint for good.

        Raises:
            StoreError: there is no such run, or it is still being written.
        """
        if self.entry(id).ended == "running":
            raise StoreError(f"Run {id} is still being written by another process; stop it first.")
        with _writing(self.path) as connection, connection:
            for table, column in (("points", "run"), ("rows", "run"), ("runs", "id")):
                connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (id,))
        _checkpoint(self.path, id).unlink(missing_ok=True)
        _lock_file(self.path, id).unlink(missing_ok=True)

    def _repr_html_(self) -> str:
        try:
            return html.grid(LISTED, self.runs(), str(self.path), _listed)
        except StoreError as error:  # it was there when it was opened
            return html.table(str(self.path), [("cannot be read", error)])

    def _points(self, id: int, step: int) -> Path:
        with self._reading() as connection:
            query = "SELECT step, weights, dtype FROM points WHERE run = ? AND step <= ? ORDER BY step"
            points = connection.execute(query, (id, step)).fetchall()
        weights = [_point(blob, dtype) for _, blob, dtype in points]
        return Path(np.array([step for step, *_ in points]), torch.stack(weights) if weights else torch.empty(0, 0))

    def _unfinished(self, id: int) -> str:
        with contextlib.suppress(OSError), _lock_file(self.path, id).open("rb") as file:
            return "killed" if _lock(file) else "running"
        return "killed"

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        # readers of a WAL file make a file beside it, which a read-only folder does not allow; nobody writes there, so none is needed
        frozen = "" if os.access(self.path.resolve().parent, os.W_OK) else "&immutable=1"
        with _open(self.path, f"{self.path.resolve().as_uri()}?mode=ro{frozen}") as connection:
            _check(connection, self.path)
            yield connection


def _listed(entry: Entry) -> tuple[Any, ...]:
    problem, optimizer, rate = (entry.config.get(key) for key in ("problem", "optimizer", "lr"))
    after = None if entry.parent is None else f"run {entry.parent}"
    return entry.id, problem, optimizer, rate, entry.steps, entry.loss, entry.ended, entry.started[:19], after


class Walking(Protocol):
    """What the recorder needs to know of a descent under way."""

    config: dict[str, Any]
    step: int
    resumed: bool

    def checkpoint(self) -> dict[str, Any]:
        """Weights and state at the end of the last step."""
        ...

    def points(self) -> Mapping[int, Tensor]:
        """The path so far."""
        ...


class Unrecorded:
    """A descent without a store."""

    def __call__(self, row: Row) -> None:
        """Nothing is written."""

    def finished(self, run: Run) -> Run:
        """The run as it is."""
        return run


class Recorder:
    """Writes a descent while it goes on: rows and points each second, then the checkpoint they lead up to."""

    def __init__(self, path: FilePath, walk: Walking, start: Run | None) -> None:
        self.path, self.walk = path, walk
        self.waiting: list[Row] = []
        self.written: set[int] = set()
        self.complaints: set[str] = set()
        self.flushed = self.checkpointed = time.perf_counter()
        self.checkpoint_seconds = 0.0
        with _writing(path) as connection, connection:  # one transaction: no run is ever listed without a checkpoint
            self.id = self._begin(connection, start)
            self.lock = _locked(_lock_file(path, self.id))
            self._checkpoint()

    def __call__(self, row: Row) -> None:
        """Takes a row; at most once a second everything that waits is written."""
        self.waiting.append(row)
        if time.perf_counter() - self.flushed >= INTERVAL:
            self.flush()

    def flush(self, final: bool = False) -> None:
        """Writes what waits; where the disk is full or the file locked, says so once, keeps it and tries again later."""
        due = time.perf_counter() - self.checkpointed >= self.checkpoint_seconds / CHECKPOINT_SHARE
        try:
            self._write_rows()
            if due or final:
                self._checkpoint()
        except (StoreError, sqlite3.Error) as error:
            if str(error) not in self.complaints:
                self.complaints.add(str(error))
                warnings.warn(
                    f"The descent goes on, but run {self.id} could not be recorded: {error}", SurefootWarning, stacklevel=3
                )
        self.flushed = time.perf_counter()

    def finished(self, run: Run) -> Run:
        """Writes the end of the run; the run with its number in ``config``."""
        self.flush(final=True)
        with contextlib.suppress(StoreError, sqlite3.Error), _writing(self.path) as connection, connection:
            connection.execute("UPDATE runs SET ended = ? WHERE id = ?", (run.ended, self.id))
        return replace(run, config={**run.config, "run_id": self.id, "store": str(self.path.resolve())})

    def close(self) -> None:
        """Writes what waits and lets go of the lock."""
        if self.waiting:
            self.flush()
        self.lock.close()

    def _begin(self, connection: sqlite3.Connection, start: Run | None) -> int:
        """The number of the run: that of the one it finishes, or a new one with the history copied."""
        config = json.dumps(self.walk.config)
        parent = None
        if start is not None and start.config.get("store") == str(self.path.resolve()):
            parent = int(start.config["run_id"])
        if parent is not None and self.walk.resumed:
            connection.execute("DELETE FROM rows WHERE run = ? AND step >= ?", (parent, self.walk.step))
            connection.execute("DELETE FROM points WHERE run = ? AND step > ?", (parent, self.walk.step))
            connection.execute("UPDATE runs SET ended = NULL, config = ? WHERE id = ?", (config, parent))
            self.written = set(self.walk.points())
            return parent
        now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        made = connection.execute("INSERT INTO runs (parent, started, config) VALUES (?, ?, ?)", (parent, now, config)).lastrowid
        assert made is not None
        if start is not None:
            _insert_rows(connection, made, list(start.trace))
        return made

    def _write_rows(self) -> None:
        if not self.waiting and self.written == set(self.walk.points()):
            return
        points = self.walk.points()
        new = [(self.id, step, *_blob(points[step])) for step in points if step not in self.written]
        gone = [(self.id, step) for step in self.written if step not in points]
        with _writing(self.path) as connection, connection:
            _insert_rows(connection, self.id, self.waiting)
            connection.executemany("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)", new)
            connection.executemany("DELETE FROM points WHERE run = ? AND step = ?", gone)
        self.waiting, self.written = [], set(points)

    def _checkpoint(self) -> None:
        begun = time.perf_counter()
        write_whole(self.walk.checkpoint(), _checkpoint(self.path, self.id))
        self.checkpointed = time.perf_counter()
        self.checkpoint_seconds = self.checkpointed - begun


@contextlib.contextmanager
def recording(store: str | os.PathLike[str] | None, walk: Walking, start: Run | None) -> Iterator[Recorder | Unrecorded]:
    """A recorder for this descent, closed whatever happens; one that writes nothing without a store."""
    if store is None:
        yield Unrecorded()
        return
    recorder = Recorder(FilePath(store), walk, start)
    try:
        yield recorder
    finally:
        recorder.close()


def record(store: str | os.PathLike[str], runs: Sequence[Run], start: Run | None = None) -> list[Run]:
    """Writes runs that are over, all or none of them; each with its number in ``config``.

    Args:
        store: the file; it is made where there is none.
        runs: may be none: then it is only seen whether the file can be written.
        start: the run that all of them go on from.

    Raises:
        StoreError: the store cannot be written.
    """
    path, made = FilePath(store), []
    now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    parent = start.config["run_id"] if start is not None and start.config.get("store") == str(path.resolve()) else None
    with _writing(path) as connection, connection, contextlib.ExitStack() as undone:
        for run in runs:
            values = (parent, now, json.dumps(run.config), run.ended)
            id = connection.execute("INSERT INTO runs (parent, started, config, ended) VALUES (?, ?, ?, ?)", values).lastrowid
            assert id is not None
            _insert_rows(connection, id, list(run.trace))
            points = [(id, int(step), *_blob(point)) for step, point in zip(run.path.steps, run.path.weights, strict=True)]
            connection.executemany("INSERT INTO points VALUES (?, ?, ?, ?)", points)
            undone.callback(_checkpoint(path, id).unlink, missing_ok=True)
            _folder(path).mkdir(exist_ok=True)
            write_whole({"weights": dict(run.weights), "state": dict(run.state)}, _checkpoint(path, id))
            made.append(replace(run, config={**run.config, "run_id": id, "store": str(path.resolve())}))
        undone.pop_all()
    return made


def _insert_rows(connection: sqlite3.Connection, id: int, rows: list[Row]) -> None:
    # NaN becomes NULL in SQLite and NaN again when read; everything else is kept to the bit
    values = [(id, *row[:-1], json.dumps(dict(row.probes)) if row.probes else None) for row in rows]
    connection.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * 11)})", values)


def _row(values: tuple[Any, ...]) -> Row:
    numbers = [float("nan") if value is None else value for value in values[:-1]]
    probes = json.loads(values[-1]) if values[-1] else {}
    return Row(int(numbers[0]), *numbers[1:], probes)  # type: ignore[arg-type, call-arg]


def _blob(point: Tensor) -> tuple[bytes, str]:
    exact = point if point.dtype in (torch.float32, torch.float64) else point.float()
    return exact.numpy().tobytes(), str(point.dtype).removeprefix("torch.")


def _point(blob: bytes, dtype: str) -> Tensor:
    kind = getattr(torch, dtype)
    stored = np.float64 if kind is torch.float64 else np.float32
    return torch.from_numpy(np.frombuffer(blob, stored).copy()).to(kind)


def _folder(path: FilePath) -> FilePath:
    return path.with_name(f"{path.name}.checkpoints")


def _checkpoint(path: FilePath, id: int) -> FilePath:
    return _folder(path) / f"{id}.pt"


def _lock_file(path: FilePath, id: int) -> FilePath:
    return _folder(path) / f"{id}.lock"


def _lock(file: IO[bytes]) -> bool:
    """Takes the lock if nobody has it; the system lets go of it when the process ends, however it ends."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _locked(path: FilePath) -> IO[bytes]:
    """The open lock file, which tells other processes that the run is being written."""
    try:
        path.parent.mkdir(exist_ok=True)
        file = path.open("wb")
    except OSError as error:
        raise StoreError(
            f"{path.parent} cannot be written ({error.strerror}). Give another file with store= or --store."
        ) from error
    if not _lock(file):
        file.close()
        raise StoreError(f"Run {path.stem} is still being written by another process; wait for it, or stop it first.")
    return file


@contextlib.contextmanager
def _writing(path: FilePath) -> Iterator[sqlite3.Connection]:
    with _open(path, f"{path.resolve().as_uri()}?mode=rwc") as connection:
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0 and not _tables(connection):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {SCHEMA}; COMMIT;"
            )
        _check(connection, path)
        yield connection


@contextlib.contextmanager
def _open(path: FilePath, uri: str) -> Iterator[sqlite3.Connection]:
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=LOCK_TIMEOUT)
    except sqlite3.Error as error:
        raise _refusal(path, error) from error
    try:
        yield connection
    except sqlite3.Error as error:
        raise _refusal(path, error) from error
    finally:
        connection.close()


def _refusal(path: FilePath, error: sqlite3.Error) -> StoreError:
    text = str(error)
    if path.is_dir():
        return StoreError(f"{path} is a folder. Give a file with store= or --store.")
    if "locked" in text:
        return StoreError(
            f"{path} is locked: another process has been writing to it for {LOCK_TIMEOUT:.0f} s. Try again, or use another store."
        )
    if "readonly" in text or "unable to open" in text:
        return StoreError(
            f"{path} cannot be written: it, or its folder, is read-only or does not exist. Give another file with store= or --store."
        )
    if "not a database" in text or "malformed" in text:
        return StoreError(
            f"{path} is not a store of runs: it is no SQLite file, or a damaged one. Give another file with store= or --store."
        )
    if "full" in text:
        return StoreError(f"{path}: the disk is full.")
    return StoreError(f"{path}: {text}.")


def _check(connection: sqlite3.Connection, path: FilePath) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION:
        raise StoreError(f"{path} is an SQLite file, but of something else. Give another file with store= or --store.")
    if version > SCHEMA:
        raise StoreError(f"{path} was written by a newer surefoot (schema {version}, this one reads {SCHEMA}). Update surefoot.")


def _tables(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
