"""Two processes with half of each batch get the verdict that one process with the whole batches gets, all of them the same."""

import math

import pytest
from torch import nn

import surefoot as sf
from tests.distributed.processes import answers
from tests.distributed.verdicts import CASES, bowl
from tests.distributed.walks import model, own_batches, whole_batches

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return answers("tests.distributed.verdicts", "everything", tmp_path_factory)


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_is_that_of_one_process(out, name):
    assert out[0][name] == out[1][name]
    lr, steps = CASES[name]
    problem = bowl(None) if name == "standing" else sf.Problem(model(), whole_batches(), loss=nn.functional.mse_loss)
    alone = sf.diagnose(sf.descend(problem, lr=lr, steps=steps, progress=False), problem)
    assert (out[0][name]["verdict"], out[0][name]["basis"]) == (alone.verdict, "problem")


def test_forks_are_walked(out):
    assert len(out[0]["too small"]["forks"]) >= 3


def test_a_watched_loop_is_examined(out):
    assert out[0]["watched"] == out[1]["watched"]
    assert (out[0]["watched"]["verdict"], out[0]["watched"]["basis"]) == ("too-small", "problem")


def test_a_rank_that_gives_up(out):
    assert out[0]["cancelled"] == ("OSError", "enough")
    assert out[1]["cancelled"] == ("SurefootError", "Rank 0 gave up, and so do the others: OSError: enough")


def test_what_cannot_be_done_together_is_refused(out):
    for rank in out:
        for name in ("train", "at"):
            assert "DistributedDataParallel" in rank[name][1]
            assert "model.module" in rank[name][1]


def test_what_asks_nobody_is_done_by_one_rank(out):
    assert out[0]["landscape"] == (5, 5)
    assert out[0]["curvature"]
    assert 0 <= out[0]["accuracy"] <= 1
    lr, engine = out[0]["plain"]
    plain = sf.Problem(model(), own_batches(0), loss=nn.functional.mse_loss)
    assert math.isclose(lr, sf.find_lr(plain, optimizer="sgd", steps=100, progress=False).lr, rel_tol=0.05)
    assert engine in ("vmap", "sequential")
