"""A rank that gives up ends the work of all: it raises its own error, the others one that names it; nobody waits for ever."""

import pytest

from tests.distributed.processes import answers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return answers("tests.distributed.walks", "everything", tmp_path_factory)


@pytest.mark.parametrize(
    ("name", "rank", "kind", "words"),
    [
        ("forward", 1, "RuntimeError", "a cable"),
        ("first", 1, "RuntimeError", "no cable"),
        ("search", 0, "ValueError", "x"),
        ("progress", 0, "OSError", "enough"),
        ("probe", 1, "LookupError", "probe"),
        ("data", 0, "EOFError", "no more"),
    ],
)
def test_it_raises_its_own_and_the_others_name_it(out, name, rank, kind, words):
    assert out[rank][name] == (kind, words)
    assert out[1 - rank][name] == ("SurefootError", f"Rank {rank} gave up, and so do the others: {kind}: {words}")


def test_a_loop_that_is_left_on_one_rank(out):
    assert out[0]["loop"] == ("KeyError", "'loop'")
    assert out[1]["loop"] == ("SurefootError", "Rank 0 gave up, and so do the others: it left its loop.")


def test_misuse_on_one_rank_is_its_own_error(out):
    assert out[1]["refused"][0] == "SettingError"
    assert out[0]["refused"][0] == "SurefootError"
    assert "lr must be a positive number" in out[0]["refused"][1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("setting", "lr is 0.1 on rank 0 and 1.1 on rank 1."),
        ("shape", "the shape of 0.weight is (2, 4) float32 on rank 0 and (3, 4) float32 on rank 1."),
        ("moved", "the values of the weights 0.weight is checksum "),
    ],
)
def test_ranks_that_differ_are_refused_alike(out, name, words):
    assert out[0][name] == out[1][name]
    kind, said = out[0][name]
    assert kind == "SettingError"
    assert words in said
    assert "Build the model and the settings alike on every rank" in said


def test_ranks_that_call_different_functions_find_out(out):
    assert out[0]["calls"] == out[1]["calls"]
    assert out[0]["calls"][0] == "SettingError"


def test_ctrl_c_on_one_rank_ends_all_at_the_same_step(out):
    assert out[0]["ctrl-c"] == out[1]["ctrl-c"]
    assert out[0]["ctrl-c"]["ended"] == "interrupted"
    assert len(out[0]["ctrl-c"]["columns"]["loss"]) == 5


def test_after_all_that_a_descent_is_as_ever(out):
    assert out[0]["after"] == out[1]["after"]
    assert out[0]["numbers"]
