"""How is memory said?  a number of bytes, or words such as 2GB -> bytes; and bytes -> words."""

from __future__ import annotations

import math
import numbers
import re
from typing import Any

from surefoot.errors import SettingError

UNITS = {"": 1, "b": 1, **{f"{letter}{ending}": base**power for power, letter in enumerate("kmgt", 1) for ending, base in
         (("", 1024), ("b", 1000), ("ib", 1024))}}  # fmt: skip
WORDS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def bytes_of(memory: Any) -> int | None:
    """Bytes; None stays None.

    Args:
        memory: bytes, or a text of a number and a unit: ``"2GB"`` (10^9 bytes each), ``"512MiB"``, ``"512M"`` (2^20 each).

    Raises:
        SettingError: it is neither, or less than one byte.

    Example:
        >>> bytes_of("2GB"), bytes_of("1.5 GiB"), bytes_of("512M"), bytes_of(4096), bytes_of(None)
        (2000000000, 1610612736, 536870912, 4096, None)
    """
    if memory is None:
        return None
    number, unit = (memory, "") if not isinstance(memory, str) else _words(memory)
    if isinstance(number, bool) or not isinstance(number, numbers.Real) or not 1 <= float(number) * UNITS[unit] < 2**63:
        raise _refused(memory)
    return int(float(number) * UNITS[unit])


def in_words(size: float) -> str:
    """Bytes in a unit that keeps the number readable.

    >>> in_words(3_400_000), in_words(2**31), in_words(float("nan"))
    ('3.24 MiB', '2 GiB', 'an unknown number of bytes')
    """
    if math.isnan(size):
        return "an unknown number of bytes"
    power = min(3, max(1, int(math.log2(max(size, 1))) // 10))
    return f"{size / 2 ** (10 * power):.3g} {('KiB', 'MiB', 'GiB')[power - 1]}"


def _words(memory: str) -> tuple[float, str]:
    found = WORDS.fullmatch(memory)
    if found is None or found[2].lower() not in UNITS:
        raise _refused(memory)
    return float(found[1]), found[2].lower()


def _refused(memory: Any) -> SettingError:
    return SettingError(f"memory must be a number of bytes, or a number and a unit as in '2GB' or '512MiB', got {memory!r}.")
