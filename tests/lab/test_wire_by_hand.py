"""Frames taken apart with struct and json alone."""

import json
import struct

import numpy as np

from surefoot.figures.layers import Band, Line, Marks, Panels
from surefoot.lab.wire import packed, picture, unpacked


def taken_apart(frame):
    (length,) = struct.unpack("<I", frame[:4])
    assert length % 4 == 0
    header, data = json.loads(frame[4 : 4 + length]), frame[4 + length :]
    return header, list(struct.unpack(f"<{len(data) // 4}f", data))


def test_a_frame_is_a_length_a_header_and_floats():
    frame = packed(
        {"kind": "scene", "rows": 3, "a": np.arange(3), "b": [{"c": np.array([[0.5, 1.5], [2.5, 3.5]])}], "none": float("nan")}
    )
    header, floats = taken_apart(frame)
    assert header == {"kind": "scene", "rows": 3, "a": {"f32": [0, 3]}, "b": [{"c": {"f32": [3, 4]}}], "none": None}
    assert floats == [0.0, 1.0, 2.0, 0.5, 1.5, 2.5, 3.5]


def test_numbers_that_are_not_finite_survive_in_arrays():
    _, floats = taken_apart(packed({"x": np.array([np.inf, -np.inf, 1e300, 2.0])}))
    assert floats == [float("inf"), float("-inf"), float("inf"), 2.0]
    assert np.isnan(unpacked(packed({"x": np.array([np.nan])}))["x"]).all()


def test_words_of_all_kinds_survive():
    for text in ("größer ≤ ∞", "</script>", "\x00\n\t\"'", "😀", "\ud800 half"):
        shown = unpacked(packed({"text": text, "x": np.zeros(2)}))["text"]
        assert shown == text.encode("utf-8", "replace").decode()


def test_a_picture_keeps_all_of_its_layers():
    marks = Marks(
        "t", "x", "y", (0, 1), (0, 2), layers=(Line([0, 1], [2, np.nan], 0.25, "l", "dashed"), Band([0], [1], [2])), notes=("n",)
    )
    header, floats = taken_apart(packed(picture(Panels("p", (marks, marks)))))
    line, band = header["panels"][0]["layers"]
    assert (line["type"], line["colour"], line["style"], line["x"], band["type"]) == (
        "line",
        0.25,
        "dashed",
        {"f32": [0, 2]},
        "band",
    )
    assert header["panels"][1]["x_limits"] == [0, 1]
    assert header["panels"][1]["notes"] == ["n"]
    assert len(floats) == 2 * (4 + 3)


def test_messages_without_arrays_are_short():
    assert len(packed({"kind": "progress", "done": 1})) < 40
