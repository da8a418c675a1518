"""surefoot problems.  -> the built-in problems, a line each."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from surefoot.cli.options import Json, show_json


def command(as_json: Json = False) -> None:
    """Lists the built-in problems.

    Example: surefoot problems
    """
    from surefoot import problems

    described = {name: problems.describe(name) for name in problems.names()}
    if as_json:
        show_json(described)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("what it is")
    for name, description in described.items():
        table.add_row(name, description)
    Console().print(table)
    typer.echo("\nYour own: points.csv --target y, a folder with one sub-folder of images per class, or train.py:problem")
