"""How does each layer look in matplotlib?  a layer + axes -> artists; a new layer is one function and one row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib import colormaps, rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import ListedColormap, LogNorm, Normalize, to_hex, to_rgb
from matplotlib.patheffects import withStroke

from surefoot.figures.layers import Arrows, Band, Colour, Contour, Faces, Heat, Layer, Line, Points, Rule, Span, Words
from surefoot.figures.scales import edges

# Okabe and Ito, "Color Universal Design" (2008): told apart with any colour vision; brown for their yellow, too pale on white.
HEX = {
    "grey": "#808080",
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D0202E",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "brown": "#7A4B1E",
}
BODIES = (("square", "s", 36), ("diamond", "D", 34), ("star", "*", 120))  # names, markers and sizes of filled points
MAP = "viridis"  # brightness rises evenly along it: readable in grey and with any colour vision
BRIGHTEST = 0.85  # the part of that scale that is still seen as a line on white
FAINT = 0.45  # how much is left of the colour of what stands behind; of a single point more, or it is lost
RIM = 3.4  # points: the width of lines, and of the edges of points, with the rim that sets them off from faces of their colour
SEAM = 0.7  # points


def put(ax: Axes, layer: Layer, at: float) -> list[Artist]:
    """Adds one layer at a depth; returns its artists."""
    before = set(ax.get_children())
    _ARTISTS[type(layer)](ax, layer, at)
    return [artist for artist in ax.get_children() if artist not in before]


def depth_of(place: int) -> float:
    """Where a layer stands between the grid behind all of them and the words in front."""
    return 2 + 0.01 * place


def painted(colour: Colour) -> str:
    """A colour of the marks as matplotlib has it: the ink is that of the text."""
    if isinstance(colour, str):
        return HEX.get(colour) or str(rcParams["text.color"])
    return to_hex(colormaps[MAP](BRIGHTEST * colour))


def _line(ax: Axes, layer: Line, depth: float) -> None:
    weight: dict[str, Any] = {"linewidth": 1.8}
    if layer.faint:  # dots are faint by themselves, and must still be followed across a surface
        weight = {"alpha": 0.9, "linewidth": 1.3} if layer.style == "dotted" else {"alpha": FAINT, "linewidth": 0.8}
    weight |= _rim(ax)
    ax.plot(layer.x, layer.y, color=painted(layer.colour), linestyle=layer.style, label=layer.label or "_", zorder=depth, **weight)
    if np.isfinite(layer.y).sum() == 1:  # a single point has no line
        ax.plot(layer.x, layer.y, ".", color=painted(layer.colour), zorder=depth)


def _rim(ax: Axes) -> dict[str, Any]:
    """Over areas of any colour a line needs an edge: a white one over heights, one of the paper over faces."""
    if any(isinstance(collection, QuadMesh) for collection in ax.collections):
        return {"path_effects": [withStroke(linewidth=RIM, foreground="white", alpha=0.8)]}
    return _rim_on_faces(ax)


def _rim_on_faces(ax: Axes) -> dict[str, Any]:
    if any(type(collection) is PolyCollection for collection in ax.collections):
        return {"path_effects": [withStroke(linewidth=RIM, foreground=ax.get_facecolor())]}
    return {}


def _band(ax: Axes, layer: Band, depth: float) -> None:
    ax.fill_between(
        layer.x, layer.low, layer.high, color=painted(layer.colour), alpha=0.25, linewidth=0, label=layer.label or "_", zorder=depth
    )


def _points(ax: Axes, layer: Points, depth: float) -> None:
    colour, edge = painted(layer.colour), ax.get_facecolor()
    shapes: dict[str, dict[str, Any]] = {
        "dot": {"marker": "o", "s": 14, "color": colour, "alpha": 0.7, "linewidths": 0},
        "circle": {"marker": "o", "s": 26, "facecolors": ax.get_facecolor(), "edgecolors": colour, "linewidths": 1.4},
        "cross": {"marker": "x", "s": 60, "color": colour, "linewidths": 2.2, "clip_on": False},
        **{
            name: {"marker": mark, "s": size, "color": colour, "edgecolors": edge, "linewidths": 0.8} for name, mark, size in BODIES
        },
    }
    style = shapes[layer.shape] | ({"alpha": FAINT**0.5} if layer.faint else {}) | _rim_on_faces(ax)
    ax.scatter(layer.x, layer.y, label=layer.label or "_", zorder=depth + 1, **style)


def _rule(ax: Axes, layer: Rule, depth: float) -> None:
    ax.axvline(layer.at, color=painted(layer.colour), linestyle=layer.style, linewidth=1.4, zorder=depth)


def _span(ax: Axes, layer: Span, depth: float) -> None:
    ax.axvspan(layer.low, layer.high, color=painted(layer.colour), alpha=0.14, linewidth=0, label=layer.label, zorder=depth)


def _contour(ax: Axes, layer: Contour, depth: float) -> None:
    ax.plot(layer.x, layer.y, color="white", alpha=0.35, linewidth=0.7, zorder=depth)


def _arrows(ax: Axes, layer: Arrows, depth: float) -> None:
    kept = layer.length != 0
    x, y, length = layer.x[kept], layer.y[kept], layer.length[kept]
    shape: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.0032, "headwidth": 4, "minlength": 0.1}
    ax.quiver(x, y, length, np.zeros(len(x)), color=painted(layer.colour), zorder=depth, **shape)
    ax.plot([], [], color=painted(layer.colour), marker=">", markersize=4, label=layer.label or "_")


def _heat(ax: Axes, layer: Heat, depth: float) -> None:
    x, y = edges(layer.x, ax.get_xscale()), edges(layer.y, ax.get_yscale())  # type: ignore[arg-type]
    ax.pcolormesh(x, y, np.ma.masked_invalid(layer.values), norm=norm(layer), cmap=MAP, zorder=depth)
    lost = np.ma.masked_equal(layer.diverged, False)
    ax.pcolormesh(x, y, lost, cmap=ListedColormap([HEX["grey"]]), alpha=0.25, linewidth=0, zorder=depth)
    rows, columns = np.nonzero(layer.diverged)
    ax.scatter(
        layer.x[columns],
        layer.y[rows],
        marker="x",
        s=20,
        color=HEX["grey"],
        linewidths=1,
        label="diverged" if len(rows) else "_",
        zorder=depth,
    )


def norm(layer: Heat | Faces) -> Normalize:
    """The scale of the colours of areas."""
    return (LogNorm if layer.scale == "log" else Normalize)(*layer.limits, clip=True)


def _faces(ax: Axes, layer: Faces, depth: float) -> None:
    filled = ScalarMappable(norm(layer), MAP).to_rgba(np.ma.masked_invalid(layer.values))[:, :3] * layer.shade[:, None]
    filled[np.isnan(layer.values)] = 0.25 * np.array(to_rgb(HEX["grey"])) + 0.75 * np.array(to_rgb(ax.get_facecolor()))
    corners = list(np.stack([layer.x, layer.y], -1))
    # an edge of its own colour covers the seams that smooth edges leave between two faces
    ax.add_collection(PolyCollection(corners, facecolors=filled, edgecolors=filled, linewidths=SEAM, zorder=depth), autolim=False)


def _words(ax: Axes, layer: Words, depth: float) -> None:
    across, upright = layer.anchor.split()
    style: dict[str, Any] = {"ha": across, "va": upright, "color": painted(layer.colour), "fontsize": 9, "zorder": depth}
    for x, y, text in zip(layer.x, layer.y, layer.texts, strict=True):
        ax.text(x, y, text, **style)


_ARTISTS: dict[type[Layer], Callable[[Axes, Any, float], None]] = {
    Line: _line,
    Band: _band,
    Points: _points,
    Rule: _rule,
    Span: _span,
    Heat: _heat,
    Contour: _contour,
    Arrows: _arrows,
    Faces: _faces,
    Words: _words,
}
