"""surefoot train.  a problem and a number of steps -> a rate is found, the descent made and mended, told and recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from surefoot.cli import descend, options, verdict

if TYPE_CHECKING:
    from surefoot.run import Run


def command(
    problem: options.Name,
    steps: Annotated[int, typer.Option(help="Steps to make.")] = 1000,
    target: options.Target = None,
    model: options.Model = None,
    option: options.Option = None,
    lr: Annotated[float | None, typer.Option(help="The rate to begin with, instead of finding one.")] = None,
    optimizer: Annotated[str, typer.Option(help="Any of torch.optim by name, or momentum, nesterov.")] = "adamw",
    schedule: Annotated[str, typer.Option(help="constant, cosine, warmup-cosine, ...")] = "cosine",
    budget: Annotated[float, typer.Option(help="The most to spend on finding, in training runs.")] = 1.0,
    every: Annotated[int | None, typer.Option(help="Print a status line every so many steps.")] = None,
    batch_size: options.BatchSize = None,
    seed: options.Seed = 0,
    clip_norm: options.Clip = None,
    accumulate: options.Accumulate = None,
    autocast: options.Autocast = None,
    validate_every: Annotated[int | None, typer.Option(help="Steps between two validations.")] = None,
    device: options.Device = "auto",
    store: Annotated[str, typer.Option(help="The file of runs.")] = verdict.STORE,
    record: Annotated[bool, typer.Option("--record/--no-record", help="Record the run in the store.")] = True,
    diagnose: descend.Diagnose = True,
    as_json: options.Json = False,
    plot: options.Plot = None,
    picture: options.Picture = None,
) -> int:
    """Finds the rate, descends, and mends what comes to grief; exit code 1 when nothing helped.

    Example: surefoot train digits-cnn --steps 500
    """
    import surefoot as sf

    with options.told(quiet=as_json):
        loaded = options.load(problem, target, model, option)
        run = sf.train(
            loaded, steps=steps, lr=lr, optimizer=optimizer, schedule=schedule, budget=budget, every=None if as_json else every,
            batch_size=options.batch_size(batch_size), seed=seed, clip_norm=clip_norm, accumulate=accumulate, autocast=autocast,
            validate_every=validate_every, device=device, store=store if record else None, progress=False if as_json else None,
        )  # fmt: skip
    if as_json:
        found = verdict.of_run(run, loaded, quiet=True) if diagnose else None
        options.show_json({**_answer(run), "diagnosis": None if found is None else verdict.as_json(found)})
        options.show_picture(run, False, picture)
    else:
        _tell(run, store)
        options.show_picture(run, plot, picture)
        found = verdict.of_run(run, loaded) if diagnose else None
        if found is not None:
            verdict.tell(found, run, store)
    return 1 if run.ended == "diverged" else 0


def _tell(run: Run, store: str) -> None:
    typer.echo(str(run))
    report, found = run.config["report"], run.config["found"]
    typer.echo("\n".join(report))
    if found is not None and not any(
        found["reason"] in line for line in report
    ):  # found on the way, which the report says in half a line
        typer.echo(
            f"the rate that was found: {found['lr']:.4g}, with {found['gradients']:,} gradient evaluations ({found['reason']})"
        )
    descend.tell_recorded(run, store, goes_on=run.ended == "interrupted")


def _answer(run: Run) -> dict[str, Any]:
    answer = descend.answer(run)
    config = {key: value for key, value in answer["config"].items() if key not in ("report", "found")}
    tries = 1 + int(run.trace["attempt"].max()) if len(run.trace) else 1
    return {**answer, "config": config, "tries": tries, "report": run.config["report"], "found": run.config["found"]}
