"""A table in a file.  points.csv -> a data frame, or the error that says why it is none."""

from __future__ import annotations

import csv
import itertools
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from surefoot.errors import UserFileError

if TYPE_CHECKING:
    import pandas

WORKBOOK = b"PK\x03\x04"  # what every zip archive begins with, and so every Excel workbook


def read(path: Path) -> pandas.DataFrame:
    """The table in a file of comma-, semicolon- or tab-separated values with names in its first line.

    A semicolon in the first line and no comma there makes the file semicolon-separated; its numbers may then have decimal commas.

    Raises:
        UserFileError: there is no such file, or it holds no table; the message says what was seen and the way out.
    """
    import pandas

    separator, decimal = _dialect(path, _opening(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)  # columns beyond the names would be dropped in silence
            frame = pandas.read_csv(
                path, sep=separator, decimal=decimal, encoding="utf-8-sig", index_col=False, low_memory=False, skipinitialspace=True
            )
    except pandas.errors.EmptyDataError:
        raise UserFileError(f"{path} is empty: a table needs a line of column names and at least two rows.") from None
    except UnicodeDecodeError as error:
        raise _undecodable(path, error) from None
    except (pandas.errors.ParserError, pandas.errors.ParserWarning) as error:
        raise UserFileError(
            f"{path} is not a table that can be read: {_reason(error)}. Every line needs as many values as there are column names."
        ) from error
    frame.columns = frame.columns.str.strip()
    _check_names(path, list(frame.columns))
    return _without_row_numbers(frame)


def line_of(path: Path, row: int) -> int:
    """The line of the file, from 1, on which a row of its table ends: quoted line breaks and empty lines counted.

    Args:
        path: a file that `read` could read.
        row: index of the row, from 0.
    """
    separator, _ = _dialect(path, _opening(path))
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
        filled = (reader.line_num for values in reader if values)
        return next(itertools.islice(filled, row + 1, None))


def _opening(path: Path) -> str:
    """The first two lines, once they are known to be text."""
    try:
        with path.open("rb") as file:
            block = file.read(2**16)
    except FileNotFoundError:
        raise UserFileError(
            f"There is no file {path}. Check the name and the folder; the current folder is {Path.cwd()}."
        ) from None
    except OSError as error:
        raise UserFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not block.strip():
        raise UserFileError(f"{path} is empty: a table needs a line of column names and at least two rows.")
    if block.startswith(WORKBOOK):
        raise UserFileError(f"{path} is an Excel workbook or a zip archive, not a CSV. Save the sheet as 'CSV UTF-8'.")
    if b"\0" in block:
        raise UserFileError(f"{path} is not a CSV: it holds binary data (or text in UTF-16). Save the table as 'CSV UTF-8'.")
    if re.match(rb"\s*<(!doctype|html|\?xml)", block, re.IGNORECASE):
        raise UserFileError(f"{path} is not a CSV but a web page. Download the raw file instead.")
    return "\n".join(block.decode("utf-8-sig", errors="replace").splitlines()[:2])


def _dialect(path: Path, opening: str) -> tuple[str, str]:
    """The separator and the decimal mark."""
    names = opening.partition("\n")[0]
    if path.suffix.lower() == ".tsv" or ("\t" in names and "," not in names):
        return "\t", "."
    if ";" in names and "," not in names:
        return ";", "," if re.search(r"\d,\d", opening) else "."
    return ",", "."


def _undecodable(path: Path, error: UnicodeDecodeError) -> UserFileError:
    wrong = error.object[error.start]
    return UserFileError(
        f"{path} is not text in UTF-8: it holds the byte 0x{wrong:02x} where none can be. Save the table as 'CSV UTF-8'."
    )


def _reason(error: Exception) -> str:
    """Pandas' own words, without the name of the parser."""
    if isinstance(error, Warning):
        return "the rows hold more values than there are column names"
    return str(error).strip().splitlines()[-1].removeprefix("Error tokenizing data. C error: ").rstrip(".")


def _check_names(path: Path, names: list[str]) -> None:
    # pandas makes equal names different by a suffix: 1.5 and 1.5.1
    if all(re.fullmatch(r"[-+]?\d+(\.\d*){0,2}(e[-+]?\d+)?", name, re.IGNORECASE) for name in names):
        raise UserFileError(
            f"The first line of {path} holds numbers ({', '.join(names[:4])}), not names. Add a line of column names above it."
        )


def _without_row_numbers(frame: pandas.DataFrame) -> pandas.DataFrame:
    """Without the nameless first column of row numbers that data frames and R write beside a table."""
    first = frame.columns[0]
    numbers = frame[first]
    if len(frame) and str(first).startswith("Unnamed: 0") and numbers.dtype.kind == "i" and (numbers.diff().iloc[1:] == 1).all():
        return frame.drop(columns=first)
    return frame
