"""What goes in and out as a file?  runs -> a picture, an animation or a table to keep; a dropped table -> its columns.

A table that comes in is text that pandas reads: nothing in it is evaluated, and a cell that looks like a formula is a text like any other.
"""

from __future__ import annotations

import base64
import io
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas

from surefoot.errors import SettingError, unknown
from surefoot.figures.animate import animate
from surefoot.figures.matplotlib import plot
from surefoot.lab.chosen import Table, count_of
from surefoot.lab.panes import slice_of
from surefoot.lab.state import Refused
from surefoot.problem import Problem
from surefoot.run import Run
from surefoot.surfaces.surface import landscape

MOST_BYTES = 5_000_000  # of a dropped table
MOST_COLUMNS = 500
MIME = {"png": "image/png", "svg": "image/svg+xml", "gif": "image/gif", "csv": "text/csv"}
PANES = ("loss", "fit", "landscape", "3d", "map", "rate")
FRAMES = 60  # of an animation: some seconds to make
DPI = 150


def file(what: str, pane: str, runs: Sequence[Run], spread: Sequence[Run], problem: Problem) -> dict[str, Any]:
    """A pane as a file.

    Args:
        what: ``"png"``, ``"svg"``, ``"gif"``, or ``"csv"``: the rows of all racers.
        pane: which picture: ``"loss"``, ``"fit"``, ``"landscape"``, ``"3d"``, ``"map"`` or ``"rate"``.
        runs: the racers.
        spread: descents at many rates, for ``"map"`` and ``"rate"``.
        problem: what they descended.

    Returns:
        ``name``, ``mime`` and ``base64``.

    Raises:
        Refused: there is no such file.
        SettingError: the problem has no such picture.
    """
    if what not in MIME:
        raise Refused("", str(unknown("kind of file", what, MIME)))
    if what == "csv":
        return _packed(f"{_stem(problem)}.csv", what, _rows(runs).to_csv(index=False).encode())
    if pane not in PANES:
        raise Refused("", str(unknown("picture", pane, PANES)))
    answer = _answer(pane, runs, spread, problem)
    made = _moving(answer, pane, problem) if what == "gif" else _still(answer, pane, problem, what)
    return _packed(f"{_stem(problem)}-{pane}.{what}", what, made)


def table(name: Any, text: Any) -> tuple[Table, dict[str, Any]]:
    """A table that was dropped on the page, put aside for `problems.load`, and what the page says about it.

    Args:
        name: of the file, of which only the ending counts.
        text: all of it.

    Returns:
        Where it lies (until the `Table` is forgotten), and what the page is told: ``name``, ``rows``, ``columns``, ``target`` (the last
        column that can be predicted) and ``note``.

    Raises:
        Refused: it is too large or no table; the message says what it is.
    """
    if not isinstance(text, str) or not isinstance(name, str):
        raise Refused("problem", "A table comes as a text with a name.")
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        raise Refused("problem", f"{_safe(name)} has more than {MOST_BYTES / 1e6:g} MB, which is more than a page should carry: "
                                 "surefoot lab points.csv --target y takes tables of any size.")  # fmt: skip
    separator = "\t" if name.lower().endswith(".tsv") else ","
    frame = _frame(_safe(name), text, separator)
    columns = [_column(str(title), frame[title]) for title in frame.columns]
    usable = [column["name"] for column in columns if column["usable"]]
    if not usable:
        raise Refused("problem", f"{_safe(name)} has no column that could be predicted: every one is empty or always the same.")
    return _put_aside(text, name), {
        "name": _safe(name), "rows": len(frame), "columns": columns, "target": usable[-1],
        "note": f"{len(frame):,} rows, {len(columns):,} columns; read as numbers and texts, nothing in it is evaluated",
    }  # fmt: skip


def _frame(name: str, text: str, separator: str) -> pandas.DataFrame:
    try:
        frame = pandas.read_csv(io.StringIO(text), sep=separator)
    except (ValueError, pandas.errors.ParserError) as error:
        why = (str(error).splitlines() or ["it is empty"])[0]
        raise Refused("problem", f"{name} cannot be read as a table: {why}.") from error
    if len(frame) < 2 or not 2 <= len(frame.columns) <= MOST_COLUMNS:
        seen = f"{name} has {len(frame):,} row{'s' * (len(frame) != 1)} and {len(frame.columns):,} column{'s' * (len(frame.columns) != 1)}"
        needed = f"two rows and 2 to {MOST_COLUMNS} columns, one to predict and others to predict it from"
        raise Refused("problem", f"{seen}; needed are {needed}. Columns lie between commas, in a .tsv between tabs.")
    return frame


def _answer(pane: str, runs: Sequence[Run], spread: Sequence[Run], problem: Problem) -> Any:
    if pane in ("map", "rate"):
        return list(spread)
    if pane in ("landscape", "3d"):
        return landscape(problem, list(runs), progress=False, **({} if count_of(problem) <= 2 else slice_of(problem)))
    return runs[0] if len(runs) == 1 or pane == "fit" else list(runs)


def _still(answer: Any, kind: str, problem: Problem, what: str) -> bytes:
    figure: Any = plot(answer, kind=kind, problem=problem).figure
    held = io.BytesIO()
    figure.savefig(held, format=what, dpi=DPI)
    return held.getvalue()


def _moving(answer: Any, kind: str, problem: Problem) -> bytes:
    if kind in ("map", "rate"):
        raise SettingError("This picture does not move; take it as png or svg.")
    return animate(answer, kind=kind, problem=problem, most=FRAMES).data


def _rows(runs: Sequence[Run]) -> pandas.DataFrame:
    """The rows of all racers, one below the other, with the number of the racer before them."""
    if len(runs) == 1:
        return runs[0].trace.to_pandas()
    return pandas.concat([run.trace.to_pandas().assign(racer=place + 1) for place, run in enumerate(runs)])


def _packed(name: str, what: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "mime": MIME[what], "base64": base64.b64encode(content).decode()}


def _stem(problem: Problem) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in problem.called)[:60] or "descent"


def _put_aside(text: str, name: str) -> Table:
    folder = tempfile.mkdtemp(prefix="surefoot-lab-")
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in Path(_safe(name)).stem)[:60] or "points"
    path = Path(folder) / f"{stem}.{'tsv' if name.lower().endswith('.tsv') else 'csv'}"
    path.write_text(text, encoding="utf-8", errors="replace")
    made = Table(str(path), path.name)
    weakref.finalize(made, _delete, path)
    return made


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.rmdir()


def _column(title: str, values: Any) -> dict[str, Any]:
    numeric = pandas.api.types.is_numeric_dtype(values)
    return {"name": title[:100], "kind": "number" if numeric else "text", "usable": bool(values.nunique() > 1)}


def _safe(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1][:80] or "the table"
