"""What does the page consist of?  a path -> the built file with its type and its tag, packed where that is understood."""

from __future__ import annotations

import functools
import gzip
import hashlib
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

PAGE = Path(__file__).parent / "page"
TYPES = {"index.html": "text/html", "lab.js": "text/javascript", "lab.css": "text/css"}


class _Built(NamedTuple):
    plain: bytes
    packed: bytes
    tag: str


def answer(name: str, request: Request) -> Response:
    """The file, or that the browser has it already."""
    try:
        seen = (PAGE / name).stat()
        built = _built(PAGE / name, seen.st_mtime_ns)
    except OSError:
        return PlainTextResponse(f"The page has not been built: {name} is missing. In frontend/, run: npm run build", 503)
    headers = {"etag": built.tag, "vary": "accept-encoding"}
    if built.tag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(built.packed, headers={**headers, "content-encoding": "gzip"}, media_type=TYPES[name])
    return Response(built.plain, headers=headers, media_type=TYPES[name])


@functools.lru_cache(maxsize=8)
def _built(path: Path, changed: int) -> _Built:
    """The file as of its last change; whoever builds the page anew sees it at once."""
    plain = path.read_bytes()
    return _Built(plain, gzip.compress(plain, mtime=0), f'W/"{hashlib.sha256(plain).hexdigest()[:20]}"')
