"""surefoot descend.  a problem and a rate, or a run to go on with -> a descent, shown and recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from surefoot.cli import options, verdict
from surefoot.errors import SettingError

if TYPE_CHECKING:
    from surefoot.problem import Problem
    from surefoot.run import Run
    from surefoot.store import Store

Diagnose = Annotated[bool, typer.Option("--diagnose/--no-diagnose", help="End with what is happening, and what to change.")]


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
    store: Annotated[str, typer.Option(help="The file of runs.")] = verdict.STORE,
    record: Annotated[bool, typer.Option("--record/--no-record", help="Record the run in the store.")] = True,
    diagnose: Diagnose = True,
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
    fits = "fit" if hasattr(loaded.model, "true_w") else None
    if as_json:
        found = verdict.of_run(run, loaded, quiet=True) if diagnose else None
        options.show_json({**answer(run), "diagnosis": None if found is None else verdict.as_json(found)})
        options.show_picture(run, False, picture, kind=fits, problem=loaded)
    else:
        _tell(run, loaded, store, diagnose)
        options.show_picture(run, plot, picture, kind=fits, problem=loaded)
        _tell_verdict(run, loaded, store, diagnose)
    return 1 if run.ended == "diverged" else 0


def _start(store: str, which: str) -> Run:
    from surefoot.store import Store

    opened = Store(store)
    return opened.load(stored(opened, which))


def stored(opened: Store, which: str) -> int:
    """The number of the run that was asked for: a number, or the last one."""
    if which != "last":
        if not which.isdecimal():
            raise SettingError(f"--continue takes the number of a run, got {which!r}. `surefoot runs` lists them.")
        return int(which)
    runs = opened.runs()
    if not runs:
        raise SettingError(f"{opened.path} holds no run yet.")
    return runs[-1].id


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


def answer(run: Run) -> dict[str, Any]:
    """A run as plain values."""
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


def _tell(run: Run, problem: Problem, store: str, diagnose: bool) -> None:
    headline, outcome = str(run).splitlines()
    # the verdict below tells how the loss was lost
    typer.echo(f"{headline}\n{f'diverged at step {run.diverged_at}' if diagnose and run.ended == 'diverged' else outcome}")
    weights = _few(run)
    if weights:
        typer.echo(f"weights: {verdict.weights(weights)}")
    if problem.answer is not None and problem.answer.minimum is not None and weights:
        best = ", ".join(f"{value:.4g}" for value in problem.answer.minimum)
        typer.echo(f"known minimum: {best}")
    tell_recorded(run, store, goes_on=run.ended != "diverged")


def tell_recorded(run: Run, store: str, goes_on: bool) -> None:
    """Where the run is kept, and how it is gone on with."""
    if "run_id" in run.config:
        number = run.config["run_id"]
        hint = f"; go on with: surefoot descend --continue {number}{verdict.at_store(store)}" if goes_on else ""
        typer.echo(f"recorded as run {number}{hint}")


def _tell_verdict(run: Run, problem: Problem, store: str, diagnose: bool) -> None:
    """The verdict; where it does not give the largest stable rate, the one that is known."""
    found = verdict.of_run(run, problem) if diagnose else None
    if diagnose and found is None and run.ended == "diverged":
        typer.echo(str(run).splitlines()[1])
    limit = problem.answer.stability_limit if problem.answer is not None else None
    given = found is not None and found.basis == "problem" and found.remedy is not None and found.remedy.setting == "lr"
    if run.ended == "diverged" and limit and run.config["optimizer"] == "sgd" and not given:
        typer.echo(
            f"Above {limit:.3g} (2 / curvature) plain gradient descent cannot settle here, "
            f"however many steps it takes; this was {run.config['lr']:g}."
        )
    if found is not None:
        verdict.tell(found, run, store)
