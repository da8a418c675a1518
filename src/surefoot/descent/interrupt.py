"""Ctrl-C between two steps, never within one.  SIGINT -> a flag, so that weights, random state and rows stay in step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupted:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.pressed = False

    def __bool__(self) -> bool:
        return self.pressed


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[Interrupted]:
    """Inside, the first Ctrl-C only sets the flag; a second one interrupts at once. Handlers are put back afterwards.

    Signals reach the main thread only; elsewhere, and where the user has a handler of their own, nothing is changed.
    """
    interrupted = Interrupted()

    def handler(number: int, frame: FrameType | None) -> None:
        if interrupted.pressed:
            raise KeyboardInterrupt
        interrupted.pressed = True

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupted
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
