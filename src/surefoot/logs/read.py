"""The log of another tool as a trace.  A file or a folder -> `Trace`, one row per step at which a loss was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from surefoot.errors import UserFileError
from surefoot.logs import csv_log, json_log, tensorboard
from surefoot.logs.points import Points, by_step, trace_of
from surefoot.trace import Trace

KNOWN = (
    "a CSV with names in its first line, Lightning's metrics.csv, Hugging Face's trainer_state.json, a CSV or JSON export of Weights & Biases, "
    "a TensorBoard event file (*tfevents*), or a folder with one of them"
)
_PATTERNS = ("trainer_state.json", "*.csv", "*.jsonl", f"*{tensorboard.KIND}*")
_BINARY = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a zip archive or a workbook",
    b"\x1f\x8b": "a gzip archive",
    b"SQLite": "a database",
}


def read_log(path: str | Path, *, columns: Mapping[str, str] | None = None) -> Trace:
    r"""What another tool recorded, as far as it is there.

    The format is told by what the file holds, not by its name. Columns of the schema that the log lacks are NaN; its other numbers become
    columns under their own names. Records of one step are merged, sorted by step, and of two numbers for one step the one written later is
    taken. Rows are the steps at which a loss was recorded; a learning rate recorded between two of them goes to the next, a validation loss to
    the one before. A log without steps, or whose steps begin anew with every epoch, counts its rows from 0. ``seconds`` counts from the first
    row. ``epoch`` and ``step`` stay as the tool counted them.

    Args:
        path: a log, or a folder with exactly one: ``lightning_logs/version_3``, a checkpoint with ``trainer_state.json``, a run of TensorBoard.
        columns: column of the trace -> name in the log, where the names that are known (`surefoot.logs.names`) do not fit: ``{"loss": "my_loss"}``.

    Raises:
        UserFileError: there is no such file, it is no log, or no column in it is known to be a loss.
        SettingError: ``columns`` names no column of a trace, or TensorBoard is needed and not installed (extra ``logs``).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = Path(folder) / "metrics.csv"
        ...     _ = log.write_text("epoch,lr,step,train_loss,val_loss\n0,0.1,0,4.0,\n0,0.1,10,1.0,\n0,,10,,1.5\n")
        ...     trace = read_log(folder)
        >>> trace["step"].tolist(), trace["loss"].tolist(), trace["validation_loss"].tolist()
        ([0, 10], [4.0, 1.0], [nan, 1.5])
    """
    path = Path(path).expanduser()
    path = _log_in(path) if path.is_dir() else path
    return trace_of(_points(path, columns), columns, path)


def _points(path: Path, columns: Mapping[str, str] | None) -> Points:
    if path.is_dir():
        return tensorboard.points(path)
    opening = _opening(path)
    if tensorboard.MARK in opening[:64]:
        return tensorboard.points(path)
    _check_text(path, opening)
    is_json = opening.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"["))
    return by_step(json_log.table(path) if is_json else csv_log.table(path), columns, path)


def _log_in(folder: Path) -> Path:
    """The one log in a folder, or else the one in its folders two levels down; a run's event files are one log: their folder."""
    for below in ("", "*/", "*/*/"):
        files = {file for pattern in _PATTERNS for file in folder.glob(below + pattern) if file.is_file()}
        logs = sorted({file.parent if tensorboard.KIND in file.name else file for file in files})
        if len(logs) == 1:
            return logs[0]
        if logs:
            shown = ", ".join(str(log.relative_to(folder)) for log in logs[:6]) + (" and more" if len(logs) > 6 else "")
            raise UserFileError(f"{folder} holds {len(logs)} logs; a trace is one run. Name one of them: {shown}.")
    raise UserFileError(f"There is no log in the folder {folder}. Looked for {', '.join(_PATTERNS)} in it and in its folders.")


def _opening(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            opening = file.read(2**16)
    except FileNotFoundError:
        raise UserFileError(
            f"There is no file {path}. Check the name and the folder; the current folder is {Path.cwd()}."
        ) from None
    except OSError as error:
        raise UserFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not opening.strip():
        raise UserFileError(f"{path} is empty: nothing was recorded yet. A log is {KNOWN}.")
    return opening


def _check_text(path: Path, opening: bytes) -> None:
    binary = next((kind for mark, kind in _BINARY.items() if opening.startswith(mark)), "binary data" if b"\0" in opening else None)
    if binary:
        raise UserFileError(f"{path} is not a log but {binary}. A log is {KNOWN}.")
