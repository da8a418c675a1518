"""A noisy curve and what is behind it.  smoothed bins -> a line, with its raw values as a faint line or as a band."""

from __future__ import annotations

import numpy as np

from surefoot.figures.layers import Band, Colour, Layer, Limits, Line, Scale
from surefoot.figures.smoothing import Smoothed
from surefoot.trace import Column


def smooth_layer(curve: Smoothed, scale: Scale, colour: Colour, label: str, style: str = "solid") -> Line:
    """The smoothed values; a gap where the axis has no place for them."""
    return Line(curve.x, drawable(curve.mean, scale), colour, label, style)


def raw_layer(curve: Smoothed, scale: Scale, limits: Limits, colour: Colour, label: str) -> Layer:
    """The raw values: one by one where every bin holds one, else from the lowest to the highest of each bin."""
    if curve.per_bin == 1:
        return Line(curve.x, drawable(curve.low, scale), colour, label and f"{label}, each step", faint=True)
    low, high = (np.maximum(edge, limits[0]) if scale == "log" else edge for edge in (curve.low, curve.high))
    return Band(curve.x, low, high, colour, label and f"{label}, lowest to highest")


def smoothing_note(reach: int) -> tuple[str, ...]:
    """How far the smoothing looked, if it did anything."""
    return (f"Smoothed: mean over up to {reach:,} steps to either side, nearer ones counting more.",) if reach else ()


def drawable(values: Column, scale: Scale) -> Column:
    """The values that have a place on the axis; NaN for the others."""
    return np.where(values > 0, values, np.nan) if scale == "log" else values


def positive(values: Column) -> Column:
    """The values above zero."""
    return values[values > 0]
