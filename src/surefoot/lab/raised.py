"""Whose error is it?  an exception -> whether the user's own code raised it, and its own lines of the traceback."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

OURS = Path(__file__).parent.parent
STANDARD = str(Path(os.__file__).parent)  # the library that Python comes with


def is_theirs(error: BaseException) -> bool:
    """Whether the innermost frame outside of libraries is not ours.

    >>> is_theirs(ValueError("raised nowhere"))
    False
    """
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    outside = [name for name in frames if "site-packages" not in name and not name.startswith(("<", STANDARD))]
    return bool(outside) and not Path(outside[-1]).is_relative_to(OURS)


def own_lines(error: BaseException) -> str:
    """The frames that are not ours, as Python prints them.

    >>> own_lines(ValueError("raised nowhere")).strip()
    'ValueError: raised nowhere'
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not Path(frame.filename).is_relative_to(OURS)]
    return "".join([*traceback.format_list(frames), *traceback.format_exception_only(error)])
