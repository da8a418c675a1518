"""What does the descent look like while it moves?  The page in the browser, in a notebook and in a file: it shows what the library computes."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["Lab"]  # made on first use: the server needs no notebook


def __getattr__(name: str) -> Any:
    if name != "Lab":
        raise AttributeError(f"module 'surefoot.lab' has no attribute {name!r}")
    return importlib.import_module("surefoot.lab.widget").Lab
