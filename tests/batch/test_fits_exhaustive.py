"""The oracle is trying: real descents in forked processes that may map so many bytes more (RLIMIT_DATA), and nothing of the library's search."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot.batch.fits import largest_batch

resource = pytest.importorskip("resource")
if not Path("/proc/self/status").exists():
    pytest.skip("needs Linux: memory is limited by RLIMIT_DATA", allow_module_level=True)

MiB = 2**20


class Swollen(nn.Module):
    """Half a MiB for every sample, once on the way there and once on the way back."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return (x.expand(len(x), 2**17) * self.w).mean(1, keepdim=True)


class Pairwise(nn.Module):
    """A similarity between all the samples of a batch, as in contrastive losses: memory goes with the square."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(4, 4)

    def forward(self, x):
        there = self.map(x)
        return torch.logsumexp(there @ there.T, 1, keepdim=True)


def mse(prediction, target):
    return nn.functional.mse_loss(prediction, target)


def swollen(samples=4000):
    return sf.Problem(Swollen(), (torch.rand(samples, 1), torch.zeros(samples, 1)), loss=mse)


def pairwise():
    torch.manual_seed(0)
    return sf.Problem(Pairwise(), (torch.rand(6000, 4), torch.zeros(6000, 1)), loss=mse)


def deep():
    torch.manual_seed(0)
    layers = [layer for _ in range(4) for layer in (nn.Linear(128, 128), nn.ReLU())]
    return sf.Problem(nn.Sequential(*layers, nn.Linear(128, 1)), (torch.rand(60000, 128), torch.zeros(60000, 1)), loss=mse)


def waiting():
    """128 KiB for each sample, and nothing to speak of in the model: batches that wait for their step are what takes memory."""
    x = torch.rand(2000, 2**15)
    return sf.Problem(nn.Linear(2**15, 1, bias=False), (x, torch.zeros(2000, 1)), loss=mse)


def survives(problem, size, memory, steps, **settings):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            torch.set_num_threads(1)
            held = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line)
            resource.setrlimit(resource.RLIMIT_DATA, (held * 1024 + memory, resource.RLIM_INFINITY))
            run = sf.descend(problem, lr=1e-5, batch_size=size, steps=steps, progress=False, **settings)
            code = int(len(run.trace) != steps)
        except (RuntimeError, MemoryError):
            pass
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# Each in a process that begins anew, not in one whose heap holds what other tests have left.
def anew(made, memory, optimizer, steps, factor=None, mapped=False, accumulate=1):
    """What fits, the steps of the search; whether so many steps survive at that, and at one ``factor`` as large.

    Args:
        mapped: whether the C library maps every block of a MiB by itself, so that the true limit does not depend on what was freed before.
            Else it does so from 32 MiB on, and its heap keeps holes: a size may fail where a larger one runs.
    """
    given = [made.__name__, str(memory), optimizer, str(steps), str(factor or 0), str(accumulate)]
    there = {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, Path(__file__).parents[2:3]), *filter(None, sys.path)])}
    there |= {"MALLOC_MMAP_THRESHOLD_": str(MiB)} if mapped else {}
    told = subprocess.run([sys.executable, "-m", __name__, *given], capture_output=True, text=True, timeout=1200, env=there)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "memory", "optimizer"),
    [(swollen, 200, "adamw"), (pairwise, 300, "adamw"), (deep, 150, "sgd")],
)
def test_the_answer_runs_and_a_tenth_more_does_not(made, memory, optimizer):
    told = anew(made, memory, optimizer, 60, 1 / 0.9, mapped=True)  # hardly anything grows where blocks are mapped
    assert told["runs"]
    assert not told["more runs"], told
    assert told["bound"] == "memory"
    assert told["steps"] == told["steps of tries"] <= 30


@pytest.mark.slow
@pytest.mark.parametrize(("made", "memory"), [(swollen, 60), (pairwise, 120), (deep, 100)])
def test_two_hundred_steps_at_the_answer_do_not_run_out(made, memory):
    told = [anew(made, memory, "sgd", 200)]
    if not told[0]["runs"]:  # the layout of the heap decides: 2 of 50 answers for `deep` did run out
        told += [anew(made, memory, "sgd", 200) for _ in range(2)]
        assert all(one["runs"] for one in told[1:]), told
    assert all(one["steps"] <= 30 for one in told)


def test_the_memory_of_a_planted_model_is_what_was_planted():
    found = largest_batch(swollen(), memory=150 * MiB)
    tried = [t for t in found.tries if t.batch_size > 70 and t.peak == t.peak]
    assert tried
    for t in tried:  # half a MiB on the way there and as much on the way back; later steps leave holes
        assert t.early / MiB == pytest.approx(t.batch_size, rel=0.1)


@pytest.mark.slow
def test_accumulated_batches_wait_in_memory():
    alone = anew(waiting, 150, "sgd", 40, mapped=True)
    four = anew(waiting, 150, "sgd", 40, 4, mapped=True, accumulate=4)
    assert alone["fits"] / 5 < four["fits"] < alone["fits"] / 2.5
    assert alone["runs"]
    assert four["runs"]
    assert not four["more runs"]


def main(made, memory, optimizer, steps, factor, accumulate):
    torch.set_num_threads(1)
    problem, limit = globals()[made](), int(memory) * MiB
    settings = {"optimizer": optimizer, "accumulate": int(accumulate)}
    found = largest_batch(problem, memory=limit, progress=False, **settings)
    told = {
        "fits": found.batch_size,
        "bound": found.bound,
        "steps": found.steps,
        "steps of tries": sum(t.steps for t in found.tries),
    }
    told["runs"] = survives(problem, found.batch_size, limit, int(steps), **settings)
    if float(factor):
        told["more runs"] = survives(problem, int(found.batch_size * float(factor)) + 2, limit, int(steps), **settings)
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
