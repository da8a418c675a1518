"""surefoot lab.  a problem and settings -> a page in the browser, until Ctrl-C."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from surefoot import problems
from surefoot.cli import options
from surefoot.cli.verdict import STORE

if TYPE_CHECKING:
    from surefoot.lab.chosen import Setup
    from surefoot.problem import Problem


def command(
    problem: Annotated[
        str,
        typer.Argument(help="A built-in problem (see `surefoot problems`), points.csv, a folder of images, or train.py:problem."),
    ] = "line",
    target: options.Target = None,
    model: options.Model = None,
    option: options.Option = None,
    state: Annotated[str, typer.Option(help='What the page begins with, as in its links: "lr=0.3&hide=seed,noise".')] = "",
    store: Annotated[str, typer.Option(help="The file of runs that is watched while they go on.")] = STORE,
    port: Annotated[int | None, typer.Option(help="Of 127.0.0.1 (default: 8631, or the next free one).")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    as_json: options.Json = False,
) -> int:
    """Opens the lab: a page in the browser that shows descents while you change them, and runs while they go on.

    Example: surefoot lab
    """
    own = None
    if problem not in problems.names() or option or target or model:
        with options.told(quiet=as_json):
            own = options.load(problem, target, model, option)
    from surefoot.lab.server import serve

    def announce(url: str, note: str) -> None:
        if as_json:
            options.show_json({"url": url})
        else:
            typer.echo(f"The lab is at {url}\nCtrl-C stops it.")
        if note:
            typer.echo(f"note: {note}", err=True)
        sys.stdout.flush()

    setup = functools.partial(_setup, problem, own, _settings(state), store)
    if not serve(setup, store=store, port=port, open_browser=browser, announce=announce):
        sys.stdout.flush()
        os._exit(0)  # a thread is deep in a computation, and nothing of it is wanted: waiting for it would keep the terminal
    return 0


def _settings(text: str) -> dict[str, object]:
    """What ``--state`` says, checked before anything is served."""
    if not text:
        return {}
    from surefoot.lab.link import settings
    from surefoot.lab.state import read

    found = settings(text)
    read(found)
    return found


def _setup(name: str, own: Problem | None, settings: dict[str, object], store: str) -> Setup:
    from surefoot.lab.chosen import Setup
    from surefoot.lab.state import OWN, read

    problem = {"problem": OWN if own is not None else name}
    return Setup(own=own, own_name=name if own is not None else "", initial=read({**problem, **settings}), store=store)
