"""The options of a problem.  What was asked for -> a number that makes sense, or the error that says why not."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection
from typing import Any

from surefoot.errors import SettingError


def count(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least ``least``.

    Raises:
        SettingError: it is something else; the message names the option and what was given.

    Example:
        >>> count("points", 100, least=2)
        100
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise SettingError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return int(value)


def number(name: str, value: Any, *, positive: bool = False) -> float:
    """A finite number that is not negative, and not zero either where ``positive``.

    Raises:
        SettingError: it is something else; the message names the option and what was given.

    Example:
        >>> number("noise", 0)
        0.0
    """
    try:
        result = float(value)
    except (TypeError, ValueError):
        result = math.nan
    if not math.isfinite(result) or result < 0 or (positive and result == 0):
        raise SettingError(f"{name} must be a finite number {'above 0' if positive else 'of at least 0'}, got {value!r}.")
    return result


def hint(name: object, known: Collection[str]) -> str:
    """A question after the nearest known name, to go behind an error message; nothing where none is near.

    Example:
        >>> hint("hight", ["height", "weight"])
        " Did you mean 'height'?"
    """
    spelled = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(str(name).lower(), spelled, n=1, cutoff=0.6)
    return f" Did you mean {spelled[near[0]]!r}?" if near else ""


def listed(names: Collection[str], most: int = 20) -> str:
    """The names with commas between, the end of a long list as a count.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    shown = list(names)[:most]
    rest = len(names) - len(shown)
    return ", ".join(map(str, shown)) + (f" and {rest} more" if rest else "")
