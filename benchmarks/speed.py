"""What surefoot costs.  ours and the peers', side by side in one run -> ratios, in the terminal, docs/benchmarks.md and speed.json.

Run by ``make bench``: one thread, the variants in turn, the median of the ratios round by round with their range. A peer that is not
installed is said so.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import io
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf

torch.set_num_threads(1)
warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
ROOT = Path(__file__).parents[1]
ROUNDS = 9
STEPS = 600
Timed = Callable[[], Any]
CROSS_ENTROPY = nn.functional.cross_entropy


def main() -> None:
    digits = sf.problems.load("digits-mlp")
    results = [*descents(digits), *range_tests(digits), *imports(), *memory()]
    show(results)
    write(results)


def row(what: str, against: str, ratios: list[float], base: str, promise: str = "") -> dict[str, Any]:
    ratios = sorted(ratios)
    return {
        "what": what, "against": against, "ratio": round(statistics.median(ratios), 3), "low": round(ratios[0], 3),
        "high": round(ratios[-1], 3), "base": base, "promise": promise,
    }  # fmt: skip


def ratios_of(ours: Timed, base: Timed, rounds: int = ROUNDS) -> tuple[list[float], float]:
    """Ours over the base in each round, after one round that is not counted, and the median seconds of the base."""
    pairs = [(seconds(base), seconds(ours)) for _ in range(rounds + 1)][1:]
    return [b / a for a, b in pairs], statistics.median(a for a, _ in pairs)


def seconds(run: Timed) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


# ---- a descent against the loop by hand


def loop_by_hand(model: nn.Module, batches: Any, make: Any, steps: int) -> list[float]:
    optimizer, losses = make(model.parameters(), lr=1e-3), []
    while True:
        for x, y in batches:
            optimizer.zero_grad()
            loss = CROSS_ENTROPY(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == steps:
                return losses


def loader_of(problem: sf.Problem) -> DataLoader[Any]:
    return DataLoader(TensorDataset(*problem.data), batch_size=64, shuffle=True)


def descents(digits: sf.Problem) -> list[dict[str, Any]]:
    ready = list(loader_of(digits))
    cases = {"DataLoader of a TensorDataset": loader_of(digits), "list of ready batches (no loading at all)": ready}
    results = []
    for name, batches in cases.items():
        for make in (torch.optim.SGD, torch.optim.Adam):
            problem = digits.with_(data=batches, validation=None, batch_size=None)
            ours = functools.partial(sf.descend, problem, lr=1e-3, optimizer=make, steps=STEPS)
            found, base = ratios_of(ours, lambda b=batches, m=make: loop_by_hand(sf.problems.load("digits-mlp").model, b, m, STEPS))
            results.append(
                row(f"descend, {make.__name__}", f"loop by hand, {name}", found, f"{base / STEPS * 1e6:.0f} us a step", "<= 1.10")
            )
    in_memory = digits.with_(validation=None)
    found, base = ratios_of(
        lambda: sf.descend(in_memory, lr=1e-3, steps=STEPS),
        lambda: loop_by_hand(sf.problems.load("digits-mlp").model, cases["DataLoader of a TensorDataset"], torch.optim.SGD, STEPS),
    )
    results.append(
        row("descend, SGD, tensors in memory", "loop by hand, DataLoader of the same", found, f"{base / STEPS * 1e6:.0f} us a step")
    )
    with tempfile.TemporaryDirectory() as folder:
        stored = functools.partial(sf.descend, in_memory, lr=1e-3, steps=5 * STEPS, store=f"{folder}/runs.sqlite")
        found, base = ratios_of(stored, lambda: sf.descend(in_memory, lr=1e-3, steps=5 * STEPS), 5)
    results.append(row(f"descend with store=, {5 * STEPS} steps", "descend without", found, f"{base:.2f} s"))
    return results


# ---- the range test against the bare loop, and the peers against it


def range_tests(digits: sf.Problem) -> list[dict[str, Any]]:
    loader = loader_of(digits)
    plain = digits.with_(data=loader, validation=None, batch_size=None)
    tests = {
        "surefoot": lambda: sf.range_test(plain, steps=100, stop_factor=None),
        "torch_lr_finder": lambda: by_torch_lr_finder(loader),
        "lightning": lambda: by_lightning(loader),
        "fastai": lambda: by_fastai(loader),
    }
    results = []
    for name, test in tests.items():
        if importlib.util.find_spec(name) is None:
            Console().print(f"{name} is not installed: pip install 'surefoot\\[bench]'")
            continue
        with quiet():
            found, base = ratios_of(test, lambda: loop_by_hand(sf.problems.load("digits-mlp").model, loader, torch.optim.SGD, 100))
        promise = "<= 1.10" if name == "surefoot" else ""
        results.append(row(f"range test, {version(name)}", "bare loop of 100 steps", found, f"{base * 1e3:.0f} ms", promise))
    return results


def by_torch_lr_finder(loader: Any) -> None:
    from torch_lr_finder import LRFinder

    model = sf.problems.load("digits-mlp").model
    finder = LRFinder(model, torch.optim.SGD(model.parameters(), lr=1e-8), nn.CrossEntropyLoss(), device="cpu")
    finder.range_test(loader, end_lr=10, num_iter=100, diverge_th=float("inf"))
    finder.reset()


def by_lightning(loader: Any) -> None:
    import lightning
    from lightning.pytorch.tuner import Tuner

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.lr = sf.problems.load("digits-mlp").model, 1e-3

        def training_step(self, batch: Any) -> Any:
            return CROSS_ENTROPY(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=10, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        Tuner(trainer).lr_find(Module(), loader, min_lr=1e-8, max_lr=10, num_training=100, early_stop_threshold=None)


def by_fastai(loader: Any) -> None:
    import fastai.callback.progress  # gives a Learner its no_bar
    import fastai.callback.schedule  # noqa: F401  and its lr_find
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper

    def make(params: Any, lr: float) -> Any:
        return OptimWrapper(params, torch.optim.SGD, lr=lr)

    with tempfile.TemporaryDirectory() as folder:
        learner = Learner(
            DataLoaders(loader, loader, device=torch.device("cpu")), sf.problems.load("digits-mlp").model, loss_func=nn.CrossEntropyLoss(),
            opt_func=make, path=folder,
        )  # fmt: skip
        with learner.no_bar():
            learner.lr_find(start_lr=1e-8, end_lr=10, num_it=100, stop_div=False, show_plot=False)


@contextlib.contextmanager
def quiet() -> Any:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


# ---- what importing costs


def imports() -> list[dict[str, Any]]:
    everything = (
        "import surefoot; [getattr(surefoot, name) for name in surefoot.__all__ if name not in ('Animation', 'animate', 'plot')]"
    )
    found, base = ratios_of(lambda: fresh("import surefoot"), lambda: fresh("import torch"), 5)
    every, _ = ratios_of(lambda: fresh(everything), lambda: fresh("import torch"), 5)
    helping, _ = ratios_of(lambda: fresh("from surefoot.cli.main import main; main(['--help'])"), lambda: fresh("import torch"), 5)
    return [
        row("import surefoot (names load on first use)", "import torch", found, f"{base:.2f} s", "<= 1.15"),
        row("import surefoot and every name but those of pictures", "import torch", every, f"{base:.2f} s", "<= 1.15"),
        row("surefoot --help (does not load torch)", "import torch", helping, f"{base:.2f} s"),
    ]


def fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


# ---- memory

PEAK = """
import resource, torch
from torch import nn
torch.set_num_threads(1); torch.manual_seed(0)
model = nn.Sequential(nn.Linear(1000, 3000), nn.ReLU(), nn.Linear(3000, 2000), nn.ReLU(), nn.Linear(2000, 10))
x, y = torch.randn(640, 1000), torch.randint(0, 10, (640,))
held = 0
{body}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, held, sum(p.numel() for p in model.parameters()) * 4)
"""
BY_HAND = """
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
for step in range(20):
    i = slice(step % 10 * 64, step % 10 * 64 + 64)
    optimizer.zero_grad(); loss = nn.functional.cross_entropy(model(x[i]), y[i]); loss.backward(); optimizer.step()
"""
OURS = """
import surefoot as sf
run = sf.descend(sf.Problem(model, (x, y), loss=nn.functional.cross_entropy, batch_size=64), lr=1e-4, optimizer="adam", steps=20)
held = run.path.weights.numel() * 4
"""


def memory() -> list[dict[str, Any]]:
    base, _, weights = (int(number) for number in fresh(PEAK.format(body=BY_HAND)).split())
    ours, path, _ = (int(number) for number in fresh(PEAK.format(body=OURS)).split())
    beyond = (ours - base - path) / weights
    against = f"loop by hand, Adam, W = {weights / 2**20:.0f} MiB of weights; path of {path / weights:.0f} W not counted"
    return [
        row("descend, peak memory beyond, in W", against, [beyond], f"{base / 2**20:.0f} MiB", "<= 3 (weights and optimizer state)")
    ]


# ---- what is said


def version(package: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return f"{package} {importlib.metadata.version(package.replace('_', '-'))}"
    return package


def machine() -> str:
    cpu = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
        if cpu.exists()
        else []
    )
    return f"{names[0] if names else platform.machine()}, one thread, Python {platform.python_version()}, {version('torch')}"


def lines(results: list[dict[str, Any]]) -> list[list[str]]:
    return [
        [r["what"], r["against"], f"{r['ratio']:.2f} ({r['low']:.2f} to {r['high']:.2f})", r["base"], r["promise"]] for r in results
    ]


HEAD = ["what", "against", "ratio: median (range)", "the base", "promised"]


def show(results: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in HEAD:
        table.add_column(name)
    for cells in lines(results):
        table.add_row(*cells)
    Console(width=170).print(table)


def write(results: list[dict[str, Any]]) -> None:
    body = "\n".join("| " + " | ".join(cells) + " |" for cells in [HEAD, ["---"] * len(HEAD), *lines(results)])
    page = ROOT / "docs" / "benchmarks.md"
    begun, _, rest = page.read_text().partition("<!-- speed -->") if page.exists() else ("# Benchmarks\n\n", "", "")
    after = rest.partition("<!-- /speed -->")[2]
    page.write_text(f"{begun}<!-- speed -->\n{time.strftime('%Y-%m-%d')}, {machine()}.\n\n{body}\n<!-- /speed -->{after}")
    (ROOT / "benchmarks" / "speed.json").write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
