"""A watched loop of two processes shows what one process with the whole batches shows, and never waits for a rank."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.distributed.processes import answers
from tests.distributed.walks import model, own_batches, whole_batches

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return answers("tests.distributed.watches", "everything", tmp_path_factory)


def means(one, other):
    return np.mean([one["losses"], other["losses"]], axis=0)


@pytest.mark.parametrize("name", ["usual", "views", "buckets"])
def test_the_loss_is_the_mean_over_ranks_and_the_norm_that_of_the_averaged_gradient_before_clipping(out, name):
    one, other = (each[name] for each in out)
    for each in (one, other):
        np.testing.assert_allclose(each["columns"]["loss"], means(one, other), rtol=1e-12)
        np.testing.assert_allclose(each["columns"]["grad_norm"], each["norms"], rtol=1e-5)
        assert each["note"] is None


def test_the_columns_are_those_of_one_process(out):
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for step, (x, y) in enumerate(whole_batches()):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        optimizer.step()
        for rank in out:
            assert rank["usual"]["columns"]["loss"][step] == pytest.approx(loss.item(), rel=1e-4)
            assert rank["usual"]["columns"]["grad_norm"][step] == pytest.approx(norm.item(), rel=1e-3)


def test_only_one_rank_asks(out):
    np.testing.assert_allclose(out[0]["first only"]["columns"]["loss"], means(*(each["first only"] for each in out)), rtol=1e-12)


def test_uneven_loaders_under_join(out):
    short, long = (each["uneven"] for each in out)
    assert (len(short["loss"]), len(long["loss"])) == (5, 8)
    assert short["loss"] == long["loss"][:5]
    assert short["note"] is long["note"] is None


def test_a_rank_that_raises(out):
    assert out[1]["raised"] == ("LookupError", "here")
    assert len(out[0]["raised trace"]) == 3
    assert out[0]["raised trace"] == out[1]["raised trace"]


def test_in_the_middle_what_is_not_known_yet_is_said(out):
    losses, note = out[0]["middle"]
    assert len(losses) == 3
    assert note is None or "is that of this rank alone" in note
    assert out[0]["middle end"] == out[1]["middle end"]
    assert out[0]["middle end"][1] is None


def test_a_rank_that_watches_alone_sees_its_own_loss(out):
    losses, note, soon = out[0]["lonely"]
    with torch.no_grad():
        x, y = own_batches(0)[0]
        assert losses[0] == pytest.approx(nn.functional.mse_loss(model()(x), y).item(), rel=1e-6)
    assert "rank 1 has not told its own" in note
    assert soon
    one, other = (each["after it"] for each in out)  # which both watch again
    np.testing.assert_allclose(one["columns"]["loss"], means(one, other), rtol=1e-12)


def test_another_loop_is_not_taken_for_this_one(out):
    for rank in out:
        assert rank["strange"]["columns"]["loss"] == rank["strange"]["losses"]
        assert "watches another training" in rank["strange"]["note"]


def test_alpha_is_refused(out):
    assert out[0]["alpha"][0] == out[0]["alpha alike"][0] == "SettingError"


@pytest.mark.parametrize("name", ["fully_shard", "flat", "original"])
def test_norms_over_shards_are_those_of_the_whole(out, name):
    for rank in out:
        twin, found = rank["twin"]["columns"], rank[name]["columns"]
        assert rank[name]["note"] is None
        rows = slice(None) if name == "fully_shard" else slice(1)  # the others were not clipped, as the twin was
        for column in ("loss", "grad_norm", "weight_norm"):
            np.testing.assert_allclose(found[column][rows], twin[column][rows], rtol=1e-4, err_msg=column)
        if name == "fully_shard":
            np.testing.assert_allclose(found["update_norm"], twin["update_norm"], rtol=1e-4)
            np.testing.assert_allclose(found["grad_norm"], rank[name]["norms"], rtol=1e-4)


@pytest.mark.parametrize("name", ["descend", "find", "flat find"])
def test_a_sharded_model_is_refused_with_the_way_out(out, name):
    kind, said = out[0][name]
    assert kind == "SettingError"
    assert "DistributedDataParallel" in said
    assert "unsharded copy" in said
