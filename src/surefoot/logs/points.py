"""From what was recorded to one row per step.  {name: numbers by step} -> a trace.

A log is a set of series: for every name the steps at which it was recorded and the numbers. A number that was recorded as NaN is there, a
cell that was left empty is not. The rows of the trace are the steps at which a loss was recorded, because a row without one would look like a
loss that broke. What was recorded between them is not lost: a learning rate, which is set before a step, goes to the next row, a validation
loss and everything that is no column of the schema, which are measured after a step, to the row before; a number recorded at the row itself
goes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from surefoot.errors import UserFileError
from surefoot.logs import names
from surefoot.trace import COLUMNS, Trace

if TYPE_CHECKING:
    import pandas as pd

Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
Steps: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Points: TypeAlias = "Mapping[str, pd.Series[float]]"  # name -> what was recorded, in the order of the file; the index is the step


def by_step(table: pd.DataFrame, columns: Mapping[str, str] | None, where: object) -> Points:
    """A table with one row per record -> its series by step; None and empty cells were not recorded.

    A table without steps counts its rows from 0. So does one whose steps begin anew with every epoch: they tell no row from another.
    """
    series = {str(name): numbers(table[name]) for name in table.columns}
    series = {name: found for name, found in series.items() if len(found)}
    if not series:
        raise UserFileError(f"{where} is not a log: none of its columns ({names.listed(map(str, table.columns))}) holds a number.")
    name = names.chosen(series, columns, where).get("step")
    if name is None:
        return series
    steps = _whole(series.pop(name), name, where)
    epoch = names.chosen(series, _without_step(columns), where).get("epoch")
    if epoch is not None and _begins_anew(steps, series[epoch]):
        return series
    placed = {other: _at(steps, found) for other, found in series.items()}
    return {other: found for other, found in placed.items() if len(found)}


def trace_of(points: Points, columns: Mapping[str, str] | None, where: object) -> Trace:
    """One row for every step at which a loss was recorded.

    Raises:
        UserFileError: no column is a loss; the message lists those that are there.
    """
    points = {name: _once(found) for name, found in points.items()}
    found = names.chosen(points, _without_step(columns), where)
    if "loss" not in found:
        raise UserFileError(
            f"{where} has no column that is known to be the training loss. Beside the step it has {names.listed(points)}. "
            "Say which one it is: columns={'loss': '...'}, on the command line --columns loss=..."
        )
    steps = points[found["loss"]].index.to_numpy(np.int64)
    known = {column: _laid(points[name], steps, column) for column, name in found.items()}
    if "seconds" in known:
        known["seconds"] = _since_first(known["seconds"])
    missing = np.full(len(steps), np.nan)
    schema = {column: known.get(column, missing) for column in COLUMNS[1:]}
    return Trace({"step": steps} | schema | {name: _laid(points[name], steps, None) for name in _others(points, found)})


def numbers(cells: pd.Series[Any]) -> pd.Series[float]:
    """The cells that hold a number, as text or not, with their places; "NaN" and "inf" are numbers, "None" and "" are not."""
    import pandas as pd  # heavy, and only who reads logs needs it

    text = cells.astype("string").str.strip().str.lower()
    found = pd.to_numeric(text, errors="coerce").astype("Float64")
    kept = (found.notna() | text.isin(["nan", "+nan", "-nan"])).to_numpy(bool, na_value=False)
    return pd.Series(found[kept].to_numpy(np.float64, na_value=np.nan), index=cells.index[kept])


def _whole(found: pd.Series[float], name: str, where: object) -> pd.Series[float]:
    steps = found[np.isfinite(found)]
    odd = steps[(steps != steps.round()) | (steps.abs() > 2**53)]  # beyond it float64 skips whole numbers
    if len(odd):
        raise UserFileError(
            f"The column {name!r} of {where} holds {odd.iloc[0]:g}, which is no index of a step. "
            "Name the column that counts steps with columns={'step': '...'}."
        )
    return steps


def _begins_anew(steps: pd.Series[float], epochs: pd.Series[float]) -> bool:
    """Whether the count falls back where an epoch ends; in a resumed run it falls back within the same epoch or to an earlier one."""
    import pandas as pd  # heavy, and only who reads logs needs it

    both = pd.DataFrame({"step": steps, "epoch": epochs}).dropna()
    return bool(((both["step"].diff() < 0) & (both["epoch"].diff() > 0)).any())


def _at(steps: pd.Series[float], found: pd.Series[float]) -> pd.Series[float]:
    import pandas as pd  # heavy, and only who reads logs needs it

    found = found[found.index.isin(steps.index)]
    return pd.Series(found.to_numpy(), index=steps[found.index].to_numpy(np.int64))


def _once(found: pd.Series[float]) -> pd.Series[float]:
    """In rising order, and of several numbers for a step the last that was written: the one of the resumed run."""
    return found[~found.index.duplicated(keep="last")].sort_index()


def _laid(found: pd.Series[float], steps: Steps, column: str | None) -> Numbers:
    """A series on the rows of the trace; NaN where nothing was recorded."""
    laid = np.full(len(steps), np.nan)
    at, values = found.index.to_numpy(np.int64), found.to_numpy(np.float64)
    row = np.searchsorted(steps, at)  # the row at the step or the next one
    exact = np.isin(at, steps)
    if column == "lr":
        moved = ~exact & (row < len(steps))
        laid[row[moved]] = values[moved]
    elif column in (None, "validation_loss"):
        moved = ~exact & (row > 0)
        laid[row[moved] - 1] = values[moved]
    laid[row[exact]] = values[exact]
    return laid


def _since_first(seconds: Numbers) -> Numbers:
    known = seconds[np.isfinite(seconds)]
    if not len(known):
        return seconds
    # seconds since 1970 reach 1e11 in the year 5138; a larger number counts milli- or microseconds
    unit = 1.0 if known.max() < 1e11 else 1e-3 if known.max() < 1e14 else 1e-6
    since: Numbers = (seconds - known[0]) * unit
    return since


def _others(points: Points, found: Mapping[str, str]) -> list[str]:
    taken = {*found.values(), *COLUMNS}
    return [name for name in points if name not in taken and not names.spoken_for(name)]


def _without_step(columns: Mapping[str, str] | None) -> dict[str, str]:
    return {column: name for column, name in (columns or {}).items() if column != "step"}
