"""What surfaces and curvature cost, and how right they are.  ours and the peers', side by side in one run -> docs/benchmarks.md.

python benchmarks/landscape.py: one thread, the variants in turn, the median of the ratios round by round with their range. A peer that is not
installed is said so.
"""

from __future__ import annotations

import copy
import importlib.util
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from torch import nn

import surefoot as sf

torch.set_num_threads(1)
warnings.filterwarnings("ignore")
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
ROUNDS = 7
PLANES = (("digits-mlp", 1000), ("digits-mlp", 100), ("digits-linear", 1000), ("spirals", 400), ("spirals", 100))  # with samples
GRID = 51
LAST = (GRID - 1) / GRID  # where the peer ends: it divides the way by the number of points
FULL = 201
Lines = Iterator[str]


def main() -> None:
    parts = (planes(), surface_of_the_line(), eigenvalues())
    said = [line for part in parts for line in shown(part)]
    before, rest = DOCS.read_text().split("<!-- landscape -->", 1)
    _, after = rest.split("<!-- /landscape -->", 1)
    DOCS.write_text(before + "<!-- landscape -->\n" + "\n".join(said) + "\n<!-- /landscape -->" + after)


def shown(part: Lines) -> Lines:
    for line in part:
        print(line, flush=True)
        yield line
    yield ""


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def range_of(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


# ---- points per second


def planes() -> Lines:
    yield f"{GRID} x {GRID} points of a plane, both on the same directions and samples; errors against the loss in float64, one point at a time:"
    yield ""
    peer = "loss-landscapes 3.0.6"
    yield f"| problem, samples | surefoot: points a second, error | {peer}: the same | surefoot is faster by | the caller's model after it |"
    yield "|---|---|---|---|---|"
    for name, samples in PLANES:
        yield plane_of_a_network(name, samples)


def plane_of_a_network(name: str, samples: int) -> str:
    problem = sf.problems.load(name)
    x, y = (part[:samples] for part in problem.data)
    problem = problem.with_(data=(x, y))
    plane = sf.landscape(problem, sf.descend(problem, lr=0.1, steps=100), plane="random", resolution=2).plane
    asked: dict[str, Any] = {"plane": plane, "resolution": GRID, "extent": (0, LAST, 0, LAST), "data": "train", "progress": False}
    kept = copy.deepcopy(problem.model.state_dict())
    surface = sf.landscape(problem, **asked)
    rows = plane.rows(torch.from_numpy(np.stack(np.meshgrid(*surface.axes), -1).reshape(-1, 2)))
    losses = np.array([direct(problem, row, x, y) for row in rows])
    error = float(np.abs(surface.loss.ravel() / losses - 1).max())
    untouched = (
        "untouched" if all(torch.equal(value, kept[key]) for key, value in problem.model.state_dict().items()) else "changed"
    )
    if importlib.util.find_spec("loss_landscapes") is None:
        ours = [seconds(lambda: sf.landscape(problem, **asked)) for _ in range(ROUNDS)]
        return f"| {name}, {samples:,} | {GRID**2 / statistics.median(ours):,.0f}, {error:.0e} | not installed | | {untouched} |"
    times = [
        (seconds(lambda: sf.landscape(problem, **asked)), seconds(lambda: theirs(problem, plane, x, y))) for _ in range(ROUNDS)
    ]
    found, left = theirs(problem, plane, x, y)
    off = float(np.abs(found.ravel() / losses - 1).max())
    speed, other = (GRID**2 / statistics.median(each) for each in zip(*times, strict=True))
    ratio = range_of([peer / own for own, peer in times])
    return f"| {name}, {samples:,} | {speed:,.0f}, {error:.0e} | {other:,.0f}, {off:.0e} | {ratio} | {untouched}; theirs {left} |"


def direct(problem: sf.Problem, row: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> float:
    """The loss at these weights in float64, by putting them into a copy of the model."""
    model = copy.deepcopy(problem.model).double().eval()
    nn.utils.vector_to_parameters(row.double(), model.parameters())
    with torch.no_grad():
        return float(problem.loss_on(model, (x.double(), y.double() if y.is_floating_point() else y)))


def theirs(problem: sf.Problem, plane: sf.Plane, x: torch.Tensor, y: torch.Tensor) -> tuple[np.ndarray, str]:
    """The losses, in our order of rows and columns, and what became of the model that was handed over."""
    import loss_landscapes
    import loss_landscapes.metrics

    start, first, second = (copy.deepcopy(problem.model).eval() for _ in range(3))
    corners = plane.rows(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    for model, row in zip((start, first, second), corners, strict=True):
        nn.utils.vector_to_parameters(row.clone(), model.parameters())
    metric = loss_landscapes.metrics.Loss(problem.loss, x, y)
    # its axes are divided into so many steps, of which the last end is left out
    with torch.no_grad():
        found = loss_landscapes.planar_interpolation(start, first, second, metric, GRID)
    same = torch.equal(nn.utils.parameters_to_vector(start.parameters()), corners[0])
    return np.asarray(found).T, "untouched" if same else "overwritten"


# ---- a whole surface


def surface_of_the_line() -> Lines:
    problem = sf.problems.load("line")
    sf.landscape(problem, resolution=FULL)
    took = [1e3 * seconds(lambda: sf.landscape(problem, resolution=FULL)) for _ in range(3 * ROUNDS)]
    yield f"The exact surface of `line`, {FULL} x {FULL} points with its minimum: {range_of(took, 0)} ms (promised: 50)."


# ---- eigenvalues


NETWORKS = {
    "digits-linear, 650 weights": {"name": "digits-linear"},
    "digits-mlp of width 8, 682 weights": {"name": "digits-mlp", "width": 8},
    "digits-mlp of width 16, 1,482 weights": {"name": "digits-mlp", "width": 16},
}


def eigenvalues() -> Lines:
    yield "Largest eigenvalue of the Hessian:"
    yield ""
    yield "| network | dense | surefoot: error, residual, seconds | PyHessian 0.1: error, seconds | smallest: error |"
    yield "|---|---|---|---|---|"
    for what, recipe in NETWORKS.items():
        problem = sf.problems.load(**recipe)
        x, y = (part[:500] for part in problem.data)
        problem = problem.with_(data=(x, y), validation=None)
        run = sf.descend(problem, lr=0.1, steps=200)
        dense = np.linalg.eigvalsh(hessian(problem, run, x, y))
        spent = [seconds(lambda: sf.spectrum(problem, run.weights)) for _ in range(ROUNDS)]  # noqa: B023
        found = sf.spectrum(problem, run.weights)
        ours = f"{abs(found.largest / dense[-1] - 1):.0e}, {found.largest_residual:.0e}, {statistics.median(spent):.2f}"
        peer = pyhessian(problem, run, x, y, float(dense[-1]))
        yield f"| {what} | {dense[-1]:.4g} | {ours} | {peer} | {abs(found.smallest - dense[0]) / dense[-1]:.0e} of the largest |"


def hessian(problem: sf.Problem, run: sf.Run, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """Dense, in float64, by torch.func, which shares no code with the iteration."""
    model = copy.deepcopy(problem.model).double().eval()
    model.load_state_dict(run.weights)
    shapes = {name: p.shape for name, p in model.named_parameters()}

    def loss(row: torch.Tensor) -> torch.Tensor:
        parts = torch.split(row, [shape.numel() for shape in shapes.values()])
        named = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        return nn.functional.cross_entropy(torch.func.functional_call(model, named, (x.double(),)), y)

    row = nn.utils.parameters_to_vector(model.parameters()).detach()
    return torch.autograd.functional.hessian(loss, row, vectorize=True).numpy()


def pyhessian(problem: sf.Problem, run: sf.Run, x: torch.Tensor, y: torch.Tensor, largest: float) -> str:
    if importlib.util.find_spec("pyhessian") is None:
        return "not installed"
    from pyhessian import hessian as peer

    model = copy.deepcopy(problem.model).eval()
    model.load_state_dict(run.weights)
    times, found = [], 0.0
    for seed in range(ROUNDS):
        torch.manual_seed(seed)
        began = time.perf_counter()
        found = peer(model, nn.CrossEntropyLoss(), data=(x, y), cuda=False).eigenvalues(top_n=1)[0][0]
        times.append(time.perf_counter() - began)
    return f"{abs(found / largest - 1):.0e}, {statistics.median(times):.2f}"


if __name__ == "__main__":
    main()
