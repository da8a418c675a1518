"""How much memory is there to be had?  a device -> bytes."""

from __future__ import annotations

from pathlib import Path

import torch

UNLIMITED = 2**60  # a control group without a limit says a number of this size, or "max"


def free(device: torch.device) -> int | None:
    """Bytes that may still be taken on a device; None where nothing tells.

    On a GPU what is free, and what this process has set aside without using it. On a CPU what the system calls available, or
    what the process's control group leaves, if that is less.

    Example:
        >>> there = free(torch.device("cpu"))
        >>> there is None or there > 2**20
        True
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    if device.type != "cpu":
        return None
    known = [size for size in (_available(), *_left_in_groups()) if size is not None]
    return min(known, default=None)


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _left_in_groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> list[int]:
    """What each control group around this process leaves, in either version of them."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "memory" in controllers.split(","):
            top = root / "memory" if controllers else root
            # in a container the path is the host's, and the container's own group is mounted at the top
            places = {top, *(top / Path(path).relative_to("/")).parents, top / path.lstrip("/")}
            left += [size for place in places if top in (place, *place.parents) and (size := _left(place)) is not None]
    return left


def _left(group: Path) -> int | None:
    for limit, usage, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most = (group / limit).read_text().strip()
            if most == "max" or int(most) >= UNLIMITED:
                return None
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            used = int((group / usage).read_text()) - int(stat.get(cache, 0))  # files read are given up when memory is wanted
            return max(0, int(most) - used)
        except (OSError, ValueError):
            continue
    return None
