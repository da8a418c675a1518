"""The table every question is asked of.  Rows of a descent -> columns of numbers.

Schema 1, one row per step.  Moments: *before* is after the gradient and before the update, *after* is after the update.

===============  =======  ======  ==============================================================================
column           dtype    moment  meaning
===============  =======  ======  ==============================================================================
step             int64    before  index of the step, from 0; goes on counting when a run is continued
epoch            float64  before  passes through the data so far
lr               float64  before  learning rate of the first parameter group, the schedule applied
loss             float64  before  what the loss function returned on this step's batch
grad_norm        float64  before  l2 norm of the gradient, before clipping
weight_norm      float64  before  l2 norm of the trainable weights
update_norm      float64  after   l2 norm of the actual change of the weights
validation_loss  float64  after   mean loss on the validation data; NaN where it was not measured
seconds          float64  after   wall time since the start
===============  =======  ======  ==============================================================================

One more float64 column per probe.  Everything is raw: smoothing is an analysis and is never stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, overload

import numpy as np

from surefoot import html

if TYPE_CHECKING:
    import pandas

SCHEMA = 1
Column: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

_NO_PROBES: Mapping[str, float] = {}


class Row(NamedTuple):
    """One step of a descent; the fields are the columns of the schema above."""

    step: int
    epoch: float
    lr: float
    loss: float
    grad_norm: float
    update_norm: float
    weight_norm: float
    validation_loss: float
    seconds: float
    probes: Mapping[str, float] = _NO_PROBES

    def _repr_html_(self) -> str:
        return html.table(f"step {self.step:,}", [*zip(COLUMNS[1:], self[1:-1], strict=True), *self.probes.items()])


COLUMNS = Row._fields[:-1]


class Trace:
    """What happened at every step: named columns of equal length.

    ``trace["loss"]`` is a 1-D float64 array that cannot be written to, ``trace[10:20]`` a trace, ``trace[-1]`` a `Row`.
    Two traces are equal when every column but ``seconds`` is, bit for bit (NaN equals NaN): wall time is not
    something a descent computes.

    Args:
        columns: the columns of the schema, each of shape ``(steps,)``, and any number of probes.

    Raises:
        ValueError: a column of the schema is missing, or the lengths differ.

    Example:
        >>> rows = [Row(step, 0.0, 0.1, 2.0**-step, 1.0, 0.1, 1.0, float("nan"), 0.0) for step in range(4)]
        >>> trace = Trace.of(rows)
        >>> trace["loss"].tolist(), len(trace[1:]), trace[-1].step
        ([1.0, 0.5, 0.25, 0.125], 3, 3)
    """

    __slots__ = ("_columns",)

    def __init__(self, columns: Mapping[str, Any]) -> None:
        missing = [name for name in COLUMNS if name not in columns]
        if missing:
            raise ValueError(f"A trace needs the columns {', '.join(COLUMNS)}; {', '.join(missing)} missing.")
        self._columns = {name: _column(name, values) for name, values in columns.items()}
        lengths = {name: len(values) for name, values in self._columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"The columns of a trace have one length, got {lengths}.")

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Trace:
        """The trace of these rows, in their order; a probe that a row lacks is NaN there."""
        rows = list(rows)
        fields = zip(*rows, strict=True) if rows else ((),) * len(Row._fields)
        columns: dict[str, Any] = dict(zip(Row._fields, fields, strict=True))
        del columns["probes"]
        probes = dict.fromkeys(name for row in rows for name in row.probes)
        for name in probes:
            columns[name] = [row.probes.get(name, np.nan) for row in rows]
        return cls(columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns: those of the schema, then the probes."""
        return tuple(self._columns)

    @property
    def probes(self) -> tuple[str, ...]:
        """The names of the probes' columns."""
        return tuple(name for name in self._columns if name not in COLUMNS)

    @property
    def finite(self) -> Trace:
        """The rows before the first loss that is not a finite number."""
        broken = np.flatnonzero(~np.isfinite(self["loss"]))
        return self[: int(broken[0])] if len(broken) else self

    def to_pandas(self) -> pandas.DataFrame:
        """The same table as a data frame, one column per column."""
        import pandas  # heavy, and only some users need it

        return pandas.DataFrame({name: values.copy() for name, values in self._columns.items()})

    def __len__(self) -> int:
        return len(self._columns["step"])

    @overload
    def __getitem__(self, key: str) -> Column: ...
    @overload
    def __getitem__(self, key: int) -> Row: ...
    @overload
    def __getitem__(self, key: slice) -> Trace: ...
    def __getitem__(self, key: str | int | slice) -> Column | Row | Trace:
        if isinstance(key, str):
            if key not in self._columns:
                raise KeyError(f"no column {key!r}; this trace has {', '.join(self._columns)}")
            return self._columns[key]
        if isinstance(key, slice):
            return Trace({name: values[key] for name, values in self._columns.items()})
        return self._row(int(key))

    def __iter__(self) -> Iterator[Row]:
        return (self._row(index) for index in range(len(self)))

    def __add__(self, later: Trace) -> Trace:
        if not isinstance(later, Trace):
            return NotImplemented
        names = dict.fromkeys((*self.columns, *later.columns))
        return Trace({name: np.concatenate([self._or_nan(name), later._or_nan(name)]) for name in names})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        return set(self.columns) == set(other.columns) and all(
            np.array_equal(self[name], other[name], equal_nan=name != "step") for name in self.columns if name != "seconds"
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        probes = f", probes {', '.join(self.probes)}" if self.probes else ""
        return f"<Trace of {len(self)} steps{probes}>"

    def __str__(self) -> str:
        """About a dozen rows of the table, spread evenly from the first to the last."""
        if not len(self):
            return "an empty trace"
        shown = [name for name in self.columns if not np.isnan(self[name]).all()]
        picked = np.unique(np.linspace(0, len(self) - 1, 12).round().astype(int))
        lines = ["".join(f"{name:>16}" for name in shown)]
        lines += ["".join(f"{_cell(self[name][index]):>16}" for name in shown) for index in picked]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The first and the last three rows in the columns of the schema."""
        probes = f"and the probes {', '.join(self.probes)}" if self.probes else ""
        return html.grid(COLUMNS, self, f"{len(self):,} step{'s' * (len(self) != 1)}", lambda row: row[:-1], ends=3, notes=[probes])

    def _row(self, index: int) -> Row:
        probes = {name: float(self._columns[name][index]) for name in self.probes}
        step, *rest = (self._columns[name][index] for name in COLUMNS)
        return Row(int(step), *map(float, rest), probes or _NO_PROBES)  # type: ignore[arg-type, call-arg]

    def _or_nan(self, name: str) -> Column:
        return self._columns.get(name, np.full(len(self), np.nan))


def _column(name: str, values: Any) -> Column:
    column = np.array(values, dtype=np.int64 if name == "step" else np.float64)
    if column.ndim != 1:
        raise ValueError(f"A column of a trace is 1-D, got {name!r} of shape {column.shape}.")
    column.setflags(write=False)
    return column


def _cell(value: Any) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"
