"""Sixteen rates in one pass.  `descend_many` batched and one after the other, in turns in one process -> ratios and memory, into the docs.

python benchmarks/population.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from surefoot import descend_many, problems

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
RATES = [float(rate) for rate in np.logspace(-4, -2, 16)]
STEPS = {"digits-mlp": 200, "digits-cnn": 60, "spirals": 300}
ROUNDS = 7


def seconds(name: str, optimizer: str, engine: str, device: str) -> float:
    steps = STEPS[name]
    began = time.perf_counter()
    made = descend_many(
        problems.load(name), lr=RATES, steps=steps, optimizer=optimizer, engine=engine, validate_every=steps, device=device
    )
    assert made.engine == engine, made.note
    return time.perf_counter() - began


def ratios(name: str, optimizer: str, device: str) -> tuple[list[float], float]:
    """One after the other, divided by in one pass, taken in turns; and milliseconds of one pass per step of all sixteen."""
    seconds(name, optimizer, "vmap", device)  # warm
    pairs = [(seconds(name, optimizer, "sequential", device), seconds(name, optimizer, "vmap", device)) for _ in range(ROUNDS)]
    return [alone / together for alone, together in pairs], 1e3 * min(together for _, together in pairs) / STEPS[name]


def peak(copies: int, engine: str) -> float:
    """MiB that a process with so many copies of a wide network takes more than one that has only loaded it."""
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from surefoot import descend_many, problems\n"
        "def kib(what):\n"
        "    return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith(what))\n"
        "wide = problems.load('digits-mlp', width=3000)\n"
        "wide = wide.with_(validation=tuple(part[:64] for part in wide.validation))\n"
        "descend_many(problems.load('digits-mlp'), lr=[1e-3] * 2, steps=3, optimizer='adamw', engine='vmap')\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"  # forget the peak so far
        "before = kib('VmRSS:')\n"
        f"descend_many(wide, lr=[1e-3] * {copies}, steps=3, optimizer='adamw', engine='{engine}')\n"
        "print(kib('VmHWM:') - before)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return int(told) / 1024


def main() -> None:
    torch.set_num_threads(1)
    lines = [
        "| problem | optimizer | one after the other / in one pass: median (range) | ms a step of all 16 |",
        "|---|---|---|---|",
    ]
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        for name in STEPS:
            for optimizer in ("adamw", "sgd"):
                found, pass_ms = ratios(name, optimizer, device)
                where = "" if device == "cpu" else " (GPU)"
                lines.append(
                    f"| {name}{where} | {optimizer} | {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f}) | {pass_ms:.2f} |"
                )
                print(lines[-1], flush=True)
    if len(devices) == 1:
        lines += ["", "No GPU in this run: the ratios there are not measured."]
    one, eight = peak(1, "sequential"), peak(8, "vmap")
    told = f"{eight:.0f} MiB, one takes {one:.0f} MiB: {eight / one:.1f} times as much."
    told = f"{eight:.0f} MiB, one takes {one:.0f} MiB: {eight / one:.1f} times as much."
    lines += ["", f"Memory: eight copies of a network with nine million weights under AdamW take {told}"]
    print(lines[-1])
    text = DOCS.read_text()
    before, rest = text.split("<!-- population -->", 1)
    _, after = rest.split("<!-- /population -->", 1)
    DOCS.write_text(before + "<!-- population -->\n" + "\n".join(lines) + "\n<!-- /population -->" + after)


if __name__ == "__main__":
    main()
