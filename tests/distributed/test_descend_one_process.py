"""Two processes with half of each batch walk as one process with the whole batches does; what any rank decides, all do."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import surefoot as sf
from tests.distributed.processes import ROOT, answers
from tests.distributed.walks import data, model, own_batches, whole_batches

pytestmark = pytest.mark.slow


def problem(batches=None, **more):
    return sf.Problem(model(), batches or whole_batches(), loss=nn.functional.mse_loss, **more)


def both(out, name):
    """What the ranks say, which is the same."""
    one, other = (each[name] for each in out)
    assert one == other
    return one


def losses(run):
    return run["columns"]["loss"]


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    return answers("tests.distributed.walks", "everything", tmp_path_factory)


def test_losses_weights_and_norms_are_those_of_one_process(walked):
    found, alone = both(walked, "descend"), sf.descend(problem(), lr=0.1, optimizer="adamw", steps=40, progress=False)
    for name in ("loss", "grad_norm", "update_norm", "weight_norm", "lr", "epoch"):
        np.testing.assert_allclose(found["columns"][name], alone.trace[name], rtol=2e-4, err_msg=name)
    assert found["names"] == list(model().state_dict())  # without the wrapping's prefix
    for name, value in alone.weights.items():
        np.testing.assert_allclose(found["weights"][name], value, atol=1e-4)


def test_clipping_accumulation_schedule_and_closures_too(walked):
    clipped = sf.descend(problem(), lr=0.1, steps=20, accumulate=2, clip_norm=0.1, schedule="cosine", progress=False)
    np.testing.assert_allclose(losses(both(walked, "clipped")), clipped.trace["loss"], rtol=1e-4)
    closure = sf.descend(problem(), lr=0.5, optimizer="lbfgs", steps=5, progress=False)
    # L-BFGS amplifies rounding, which processors do differently: from the fourth step on by a percent and more
    np.testing.assert_allclose(losses(both(walked, "closure"))[:3], closure.trace["loss"][:3], rtol=1e-2)
    np.testing.assert_allclose(losses(both(walked, "closure")), closure.trace["loss"], rtol=0.2)


def test_the_validation_loss_is_that_over_the_samples_of_all_ranks_of_which_one_has_none(walked):
    found = both(walked, "validated")["columns"]["validation_loss"]
    alone = sf.descend(problem(validation=data()), lr=0.1, steps=20, validate_every=5, progress=False)
    np.testing.assert_allclose(found, np.nan_to_num(alone.trace["validation_loss"], nan=-1.0), rtol=1e-4)


def test_a_lost_descent_is_lost_on_all_ranks_at_the_same_step(walked):
    assert both(walked, "diverged")["ended"] == "diverged"


def test_uneven_loaders_go_on_by_themselves_and_an_epoch_is_that_of_the_longest(walked):
    found = both(walked, "uneven")
    assert len(losses(found)) == 20
    assert found["columns"]["epoch"][16] == 2.0
    assert len(losses(both(walked, "epochs"))) == 16  # 2 x 8 batches of rank 0; rank 1 has 5
    # by hand: rank 1 begins its second epoch at step 5
    net, mine, theirs = model(), own_batches(0), own_batches(1)[:5]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    seen = []
    for step in range(12):
        optimizer.zero_grad()
        parts = [nn.functional.mse_loss(net(x), y) for x, y in (mine[step % 8], theirs[step % 5])]
        loss = sum(parts) / 2
        loss.backward()
        seen.append(loss.item())
        optimizer.step()
    np.testing.assert_allclose(losses(found)[:12], seen, rtol=1e-4)


def test_steps_yields_the_same_rows_and_may_be_left(walked):
    np.testing.assert_allclose(
        both(walked, "rows"), sf.descend(problem(), lr=0.1, steps=6, progress=False).trace["loss"], rtol=1e-5
    )


def test_a_run_is_continued(walked):
    found = losses(both(walked, "continued"))
    np.testing.assert_allclose(found, sf.descend(problem(), lr=0.1, steps=20, progress=False).trace["loss"], rtol=1e-4)


def test_one_rank_that_wants_to_stop_stops_all(walked):
    found = both(walked, "clock")
    assert found["ended"] == "stopped"
    assert len(losses(found)) == 8


def test_without_a_seed_all_draw_the_same(walked):
    assert len(losses(both(walked, "seedless"))) == 3


def test_nothing_of_the_user_is_changed(walked):
    assert both(walked, "kept")


def test_a_plain_model_descends_by_itself(walked):
    alone = sf.descend(problem(own_batches(0)), lr=0.1, steps=3, progress=False)
    assert losses(walked[0]["plain"]) == alone.trace["loss"].tolist()


def test_the_rate_is_that_of_one_process_with_whole_batches(walked):
    alone, spread = sf.find_lr(problem(), optimizer="adamw", steps=200, engine="sequential", progress=False), both(walked, "auto")
    assert spread["engine"] == "sequential"
    assert (spread["confident"], spread["gradients"], spread["steps"]) == (alone.confident, alone.gradients, alone.steps)
    np.testing.assert_allclose([spread["lr"], spread["low"], spread["high"]], [alone.lr, alone.low, alone.high], rtol=1e-6)


def test_an_engine_that_cannot_walk_together_is_said(walked):
    asked = both(walked, "asked")
    assert asked["lr"] == both(walked, "auto")["lr"]
    assert "not by engine='vmap'" in asked["reason"]
    assert "engine" not in both(walked, "auto")["reason"]


def test_the_example_under_torchrun():
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "examples/two_processes.py"]
    path = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **path}, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("learning rate ") == 1  # from one of the two
    assert "the ranks agree: True" in done.stdout
