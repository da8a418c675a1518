"""Is the batch that memory is said to hold the largest one?  `largest_batch` against every size between, tried for real -> docs/benchmarks.md.

python benchmarks/batch_fits.py: one thread, on Linux. The true limit is found without the library's own means: descents of 40 steps in forked
processes that may map so many bytes more than this one (RLIMIT_DATA), closing in between one that
runs and one that does not, to one in fifty.
Then 200 steps are descended at the size that was answered, under the same limit. All of it once as the C library has it, and once
with MALLOC_MMAP_THRESHOLD_=1048576, under which it maps every block of a MiB and more by itself.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import resource
import subprocess

import torch
from torch import nn

import surefoot as sf
from surefoot.batch.fits import Fits, largest_batch

torch.set_num_threads(1)
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
STEPS = 200
LONG = 40  # steps of a descent that tells whether a size runs: the heap frays for so long
MiB = 2**20
# Problem, optimizer, MiB: chosen beforehand; the search was made on other networks and at other limits.
ROWS = (("residual", "adamw", 192), ("residual", "sgd", 320), ("series", "adamw", 160), ("series", "sgd", 300), ("text", "adamw", 128),
        ("text", "adamw", 256), ("wide", "adamw", 512), ("wide", "sgd", 1024), ("wide", "adamw", 2048))  # fmt: skip


def main() -> None:
    said = [
        "| problem | optimizer | memory | blocks mapped from | answer | true limit | answer / limit | steps tried | 200 steps there |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for threshold in (None, MiB):
        said += rows(threshold)
    text = DOCS.read_text()
    before, rest = text.split("<!-- fits -->", 1)
    _, after = rest.split("<!-- /fits -->", 1)
    DOCS.write_text(before + "<!-- fits -->\n" + "\n".join(said) + "\n<!-- /fits -->" + after)


def rows(threshold: int | None) -> list[str]:
    """All rows, by a process of its own: the C library reads its settings when it starts."""
    env = {**os.environ, **({"MALLOC_MMAP_THRESHOLD_": str(threshold)} if threshold else {})}
    said = []
    with subprocess.Popen([sys.executable, __file__, "--rows"], env=env, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            said.append(line.rstrip())
    return said


def print_rows() -> None:
    for name, optimizer, limit in ROWS:
        print(row(name, made(name), optimizer, limit * MiB), flush=True)


class Residual(nn.Module):
    """A block of a residual network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


def made(name: str) -> sf.Problem:
    if name == "text":  # its validation pass alone takes 400 MiB, more than the limits here
        return sf.problems.load(name).with_(validation=None)
    torch.manual_seed(0)
    shape, model = {
        "residual": ((20000, 96), nn.Sequential(*(Residual(96) for _ in range(4)), nn.Linear(96, 10))),
        "series": ((8000, 3, 64), nn.Sequential(nn.Conv1d(3, 16, 5, padding=2), nn.BatchNorm1d(16), nn.ReLU(), nn.Conv1d(16, 32, 5, padding=2),
                                                nn.ReLU(), nn.AdaptiveAvgPool1d(8), nn.Flatten(), nn.Linear(256, 10))),
        # memory, and hardly any arithmetic: blocks of tens of MiB
        "wide": ((3000, 16), nn.Sequential(nn.Linear(16, 40000), nn.ReLU(), nn.Sigmoid(), nn.Tanh(), nn.Dropout(0.1), nn.AdaptiveAvgPool1d(10))),
    }[name]  # fmt: skip
    inputs, targets = torch.randn(shape), torch.randint(0, 10, shape[:1])
    held_out = (inputs[:200], targets[:200])
    return sf.Problem(model, (inputs, targets), loss=nn.functional.cross_entropy, validation=held_out, name=name)


def row(name: str, problem: sf.Problem, optimizer: str, limit: int) -> str:
    found = largest_batch(problem, optimizer=optimizer, memory=limit)
    true = true_limit(problem, optimizer, limit, found.batch_size)
    survives = "done" if runs(problem, optimizer, limit, found.batch_size, STEPS) else "**out of memory**"
    ratio = f"{found.batch_size / true:.3f}" if true else "none"
    shown = f"{limit // MiB} MiB"
    mapped = f"{int(os.environ.get('MALLOC_MMAP_THRESHOLD_', 32 * MiB)) // MiB} MiB"
    return f"| {name} | {optimizer} | {shown} | {mapped} | {answer(found)} | {true} | {ratio} | {found.steps} | {survives} |"


def answer(found: Fits) -> str:
    return f"{found.batch_size}{' (all)' if found.bound == 'data' else ''}"


def true_limit(problem: sf.Problem, optimizer: str, limit: int, near: int) -> int:
    """To one in fifty."""
    low, high = 0, len(problem.data[0]) + 1
    middle = min(near, high - 1)
    while high - low > max(1, low // 50):
        if runs(problem, optimizer, limit, middle, LONG):
            low, middle = middle, min((middle + high) // 2, max(middle + 1, round(middle * 1.15)))
        else:
            high, middle = middle, max((low + middle) // 2, round(middle * 0.87))
        middle = min(max(middle, low + 1), high - 1) if high - low > 1 else middle
    return low


def runs(problem: sf.Problem, optimizer: str, limit: int, size: int, steps: int) -> bool:
    """Whether so many steps of a descent of 200 are walked, with the validation at the end, in a process with so much memory more."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            torch.set_num_threads(1)
            mapped = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line)
            resource.setrlimit(resource.RLIMIT_DATA, (mapped * 1024 + limit, resource.RLIM_INFINITY))
            stop = lambda row: row.step >= steps - 1  # noqa: E731
            run = sf.descend(problem, lr=1e-4, optimizer=optimizer, batch_size=size, steps=STEPS, stop=stop, progress=False)
            code = 0 if len(run.trace) == steps else 1
        except (RuntimeError, MemoryError):
            pass
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


if __name__ == "__main__":
    print_rows() if "--rows" in sys.argv else main()
