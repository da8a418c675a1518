"""The command line.  arguments -> one command -> exit code 0 (fine), 1 (a finding: diverged, ill, not confident) or 2 (misuse).

Nothing here imports torch: ``surefoot --help`` and shell completion answer at once.
"""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from surefoot.cli import batch, descend, diagnose, find, lab, landscape, problems, range_test, report, runs, train
from surefoot.errors import SurefootError


def _with_code(command: Callable[..., int]) -> Callable[..., None]:
    """The command, its answer made the exit code of the process."""

    @functools.wraps(command)
    def coded(**options: Any) -> None:
        try:
            code = command(**options)
        except KeyboardInterrupt:
            typer.echo("surefoot: interrupted.", err=True)
            code = 130  # as shells count: 128 + SIGINT
        raise typer.Exit(code)

    return coded


app = typer.Typer(
    name="surefoot",
    epilog="Start with: surefoot find digits-cnn",
    no_args_is_help=True,
    invoke_without_command=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False) -> None:
    """Finds the learning rate for any model, descends with it, shows the descent, and says what is happening."""
    if version:
        typer.echo(importlib.metadata.version("surefoot"))
        raise typer.Exit


app.command("problems")(problems.command)
app.command("find")(_with_code(find.command))
app.command("batch")(_with_code(batch.command))
app.command("range")(_with_code(range_test.command))
app.command("descend")(_with_code(descend.command))
app.command("train")(_with_code(train.command))
app.command("diagnose")(_with_code(diagnose.command))
app.command("landscape")(_with_code(landscape.command))
app.command("lab")(_with_code(lab.command))
app.command("report")(_with_code(report.command))
app.add_typer(runs.app, name="runs")


def main(arguments: list[str] | None = None) -> None:
    """Runs one command and exits with its code; errors are told in a sentence, without a traceback."""
    try:
        app(args=_with_last(sys.argv[1:] if arguments is None else arguments), prog_name="surefoot")
    except SurefootError as error:
        typer.echo(f"surefoot: {error}", err=True)
        sys.exit(2)


def _with_last(arguments: list[str]) -> list[str]:
    """``--continue`` alone means the last run: an option of typer always has a value, so it is written in here."""
    spelled = list(arguments)
    for index, argument in enumerate(arguments):
        if argument == "--continue" and (index + 1 == len(arguments) or not arguments[index + 1].isdigit()):
            spelled[index] = "--continue=last"
    return spelled
