"""The options that several commands share.  words of the command line -> a problem, keywords, JSON."""

from __future__ import annotations

import ast
import contextlib
import json
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from surefoot.errors import SettingError, SurefootError, SurefootWarning

if TYPE_CHECKING:
    from surefoot.problem import Problem
    from surefoot.run import Run

Name = Annotated[
    str, typer.Argument(help="A built-in problem (see `surefoot problems`), points.csv, a folder of images, or train.py:problem.")
]
Target = Annotated[str | None, typer.Option(help="Table: the column to predict.")]
Model = Annotated[str | None, typer.Option(help="Table: linear, logistic or network (default: by the target).")]
Option = Annotated[
    list[str] | None, typer.Option("--option", "-o", help="An option of the problem, as key=value; may be repeated.")
]
BatchSize = Annotated[str | None, typer.Option(help="Samples per step: a number, or full.")]
Seed = Annotated[int, typer.Option(help="What every random number is drawn from.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, ...; auto: where the model is.")]
Clip = Annotated[float | None, typer.Option("--clip-norm", help="Scale gradients down to this l2 norm.")]
Accumulate = Annotated[int | None, typer.Option(help="Batches per update.")]
Autocast = Annotated[str | None, typer.Option(help="bf16 or (GPU) fp16.")]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON, and nothing else.")]
Picture = Annotated[str | None, typer.Option("--picture", help="Write the picture to this file (png, svg, pdf).")]
Plot = Annotated[bool | None, typer.Option("--plot/--no-plot", help="Draw in the terminal (default: if it is one).")]


def load(name: str, target: str | None = None, model: str | None = None, option: list[str] | None = None) -> Problem:
    """The problem of this name with these options."""
    from surefoot import problems

    options = dict(_pair(text) for text in option or [])
    options |= {key: value for key, value in (("target", target), ("model", model)) if value is not None}
    return problems.load(name, **options)


def again(run: Run, without: str) -> Problem | None:
    """The problem of a run made anew; None where that is not possible, with a note that goes on with these words."""
    from surefoot import problems

    recipe = run.config.get("recipe")
    if not recipe:
        typer.echo(f"note: the run does not know how its problem was made; {without}.", err=True)
        return None
    try:
        return problems.load(**recipe)
    except SurefootError as error:
        typer.echo(f"note: the run's problem could not be made again ({error}); {without}.", err=True)
        return None


def curvature(problem: Problem, optimizer: str) -> float | None:
    """The largest curvature, where it is known and limits the rate of this optimizer to 2/L."""
    return problem.answer.curvature if problem.answer is not None and optimizer.lower() == "sgd" else None


def batch_size(text: str | None) -> int | str | None:
    """The batch size as a number where it is one."""
    return int(text) if text is not None and text.isdigit() else text


@contextlib.contextmanager
def told(quiet: bool = False) -> Iterator[None]:
    """Inside, warnings are sentences on standard error instead of lines of code."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, SurefootWarning):
            typer.echo(f"note: {message}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always" if not quiet else "ignore", SurefootWarning)
        warnings.showwarning = show
        yield


def show_json(answer: Mapping[str, Any]) -> None:
    """Prints it; numbers that JSON cannot say (NaN, infinity) become null."""
    typer.echo(json.dumps(_plain(answer), indent=2))


def show_picture(
    answer: Any,
    plot: bool | None,
    picture: str | None,
    kind: str | None = None,
    problem: Problem | None = None,
    curvature: float | None = None,
    theme: str | None = None,
) -> None:
    """Draws the answer in the terminal and writes it to a file, as far as that was asked for."""
    if plot or (plot is None and typer.get_text_stream("stdout").isatty()):
        from surefoot.figures.terminal import draw

        typer.echo(draw(answer, kind=kind, problem=problem, curvature=curvature))
    if picture:
        from surefoot.figures.matplotlib import plot as plotted

        figure = plotted(answer, kind=kind, problem=problem, curvature=curvature, theme=theme).figure
        try:
            Path(picture).parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(picture, dpi=150)  # type: ignore[union-attr]
        except (OSError, ValueError) as error:
            raise SettingError(f"The picture {picture} could not be written: {error}") from error
        typer.echo(f"picture: {picture}", err=True)


def show_animation(
    answer: Any, path: str | None, kind: str | None = None, problem: Problem | None = None, theme: str | None = None
) -> None:
    """Writes the moving picture to a file, if one was asked for."""
    if not path:
        return
    from surefoot.figures.animate import animate

    with contextlib.suppress(OSError):  # `animate` says what is wrong with the path
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    typer.echo(f"animation: {path}: {animate(answer, path, kind=kind, problem=problem, theme=theme)}", err=True)


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise SettingError(f"--option takes key=value, got {text!r}.")
    try:
        return key.replace("-", "_"), ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key.replace("-", "_"), value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
