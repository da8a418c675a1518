"""One page's conversation.  a question -> messages; it knows no socket and no thread.

A question is a mapping with ``"ask"``, ``"seq"`` and mostly ``"state"``; each kind has a function below and a row in the table. Misuse becomes the
message "refused", an exception of the user's own code "raised", a bug "trouble": the page shows them, and the conversation goes on.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import torch

from surefoot.descent.loop import descend
from surefoot.diagnosis.diagnose import diagnose
from surefoot.errors import SettingError, SurefootError
from surefoot.figures.marks import marks
from surefoot.figures.pictures.series import mean_of_last
from surefoot.find.choose import find_lr
from surefoot.find.range_test import range_test
from surefoot.find.rules import RULES
from surefoot.find.suggest import suggest
from surefoot.glossary import TERMS
from surefoot.lab import chosen, panes
from surefoot.lab.fan import fan, worth_it
from surefoot.lab.files import file, table
from surefoot.lab.lessons import LESSONS
from surefoot.lab.lessons import plain as plain_lesson
from surefoot.lab.raised import is_theirs, own_lines
from surefoot.lab.recorded import asked_for
from surefoot.lab.scene import Racer, judged, key_of, racing, scene
from surefoot.lab.state import FIELDS, Refused, State, plain, read
from surefoot.lab.wire import picture
from surefoot.problem import Problem
from surefoot.problems import describe, is_script, load, names
from surefoot.run import Path as WeightsPath
from surefoot.run import Run
from surefoot.store import Store
from surefoot.trace import Row, Trace

Message: TypeAlias = Mapping[str, Any]
Tell: TypeAlias = Callable[[Message], None]
KEPT = 24  # runs, newest last
PARTIAL = 0.1  # seconds between two pictures of a descent that is not finished
LEAST_SPENT = 200  # gradient evaluations of a search


class Conversation:
    """What one page has asked for so far, and the answers that are worth keeping.

    Args:
        setup: what the lab was started with.
    """

    def __init__(self, setup: chosen.Setup) -> None:
        self.setup = setup
        self.table: chosen.Table | None = None
        self._runs: OrderedDict[Any, Run] = OrderedDict()
        self._fan: tuple[Any, dict[float, Run]] = (None, {})
        self._data: tuple[Any, Message | None] = (None, None)

    def answer(self, question: Message, tell: Tell, waiting: Callable[[], None]) -> None:
        """Answers one question.

        Args:
            question: as the page sent it.
            tell: called with each message, which has the question's ``"seq"``.
            waiting: called between pieces of work; it may raise to end the question, and what it raises comes out.
        """
        about = {"seq": question.get("seq"), "ask": question.get("ask")}
        answer = ANSWERS.get(str(question.get("ask")))
        if answer is None:
            text = f"The lab answers {', '.join(ANSWERS)}; {_short(question.get('ask'))} is none of them."
            tell({"kind": "refused", **about, "field": None, "text": text})
            return
        try:
            answer(self, question, lambda message: tell({**message, "seq": about["seq"]}), waiting)
        except SurefootError as error:
            if is_theirs(error):
                tell({"kind": "raised", **about, "text": str(error), "traceback": own_lines(error)})
            else:
                tell(
                    {
                        "kind": "refused",
                        **about,
                        "field": error.field or None if isinstance(error, Refused) else None,
                        "text": str(error),
                    }
                )
        except Exception as error:
            theirs = is_theirs(error)
            text = f"{type(error).__name__}: {error}"
            tell({"kind": "raised" if theirs else "trouble", **about, "text": text, "traceback": own_lines(error)})

    def descended(
        self, state: State, problem: Problem, waiting: Callable[[], None], row: Callable[[Row], None] | None = None
    ) -> Run:
        """The descent of one racer, exactly as `surefoot.descend` makes it."""
        key = key_of(state, problem, of="verdict"), self.table
        if key not in self._runs:

            def pause(what: str, done: int, total: int) -> None:
                waiting()

            def seen(each: Row) -> bool:
                if row is not None:
                    row(each)
                return False

            run = descend(problem, lr=state.lr, stop=seen, progress=pause, **chosen.asked(state, problem))
            if run.ended == "interrupted":  # by Ctrl-C in a notebook: the next question for it is to walk it whole
                return run
            self._runs[key] = run
            while len(self._runs) > KEPT:
                self._runs.popitem(last=False)
        self._runs.move_to_end(key)
        return self._runs[key]

    def previewed(self, state: State, problem: Problem) -> Run | None:
        """The descent out of the fan, if it is in there."""
        key, runs = self._fan
        return runs.get(state.lr) if key == (key_of(state, problem, of="rates"), self.table) else None

    def spread(self, state: State, problem: Problem, waiting: Callable[[], None]) -> dict[float, Run]:
        """The descents at all rates."""
        key = key_of(state, problem, of="rates"), self.table
        if self._fan[0] != key:
            self._fan = key, fan(problem, chosen.asked(state, problem), waiting)
        return self._fan[1]

    def data(self, state: State, problem: Problem) -> Message | None:
        """The picture of the data, which stays as it is while a rate is dragged."""
        key = key_of(state, problem, of="data"), self.table
        if self._data[0] != key:
            self._data = key, panes.data(problem)
        return self._data[1]

    def raced(self, state: State, problem: Problem, waiting: Callable[[], None]) -> list[Racer]:
        """All racers, each to its end."""
        return [Racer(each, self.descended(each, problem, waiting)) for each in racing(state)]


def prepare() -> None:
    """Descends once: what torch loads at its first step takes a second, which the first page need not wait for."""
    Conversation(chosen.Setup()).answer({"ask": "descend", "state": {"steps": 2}}, lambda message: None, lambda: None)


def _hello(talk: Conversation, question: Message, tell: Tell, waiting: Callable[[], None]) -> None:
    own = talk.setup.own
    known = [{"name": name, "line": describe(name), "usual": dict(chosen.USUAL.get(name, {}))} for name in names()]
    tell({
        "kind": "welcome",
        "version": importlib.metadata.version("surefoot"),
        "table": [asdict(field) for field in FIELDS],
        "problems": known,
        "own": None if own is None else {"name": talk.setup.own_name or own.called, "line": str(own)},
        "glossary": [{"name": term.name, "short": term.short, "more": term.more} for term in TERMS.values()],
        "lessons": [plain_lesson(lesson) for lesson in LESSONS],
        "state": plain(talk.setup.initial),
        "live": talk.setup.store is not None,
    })  # fmt: skip


def _descend(talk: Conversation, question: Message, tell: Tell, waiting: Callable[[], None]) -> None:
    state, problem = _asked(talk, question)
    states, notes = racing(state), chosen.notes_of(state, talk.table)
    quick = None if question.get("rest") else [talk.previewed(each, problem) for each in states]
    if quick and all(quick):
        racers = [Racer(each, run) for each, run in zip(states, quick, strict=True) if run is not None]
        tell(scene(racers, problem, state, talk.setup, exact=False, notes=notes, data=talk.data(state, problem)))
        return
    finished: list[Racer] = []
    for each in states:
        partial = _Partial(each, finished, problem, state, talk.setup, tell)
        finished.append(Racer(each, talk.descended(each, problem, waiting, partial.seen)))
    tell(scene(finished, problem, state, talk.setup, notes=notes))


class _Partial:
    """What is told of a descent while it goes on."""

    def __init__(self, each: State, finished: list[Racer], problem: Problem, state: State, setup: chosen.Setup, tell: Tell) -> None:
        self.rows: list[Row] = []
        self.told = time.perf_counter()
        self.each, self.finished, self.problem, self.state, self.setup, self.tell = each, finished, problem, state, setup, tell

    def seen(self, row: Row) -> None:
        self.rows.append(row)
        if time.perf_counter() - self.told < PARTIAL:
            return
        config = {**chosen.asked(self.each, self.problem), "lr": self.each.lr, "optimizer": self.each.optimizer}
        empty = torch.empty(0, 0)
        run = Run(Trace.of(self.rows), {}, WeightsPath(torch.empty(0).numpy(), empty), "interrupted", config)
        racers = [*self.finished, Racer(self.each, run)]
        self.tell(scene(racers, self.problem, self.state, self.setup, partial=True))
        self.told = time.perf_counter()


def _surface(talk: Conversation, question: Message, tell: Tell, waiting: Callable[[], None]) -> None:
    state, problem = _asked(talk, question)
    exact = chosen.count_of(problem) <= 2
    runs = [] if exact else [racer.run for racer in talk.raced(state, problem, waiting)]
    tell({**panes.surface(problem, runs, _progress("surface", tell, waiting)), "key": key_of(state, problem, of="surface")})


def _verdict(talk: Conversation, question: Message, tell: Tell, waiting: Callable[[], None]) -> None:
    state, problem = _asked(talk, question)

    def pause(what: str, done: int, total: int) -> None:
        waiting()

    found = [diagnose(racer.run, problem, progress=pause) for racer in talk.raced(state, problem, waiting)]
    tell(judged(found, key_of(state, problem, of="verdict")))


def _rates(talk: Conversation, question: Message, tell: Tell, waiting: Callable[[], None]) -> None:
    state, problem = _asked(talk, question)
    key = key_of(state, problem, of="rates")
    settings = chosen.asked(state, problem)
    beforehand = worth_it(problem, settings)
    if not beforehand and not question.get("compute"):
        note = "Every rate is a training of its own here: ask for it."
        tell({"kind": "rates", "key": key, "picture": None, "map": None, "best": None, "note": note})
        return
    done = 0

    def seen() -> None:
        nonlocal done
        done += 1
        waiting()
        if not beforehand and done % 20 == 0:
            tell(
                {
                    "kind": "progress",
                    "ask": "rates",
                    "what": "descending at other rates",
                    "done": done,
                    "total": 15 * settings["steps"],
                }
            )

    runs = list(talk.spread(state, problem, seen).values())
    limits = chosen.limits_of(state, problem)
    curvature = problem.answer.curvature if limits and state.optimizer == "sgd" and problem.answer is not None else None
    curve = marks(runs, kind="rate", curvature=curvature)
    tell({"kind": "rates", "key": key, "picture": picture(curve), "map": picture(marks(runs[::4] if beforehand else runs, kind="map")),
          "best": _best(runs), "note": ""})  # fmt: skip


def _best(runs: Sequence[Run]) -> float | None:
    """The rate whose loss is lowest at the end; None where all diverged."""
    ends = [(mean_of_last(run.trace["loss"]), float(run.config["lr"])) for run in runs if run.ended != "diverged"]
    return min(ends)[1] if ends else None


def _range(talk: Conversation, question: Message, tell: Tell, waiting: Callable[[], None]) -> None:
    state, problem = _asked(talk, question)
    settings = chosen.asked(state, problem)
    trace = range_test(
        problem, optimizer=settings["optimizer"], batch_size=settings["batch_size"], seed=state.seed, low=1e-7, progress=False
    )
    found = [suggest(trace, name) for name in RULES]
    tell({"kind": "range", "picture": picture(marks(trace, kind="rate")),
          "suggestions": [{"rule": each.rule, "lr": each.lr, "reason": each.reason} for each in found]})  # fmt: skip


def _find(talk: Conversation, question: Message, tell: Tell, waiting: Callable[[], None]) -> None:
    state, problem = _asked(talk, question)
    settings = chosen.asked(state, problem)
    budget = max(1.0, LEAST_SPENT / settings["steps"])  # of a short descent a single training is too little to compare rates with
    found = find_lr(problem, budget=budget, progress=_progress("find", tell, waiting), **settings)
    tell({"kind": "found", **{key: getattr(found, key) for key in ("lr", "low", "high", "ceiling", "confident", "reason", "gradients", "seconds")},
          "text": str(found), "picture": picture(marks(found))})  # fmt: skip


def _download(talk: Conversation, question: Message, tell: Tell, waiting: Callable[[], None]) -> None:
    state, problem = _asked(talk, question)
    runs = [racer.run for racer in talk.raced(state, problem, waiting)]
    spread = list(talk.spread(state, problem, waiting).values()) if question.get("pane") in ("map", "rate") else runs
    tell({"kind": "file", **file(str(question.get("what")), str(question.get("pane")), runs, spread, problem)})


def _table(talk: Conversation, question: Message, tell: Tell, waiting: Callable[[], None]) -> None:
    dropped, columns = table(question.get("name"), question.get("text"))
    talk.table = dropped
    tell({"kind": "columns", **columns})


def _run(talk: Conversation, question: Message, tell: Tell, waiting: Callable[[], None]) -> None:
    if talk.setup.store is None or not isinstance(question.get("run"), int):
        raise Refused("", f"There is no run {_short(question.get('run'))} here.")
    tell(recorded(Store(talk.setup.store).load(question["run"]), talk.setup))


def recorded(run: Run, setup: chosen.Setup) -> dict[str, Any]:
    """The scene of a run that is there already, of its own problem.

    Raises:
        SettingError: the run does not know how its problem was made, or it was made by a Python file that this lab was not started with:
            a page never makes the lab run one.
        SurefootError: it cannot be made again.
    """
    recipe = run.config.get("recipe")
    if not recipe:
        raise SettingError("The run does not know how its problem was made; surefoot report says what its trace tells.")
    state, _ = asked_for([run])
    return scene([Racer(state, run)], _of_recipe(recipe, setup), state, setup)


def _of_recipe(recipe: Message, setup: chosen.Setup) -> Problem:
    if setup.own is not None and setup.own.recipe == recipe:
        return setup.own
    name = str(recipe["name"])
    if is_script(name):
        raise SettingError(f"The run is of {name}, a Python file, which only the command line may run: surefoot lab {name}")
    return load(**recipe)


def _asked(talk: Conversation, question: Message) -> tuple[State, Problem]:
    state = read(question.get("state", {}))
    return state, chosen.problem_of(state, talk.setup, talk.table)


def _progress(ask: str, tell: Tell, waiting: Callable[[], None]) -> Callable[[str, int, int], None]:
    def told(what: str, done: int, total: int) -> None:
        waiting()
        tell({"kind": "progress", "ask": ask, "what": what, "done": done, "total": total})

    return told


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


ANSWERS: Mapping[str, Callable[[Conversation, Message, Tell, Callable[[], None]], None]] = {
    "hello": _hello,
    "descend": _descend,
    "surface": _surface,
    "verdict": _verdict,
    "rates": _rates,
    "range": _range,
    "find": _find,
    "download": _download,
    "table": _table,
    "run": _run,
}
