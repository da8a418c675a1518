"""Every frame as pixels.  frames -> images of one size: what they share is drawn once, the rest of each over a copy of that.

Drawing a whole figure takes about 0.1 seconds, most of it for axes and words that are the same in every frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias, cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Annotation, Text

from surefoot.figures.artists import depth_of, put
from surefoot.figures.layers import Arrows, Band, Contour, Faces, Heat, Layer, Line, Marks, Panels, Points, Rule, Span, Words
from surefoot.figures.matplotlib import CAPTION, draw, draw_layers, new_axes, panels_caption

Pixels: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"
Entry: TypeAlias = tuple[Any, ...]  # what tells the entries of a legend apart
FLAT = (Line, Band, Points, Rule, Span, Heat, Contour, Arrows, Faces, Words)


def camera(frames: Sequence[Marks | Panels], dpi: float) -> Callable[[Marks | Panels], Pixels]:
    """What makes images of frames.

    Args:
        frames: marks that differ in their layers and captions only, the whole picture last; any others are drawn one by one.
        dpi: dots per inch.

    Returns:
        A function of any of the frames, whose answer is (height, width, 3) uint8.

    Example:
        >>> walker = [Marks("", "x", "y", (0, 1), (0, 1), layers=(Points([x], [0.5]),)) for x in (0.2, 0.7)]
        >>> left, right = map(camera(walker, 50), walker)
        >>> left.shape, bool(np.ptp(np.nonzero((left != right).any(2))[1]) > 100)  # pixels: from where it was to where it is
        ((230, 360, 3), True)
    """
    several = [frame for frame in frames if isinstance(frame, Panels)]
    if len(several) == len(frames):
        return _beside(several, dpi)
    single = [frame for frame in frames if isinstance(frame, Marks)]
    if len(single) < len(frames) or not _alike(single) or not _flat(draw(single[-1], dpi=dpi)):
        return lambda frame: _alone(frame, dpi)
    stage = _stage(single, dpi)
    return lambda frame: _shot(stage, cast(Marks, frame))


def _beside(frames: Sequence[Panels], dpi: float) -> Callable[[Marks | Panels], Pixels]:
    """For pictures beside each other: the hindmost layers that stay the same are drawn once."""
    whole = frames[-1]
    still = [_hindmost([frame.panels[place] for frame in frames]) for place in range(len(whole.panels))]
    bare = tuple(replace(panel, layers=panel.layers[:count]) for panel, count in zip(whole.panels, still, strict=True))
    figure = cast(Figure, draw(replace(whole, panels=bare, caption=""), dpi=dpi).figure)
    axes, canvas = figure.axes[: len(bare)], cast(Any, figure.canvas)
    canvas.draw()
    figure.set_layout_engine("none")
    background = canvas.copy_from_bbox(figure.bbox)
    caption = panels_caption(figure, "")

    def shot(frame: Marks | Panels) -> Pixels:
        canvas.restore_region(background)
        caption.set_text(frame.caption)
        figure.draw_artist(caption)
        for ax, panel, count in zip(axes, cast(Panels, frame).panels, still, strict=True):
            for place, layer in enumerate(panel.layers[count:], count):
                for artist in put(ax, layer, depth_of(place)):
                    ax.draw_artist(artist)
                    artist.remove()
        return _pixels(canvas)

    return shot


def _hindmost(frames: Sequence[Marks]) -> int:
    """How many layers, from the first on, are the same in all frames."""
    fixed = _fixed(frames)
    return next((place for place in range(len(frames[-1].layers)) if place not in fixed), len(frames[-1].layers))


def _alike(frames: Sequence[Marks]) -> bool:
    """Whether only layers that are known here and the caption differ."""
    whole = frames[-1]
    same = [field.name for field in fields(whole) if field.name not in ("layers", "caption")]
    return all(
        all(getattr(frame, name) == getattr(whole, name) for name in same) and all(type(layer) in FLAT for layer in frame.layers)
        for frame in frames
    )


def _flat(drawn: Any) -> bool:
    """Whether a picture is drawn on two axes at right angles, and nothing is beside them but a scale of colours."""
    if not isinstance(drawn, Axes) or drawn.name != "rectilinear":
        return False
    return all(ax is drawn or ax.get_label() == "<colorbar>" for ax in drawn.figure.axes)


def _alone(frame: Marks | Panels, dpi: float) -> Pixels:
    drawn = draw(frame, dpi=dpi)
    canvas = np.ravel(np.asarray(drawn, dtype=object))[0].figure.canvas.figure.canvas
    canvas.draw()
    return _pixels(canvas)


def _pixels(canvas: Any) -> Pixels:
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


@dataclass(frozen=True)
class _Stage:
    """What is drawn once, and what is needed to draw the rest of a frame.

    Attributes:
        background: the pixels of all that lies below the lowest layer that moves.
        fixed: which layers are the same in all frames.
        above: what does not move, but lies above something that does.
        flags: the words at the top of each rule.
        legend: for each entry of the legend what tells it from the others, its sample and its words.
        caption: None where no frame has one.
    """

    ax: Axes
    background: Any
    fixed: frozenset[int]
    above: tuple[Artist, ...]
    flags: tuple[tuple[Rule, Artist], ...]
    legend: tuple[tuple[Entry | None, Artist, Text], ...]
    caption: Annotation | None


def _stage(frames: Sequence[Marks], dpi: float) -> _Stage:
    whole = _roomy(frames)
    ax = new_axes(dpi)
    figure, canvas = cast(Figure, ax.figure), cast(Any, ax.figure.canvas)
    artists = draw_layers(whole, ax)
    canvas.draw()  # with everything in it, so that the layout has room for it
    figure.set_layout_engine("none")
    fixed = _fixed(frames)
    lowest = min((depth_of(place) for frame in frames for place in range(len(frame.layers)) if place not in fixed), default=np.inf)
    moving = {artist for place, some in enumerate(artists) if place not in fixed for artist in some}
    flags = tuple((rule, text) for rule in whole.of(Rule) for text in ax.texts if text.get_text() == rule.label)
    captions = (text for text in ax.texts if isinstance(text, Annotation) and text.get_gid() == CAPTION)
    caption = next(captions, None)
    legend = ax.get_legend()
    apart = {artist for artist in (caption, legend, *(text for _, text in flags)) if artist is not None}
    rest = [child for child in ax.get_children() if child not in moving | apart and child.get_visible()]
    # words stand around the data, not above them
    above = tuple(child for child in rest if child.get_zorder() >= lowest and not isinstance(child, Text))
    _show({*moving, *apart, *above}, False)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    _show({*apart, *above}, True)
    if caption is not None:
        _hold_left(caption)
    return _Stage(ax, background, fixed, above, flags, _entries(legend, whole), caption)


def _show(artists: Iterable[Artist], shown: bool) -> None:
    for artist in artists:
        artist.set_visible(shown)


def _hold_left(caption: Annotation) -> None:
    """Words of changing length stand still where they begin."""
    box = caption.get_window_extent()
    x, y = caption.xyann
    caption.set_horizontalalignment("left")
    caption.xyann = (x - box.width * 72 / caption.figure.dpi, y)


def _roomy(frames: Sequence[Marks]) -> Marks:
    """The whole picture with the longest words of all frames."""
    names = [_names(frame) for frame in frames]
    longest = {entry: max((name.get(entry, "") for name in names), key=len) for entry in names[-1]}
    whole = frames[-1]
    worded = dict(zip(_entry_of(whole).values(), longest.values(), strict=True))
    layers = tuple(
        replace(cast(Any, layer), label=worded[place]) if place in worded else layer for place, layer in enumerate(whole.layers)
    )
    return replace(whole, layers=layers, caption=max((frame.caption for frame in frames), key=len))


def _entry_of(picture: Marks) -> dict[Entry, int]:
    """Which layer a legend means by an entry; two layers that look alike are told apart by their order."""
    found: dict[Entry, int] = {}
    for place, layer in enumerate(picture.layers):
        if isinstance(layer, Line | Band | Points | Span):
            # the raw values of a descent are a faint line while they are few, then a band
            kind = Band if getattr(layer, "faint", False) else type(layer)
            look = (kind, layer.colour, getattr(layer, "style", "") if kind is Line else "", getattr(layer, "shape", ""))
            count = sum(entry[:-1] == look for entry in found)
            found[*look, count] = place
    return found


def _names(picture: Marks) -> dict[Entry, str]:
    return {entry: str(getattr(picture.layers[place], "label", "")) for entry, place in _entry_of(picture).items()}


def _fixed(frames: Sequence[Marks]) -> frozenset[int]:
    """The places of layers that are the same in all frames."""
    whole = frames[-1].layers
    return frozenset(
        place
        for place, layer in enumerate(whole)
        if all(place < len(frame.layers) and _same(frame.layers[place], layer) for frame in frames)
    )


def _same(one: Layer, other: Layer) -> bool:
    return one is other or one == other


def _entries(legend: Legend | None, whole: Marks) -> tuple[tuple[Entry | None, Artist, Text], ...]:
    if legend is None:
        return ()
    entries = {label: entry for entry, label in reversed(_names(whole).items())}
    pairs = zip(legend.legend_handles, legend.get_texts(), strict=True)
    return tuple((entries.get(text.get_text()), sample, text) for sample, text in pairs if sample is not None)


def _shot(stage: _Stage, frame: Marks) -> Pixels:
    ax, canvas = stage.ax, cast(Any, stage.ax.figure.canvas)
    canvas.restore_region(stage.background)
    moving = [
        artist for place, layer in enumerate(frame.layers) if place not in stage.fixed for artist in put(ax, layer, depth_of(place))
    ]
    for artist in sorted([*stage.above, *moving, *_flags(stage, frame)], key=lambda artist: artist.get_zorder()):
        ax.draw_artist(artist)
    for artist in [*_legend(stage, frame), *_caption(stage, frame)]:
        ax.draw_artist(artist)
    for artist in moving:
        artist.remove()
    return _pixels(canvas)


def _flags(stage: _Stage, frame: Marks) -> list[Artist]:
    return [flag for rule, flag in stage.flags if any(_same(rule, layer) for layer in frame.layers)]


def _legend(stage: _Stage, frame: Marks) -> Iterator[Artist]:
    names = _names(frame)
    for entry, sample, text in stage.legend:
        if entry is not None:
            text.set_text(names.get(entry, ""))
        if text.get_text():
            yield from (sample, text)


def _caption(stage: _Stage, frame: Marks) -> list[Artist]:
    if stage.caption is None:
        return []
    stage.caption.set_text(frame.caption)
    return [stage.caption]
