"""The command line as a user types it: exit codes, JSON, errors with the way out."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from surefoot import Store

COMMANDS = [
    *("problems", "find", "range", "descend", "train", "diagnose", "landscape", "lab", "batch"),
    *("runs", "runs list", "runs show", "runs export", "runs delete"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(surefoot, command):
    assert "Example: surefoot" in surefoot(f"{command} --help")


def test_the_line_of_the_first_lesson(surefoot):
    out = surefoot("descend line --lr 0.05 --steps 200 --every 20")
    assert out.count("step ") == 10
    assert "recorded as run 1" in out
    first = json.loads(surefoot("descend --continue --lr 0.5 --steps 100 --json"))
    closer = json.loads(surefoot("descend --continue 2 --lr 0.05 --steps 100 --json"))
    best = 0.1029
    assert abs(closer["weights"]["w"] - best) < abs(first["weights"]["w"] - best) < 0.2
    assert [line.split()[0] for line in surefoot("runs").splitlines()[1:]] == ["1", "2", "3"]


@pytest.mark.parametrize("lr", ["10", "1", "0.9"])
def test_too_large_a_rate_is_a_finding(surefoot, lr):
    out = surefoot(f"descend line --lr {lr} --steps 200 --no-diagnose", code=1)
    assert "diverged at step" in out
    assert "Above 0.789" in out
    assert "go on with" not in out
    assert json.loads(surefoot(f"descend line --lr {lr} --steps 200 --json", code=1))["ended"] == "diverged"


MISUSE = {
    "descend lin --lr 0.1": "Did you mean 'line'",
    "descend line --lr 0.1 --optimizer adamm": "Did you mean 'adam",
    "descend line --lr 0.1 --schedule cosin": "Did you mean 'cosine'",
    "descend line": "lr is needed",
    "descend --lr 0.1": "what to descend",
    "descend line --lr 0": "positive number",
    "descend line --lr nan": "positive number",
    "descend line --lr 0.1 --batch-size 500": "larger than the data",
    "descend --continue": "no store",
    "find line --low 1 --high 0.1": "low must be below high",
    "find line -o points": "key=value",
    "find line -o pints=3": "points",
    "find missing.csv --target y": "no file",
    "range line --rule steepst": "Did you mean 'steepest'",
    "runs": "no store",
    "landscape line --rates 0.1,x": "--rates takes numbers with commas between them",
    "landscape line --rates 0.1 --runs 1": "not both",
    "landscape line --plane flat": "plane must be a Plane or one of",
    "landscape line --extent 1,2": "extent must be (low, high",
    "landscape digits-linear --runs 1": "no store",
    "landscape line --animate line.gif": "has no course",
    "landscape line --rates 0.1 --animate line.avi": "An animation is a .gif, .mp4 or .webm file",
    "landscape line --kind 4d --save x.png": "no kind of picture of a Surface named '4d'",
    "landscape line --theme drak --save x.png": "Did you mean 'dark'",
    "descend line --lr 0.1 --store .": "is a folder",
    "train line --steps 0": "steps must be",
    "train line --budget 0": "budget must be a positive number",
    "train lin": "Did you mean 'line'",
    "diagnose": "no store",
    "diagnose 1": "no store",
    "diagnose line": "neither a run nor a log named 'line'",
    "diagnose . --columns loss": "--columns takes column=name",
    "diagnose . --depth detail": "Did you mean 'detailed'",
    "diagnose . --trace --problem line": "give one of them",
    "diagnose . --problem line": "A log holds no weights",
    "diagnose .": "no log in the folder",
}


@pytest.mark.parametrize("words", MISUSE)
def test_misuse_says_the_way_out(surefoot, words):
    assert MISUSE[words] in " ".join(surefoot(words, code=2).split())


def test_a_negative_rate_is_misuse(surefoot):
    surefoot("descend line --lr=-0.1", code=2)


def test_find_on_a_table(surefoot, tmp_path):
    (tmp_path / "points.csv").write_text(
        "x,colour,y\n" + "".join(f"{x / 10},{'red' if x % 2 else 'blue'},{x / 5 + x % 2}\n" for x in range(80))
    )
    out = surefoot("find points.csv --target y --steps 300")
    assert "next: surefoot descend points.csv --target y --lr" in out
    answer = json.loads(surefoot("find points.csv --target y --steps 300 --json"))
    assert answer["low"] <= answer["lr"] <= answer["high"]
    assert answer["gradients"] <= 300
    lr = out.split("--lr ")[1].split()[0]
    surefoot(f"descend points.csv --target y --lr {lr} --optimizer adamw --steps 50")
    assert "steps" in surefoot("descend --continue --steps 20")


def test_range_reads_every_rule(surefoot):
    answer = json.loads(surefoot("range digits-linear --json"))
    assert set(answer["suggestions"]) >= {"steepest", "minimum", "minimum/10", "valley", "slide", "lightning", "torch-lr-finder"}
    assert "minimum/10" in surefoot("range digits-linear")


def test_runs_are_exported_exactly_and_deleted(surefoot, tmp_path):
    surefoot("descend line --lr 0.1 --steps 30")
    trace = Store("runs.sqlite").trace(1)
    readers = {"csv": pd.read_csv, "parquet": pd.read_parquet, "json": pd.read_json}
    for ending, read in readers.items():
        assert "30 rows" in surefoot(f"runs export 1 run.{ending}")
        frame = read(tmp_path / f"run.{ending}")
        for name in ("step", "loss", "grad_norm"):
            assert frame[name].to_numpy() == pytest.approx(trace[name], rel=1e-14), (ending, name)
    assert "--force" in surefoot("runs export 1 run.csv", code=2)
    assert "format" in surefoot("runs export 1 run.xls", code=2)
    assert json.loads(surefoot("runs show 1 --json"))["steps"] == 30
    assert "loss" in surefoot("runs show 1 --plot")
    assert "deleted" in surefoot("runs delete 1 --yes")
    assert json.loads(surefoot("runs list --json")) == {"runs": []}


def test_a_picture_is_written(surefoot, tmp_path):
    surefoot("descend line --lr 0.1 --steps 30 --picture fit.png")
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")
    surefoot("descend line --lr 0.1 --steps 3 --picture new/folder/fit.png")
    assert (tmp_path / "new" / "folder" / "fit.png").stat().st_size > 10_000
    assert "could not be written" in surefoot("descend line --lr 0.1 --steps 3 --picture fit.png/fit.png", code=2)
    assert "could not be written" in surefoot("descend line --lr 0.1 --steps 3 --picture fit.xyz", code=2)


def test_a_landscape_is_told_drawn_and_moved(surefoot, tmp_path):
    out = surefoot("landscape line --rates 0.01,0.1,0.9,1.0 --save out/line.png --animate out/line.gif")
    assert "exact: these are all the weights there are" in out
    assert out.count("diverged at step") == 2
    assert (tmp_path / "out" / "line.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "line.gif").read_bytes().startswith(b"GIF89a")
    answer = json.loads(surefoot("landscape line --rates 0.1,1.0 --json"))
    assert [run["ended"] for run in answer["runs"]] == ["steps", "diverged"]
    assert answer["minima"][0]["point"] == pytest.approx([0.1029, 0.5002], abs=1e-4)
    assert answer["runs"][0]["minimum"] == answer["minima"][0]["point"]


def test_a_landscape_says_what_would_have_left_the_valley(surefoot):
    out = surefoot("landscape valley --rates 0.05")
    assert "ended in the minimum at -1" in out
    assert "a lower one lies at 2" in out
    (answer,) = json.loads(surefoot("landscape valley --rates 0.05 --json"))["runs"]
    low, high = answer["rates_to_lowest"]
    for rate in (low, high):
        (better,) = json.loads(surefoot(f"landscape valley --rates {rate} --json"))["runs"]
        assert better["minimum"] == pytest.approx([2], abs=1e-4)


@pytest.mark.parametrize("kind", ["landscape", "multiples", "map", "rate", "loss", "fit"])
def test_every_kind_of_landscape_is_drawn(surefoot, tmp_path, kind):
    assert (
        len(
            surefoot(
                f"landscape line --rates 0.01,0.1 --resolution 11 --kind {kind} --save {kind}.png --theme dark --plot"
            ).splitlines()
        )
        > 20
    )
    assert (tmp_path / f"{kind}.png").stat().st_size > 10_000


def test_recorded_runs_have_a_landscape(surefoot):
    surefoot("descend digits-linear --lr 0.1 --steps 30")
    surefoot("descend digits-linear --lr 0.5 --steps 30")
    out = surefoot("landscape digits-linear --runs 1,2 --resolution 5 --plane line --keep surface.pt")
    assert "above the straight way" in out
    assert surefoot("landscape digits-linear --runs 1,2 --resolution 5 --plane line --keep surface.pt") == out


def test_a_file_that_raises_shows_its_own_lines(surefoot, tmp_path):
    (tmp_path / "train.py").write_text("import surefoot\n\n\ndef make():\n    return 1 / 0\n\n\nproblem = make()\n")
    err = surefoot("descend train.py:problem --lr 0.1", code=2)
    assert "return 1 / 0" in err
    assert "ZeroDivisionError" in err
    assert "site-packages" not in err


@pytest.mark.parametrize("command", ["descend", "diagnose", "train"])
def test_no_command_loads_torch_to_help(command):
    code = (
        "import sys\nfrom surefoot.cli.main import main\n"
        f"try: main(['{command}', '--help'])\nexcept SystemExit: print([n for n in ('torch', 'numpy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_find_over_a_setting_prints_a_table(surefoot):
    told = surefoot("find digits-linear --steps 200 --over batch_size=16,256")
    assert told.splitlines()[0].startswith("batch_size  learning rate")
    assert [line.split()[0] for line in told.splitlines()[1:3]] == ["16", "256"]
    assert "expected setting=value,value" in surefoot("find digits-linear --over batch_size", 2)
