"""surefoot diagnose.  a recorded run or another tool's log -> what is happening to it, and what to change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surefoot.cli import options, verdict
from surefoot.cli.descend import stored
from surefoot.errors import SettingError, unknown

if TYPE_CHECKING:
    from surefoot.problem import Problem
    from surefoot.run import Run
    from surefoot.trace import Trace


def command(
    which: Annotated[
        str, typer.Argument(metavar="[ID|FILE]", help="A run's number, or a log: see below; alone, the last run.")
    ] = "last",
    depth: Annotated[str, typer.Option(help="How much is told: basic, medium or detailed.")] = "medium",
    trace: Annotated[bool, typer.Option("--trace", help="From the trace alone: measure nothing.")] = False,
    problem: Annotated[str | None, typer.Option(help="What was descended, as for find (a run knows it by itself).")] = None,
    target: options.Target = None,
    model: options.Model = None,
    option: options.Option = None,
    columns: Annotated[list[str] | None, typer.Option(help="Log: which column is which, as loss=my_loss; may be repeated.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="Log: the optimizer it tells of (default adamw).")] = None,
    store: Annotated[str, typer.Option(help="The file of runs.")] = verdict.STORE,
    as_json: options.Json = False,
    plot: Annotated[bool, typer.Option("--plot/--no-plot", help="Draw the fork test in the terminal.")] = False,
    picture: options.Picture = None,
) -> int:
    """Says what is happening to a descent, and what to change; exit code 1 when something should be.

    A recorded run is measured on its problem; the log of another tool is judged by its rows.

    Logs: CSV, TensorBoard, Lightning, Hugging Face's trainer_state.json, Weights & Biases' exports, or a folder with one.

    Example: surefoot diagnose 3 --depth detailed
    """
    import surefoot as sf
    from surefoot.diagnosis.diagnosis import DEPTHS

    if depth not in DEPTHS:
        raise unknown("depth", depth, DEPTHS)
    if trace and problem is not None:
        raise SettingError("--trace measures nothing, --problem names what to measure on; give one of them.")
    with options.told(quiet=as_json):
        named = options.load(problem, target, model, option) if problem is not None else None
        if which == "last" or which.isdecimal():
            of, measured = _recorded(which, store, named, trace, columns)
        else:
            of, measured = _logged(which, columns, named, problem or ""), named
        found = sf.diagnose(of, measured, optimizer=optimizer)
    if as_json:
        options.show_json(verdict.as_json(found))
    else:
        typer.echo(f"{_title(which, of)}\n{found.explain(depth)}")
        verdict.tell_start(found)
    if (plot or picture) and not found.forks:
        typer.echo("note: there is nothing to draw: no fork test was made.", err=True)
    elif plot or picture:
        options.show_picture(found, plot and not as_json, picture)
    return 1 if found.ill else 0


def _recorded(
    which: str, store: str, named: Problem | None, trace: bool, columns: list[str] | None
) -> tuple[Run | Trace, Problem | None]:
    """The run, and what to measure on; of one that is still going on, the rows so far."""
    if columns:
        raise SettingError(f"--columns is for the logs of other tools; {which} is a recorded run.")
    from surefoot.store import Store

    opened = Store(store)
    number = stored(opened, which)
    if opened.entry(number).ended == "running":
        typer.echo(f"note: run {number} is still going on; this is what its rows show so far.", err=True)
        return opened.trace(number), None
    run = opened.load(number)
    if trace or named is not None:
        return run, named
    return run, options.again(run, "this is from the trace alone. --problem NAME measures")


def _logged(which: str, columns: list[str] | None, named: Problem | None, problem: str) -> Trace:
    import surefoot as sf

    if not Path(which).expanduser().exists():
        raise SettingError(
            f"There is neither a run nor a log named {which!r}: a run goes by its number (`surefoot runs` lists them), a log by its file or folder."
        )
    if named is not None and ".py:" not in problem:
        raise SettingError(
            f"A log holds no weights, and {problem} begins anew: --problem train.py:problem measures, where its model stands where the log ends."
        )
    return sf.read_log(which, columns=dict(_pair(text) for text in columns or []) or None)


def _pair(text: str) -> tuple[str, str]:
    column, equals, name = text.partition("=")
    if not equals or not name:
        raise SettingError(f"--columns takes column=name, as in loss=my_loss, got {text!r}.")
    return column.strip(), name.strip()


def _title(which: str, of: Run | Trace) -> str:
    from surefoot.run import Run

    if isinstance(of, Run):
        return f"run {of.config['run_id']}: {str(of).splitlines()[0]}"
    name = f"run {which}" if which == "last" or which.isdecimal() else which
    return f"{name}: {len(of):,} row{'s' * (len(of) != 1)}" + (
        f", steps {of['step'][0]:,} to {of['step'][-1]:,}" if len(of) else ""
    )
