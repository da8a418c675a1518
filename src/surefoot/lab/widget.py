"""How does a cell of a notebook become the lab?  a problem + values of the state -> the page as a widget, which cells read and set."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from surefoot.errors import NotInstalled, SettingError
from surefoot.lab.asked import NoQuestion, question
from surefoot.lab.chosen import Setup
from surefoot.lab.session import Conversation
from surefoot.lab.state import OWN, change, plain, read
from surefoot.lab.wire import packed
from surefoot.problem import Problem
from surefoot.problems import load, names

try:
    import anywidget
    import traitlets
except ModuleNotFoundError as error:
    raise NotInstalled.of("The lab in a notebook", error, "notebook") from error

PAGE = Path(__file__).parent / "page"


class BadState(SettingError, traitlets.TraitError):  # traitlets takes the value back where it is one of its own errors
    """A state that makes no sense; the widget keeps the one it has."""


class Read(dict[str, Any]):
    """A state as it is read: to change a value in place would move nothing, so it is refused; copies are plain dictionaries."""

    def _refuse(self, *given: object, **named: object) -> Any:
        raise SettingError('The state is set as a whole: lab.state = {**lab.state, "lr": 0.3}.')

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)


class Lab(anywidget.AnyWidget):
    """The lab in a cell of a notebook: JupyterLab, Jupyter Notebook, marimo; what is set there is `state`, in both directions.

    The page asks the kernel, which computes between two cells: a long question makes the next cell wait, and interrupting the kernel ends it.

    Args:
        problem: the name of a built-in problem, what else `surefoot.problems.load` takes, or a `Problem`.
        state: what is set at the beginning: ``lr``, ``steps``, ``optimizer``, ``race``, ``hide`` and the other controls of the page, as in its links.

    Attributes:
        state: all that is set, a mapping of keys to plain values. Setting it moves the page; a control that is moved changes it.
            What is set without some of the keys has them as at the beginning.
        problem: what is descended, where it is none of the built-in ones; else None.

    Raises:
        SettingError: there is no such setting, or its value makes no sense; when set later, the state stays as it was. As `NotInstalled`, which is an
            `ImportError` too: anywidget is missing.
        SurefootError: the problem cannot be made.

    Example:
        >>> lab = Lab("line", lr=0.3)
        >>> lab.state["lr"], lab.state["steps"]
        (0.3, 200)
        >>> lab.state = {**lab.state, "lr": 0.5, "race": [{"optimizer": "adam"}]}
        >>> lab.state["lr"], lab.state["race"]
        (0.5, [{'optimizer': 'adam'}])
        >>> lab.close()
    """

    _esm = (PAGE / "lab.js").read_text(encoding="utf-8")
    _css = (PAGE / "lab.css").read_text(encoding="utf-8")
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, problem: str | Problem = "line", **state: Any) -> None:
        setup = _setup(problem, state)
        self.problem = setup.own
        self._talk = Conversation(setup)
        # two computations at once would put back each other's random numbers: all are made where the cells run
        self._loop, self._thread = _running_loop(), threading.get_ident()
        super().__init__(state=plain(setup.initial))
        self.on_msg(self._heard)

    @traitlets.validate("state")
    def _checked(self, proposal: Mapping[str, Any]) -> Read:
        """The whole state; what was not given is as it was at the beginning."""
        try:
            return Read(plain(change(self._talk.setup.initial, proposal["value"])))
        except SettingError as error:
            raise BadState(str(error)) from error

    def _heard(self, _: object, content: Any, buffers: Sequence[Any]) -> None:
        """A question of the page has come, in any thread: JupyterLab brings it in one of its own, beside the cell that is running."""
        if self._loop is None or threading.get_ident() == self._thread or self._loop.is_closed():
            self._answer(content)
        else:
            self._loop.call_soon_threadsafe(self._answer, content)

    def _answer(self, content: Any) -> None:
        """Answers it; nothing that a question does wrong comes out."""
        view = content.get("view") if isinstance(content, dict) else None

        def tell(message: Mapping[str, Any]) -> None:
            self.send({"view": view}, buffers=[packed(message)])

        try:
            asked = question(json.dumps(content))
        except NoQuestion as error:
            tell(error.message)
            return
        if asked["ask"] == "cancel":  # what it is about has been answered: questions are taken one after the other
            return
        try:
            with _interruptible():
                self._talk.answer(asked, tell, lambda: None)
        except KeyboardInterrupt:
            tell({"kind": "cancelled", "seq": asked["seq"], "what": asked["ask"]})


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # no notebook
        return None


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Inside, Ctrl-C is heard: Jupyter ignores it between two cells."""
    ignored = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _setup(problem: str | Problem, state: Mapping[str, Any]) -> Setup:
    if "problem" in state:
        raise SettingError("The problem comes first: Lab('line', lr=0.3).")
    if isinstance(problem, Problem):
        return Setup(own=problem, initial=read({"problem": OWN, **state}))
    if not isinstance(problem, str):
        raise SettingError(f"Lab takes the name of a problem or a Problem, got a {type(problem).__name__}.")
    if problem in names():
        return Setup(initial=read({"problem": problem, **state}))
    return Setup(own=load(problem), own_name=problem, initial=read({"problem": OWN, **state}))
