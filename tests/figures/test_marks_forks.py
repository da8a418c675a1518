"""The picture of the fork test: the losses of the forks as they are, the best of the higher rates, no fork no picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from planted_pictures import diagnosed

from surefoot.errors import SettingError
from surefoot.figures.layers import Line
from surefoot.figures.marks import marks


def test_the_three_rates_of_the_fork_and_the_best_higher_one_are_drawn():
    lines = marks(diagnosed()).of(Line)
    assert [line.label for line in lines] == ["lr 0.01", "lr 0.1", "lr 0.3", "lr 1"]
    for line, rate in zip(lines[:3], (0.01, 0.1, 0.3), strict=True):
        np.testing.assert_allclose(line.y, (1 - rate) ** (2.0 * np.arange(20)) / 2)


def test_the_verdict_is_its_title_and_the_remedy_stands_below():
    picture = marks(diagnosed())
    assert picture.title == "too-small: the same steps at other rates"
    assert picture.notes[:2] == ("The loss falls slowly.", "Use 0.5.")


def test_without_forks_there_is_nothing_to_draw_and_it_is_said_why():
    with pytest.raises(SettingError, match="give diagnose the problem"):
        marks(dataclasses.replace(diagnosed(), forks={}))
