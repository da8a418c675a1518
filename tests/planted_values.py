"""One of every value that a notebook may show, real ones and awkward ones.  -> VALUES, name -> maker."""

import functools
import math

import numpy as np
import torch
from torch import nn

import surefoot as sf
from surefoot.curvature.spectrum import Spectrum, spectrum
from surefoot.surfaces.basin import basin
from surefoot.surfaces.minima import Minimum
from surefoot.surfaces.planes import Plane
from surefoot.surfaces.surface import PathOn, Surface, landscape

NAN, INF = math.nan, math.inf


@functools.cache
def bowl(name="bowl"):
    answer = sf.Answer(minima=((0.0, 0.0),), loss=0.0, curvature=8.0, source="by construction")
    return sf.Problem.of(lambda x: (x * x * x.new_tensor([1.0, 4.0])).sum(), start=[2.0, 1.0], name=name, answer=answer)


@functools.cache
def run(lr=0.1, name="bowl"):
    return sf.descend(bowl(name), lr=lr, steps=40)


@functools.cache
def line():
    return sf.problems.load("line")


@functools.cache
def found():
    return sf.find_lr(line(), optimizer="sgd", steps=120, engine="sequential")


@functools.cache
def ten_weights():
    torch.manual_seed(0)
    x = torch.randn(30, 9)
    return sf.Problem(nn.Linear(9, 1), (x, x.sum(1, keepdim=True)), loss=nn.functional.mse_loss, validation=(x, x[:, :1]))


@functools.cache
def slice_of_ten():
    return landscape(ten_weights(), sf.descend(ten_weights(), lr=0.01, steps=20), resolution=5)


@functools.cache
def population():
    return sf.descend_many(line(), lr=[float(rate) for rate in np.geomspace(1e-3, 10, 30)], steps=200, engine="sequential")


def trace_of(*losses, lr=0.1):
    return sf.Trace.of([sf.Row(step, 0.0, lr, loss, 1.0, 0.1, 1.0, NAN, 0.0) for step, loss in enumerate(losses)])


def run_of(trace, ended="steps", **config):
    return sf.Run(trace, {}, sf.Path(np.array([], dtype=int), torch.empty(0, 0)), ended, config)


def found_of(**changes):
    asked = {"lr": 0.03, "low": 0.01, "high": 0.1, "ceiling": 0.5, "confident": True, "reason": "verified", "trials": (), "gradients": 400,
             "seconds": 1.5, "steps": 1000}  # fmt: skip
    return sf.Found(**{**asked, **changes})


def surface_of(loss, exact=False, paths=(), explained=NAN, minima=(), names=("x", "y"), note=""):
    side = np.linspace(-1, 1, loss.shape[-1])
    plane = Plane(torch.zeros(2), torch.eye(2)[: loss.ndim], "axes", names[: loss.ndim])
    return Surface((side,) * loss.ndim, loss, paths, explained, 0.76, plane, 1234, minima, exact, note, 0.1)


def path_on(distance=(0.5,), loss=(1.0,), under=(1.5,)):
    count = len(distance)
    return PathOn(np.arange(count), np.zeros((count, 2)), np.array(loss), np.array(under), np.array(distance), 0.9)


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter([(torch.zeros(2, 1), torch.zeros(2, 1))])


def problem_of(data, **more):
    return sf.Problem(nn.Linear(1, 1), data, **{"loss": nn.MSELoss(), **more})


def pair(count=7):
    return torch.zeros(count, 1), torch.zeros(count, 1)


VALUES = {
    "run": run,
    "run diverged": lambda: sf.descend(line(), lr=1e6, steps=50),
    "run without rows": lambda: run_of(trace_of()),
    "run without rows, diverged": lambda: run_of(trace_of(), "diverged"),
    "run without a finite loss": lambda: run_of(trace_of(NAN, NAN), "diverged", lr=0.1),
    "run with a thousand settings": lambda: run_of(trace_of(1.0), **{f"key {place}": "x" * 5000 for place in range(1000)}),
    "trace": lambda: run().trace,
    "trace, empty": trace_of,
    "trace of one": lambda: trace_of(1.0),
    "trace of infinities": lambda: trace_of(1e300, INF, -INF, NAN),
    "trace with probes": lambda: sf.Trace({**{name: np.zeros(9) for name in run().trace.columns}, **{f"p{i}": np.zeros(9) for i in range(300)}}),
    "row": lambda: run().trace[-1],
    "path": lambda: run().path,
    "path, empty": lambda: sf.Path(np.array([], dtype=int), torch.empty(0, 0)),
    "problem": bowl,
    "problem with data": line,
    "problem with validation": ten_weights,
    "problem of a loader": lambda: problem_of(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*pair()), batch_size=2)),
    "problem of a data set": lambda: problem_of(torch.utils.data.TensorDataset(*pair())),
    "problem of a stream": lambda: problem_of(Stream()),
    "problem of batches": lambda: problem_of([{"x": torch.zeros(2)}], loss=None),
    "problem, lazy": lambda: sf.Problem(nn.LazyLinear(1), pair(), loss=nn.MSELoss()),
    "problem, frozen": lambda: sf.Problem(nn.Linear(1, 1).requires_grad_(False), pair(), loss=functools.partial(nn.functional.mse_loss)),
    "answer": lambda: bowl().answer,
    "answer, nothing": sf.Answer,
    "answer, large": lambda: sf.Answer(minima=((0.0,) * 100_000,) * 100, loss=NAN, curvature=INF),
    "found": found,
    "found without trials": found_of,
    "found of nothing finite": lambda: found_of(lr=NAN, low=0.0, high=INF, ceiling=None, trials=(trace_of(), trace_of(NAN), trace_of(INF))),
    "found, many trials": lambda: found_of(trials=[trace_of(float(count)) for count in range(500)], reason="because " * 5000),
    "found by": lambda: sf.FoundBy("batch_size", ((16, found_of()), ("full", found_of(ceiling=None, confident=False)))),
    "found by, nothing": lambda: sf.FoundBy("batch_size", ()),
    "suggestion": lambda: sf.suggest(sf.range_test(line(), low=1e-4, high=10.0)),
    "suggestion, none": lambda: sf.suggest(trace_of(1.0)),
    "population": population,
    "population of seeds": lambda: sf.descend_many(line(), lr=0.1, seed=[1, 2], steps=3, engine="sequential"),
    "population, nobody": lambda: sf.Population((), "vmap", "", 0),
    "population without rows": lambda: sf.Population((run_of(trace_of()),) * 3, "vmap", "note", 0),
    "surface": lambda: landscape(bowl(), run(), resolution=9),
    "surface of a slice": slice_of_ten,
    "basin": lambda: basin(bowl(), run(), rates=5, starts=3),
    "basin, diverged": lambda: basin(bowl(), run(lr=5.0), rates=0, starts=0),
    "surface, finite nowhere": lambda: surface_of(np.full((3, 3), NAN), paths=(path_on((INF,), (INF,), (INF,)),)),
    "surface, nobody moves": lambda: surface_of(np.zeros((3, 3)), paths=(path_on((), (), ()),)),
    "surface of a line, huge": lambda: surface_of(np.array([1e300, INF, 0.0]), exact=True),
    "surface with many minima": lambda: surface_of(np.zeros((3, 3)), True, minima=tuple(Minimum((i, -i), i) for i in range(400))),
    "minimum": lambda: Minimum((1.0, -2.0), 0.5),
    "plane": lambda: slice_of_ten().plane,
    "spectrum": lambda: spectrum(line()),
    "spectrum of nothing": lambda: Spectrum(0.0, 0.0, 0.0, 0.0, 1, 1),
    "spectrum, not finite": lambda: Spectrum(NAN, -INF, INF, NAN, 1, 1),
}  # fmt: skip
