"""Who may come in?  the headers of a request and a token -> yes, or the refusal in a sentence.

Every page that the user has open, of whatever site, can send requests to 127.0.0.1. So a request must name this machine as its host (else a
name that another site points here would do), must know the token, and a channel must be opened by this very page.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path
from typing import NamedTuple

from starlette.requests import HTTPConnection

TOKEN_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43,128}")


class Refusal(NamedTuple):
    """What is answered instead."""

    status: int
    text: str


def refusal(request: HTTPConnection, port: int, token: str) -> Refusal | None:
    """Why a request is refused, or None.

    Example:
        >>> headers = [(b"host", b"evil.example:8631")]
        >>> scope = {"type": "http", "headers": headers, "query_string": b"token=right", "path": "/"}
        >>> refusal(HTTPConnection(scope), 8631, "right").status
        421
    """
    hosts, origins = request.headers.getlist("host"), request.headers.getlist("origin")
    if len(hosts) != 1 or hosts[0].lower() not in here(port):
        return Refusal(421, f"This is the lab of surefoot on this machine; its address is http://127.0.0.1:{port}/ and no other.")
    asked = _same(request.query_params.get("token", ""), token)
    if not asked and not _same(request.cookies.get(cookie_name(port), ""), token):
        return Refusal(
            403, "This lab answers only whoever has its token. Open the address that `surefoot lab` printed in its terminal."
        )
    if request.scope["type"] == "websocket" and not (origins == [f"http://{hosts[0].lower()}"] or (asked and not origins)):
        return Refusal(403, "This channel is only for the lab's own page.")
    return None


def here(port: int) -> tuple[str, ...]:
    """How a browser on this machine names the lab."""
    return (f"127.0.0.1:{port}", f"localhost:{port}")


def cookie_name(port: int) -> str:
    """The cookie's name: cookies are told apart by host, not by port."""
    return f"surefoot_lab_{port}"


def headers(port: int) -> dict[str, str]:
    """What every answer says: nothing from elsewhere, nothing inside another page, no address to others."""
    sockets = " ".join(f"ws://{host}" for host in here(port))  # not every browser counts them as 'self'
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self'",
        "connect-src": f"'self' {sockets}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{key} {value}" for key, value in policy.items()),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-cache",
    }


def lasting_token() -> tuple[str, str]:
    """The user's token, the same at every start, so that open pages come back; and a note, empty where all is well.

    It lies in a file that only the user can read. Where that cannot be had, the token is a fresh one for this process.
    """
    file = token_file()
    try:
        return _read(file) if file.exists() else _made(file), ""
    except (OSError, ValueError) as error:
        return secrets.token_urlsafe(TOKEN_BYTES), f"the token is for this start only, as {file} cannot be used ({error})"


def token_file() -> Path:
    """Where the token lies."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if Path(state).is_absolute() else Path("~/.local/state").expanduser()) / "surefoot" / "lab.token"


def _read(file: Path) -> str:
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as opened:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            raise ValueError("it is no file")
        if os.name == "posix" and (seen.st_uid != os.getuid() or stat.S_IMODE(seen.st_mode) & 0o077):
            raise ValueError("others may read or write it; delete it, and a new one is made")
        text = opened.read(1000).decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(text):
        raise ValueError("it holds no token; delete it, and a new one is made")
    return text


def _made(file: Path) -> str:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(token)
        with contextlib.suppress(FileExistsError):  # another lab was started at the same moment: its token is the one
            os.link(beside, file)
    finally:
        beside.unlink(missing_ok=True)
    return _read(file)


def _same(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "replace"), token.encode())
