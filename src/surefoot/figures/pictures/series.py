"""What tells descents apart.  runs and traces -> a label, a colour and a line style for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.errors import SettingError
from surefoot.figures.layers import Colour
from surefoot.figures.scales import number
from surefoot.run import Run
from surefoot.trace import Column, Trace

# Settings in the order in which they matter to a reader; the word before the value is left out where the value speaks for itself.
TELLING = {
    "problem": "{}",
    "optimizer": "{}",
    "lr": "lr {}",
    "schedule": "{}",
    "batch_size": "batch {}",
    "steps": "{} steps",
    "seed": "seed {}",
    "clip_norm": "clipped at {}",
    "accumulate": "{} batches per step",
    "autocast": "{}",
    "dtype": "{}",
    "device": "{}",
}
OF_ONE = (
    "optimizer",
    "lr",
    "schedule",
    "batch_size",
    "seed",
    "clip_norm",
    "autocast",
)  # what is said where there is nothing to compare
DISTINCT = ("blue", "orange", "green", "purple", "sky", "red", "brown", "ink")
_STYLES = ("solid", "dashed", "dashdot", "dotted")
FINAL = 0.1  # the part of a descent over which its final loss is averaged
# Colours on the scale from dark to bright say an order that is really there, from this many descents on.
_ORDERED_FROM = 3


@dataclass(frozen=True, eq=False)
class Series:
    """One descent, ready to be drawn: its finite losses, and how it is told from the others."""

    label: str
    colour: Colour
    style: str
    problem: str
    settings: str
    steps: Column
    losses: Column
    validated: Column
    validation: Column
    diverged_at: int | None
    first: int
    last: int
    count: int


def series_of(answers: Sequence[Run | Trace]) -> list[Series]:
    """The descents with their labels: the settings in which they differ; colours in the order of the rates, where only these do.

    Raises:
        SettingError: there is none, one is neither a run nor a trace, or one has no rows.
    """
    check_descents(answers)
    configs = [config_of(answer) for answer in answers]
    differing = _differing(configs)
    labels = labels_of(configs)
    colours = _colours(configs, differing)
    return [_series(*member) for member in zip(answers, configs, labels, colours, _styles(len(answers)), strict=True)]


def labels_of(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each descent is called: the settings in which they differ.

    >>> labels_of([{"optimizer": "sgd", "lr": 0.1}, {"optimizer": "sgd", "lr": 0.2}])
    ['lr 0.1', 'lr 0.2']
    """
    differing = _differing(configs)
    return _unique([_words(config, differing) or f"descent {place + 1}" for place, config in enumerate(configs)])


def check_descents(answers: Sequence[Any]) -> None:
    """Refuses what is not a list of descents.

    Raises:
        SettingError: there is none, or one is neither a run nor a trace.
    """
    if not answers:
        raise SettingError("There is nothing to draw: the list of runs is empty.")
    other = next((answer for answer in answers if not isinstance(answer, Run | Trace)), None)
    if other is not None:
        raise SettingError(f"A list that is drawn holds runs and traces, got a {type(other).__name__} in it.")


def config_of(answer: Run | Trace) -> Mapping[str, Any]:
    """The settings of a run; of a trace the highest learning rate, which is all that it knows."""
    if isinstance(answer, Run):
        return answer.config
    rates = answer["lr"][np.isfinite(answer["lr"])]
    return {"lr": float(rates.max())} if len(rates) else {}


def trace_of(answer: Run | Trace) -> Trace:
    """The rows of a run or of a trace.

    Raises:
        SettingError: there are none.
    """
    trace = answer.trace if isinstance(answer, Run) else answer
    if not len(trace):
        raise SettingError("There is nothing to draw: the trace has no rows. Walk at least one step.")
    return trace


def diverged_at(answer: Run | Trace) -> int | None:
    """The step at which the loss (of a run: or the weights) stopped being finite, or None."""
    trace = trace_of(answer)
    finite = len(trace.finite)
    if finite < len(trace):
        return int(trace["step"][finite])
    return answer.diverged_at if isinstance(answer, Run) else None


def mean_of_last(losses: Column) -> float:
    """The mean over the last tenth of the losses, at least one of them: what the noise of a single batch does not decide."""
    count = max(1, round(len(losses) * FINAL))
    with np.errstate(over="ignore"):
        return float(np.mean(losses[-count:]))


def _series(answer: Run | Trace, config: Mapping[str, Any], label: str, colour: Colour, style: str) -> Series:
    trace = trace_of(answer)
    finite, measured = trace.finite, np.isfinite(trace["validation_loss"])
    end = diverged_at(answer)
    return Series(
        label=f"{label}, diverged at {end:,}" if end is not None else label,
        colour=colour,
        style=style,
        problem=str(config.get("problem") or ""),
        settings=_words(config, OF_ONE),
        steps=finite["step"].astype(np.float64),
        losses=finite["loss"],
        validated=trace["step"][measured].astype(np.float64),
        validation=trace["validation_loss"][measured],
        diverged_at=end,
        first=int(trace["step"][0]),
        last=int(trace["step"][-1]),
        count=len(trace),
    )


def _differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = [*TELLING, *sorted({key for config in configs for key in config if key not in TELLING})]
    return [key for key in keys if len({repr(config.get(key)) for config in configs}) > 1]


def _words(config: Mapping[str, Any], keys: Sequence[str]) -> str:
    said = [(TELLING.get(key, key + " {}"), config[key]) for key in keys if config.get(key) is not None]
    return ", ".join("full batch" if value == "full" else form.format(_plain(value)) for form, value in said)


def _plain(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _unique(labels: Sequence[str]) -> list[str]:
    if len(set(labels)) == len(labels):
        return list(labels)
    return [f"{place + 1}: {label}" for place, label in enumerate(labels)]


def _colours(configs: Sequence[Mapping[str, Any]], differing: Sequence[str]) -> list[Colour]:
    values = [config.get(differing[0]) for config in configs] if len(differing) == 1 else []
    ordered = sorted({value for value in values if isinstance(value, int | float)})
    if len(ordered) >= _ORDERED_FROM and all(value in ordered for value in values):
        return [ordered.index(value) / (len(ordered) - 1) for value in values]  # type: ignore[arg-type]
    return [DISTINCT[place % len(DISTINCT)] for place in range(len(configs))]


def _styles(count: int) -> list[str]:
    return [_STYLES[place % len(_STYLES)] for place in range(count)]
