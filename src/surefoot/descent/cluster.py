"""Work on a cluster.  a function + pieces of work -> what it returns for each piece, from tasks of Ray's, in the order of the pieces.

Ray is loaded when work is first sent to it. A Ray that is already initialised in this process is used and left running; else the cluster
at the address given (``"ray:HOST:PORT"``, ``"ray:auto"``, ``"ray://HOST:10001"``) or in ``RAY_ADDRESS`` is joined; else one is started on this
machine, with as many workers as there are cores, and stopped afterwards.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch

from surefoot.errors import NotInstalled, ProblemError, SettingError, SurefootError

TRIES = 4  # times that a piece of work is sent out, before its worker's end is taken for its own fault
PATIENCE = 4.0  # seconds in which something must answer at the address
LOST = ("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "ObjectLostError", "LocalRayletDiedError", "RaySystemError")
SETTINGS_FRAME = (
    b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # HTTP/2 (RFC 9113, 4.1 and 6.5): an empty one, and its type in the fourth byte
)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS_FRAME


@dataclass
class Cluster:
    """A Ray that is connected.

    Attributes:
        ray: the package.
        workers: tasks of one core that run at once.
        local: the engine that the workers walk with, once it is chosen.
    """

    ray: Any
    workers: int
    local: str | None = None

    def gathered(
        self, work: Callable[[Mapping[str, Any], Any], Any], parts: Mapping[str, Any], pieces: Sequence[Any],
        arrived: Callable[[int, Any], None], waiting: Callable[[], None], interrupted: object,
    ) -> None:  # fmt: skip
        """Sends ``work(parts, piece)`` out for every piece.

        Args:
            work: a function that workers can import, or one within another; what it returns is tensors and picklable values.
            parts: what all pieces need; sent once.
            pieces: what tells them apart, small.
            arrived: called with the index of a piece and what came of it, in the order in which they end.
            waiting: called ten times a second.
            interrupted: becomes true when the work shall be given up.

        Raises:
            ProblemError: a part cannot be sent, or a worker cannot make it: it has no such file or module.
            SurefootError: a piece was lost with its worker again and again.
            KeyboardInterrupt: it was given up; no task is left running.
            Exception: whatever a piece, or ``arrived`` or ``waiting``, raised.
        """
        kept = uuid.uuid4().hex, self.ray.put(_packed(self.ray, parts))
        # Ray's own retries are off: with them it starts a task that ran out of memory again without end
        task = self.ray.remote(_task).options(num_cpus=1, max_retries=0, name=f"surefoot {work.__name__}")
        sent = {task.remote(*kept, work, piece): index for index, piece in enumerate(pieces)}
        lost: Counter[int] = Counter()
        try:
            while sent:
                if interrupted:
                    raise KeyboardInterrupt
                for ref in self.ray.wait(list(sent), num_returns=len(sent), timeout=0.1)[0]:
                    index = sent.pop(ref)
                    answer = self._answer(ref, lost[index])
                    if answer is None:
                        lost[index] += 1
                        sent[task.remote(*kept, work, pieces[index])] = index
                    else:
                        arrived(index, answer.opened())
                waiting()
        finally:
            self._cancel(list(sent))

    def _answer(self, ref: Any, lost: int) -> Answer | None:
        """What came of a piece, or None where it is to be sent out again."""
        try:
            return self.ray.get(ref)  # type: ignore[no-any-return]
        except self.ray.exceptions.RayTaskError as error:  # the task itself could not be read there
            raise SurefootError(
                f"A worker could not begin: {_last_line(error)}. Does every worker have the surefoot and the Python of this process?"
            ) from error
        except self.ray.exceptions.RayError as error:
            if type(error).__name__ not in LOST:
                raise
            if lost + 1 < TRIES:
                return None
            raise SurefootError(
                f"A piece of work was lost {TRIES} times with its worker ({type(error).__name__}); was it out of memory? "
                f"{_last_line(error)}"
            ) from error

    def _cancel(self, refs: list[Any]) -> None:
        for ref in refs:
            with contextlib.suppress(self.ray.exceptions.RayError):
                self.ray.cancel(ref, force=True)
        if refs:  # until they are gone
            self.ray.wait(refs, num_returns=len(refs), timeout=10)


def on_cluster(engine: str) -> bool:
    """Whether the engine is Ray, with or without an address.

    >>> on_cluster("ray"), on_cluster("ray:10.0.0.1:6379"), on_cluster("vmap")
    (True, True, False)
    """
    return engine == "ray" or (engine.startswith("ray:") and engine != "ray:")


_held: ContextVar[Cluster | None] = ContextVar("surefoot_cluster", default=None)


@contextlib.contextmanager
def held(engine: str) -> Iterator[None]:
    """Inside, Ray is connected once for all populations, and the engine of its workers is chosen once; nothing for the other engines.

    Raises:
        NotInstalled: Ray is not there.
        SettingError: there is no cluster at the address.
    """
    if not on_cluster(engine):
        yield
        return
    with _connected(engine.partition(":")[2]) as ray:
        before = _held.set(Cluster(ray, max(1, int(ray.cluster_resources().get("CPU", 1)))))
        try:
            yield
        finally:
            _held.reset(before)


@contextlib.contextmanager
def cluster(engine: str) -> Iterator[Cluster]:
    """The cluster that is held, else one for the time inside; raises what `held` raises."""
    with held(engine) if _held.get() is None else contextlib.nullcontext():
        found = _held.get()
        assert found is not None
        yield found


# ---- joining and leaving


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise NotInstalled.of("engine='ray'", error, "ray") from error
    if ray.is_initialized():  # somebody else's
        yield ray
        return
    with _environment_kept():
        try:
            _connect(ray, f"ray:{address}" if address.startswith("//") else address or os.environ.get("RAY_ADDRESS") or "local")
            yield ray
        finally:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        quiet |= {"num_cpus": _cores(), "include_dashboard": False}
    elif address != "auto":
        _knock(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray's future, and of a connection that comes to nothing
            ray.init(address=address, **quiet)
    except (Exception, SystemExit) as error:
        raise _nobody(address, _root(error)) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminated)  # Ray takes it and keeps it


def _knock(address: str) -> None:
    """Refuses an address at which nothing speaks Ray's protocol: Ray itself would try for two minutes and more.

    Ray's ports speak gRPC, which is HTTP/2: whoever connects says so, and is answered with a SETTINGS frame.
    """
    host, _, port = address.removeprefix("ray://").partition("/")[0].rpartition(":")
    if not host or not port.isdecimal():
        raise SettingError(
            f"{address!r} is no address of a Ray cluster. Give engine='ray:HOST:PORT' (as a rule port 6379), 'ray://HOST:10001' or 'ray:auto'."
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("0", "false", ""):
                connection.sendall(PREFACE)
                if connection.recv(9)[3:4] != SETTINGS_FRAME[3:4]:
                    raise _nobody(address, "something else answers there")
    except (OSError, OverflowError) as error:
        raise _nobody(address, str(error) or type(error).__name__) from error


def _nobody(address: str, why: str) -> SettingError:
    if address == "local":
        return SettingError(f"Ray could not be started on this machine ({why}). engine='processes' needs no Ray.")
    return SettingError(
        f"No Ray cluster could be joined at {address!r} ({why}). Start one there (ray start --head), correct the address in engine= or RAY_ADDRESS, "
        "or give engine='ray:local' for one on this machine."
    )


@contextlib.contextmanager
def _environment_kept() -> Iterator[None]:
    """Afterwards the variables are gone that Ray sets for itself."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("RAY_") or name == "PYTHONBREAKPOINT"]:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _root(error: BaseException) -> str:
    """What it comes down to: Ray tells what the matter is, as a token that is missing, at the bottom of the chain only."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _last_line(error)


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


# ---- what is sent


def _packed(ray: Any, parts: Mapping[str, Any]) -> bytes:
    try:
        return _dumped(ray, dict(parts))
    except Exception as error:
        for name, part in _named(parts):
            try:
                _dumped(ray, part)
            except Exception as told:
                raise ProblemError(
                    f"The {name} cannot be sent to the workers: {_last_line(told)}. Make what cannot be pickled (an open file, a lock, a "
                    "connection) where it is used, or hold the data in memory as tensors; engine='processes' needs nothing to be sent."
                ) from told
        raise ProblemError(f"The problem cannot be sent to the workers: {_last_line(error)}.") from error


def _dumped(ray: Any, content: Any) -> bytes:
    # a user's file that was run by its path is no module that a worker could import
    files = [module for name, module in sys.modules.items() if name.startswith("surefoot_user_")]
    buffer = io.BytesIO()
    for module in files:
        ray.cloudpickle.register_pickle_by_value(module)
    try:
        torch.save(content, buffer, pickle_module=ray.cloudpickle)  # tensors that share memory go once
    finally:
        for module in files:
            ray.cloudpickle.unregister_pickle_by_value(module)
    return buffer.getvalue()


def _named(parts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, part in parts.items():
        if is_dataclass(part) and not isinstance(part, type):
            yield from ((f"{name}'s {each.name}", getattr(part, each.name)) for each in fields(part) if hasattr(part, each.name))
        else:
            yield name, part


# ---- in a worker


@dataclass(frozen=True)
class Answer:
    """What came of a piece of work.

    Attributes:
        result: what the function returned, as `torch.save` writes it; empty where it raised.
        error: what it raised, pickled.
        told: the lines that led there.
    """

    result: bytes = b""
    error: bytes = b""
    told: str = ""

    def opened(self) -> Any:
        """What the function returned; raises what it raised, with the worker's traceback as a note."""
        if not self.error:
            return torch.load(io.BytesIO(self.result), weights_only=False)  # written by our own worker
        error = pickle.loads(self.error)
        error.add_note(f"On {self.told}")
        raise error


_unpacked: dict[str, Any] = {}  # a worker is sent many pieces that need the same parts


def _task(key: str, packed: bytes, work: Callable[[Any, Any], Any], piece: Any) -> Answer:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if key not in _unpacked:
            _unpacked.clear()
            _unpacked[key] = torch.load(io.BytesIO(packed), weights_only=False)
        buffer = io.BytesIO()
        torch.save(work(_unpacked[key], piece), buffer)
        return Answer(buffer.getvalue())
    except (Exception, SystemExit) as error:
        return _raised(error)
    finally:
        torch.set_num_threads(threads)


def _raised(error: BaseException) -> Answer:
    host = f"worker {socket.gethostname()}"
    told = f"{host}:\n{traceback.format_exc()}"
    cloudpickle = importlib.import_module("ray").cloudpickle
    try:
        return Answer(error=cloudpickle.dumps(_explained(error, host)), told=told)
    except Exception:
        return Answer(error=pickle.dumps(SurefootError(f"{type(error).__name__}: {error}")), told=told)


def _explained(error: BaseException, host: str) -> BaseException:
    """The error itself; where something is missing on the worker, what and the way out."""
    if isinstance(error, FileNotFoundError):
        what = error.filename if error.filename is not None else error
        return ProblemError(
            f"{host.capitalize()} has no such file: {what}. Put the data where all workers see it, or hold it in memory (tensors in the problem)."
        )
    if isinstance(error, ModuleNotFoundError):
        return ProblemError(
            f"{host.capitalize()} has no module {error.name!r}. Install it on every worker, or initialise Ray yourself with "
            "ray.init(address, runtime_env={'working_dir': '.'}), which is then used."
        )
    return error
