"""How does an answer travel to the page?  a message of plain values and arrays -> one binary frame, and back.

A frame is the length of the header (uint32, little-endian), the header (JSON in UTF-8, filled up with spaces to a multiple of four bytes) and all
arrays one after the other as float32: a page reads them where they lie, without parsing. In the header an array is ``{"f32": [offset, count]}``.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from surefoot.figures.layers import Marks, Panels


def packed(message: Mapping[str, Any]) -> bytes:
    """A message as one frame.

    Args:
        message: texts, numbers, lists and mappings of them, and numpy arrays of numbers, of any shape (row by row); what is too large for float32
            becomes infinite, and a number by itself that is not finite becomes null.

    Example:
        >>> frame = packed({"kind": "scene", "loss": np.array([1.0, np.nan])})
        >>> message = unpacked(frame)
        >>> message["kind"], message["loss"].tolist()
        ('scene', [1.0, nan])
    """
    arrays: list[np.ndarray[Any, Any]] = []
    header = json.dumps(_plain(message, arrays), separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode(
        "utf-8", "replace"
    )
    header += b" " * (-len(header) % 4)
    return b"".join([struct.pack("<I", len(header)), header, *(array.tobytes() for array in arrays)])


def unpacked(frame: bytes) -> dict[str, Any]:
    """The message of a frame, its arrays one-dimensional.

    Raises:
        ValueError: the bytes are no frame.
    """
    (length,) = struct.unpack_from("<I", frame)
    data = np.frombuffer(frame, "<f4", offset=4 + length)
    message: dict[str, Any] = json.loads(frame[4 : 4 + length], object_hook=lambda item: _array(item, data))
    return message


def picture(marks: Marks | Panels) -> dict[str, Any]:
    """A picture as a part of a message.

    >>> from surefoot.figures.layers import Line
    >>> made = picture(Marks("a line", "x", "y", (0, 1), (0, 2), layers=(Line([0, 1], [0, 2]),)))
    >>> made["type"], made["layers"][0]["type"], made["layers"][0]["y"].tolist()
    ('marks', 'line', [0.0, 2.0])
    """
    known = {field.name: getattr(marks, field.name) for field in fields(marks)}
    return {"type": type(marks).__name__.lower(), **{name: _part(value) for name, value in known.items()}}


def _part(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_part(each) for each in value]
    return picture(value) if is_dataclass(value) else value  # type: ignore[arg-type]


def _plain(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, np.ndarray):
        offset = sum(len(array) for array in arrays)
        with np.errstate(over="ignore"):
            arrays.append(np.ascontiguousarray(value, "<f4").reshape(-1))
        return {"f32": [offset, value.size]}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, arrays) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _array(item: dict[str, Any], data: np.ndarray[Any, Any]) -> Any:
    if item.keys() != {"f32"}:
        return item
    offset, count = item["f32"]
    return data[offset : offset + count]
