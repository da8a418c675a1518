"""surefoot descend.  a problem and a rate, or a run to go on with -> a descent, shown and recorded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from surefoot.cli import options
from surefoot.errors import SettingError

if TYPE_CHECKING:
    from surefoot.problem import Problem
    from surefoot.run import Run

STORE = "runs.sqlite"


def command(
    problem: Annotated[str | None, typer.Argument(help="As for find; may be left out with --continue.")] = None,
    lr: Annotated[float | None, typer.Option(help="The learning rate.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps to make (default 1000).")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes through the data, instead of steps.")] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="Any of torch.optim by name, or momentum, nesterov, random (default sgd).")
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="constant, cosine, warmup-cosine, ... (default constant)")] = None,
    go_on: Annotated[
        str | None, typer.Option("--continue", metavar="[ID]", help="Go on with this run (alone: with the last one).")
    ] = None,
    every: Annotated[int | None, typer.Option(help="Print a status line every so many steps.")] = None,
    target: options.Target = None,
    model: options.Model = None,
    option: options.Option = None,
    batch_size: options.BatchSize = None,
    seed: options.Seed = 0,
    clip_norm: options.Clip = None,
    accumulate: options.Accumulate = None,
    autocast: options.Autocast = None,
    validate_every: Annotated[int | None, typer.Option(help="Steps between two validations.")] = None,
    device: options.Device = "auto",
    store: Annotated[str, typer.Option(help="The file of runs.")] = STORE,
    record: Annotated[bool, typer.Option("--record/--no-record", help="Record the run in the store.")] = True,
    as_json: options.Json = False,
    plot: options.Plot = None,
    picture: options.Picture = None,
) -> int:
    """Descends a problem and records the run; exit code 1 when it diverged.

    An interrupted or killed run is finished with --continue ID alone; with another --lr or --steps it goes on from its end as a new run.

    Example: surefoot descend line --lr 0.05 --steps 200 --every 20
    """
    import surefoot as sf

    with options.told(quiet=as_json):
        start = _start(store, go_on) if go_on is not None else None
        loaded = _problem(problem, target, model, option, start)
        run = sf.descend(
            loaded, lr=lr, steps=steps, epochs=epochs, optimizer=optimizer, schedule=schedule, start=start, every=None if as_json else every,
            batch_size=options.batch_size(batch_size), seed=seed, clip_norm=clip_norm, accumulate=accumulate, autocast=autocast,
            validate_every=validate_every, device=device, store=store if record else None, progress=False if as_json else None,
        )  # fmt: skip
    if as_json:
        options.show_json(_answer(run))
    else:
        _tell(run, loaded, store)
    fits = "fit" if hasattr(loaded.model, "true_w") else None
    options.show_picture(run, False if as_json else plot, picture, kind=fits, problem=loaded)
    return 1 if run.ended == "diverged" else 0


def _start(store: str, which: str) -> Run:
    from surefoot.store import Store

    opened = Store(store)
    if which != "last":
        if not which.isdigit():
            raise SettingError(f"--continue takes the number of a run, got {which!r}. `surefoot runs` lists them.")
        return opened.load(int(which))
    runs = opened.runs()
    if not runs:
        raise SettingError(f"{store} holds no run to go on with.")
    return opened.load(runs[-1].id)


def _problem(name: str | None, target: str | None, model: str | None, option: list[str] | None, start: Run | None) -> Problem:
    if name is not None:
        return options.load(name, target, model, option)
    if start is None:
        raise SettingError(
            "Say what to descend: a built-in problem (`surefoot problems` lists them), points.csv, or train.py:problem."
        )
    recipe = start.config.get("recipe")
    if not recipe:
        raise SettingError("The run does not know how its problem was made; name the problem beside --continue.")
    from surefoot import problems

    return problems.load(**recipe)


def _answer(run: Run) -> dict[str, Any]:
    row = run.last_finite
    return {
        "ended": run.ended,
        "diverged_at": run.diverged_at,
        "steps": len(run.trace),
        "config": dict(run.config),
        "last_finite": None if row is None else {**row._asdict(), "probes": dict(row.probes)},
        "weights": _few(run),
    }


def _few(run: Run) -> dict[str, Any] | None:
    """The weights themselves where a person would read them."""
    count = sum(value.numel() for value in run.weights.values())
    return {name: value.tolist() for name, value in run.weights.items()} if count <= 8 else None


def _tell(run: Run, problem: Problem, store: str) -> None:
    typer.echo(str(run))
    weights = _few(run)
    if weights:
        typer.echo("weights: " + ", ".join(f"{name} {_number(value)}" for name, value in weights.items()))
    if problem.answer is not None and problem.answer.minimum is not None and weights:
        best = ", ".join(f"{value:.4g}" for value in problem.answer.minimum)
        typer.echo(f"known minimum: {best}")
    limit = problem.answer.stability_limit if problem.answer is not None else None
    if run.ended == "diverged" and limit and run.config["optimizer"] == "sgd":
        typer.echo(
            f"Above {limit:.3g} (2 / curvature) plain gradient descent cannot settle here, "
            f"however many steps it takes; this was {run.config['lr']:g}."
        )
    if "run_id" in run.config:
        where = "" if store == STORE else f" --store {os.fspath(store)}"
        number = run.config["run_id"]
        hint = "" if run.ended == "diverged" else f"; go on with: surefoot descend --continue {number}{where}"
        typer.echo(f"recorded as run {number}{hint}")


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else ", ".join(_number(item) for item in value)
