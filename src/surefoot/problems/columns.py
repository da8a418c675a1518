"""The inputs of a table.  Columns of numbers and of text -> one matrix of standardised numbers, and words on what was done."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from surefoot.errors import UserFileError
from surefoot.problems.csv_file import line_of
from surefoot.problems.split import Indices

if TYPE_CHECKING:
    import pandas

Matrix: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

CATEGORIES = 20  # of one column; the rarer ones share one more, so that a column cannot outgrow the table
MISSING, OTHER = "(missing)", "(other)"


@dataclass
class Encoded:
    """The matrix of a table's inputs, in the making.

    Attributes:
        parts: (rows, numbers) per column of the table.
        numeric, categorical: the names of the columns by kind.
        filled, dropped: what was done to a column, in words.
    """

    parts: list[Matrix] = field(default_factory=list)
    numeric: list[str] = field(default_factory=list)
    categorical: list[str] = field(default_factory=list)
    filled: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    @property
    def matrix(self) -> Matrix:
        """(rows, numbers) float32."""
        return np.concatenate(self.parts, axis=1, dtype=np.float32)


def encode(frame: pandas.DataFrame, learn: Indices, categorical: Collection[str], path: Path) -> Encoded:
    """The inputs of a table as numbers.

    - A column of numbers is standardised by the mean and standard deviation of the rows that are learnt from; a missing
      value becomes their median, and a second column says where that was done.
    - A column of text becomes one column of 0 and 1 per category: the 20 most frequent ones, ``(other)`` and ``(missing)``.
    - A column without two different values is dropped, and so is a text that hardly ever repeats: a name, a number, a date.

    Args:
        frame: the columns, without the target.
        learn: the rows that are learnt from.
        categorical: names of the columns whose numbers are to be read as text.
        path: where the table came from, for messages.

    Raises:
        UserFileError: there is text among the numbers of a column, or no column is left.
    """
    result = Encoded()
    for name in frame.columns:
        values = None if name in categorical else numbers(frame[name], path)
        if values is not None:
            _add_numbers(result, str(name), values, learn)
        else:
            _add_categories(result, str(name), frame[name], learn)
    if not result.parts:
        dropped = f": {'; '.join(result.dropped)}" if result.dropped else ""
        raise UserFileError(f"{path} has no column to predict the target from{dropped}. Add one that varies.")
    return result


def numbers(column: pandas.Series[Any], path: Path) -> Matrix | None:
    """The column as float64, with NaN where a value is missing or infinite; None where it is text.

    Raises:
        UserFileError: it is text in places but numbers in at least half of them.
    """
    import pandas

    values = pandas.to_numeric(column, errors="coerce")
    wrong = np.flatnonzero(column.notna() & values.isna())
    if len(wrong) > column.notna().sum() / 2:
        return None
    if len(wrong):
        raise _text_among_numbers(column, wrong, path)
    result = np.array(values, dtype=np.float64)
    result[np.isinf(result)] = np.nan
    return result


def _text_among_numbers(column: pandas.Series[Any], wrong: Any, path: Path) -> UserFileError:
    row = int(column.index[wrong[0]])
    more = f" ({len(wrong) - 1} more like it)" if len(wrong) > 1 else ""
    return UserFileError(
        f"{path}, line {line_of(path, row)}: column {column.name!r} holds numbers, but here {column.loc[row]!r}{more}. "
        f"Correct it, leave the cell empty, or read the column as categories with categorical=[{column.name!r}]."
    )


def _add_numbers(result: Encoded, name: str, values: Matrix, learn: Indices) -> None:
    missing = np.isnan(values)
    known = values[learn][~missing[learn]]
    if not len(known) or known.min() == known.max():
        # a column that says nothing but whether it is there still says that
        if len(known) and missing[learn].any():
            _note_filled(result, name, missing, "whether a value is there is all that the column says")
            result.numeric.append(name)
            result.parts.append(_standardised(missing.astype(np.float64), learn)[:, None])
            return
        result.dropped.append(f"{name!r} (no two different values)")
        return
    median = float(np.median(known))
    parts = [_standardised(np.where(missing, median, values), learn)]
    if missing.any():
        _note_filled(result, name, missing, f"filled with the median {median:.4g}")
    if missing[learn].any():
        parts.append(_standardised(missing.astype(np.float64), learn))
    result.numeric.append(name)
    result.parts.append(np.stack(parts, axis=1))


def _add_categories(result: Encoded, name: str, column: pandas.Series[Any], learn: Indices) -> None:
    missing = column.isna().to_numpy()
    labels = column.astype(str).mask(missing, MISSING) if missing.any() else column.astype(str)
    counts = labels.iloc[learn].value_counts()
    if len(counts) > max(CATEGORIES, len(learn) / 2):
        result.dropped.append(f"{name!r} (text that hardly ever repeats: {len(counts):,} different values)")
        return
    if len(counts) < 2:
        result.dropped.append(f"{name!r} (no two different values)")
        return
    if missing.any():
        _note_filled(result, name, missing, f"a category of their own, {MISSING}")
    kept = sorted(_most_frequent(counts))
    result.categorical.append(
        f"{name} ({len(counts)} categories{f', the {CATEGORIES} most frequent kept' if len(counts) > len(kept) else ''})"
    )
    result.parts.append(_one_hot(labels, kept, rest=len(counts) > len(kept)))


def _most_frequent(counts: pandas.Series[Any]) -> Iterator[str]:
    """The names of the categories that are kept; ties go by name, so that the order of the rows decides nothing."""
    ranked = sorted(counts.items(), key=lambda item: (-int(item[1]), str(item[0])))
    return (str(label) for label, _ in ranked[:CATEGORIES])


def _one_hot(labels: pandas.Series[Any], kept: list[str], rest: bool) -> Matrix:
    """(rows, categories) of 0 and 1; two categories need one column, and a category that was not learnt is all 0."""
    import pandas

    codes = pandas.Index(kept).get_indexer(pandas.Index(labels))  # -1 for any other
    if rest:
        codes = np.where(codes < 0, len(kept), codes)
        kept = [*kept, OTHER]
    shown = range(1, 2) if len(kept) == 2 else range(len(kept))
    return np.stack([codes == code for code in shown], axis=1).astype(np.float32)


def _standardised(values: Matrix, learn: Indices) -> Matrix:
    # by the largest first: the square of 1e200 is no float64
    scaled = values / np.abs(values[learn]).max()
    known = scaled[learn]
    return ((scaled - known.mean()) / known.std()).astype(np.float32)  # type: ignore[no-any-return]


def _note_filled(result: Encoded, name: str, missing: Matrix, how: str) -> None:
    result.filled.append(f"{name!r}: {missing.sum():,} missing {'value' if missing.sum() == 1 else 'values'}, {how}")
