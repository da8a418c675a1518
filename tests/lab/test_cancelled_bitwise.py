"""Oracle: a conversation to which nothing happened. After questions that were ended in the middle, every answer is the same to the bit."""

import random
import struct
import threading

import numpy as np
import pytest
import torch

from surefoot.lab.bench import Bench
from surefoot.lab.chosen import Setup
from surefoot.lab.session import Conversation
from surefoot.lab.wire import packed

NETWORK = {"problem": "digits-linear", "lr": 0.1, "steps": 100, "batch": "mini"}


class Page:
    def __init__(self, bench):
        self.frames, self.kinds, self.changed = [], [], threading.Condition()
        self.bench, self.seq = bench, 0
        bench.enter(self)

    def tell(self, message):
        with self.changed:
            self.kinds.append(message["kind"])
            self.frames.append(packed({**message, "seq": 0, "seconds": 0}))
            self.changed.notify_all()

    def ask(self, kind, **more):
        self.seq += 1
        self.bench.ask(self, {"ask": kind, "seq": self.seq, **more})

    def until(self, kind):
        with self.changed:
            assert self.changed.wait_for(lambda: kind in self.kinds or "refused" in self.kinds, 60), self.kinds
            place = self.kinds.index(kind)
            self.kinds.pop(place)
            return self.frames.pop(place)

    def forget(self):
        with self.changed:
            self.kinds.clear()
            self.frames.clear()


def floats(frame):
    (length,) = struct.unpack("<I", frame[:4])
    return frame[4 + length :]


def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002


@pytest.mark.parametrize("slow", ["find", "surface"])
def test_what_was_ended_leaves_no_trace(slow):
    bench = Bench(lambda: Conversation(Setup()))
    untouched, page = Page(bench), Page(bench)
    bench.start()
    untouched.ask("range", state=NETWORK)
    expected = floats(untouched.until("range"))
    before = states()
    for _ in range(2):
        page.ask(slow, state=NETWORK)
        page.until("progress")
        bench.cancel(page, slow)
        page.until("cancelled")
        page.forget()
        assert states() == before
    page.ask("range", state=NETWORK)
    assert floats(page.until("range")) == expected
    assert bench.stop(10)


def test_what_is_answered_within_is_what_is_answered_alone():
    bench = Bench(lambda: Conversation(Setup()))
    alone, page = Page(bench), Page(bench)
    bench.start()
    alone.ask("range", state=NETWORK)
    expected = floats(alone.until("range"))
    alone.ask("find", state=NETWORK)
    found = floats(alone.until("found"))
    page.ask("find", state=NETWORK)
    page.until("progress")
    page.ask("range", state=NETWORK)
    assert floats(page.until("range")) == expected
    assert floats(page.until("found")) == found
    assert bench.stop(10)
