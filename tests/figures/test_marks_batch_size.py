"""The picture of a batch size: speed as a share, steps and time as multiples of the best, the noise scale and what fits where they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from planted_pictures import batch_size

from surefoot.batch.fits import Fits
from surefoot.figures.layers import Line, Rule, Span
from surefoot.figures.marks import marks

SIZES = np.array([1, 4, 16, 64, 256, 1024])


def test_the_curves_are_the_planted_ones():
    speed, steps, times = marks(batch_size()).of(Line)
    rates = SIZES / (1 + SIZES / 100)
    np.testing.assert_allclose(speed.y, rates / rates[-1])
    np.testing.assert_allclose(steps.y, 1 + 100 / steps.x)
    assert (steps.x[0], steps.x[-1]) == pytest.approx((1, 1024))
    taken = (1 + 100 / SIZES) * (1 + SIZES / 100)  # steps x seconds of a step: lowest at 100, where both halves are 2
    np.testing.assert_allclose(times.y, taken / taken.min())
    assert times.x[times.y.argmin()] == 64


def test_the_noise_scale_is_a_span_of_two_standard_errors():
    (span,) = marks(batch_size()).of(Span)
    assert (span.low, span.high) == (80.0, 120.0)
    assert "100" in span.label
    assert "10" in span.label


def test_what_to_use_and_what_fits_are_rules():
    assert [(rule.at, rule.label) for rule in marks(batch_size()).of(Rule)] == [(128, "use 128"), (2000, "fits 2,000")]
    parts = batch_size(batch_size=32, accumulate=4, memory=Fits(40, 2**30, "memory", (), 20))
    assert [(rule.at, rule.label) for rule in marks(parts).of(Rule)] == [(128, "use 128 = 32 x 4"), (40, "fits 40")]
    assert [rule.at for rule in marks(batch_size(memory=Fits(10**7, 2**30, "data", (), 20))).of(Rule)] == [128]


def test_where_the_noise_scale_is_not_known_only_the_speed_is_drawn():
    picture = marks(batch_size(math.inf, math.nan, confident=False))
    assert len(picture.of(Line)) == 1
    assert not picture.of(Span)
    assert picture.title == "Batch size 128 (not confident)"
    assert "not known" in picture.notes[-1]


def test_everything_is_inside():
    for answer in (batch_size(), batch_size(1e6, 1e5), batch_size(1e-3, 1e-4)):
        picture = marks(answer)
        low, high = picture.x_limits
        assert all(low <= rule.at <= high for rule in picture.of(Rule))
        assert all(low <= span.low < span.high <= high for span in picture.of(Span))
        assert all(line.y.min() >= picture.y_limits[0] for line in picture.of(Line))
