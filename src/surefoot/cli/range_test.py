"""surefoot range.  a problem -> the classical range test and what the published rules read from it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from surefoot.cli import options


def command(
    problem: options.Name,
    target: options.Target = None,
    model: options.Model = None,
    option: options.Option = None,
    optimizer: Annotated[str, typer.Option(help="Any of torch.optim by name, or momentum, nesterov.")] = "sgd",
    low: Annotated[float, typer.Option(help="The first rate.")] = 1e-8,
    high: Annotated[float, typer.Option(help="The last rate.")] = 10.0,
    steps: Annotated[int, typer.Option(help="How many rates are passed through.")] = 100,
    rule: Annotated[str | None, typer.Option(help="Only this rule.")] = None,
    batch_size: options.BatchSize = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    as_json: options.Json = False,
    plot: options.Plot = None,
    picture: options.Picture = None,
) -> int:
    """Runs the learning-rate range test; exit code 1 when no rule has an answer.

    Example: surefoot range digits-mlp --optimizer adamw --plot
    """
    import surefoot as sf
    from surefoot.find.rules import RULES

    with options.told(quiet=as_json):
        loaded = options.load(problem, target, model, option)
        trace = sf.range_test(
            loaded, optimizer=optimizer, low=low, high=high, steps=steps, batch_size=options.batch_size(batch_size), seed=seed,
            device=device, progress=False if as_json else None,
        )  # fmt: skip
        suggestions = [sf.suggest(trace, name) for name in ([rule] if rule else RULES)]
    if as_json:
        options.show_json(
            {
                "lr": trace["lr"].tolist(),
                "loss": trace["loss"].tolist(),
                "suggestions": {s.rule: {"lr": s.lr, "at": s.at, "reason": s.reason} for s in suggestions},
            }
        )
    else:
        _table(suggestions)
    options.show_picture(trace, False if as_json else plot, picture, kind="rate", curvature=options.curvature(loaded, optimizer))
    return 0 if any(s.lr is not None for s in suggestions) else 1


def _table(suggestions: list) -> None:  # type: ignore[type-arg]  # Suggestion: its module imports torch
    table = Table(box=None, pad_edge=False)
    for column in ("rule", "rate", "why"):
        table.add_column(column)
    for s in suggestions:
        table.add_row(s.rule, "none" if s.lr is None else f"{s.lr:.3g}", s.reason)
    Console().print(table)
