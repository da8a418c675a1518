"""surefoot runs.  a file of runs -> listed, shown, exported, deleted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from surefoot.cli import options
from surefoot.cli.verdict import STORE
from surefoot.errors import SettingError, StoreError

if TYPE_CHECKING:
    from surefoot.store import Entry

app = typer.Typer(invoke_without_command=True)

File = Annotated[str, typer.Option("--store", help="The file of runs.")]
Id = Annotated[int, typer.Argument(help="The number of the run.")]


@app.callback()
def runs(context: typer.Context, store: File = STORE, as_json: options.Json = False) -> None:
    """Lists, shows, exports and deletes recorded runs; alone, it lists them.

    Example: surefoot runs
    """
    if context.invoked_subcommand is None:
        list_runs(store, as_json)


@app.command("list")
def list_runs(store: File = STORE, as_json: options.Json = False) -> None:
    """Lists the recorded runs.

    Example: surefoot runs list
    """
    from surefoot.store import Store

    entries = Store(store).runs()
    if as_json:
        options.show_json({"runs": [_plain(entry) for entry in entries]})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("run", "problem", "optimizer", "rate", "steps", "loss", "ended", "started", "after"):
        table.add_column(column, justify="right" if column in ("run", "rate", "steps", "loss") else "left", no_wrap=True)
    for entry in entries:
        table.add_row(*_cells(entry))
    # a pipe has no width; a table that is cut off is of no use there
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)


@app.command()
def show(
    run: Id, store: File = STORE, as_json: options.Json = False, plot: options.Plot = None, picture: options.Picture = None
) -> None:
    """Shows one run, also while it is going on.

    Example: surefoot runs show 1
    """
    from surefoot.store import Store

    opened = Store(store)
    entry, trace = opened.entry(run), opened.trace(run)
    if as_json:
        options.show_json(_plain(entry))
    else:
        apart = ("recipe", "report", "found")
        settings = ", ".join(f"{key} {value}" for key, value in entry.config.items() if value is not None and key not in apart)
        report = "".join(f"\n{line}" for line in entry.config.get("report") or ())  # of `train`: what was found and mended
        typer.echo(f"run {run}, started {entry.started}, {entry.ended}\n{settings}{report}\n\n{trace}")
    if len(trace):
        options.show_picture(trace, False if as_json else plot, picture)


@app.command()
def export(
    run: Id,
    to: Annotated[Path, typer.Argument(help="The file to write: .csv, .parquet or .json.")],
    store: File = STORE,
    force: Annotated[bool, typer.Option(help="Overwrite the file.")] = False,
) -> None:
    """Writes the rows of a run to a table.

    Example: surefoot runs export 1 run.csv
    """
    from surefoot.store import Store

    if to.suffix not in (".csv", ".parquet", ".json"):
        raise SettingError(f"{to}: the ending says the format; use .csv, .parquet or .json.")
    if to.exists() and not force:
        raise SettingError(f"{to} is there already; --force overwrites it.")
    frame = Store(store).trace(run).to_pandas()
    try:
        if to.suffix == ".csv":
            frame.to_csv(to, index=False)
        elif to.suffix == ".parquet":
            frame.to_parquet(to, index=False)
        else:
            frame.to_json(to, orient="records", double_precision=15, indent=1)
    except OSError as error:
        raise StoreError(f"{to} could not be written: {error}") from error
    typer.echo(f"{len(frame)} rows of run {run} written to {to}")


@app.command()
def delete(run: Id, store: File = STORE, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Deletes a run, its rows and its checkpoint for good.

    Example: surefoot runs delete 1 --yes
    """
    from surefoot.store import Store

    opened = Store(store)
    entry = opened.entry(run)
    if not yes:
        typer.confirm(f"Delete run {run} ({entry.config['problem']}, {entry.steps} steps) for good?", abort=True)
    opened.delete(run)
    typer.echo(f"run {run} deleted")


def _cells(entry: Entry) -> list[str]:
    config = entry.config
    loss = "" if math.isnan(entry.loss) else f"{entry.loss:.4g}"
    parent = f"run {entry.parent}" if entry.parent is not None else ""
    started = entry.started[:19]
    return [
        str(entry.id),
        str(config["problem"]),
        config["optimizer"],
        f"{config['lr']:g}",
        str(entry.steps),
        loss,
        entry.ended,
        started,
        parent,
    ]


def _plain(entry: Entry) -> dict[str, object]:
    return {"id": entry.id, "after": entry.parent, "started": entry.started, "ended": entry.ended, "steps": entry.steps, "loss": entry.loss,
            "config": dict(entry.config)}  # fmt: skip
