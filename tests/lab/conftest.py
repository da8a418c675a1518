"""A lab that really listens, with a stand-in for what answers; every server is stopped."""

import asyncio
import json
import socket
import struct
import threading

import pytest
import uvicorn
from websockets.sync.client import connect

from surefoot.lab.bench import Bench
from surefoot.lab.server import application, config, listen
from surefoot.lab.watching import Watching

TOKEN = "t" * 43


def unframed(frame):
    """The header of a frame, read by hand: four bytes of length, then JSON."""
    (length,) = struct.unpack("<I", frame[:4])
    return json.loads(frame[4 : 4 + length].decode())


class Lab:
    """A server in a thread, its port, and clients of it."""

    def __init__(self, converse, store, port, token):
        listening = listen(port)
        self.port, self.token = listening.getsockname()[1], token
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        self.bench, self.watching = Bench(converse), Watching(store)
        self.server = uvicorn.Server(config(application(self.bench, self.watching, self.port, token)))
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve([listening])), daemon=True)
        self.thread.start()
        self.bench.start()
        self.watching.start()

    def page(self, origin="same", token=None, host=None, **options):
        query = f"?token={token}" if token else ""
        headers = {} if token else {"Cookie": f"surefoot_lab_{self.port}={self.token}"}
        return connect(
            f"ws://{host or self.host}/ws{query}",
            sock=socket.create_connection(("127.0.0.1", self.port), timeout=10),
            origin=self.url if origin == "same" else origin,
            **{"additional_headers": headers, "compression": None, "max_size": None, "open_timeout": 10, **options},
        )

    def stop(self):
        self.server.should_exit = True
        self.thread.join(10)
        return not self.thread.is_alive() and self.bench.stop(5) and self.watching.stop(5)


@pytest.fixture
def lab():
    """A function: what makes a conversation, a file of runs, a port -> `Lab`."""
    labs = []

    def start(converse, store=None, port=0, token=TOKEN):
        labs.append(Lab(converse, store, port, token))
        return labs[-1]

    yield start
    assert all([each.stop() for each in labs])  # noqa: C419  # each is stopped, whatever the others do


def ask(page, kind, seq, **more):
    page.send(json.dumps({"ask": kind, "seq": seq, **more}))


def heard(page, timeout=30):
    return unframed(page.recv(timeout=timeout))
