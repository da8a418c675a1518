"""What becomes of work in a process of its own that may take so much memory and no more?  function + bytes -> Outcome.

The process is forked and held to the operating system's own limit, so that whoever asks can neither die nor swell.
"""

from __future__ import annotations

import contextlib
import faulthandler
import mmap
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch

from surefoot.batch.memory_outcome import Outcome, Work, in_a_line, wants_memory
from surefoot.descent.workers import unforkable
from surefoot.errors import SurefootError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

STATUS = Path("/proc/self/status")


def can_confine() -> bool:
    """Whether a forked process can be held to a limit here: Linux, no GPU in use by this process, and no threads of JAX or TensorFlow in it."""
    if unforkable() or resource is None or "fork" not in multiprocessing.get_all_start_methods() or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    try:
        if not {"VmPeak", "VmSize", "VmData"} <= _mapped().keys():
            return False
    except OSError:
        return False
    return bool(confined(_take_too_much, 2**24).value == "refused")


def _take_too_much(_: Any) -> str:
    try:
        mmap.mmap(-1, 2**26, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        return "refused"
    return "given"


def confined(work: Work, memory: int) -> Outcome:
    """Does the work in a forked process that may map ``memory`` bytes more than this one has mapped (``RLIMIT_DATA``).

    One thread. What it returns must be picklable. Nothing that it does to this process's weights, random state or modules is seen here.

    Args:
        work: a function that is given another, which tells the bytes taken at most so far.
        memory: bytes, above 0.

    Raises:
        Exception: whatever the work raised but for want of memory.

    Example:
        >>> confined(lambda peak: 6 * 7, 2**28).value if can_confine() else 42
        42
    """
    mine, theirs = os.pipe()
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: the work touches no lock of torch's
        child = os.fork()
    if child == 0:
        os.close(mine)
        _work(work, memory, theirs)
    os.close(theirs)
    try:
        with open(mine, "rb") as pipe:  # noqa: PTH123  a file descriptor
            said = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if not said:
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else -1
        return Outcome(False, signal=killed, why=f"the process was ended by signal {killed}")
    outcome, error = pickle.loads(said)
    if error is not None:
        raise error
    assert isinstance(outcome, Outcome)
    return outcome


def _work(work: Work, memory: int, pipe: int) -> None:
    """The forked process, from its first line to its last."""
    said = b""
    try:
        _prepare()
        before, hard = _mapped(), resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = before["VmData"] + memory
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
        outcome, error = Outcome(False), None
        try:
            outcome = Outcome(True, work(lambda: _peak(before)), _peak(before))
        except BaseException as raised:
            error = raised
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))  # telling takes memory as well
        if error is not None and wants_memory(error):
            outcome, error = Outcome(False, why=in_a_line(error)), None
        said = _dumped(outcome, error)
    finally:
        with contextlib.suppress(OSError), open(pipe, "wb") as file:
            file.write(said)
        os._exit(0)  # nothing of the parent's is to be tidied up twice


def _prepare() -> None:
    """One thread, silent, and the first to go where the whole machine runs out of memory."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
    faulthandler.disable()
    warnings.simplefilter("ignore")  # the training itself will say it
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _mapped() -> dict[str, int]:
    """Bytes of this process's memory by the kernel's names."""
    lines = [line.split() for line in STATUS.read_text().splitlines() if line.startswith("Vm")]
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines}


def _peak(before: dict[str, int]) -> float:
    """The most private memory mapped since: a forked process's peak begins anew, and libraries loaded on the way are not the work's."""
    now = _mapped()
    loaded = (now["VmSize"] - now["VmData"]) - (before["VmSize"] - before["VmData"])
    return float(now["VmPeak"] - before["VmSize"] - max(0, loaded))


def _dumped(outcome: Outcome, error: BaseException | None) -> bytes:
    if error is None:
        return pickle.dumps((outcome, None))
    told = "".join(traceback.format_exception(error))
    error.__traceback__ = None
    error.add_note(f"It was raised in a process that tried how much memory a step takes:\n{told}")
    try:
        said = pickle.dumps((outcome, error))
        pickle.loads(said)
    except Exception:
        return pickle.dumps((outcome, SurefootError(f"{type(error).__name__}: {error}\n{told}")))
    return said
