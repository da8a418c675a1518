"""surefoot find.  a problem -> the learning rate to train it with."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from surefoot.cli import options

if TYPE_CHECKING:
    from surefoot.find.found import Found, FoundBy


def command(
    problem: options.Name,
    target: options.Target = None,
    model: options.Model = None,
    option: options.Option = None,
    optimizer: Annotated[str, typer.Option(help="Any of torch.optim by name, or momentum, nesterov.")] = "adamw",
    steps: Annotated[int, typer.Option(help="The horizon: how many steps will be trained.")] = 1000,
    schedule: Annotated[str, typer.Option(help="constant, cosine, warmup-cosine, ...")] = "constant",
    batch_size: options.BatchSize = None,
    budget: Annotated[float, typer.Option(help="The most to spend, in training runs.")] = 1.0,
    low: Annotated[float, typer.Option(help="The smallest rate looked at.")] = 1e-8,
    high: Annotated[float, typer.Option(help="The largest rate looked at.")] = 10.0,
    over: Annotated[str | None, typer.Option(help="A table over one setting: batch_size=16,64,256")] = None,
    engine: Annotated[
        str, typer.Option(help="auto, vmap (many descents in one pass), sequential, processes, ray (a cluster) or ray:HOST:PORT.")
    ] = "auto",
    seed: options.Seed = 0,
    device: options.Device = "auto",
    clip_norm: options.Clip = None,
    accumulate: options.Accumulate = None,
    autocast: options.Autocast = None,
    as_json: options.Json = False,
    plot: options.Plot = None,
    picture: options.Picture = None,
) -> int:
    """Finds the learning rate for a problem; exit code 1 when it is not confident.

    Example: surefoot find points.csv --target y --optimizer adamw --steps 500
    """
    import surefoot as sf

    with options.told(quiet=as_json):
        loaded = options.load(problem, target, model, option)
        found = sf.find_lr(
            loaded, optimizer=optimizer, steps=steps, schedule=schedule, batch_size=options.batch_size(batch_size), budget=budget, low=low,
            high=high, seed=seed, device=device, engine=engine, over=_table(over), clip_norm=clip_norm, accumulate=accumulate, autocast=autocast,
            progress=False if as_json else None,
        )  # fmt: skip
    if isinstance(found, sf.FoundBy):
        return _told_by(found, as_json)
    if as_json:
        options.show_json(_plain(found))
    else:
        typer.echo("\n".join(filter(None, [str(loaded), loaded.source])) + f"\n\n{found}")
        typer.echo(f"next: surefoot descend {problem}{_same(target, model, option)} --lr {found.lr:.3g} --optimizer {optimizer} --steps {steps}"
                   + (f" --schedule {schedule}" if schedule != "constant" else ""))  # fmt: skip
    options.show_picture(found, False if as_json else plot, picture, curvature=options.curvature(loaded, optimizer))
    return 0 if found.confident else 1


def _plain(found: Found) -> dict[str, Any]:
    return {**{key: value for key, value in asdict(found).items() if key != "trials"}, "trials": len(found.trials)}


def _told_by(found: FoundBy, as_json: bool) -> int:
    if as_json:
        options.show_json({found.setting: [{"value": value, **_plain(each)} for value, each in found.entries]})
    else:
        typer.echo(str(found))
    return 0 if all(each.confident for _, each in found.entries) else 1


def _table(over: str | None) -> dict[str, list[Any]] | None:
    """``batch_size=16,64`` as find_lr takes it."""
    if over is None:
        return None
    setting, equals, values = over.partition("=")
    if not equals or not values:
        raise typer.BadParameter(f"expected setting=value,value, got {over!r}", param_hint="--over")
    return {setting.strip().replace("-", "_"): [_value(text.strip()) for text in values.split(",")]}


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _same(target: str | None, model: str | None, option: list[str] | None) -> str:
    words = [
        f" --target {target}" if target else "",
        f" --model {model}" if model else "",
        *(f" -o {text}" for text in option or []),
    ]
    return "".join(words)
