"""Logs whose course is written down here: what `surefoot diagnose` makes of them, and of files that are none."""

import json

import pytest


def log(rows, names="step,lr,loss"):
    return "\n".join([names, *(",".join(map(str, row)) for row in rows), ""])


def falling(step):
    return 5 * 0.99**step


READABLE = {
    "one row": (log([(0, 0.1, 1.5)]), {"unsure"}),
    "three rows": (log([(0, 0.1, 3.0), (1, 0.1, 2.0), (2, 0.1, 1.0)]), {"unsure"}),
    "constant": (log([(k, 0.1, 0.5) for k in range(100)]), {"unsure", "plateau", "converged", "broken", "too-small"}),
    "not a number from step 0": (log([(k, 0.1, "nan") for k in range(100)]), {"overflow"}),
    "lost on the way": (log([(k, 9.0, 2.0**k if k < 60 else "inf") for k in range(62)]), {"overflow"}),
    "negative": (log([(k, 0.1, falling(k) - 9) for k in range(300)]), {"descending", "converged"}),
    "gaps": (log([(k if k < 150 else k + 5000, 0.1, falling(k)) for k in range(300)]), {"descending"}),
    "steps twice": (log([(k // 2, 0.1, falling(k // 2)) for k in range(300)]), {"descending"}),
    "resumed": (log([(k, 0.1, falling(k)) for k in [*range(150), *range(100, 300)]]), {"descending"}),
    "no rate, no steps": (log([(falling(k),) for k in range(300)], "loss"), {"descending"}),
}


@pytest.mark.parametrize("kind", READABLE)
def test_whatever_is_a_log_gets_a_verdict(surefoot, tmp_path, kind):
    text, verdicts = READABLE[kind]
    (tmp_path / "log.csv").write_text(text)
    code = 1 if verdicts == {"overflow"} else None
    answer = asked(surefoot, "diagnose log.csv --json", code)
    assert answer["verdict"] in verdicts
    assert answer["basis"] == "trace"
    assert answer["told"]


def asked(surefoot, words, code):
    """The answer; without an expected code, that of its own verdict."""
    if code is not None:
        return json.loads(surefoot(words, code))
    try:
        return json.loads(surefoot(words, 0))
    except AssertionError:
        return json.loads(surefoot(words, 1))


def test_a_resumed_log_counts_each_step_once(surefoot, tmp_path):
    (tmp_path / "log.csv").write_text(READABLE["resumed"][0])
    assert surefoot("diagnose log.csv").startswith("log.csv: 300 rows, steps 0 to 299\n")


def test_columns_of_other_names_are_named(surefoot, tmp_path):
    (tmp_path / "log.csv").write_text(log([(k, 1, falling(k)) for k in range(300)], "tick,goodness,mine"))
    assert "goodness, mine" in surefoot("diagnose log.csv", code=2)
    assert surefoot("diagnose log.csv --columns loss=mine --columns step=tick").startswith("log.csv: 300 rows, steps 0 to 299\n")
    assert "'nope'" in surefoot("diagnose log.csv --columns loss=nope", code=2)
    assert "Did you mean 'loss'" in surefoot("diagnose log.csv --columns los=mine", code=2)


def test_a_folder_of_another_tool(surefoot, tmp_path):
    history = [{"step": k, "learning_rate": 1e-4, "loss": falling(k), "epoch": k / 100} for k in range(0, 300, 2)]
    (tmp_path / "checkpoint-300").mkdir()
    (tmp_path / "checkpoint-300" / "trainer_state.json").write_text(json.dumps({"global_step": 300, "log_history": history}))
    assert json.loads(surefoot("diagnose checkpoint-300 --json"))["verdict"] == "descending"


NONE = {
    "empty": (b"", "A log is a CSV"),
    "archive": (b"PK\x03\x04....", "A log is a CSV"),
    "header alone": (b"step,loss\n", "nothing was recorded yet"),
    "prose": (b"Shall I compare thee\nto a rainy day?\n", "is not a log"),
    "other json": (b'{"name": "surefoot", "version": [0, 1]}', "known to be the training loss"),
}


@pytest.mark.parametrize("kind", NONE)
def test_what_is_no_log_says_what_was_looked_for(surefoot, tmp_path, kind):
    content, said = NONE[kind]
    (tmp_path / "file").write_bytes(content)
    assert said in surefoot("diagnose file", code=2)
    assert len(surefoot.err.splitlines()) == 1


def test_measuring_a_log_takes_a_model_that_stands_at_its_end(surefoot, tmp_path):
    (tmp_path / "log.csv").write_text(log([(k, 0.01, 50 * 0.98**k) for k in range(100)]))
    (tmp_path / "train.py").write_text(
        "import surefoot\n\nproblem = surefoot.Problem.of(lambda x: (x**2).sum() / 2, start=[10 * 0.99**100])\n"
    )
    answer = json.loads(surefoot("diagnose log.csv --problem train.py:problem --optimizer sgd --json", code=1))
    assert (answer["verdict"], answer["basis"]) == ("too-small", "problem")
