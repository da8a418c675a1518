"""The lab on this machine.  a setup -> a page under 127.0.0.1, and a channel by which it asks.

The page is served before torch is loaded: questions wait until the thread that computes has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import socket
import sys
import threading
import traceback
import webbrowser
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from surefoot.errors import SettingError
from surefoot.lab import built, guard
from surefoot.lab.asked import LARGEST, NoQuestion, question
from surefoot.lab.bench import Bench, Conversation
from surefoot.lab.outbox import Outbox
from surefoot.lab.watching import Watching

PORT = 8631
TRIED = 20  # ports from there on, before any free one
GRACE = 0.5  # s that a running computation has to end
TRY_LATER = 1013  # a page that does not read is closed with it, and comes back when it does


def serve(
    setup: Callable[[], Any],
    *,
    store: str | None = None,
    port: int | None = None,
    open_browser: bool = True,
    announce: Callable[[str, str], None] = lambda url, note: print(url, note, flush=True),
) -> bool:
    """Serves the lab until Ctrl-C.

    Args:
        setup: makes what a conversation begins with (`surefoot.lab.chosen.Setup`); called once, in the thread that computes, so it may load torch.
        store: the file of runs that is watched.
        port: of 127.0.0.1; 0: any free one; None: 8631, or the next free one.
        open_browser: opens the page, where there is a screen.
        announce: called with the address, and a note or an empty text, when the page can be opened.

    Returns:
        Whether all threads have ended. Where one is deep in a computation, only the end of the process ends it.

    Raises:
        SettingError: the port is taken, or no port.
    """
    listening = listen(port)
    token, note = guard.lasting_token()
    bench = Bench(_conversations(setup), _prepared)
    watching = Watching(store, bench.ready)
    number = listening.getsockname()[1]
    server = uvicorn.Server(config(application(bench, watching, number, token)))

    def started() -> None:
        url = f"http://127.0.0.1:{number}/?token={token}"
        announce(url, note)
        bench.start()
        watching.start()
        if open_browser and _has_screen():
            threading.Thread(target=_opened, args=(url,), daemon=True).start()

    with contextlib.suppress(KeyboardInterrupt):  # raised once more by the server, after it has closed every connection
        asyncio.run(_served(server, listening, started))
    ended = [bench.stop(GRACE), watching.stop(GRACE)]
    return all(ended)


def listen(port: int | None) -> socket.socket:
    """A socket on 127.0.0.1.

    Raises:
        SettingError: the port is taken, or no port.

    Example:
        >>> with listen(0) as listening:
        ...     listening.getsockname()[0]
        '127.0.0.1'
    """
    if port is not None and not 0 <= port <= 65535:
        raise SettingError(f"--port must be from 1 to 65535, got {port}; without it, a free one is taken.")
    for each in [*range(PORT, PORT + TRIED), 0] if port is None else [port]:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if sys.platform != "win32":  # there it would share the port with whoever has it
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", each))
            listening.listen()
        except OSError as error:
            listening.close()
            why = f"Port {each} cannot be had ({error.strerror})"
            continue
        return listening
    raise SettingError(f"{why}; perhaps another lab has it. Give another --port, or none: then a free one is taken.")


def config(app: ASGIApp) -> uvicorn.Config:
    """How the server runs: silent, nothing packed on the way within one machine, frames bounded."""
    return uvicorn.Config(
        app, http="h11", loop="asyncio", lifespan="off", log_config=None, log_level="critical", access_log=False, server_header=False,
        proxy_headers=False, ws_max_size=LARGEST, ws_per_message_deflate=False, timeout_graceful_shutdown=1,
    )  # fmt: skip


def application(bench: Bench, watching: Watching, port: int, token: str) -> ASGIApp:
    """The page, its parts and its channel, behind the guard."""

    async def page(request: Request) -> Response:
        answer = built.answer("index.html", request)
        if request.query_params.get("token"):  # from here on the cookie says it: the page takes the token out of its address
            answer.set_cookie(guard.cookie_name(port), token, path="/", httponly=True, samesite="lax")
        return answer

    async def part(request: Request) -> Response:
        return built.answer(request.url.path.lstrip("/"), request)

    async def icon(request: Request) -> Response:
        return Response(status_code=204)

    async def channel(socket: WebSocket) -> None:
        await _talk(socket, bench, watching)

    routes = [
        Route("/", page),
        Route("/lab.js", part),
        Route("/lab.css", part),
        Route("/favicon.ico", icon),
        WebSocketRoute("/ws", channel),
    ]
    return _guarded(Starlette(routes=routes), port, token)


def _guarded(app: ASGIApp, port: int, token: str) -> ASGIApp:
    """Lets in who may, and says on every answer what a browser may do with it."""
    said = [(key.encode(), value.encode()) for key, value in guard.headers(port).items()]

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *said]}
            await send(message)

        refused = guard.refusal(HTTPConnection(scope), port, token)
        if refused is None:
            await app(scope, receive, sent)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refused.text[:100]})
        else:
            await PlainTextResponse(refused.text + "\n", refused.status)(scope, receive, sent)

    return guarded


async def _talk(socket: WebSocket, bench: Bench, watching: Watching) -> None:
    """One page, from when it comes to when it goes."""
    await socket.accept()
    outbox = Outbox(asyncio.get_running_loop())
    sending = asyncio.create_task(_send(socket, outbox))
    newest: dict[str, int] = {}
    bench.enter(outbox)
    try:
        while (received := await socket.receive())["type"] == "websocket.receive":
            _take(received.get("text") or received.get("bytes"), newest, outbox, bench, watching)
            await outbox.room()  # a page that does not read is not read either
    except Exception:  # a bug of ours ends this page's channel, which it opens again, and nothing else
        traceback.print_exc(file=sys.stderr)
    finally:
        bench.leave(outbox)
        watching.leave(outbox)
        outbox.close()
        sending.cancel()


async def _send(socket: WebSocket, outbox: Outbox) -> None:
    with contextlib.suppress(Exception):  # the page has gone; whoever receives is told so
        while (frame := await outbox.take()) is not None:
            await socket.send_bytes(frame)
        if outbox.full:
            await socket.close(TRY_LATER, "the page does not read what it is sent")
    outbox.close()


def _take(text: str | bytes | None, newest: dict[str, int], outbox: Outbox, bench: Bench, watching: Watching) -> None:
    """Hands a question to whoever answers it; what is none is refused."""
    try:
        asked = question(text)
        kind, seq = asked["ask"], asked["seq"]
        if seq < newest.get(kind, seq):
            raise NoQuestion(f"Question {seq} comes after {newest[kind]}, which is newer.", "seq", seq, kind)
    except NoQuestion as refused:
        outbox.tell(refused.message)
        return
    newest[kind] = seq
    if kind == "cancel":
        bench.cancel(outbox, asked["what"])
    elif kind == "runs":
        watching.runs(outbox, seq, asked["on"])
    elif kind == "follow":
        watching.follow(outbox, seq, asked.get("run"))
    else:
        bench.ask(outbox, asked)


async def _served(server: uvicorn.Server, listening: socket.socket, started: Callable[[], None]) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.002)
    if server.started:
        started()
    await serving


def _conversations(setup: Callable[[], Any]) -> Callable[[], Conversation]:
    known: list[Any] = []

    def converse() -> Conversation:
        known.extend([] if known else [setup()])
        return importlib.import_module("surefoot.lab.session").Conversation(known[0])  # type: ignore[no-any-return]

    return converse


def _prepared() -> None:
    importlib.import_module("surefoot.lab.session").prepare()


def _has_screen() -> bool:
    """Whether a browser would be a window, and not a text browser over this terminal."""
    return sys.platform in ("win32", "darwin") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def _opened(url: str) -> None:
    with contextlib.suppress(Exception):  # the address is printed all the same
        webbrowser.open(url)
