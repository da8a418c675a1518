"""Starts processes that form a gloo group, and takes back what each of them answers; a hang is a failure after a while, never a wait."""

import fcntl
import os
import pickle
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(rank, size, port):
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **{key: str(value) for key, value in ranks.items()}}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(script, name, temporary, seconds=90):
    """What the function ``name`` of a script returns on each of two ranks; they are started once for all tests, of several pytest workers too."""
    own = temporary.getbasetemp()
    folder = own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own
    files = [folder / f"{script}.{name}.{rank}.pickle" for rank in range(2)]
    with (folder / f"{script}.{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all(file.exists() for file in files):
            _start(script, name, files, seconds)
    return [pickle.loads(file.read_bytes()) for file in files]


def _start(script, name, files, seconds):
    port = free_port()
    logs = [file.with_suffix(".log") for file in files]
    command = [sys.executable, "-m", "tests.distributed.processes", script, name]
    started = []
    for rank, (file, log) in enumerate(zip(files, logs, strict=True)):
        with log.open("w") as told:
            env = environment(rank, len(files), port)
            started.append(subprocess.Popen([*command, str(file)], env=env, cwd=ROOT, stdout=told, stderr=told))
    until = time.monotonic() + seconds
    try:
        for process in started:
            process.wait(max(0.1, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{name} hangs:\n{_told(logs)}") from None
    finally:
        for process in started:
            process.kill()
            process.wait()
    if not all(file.exists() for file in files):
        raise AssertionError(f"{name} failed:\n{_told(logs)}")


def _told(logs):
    return "\n".join(f"--- rank {rank}\n{log.read_text()[-3000:]}" for rank, log in enumerate(logs))


def main():
    """In a process: joins the group, calls the function, writes its answer."""
    import faulthandler
    import importlib

    import torch
    import torch.distributed as dist

    faulthandler.dump_traceback_later(60, exit=False)
    torch.set_num_threads(1)
    script, name, file = sys.argv[1:]
    dist.init_process_group("gloo")
    answer = getattr(importlib.import_module(script), name)()
    Path(file).write_bytes(pickle.dumps(answer))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
