"""What was sent is what the trackers' own readers find there."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from surefoot import Problem, SettingError, descend, diagnose, read_log
from surefoot.integrations.trackers import Outlet, outlets

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(wandb|mlflow|google|tensorboard|pydantic).*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow.*"),
]


def trace(lr=0.5, steps=12, validate_every=5):
    bowl = Problem.of(lambda x: (x**2).sum() / 2, start=[1.0, 2.0]).with_(validation=[()])
    return descend(bowl, lr=lr, steps=steps, validate_every=validate_every).trace


def cells(trace):
    """Name -> step -> value, NaN left out."""
    return {
        name: {int(step): value for step, value in zip(trace["step"], trace[name], strict=True) if value == value}
        for name in trace.columns
        if name != "step"
    }


def received(outlet_of):
    told = {}

    def take(values, step):
        for name, value in values.items():
            assert step not in told.setdefault(name, {}), "sent twice"
            told[name][step] = value

    return told, outlet_of(take)


# ---- a function


def test_a_function_is_told_every_cell_once_in_whatever_pieces_it_comes():
    whole = trace()
    told, outlet = received(lambda take: Outlet(take, prefix=""))
    for end in (0, 1, 4, 4, 9, 12, 12):
        outlet.send(whole[:end])
    assert told == cells(whole)
    assert outlet.note is None


def test_a_validation_loss_measured_after_its_row_was_sent_is_sent():
    whole = trace()
    before = {name: whole[name].copy() for name in whole.columns}
    before["validation_loss"][:] = np.nan
    told, outlet = received(lambda take: Outlet(take, prefix=""))
    outlet.send(type(whole)(before))
    outlet.send(whole)
    outlet.send(whole)
    assert told == cells(whole)


def test_another_training_is_sent_from_its_beginning():
    told = []
    outlet = Outlet(lambda values, step: told.append((step, values["loss"])), prefix="")
    one, other = trace(), trace(lr=0.1, steps=3)
    outlet.send(one)
    outlet.send(other)
    assert told == [(step, loss) for t in (one, other) for step, loss in zip(t["step"].tolist(), t["loss"].tolist(), strict=True)]


def test_what_a_target_raises_ends_the_sending_and_nothing_else():
    asked = []

    def full(values, step):
        asked.append(step)
        raise OSError("no space left")

    outlet = Outlet(full)
    outlet.send(trace())
    outlet.send(trace())
    assert asked == [0]
    assert outlet.note == "The sending ended before the first step: OSError: no space left"


def test_a_list_of_targets_and_of_things_with_send():
    mine = Outlet(lambda values, step: None)
    assert outlets(mine) == [mine]
    assert [type(each) for each in outlets((mine, print))] == [Outlet, Outlet]


@pytest.mark.parametrize("target", [None, 3, "runs/1", object(), dict])
def test_something_else_is_refused_with_the_way_out(target):
    with pytest.raises(SettingError, match="pass a function"):
        Outlet(target)


def test_no_tracker_is_imported():
    code = "import sys, surefoot.integrations.trackers; print([n for n in ('wandb', 'mlflow', 'tensorboard') if n in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# ---- TensorBoard

KNOWN = {
    name: f"surefoot/{name}"
    for name in ("loss", "lr", "grad_norm", "update_norm", "weight_norm", "validation_loss", "seconds", "epoch")
}


@pytest.mark.parametrize("kind", ["torch", "tensorboard"])
def test_tensorboard_reads_what_was_sent(kind, tmp_path):
    pytest.importorskip("tensorboard")
    if kind == "torch":
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(str(tmp_path))
    else:
        from tensorboard.summary import Writer

        writer = Writer(str(tmp_path))
    whole = trace()
    outlet = Outlet(writer)
    outlet.send(whole[:7])
    outlet.send(whole)
    writer.close()
    assert outlet.note is None
    read = read_log(tmp_path, columns=KNOWN)
    assert read["step"].tolist() == whole["step"].tolist()
    for name in ("loss", "lr", "grad_norm", "update_norm", "weight_norm", "validation_loss"):
        assert np.array_equal(read[name], whole[name].astype(np.float32).astype(float), equal_nan=True), name


def test_tensorboard_is_told_the_verdict_when_it_changes(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path))
    outlet = Outlet(writer)
    slow = trace(lr=1e-4, steps=60)
    for end in (2, 40, 50, 60):
        outlet.send(slow[:end])
    writer.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    texts = [event.tensor_proto.string_val[0].decode() for event in events.Tensors("surefoot/verdict/text_summary")]
    assert len(texts) == 1
    assert texts[0].startswith("too-small (")


# ---- Weights & Biases


@pytest.fixture
def wandb_run(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = wandb.init(
        mode="offline", dir=str(tmp_path), project="test", settings=wandb.Settings(x_disable_stats=True, console="off")
    )
    yield run
    run.finish()
    wandb.teardown()


def test_wandb_reads_what_was_sent(wandb_run, tmp_path):
    whole = trace()
    outlet = Outlet(wandb_run)
    outlet.send(whole[:7])
    outlet.send(whole)
    assert outlet.note is None
    assert wandb_run.summary["surefoot/loss"] == whole["loss"][-1]
    assert wandb_run.summary["surefoot/verdict"].startswith(diagnose(whole).verdict)
    wandb_run.finish()
    found = {}
    for values in _history(next(tmp_path.glob("wandb/offline-run-*/*.wandb"))):
        for name, value in values.items():
            if name.startswith("surefoot/") and name != "surefoot/step":
                found.setdefault(name.removeprefix("surefoot/"), {})[int(values["surefoot/step"])] = value
    assert found == cells(whole)


def _history(path):
    from wandb.proto import wandb_internal_pb2 as proto

    for data in _records(path.read_bytes()):
        record = proto.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            yield {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}


def _records(data, block=32768):
    """LevelDB's log format behind a header of 7 bytes: pieces of (checksum, length, kind), none of which reaches across a block."""
    at, parts = 7, b""
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        piece = data[at + 7 : at + 7 + length]
        at += 7 + length
        parts = piece if kind in (1, 2) else parts + piece  # 1: whole, 2: first, 3: middle, 4: last
        if kind in (1, 4):
            yield parts


def test_wandb_without_a_run_is_refused():
    wandb = pytest.importorskip("wandb")
    assert wandb.run is None
    with pytest.raises(SettingError, match=r"wandb\.init"):
        Outlet(wandb)


# ---- MLflow


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tmp_path.joinpath("mlruns").as_uri())
    yield mlflow
    mlflow.set_tracking_uri(before)


@pytest.mark.parametrize("as_module", [True, False])
def test_mlflow_reads_what_was_sent(as_module, mlflow):
    whole = trace()
    with mlflow.start_run() as run:
        outlet = Outlet(mlflow if as_module else run)
        outlet.send(whole[:7])
        outlet.send(whole)
    assert outlet.note is None
    client = mlflow.MlflowClient()
    found = {
        name: {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, f"surefoot/{name}")}
        for name in cells(whole)
    }
    assert found == cells(whole)
    assert client.get_run(run.info.run_id).data.tags["surefoot/verdict"]


def test_mlflow_without_a_run_is_refused(mlflow):
    with pytest.raises(SettingError, match="start_run"):
        Outlet(mlflow)
    assert {path.name for path in Path().iterdir()} <= {"mlruns"}
