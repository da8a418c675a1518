"""What does a link set?  lr=0.3&hide=seed,noise -> plain values by key, as the page reads them too.

In a link a list is separated by commas, a race by semicolons, the settings of a rival by colons: ``race=lr:0.01;lr:0.5,optimizer:adam``.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from surefoot.errors import unknown
from surefoot.lab.state import FIELDS, Refused

_KINDS = {field.key: field.kind for field in FIELDS}


def settings(text: str) -> dict[str, Any]:
    """The values by key; whether they make sense, the state says.

    Args:
        text: ``key=value`` joined by ``&``, values percent-encoded; a ``#`` before it is left out.

    Raises:
        Refused: there is no such key, or no value.

    Example:
        >>> settings("lr=0.3&start=0.5,-1&hide=seed,noise&race=lr:0.01;lr:0.5,optimizer:adam")["race"]
        [{'lr': 0.01}, {'lr': 0.5, 'optimizer': 'adam'}]
    """
    pairs = [pair.partition("=") for pair in text.removeprefix("#").split("&") if pair]
    for key, equals, _ in pairs:
        if not equals:
            raise Refused("", f"A setting is key=value, several are joined by &; got {key!r}.")
        if key not in _KINDS:
            raise Refused("", str(unknown("setting of the lab", key, _KINDS)))
    return {key: _value(_KINDS[key], unquote(value)) for key, _, value in pairs}


def _value(kind: str, text: str) -> Any:
    if kind in ("number", "count"):
        return _number(text)
    if kind == "numbers":
        return [_number(each) for each in text.split(",") if each]
    if kind == "names":
        return [each for each in text.split(",") if each]
    return [_rival(each) for each in text.split(";") if each] if kind == "race" else text


def _rival(text: str) -> dict[str, Any]:
    pairs = [pair.partition(":") for pair in text.split(",")]
    return {key: _value(_KINDS.get(key, "text"), value) for key, _, value in pairs}


def _number(text: str) -> Any:
    """A number where it is one; else the text, which the state refuses with its name."""
    try:
        return float(text)
    except ValueError:
        return text
