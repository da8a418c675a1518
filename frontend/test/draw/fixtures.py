"""What do Python and matplotlib say of the same numbers?  surefoot.figures -> fixtures/*.json, which the tests of the page's drawing read.

Run from the root of the repository after a change of surefoot/figures: ``python frontend/test/draw/fixtures.py``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps

from surefoot.figures.artists import MAP
from surefoot.figures.height_field import draped, height_field, hidden, lifted, project
from surefoot.figures.layers import COLOURS, Faces, Heat
from surefoot.figures.pictures.landscape import landscape_picture
from surefoot.figures.pictures.relief import TALL, relief_picture
from surefoot.figures.scales import edges, number, tick_labels, ticks
from surefoot.problem import Problem
from surefoot.surfaces.surface import landscape

FOLDER = Path(__file__).with_name("fixtures")
VALUES = (
    0.0,
    1.0,
    -1.0,
    12.0,
    0.001,
    1e-5,
    1e-6,
    0.05,
    0.31622,
    1000.0,
    1234.6,
    999999.4,
    1e6,
    2.4e24,
    -1234567.0,
    1e300,
    5e-324,
    0.1 + 0.2,
)
LINEAR = ((0.0, 1.0), (0.0, 300.0), (-4.2, 4.9), (1e-7, 3e-7), (-2e5, 8e5), (0.50011, 0.50016), (0.0, 1e30))
LOG = ((1e-4, 1.0), (0.02, 0.9), (1e-30, 1e30), (0.3, 0.5), (1e-300, 1e300), (1.0, 1.3))
VIEWS = ((-60.0, 35.0), (30.0, 10.0), (170.0, 80.0), (-135.0, 5.0))


def main() -> None:
    """Writes all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name, value in (("numbers", numbers()), ("colours", colours()), ("relief", relief())):
        (FOLDER / f"{name}.json").write_text(json.dumps(value, separators=(",", ":")) + "\n")


def numbers() -> dict[str, Any]:
    """Numbers, ticks and edges of cells as text renderers and matplotlib have them."""
    axes = [(limits, "linear") for limits in LINEAR] + [(limits, "log") for limits in LOG]
    found = [(limits, scale, most, ticks(limits, scale, most)) for limits, scale in axes for most in (3, 5, 7)]  # type: ignore[arg-type]
    centres = np.array([0.01, 0.1, 0.5, 2.0])
    return {
        "numbers": [[value, number(value)] for value in VALUES],
        "ticks": [[list(limits), scale, most, list(at), tick_labels(at)] for limits, scale, most, at in found],
        "whole": [[[-0.4, 3.4], 7, list(ticks((-0.4, 3.4), "linear", 7, True))]],
        "edges": [[scale, centres.tolist(), edges(centres, scale).tolist()] for scale in ("log", "linear")],  # type: ignore[arg-type]
    }


def colours() -> dict[str, Any]:
    """Scales of colours, 256 steps each, and the names."""
    steps = {
        name: [[round(255 * float(part), 1) for part in colormaps[name](step)[:3]] for step in range(256)]
        for name in ("viridis", "cividis")
    }
    return {"names": list(COLOURS), "map": MAP, **steps}


def relief() -> dict[str, Any]:
    """A surface with a hole and a cut-off top; from several sides its faces, points on it, and which of these are hidden."""
    bumpy = Problem.of(lambda x: ((x[0] ** 2 - 1) ** 2 + 0.5 * x[1] ** 2 + 0.4 * x[0] * x[1]).log1p(), start=[1.5, 1.0])
    surface = landscape(bumpy, resolution=17, extent=(-2, 2, -2, 2))
    flat = landscape_picture(surface)
    heat = flat.of(Heat)[0]
    return {
        "x": heat.x.tolist(),
        "y": heat.y.tolist(),
        "loss": heat.values.round(9).ravel().tolist(),
        "limits": list(heat.limits),
        "scale": heat.scale,
        "views": [_view(surface, heat, *view) for view in VIEWS],
    }


def _view(surface: Any, heat: Heat, azimuth: float, elevation: float) -> dict[str, Any]:
    low, high = heat.limits
    share = np.log(heat.values / low) / math.log(high / low) if heat.scale == "log" else (heat.values - low) / (high - low)
    floor = np.linspace(-1, 1, len(heat.x)), np.linspace(-1, 1, len(heat.y))
    field = height_field(*floor, TALL * np.clip(share, 0, 1), azimuth, elevation)
    points = np.random.default_rng(0).uniform(-0.95, 0.95, (80, 2)).round(4)
    places = lifted(field, points)
    walk = np.array([[-0.9, -0.7], [0.1, 0.8], [0.6, -0.2], [1.5, 0.4]])
    drawn = relief_picture(surface, azimuth, elevation).of(Faces)[0]
    first, last, behind = draped(field, walk)
    length = np.linalg.norm((last - first)[:, :2], axis=1)
    return {
        "azimuth": azimuth,
        "elevation": elevation,
        "corners": np.unique(np.stack([drawn.x.ravel(), drawn.y.ravel()], 1).round(6), axis=0).ravel().tolist(),
        "points": points.ravel().tolist(),
        "places": project(field, places).round(7).ravel().tolist(),
        "hidden": hidden(field, places).astype(int).tolist(),
        "walk": walk.ravel().tolist(),
        "walk_length": float(length.sum()),
        "walk_hidden": float(length[behind].sum()),
    }


if __name__ == "__main__":
    main()
