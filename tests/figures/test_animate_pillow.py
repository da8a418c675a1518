"""Animations read back: by Pillow, by ffprobe, by eye of arithmetic; and nothing else changed."""

from __future__ import annotations

import base64
import io
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from planted_pictures import EVERY_PICTURE, blowing_up, found, line_problem, noisy, rates_apart, run, surface, trace

from surefoot.errors import SettingError
from surefoot.figures import animate as module
from surefoot.figures.animate import animate
from surefoot.figures.frames import frames
from surefoot.figures.layers import Heat, Line, Marks, Points
from surefoot.figures.matplotlib import draw
from surefoot.figures.stills import camera
from surefoot.run import Path as Walked
from surefoot.surfaces.surface import PathOn

FFMPEG = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed: no MP4 and WebM")


def walked(count=41, dimensions=2):
    """The planted surface with one walker that goes straight from 0 to 1, equally far at every step."""
    on = np.stack([np.linspace(0, 1, count)] * dimensions, 1)
    loss = ((on - 1) ** 2).sum(1)
    return replace(surface(dimensions), paths=(PathOn(np.arange(count), on, loss, loss, np.zeros(count), 1.0),))


def fitted():
    share = 1 - 0.8 ** np.arange(31)
    rows = torch.tensor(np.stack([0.1 * share, 1.5 * share - 1], 1))
    weights = {"w": rows[-1, 0], "b": rows[-1, 1]}
    return replace(run(noisy(30)), path=Walked(np.arange(31), rows), weights=weights)


MOVING = {
    "plane": (walked(), None, None),
    "curve": (walked(dimensions=1), None, None),
    "loss": (run(noisy(500), validation=np.where(np.arange(500) % 50 == 49, 0.7, np.nan)), None, None),
    "fit": (fitted(), "fit", line_problem()),
    "rate": (EVERY_PICTURE["trace-rate"][0], "rate", None),
    "map": (rates_apart(), "map", None),
    "list": ([run(noisy(60)), run(noisy(60, 1), lr=0.2), run(blowing_up(), lr=3.0)], None, None),
}


def read(data):
    """The frames as arrays, and how many milliseconds each is shown."""
    with Image.open(io.BytesIO(data)) as film:
        pairs = [(np.asarray(frame.convert("RGB")).astype(int), frame.info["duration"]) for frame in ImageSequence.Iterator(film)]
    images, times = zip(*pairs, strict=True)
    return images, times


def test_pillow_reads_what_was_written():
    film = animate(walked(), seconds=4.0, dpi=60)
    images, times = read(film.data)
    assert len(images) == len(film.frames) == 41
    assert film.size == images[0].shape[1::-1] == (432, 276)
    assert sum(times) == pytest.approx(1000 * film.duration) == pytest.approx(4000)
    assert times[-1] == 1500
    assert max(times[:-1]) - min(times[:-1]) <= 10  # Pillow and browsers count in hundredths of a second
    with Image.open(io.BytesIO(film.data)) as gif:
        assert gif.info["loop"] == 0


@pytest.mark.parametrize(("answer", "kind", "problem"), MOVING.values(), ids=MOVING)
def test_the_gif_holds_the_drawn_frames_in_a_few_colours(answer, kind, problem):
    film = animate(answer, kind=kind, problem=problem, most=6, dpi=60)
    shoot = camera(film.frames, 60)
    images, _ = read(film.data)
    for frame, image in zip(film.frames, images, strict=True):
        off = np.abs(image - shoot(frame)).max(2)
        assert off.mean() < 2.5
        assert (off > 48).mean() < 1e-3
    assert (images[0][0, 0] == 255).all()


def test_the_changed_pixels_follow_the_walker():
    film = animate(walked(), dpi=100)
    images, _ = read(film.data)
    centres = []
    for one, other in pairwise(images):
        rows, columns = np.nonzero(np.abs(other - one)[90:].max(2) > 30)  # below the words, which change too
        centres.append((columns.mean(), rows.mean()))
    x, y = np.array(centres).T
    middle = (np.arange(40) + 0.5) / 40  # of the step, in units of the axes
    for pixels, direction in ((x, 1), (y, -1)):
        slope, start = np.polyfit(middle, pixels, 1)
        assert direction * slope > 80  # a third of the picture
        assert np.abs(pixels - (slope * middle + start)).max() < 4


def fully_drawn(frame, dpi):
    canvas = draw(frame, dpi=dpi).figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].astype(int)


def close(one, other):
    off = np.abs(one - other).max(2)
    return off.mean() < 0.02 and (off > 24).mean() < 2e-4


# In these pictures every frame has the words of the whole one, so that each of them drawn alone has the same layout.
@pytest.mark.parametrize("name", ["plane", "curve"])
def test_a_blitted_frame_is_a_fully_drawn_one(name):
    shown = [replace(frame, caption="") for frame in frames(MOVING[name][0], most=9)]
    shoot = camera(shown, 100)
    drawn = [shoot(frame).astype(int) for frame in shown]
    assert all(close(one, fully_drawn(frame, 100)) for one, frame in zip(drawn, shown, strict=True))
    assert not any(close(one, other) for one, other in pairwise(drawn))


@pytest.mark.parametrize(("answer", "kind", "problem"), MOVING.values(), ids=MOVING)
def test_the_last_blitted_frame_is_the_whole_picture_drawn(answer, kind, problem):
    shown = [replace(frame, caption="") for frame in frames(answer, kind=kind, problem=problem, most=5)]
    assert close(camera(shown, 100)(shown[-1]).astype(int), fully_drawn(shown[-1], 100))


@pytest.mark.parametrize(("answer", "kind", "problem"), MOVING.values(), ids=MOVING)
def test_the_axes_and_the_title_stand_still(answer, kind, problem):
    shown = frames(answer, kind=kind, problem=problem, most=9)
    shoot = camera(shown, 60)
    images = np.stack([shoot(frame) for frame in shown]).astype(int)
    axes = draw(shown[-1], dpi=60)
    axes.figure.canvas.draw()
    left = int(axes.get_window_extent().x0) - 6  # a marker at the edge reaches over it
    below = images.shape[1] - int(axes.get_window_extent().y0) + 6
    assert np.ptp(images[:, :, :left], axis=0).max() == 0
    assert np.ptp(images[:, below:], axis=0).max() == 0
    title = axes._left_title.get_window_extent()
    rows = slice(images.shape[1] - int(title.y1), images.shape[1] - int(title.y0) - 1)
    assert images[:, rows, int(title.x0) : int(title.x1)].min() < 100  # it is there
    assert np.ptp(images[:, rows, int(title.x0) : int(title.x1)], axis=0).max() == 0


def test_any_frame_can_be_drawn_at_any_time():
    shown = frames(walked(), most=5)
    shoot = camera(shown, 60)
    one = shoot(shown[2])
    shoot(shown[4])
    assert np.array_equal(shoot(shown[2]), one)


def test_frames_that_differ_in_their_axes_are_drawn_one_by_one():
    wide, narrow = (Marks("", "x", "y", (0, high), (0, 1), layers=(Points([1], [0.5]),)) for high in (9, 2))
    shoot = camera([wide, narrow], 60)
    assert np.array_equal(shoot(wide), fully_drawn(wide, 60))
    assert np.array_equal(shoot(narrow), fully_drawn(narrow, 60))


def test_what_lies_above_a_moving_layer_stays_above_it():
    above = Heat([0.25, 0.75], [0.5], [[1.0, 2.0]], [[False, False]], (1, 2), "linear", "z")
    shown = [Marks("", "x", "y", (0, 1), (0, 1), layers=(Line([0, 1], [0.5, end], "red"), above)) for end in (0.3, 0.9)]
    shoot = camera(shown, 60)
    assert np.array_equal(shoot(shown[0]), shoot(shown[1]))  # the line is hidden in both


def test_the_moment_stands_above_the_axes_on_the_right():
    shown = frames(walked(), most=3)
    shoot = camera(shown, 100)
    plain = camera([replace(frame, caption="") for frame in shown], 100)
    rows, columns = np.nonzero((shoot(shown[1]) != plain(replace(shown[1], caption=""))).any(2))
    assert rows.max() < 60
    assert columns.min() > 360


def test_a_long_title_makes_room_for_the_moment():
    picture = replace(frames(trace(noisy(20)))[-1], title="a title that is quite as wide as the picture " * 2)
    axes = draw(picture)
    axes.figure.canvas.draw()
    (caption,) = [words for words in axes.texts if words.get_text() == picture.caption]
    assert not caption.get_window_extent().overlaps(axes._left_title.get_window_extent())


def test_few_frames_are_not_stretched():
    film = animate(trace([3.0, 2.0, 1.0]), dpi=40)
    assert read(film.data)[1] == (1000, 1000, 1500)
    assert animate(trace([3.0]), dpi=40).duration == 1.5


def test_a_short_animation_has_fewer_frames():
    film = animate(walked(200), seconds=0.5, dpi=40)
    _, times = read(film.data)
    assert 10 <= len(times) <= 13
    assert min(times) >= 20
    assert sum(times) == 500


def test_a_hundred_and_twenty_frames_are_light():
    film = animate(walked(300), dpi=120)
    assert film.size == (864, 552)
    assert 100 <= len(film.frames) <= 120
    assert len(film.data) < 2e6


@FFMPEG
@pytest.mark.parametrize(("suffix", "codec", "mime"), [(".mp4", "h264", "video/mp4"), (".webm", "vp9", "video/webm")])
def test_ffprobe_reads_what_was_written(tmp_path, suffix, codec, mime):
    path = tmp_path / f"film{suffix}"
    film = animate(walked(), path, dpi=61, seconds=4.0)  # 439 x 280 pixels: films want even numbers
    wanted = "stream=codec_name,width,height,pix_fmt,nb_read_frames:format=duration"
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", wanted, "-of", "default=noprint_wrappers=1", str(path)]
    said = dict(line.split("=") for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert (said["codec_name"], said["pix_fmt"], said["width"], said["height"]) == (codec, "yuv420p", "438", "280")
    assert int(said["nb_read_frames"]) == 40 + round(1.5 * 40 / 2.5)
    assert float(said["duration"]) == pytest.approx(film.duration, abs=0.1) == pytest.approx(4.0, abs=0.1)
    assert (film.mime, film.size) == (mime, (438, 280))
    assert path.read_bytes() == film.data
    assert film._repr_html_().startswith("<video")


@FFMPEG
def test_the_film_shows_the_frames(tmp_path):
    path = tmp_path / "film.mp4"
    film = animate(walked(), path, dpi=100)
    raw = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    pixels = np.frombuffer(subprocess.run(raw, capture_output=True, check=True).stdout, dtype=np.uint8).reshape(-1, 460, 720, 3)
    shoot = camera(film.frames, 100)
    for place in (0, 20, 40):
        assert np.abs(pixels[place].astype(int) - shoot(film.frames[place])).mean() < 6


@FFMPEG
def test_what_ffmpeg_says_is_passed_on(tmp_path, monkeypatch):
    monkeypatch.setitem(module.CODECS, ".mp4", ("no-such-codec",))
    path = tmp_path / "film.mp4"
    path.write_bytes(b"before")
    with pytest.raises(SettingError, match=r"ffmpeg made no \.mp4.*Name a \.gif"):
        animate(walked(), path, dpi=40)
    assert path.read_bytes() == b"before"


def test_a_notebook_shows_it():
    film = animate(walked(), dpi=40, most=5)
    shown = film._repr_mimebundle_()
    assert shown["text/html"].startswith('<img src="data:image/gif;base64,')
    assert base64.b64decode(shown["text/html"].split("base64,")[1].split('"')[0]) == film.data
    assert shown["text/plain"] == str(film) == f"5 frames, 5.5 s, {-(-len(film.data) // 1000)} kB GIF"
    assert repr(film) == f"<Animation: {film}>"


def test_it_is_written_whole_in_the_place_of_what_was_there(tmp_path):
    path = tmp_path / "film.gif"
    path.write_bytes(b"before")
    film = animate(walked(), path, dpi=40, most=5)
    assert path.read_bytes() == film.data
    film.save(str(tmp_path / "again.GIF"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again.GIF", "film.gif"]
    assert (tmp_path / "again.GIF").read_bytes() == film.data


def refused(words, path=None, answer=None, **settings):
    with pytest.raises(SettingError, match=words):
        animate(walked() if answer is None else answer, path, **{"dpi": 40, "most": 3} | settings)


def test_misuse_is_refused_with_the_way_out(tmp_path, monkeypatch):
    refused(r"\.gif, \.mp4 or \.webm file, got .*film\.avi", tmp_path / "film.avi")
    refused(r"\.gif, \.mp4 or \.webm", tmp_path / "film")
    refused("no folder .*missing", tmp_path / "missing" / "film.gif")
    (tmp_path / "folder.gif").mkdir()
    refused("is a folder", tmp_path / "folder.gif")
    refused("cannot be written", tmp_path / f"{'x' * 300}.gif")
    refused("no course", answer=found())
    refused("kind of picture", kind="pie")
    refused("most must be an int from 2 to 300", most=301)
    for seconds in (0, -1, float("nan"), float("inf"), "6", True):
        refused("seconds must be a number", seconds=seconds)
    for dpi in (0, 1000, None):
        refused("dpi must be a number", dpi=dpi)
    monkeypatch.setattr("shutil.which", lambda name: None)
    refused(r"ffmpeg.*install it, or name a \.gif", tmp_path / "film.mp4")
    refused(r"ffmpeg.*install it, or name a \.gif", tmp_path / "film.webm")
    assert [file.name for file in tmp_path.iterdir()] == ["folder.gif"]


def test_a_gif_is_not_saved_as_a_film(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: "/somewhere/ffmpeg")
    with pytest.raises(SettingError, match=r"is a GIF.*name a \.gif"):
        animate(walked(), dpi=40, most=3).save(tmp_path / "film.mp4")


def random_states():
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002


def test_random_numbers_and_answers_stay():
    answer, problem = fitted(), line_problem()
    before = random_states()
    kept = {name: value.clone() for name, value in answer.weights.items()}, answer.path.weights.clone()
    animate(answer, kind="fit", problem=problem, dpi=40, most=5)
    assert random_states() == before
    assert all(torch.equal(answer.weights[name], value) for name, value in kept[0].items())
    assert torch.equal(answer.path.weights, kept[1])
    assert problem.model.b.item() == -1


def test_settings_of_matplotlib_stay_and_pyplot_is_not_loaded():
    code = """
import sys
import matplotlib
before = list(dict.items(matplotlib.rcParams))  # not through rcParams itself: asking it for the backend loads pyplot
from planted_pictures import noisy, rates_apart, run
from surefoot.figures.animate import animate
animate(run(noisy(50)), dpi=40, most=5)
animate(rates_apart(), kind="map", dpi=40, most=5)
assert "matplotlib.pyplot" not in sys.modules
assert list(dict.items(matplotlib.rcParams)) == before
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=environment)


def test_backend_and_current_figure_stay():
    import matplotlib.pyplot as plt

    plt.switch_backend("svg")
    try:
        mine = plt.figure()
        before = (plt.get_backend(), dict(mpl.rcParams), plt.get_fignums(), len(mine.axes))
        animate(walked(), dpi=40, most=5)
        assert (plt.get_backend(), dict(mpl.rcParams), plt.get_fignums(), len(mine.axes)) == before
        assert plt.gcf() is mine
    finally:
        plt.close("all")
        plt.switch_backend("agg")


def test_a_dark_style_of_the_users_is_followed():
    with mpl.rc_context({"text.color": "white", "axes.facecolor": "black", "figure.facecolor": "black"}):
        images, _ = read(animate(run(noisy(50)), dpi=60, most=4).data)
    assert all((image[0, 0] == 0).all() for image in images)
