"""What waits to be sent to a page?  messages from any thread -> frames in their order, bounded also for a page that does not read."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Hashable
from typing import Any

from surefoot.lab.wire import packed

HELD = 64  # unsent frames from which on no more questions of the page are read
MOST = 256 * 2**20  # bytes of unsent frames from which on the page is given up


class Outbox:
    """The unsent frames of one page.

    Of what only tells how things stand (live runs, progress, parts of a descent) the newest is kept.

    Args:
        loop: the event loop in which the frames are sent.
        most: bytes; above it everything is dropped and `full` is true.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int = MOST) -> None:
        self.full = False
        self._loop, self._most = loop, most
        self._lock = threading.Lock()
        self._frames: dict[Hashable, bytes] = {}
        self._bytes = self._count = 0
        self._closed = False
        self._some, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._frames)

    def tell(self, message: dict[str, Any]) -> None:
        """Takes a message, from any thread; after `close` it is dropped."""
        if self._closed:
            return
        frame, key = packed(message), newest_only(message)
        with self._lock:
            if self._closed:
                return
            self._count += 1
            self._drop(key)
            if message.get("kind") == "scene":
                self._drop(PART)
            self._frames[self._count if key is None else key] = frame
            self._bytes += len(frame)
            self.full = self._bytes > self._most
            if self.full:
                self._frames.clear()
                self._closed = True
        self._wake()

    async def take(self) -> bytes | None:
        """The next frame, when there is one; None after `close`, or when it was full."""
        while True:
            with self._lock:
                if self._closed:
                    return None
                if self._frames:
                    key = next(iter(self._frames))
                    return self._drop(key)
                self._some.clear()
            await self._some.wait()

    async def room(self) -> None:
        """Waits until less than `HELD` frames wait."""
        while len(self._frames) >= HELD and not self._closed:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """Nothing is sent any more."""
        with self._lock:
            self._closed = True
            self._frames.clear()
        self._wake()

    def _drop(self, key: Hashable) -> bytes | None:
        frame = self._frames.pop(key, None)
        self._bytes -= len(frame or b"")
        if frame is not None and len(self._frames) < HELD:
            self._wake()
        return frame

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        self._some.set()
        self._room.set()


PART = ("scene", "partial")


def newest_only(message: dict[str, Any]) -> Hashable:
    """What a message is the newest of, if an older unsent one is worth nothing beside it.

    >>> newest_only({"kind": "progress", "ask": "find"}), newest_only({"kind": "found"})
    (('progress', 'find'), None)
    """
    kind = message.get("kind")
    if kind in ("live", "runs"):
        return (kind,)
    if kind == "progress":
        return (kind, message.get("ask"))
    return PART if kind == "scene" and message.get("partial") else None
