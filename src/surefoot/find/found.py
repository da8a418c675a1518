"""The answer to "which learning rate?".  Trials -> Found, with its interval, its ceiling, its cost and its doubt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from surefoot import html
from surefoot.duration import duration
from surefoot.trace import Trace


@dataclass(frozen=True)
class Found:
    """A learning rate, how sure it is, and what it rests on.

    Attributes:
        lr: the rate to train with (of the first parameter group).
        low, high: the rates that are as good as ``lr`` within the noise.
        ceiling: the smallest rate that was seen to diverge, or None.
        confident: whether the descents allow an answer.
        reason: why, or why not, in plain words.
        trials: the traces it rests on, the range test first.
        gradients: gradient evaluations spent.
        seconds: wall time spent.
        steps: the horizon the rate is meant for.
        engine: how the descents were walked (``"vmap"``: many in one pass).

    Example:
        >>> found = Found(0.03, 0.01, 0.1, 0.5, True, "verified", (), 400, 1.5, 1000)
        >>> print(found)
        learning rate 0.03 for 1,000 steps (as good: 0.01 to 0.1; diverges at 0.5)
        confident: verified
        cost: 400 gradient evaluations, 1.5 s
    """

    lr: float
    low: float
    high: float
    ceiling: float | None
    confident: bool
    reason: str
    trials: Sequence[Trace]
    gradients: int
    seconds: float
    steps: int
    engine: str = "sequential"

    def __str__(self) -> str:
        ceiling = f"; diverges at {self.ceiling:.2g}" if self.ceiling is not None else ""
        return (
            f"learning rate {self.lr:.3g} for {self.steps:,} steps (as good: {self.low:.2g} to {self.high:.2g}{ceiling})\n"
            f"{'confident' if self.confident else 'not confident'}: {self.reason}\n"
            f"cost: {self.gradients:,} gradient evaluations, {duration(self.seconds)}"
        )

    def _repr_html_(self) -> str:
        trials = (
            html.grid(("rate", "steps", "last loss"), self.trials, "trials, the range test first", _trial) if self.trials else ""
        )
        return html.table(f"learning rate {html.number(self.lr)} for {self.steps:,} steps", _rows(self)) + trials


@dataclass(frozen=True)
class FoundBy:
    """The learning rate for each value of another setting.

    Attributes:
        setting: its name.
        entries: pairs of a value and what was found for it.

    Example:
        >>> found = Found(0.03, 0.01, 0.1, 0.5, True, "verified", (), 400, 1.5, 1000)
        >>> print(FoundBy("batch_size", ((16, found), (64, found))))
        batch_size  learning rate  as good          diverges  confident
        16          0.03           0.01 to 0.1      0.5       yes
        64          0.03           0.01 to 0.1      0.5       yes
    """

    setting: str
    entries: tuple[tuple[Any, Found], ...]

    def __getitem__(self, value: Any) -> Found:
        for known, found in self.entries:
            if known == value:
                return found
        raise KeyError(f"{value!r}; there are {', '.join(repr(known) for known, _ in self.entries)}")

    def __str__(self) -> str:
        width = max(len(self.setting), *(len(str(value)) for value, _ in self.entries))
        lines = [f"{self.setting:<{width}}  learning rate  as good          diverges  confident"]
        for value, found in self.entries:
            between = f"{found.low:.2g} to {found.high:.2g}"
            ceiling = "" if found.ceiling is None else f"{found.ceiling:.2g}"
            lines.append(
                f"{value!s:<{width}}  {found.lr:<13.3g}  {between:<15}  {ceiling:<8}  {'yes' if found.confident else 'no'}"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        columns = (self.setting, "learning rate", "as good from", "to", "diverges at", "confident")
        return html.grid(columns, self.entries, f"learning rates by {self.setting}", _entry)


def _rows(found: Found) -> Iterator[tuple[str, Any]]:
    """What a notebook shows above the trials."""
    yield "as good", f"{html.number(found.low)} to {html.number(found.high)}"
    yield "diverges at", "not seen" if found.ceiling is None else found.ceiling
    yield "confident" if found.confident else "not confident", found.reason
    yield "cost", f"{found.gradients:,} gradient evaluations, {duration(found.seconds)}"
    yield "engine", found.engine


def _trial(trace: Trace) -> tuple[Any, int, float]:
    """The rate of a trial (its range, where it changes), its steps, and its last loss."""
    if not len(trace):
        return float("nan"), 0, float("nan")
    low, high = float(trace["lr"].min()), float(trace["lr"].max())
    rate = low if low == high else f"{html.number(low)} to {html.number(high)}"
    return rate, len(trace), float(trace["loss"][-1])


def _entry(entry: tuple[Any, Found]) -> tuple[Any, ...]:
    value, found = entry
    return value, found.lr, found.low, found.high, found.ceiling, "yes" if found.confident else "no"
