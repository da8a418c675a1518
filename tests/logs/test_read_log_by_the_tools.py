"""Logs written by the tools themselves, and logs in the tools' formats whose numbers were written down here by hand."""

from __future__ import annotations

import json
import math
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.errors import SettingError, UserFileError
from surefoot.logs.read import read_log

NAN = math.nan


def same(column, expected):
    np.testing.assert_array_equal(np.asarray(column, dtype=float), np.asarray(expected, dtype=float))


def written(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# --- CSV -------------------------------------------------------------------------------------------------------------


def test_csv_of_any_tool(tmp_path):
    trace = read_log(written(tmp_path, "anything.txt", "Step;Training Loss;LR;Acc\n5;2.5;0.1;0.2\n6;NaN;0.1;\n7;-inf;0.05;0.4\n"))
    same(trace["step"], [5, 6, 7])
    same(trace["loss"], [2.5, NAN, -math.inf])
    same(trace["lr"], [0.1, 0.1, 0.05])
    same(trace["Acc"], [0.2, NAN, 0.4])
    assert np.isnan(trace["grad_norm"]).all()
    assert trace.probes == ("Acc",)


def test_numbers_are_read_to_the_last_bit(tmp_path):
    values = np.random.default_rng(0).lognormal(0, 20, 2000)
    text = "loss\n" + "".join(f"{value!r}\n" for value in values.tolist())
    same(read_log(written(tmp_path, "a.csv", text))["loss"], values)
    same(read_log(written(tmp_path, "a.json", [{"loss": value} for value in values]))["loss"], values)


def test_rows_out_of_order_are_sorted_and_the_resumed_run_wins(tmp_path):
    log = "step,epoch,loss\n0,0,9\n2,0,7\n1,0,8\n3,1,6\n2,0,70\n3,1,nan\n4,1,50\n"
    trace = read_log(written(tmp_path, "log.csv", log))
    same(trace["step"], [0, 1, 2, 3, 4])
    same(trace["loss"], [9, 8, 70, NAN, 50])


def test_steps_that_begin_anew_with_every_epoch_do_not_swallow_rows(tmp_path):
    trace = read_log(written(tmp_path, "log.csv", "epoch,step,loss\n0,0,5\n0,1,4\n1,0,3\n1,1,2\n"))
    same(trace["step"], [0, 1, 2, 3])
    same(trace["loss"], [5, 4, 3, 2])


def test_without_steps_rows_are_counted_as_in_keras_csv_logger(tmp_path):
    trace = read_log(
        written(tmp_path, "training.log", "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,2.0,0.4,2.5\n1,0.6,1.0,0.5,1.5\n")
    )
    same(trace["step"], [0, 1])
    same(trace["epoch"], [0, 1])
    same(trace["loss"], [2, 1])
    same(trace["validation_loss"], [2.5, 1.5])


def test_a_line_cut_off_while_it_is_written_is_what_is_there(tmp_path):
    trace = read_log(written(tmp_path, "log.csv", "step,loss,lr\n0,3,0.1\n1,2,0.1\n2,1"))
    same(trace["loss"], [3, 2, 1])
    same(trace["lr"], [0.1, 0.1, NAN])


def test_semicolons_and_decimal_commas(tmp_path):
    same(read_log(written(tmp_path, "log.csv", "step;loss\n0;2,5\n1;1e-3\n"))["loss"], [2.5, 1e-3])


def test_columns_say_what_the_table_of_names_cannot(tmp_path):
    path = written(tmp_path, "log.csv", "tick,loss,my_loss,eta\n3,1,10,0.5\n4,2,20,0.25\n")
    trace = read_log(path, columns={"loss": "my_loss", "step": "tick", "lr": "ETA"})
    same(trace["step"], [3, 4])
    same(trace["loss"], [10, 20])
    same(trace["lr"], [0.5, 0.25])


# --- Lightning -------------------------------------------------------------------------------------------------------

LIGHTNING = """epoch,lr-Adam/pg1,lr-Adam/pg2,step,train_loss_epoch,train_loss_step,val_loss
,0.001,0.9,9,,,
0,,,9,,1.5,
,0.0005,0.9,19,,,
0,,,19,,1.25,
0,,,24,,,1.125
0,,,24,1.375,,
,0.00025,0.9,27,,,
1,,,29,,0.75,
"""


@pytest.mark.parametrize("asked", ["", "version_3", "version_3/metrics.csv"])
def test_lightning_rows_of_training_and_validation_become_one(tmp_path, asked):
    (tmp_path / "version_3").mkdir()
    written(tmp_path / "version_3", "metrics.csv", LIGHTNING)
    written(tmp_path / "version_3", "hparams.yaml", "{}\n")
    trace = read_log(tmp_path / asked)
    same(trace["step"], [9, 19, 29])
    same(trace["epoch"], [0, 0, 1])
    same(trace["loss"], [1.5, 1.25, 0.75])
    same(trace["validation_loss"], [NAN, 1.125, NAN])  # measured after step 24: the weights of row 19 are the nearest before
    same(trace["lr"], [0.001, 0.0005, 0.00025])  # of the first group; set before step 27: the next row has it
    assert np.isfinite(trace["loss"]).all()


def test_lightning_csv_logger(tmp_path):
    loggers = pytest.importorskip("lightning.pytorch.loggers", reason="lightning is not installed")
    logger = loggers.CSVLogger(tmp_path, name="runs")
    for step in range(4):
        logger.log_metrics({"train_loss": 4.0 - step, "epoch": 0}, step=step)
    logger.log_metrics({"val_loss": 0.5, "epoch": 0}, step=3)
    logger.save()
    trace = read_log(logger.log_dir)
    same(trace["loss"], [4, 3, 2, 1])
    same(trace["validation_loss"], [NAN, NAN, NAN, 0.5])


# --- Hugging Face ----------------------------------------------------------------------------------------------------

HISTORY = [
    {"epoch": 0.5, "grad_norm": 1.25, "learning_rate": 5e-5, "loss": 2.5, "step": 25},
    {"epoch": 1.0, "grad_norm": NAN, "learning_rate": 2.5e-5, "loss": NAN, "step": 50},
    {"epoch": 1.0, "eval_loss": 1.75, "eval_accuracy": 0.25, "eval_runtime": 9.5, "step": 50},
    {"epoch": 1.0, "step": 50, "total_flos": 1e12, "train_loss": 2.0, "train_runtime": 60.0},
]


def test_hugging_face_trainer_state(tmp_path):
    written(tmp_path, "config.json", {"model_type": "none"})
    written(tmp_path, "trainer_state.json", {"best_metric": None, "epoch": 1.0, "global_step": 50, "log_history": HISTORY})
    trace = read_log(tmp_path)
    same(trace["step"], [25, 50])
    same(trace["epoch"], [0.5, 1.0])
    same(trace["loss"], [2.5, NAN])
    same(trace["lr"], [5e-5, 2.5e-5])
    same(trace["grad_norm"], [1.25, NAN])
    same(trace["validation_loss"], [NAN, 1.75])
    same(trace["eval_accuracy"], [NAN, 0.25])


def test_hugging_face_trainer_state_as_transformers_saves_it(tmp_path):
    callback = pytest.importorskip("transformers.trainer_callback", reason="transformers is not installed")
    callback.TrainerState(log_history=HISTORY, global_step=50).save_to_json(str(tmp_path / "trainer_state.json"))
    same(read_log(tmp_path)["loss"], [2.5, NAN])


# --- Weights & Biases ------------------------------------------------------------------------------------------------

WANDB = [
    {
        "_step": 0,
        "_runtime": 3.5,
        "_timestamp": 1.7e9,
        "train/loss": 3.0,
        "train/global_step": 10,
        "val/loss": None,
        "_wandb": {"x": 1},
    },
    {"_step": 1, "_runtime": 5.5, "_timestamp": 1.7e9 + 2, "train/loss": None, "train/global_step": 10, "val/loss": 2.0},
    {"_step": 2, "_runtime": 9.5, "_timestamp": 1.7e9 + 6, "train/loss": "NaN", "train/global_step": 20, "val/loss": None},
    {"_step": 3, "_runtime": 11.5, "_timestamp": 1.7e9 + 8, "train/loss": "Infinity", "train/global_step": 30, "val/loss": None},
]


def of_columns(records):
    return {name: {str(row): record.get(name) for row, record in enumerate(records)} for name in records[0] if name != "_wandb"}


@pytest.mark.parametrize(
    "content",
    [
        WANDB,
        "".join(json.dumps(record) + "\n" for record in WANDB),
        "".join(json.dumps(record) + "\n" for record in WANDB) + '{"_step": 4, "train/lo',
        of_columns(WANDB),
        {"columns": list(WANDB[1]), "data": [[record[name] for name in WANDB[1]] for record in WANDB]},
    ],
    ids=["records", "lines", "lines, the last being written", "columns", "table"],
)
def test_wandb_history_in_json(tmp_path, content):
    trace = read_log(written(tmp_path, "export.json", content))
    same(trace["step"], [10, 20, 30])
    same(trace["loss"], [3, NAN, math.inf])
    same(trace["validation_loss"], [2, NAN, NAN])
    same(trace["seconds"], [0, 4, 6])
    assert trace.probes == ()


def test_wandb_history_in_csv(tmp_path):
    text = '_step,_timestamp,train.loss\n0,1700000000000,"2.0"\n7,1700000001500,"NaN"\n'
    trace = read_log(written(tmp_path, "history.csv", text))
    same(trace["step"], [0, 7])
    same(trace["loss"], [2, NAN])
    np.testing.assert_allclose(trace["seconds"], [0, 1.5])


def test_wandb_chart_in_csv(tmp_path):
    run = "brisk-fox-3 - train/loss"
    text = f'"Step","{run}","{run}__MIN","{run}__MAX"\n"0","2.5","1","9"\n"50","1.5","1","9"\n'
    trace = read_log(written(tmp_path, "chart.csv", text))
    same(trace["step"], [0, 50])
    same(trace["loss"], [2.5, 1.5])
    assert trace.probes == ()


# --- TensorBoard -----------------------------------------------------------------------------------------------------


@pytest.fixture
def writer(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'surefoot[logs]'")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path / "run") as writer:
        yield writer


@pytest.mark.parametrize("new_style", [False, True])
@pytest.mark.parametrize("asked", ["", "run", "run/file"])
def test_tensorboard_summary_writer(tmp_path, writer, asked, new_style):
    for step, loss in [(0, 4.0), (10, 2.0), (20, NAN), (30, 0.5)]:
        writer.add_scalar("Loss/train", loss, step, walltime=1.7e9 + step, new_style=new_style)
        writer.add_scalar("lr", 2.0**-step, step, walltime=1.7e9 + step, new_style=new_style)
    writer.add_scalar("Loss/val", 1.25, 15, walltime=1.7e9 + 15)
    writer.add_text("note", "0.5", 0)
    writer.add_histogram("weights", np.arange(9.0), 0)
    writer.close()
    file = next((tmp_path / "run").iterdir())
    trace = read_log(file if asked == "run/file" else tmp_path / asked)
    same(trace["step"], [0, 10, 20, 30])
    same(trace["loss"], [4, 2, NAN, 0.5])
    same(trace["lr"], [1, 2.0**-10, 2.0**-20, 2.0**-30])
    same(trace["validation_loss"], [NAN, 1.25, NAN, NAN])
    same(trace["seconds"], [0, 10, 20, 30])
    assert trace.probes == ()


def test_tensorboard_keeps_every_point_and_drops_what_a_crashed_run_left(tmp_path, writer):
    from torch.utils.tensorboard import SummaryWriter

    for step in range(12_000):  # TensorBoard's page shows a thousand of them
        writer.add_scalar("loss", 1.0, step)
    writer.close()
    time.sleep(1.1)  # of one second, the files are in the order of their names, in which a tenth writer comes before a ninth
    with SummaryWriter(tmp_path / "run", purge_step=11_000, filename_suffix=".later") as later:
        later.add_scalar("loss", 2.0, 11_000)
    trace = read_log(tmp_path / "run")
    same(trace["step"], range(11_001))
    same(trace["loss"], [1.0] * 11_000 + [2.0])


def test_tensorboard_file_cut_off_gives_what_is_whole(tmp_path, writer):
    for step in range(5):
        writer.add_scalar("loss", 5.0 - step, step)
    writer.close()
    file = next((tmp_path / "run").iterdir())
    file.write_bytes(file.read_bytes()[:-7])
    same(read_log(file)["loss"], [5, 4, 3, 2])


def test_tensorboard_not_installed_names_the_extra(tmp_path, writer, monkeypatch):
    writer.add_scalar("loss", 1.0, 0)
    writer.close()
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing", None)
    with pytest.raises(SettingError, match=r"not installed.*pip install 'surefoot\[logs\]'"):
        read_log(tmp_path / "run")


def test_tensorboard_without_scalars_and_under_another_name(tmp_path, writer):
    writer.add_text("note", "hello", 0)
    writer.close()
    with pytest.raises(UserFileError, match=r"no scalars.*add_scalar"):
        read_log(tmp_path / "run")
    file = next((tmp_path / "run").iterdir()).rename(tmp_path / "events.bin")
    with pytest.raises(UserFileError, match=r"its name lacks 'tfevents'.*Rename it"):
        read_log(file)


# --- what is no log --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["is empty", "trainer_state.json"]),
        ("step,loss\n", ["step, loss", "no rows"]),
        ("step,loss\n1,\n2,\n", ["training loss", "no column with numbers", "columns={'loss'"]),
        ("step,error,lr\n1,2,3\n", ["training loss", "error, lr", "columns={'loss'"]),
        ("step,val_loss\n1,2\n", ["training loss", "it has val_loss"]),
        ("0,1.5\n1,1.2\n", ["first line", "0, 1.5", "Add a line of column names"]),
        ("step,loss\n0,1\n1,2,3\n", ["Expected 2 fields", "saw 3", "2 column names: step, loss"]),
        ("step,loss\n1,2,3\n", ["more values", "2 column names"]),
        ("step,loss\n0.5,1\n0.75,2\n", ["'step'", "0.5", "columns={'step'"]),
        ("Dear diary\ntoday the loss went up\n", ["is not a log", "Dear diary", "holds a number"]),
        ("Step,a - loss,b - loss\n0,1,2\n", ["2 runs (a, b)", "single run"]),
        ([{"step": None, "loss": 1}, {"step": 0}], ["training loss", "no column with numbers"]),
        ("step,loss\n1e30,1\n", ["'step'", "1e+30", "no index"]),
        ("{}", ["JSON but not a log", "nothing in it", "log_history"]),
        ('{"loss": [1, 2', ["not JSON", "line 1", "cut off"]),
        ("[1, 2]", ["JSON but not a log", "a list of 2"]),
        ("[]", ["without a record"]),
        ({"log_history": []}, ["without a record"]),
        ({"log_history": 3}, ["JSON but not a log", "'log_history'"]),
        ({"model_type": "bert", "size": 3}, ["JSON but not a log", "'model_type', 'size'"]),
        ({"step": {"0": 1}, "wrong": {"0": 2}}, ["training loss", "it has wrong"]),
    ],
)
def test_what_is_no_log_is_said(tmp_path, content, words):
    with pytest.raises(UserFileError) as caught:
        read_log(written(tmp_path, "log", content))
    for word in [*words, str(tmp_path / "log")]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"\x89PNG\0\0", "binary data"), (b"PAR1abc", "Parquet"), (b"PK\x03\x04", "workbook"), (b"loss\n\xff\xfe1\n", "UTF-8")],
)
def test_what_is_no_text_is_said(tmp_path, content, word):
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(UserFileError, match=word):
        read_log(tmp_path / "log")


def test_folders_and_names(tmp_path):
    with pytest.raises(UserFileError, match=r"There is no file .*nowhere"):
        read_log(tmp_path / "nowhere")
    with pytest.raises(UserFileError, match=r"no log in the folder.*trainer_state\.json"):
        read_log(tmp_path)
    for name in ("a", "b"):
        written(tmp_path, f"{name}.csv", "loss\n1\n")
    with pytest.raises(UserFileError, match=r"holds 2 logs.*Name one of them: a\.csv, b\.csv"):
        read_log(tmp_path)


PIECES = st.text("stepl,os \n\t;0123.-einf\"'[]{}:é\0", max_size=60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["NaN", "inf", "1e400", "x", ""]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["step", "loss", "epoch", "lr", "_timestamp", "log_history", "columns", "data"]), inner)
    ),
    max_leaves=20,
)


@given(PIECES.map(lambda text: "step,loss" + text) | PIECES | VALUES.map(json.dumps))
def test_any_text_is_a_log_or_said_to_be_none(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(text.encode())
    try:
        trace = read_log(path)
    except UserFileError:
        return
    assert len(trace)
    assert (np.diff(trace["step"]) > 0).all()


def test_columns_that_are_not_there(tmp_path):
    path = written(tmp_path, "a.csv", "step,loss\n0,1\n")
    with pytest.raises(UserFileError, match=r"no column 'lost' with numbers.*It has step, loss"):
        read_log(path, columns={"loss": "lost"})
    with pytest.raises(SettingError, match="Did you mean 'loss'"):
        read_log(path, columns={"los": "loss"})
