"""A picture that moves.  answer -> frames -> a GIF, or a film where ffmpeg is there; in memory, in a file, in a notebook."""

from __future__ import annotations

import base64
import contextlib
import io
import math
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from surefoot.errors import SettingError
from surefoot.figures.artists import HEX
from surefoot.figures.frames import MOST, frames
from surefoot.figures.layers import Marks, Panels
from surefoot.figures.matplotlib import themed
from surefoot.figures.stills import Pixels, camera
from surefoot.problem import Problem

MIMES = {".gif": "image/gif", ".mp4": "video/mp4", ".webm": "video/webm"}
HOLD = 1.5  # seconds of the last frame, in an animation of at least twice that
SLOWEST = 1.0  # seconds of any other frame at most
FASTEST = 0.02  # seconds: browsers show a frame of a GIF that is shorter than that five times as long
COLOURS = 255  # of a GIF
EXACT = 16  # of them are those that most pixels have
TELLING = 8  # of 256: colours nearer than that to one of these are taken for it
LEAST_RATE = 10  # images per second in a film: some players stutter below
SHARPEST = 200  # dots per inch: 1440 x 920 pixels, of which 300 frames take 2 GB while they are made
CODECS = {
    ".mp4": ("libx264", "-crf", "18", "-preset", "veryfast", "-movflags", "+faststart"),
    ".webm": ("libvpx-vp9", "-crf", "30", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "6"),
}


@dataclass(frozen=True, repr=False)
class Animation:
    """A picture that moves; a notebook shows it.

    Attributes:
        frames: the pictures as numbers, one after the other.
        data: the bytes of the GIF, MP4 or WebM.
        mime: what they are: ``"image/gif"``, ``"video/mp4"`` or ``"video/webm"``.
        size: width and height in pixels.
        duration: seconds from the first frame to the end of the last.
    """

    frames: tuple[Marks | Panels, ...]
    data: bytes = field(repr=False)
    mime: str
    size: tuple[int, int]
    duration: float

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the animation to a file, whole or not at all; one that is there is replaced.

        Raises:
            SettingError: the name does not end as the format wants, or the file cannot be written.
        """
        target = Path(path)
        if MIMES[_checked(target)] != self.mime:
            suffix = next(suffix for suffix, mime in MIMES.items() if mime == self.mime)
            raise SettingError(
                f"This animation is a {_kind(self.mime)}, got {str(path)!r}: name a {suffix} file, or animate the answer again with that path."
            )
        _write(self.data, target)

    def _repr_html_(self) -> str:
        source = f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"
        if self.mime == "image/gif":
            return f'<img src="{source}" alt="{self}" style="max-width: 100%"/>'
        return f'<video src="{source}" width="{self.size[0]}" style="max-width: 100%" controls loop autoplay muted></video>'

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def __str__(self) -> str:
        count = len(self.frames)
        return f"{count} frame{'s' * (count != 1)}, {self.duration:.1f} s, {_weight(len(self.data))} {_kind(self.mime)}"

    def __repr__(self) -> str:
        return f"<Animation: {self}>"


def animate(
    answer: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    kind: str | None = None,
    problem: Problem | None = None,
    seconds: float = 6.0,
    most: int = 120,
    dpi: float = 100,
    theme: str | None = None,
) -> Animation:
    """The picture of a descent, from its start to its end.

    Args:
        answer: a `Run`, a `Trace`, a list of them, or a `Surface` with paths.
        path: where it is also written: a ``.gif``; with the program ffmpeg also an ``.mp4`` or a ``.webm``. None: only in memory, as a GIF.
        kind: as in `plot`.
        problem: as in `plot`.
        seconds: how long it is, 0.1 to 120; the last frame is held for 1.5 of them, or for half of them if they are fewer than 3. An animation
            of a few frames may be shorter: none but the last is shown for more than a second.
        most: frames at most, 2 to 300, spaced by what changes (`frames`).
        dpi: dots per inch, 20 to 200; a picture is 7.2 by 4.6 inches.
        theme: as in `plot`.

    Returns:
        `Animation`.

    Raises:
        SettingError: the value has no picture or no course, a setting is out of range, or the file cannot be written.

    Example:
        >>> from surefoot.trace import Row, Trace
        >>> trace = Trace.of([Row(k, 0.0, 0.1, 1.0 - k / 4, 1.0, 0.1, 1.0, float("nan"), 0.0) for k in range(4)])
        >>> film = animate(trace, dpi=50)
        >>> film.mime, film.size, len(film.frames), film.data[:6]
        ('image/gif', (360, 230), 4, b'GIF89a')
    """
    suffix = ".gif" if path is None else _checked(Path(path))
    _check_number("seconds", seconds, 0.1, 120)
    _check_number("dpi", dpi, 20, SHARPEST)
    if isinstance(most, int) and 2 < most <= MOST:
        most = min(most, max(2, 1 + int((seconds - _held(seconds)) / FASTEST)))
    pictures = frames(answer, kind=kind, problem=problem, most=most)
    with themed(theme):
        data, (height, width) = _filmed(pictures, _times(len(pictures), seconds), dpi, suffix)
    duration = sum(_times(len(pictures), seconds))
    animation = Animation(pictures, data, MIMES[suffix], (width, height), duration)
    if path is not None:
        _write(data, Path(path))
    return animation


def _filmed(pictures: Sequence[Marks | Panels], times: Sequence[float], dpi: float, suffix: str) -> tuple[bytes, tuple[int, int]]:
    """The file, and the height and the width of its images."""
    shoot = camera(pictures, dpi)
    height, width = shoot(pictures[0]).shape[:2]
    if suffix == ".gif":
        palette = _palette([shoot(pictures[place]) for place in (0, len(pictures) // 2, -1)])
        return _gif(map(shoot, pictures), times, palette), (height, width)
    even = height // 2 * 2, width // 2 * 2  # films keep colours for 2 x 2 pixels together
    return _film(map(shoot, pictures), even, times, suffix), even


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SettingError(f"{name} must be a number from {low} to {high}, got {value!r}.")


def _checked(path: Path) -> str:
    """The suffix of a path that can be written, with what is there.

    Raises:
        SettingError: no animation has that suffix, ffmpeg is needed and missing, or there is no such folder.
    """
    suffix = path.suffix.lower()
    if suffix not in MIMES:
        raise SettingError(f"An animation is a {', '.join(list(MIMES)[:-1])} or {list(MIMES)[-1]} file, got {str(path)!r}.")
    if suffix in CODECS and shutil.which("ffmpeg") is None:
        raise SettingError(f"A {suffix} file needs the program ffmpeg, which is not there: install it, or name a .gif file.")
    try:
        folder, taken = path.parent.is_dir(), path.is_dir()
    except OSError as error:
        raise _unwritable(path, error) from error
    if not folder:
        raise SettingError(f"There is no folder {str(path.parent)!r} for {path.name}: make it first, or name another.")
    if taken:
        raise SettingError(f"{str(path)!r} is a folder: name a file.")
    return suffix


def _held(seconds: float) -> float:
    return min(HOLD, seconds / 2)


def _times(count: int, seconds: float) -> list[float]:
    """Seconds of each frame: hundredths, as a GIF counts them, that add up to the whole."""
    hold = _held(seconds)
    each = min(SLOWEST, (seconds - hold) / max(1, count - 1))
    ends = [round(100 * each * place) for place in range(count)]
    return [(later - one) / 100 for one, later in pairwise(ends)] + [round(hold, 2)]


def _gif(images: Iterable[Pixels], times: Sequence[float], palette: Image.Image) -> bytes:
    """One palette for all images, without dithering: a colour that changes with the frame flickers, and is a new one to be written."""
    first, *rest = (Image.fromarray(image).quantize(palette=palette, dither=Image.Dither.NONE) for image in images)
    milliseconds = [round(1000 * time) for time in times]
    # with its palette repeated for every frame it is larger by a kilobyte each, but Pillow takes seconds to find that they are all the same
    settings: dict[str, Any] = {"duration": milliseconds, "optimize": True, "transparency": COLOURS, "loop": 0}
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, **settings)
    return buffer.getvalue()


def _palette(images: Sequence[Pixels]) -> Image.Image:
    """255 colours, the last of 256 being kept for what does not change: those of paper and layers, and near ones of all others."""
    packed, counts = np.unique(np.concatenate(images).reshape(-1, 3) @ np.array([1 << 16, 1 << 8, 1]), return_counts=True)
    colours = np.stack([packed >> 16, packed >> 8, packed], -1).astype(np.uint8)
    frequent = colours[np.argsort(-counts)[:EXACT]]
    named, paper = np.array([list(bytes.fromhex(colour[1:])) for colour in HEX.values()]), frequent[0].astype(int)
    tints = [(paper + part * (named - paper)).round().astype(np.uint8) for part in (1, 0.75, 0.5, 0.25)]  # the edges of lines
    exact = np.zeros((1, 3), dtype=np.uint8)
    for colour in np.concatenate([frequent[:1], *tints, frequent]):
        exact = np.concatenate([exact, _apart(colour[None], exact)])
    # by the root of their number: else the white of the paper takes the place of the colours of a thin line
    weighted = np.repeat(colours, np.sqrt(counts).astype(int), axis=0)[None]
    near = Image.fromarray(weighted).quantize(COLOURS - len(exact), method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    others = np.array(near.getpalette(), dtype=np.uint8).reshape(-1, 3)
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([exact, _apart(others, exact)])[:COLOURS].tobytes())
    return palette


def _apart(colours: Pixels, others: Pixels) -> Pixels:
    """Those that are no near ones of others: Pillow looks colours up in steps, and white would become the nearly white beside it."""
    distances = np.abs(colours[:, None].astype(int) - others).max(2).min(1)
    return np.compress(distances > TELLING, colours, axis=0)


def _film(images: Iterable[Pixels], shape: tuple[int, int], times: Sequence[float], suffix: str) -> bytes:
    height, width = shape
    moving = sum(times[:-1])
    again = max(1, math.ceil(LEAST_RATE * moving / (len(times) - 1))) if moving else 1
    rate = again * (len(times) - 1) / moving if moving else LEAST_RATE
    counts = [again] * (len(times) - 1) + [max(1, round(rate * times[-1]))]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, f"film{suffix}")  # a file, since the index at the front of an MP4 is written last
        layout = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-framerate", f"{rate:.6f}", "-i", "-")
        command = ["ffmpeg", "-v", "error", *layout, "-pix_fmt", "yuv420p", "-c:v", *CODECS[suffix], str(target)]
        _pipe(command, ((image[:height, :width], count) for image, count in zip(images, counts, strict=True)))
        return target.read_bytes()


def _pipe(command: Sequence[str], images: Iterable[tuple[Pixels, int]]) -> None:
    """Gives each image so many times to ffmpeg, one at a time: all of them together would be hundreds of megabytes."""
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints) as program:
            assert program.stdin is not None
            try:
                for image, count in images:
                    for _ in range(count):
                        program.stdin.write(np.ascontiguousarray(image).data)
            except BrokenPipeError:  # it gave up; why is in its complaints
                pass
            with contextlib.suppress(BrokenPipeError):
                program.stdin.close()
        if program.returncode:
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip().splitlines() or [f"exit status {program.returncode}"]
            raise SettingError(f"ffmpeg made no {Path(command[-1]).suffix} file: {said[-1]}. Name a .gif file instead.")


def _write(data: bytes, path: Path) -> None:
    """Beside the file first, then in its place: one that was there survives a failure."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with temporary.open("xb") as file:  # readable for whom the user's files are, unlike those of tempfile
            file.write(data)
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> SettingError:
    return SettingError(f"{str(path)!r} cannot be written ({error.strerror or error}): name another file.")


def _kind(mime: str) -> str:
    return {"image/gif": "GIF", "video/mp4": "MP4", "video/webm": "WebM"}[mime]


def _weight(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{math.ceil(count / 1000)} kB"
