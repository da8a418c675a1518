"""How does a value look in a notebook?  names, numbers and words -> a small table in HTML, everything escaped.

Colours and fonts are the notebook's own, light or dark: text inherits, lines are the text's colour, faintly. What is long is shortened in the
middle, and a row says how much is left out, so that no value is higher than a screen.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any, Protocol

DIGITS = 5  # significant ones
ENDS = 6  # rows at each end of a longer table
LONGEST = 400  # characters of a text
COORDINATES = 6  # of a point

# Notebooks have rules of their own for th and td (right-aligned, no lines, large padding), so each cell carries its style.
_LINE = "1px solid color-mix(in srgb,currentColor 22%,transparent)"
_TOP = "border:0;background:none"
_ROW = f"{_TOP};border-top:{_LINE}"
_CELL = "padding:2px 18px 2px 0;border:0;vertical-align:top;"
_BOX = "margin:0 0 10px 0;max-width:66em;overflow-x:auto;line-height:1.35"
_TABLE = "border-collapse:collapse;border:0;margin:2px 0;color:inherit;background:none;font-variant-numeric:tabular-nums"
_FAINT = "opacity:.75"
# Neither XML nor a notebook's channel takes control characters and half surrogates.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Rows(Protocol):
    """Anything with a length and a place for each row."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> Any: ...


def table(title: str, rows: Iterable[tuple[str, Any]], notes: Iterable[str] = ()) -> str:
    """Names and their values.

    Args:
        title: stands above, in bold.
        rows: pairs of a name and a number, a text or None (an empty cell).
        notes: sentences that stand below; empty ones are left out.

    Returns:
        A fragment of HTML, well-formed as XML too.

    Example:
        >>> "<td" in table("a bowl", [("weights", 2)]), "&lt;b&gt;" in table("<b>", [])
        (True, True)
    """
    pairs = list(rows)
    align = _align(all(_is_number(value) for _, value in pairs))
    first, left_out, last = _ends(pairs, 2 * ENDS)
    lines = [_named(name, value, align) for name, value in (*first, *last)]
    if left_out:
        lines.insert(len(first), _gap(left_out, 2))
    return _boxed(title, "<tbody>" + "".join(lines) + "</tbody>", notes)


def grid(
    columns: Sequence[str],
    rows: Rows,
    caption: str = "",
    cells: Callable[[Any], Iterable[Any]] = list,
    *,
    ends: int = ENDS,
    notes: Iterable[str] = (),
) -> str:
    """Rows under named columns; of many rows the first and the last ones.

    Args:
        columns: their names.
        rows: of any kind; only those shown are asked for.
        caption: stands above, in bold.
        cells: what a row has in the columns: numbers, texts or None (an empty cell).
        ends: rows shown at each end, where there are more than twice as many.
        notes: sentences that stand below; empty ones are left out.

    Returns:
        A fragment of HTML, well-formed as XML too.

    Example:
        >>> text = grid(["step"], range(1000), cells=lambda step: [step], ends=1)
        >>> "998 more" in text, ">1</td>" in text, ">999</td>" in text
        (True, False, True)
    """
    first, left_out, last = _ends(rows, ends)
    shown = [list(cells(row)) for row in (*first, *last)]
    align = [_align(any(_is_number(row[place]) for row in shown)) for place in range(len(columns))]
    lines = [_row("".join(map(_cell, row, align))) for row in shown]
    if left_out:
        lines.insert(len(first), _gap(left_out, len(columns)))
    head = "".join(map(_column, columns, align))
    return _boxed(caption, f"<thead style='border:0'><tr style='{_TOP}'>{head}</tr></thead><tbody>{''.join(lines)}</tbody>", notes)


def number(value: Any) -> str:
    """A number as a cell shows it: counts in full, others to five digits.

    Example:
        >>> number(12345), number(0.0316227766), number(float("nan")), number(float("-inf"))
        ('12,345', '0.031623', 'NaN', '-inf')
    """
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    return "NaN" if math.isnan(value) else f"{float(value):.{DIGITS}g}"


def point(values: Sequence[float]) -> str:
    """Coordinates in one cell; of many the first ones, and how many there are.

    Example:
        >>> point((0.5, -1.0)), point([0.0] * 1000)
        ('0.5, -1', '0, 0, 0, 0, 0, 0, ... (1,000 values)')
    """
    shown = ", ".join(number(float(value)) for value in values[:COORDINATES])
    return shown if len(values) <= COORDINATES else f"{shown}, ... ({len(values):,} values)"


def _boxed(title: str, inside: str, notes: Iterable[str]) -> str:
    above = f'<div style="font-weight:bold;overflow-wrap:anywhere">{_text(title)}</div>' if title else ""
    below = "".join(f'<div style="font-size:.86em;{_FAINT}">{_text(note)}</div>' for note in notes if note)
    return f'<div style="{_BOX}">{above}<table style="{_TABLE}">{inside}</table>{below}</div>'


def _column(name: str, align: str) -> str:
    return f'<th scope="col" style="{_CELL}{align};font-weight:normal;{_FAINT}">{_text(name)}</th>'


def _named(name: str, value: Any, align: str) -> str:
    head = f'<th scope="row" style="{_CELL}text-align:left;font-weight:normal;white-space:nowrap;{_FAINT}">{_text(name)}</th>'
    return _row(head + _cell(value, align))


def _row(cells: str) -> str:
    return f'<tr style="{_ROW}">{cells}</tr>'


def _cell(value: Any, align: str) -> str:
    return f'<td style="{_CELL}{align}">{number(value) if _is_number(value) else _text(value)}</td>'


def _gap(left_out: int, columns: int) -> str:
    return _row(f'<td colspan="{columns}" style="{_CELL}text-align:center;{_FAINT}">\u2026 {left_out:,} more \u2026</td>')


def _ends(rows: Rows, ends: int) -> tuple[list[Any], int, list[Any]]:
    """The first rows, how many are left out, the last rows; never one alone is left out, its place would be taken by saying so."""
    count = len(rows)
    if count <= 2 * ends + 1:
        return [rows[place] for place in range(count)], 0, []
    return [rows[place] for place in range(ends)], count - 2 * ends, [rows[place] for place in range(count - ends, count)]


def _align(right: bool) -> str:
    return "text-align:right;white-space:nowrap" if right else "text-align:left"


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _text(value: Any) -> str:
    text = "" if value is None else str(value)
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]} \u2026 {len(text) - 2 * half:,} characters more \u2026 {text[-half:]}"
    return escape(_UNPRINTABLE.sub("\ufffd", text))
