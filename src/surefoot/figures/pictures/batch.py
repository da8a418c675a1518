"""How many samples per step?  a batch size that was found -> speed, steps and time to a target, the noise scale, what fits."""

from __future__ import annotations

import math

import numpy as np

from surefoot.batch.batch_size import BatchSize
from surefoot.figures.layers import Layer, Limits, Line, Marks, Points, Rule, Span
from surefoot.figures.scales import number, padded
from surefoot.trace import Column

CURVE = 60  # points of a predicted curve
ERRORS = 2.0  # standard errors to either side of the noise scale
HIGHEST = 100.0  # times the best: what is worse is cut off


def batch_picture(answer: BatchSize) -> Marks:
    """What a batch size costs and brings, each relative to its best.

    Args:
        answer: the answer of `find_batch_size`.

    Returns:
        Marks with the measured samples per second as a share of the most (below 1), the predicted steps to a target as a multiple of the fewest
        (above 1), the product of both as a multiple of the least wall time, a `Span` of two standard errors around the noise scale, and a `Rule`
        at the size to use, at what is useful and at what fits. Where the noise scale is not known, the speed and what fits are all there is.
    """
    sizes = np.array([size for size, _ in answer.samples_per_second], dtype=np.float64)
    speeds = np.array([speed for _, speed in answer.samples_per_second])
    known = math.isfinite(answer.noise_scale)
    limits = padded(float(min(sizes.min(), _seen(answer, sizes).min())), float(max(sizes.max(), _seen(answer, sizes).max())), "log")
    expected = [_noise(answer, limits), _predicted(answer, sizes)] if known else [[], []]
    layers = [*expected[0], *_speed(sizes, speeds), *expected[1], *_rules(answer)]
    heights = np.concatenate([layer.y for layer in layers if isinstance(layer, Line)])
    return Marks(
        title=f"Batch size {answer.batch_size:,}" + (f" x {answer.accumulate}" if answer.accumulate > 1 else "") + _doubt(answer),
        x_label="batch size (samples per update)",
        y_label="relative to the best (1)",
        x_limits=limits,
        y_limits=padded(float(heights.min()), float(min(HIGHEST, max(heights.max(), 2.0))), "log"),
        x_scale="log",
        y_scale="log",
        layers=tuple(layers),
        notes=_notes(answer, float(speeds.max())),
    )


def _seen(answer: BatchSize, sizes: Column) -> Column:
    """Sizes that must be on the axis; what fits only where it is not far beyond the others."""
    near = [answer.fits] if answer.fits <= 10 * sizes.max() else []
    useful = [answer.useful] if math.isfinite(answer.useful) else []
    return np.clip(np.array([answer.samples, *near, *useful], dtype=np.float64), 1.0, None)


def _noise(answer: BatchSize, limits: Limits) -> list[Layer]:
    low = max(answer.noise_scale - ERRORS * answer.error, limits[0])
    high = min(answer.noise_scale + ERRORS * answer.error, limits[1])
    label = f"noise scale {number(answer.noise_scale, 2)} ± {number(answer.error, 2)}"
    return [Span(low, high, label, "sky")] if low < high else []


def _speed(sizes: Column, speeds: Column) -> list[Layer]:
    share = speeds / speeds.max()
    return [Line(sizes, share, "green", "samples per second"), Points(sizes, share, "green", "", "circle")]


def _predicted(answer: BatchSize, sizes: Column) -> list[Layer]:
    fine = np.geomspace(sizes.min(), max(sizes.max(), answer.samples), CURVE)
    steps = np.array([answer.noise.steps_at(size) for size in fine])
    times = np.array([time for _, time in answer.time_to_target])
    return [
        Line(fine, steps, "orange", "steps to a target, predicted", "dashed"),
        Line(sizes, times, "blue", "time to a target here", "dashdot"),
        Points(sizes, times, "blue", "", "dot"),
    ]


def _rules(answer: BatchSize) -> list[Layer]:
    parts = f" = {answer.batch_size:,} x {answer.accumulate}" if answer.accumulate > 1 else ""
    rules: list[Layer] = [Rule(answer.samples, f"use {answer.samples:,}{parts}", "ink")]
    if answer.fits != answer.samples and answer.fits <= 10 * max(size for size, _ in answer.samples_per_second):
        held = "all the data" if answer.memory.bound == "data" else "fits"
        rules.append(Rule(answer.fits, f"{held} {answer.fits:,}", "grey" if answer.memory.bound == "data" else "red", "dashed"))
    return rules


def _notes(answer: BatchSize, most: float) -> tuple[str, ...]:
    notes = [
        f"1 is the best: {number(most)} samples per second, the fewest steps, the least time.",
        f"{answer.reason[:1].upper()}{answer.reason[1:]}.",
    ]
    if not math.isfinite(answer.noise_scale):
        notes.append("Steps and time to a target are not known, for the noise scale is not.")
    return tuple(notes)


def _doubt(answer: BatchSize) -> str:
    return "" if answer.confident else " (not confident)"
