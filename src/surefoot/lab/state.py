"""What can be set in the lab?  plain values from a page, a link or a cell -> State, every value within its bounds, or why not.

One table says it all: the page makes its controls and its links from it, a lesson is a few of its values, and a link is those that differ
from the default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from surefoot.descent import schedule
from surefoot.errors import SettingError, unknown
from surefoot.problems import names

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "adamw", "nadam", "rmsprop", "adagrad", "adamax", "random")
BATCHES = ("own", "full", "mini", "single")
DEPTHS = ("basic", "medium", "detailed")
THEMES = ("auto", "light", "dark")
PANES = (
    "data", "loss", "rates", "surface", "contour", "map", "rule", "verdict", "code", "lessons", "live", "race", "find", "download", "share",
)  # fmt: skip
TABLE, OWN = "table", "own"  # a dropped CSV; what the lab was started with
RIVALS = 5  # beside the main descent: six colours can be told apart
RACED = ("lr", "optimizer", "momentum", "batch", "batch_size", "schedule")  # what a rival may have otherwise
WEIGHTS = 2  # of a problem whose start can be set

Plain: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One thing that can be set.

    Attributes:
        key: its name, in a link too.
        kind: ``"choice"``, ``"number"``, ``"count"``, ``"numbers"``, ``"text"``, ``"names"`` or ``"race"``.
        default: its value where nothing else is said.
        label: what stands beside its control.
        help: a sentence about it.
        low, high: the bounds of a number or a count, both allowed.
        choices: what a choice, or each name, is out of.
        seen_only: it changes what is seen, not what is computed.
    """

    key: str
    kind: str
    default: Any
    label: str
    help: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    seen_only: bool = False


@dataclass(frozen=True)
class State:
    """Everything that is set, as `read` has checked it; the fields are the rows of `FIELDS`."""

    problem: str = "line"
    lr: float = 0.1
    steps: int = 200
    optimizer: str = "sgd"
    momentum: float = 0.9
    batch: str = "own"
    batch_size: int = 32
    schedule: str = "constant"
    noise: float = 0.02
    points: int = 100
    seed: int = 0
    start: tuple[float, ...] = ()
    race: tuple[Plain, ...] = ()
    target: str = ""
    depth: str = "medium"
    step: int = -1
    speed: float = 1.0
    theme: str = "auto"
    azimuth: float = -60.0
    elevation: float = 35.0
    lesson: str = ""
    hide: tuple[str, ...] = ()


_KEYS = tuple(State.__dataclass_fields__)


def _field(key: str, kind: str, label: str, help: str = "", **more: Any) -> Field:
    return Field(key, kind, State.__dataclass_fields__[key].default, label, help, **more)


FIELDS: tuple[Field, ...] = (
    _field("problem", "choice", "Problem", "What is descended.", choices=(*names(), TABLE, OWN)),
    _field("lr", "number", "Learning rate", "How far a step goes for a given slope.", low=0.0, high=1e38),
    _field("steps", "count", "Steps", "Updates of the weights.", low=1, high=10**9),
    _field("optimizer", "choice", "Optimizer", "Which way a step goes, from the gradients seen so far.", choices=OPTIMIZERS),
    _field("momentum", "number", "Momentum", "The part of the last step that is kept in the next one.", low=0.0, high=0.999),
    _field(
        "batch", "choice", "Batch", "How many samples a step looks at: all, some, one, or as the problem has it.", choices=BATCHES
    ),
    _field("batch_size", "count", "Batch size", "Samples per step.", low=1, high=65536),
    _field("schedule", "choice", "Schedule", "How the learning rate changes on the way.", choices=tuple(schedule.names())),
    _field("noise", "number", "Noise", "Standard deviation of the points around the line.", low=0.0, high=10.0),
    _field("points", "count", "Points", "How many points the line is fitted to.", low=2, high=10000),
    _field("seed", "count", "Seed", "What every random number is drawn from.", low=0, high=2**31 - 1),
    _field("start", "numbers", "Start", "The weights that the descent begins at."),
    _field("race", "race", "Race", "More descents from the same start.", choices=RACED),
    _field("target", "text", "Target", "The column of the table that is predicted."),
    _field("depth", "choice", "Depth", "How much is explained.", choices=DEPTHS, seen_only=True),
    _field("step", "count", "Step", "The step that is shown; -1 is the last.", low=-1, high=10**9, seen_only=True),
    _field("speed", "number", "Speed", "How fast the descent is played.", low=0.1, high=10.0, seen_only=True),
    _field("theme", "choice", "Theme", "Light or dark.", choices=THEMES, seen_only=True),
    _field("azimuth", "number", "Azimuth", "From where the surface is seen, in degrees.", low=-3600.0, high=3600.0, seen_only=True),
    _field(
        "elevation", "number", "Elevation", "From how high the surface is seen, in degrees.", low=5.0, high=85.0, seen_only=True
    ),
    _field("lesson", "text", "Lesson", "The lesson that is open.", seen_only=True),
    _field("hide", "names", "Hidden", "Controls and panes that are not shown.", choices=(*_KEYS, *PANES), seen_only=True),
)
_BY_KEY = {field.key: field for field in FIELDS}


class Refused(SettingError):
    """A value of the state that makes no sense; `field` is where."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


def read(given: Any) -> State:
    """The state with these values, the others at their defaults.

    Args:
        given: a mapping of keys to plain values, as JSON holds them.

    Raises:
        Refused: a key is unknown, or its value makes no sense; the message says which and why.

    Example:
        >>> read({"lr": 0.5, "race": [{"lr": 0.1}]}).race
        ({'lr': 0.1},)
    """
    return change(State(), given)


def change(state: State, given: Any) -> State:
    """The state with some values replaced.

    Raises:
        Refused: as `read`.
    """
    if not isinstance(given, Mapping):
        raise Refused("", f"A state is a mapping of keys to values, got {_shown(given)}.")
    for key in given:
        if key not in _BY_KEY:
            raise Refused("", str(unknown("setting of the lab", str(key)[:40], _BY_KEY)))
    return replace(state, **{key: value_of(key, value) for key, value in given.items()})


def value_of(key: str, value: Any) -> Any:
    """One value, checked.

    Raises:
        Refused: it makes no sense for this key.

    Example:
        >>> value_of("steps", 10.0)
        10
    """
    field = _BY_KEY[key]
    return _READERS[field.kind](field, value)


def plain(state: State) -> dict[str, Any]:
    """All of it as JSON holds it.

    >>> plain(read({"start": [1, 2]}))["start"]
    [1.0, 2.0]
    """
    values = {key: getattr(state, key) for key in _KEYS}
    return {key: [dict(each) if isinstance(each, Mapping) else each for each in value] if isinstance(value, tuple) else value
            for key, value in values.items()}  # fmt: skip


def rival(state: State, other: Plain) -> State:
    """The state of a rival: the main one's but for what the rival has otherwise."""
    return replace(state, race=(), **other)


def _number(field: Field, value: Any) -> float:
    if field.key == "lr" and isinstance(value, int | float) and value <= 0:
        raise Refused(
            "lr", f"The learning rate must be above 0, got {float(value):g}: at 0 nothing moves, below it the steps go uphill."
        )
    return _finite(field, value)


def _count(field: Field, value: Any) -> int:
    number = _finite(field, value)
    if number != round(number):
        raise Refused(field.key, f"{field.label} must be a whole number, got {number:g}.")
    return int(number)


def _finite(field: Field, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Refused(field.key, f"{field.label} must be a number, got {_shown(value)}.")
    assert field.low is not None
    assert field.high is not None
    if not field.low <= value <= field.high:
        raise Refused(field.key, f"{field.label} must be from {field.low:g} to {field.high:g}, got {float(value):g}.")
    return float(value)


def _choice(field: Field, value: Any) -> str:
    if value not in field.choices:
        raise Refused(field.key, str(unknown(field.label.lower(), str(value)[:40], field.choices)))
    return str(value)


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 1000:
        raise Refused(field.key, f"{field.label} must be a short text, got {_shown(value)}.")
    return value


def _names(field: Field, value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_choice(field, each) for each in _listed(field, value, len(field.choices))))


def _numbers(field: Field, value: Any) -> tuple[float, ...]:
    listed = _listed(field, value, WEIGHTS)
    if any(isinstance(each, bool) or not isinstance(each, int | float) or not abs(each) <= 1e30 for each in listed):
        raise Refused(field.key, f"{field.label} must be numbers, one for each weight, got {_shown(value)}.")
    return tuple(float(each) for each in listed)


def _race(field: Field, value: Any) -> tuple[Plain, ...]:
    rivals = []
    for each in _listed(field, value, RIVALS):
        if not isinstance(each, Mapping) or any(key not in RACED for key in each):
            raise Refused(field.key, f"A rival in the race has any of {', '.join(RACED)}, got {_shown(each)}.")
        rivals.append({key: value_of(key, item) for key, item in each.items()})
    return tuple(rivals)


def _listed(field: Field, value: Any, most: int) -> Sequence[Any]:
    if not isinstance(value, list | tuple) or len(value) > most:
        raise Refused(field.key, f"{field.label} must be a list of at most {most}, got {_shown(value)}.")
    return value


def _shown(value: Any) -> str:
    """What was seen, short enough for a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_READERS: dict[str, Callable[[Field, Any], Any]] = {
    "choice": _choice,
    "number": _number,
    "count": _count,
    "numbers": _numbers,
    "text": _text,
    "names": _names,
    "race": _race,
}
