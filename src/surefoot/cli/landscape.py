"""surefoot landscape.  a problem and some rates, or recorded runs -> the loss over the weights, with the descents on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from surefoot.cli import options
from surefoot.cli.verdict import STORE
from surefoot.errors import SettingError

if TYPE_CHECKING:
    from surefoot.run import Run
    from surefoot.surfaces.basin import Basin
    from surefoot.surfaces.surface import Surface

OF_RUNS = ("map", "rate", "loss", "fit")  # kinds that show the runs themselves


def command(
    problem: options.Name,
    rates: Annotated[str | None, typer.Option(help="Learning rates that race from one start: 0.01,0.1,0.9")] = None,
    optimizer: Annotated[str, typer.Option(help="Any of torch.optim by name, or momentum, nesterov, random.")] = "sgd",
    steps: Annotated[int, typer.Option(help="Steps of each descent.")] = 200,
    schedule: Annotated[str, typer.Option(help="constant, cosine, warmup-cosine, ...")] = "constant",
    runs: Annotated[str | None, typer.Option(help="Recorded runs instead, by their numbers: 3,4")] = None,
    store: Annotated[str, typer.Option(help="The file of runs.")] = STORE,
    plane: Annotated[str, typer.Option(help="auto, axes, path, line, ends, curvature or random.")] = "auto",
    resolution: Annotated[int, typer.Option(help="Points along each axis.")] = 51,
    extent: Annotated[str | None, typer.Option(help="What is shown: low,high or low,high,low,high")] = None,
    data: Annotated[str, typer.Option(help="train, validation, or a number of training samples.")] = "2000",
    keep: Annotated[str | None, typer.Option(help="Keep the losses in this file, and go on from it.")] = None,
    target: options.Target = None,
    model: options.Model = None,
    option: options.Option = None,
    batch_size: options.BatchSize = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    as_json: options.Json = False,
    kind: Annotated[str | None, typer.Option(help="landscape, 3d, multiples, map, rate, loss or fit.")] = None,
    theme: Annotated[str | None, typer.Option(help="light or dark.")] = None,
    plot: options.Plot = None,
    save: Annotated[str | None, typer.Option("--save", "--picture", help="Write the picture to this file (png, svg, pdf).")] = None,
    animate: Annotated[str | None, typer.Option(help="Write the moving picture to this file (gif, mp4, webm).")] = None,
) -> int:
    """Shows the loss over the weights, with descents on it; of one or two weights all of it, of more an honest slice.

    Example: surefoot landscape line --rates 0.01,0.1,0.9,1.0 --save out/line.png --animate out/line.gif
    """
    import surefoot as sf

    with options.told(quiet=as_json):
        loaded = options.load(problem, target, model, option)
        walked = _recorded(runs, rates, store) if runs else []
        for rate in [] if runs else _numbers(rates or "", "--rates"):
            walked.append(sf.descend(
                loaded, lr=rate, optimizer=optimizer, steps=steps, schedule=schedule, batch_size=options.batch_size(batch_size), seed=seed,
                device=device, progress=False if as_json else None,
            ))  # fmt: skip
            if walked[-1].ended == "interrupted":  # Ctrl-C: what there is so far is shown
                break
        surface = sf.landscape(
            loaded, walked, plane=plane, resolution=resolution, extent=_numbers(extent, "--extent") if extent else None,
            data=int(data) if data.isdigit() else data, seed=seed, keep=keep, progress=False if as_json else None,
        )  # fmt: skip
        ends = [sf.basin(loaded, run, surface=surface, rates=0, starts=0) for run in walked] if surface.exact else []
        # what would have helped is tried once, for the first descent that stays in a valley that is not the lowest
        stuck = next((index for index, end in enumerate(ends) if end.minimum and end.lower), None)
        if stuck is not None:
            ends[stuck] = sf.basin(loaded, walked[stuck])
    if as_json:
        options.show_json(_answer(surface, walked, ends))
    else:
        typer.echo(f"{loaded}\n{surface}")
        for line in _told(walked, ends):
            typer.echo(line)
    shown: Any = surface if kind not in OF_RUNS else walked[0] if kind == "fit" and walked else walked
    options.show_picture(shown, False if as_json else plot, save, kind=kind, problem=loaded, theme=theme)
    options.show_animation(shown, animate, kind=kind, problem=loaded, theme=theme)
    return 0


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise SettingError(f"{option} takes numbers with commas between them, got {text!r}.") from None


def _recorded(runs: str, rates: str | None, store: str) -> list[Run]:
    from surefoot.store import Store

    if rates is not None:
        raise SettingError("Give --rates, to descend now, or --runs, for recorded descents, not both.")
    opened = Store(store)
    return [opened.load(int(number)) for number in _numbers(runs, "--runs")]


def _answer(surface: Surface, runs: Sequence[Run], ends: Sequence[Basin]) -> dict[str, Any]:
    axes = [
        (name, float(axis[0]), float(axis[-1]), len(axis)) for name, axis in zip(surface.plane.names, surface.axes, strict=True)
    ]
    return {
        "axes": [dict(zip(("name", "from", "to", "points"), axis, strict=True)) for axis in axes],
        "plane": surface.plane.kind,
        "samples": surface.samples,
        "explained": surface.explained,
        "by_chance": surface.by_chance,
        "minima": [{"point": list(each.point), "loss": each.loss} for each in surface.minima],
        "note": surface.note,
        "runs": [_of_run(run, ends[index] if ends else None) for index, run in enumerate(runs)],
    }


def _of_run(run: Run, end: Basin | None) -> dict[str, Any]:
    said = {
        "lr": run.config.get("lr"),
        "ended": run.ended,
        "diverged_at": run.diverged_at,
        "loss": run.last_finite.loss if run.last_finite is not None else None,
    }
    if end is None:
        return said
    places = {
        name: None if place is None else list(place.point) for name, place in (("minimum", end.minimum), ("lower", end.lower))
    }
    return {**said, **places, "rates_to_lowest": end.rate, "starts_to_lowest": end.start}


def _told(runs: Sequence[Run], ends: Sequence[Basin]) -> Iterator[str]:
    """What became of each descent; of one that stays above the lowest minimum, what would have led there."""
    for index, run in enumerate(runs):
        yield f"lr {run.config.get('lr', float('nan')):g}: {str(run).splitlines()[-1]}"
        if ends and run.ended != "diverged":
            said = str(ends[index]).splitlines()
            yield from (f"  {line}" for line in (said if ends[index].lower is not None else said[:1]))
