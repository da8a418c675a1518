"""How is a time told?  seconds -> words, in the unit that a person would use."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Two digits of a short time, whole units of a longer one.

    >>> duration(0.0123), duration(1.5), duration(90), duration(4000), duration(200000)
    ('0.012 s', '1.5 s', '90 s', '67 min', '56 h')
    """
    if seconds < 10:
        return f"{seconds:.2g} s"
    return f"{seconds:.0f} s" if seconds < 300 else f"{seconds / 60:.0f} min" if seconds < 3 * 3600 else f"{seconds / 3600:.0f} h"
