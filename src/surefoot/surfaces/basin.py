"""Which minimum did a run end in, and what would have led to a lower one?  problem of one or two weights + run -> Basin.

Whatever is said of a rate or a start has been tried: the run's own settings are walked again with it. Where a descent ended is told from the
gradient flow: the basin of a minimum is what flows into it.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surefoot import html
from surefoot.descent.ranks import alone
from surefoot.errors import SettingError
from surefoot.problem import Problem, trainable
from surefoot.run import Run
from surefoot.surfaces.flow import Rest, View
from surefoot.surfaces.grid import Rows
from surefoot.surfaces.leads import basins_of, losses, surface_around
from surefoot.surfaces.minima import Minimum, minima
from surefoot.surfaces.replay import begin_of, end_of, hindrance, tried_out, tries
from surefoot.surfaces.surface import Surface, check_descended
from surefoot.trace import Column

SETTLED = 0.01  # of the way down, in loss: what is left where a run has arrived
EQUAL = 1e-6  # of the way down: minima whose losses differ by less are equally low
STARTS = {1: 41, 2: 9}  # along each axis


@dataclass(frozen=True)
class Tried:
    """Descents under the settings of a run, but for one of them.

    Attributes:
        values: (n,) rates, rising, or (n, weights) starts.
        led: (n,) the index in `Basin.minima` of the minimum in whose basin each ended; -1 for none.
        reached: (n,) whether that is the lowest one, and the loss lower than where the run or the descent began.
        settled: (n,) whether it has also arrived there.
    """

    values: Column
    led: Column
    reached: Column
    settled: Column


@dataclass(frozen=True)
class Basin:
    """Where a run ended, and what would have led to the lowest minimum.

    Attributes:
        minimum: the one in whose basin the end of the run lies; None where there is none, and `note` says why.
        distance: from the end to that minimum, in the norm of the weights; NaN without one.
        settled: whether the loss at the end is within 1 % of the way down (loss at the start minus that of the minimum).
        lower: the lowest minimum known, if it is lower than `minimum` (without one: than the end) by more than 1e-6 of the way down; else None.
        rate: the smallest and the largest of the longest sequence of tried rates that lead from the run's start into the basin of the lowest
            minimum, or of one as low (of the sequence with the run's own rate, where that does); None if none does, or none was tried.
        settles: the part of `rate` at which the descent also arrives within the steps; None if it does nowhere.
        start: which tried starts lead there at the run's own rate. One weight: the smallest and the largest of those around the minimum. Two: the
            one nearest to the run's own start, which is the start itself where the run got there. None if none does, or none was tried.
        end: the weights at the end of the run.
        loss: there, over all of the training data.
        minima: all that are known, the lowest first.
        view: low and high edge of what was looked at, along each axis.
        by_rate: all rates that were tried; None if none was.
        by_start: all starts that were tried, the run's own first; None if none was.
        note: what is to be said about it.
        gradients: gradient evaluations of the descents tried.
        seconds: wall time spent.
    """

    minimum: Minimum | None
    distance: float
    settled: bool
    lower: Minimum | None
    rate: tuple[float, float] | None
    settles: tuple[float, float] | None
    start: tuple[float, float] | None
    end: tuple[float, ...]
    loss: float
    minima: tuple[Minimum, ...]
    view: tuple[tuple[float, float], ...]
    by_rate: Tried | None
    by_start: Tried | None
    note: str
    gradients: int
    seconds: float

    def __str__(self) -> str:
        lines = [_ended(self), _others(self), _rates(self), _starts(self), self.note if self.minimum is not None else ""]
        return "\n".join(line for line in lines if line)

    def _repr_html_(self) -> str:
        known = (
            html.grid(("", "loss"), self.minima, "minima", lambda each: (html.point(each.point), each.loss), ends=3)
            if self.minima
            else ""
        )
        return html.table("where the run ended", [("", line) for line in str(self).splitlines()]) + known


def basin(
    problem: Problem,
    run: Run,
    *,
    surface: Surface | None = None,
    rates: int = 25,
    starts: int | None = None,
    seed: int = 0,
) -> Basin:
    """Which minimum a run ended in, whether a lower one exists, and which rate or start would have reached it.

    Args:
        problem: what the run descended, of one or two weights; its model stays as it is.
        run: how it went.
        surface: the exact surface whose minima are meant; None: one around the run and the known minima, and wider where the problem names none.
        rates: how many learning rates are tried, spread evenly in their logarithm over 1/100 to 100 times the run's; 0 for none.
        starts: how many starts are tried along each axis of the surface; None: 41 for one weight, 9 for two; 0 for none.
        seed: as for `landscape`.

    Returns:
        `Basin`.

    Raises:
        SettingError: there are more than two weights, the run or the surface is of another problem, or a count makes no sense.

    Example:
        >>> from surefoot import descend, problems
        >>> valley = problems.load("valley")
        >>> found = basin(valley, descend(valley, lr=0.05, steps=200))
        >>> round(found.minimum.point[0], 6), found.settled, round(found.lower.point[0], 6)
        (-1.0, True, 2.0)
        >>> again = descend(valley, lr=found.rate[0], steps=200)
        >>> round(again.weights["x"].item(), 6)
        2.0
    """
    began, problem = time.perf_counter(), alone(problem)
    rows = _rows(problem, run, surface, seed)
    counts = _count("rates", rates), _count("starts", STARTS[rows.size] if starts is None else starts)
    start, hindered = _start(problem, run, rows)
    end = end_of(problem, run) if run.ended != "diverged" else np.full(rows.size, np.nan)
    shown = surface if surface is not None else surface_around(problem, run, rows, end, seed)
    view = View.of(shown.axes, shown.loss)
    known = shown.minima if shown.samples == rows.count else minima(problem, shown.axes, shown.loss, "train", seed)
    by_rate, by_start = tries(run, start, view, *((0, 0) if hindered else counts))
    ends = tried_out(problem, run, start, by_rate, by_start)
    by_rate, by_start = by_rate[ends.walked[: len(by_rate)]], by_start[ends.walked[len(by_rate) :]]
    places = np.vstack([end, ends.points[ends.walked]])
    led, rest, known = basins_of(rows, places, view, known)
    after = losses(rows, places)
    before = losses(rows, np.vstack([start[None], np.repeat(start[None], len(by_rate), 0), by_start]))
    bar = _Bar.of(known, before[0] if np.isfinite(before[0]) or not len(run.trace) else float(run.trace["loss"][0]), view)
    minimum = known[led[0]] if led[0] >= 0 else None
    last = 1 + len(by_rate)
    tried_rates = _tried(by_rate, led[1:last], before[1:last], after[1:last], bar)
    tried_starts = _tried(by_start, led[last:], before[last:], after[last:], bar)
    rate, settles = _rate(tried_rates, run)
    hindered = f"no rate and no start was tried: {hindered}" if hindered and any(counts) else ""
    none = "" if minimum is not None else _none(run, rest, view)
    return Basin(
        minimum=minimum,
        distance=float(np.linalg.norm(np.subtract(minimum.point, end))) if minimum is not None else math.nan,
        settled=minimum is not None and bool(after[0] - minimum.loss <= SETTLED * (bar.start - minimum.loss) + bar.slack),
        lower=_lower(known, minimum, float(after[0]), bar),
        rate=rate,
        settles=settles,
        start=_nearest(tried_starts, start) if rows.size == 2 else _around(tried_starts, known),
        end=tuple(end.tolist()),
        loss=float(after[0]),
        minima=known,
        view=tuple(zip(view.low.tolist(), view.high.tolist(), strict=True)),
        by_rate=tried_rates,
        by_start=tried_starts,
        note="; ".join(filter(None, [none, hindered, ends.note, _apart(run, int(led[0]), tried_rates, tried_starts)])),
        gradients=ends.gradients,
        seconds=time.perf_counter() - began,
    )


# ---- what is asked


def _rows(problem: Problem, run: Run, surface: Surface | None, seed: int) -> Rows:
    """The loss over all of the training data in float64, after a look at whether the parts belong together."""
    named = trainable(problem.model)
    weights = sum(p.numel() for p in named.values())
    if weights > 2:
        raise SettingError(
            f"A basin is told for one or two weights, the problem has {weights:,}. landscape(problem, run) shows a slice of its loss."
        )
    check_descended(problem, run, "The run")
    if any(name not in run.weights or run.weights[name].shape != p.shape for name, p in named.items()):
        raise SettingError(
            f"The run has other weights than the problem's {', '.join(named)}. Give the problem that the run descended."
        )
    if surface is not None and not (surface.exact and len(surface.axes) == weights):
        kind, many = surface.plane.kind, len(surface.axes)
        raise SettingError(
            f"surface must be landscape(problem), with {weights} axes of weights; got one of kind {kind!r} with {many}."
        )
    return Rows(problem.with_(model=copy.deepcopy(problem.model).double()), "train", seed)


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SettingError(f"{name} must be how many are tried, an int of 0 or more, got {value!r}.")
    return value


def _start(problem: Problem, run: Run, rows: Rows) -> tuple[Column, str]:
    """Where the run began, NaN where that is not known, and why its settings cannot be walked again, if so."""
    start = begin_of(problem, run)
    if start is None:
        return np.full(rows.size, np.nan), hindrance(run) or "where the run began is not known, for its path holds the end alone"
    return start.double().numpy(), hindrance(run)


# ---- what counts


@dataclass(frozen=True)
class _Bar:
    """What it takes to have reached the lowest minimum: its loss, how many are as low, the loss at the run's start, and what does not count."""

    loss: float
    ties: int
    start: float
    slack: float

    @classmethod
    def of(cls, known: Sequence[Minimum], start: float, view: View) -> _Bar:
        if not known:
            return cls(math.nan, 0, start, 0.0)
        lowest = known[0].loss
        slack = EQUAL * max(start - lowest, 0.0) + 1e-9 * view.height  # a run may have begun at the minimum
        return cls(lowest, sum(each.loss <= lowest + slack for each in known), start, slack)


def _tried(values: Column, led: Column, before: Column, after: Column, bar: _Bar) -> Tried | None:
    if not len(values):
        return None
    with np.errstate(invalid="ignore"):  # those that diverged
        # a descent that grows slowly still ends in a basin: it must not have gone up
        reached = (led >= 0) & (led < bar.ties) & (after <= np.fmax(before, bar.start) + bar.slack)
        settled = reached & (after - bar.loss <= SETTLED * (bar.start - bar.loss) + bar.slack)
    return Tried(values, led, reached, settled)


# ---- what is answered


def _lower(known: Sequence[Minimum], minimum: Minimum | None, loss: float, bar: _Bar) -> Minimum | None:
    """The lowest one, if it is lower than where the run ended."""
    than = loss if minimum is None else minimum.loss
    return known[0] if known and not than - known[0].loss <= bar.slack else None  # also where the loss is NaN


def _stretch(good: Column, around: int) -> Column:
    """The indices of the longest stretch of good ones, or of the one that holds an index, where one does."""
    index = np.flatnonzero(good)
    stretches = np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)
    return next((each for each in stretches if around in each), max(stretches, key=len))


def _rate(tried: Tried | None, run: Run) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    if tried is None or not tried.reached.any():
        return None, None
    own = int(np.flatnonzero(tried.values == run.config["lr"])[0])
    stretch = _stretch(tried.reached, own)
    inside = np.isin(np.arange(len(tried.values)), stretch) & tried.settled
    arrived = _stretch(inside, own) if inside.any() else stretch[:0]
    return _ends(tried.values[stretch]), _ends(tried.values[arrived]) if len(arrived) else None


def _around(tried: Tried | None, known: Sequence[Minimum]) -> tuple[float, float] | None:
    """One weight: the starts around the lowest minimum."""
    if tried is None or not tried.reached.any():
        return None
    order = np.argsort(tried.values[:, 0], kind="stable")
    values, reached = tried.values[order, 0], tried.reached[order]
    return _ends(values[_stretch(reached, int(np.argmin(np.abs(values - known[0].point[0]))))])


def _nearest(tried: Tried | None, start: Column) -> tuple[float, float] | None:
    """Two weights: the start nearest to the run's own."""
    if tried is None or not tried.reached.any():
        return None
    good = tried.values[tried.reached]
    x, y = good[np.argmin(np.linalg.norm(good - start, axis=1))].tolist()
    return x, y


def _ends(values: Column) -> tuple[float, float]:
    return float(values[0]), float(values[-1])


# ---- in words


def _none(run: Run, rest: Rest, view: View) -> str:
    """Why the run ended in no minimum."""
    if run.ended == "diverged":
        return f"the run diverged at step {run.diverged_at}"
    at = _point(rest.point.tolist(), list(zip(view.low, view.high, strict=True)))
    return {
        "saddle": f"downhill from its end the loss is level at {at}, on a {'hilltop' if len(rest.point) == 1 else 'saddle'}",
        "level": f"the loss is level around {at}: a plateau",
        "outside": f"downhill from its end the way leads out of what was looked at, past {at}",
        "moving": f"downhill from its end the loss falls for longer than was followed, to {at}",
    }.get(rest.how, "there is no finite loss at its end")


def _apart(run: Run, led: int, rates: Tried | None, starts: Tried | None) -> str:
    """What makes the descents tried differ from the run, if anything does."""
    if rates is None and starts is None:
        return ""
    steps = int(run.config["steps"])
    if run.ended in ("stopped", "interrupted"):
        return f"the run made {len(run.trace):,} of {steps:,} steps, the descents tried make all of them"
    again = rates.led[rates.values == run.config["lr"]][0] if rates is not None else starts.led[0] if starts is not None else led
    return "" if again == led else "walked again from its record the run ends elsewhere: not all of its settings are in it"


def _point(point: Sequence[float], view: Sequence[tuple[float, float]]) -> str:
    """To six digits of what was looked at."""
    digits = [6 - math.floor(math.log10(high - low)) for low, high in view]
    words = [format(round(x, most) + 0.0, ".4g") for x, most in zip(point, digits, strict=True)]
    return words[0] if len(words) == 1 else f"({', '.join(words)})"


def _minimum(minimum: Minimum, basin: Basin) -> str:
    return f"{_point(minimum.point, basin.view)} (loss {round(minimum.loss, 10) + 0.0:.4g})"


def _span(low: float, high: float) -> str:
    return f"{low:.3g} to {high:.3g}" if low < high else f"{low:.3g}"


def _area(basin: Basin) -> str:
    return " by ".join(_span(*edges) for edges in basin.view)


def _ended(basin: Basin) -> str:
    if basin.minimum is None:
        return f"ended in no minimum: {basin.note}"
    where = f"the minimum at {_minimum(basin.minimum, basin)}, {basin.distance:.2g} away"
    if basin.settled:
        return f"ended in {where}: settled"
    return f"ended in the basin of {where} and {basin.loss - basin.minimum.loss:.3g} higher: not settled"


def _others(basin: Basin) -> str:
    if basin.lower is not None:
        return f"{'a lower one' if basin.minimum is not None else 'the lowest known'} lies at {_minimum(basin.lower, basin)}"
    return f"no {'lower one' if basin.minimum is not None else 'minimum'} is known in {_area(basin)}"


def _it(basin: Basin, tried: Tried) -> str:
    """What is reached."""
    if basin.lower is not None:
        return "it"
    return "this minimum or one as low" if len(set(tried.led[tried.reached].tolist())) > 1 else "this minimum"


def _rates(basin: Basin) -> str:
    tried = basin.by_rate
    if tried is None or not basin.minima:
        return ""
    it = _it(basin, tried)
    if basin.rate is None:
        return f"none of {len(tried.values)} rates tried, {_span(*_ends(tried.values))}, reaches {it} from this start"
    if basin.settles is None:
        return f"from the same start a rate of {_span(*basin.rate)} leads into its basin, but not to its bottom within the steps"
    more = "" if basin.settles == basin.rate else f" within the steps, and {_span(*basin.rate)} leads into its basin"
    return f"from the same start a rate of {_span(*basin.settles)} reaches {it}{more}"


def _starts(basin: Basin) -> str:
    tried = basin.by_start
    if tried is None or not basin.minima or (len(basin.end) == 2 and basin.start == tuple(tried.values[0])):
        return ""
    it = _it(basin, tried)
    if basin.start is None:
        return f"at the same rate none of {len(tried.values)} starts in {_area(basin)} reaches {it}"
    if len(basin.end) == 2:
        inside = (tried.values == basin.start).all(1)
        where = f"at {_point(basin.start, basin.view)}"
    else:
        inside = (tried.values[:, 0] >= basin.start[0]) & (tried.values[:, 0] <= basin.start[1])
        where = f"{'at' if basin.start[0] == basin.start[1] else 'from'} {_span(*basin.start)}"
    return f"at the same rate a start {where} {f'reaches {it}' if tried.settled[inside].all() else 'leads into its basin'}"
