"""surefoot batch as a user types it: the answer in text and JSON, the next command, the picture, exit codes."""

import json
import shlex

import pytest


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.slow
def test_text_json_picture_and_the_next_command(surefoot, tmp_path):
    words = "batch digits-linear --optimizer sgd --steps 300 --engine sequential"
    out = surefoot(f"{words} --plot --picture out/batch.png")
    assert out.startswith("digits-linear: 650 weights")
    assert "batch size" in out
    assert "relative to the best" in out
    assert (tmp_path / "out" / "batch.png").stat().st_size > 10_000
    following = next(line for line in out.splitlines() if line.startswith("next: surefoot "))
    answer = json.loads(surefoot(f"{words} --json"))
    assert f"--batch-size {answer['batch_size']} --optimizer sgd --steps 300" in following
    assert f"--lr {answer['lr']:.3g}" in following
    assert answer["confident"] is True
    assert answer["fits"] == 1438
    assert answer["noise_scale"]["value"] > 2 * answer["noise_scale"]["error"] > 0
    assert [set(size) for size in answer["sizes"]] == [
        {"batch_size", "samples_per_second", "steps_to_target", "time_to_target"}
    ] * len(answer["sizes"])
    ended = json.loads(surefoot(" ".join(shlex.split(following)[2:]) + " --json --no-diagnose"))
    assert ended["ended"] == "steps"


LEVEL = """
import torch
from surefoot import Problem

torch.manual_seed(0)
slopes = torch.randn(400, 5)
slopes -= slopes.mean(0)
model = torch.nn.Linear(5, 1, bias=False)
problem = Problem(model, (slopes, torch.zeros(400)), objective=lambda model, batch: model(batch[0]).mean())
"""


def test_not_confident_is_a_finding(surefoot, tmp_path):
    (tmp_path / "level.py").write_text(LEVEL)
    answer = json.loads(surefoot("batch level.py:problem --optimizer sgd --steps 300 --json", code=1))
    assert answer["confident"] is False
    assert answer["noise_scale"]["value"] is None  # infinite
    assert answer["useful"] is None
    assert answer["batch_size"] == 64


MISUSE = {
    "batch lin": "Did you mean 'line'",
    "batch line --memory lots": "a number of bytes, or a number and a unit as in '2GB'",
    "batch digits-mlp --memory 1MB": "Not even 1 sample",
    "batch line --budget 0.01": "too few to choose a batch size",
    "batch bowl": "no batch size to choose",
    "batch line --headroom 2": "headroom must be a number from 0 up to 1",
}


@pytest.mark.parametrize(("words", "said"), MISUSE.items(), ids=MISUSE)
def test_misuse_says_the_way_out(surefoot, words, said):
    assert said in surefoot(words, code=2)
