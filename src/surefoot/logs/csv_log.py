"""A log in a CSV file.  Lines of comma-, semicolon- or tab-separated values -> a table of text.

Lightning's ``CSVLogger`` writes ``metrics.csv`` with a column per metric, training and validation in lines of their own, and leaves cells empty
(lightning/fabric/loggers/csv_logs.py, 2.6). A chart of Weights & Biases is exported with columns ``Step``, ``<run> - train/loss`` and the
bounds ``...__MIN`` and ``...__MAX``; a history with ``_step``, ``_runtime``, ``_timestamp`` and the metrics. Keras' ``CSVLogger`` has ``epoch``.
"""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from surefoot.errors import UserFileError
from surefoot.logs import names

if TYPE_CHECKING:
    import pandas as pd


def table(path: Path) -> pd.DataFrame:
    """Every cell as the text that is there, so that a written NaN is told from an empty cell.

    Raises:
        UserFileError: the file is no table with names in its first line.
    """
    import pandas as pd  # heavy, and only who reads logs needs it

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            separator = max(",;\t", key=first.count)
            heads = [name.strip() for name in next(csv.reader([first], delimiter=separator))]
            _check(path, heads)
            frame = _read(file, separator, len(heads))
    except UnicodeDecodeError:
        raise UserFileError(f"{path} is not a log: it is neither text in UTF-8 nor a TensorBoard event file.") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise UserFileError(
            f"{path} is not a table that can be read: {_reason(error)}. It has {len(heads)} column names: {names.listed(heads)}."
        ) from error
    except csv.Error as error:
        raise UserFileError(f"{path} is not a table that can be read: {error}.") from error
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    if not len(frame):
        raise UserFileError(f"{path} has column names ({names.listed(heads)}) but no rows: nothing was recorded yet.")
    frame.columns = pd.Index(heads)
    if separator == ";":  # where it separates, the comma is the decimal mark
        frame = frame.replace(",", ".", regex=True)
    return _of_one_run(frame.loc[:, ~frame.columns.duplicated()], path)


def _read(file: TextIO, separator: str, width: int) -> pd.DataFrame:
    import pandas as pd  # heavy, and only who reads logs needs it

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # values beyond the names would be dropped in silence
        return pd.read_csv(
            file, sep=separator, header=None, names=list(range(width)), dtype=str, keep_default_na=False, index_col=False
        )


def _reason(error: Exception) -> str:
    """Pandas' own words, without the name of the parser."""
    if isinstance(error, Warning):
        return "the lines hold more values than there are column names"
    return str(error).strip().splitlines()[-1].removeprefix("Error tokenizing data. C error: ").rstrip(".")


def _check(path: Path, heads: list[str]) -> None:
    if all(_is_number(name) for name in heads):
        raise UserFileError(
            f"The first line of {path} holds numbers ({names.listed(heads)}), not names. Add a line of column names above it."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _of_one_run(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A chart's export without the names of its run and without the bounds of what was averaged."""
    frame = frame.loc[:, ~frame.columns.str.contains(r"__(?:MIN|MAX)$")]
    runs = dict.fromkeys(name.rpartition(" - ")[0] for name in frame.columns if " - " in name)
    if len(runs) > 1:
        raise UserFileError(
            f"{path} holds {len(runs)} runs ({names.listed(runs)}); a trace is one run. Export the chart with a single run, "
            "or keep only the columns of one."
        )
    return frame.rename(columns={name: name.rpartition(" - ")[2] for name in frame.columns})
