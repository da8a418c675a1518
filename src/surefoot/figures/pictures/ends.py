"""How low did many descents get?  runs and traces -> the mean loss at each rate after so many steps, and which were lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surefoot.errors import SettingError
from surefoot.figures.pictures.series import FINAL, check_descents, config_of, trace_of
from surefoot.figures.scales import number
from surefoot.run import Run
from surefoot.trace import Column, Trace

# A loss that has grown so many times since the start is out of the valley, whether or not the numbers have overflowed yet.
BLOWN_UP = 1e3


@dataclass(frozen=True, eq=False)
class Ends:
    """Descents at several rates, as far as their losses are finite.

    Attributes:
        rates: (rates,) rising.
        place: (runs,) of each run among the rates.
        losses: (runs, steps); NaN behind the last finite one.
        walked: (runs,) how many there are.
        lost: (runs,) whether it diverged after them.
    """

    rates: Column
    place: Column
    losses: Column
    walked: Column
    lost: Column

    @property
    def start(self) -> float:
        """The highest of the first losses; NaN where none is finite."""
        first = self.losses[self.walked > 0, 0]
        return float(first.max()) if len(first) else float("nan")

    @property
    def signed(self) -> bool:
        """Whether a loss was negative anywhere: then its size says nothing."""
        return bool((self.losses < 0).any())

    def after(self, count: int) -> Column:
        """(rates,) the mean over the last tenth of so many steps; infinite where one had diverged by then, NaN where one was not walked so far."""
        return self._at_rates(self._after(count))

    def final(self) -> Column:
        """(rates,) the mean over the last tenth of all steps of a run; infinite where one diverged."""
        found = np.where(self.lost, np.inf, np.nan)
        for count in np.unique(self.walked[~self.lost]):
            these = ~self.lost & (self.walked == count)
            found[these] = self._after(int(count))[these]
        return self._at_rates(found)

    def blown_up(self, means: Column) -> Column:
        """Which of these are no losses of a descent that held."""
        return np.asarray(np.isinf(means) | (False if self.signed else means > BLOWN_UP * self.start))

    def _after(self, count: int) -> Column:
        last = self.losses[:, count - max(1, round(count * FINAL)) : count] if count else np.full((len(self.lost), 1), np.nan)
        with np.errstate(over="ignore"):
            means = last.mean(axis=1)
        return np.where(self.walked >= count, means, np.where(self.lost, np.inf, np.nan))

    def _at_rates(self, values: Column) -> Column:
        sums = np.zeros(len(self.rates))
        with np.errstate(over="ignore"):
            np.add.at(sums, self.place, values)
        return np.asarray(sums / np.bincount(self.place, minlength=len(self.rates)))


def ends_of(runs: Sequence[Run | Trace], what: str) -> Ends:
    """Descents by their rates.

    Args:
        runs: at two or more rates.
        what: the picture, for the error.

    Raises:
        SettingError: there are fewer than two rates, one is neither a run nor a trace, or one has no steps.
    """
    check_descents(runs)
    traces = [trace_of(run) for run in runs]
    rates, place = np.unique([float(config_of(run)["lr"]) for run in runs], return_inverse=True)
    if len(rates) < 2:
        raise SettingError(f"{what} needs descents at two or more learning rates, got {len(rates)}.")
    lengths = np.array([len(trace) for trace in traces])
    losses = np.full((len(runs), int(lengths.max())), np.nan)
    for row, trace in zip(losses, traces, strict=True):
        row[: len(trace)] = trace["loss"]
    finite = np.isfinite(losses)
    walked = np.where(finite.all(axis=1), losses.shape[1], np.argmin(finite, axis=1))
    losses[np.arange(losses.shape[1]) >= walked[:, None]] = np.nan
    ended = np.array([isinstance(run, Run) and run.ended == "diverged" for run in runs])
    return Ends(rates, place, losses, walked, (walked < lengths) | ended)


def name_of(runs: Sequence[Run | Trace]) -> str:
    """The problem of all of them; "" where they are of several, or of one without a name."""
    problems = {str(config_of(run).get("problem") or "") for run in runs}
    return problems.pop() if len(problems) == 1 else ""


def grown(signed: bool) -> str:
    """What counts as diverged beside a number that is not finite."""
    return "" if signed else f", or {number(BLOWN_UP)} times the loss at the start"
