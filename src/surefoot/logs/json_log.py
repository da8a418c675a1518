"""A log in a JSON file.  Records, lines of records or columns -> a table.

The Trainer of Hugging Face keeps in ``trainer_state.json`` a list ``log_history`` of records with ``step``, ``epoch`` and either ``loss``,
``learning_rate`` and ``grad_norm`` or ``eval_loss`` (transformers/trainer_callback.py, ``TrainerState``). A history of Weights & Biases
(``run.scan_history()``, ``run.history(pandas=False)``) is a list of records with ``_step``, ``_runtime`` and ``_timestamp``, in which null is
what a record lacks and NaN is NaN or "NaN"; its data frame is written by ``to_json`` as columns, its tables as ``columns`` and ``data``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surefoot.errors import UserFileError

if TYPE_CHECKING:
    import pandas as pd


def table(path: Path) -> pd.DataFrame:
    """One row per record; None where a record lacks a name.

    Raises:
        UserFileError: the file is no JSON, or its JSON holds no records.
    """
    import pandas as pd  # heavy, and only who reads logs needs it

    try:
        found = _parsed(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise UserFileError(f"{path} is not a log: it is not text in UTF-8.") from None
    except json.JSONDecodeError as error:
        raise UserFileError(
            f"{path} is not JSON that can be read: line {error.lineno}, {error.msg}. Was the file cut off?"
        ) from None
    records = _records(found)
    if records is None:
        raise UserFileError(
            f"{path} is JSON but not a log: {_seen(found)}. Looked for a list 'log_history' (Hugging Face's trainer_state.json), "
            "a list of records, or columns of numbers (an export of Weights & Biases)."
        )
    if not records:
        raise UserFileError(f"{path} is a log without a record: nothing was recorded yet.")
    heads = dict.fromkeys(name for record in records for name in record)
    return pd.DataFrame({name: pd.Series([_cell(record.get(name)) for record in records], dtype=object) for name in heads})


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith("{") for line in lines):
            raise
    try:
        return [json.loads(line) for line in lines[:-1]] + _last(lines[-1])
    except json.JSONDecodeError as error:
        raise json.JSONDecodeError(error.msg, text, text.find(error.doc)) from None


def _last(line: str) -> list[Any]:
    """The last line, unless the tool is still writing it."""
    try:
        return [json.loads(line)]
    except json.JSONDecodeError:
        return []


def _records(found: Any) -> list[dict[str, Any]] | None:
    if isinstance(found, list):
        return found if all(isinstance(record, dict) for record in found) else None
    if not isinstance(found, dict):
        return None
    if "log_history" in found:
        return _records(found["log_history"])
    heads, rows = found.get("columns"), found.get("data")
    if isinstance(heads, list) and isinstance(rows, list) and all(isinstance(row, list) for row in rows):
        return [dict(zip(map(str, heads), row, strict=False)) for row in rows]
    return _of_columns({name: column for name, column in found.items() if isinstance(column, dict | list)})


def _of_columns(columns: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Records from {name: [numbers]} or {name: {row: number}}, as data frames are written."""
    keyed = {name: column if isinstance(column, dict) else dict(enumerate(column)) for name, column in columns.items()}
    if not keyed or not all(
        isinstance(_cell(value), int | float | str | None) for column in keyed.values() for value in column.values()
    ):
        return None
    rows = dict.fromkeys(row for column in keyed.values() for row in column)
    return [{name: column[row] for name, column in keyed.items() if row in column} for row in rows]


def _cell(value: Any) -> Any:
    """Text, a number or None; a NaN as text, since pandas takes the number for a missing one."""
    if isinstance(value, dict | list | bool):
        return None
    return "nan" if value != value else value  # only NaN differs from itself


def _seen(found: Any) -> str:
    if isinstance(found, dict):
        return f"an object with {', '.join(map(repr, list(found)[:6])) or 'nothing in it'}"
    return f"a {type(found).__name__}" + (f" of {len(found)}" if isinstance(found, list | str) else "")
