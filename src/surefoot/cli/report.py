"""surefoot report.  recorded runs -> one HTML file that shows them, with everything in it."""

from __future__ import annotations

import contextlib
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surefoot.cli import options
from surefoot.cli.descend import stored
from surefoot.cli.verdict import STORE
from surefoot.errors import SettingError

if TYPE_CHECKING:
    from surefoot.run import Run


def command(
    which: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]", help="A run's number, or several of one problem; alone, the last run.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="The file (default: surefoot-report-PROBLEM.html, or the next free name).")
    ] = None,
    problem: Annotated[str | None, typer.Option(help="What was descended, as for find (a run knows it by itself).")] = None,
    target: options.Target = None,
    model: options.Model = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="An option of the problem, as key=value; may be repeated.")
    ] = None,
    landscape: Annotated[
        bool, typer.Option("--landscape/--no-landscape", help="Draw the landscape; a network's takes some seconds.")
    ] = True,
    open_it: Annotated[bool, typer.Option("--open", help="Open the file in the browser.")] = False,
    store: Annotated[str, typer.Option(help="The file of runs.")] = STORE,
    as_json: options.Json = False,
) -> int:
    """Writes the lab's page with a recorded run in it: one file to send or to keep, which needs no server and no network.

    Several runs of one problem race in it. What was descended is made again, to measure on; where that is not possible, the report holds what
    the trace tells.

    Example: surefoot report 3 -o report.html
    """
    import surefoot as sf

    runs = [_recorded(each, store) for each in which or ["last"]]
    with options.told(quiet=as_json):
        again = "the report holds what the trace tells. --problem NAME adds the landscape"
        loaded = options.load(problem, target, model, option) if problem is not None else options.again(runs[0], again)
        if output is not None:
            with contextlib.suppress(OSError):  # `report` says what is wrong with the path
                Path(output).expanduser().parent.mkdir(parents=True, exist_ok=True)
        written = sf.report(runs, output, problem=loaded, landscape=landscape, progress=False if as_json else None)
    size = written.stat().st_size
    if as_json:
        options.show_json(
            {"path": str(written), "bytes": size, "runs": [run.config["run_id"] for run in runs], "problem": loaded is not None}
        )
    else:
        typer.echo(f"report: {written} ({size / 1e6:.1f} MB)")
    if open_it and not webbrowser.open(written.resolve().as_uri()):
        typer.echo("note: no browser could be opened.", err=True)
    return 0


def _recorded(which: str, store: str) -> Run:
    from surefoot.store import Store

    if which != "last" and not which.isdecimal():
        raise SettingError(f"A run goes by its number, got {which!r}. `surefoot runs` lists them.")
    opened = Store(store)
    number = stored(opened, which)
    if opened.entry(number).ended == "running":
        raise SettingError(
            f"Run {number} is still going on: `surefoot lab` shows it while it does; the report can be written when it has ended."
        )
    return opened.load(number)
