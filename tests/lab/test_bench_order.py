"""Oracle: a stand-in that works as long as it is told, by events. Who is answered when, and that two computations never overlap."""

import threading
import time

import pytest

from surefoot.errors import SettingError
from surefoot.lab.bench import Bench, Cancelled


class Page:
    def __init__(self, bench):
        self.told, self.changed = [], threading.Condition()
        bench.enter(self)

    def tell(self, message):
        with self.changed:
            self.told.append(message)
            self.changed.notify_all()

    def wait(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.told) >= count, 10), self.told
        return self.told

    @property
    def ends(self):
        return [(message["kind"], message["seq"]) for message in self.told]


class Work:
    """What a question does: its events ``begun``, ``pause`` (it calls `waiting` then) and ``end`` are shared by name."""

    def __init__(self):
        self.log, self.depth, self.begun, self.release = [], [], {}, {}
        self.threads = set()

    def event(self, table, kind, seq):
        return table.setdefault((kind, seq), threading.Event())

    def answer(self, question, tell, waiting):
        kind, seq = question["ask"], question["seq"]
        self.threads.add(threading.get_ident())
        self.log.append(("begin", kind, seq))
        self.event(self.begun, kind, seq).set()
        try:
            if question.get("long"):
                until = time.monotonic() + 10
                while not self.event(self.release, kind, seq).is_set():
                    assert time.monotonic() < until
                    waiting()
                    time.sleep(0.001)
            waiting()
            if question.get("wrong"):
                raise question["wrong"]
        finally:
            self.log.append(("end", kind, seq))
        tell({"kind": "answer", "seq": seq})


@pytest.fixture
def work():
    return Work()


@pytest.fixture
def bench(work):
    made = Bench(lambda: work)
    yield made
    assert made.stop(10)


def begun(work, kind, seq):
    assert work.event(work.begun, kind, seq).wait(10)


def release(work, kind, seq):
    work.event(work.release, kind, seq).set()


def question(kind, seq, **more):
    return {"ask": kind, "seq": seq, **more}


def test_of_what_waits_the_newest_is_answered_and_the_others_are_told(bench, work):
    page = Page(bench)
    for seq in range(5):
        bench.ask(page, question("descend", seq))
    bench.start()
    page.wait(5)
    assert page.ends == [*(("cancelled", seq) for seq in range(4)), ("answer", 4)]
    assert [entry for entry in work.log if entry[0] == "begin"] == [("begin", "descend", 4)]


def test_a_newer_question_ends_the_running_one_of_its_kind(bench, work):
    page = Page(bench)
    bench.start()
    bench.ask(page, question("find", 1, long=True))
    begun(work, "find", 1)
    bench.ask(page, question("find", 2))
    page.wait(2)
    assert page.told == [{"kind": "cancelled", "what": "find", "seq": 1}, {"kind": "answer", "seq": 2}]
    assert work.log == [("begin", "find", 1), ("end", "find", 1), ("begin", "find", 2), ("end", "find", 2)]


def test_another_page_or_another_kind_ends_nothing(bench, work):
    one, two = Page(bench), Page(bench)
    bench.start()
    bench.ask(one, question("find", 1, long=True))
    begun(work, "find", 1)
    bench.ask(two, question("find", 1))
    bench.ask(one, question("surface", 1))
    time.sleep(0.05)
    release(work, "find", 1)
    assert one.wait(2) == [{"kind": "answer", "seq": 1}] * 2
    assert two.wait(1) == [{"kind": "answer", "seq": 1}]
    assert work.log[:2] == [("begin", "find", 1), ("end", "find", 1)]


@pytest.mark.parametrize("kind", ["descend", "hello", "range"])
def test_a_quick_question_is_answered_within_a_long_one_in_the_same_thread(bench, work, kind):
    page, other = Page(bench), Page(bench)
    bench.start()
    bench.ask(page, question("find", 1, long=True))
    begun(work, "find", 1)
    bench.ask(page, question(kind, 2))
    bench.ask(other, question(kind, 3))
    assert page.wait(1) == [{"kind": "answer", "seq": 2}]
    assert other.wait(1) == [{"kind": "answer", "seq": 3}]
    release(work, "find", 1)
    page.wait(2)
    inside = [("begin", kind, 2), ("end", kind, 2), ("begin", kind, 3), ("end", kind, 3)]
    assert work.log == [("begin", "find", 1), *inside, ("end", "find", 1)]
    assert len(work.threads) == 1


def test_a_slow_question_waits_for_a_slow_one(bench, work):
    page = Page(bench)
    bench.start()
    bench.ask(page, question("find", 1, long=True))
    begun(work, "find", 1)
    bench.ask(page, question("surface", 1))
    time.sleep(0.05)
    assert work.log == [("begin", "find", 1)]
    release(work, "find", 1)
    page.wait(2)
    assert work.log[1:3] == [("end", "find", 1), ("begin", "surface", 1)]


def test_within_a_quick_question_none_of_its_own_kind_begins(bench, work):
    page, other = Page(bench), Page(bench)
    bench.start()
    bench.ask(page, question("find", 1, long=True))
    begun(work, "find", 1)
    bench.ask(page, question("descend", 2, long=True))
    begun(work, "descend", 2)
    bench.ask(other, question("descend", 3))
    bench.ask(other, question("hello", 4))
    assert other.wait(1) == [{"kind": "answer", "seq": 4}]
    release(work, "descend", 2)
    page.wait(1)
    other.wait(2)
    release(work, "find", 1)
    page.wait(2)
    assert work.log == [
        ("begin", "find", 1),
        *[("begin", "descend", 2), ("begin", "hello", 4), ("end", "hello", 4), ("end", "descend", 2)],
        *[("begin", "descend", 3), ("end", "descend", 3)],
        ("end", "find", 1),
    ]


def test_a_newer_question_ends_the_one_within_and_not_the_one_around(bench, work):
    page = Page(bench)
    bench.start()
    bench.ask(page, question("find", 1, long=True))
    begun(work, "find", 1)
    bench.ask(page, question("descend", 2, long=True))
    begun(work, "descend", 2)
    bench.ask(page, question("descend", 3))
    page.wait(2)
    assert page.ends == [("cancelled", 2), ("answer", 3)]
    release(work, "find", 1)
    assert page.wait(3)[-1] == {"kind": "answer", "seq": 1}


def test_the_one_around_is_cancelled_after_the_one_within(bench, work):
    page = Page(bench)
    bench.start()
    bench.ask(page, question("find", 1, long=True))
    begun(work, "find", 1)
    bench.ask(page, question("descend", 2, long=True))
    begun(work, "descend", 2)
    bench.cancel(page, "find")
    release(work, "descend", 2)
    page.wait(2)
    assert page.ends == [("answer", 2), ("cancelled", 1)]


def test_what_is_cancelled_ends_whether_it_runs_or_waits_or_is_not_there(bench, work):
    page = Page(bench)
    bench.start()
    bench.ask(page, question("find", 1, long=True))
    begun(work, "find", 1)
    bench.ask(page, question("surface", 2))
    bench.cancel(page, "surface")
    bench.cancel(page, "rates")
    bench.cancel(page, "find")
    page.wait(3)
    assert page.told == [
        {"kind": "cancelled", "seq": 2, "what": "surface"},
        {"kind": "cancelled", "seq": None, "what": "rates"},
        {"kind": "cancelled", "seq": 1, "what": "find"},
    ]
    bench.ask(page, question("surface", 3))
    assert page.wait(4)[-1] == {"kind": "answer", "seq": 3}


def test_a_page_that_has_gone_is_told_nothing_and_kept_nowhere(bench, work):
    page, other = Page(bench), Page(bench)
    bench.start()
    bench.ask(page, question("find", 1, long=True))
    begun(work, "find", 1)
    bench.ask(page, question("surface", 2))
    bench.leave(page)
    bench.ask(page, question("hello", 3))
    bench.ask(other, question("find", 4))
    other.wait(1)
    assert page.told == []
    assert [entry[1:] for entry in work.log if entry[0] == "begin"] == [("find", 1), ("find", 4)]
    assert page not in bench._pages


def test_a_slow_question_is_not_put_off_for_ever():
    """A page whose every quick question is followed by the next one before it is answered: the other page's slow one has its turn."""
    answered = []

    class Pestered:
        def answer(self, question, tell, waiting):
            answered.append(question["ask"])
            if question["ask"] == "descend":
                bench.ask(busy, {"ask": "descend", "seq": question["seq"] + 1})
                time.sleep(0.001)
            tell({"kind": "answer", "seq": question["seq"]})

    bench = Bench(Pestered)
    busy, patient = Page(bench), Page(bench)
    bench.ask(busy, question("descend", 1))
    bench.ask(patient, question("find", 1))
    bench.start()
    try:
        assert patient.wait(1) == [{"kind": "answer", "seq": 1}]
        assert answered.index("find") > 10  # the quick ones have a head start all the same
    finally:
        assert bench.stop(5)


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (SettingError("no such rate"), "refused"),
        (RuntimeError("a bug"), "trouble"),
        (SystemExit(3), "trouble"),
        (RecursionError(), "trouble"),
    ],
)
def test_whatever_is_raised_is_told_and_the_next_is_answered(bench, work, wrong, kind, capsys):
    page = Page(bench)
    bench.start()
    bench.ask(page, question("find", 1, wrong=wrong))
    told = page.wait(1)[0]
    assert (told["kind"], told["seq"], told["ask"]) == (kind, 1, "find")
    assert str(wrong) in told["text"]
    bench.ask(page, question("find", 2))
    assert page.wait(2)[1] == {"kind": "answer", "seq": 2}
    assert ("Traceback" in capsys.readouterr().err) == (kind == "trouble")


def test_what_cannot_be_made_is_told_at_each_question():
    def broken():
        raise ImportError("no module")

    bench = Bench(broken, broken)
    page = Page(bench)
    bench.start()
    for seq in (1, 2):
        bench.ask(page, question("hello", seq))
        assert page.wait(seq)[-1]["kind"] == "trouble"
    assert bench.stop(10)


def test_except_exception_on_the_way_does_not_keep_a_question_alive(bench, work):
    class Swallowing(Work):
        def answer(self, question, tell, waiting):
            try:
                super().answer(question, tell, waiting)
            except Exception:
                tell({"kind": "swallowed", "seq": question["seq"]})

    work.__class__ = Swallowing
    assert not issubclass(Cancelled, Exception)
    page = Page(bench)
    bench.start()
    bench.ask(page, question("find", 1, long=True))
    begun(work, "find", 1)
    bench.cancel(page, "find")
    assert page.wait(1) == [{"kind": "cancelled", "what": "find", "seq": 1}]


def test_stopping_ends_a_running_question(work):
    bench = Bench(lambda: work)
    page = Page(bench)
    bench.start()
    bench.ask(page, question("find", 1, long=True))
    begun(work, "find", 1)
    assert bench.stop(5)
    assert page.told == []
    bench.ask(page, question("find", 2))
    assert page.told == []


def test_stopping_says_when_a_computation_cannot_be_ended(work):
    deep = threading.Event()

    class Deep:
        def answer(self, question, tell, waiting):
            deep.set()
            time.sleep(1)

    bench = Bench(Deep)
    page = Page(bench)
    bench.start()
    bench.ask(page, question("find", 1))
    assert deep.wait(5)
    assert not bench.stop(0.05)
    assert bench.stop(5)
