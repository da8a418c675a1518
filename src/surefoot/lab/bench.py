"""Who is answered next?  questions of several pages -> answers, one computation at a time, the newest question of a kind first.

A descent sets the global random state and puts it back, so two of them must never run at once: one thread computes, whatever the number of pages.
A long computation calls `waiting` between its pieces; quick questions are answered there, so that a slider moves while a search goes on.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from surefoot.errors import SurefootError

QUICK = frozenset({"descend", "hello", "range"})  # answered in the pauses of longer ones
HEAD_START = 1.0  # s that quick questions have over longer ones: those wait, but not for ever

Message: TypeAlias = dict[str, Any]
Tell: TypeAlias = Callable[[Message], None]


class Cancelled(BaseException):
    """Raised by `waiting`: nobody wants the answer any more. No error, so that ``except Exception`` on the way lets it through."""


class Page(Protocol):
    """Somebody who asks, told by identity."""

    def tell(self, message: Message) -> None:
        """Takes an answer, from any thread, at once."""
        ...


class Conversation(Protocol):
    """What answers the questions of one page."""

    def answer(self, question: Message, tell: Tell, waiting: Callable[[], None]) -> None:
        """Tells any number of messages; between the pieces of long work it calls ``waiting``, which may raise `Cancelled`."""
        ...


@dataclass(eq=False)
class _Asked:
    page: Page
    question: Message
    since: float
    unwanted: bool = False

    @property
    def kind(self) -> str:
        return str(self.question["ask"])

    @property
    def turn(self) -> float:
        return self.since + (0.0 if self.kind in QUICK else HEAD_START)


class Bench:
    """The one thread that computes.

    Of each page and each kind of question only the newest waits. Every question has one end: its answer, or ``cancelled`` when a newer one of
    its kind came, the page cancelled it, or ``refused`` and ``trouble`` where answering raised. Of a page that has gone nothing is told.

    Args:
        converse: makes what answers a page; called in the thread, at the page's first question.
        prepare: called in the thread before anything else, such as slow imports.

    Example:
        >>> class Echo:
        ...     def answer(self, question, tell, waiting):
        ...         tell({"kind": "echo", "seq": question["seq"]})
        >>> class Listener:
        ...     heard, done = [], threading.Event()
        ...
        ...     def tell(self, message):
        ...         self.heard.append(message)
        ...         self.done.set()
        >>> bench, page = Bench(Echo), Listener()
        >>> bench.enter(page)
        >>> bench.ask(page, {"ask": "descend", "seq": 7})
        >>> bench.start()
        >>> page.done.wait(10), page.heard, bench.stop(10)
        (True, [{'kind': 'echo', 'seq': 7}], True)
    """

    def __init__(self, converse: Callable[[], Conversation], prepare: Callable[[], object] | None = None) -> None:
        self._converse, self._prepare = converse, prepare
        self._pages: dict[Page, Conversation | None] = {}
        self._waiting: dict[tuple[Page, str], _Asked] = {}
        self._running: list[_Asked] = []  # the outermost first
        self._woken = threading.Condition()
        self._ended = False
        self.ready = threading.Event()  # set when `prepare` is done
        self._thread = threading.Thread(target=self._work, name="surefoot-bench", daemon=True)

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Ends as soon as the running question lets it; whether it did within ``timeout`` seconds."""
        with self._woken:
            self._ended = True
            self._pages.clear()
            self._waiting.clear()
            for running in self._running:
                running.unwanted = True
            self._woken.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def enter(self, page: Page) -> None:
        """From now on the page may ask."""
        with self._woken:
            self._pages[page] = None

    def leave(self, page: Page) -> None:
        """The page has gone: what it asked is dropped."""
        with self._woken:
            self._pages.pop(page, None)
            for key in [key for key in self._waiting if key[0] is page]:
                del self._waiting[key]
            for running in self._running:
                running.unwanted |= running.page is page

    def ask(self, page: Page, question: Message) -> None:
        """Takes a question of a page that has entered; a waiting one of its kind is replaced, a running one ended."""
        asked = _Asked(page, question, time.monotonic())
        with self._woken:
            if page not in self._pages or self._ended:
                return
            replaced = self._waiting.get((page, asked.kind))
            if replaced is not None:
                asked.since = replaced.since  # keeps its place: whoever asks often is not put off for it
            self._waiting[page, asked.kind] = asked
            self._unwant(page, asked.kind)
            self._woken.notify()
        if replaced is not None:
            _tell_cancelled(replaced)

    def cancel(self, page: Page, kind: str) -> None:
        """Drops the page's question of that kind; where there is none, ``cancelled`` is told with no ``seq``."""
        with self._woken:
            dropped = self._waiting.pop((page, kind), None)
            running = self._unwant(page, kind)
        if dropped is not None:
            _tell_cancelled(dropped)
        elif not running:
            page.tell({"kind": "cancelled", "seq": None, "what": kind})

    def _unwant(self, page: Page, kind: str) -> bool:
        found = [running for running in self._running if running.page is page and running.kind == kind]
        for running in found:
            running.unwanted = True
        return bool(found)

    def _work(self) -> None:
        with contextlib.suppress(Exception):  # what is wrong is told when a page asks
            if self._prepare is not None:
                self._prepare()
        self.ready.set()
        while (asked := self._next()) is not None:
            self._serve(asked)

    def _next(self) -> _Asked | None:
        with self._woken:
            while not self._ended:
                if self._waiting:
                    return self._taken(list(self._waiting.values()))
                self._woken.wait()
        return None

    def _next_quick(self) -> _Asked | None:
        """The next quick question; none of a kind that is under way, whose answer would be half done."""
        with self._woken:
            under_way = {running.kind for running in self._running}
            quick = [asked for asked in self._waiting.values() if asked.kind in QUICK and asked.kind not in under_way]
            return self._taken(quick) if quick else None

    def _taken(self, among: list[_Asked]) -> _Asked:
        first = min(among, key=lambda asked: asked.turn)
        del self._waiting[first.page, first.kind]
        self._running.append(first)
        return first

    def _serve(self, asked: _Asked) -> None:
        end: Message = {}
        try:
            self._conversation(asked.page).answer(asked.question, asked.page.tell, lambda: self._pause(asked))
        except Cancelled:
            end = {"kind": "cancelled", "what": asked.kind}
        except SurefootError as error:
            end = {"kind": "refused", "ask": asked.kind, "field": getattr(error, "field", None) or None, "text": str(error)}
        except BaseException as error:  # also what a user's code raises to end the process: the page is told, the lab goes on
            traceback.print_exc(file=sys.stderr)
            end = {"kind": "trouble", "ask": asked.kind, "text": f"{type(error).__name__}: {error}"}
        with self._woken:
            self._running.remove(asked)
            there = asked.page in self._pages
        if end and there:
            asked.page.tell({**end, "seq": asked.question.get("seq")})

    def _conversation(self, page: Page) -> Conversation:
        with self._woken:
            if page not in self._pages:
                raise Cancelled
            conversation = self._pages[page]
        if conversation is None:
            conversation = self._converse()
            with self._woken:
                if page in self._pages:  # it may have gone meanwhile, and must not be kept then
                    self._pages[page] = conversation
        return conversation

    def _pause(self, asked: _Asked) -> None:
        """The hook of a question under way; called often, so nothing is locked unless somebody waits."""
        if asked.unwanted:
            raise Cancelled
        for _ in range(len(self._waiting)):  # no more than wait now: the long one must get on too
            quick = self._next_quick()
            if quick is None:
                break
            self._serve(quick)
        if asked.unwanted:
            raise Cancelled


def _tell_cancelled(asked: _Asked) -> None:
    asked.page.tell({"kind": "cancelled", "seq": asked.question.get("seq"), "what": asked.kind})
