"""Is this a question?  a frame from a page -> a mapping with a known kind and a number, or why not."""

from __future__ import annotations

import json
from typing import Any

from surefoot.errors import SurefootError

KINDS = (
    "hello", "descend", "surface", "verdict", "rates", "range", "find", "cancel", "download", "table", "runs", "follow", "run",
)  # fmt: skip
STOPPABLE = tuple(kind for kind in KINDS if kind not in ("hello", "cancel", "runs", "follow"))
LARGEST = 8 * 2**20  # bytes of a frame
LARGEST_PLAIN = 2**18  # characters of a question that brings no table
LARGEST_NUMBER = 2**53  # whole numbers up to it are exact in a page too


class NoQuestion(SurefootError):
    """What a page sent is not a question; ``message`` is what it is told."""

    def __init__(self, text: str, field: str | None = None, seq: int | None = None, ask: str | None = None) -> None:
        super().__init__(text)
        self.message = {"kind": "refused", "seq": seq, "ask": ask, "field": field, "text": text}


def question(text: str | bytes | None) -> dict[str, Any]:
    """The question in a frame.

    Raises:
        NoQuestion: it is not JSON, no object, of an unknown kind, too long, or its number, its state or what its kind needs is no such thing.

    Example:
        >>> question('{"ask": "descend", "seq": 1, "state": {"lr": 0.5}}')["state"]
        {'lr': 0.5}
    """
    asked = _object(text)
    seq, ask = asked.get("seq"), asked.get("ask")
    if not _whole(seq):
        raise NoQuestion(f"A question has a whole number named seq, got {_shown(seq)}.", "seq", None, _known(ask))
    if _known(ask) is None:
        raise NoQuestion(f"There is no question {_shown(ask)}. Known: {', '.join(KINDS)}.", "ask", seq)
    if ask != "table" and text is not None and len(text) > LARGEST_PLAIN:
        raise NoQuestion(f"The question has {len(text):,} characters; at most {LARGEST_PLAIN:,} are read.", None, seq, ask)
    if not isinstance(asked.get("state", {}), dict):
        raise NoQuestion(f"The state is an object, got {_shown(asked['state'])}.", "state", seq, ask)
    if why := _lacks(asked):
        raise NoQuestion(why, None, seq, ask)
    return asked


def _object(text: str | bytes | None) -> dict[str, Any]:
    if not isinstance(text, str):
        raise NoQuestion("A question is text, got bytes.")
    try:
        asked = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise NoQuestion(f"A question is JSON; this is not: {str(error)[:100]}.") from error
    if not isinstance(asked, dict):
        raise NoQuestion(f"A question is an object, got {_shown(asked)}.")
    return asked


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


def _known(ask: Any) -> str | None:
    return ask if isinstance(ask, str) and ask in KINDS else None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


def _lacks(asked: dict[str, Any]) -> str | None:
    """What a question of those that this side answers itself needs, and has not."""
    if asked["ask"] == "cancel" and asked.get("what") not in STOPPABLE:
        return f"What is to be cancelled is one of {', '.join(STOPPABLE)}, got {_shown(asked.get('what'))}."
    if asked["ask"] == "runs" and not isinstance(asked.get("on"), bool):
        return f"on is true or false, got {_shown(asked.get('on'))}."
    if asked["ask"] == "follow" and asked.get("run") is not None and not _whole(asked["run"]):
        return f"run is the number of a run, or null, got {_shown(asked['run'])}."
    return None


def _shown(value: Any) -> str:
    """What was seen, short, in characters that any channel takes."""
    try:
        text = ascii(value)
    except RecursionError:
        return "brackets within brackets"
    return text if len(text) <= 60 else f"{text[:57]}..."
