"""Which recorded runs do the pages look at?  a file of runs and pages -> what is new in it, told as it comes.

A thread of its own reads it: that needs no random number, so it does not wait for what is computed.
"""

from __future__ import annotations

import importlib
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from surefoot.lab.bench import Message, Page

if TYPE_CHECKING:
    from surefoot.lab.live import Follower

PERIOD = 1 / 30  # s between two looks; no page is told more often
LOOK = 1.0  # s after which the list is read again also where the file has not changed: a killed process leaves no trace in it


class Watching:
    """The thread that looks at a file of runs for as long as a page wants to know.

    Args:
        store: the file; None where none is watched: every page is told an empty list.
        ready: set when torch has been loaded elsewhere: two threads that load it at the same time may each get half of it.

    Example:
        >>> class Listener:
        ...     heard, done = [], threading.Event()
        ...
        ...     def tell(self, message):
        ...         self.heard.append(message)
        ...         self.done.set()
        >>> watching, page = Watching(None), Listener()
        >>> watching.start()
        >>> watching.runs(page, seq=3, on=True)
        >>> page.done.wait(60), page.heard[0]["kind"], page.heard[0]["runs"], watching.stop(10)
        (True, 'runs', [], True)
    """

    def __init__(self, store: str | None, ready: threading.Event | None = None) -> None:
        self._store, self._ready = store, ready
        self._lists: dict[Page, tuple[int, Any]] = {}
        self._follows: dict[Page, tuple[int, int, Follower | None]] = {}
        self._woken = threading.Condition()
        self._ended = False
        self._known: tuple[Any, float, Message] | None = None
        self._thread = threading.Thread(target=self._work, name="surefoot-watching", daemon=True)

    def start(self) -> None:
        """Begins to look, as soon as a page asks."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Ends; whether it did within ``timeout`` seconds."""
        with self._woken:
            self._ended = True
            self._woken.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def runs(self, page: Page, seq: int, on: bool) -> None:
        """From now on the page is told the list whenever it changes, at once for a start; or no more."""
        with self._woken:
            if on:
                self._lists[page] = (seq, None)
            else:
                self._lists.pop(page, None)
            self._woken.notify_all()

    def follow(self, page: Page, seq: int, run: int | None) -> None:
        """From now on the page is told what is new in that run; or no more."""
        with self._woken:
            if run is not None:
                self._follows[page] = (seq, run, None)
            else:
                self._follows.pop(page, None)
            self._woken.notify_all()

    def leave(self, page: Page) -> None:
        """The page has gone."""
        with self._woken:
            self._lists.pop(page, None)
            self._follows.pop(page, None)

    def _work(self) -> None:
        while self._wanted():
            if self._ready is not None and not self._ready.wait(PERIOD):
                continue
            live = importlib.import_module("surefoot.lab.live")  # and with it torch: later than the first page
            self._list(live.listed, live.signature)
            with self._woken:
                follows = list(self._follows.items())
            for page, (seq, run, follower) in follows:
                try:
                    self._news(page, seq, run, follower or self._begun(page, seq, run, live))
                except Exception as error:  # a bug in here ends what one page follows, and nothing else
                    traceback.print_exc(file=sys.stderr)
                    self.follow(page, seq, None)
                    page.tell({"kind": "trouble", "seq": seq, "ask": "follow", "text": f"{type(error).__name__}: {error}"})
            with self._woken:
                self._woken.wait_for(lambda: self._ended, PERIOD)

    def _wanted(self) -> bool:
        """Waits until there is something to look at; whether to go on."""
        with self._woken:
            self._woken.wait_for(lambda: self._ended or self._lists or self._follows)
            return not self._ended

    def _list(self, listed: Callable[[str | None], Message], signature: Callable[[str | None], Any]) -> None:
        with self._woken:
            lists = list(self._lists.items())
        if not lists:
            return
        known, now, changed = self._known, time.monotonic(), signature(self._store)
        if known is None or known[0] != changed or now - known[1] >= LOOK:
            known = self._known = (changed, now, listed(self._store))
        for page, (seq, told) in lists:
            if told != known[2]:
                page.tell({**known[2], "seq": seq})
                self._replace(self._lists, page, (seq, told), (seq, known[2]))

    def _begun(self, page: Page, seq: int, run: int, live: Any) -> Follower:
        follower: Follower = live.Follower(self._store, run)
        self._replace(self._follows, page, (seq, run, None), (seq, run, follower))
        return follower

    def _news(self, page: Page, seq: int, run: int, follower: Follower) -> None:
        message = follower.news()
        if message is not None and self._follows.get(page) == (seq, run, follower):
            page.tell({**message, "seq": seq})

    def _replace(self, table: dict[Page, Any], page: Page, old: Any, new: Any) -> None:
        """Unless the page has asked for something else or gone meanwhile."""
        with self._woken:
            if table.get(page) == old:
                table[page] = new
