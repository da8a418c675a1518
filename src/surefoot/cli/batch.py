"""surefoot batch.  a problem -> the batch size to train it with, and the learning rate at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from surefoot.cli import options

if TYPE_CHECKING:
    from surefoot.batch.batch_size import BatchSize


def command(
    problem: options.Name,
    target: options.Target = None,
    model: options.Model = None,
    option: options.Option = None,
    optimizer: Annotated[str, typer.Option(help="Any of torch.optim by name, or momentum, nesterov.")] = "adamw",
    steps: Annotated[int, typer.Option(help="The horizon: how many steps will be trained.")] = 1000,
    schedule: Annotated[str, typer.Option(help="constant, cosine, warmup-cosine, ...")] = "constant",
    memory: Annotated[
        str | None, typer.Option(help="What training may take: bytes, 2GB or 512MiB (default: what is free).")
    ] = None,
    headroom: Annotated[float, typer.Option(help="The share of samples that would still fit.")] = 0.05,
    budget: Annotated[float, typer.Option(help="The most to spend, in training runs.")] = 1.0,
    engine: Annotated[str, typer.Option(help="As for surefoot find.")] = "auto",
    seed: options.Seed = 0,
    device: options.Device = "auto",
    clip_norm: options.Clip = None,
    autocast: options.Autocast = None,
    as_json: options.Json = False,
    plot: options.Plot = None,
    picture: options.Picture = None,
) -> int:
    """Finds the batch size for a problem, and the learning rate at it; exit code 1 when it is not confident.

    Example: surefoot batch digits-cnn --optimizer adamw --memory 2GB
    """
    import surefoot as sf

    with options.told(quiet=as_json):
        loaded = options.load(problem, target, model, option)
        answer = sf.find_batch_size(
            loaded, optimizer=optimizer, steps=steps, schedule=schedule, memory=memory, headroom=headroom, budget=budget,
            engine=engine, seed=seed, device=device, clip_norm=clip_norm, autocast=autocast, progress=False if as_json else None,
        )  # fmt: skip
    if as_json:
        options.show_json(_plain(answer))
    else:
        typer.echo("\n".join(filter(None, [str(loaded), loaded.source])) + f"\n\n{answer}")
        words = {"--target": target, "--model": model, "--optimizer": optimizer, "--steps": steps, "--schedule": schedule}
        said = [f"{name} {value}" for name, value in words.items() if value not in (None, "constant")]
        typer.echo(_next(answer, problem, [*(f"-o {text}" for text in option or []), *said]))
    options.show_picture(answer, False if as_json else plot, picture)
    return 0 if answer.confident else 1


def _next(answer: BatchSize, problem: str, again: list[str]) -> str:
    """The command that trains with the answer."""
    parts = f" --accumulate {answer.accumulate}" if answer.accumulate > 1 else ""
    return " ".join(["next: surefoot descend", problem, f"--lr {answer.lr:.3g} --batch-size {answer.batch_size}{parts}", *again])


def _plain(answer: BatchSize) -> dict[str, Any]:
    found, noise = answer.found, answer.noise
    columns = zip(answer.samples_per_second, answer.steps_to_target, answer.time_to_target, strict=True)
    return {
        "batch_size": answer.batch_size,
        "accumulate": answer.accumulate,
        "fits": answer.fits,
        "bound": answer.memory.bound,
        "memory": answer.memory.limit,
        "useful": answer.useful,
        "noise_scale": {"value": noise.value, "error": noise.error, "at_least": noise.low, "batch_size": noise.batch_size,
                        "steps": noise.steps, "gradient_squared": noise.gradient_squared, "trace": noise.trace, "reason": noise.reason},
        "lr": found.lr,
        "low": found.low,
        "high": found.high,
        "ceiling": found.ceiling,
        "predicted_lr": answer.predicted_lr,
        "rule": answer.rule,
        "reference": {"batch_size": answer.reference_size, "lr": answer.reference.lr},
        "fastest": answer.fastest,
        "sizes": [{"batch_size": size, "samples_per_second": speed, "steps_to_target": steps, "time_to_target": time}
                  for (size, speed), (_, steps), (_, time) in columns],
        "confident": answer.confident,
        "reason": answer.reason,
        "gradients": answer.gradients,
        "seconds": answer.seconds,
    }  # fmt: skip
