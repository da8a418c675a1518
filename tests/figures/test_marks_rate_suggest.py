"""The picture of a range test against the rules themselves, and of what was found against its fields."""

from __future__ import annotations

import numpy as np
import pytest
from planted_pictures import found, noisy, range_test, run, trace

from surefoot.errors import SettingError
from surefoot.figures.marks import Line, Points, Rule, Span, marks
from surefoot.find.found import Found
from surefoot.find.rules import RULES
from surefoot.find.suggest import suggest


def smooth(picture):
    return next(line for line in picture.of(Line) if not line.faint)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_every_rule_stands_where_suggest_says(noise):
    test = range_test(noise=noise, highest=1e4)
    answers = {name: suggest(test, name) for name in RULES}
    picture = marks(test)
    drawn = {rule.label.split()[0]: rule.at for rule in picture.of(Rule)}
    assert drawn == {name: answer.lr for name, answer in answers.items() if answer.lr is not None}
    assert len(drawn) > len(RULES) / 2
    silent = {name for note in picture.notes if note.startswith("No rate from") for name in note[13:].split(":")[0].split(", ")}
    assert silent == {name for name, answer in answers.items() if answer.lr is None}


def test_rules_without_an_answer_are_named():
    flat = trace(np.full(100, 2.3), np.geomspace(1e-6, 10, 100))
    picture = marks(flat)
    reason = suggest(flat).reason
    assert picture.notes[0] == f"No rate from {', '.join(RULES)}: {reason}."


def test_the_curve_is_the_loss_over_the_rate():
    test = range_test()
    picture = marks(test)
    (raw,) = (line for line in picture.of(Line) if line.faint)
    np.testing.assert_array_equal(raw.x, test["lr"])
    np.testing.assert_array_equal(raw.y, test["loss"])
    shown = int(np.argmax(test["loss"] > picture.y_limits[1])) + 1
    np.testing.assert_array_equal(smooth(picture).x, test["lr"][:shown])
    np.testing.assert_array_equal(smooth(picture).y, test["loss"][:shown])


def test_the_blow_up_does_not_flatten_the_fall():
    test = range_test()
    assert test["loss"].max() > 1e20
    low, high = marks(test).y_limits
    assert 2.1 < high < 5
    assert low < 0.2


def test_the_blow_up_does_not_lift_the_smoothed_curve_before_it():
    test = range_test(noise=0.02)
    line = smooth(marks(test))
    before = (line.x > 0.2) & (line.x < 1)
    assert line.y[before].max() < 0.3


def test_found_shows_its_numbers():
    answer = found()
    picture = marks(answer)
    assert [rule.at for rule in picture.of(Rule)] == [answer.lr, answer.ceiling]
    assert [(span.low, span.high) for span in picture.of(Span)] == [(answer.low, answer.high)]
    assert "0.03" in picture.title
    assert "1,000 steps" in picture.title
    assert "Verified by four descents" in picture.notes


def test_found_shows_the_trials_it_rests_on():
    answer = found()
    ends, lost = (
        next(points for points in marks(answer).of(Points) if "trial" in points.label and points.shape == shape)
        for shape in ("circle", "cross")
    )
    assert ends.x.tolist() == [0.01, 0.03, 0.1]
    np.testing.assert_allclose(ends.y, [noisy(30, seed)[-3:].mean() for seed in range(3)])
    assert lost.x.tolist() == [0.5]


def test_found_without_trials_or_ceiling():
    picture = marks(Found(0.03, 0.03, 0.03, None, False, "flat", (), 0, 0.0, 10))
    assert [rule.at for rule in picture.of(Rule)] == [0.03]
    assert "not confident" in picture.title
    assert picture.x_limits[0] < 0.03 < picture.x_limits[1]


def test_a_range_test_is_known_by_its_rising_rate():
    assert marks(range_test()).x_label == "learning rate"
    assert marks(trace(noisy(50), np.geomspace(0.1, 0.001, 50))).x_label == "step"
    warm_up = trace(noisy(50), np.minimum(np.linspace(0.001, 0.2, 50), 0.1)[::-1])
    assert marks(warm_up).x_label == "step"


def test_a_constant_rate_has_no_such_picture():
    with pytest.raises(SettingError, match="rises from row to row"):
        marks(trace(noisy(20)), kind="rate")
    with pytest.raises(SettingError, match="no kind of picture"):
        marks(run(noisy(20)), kind="rate")


def test_a_range_test_that_ends_at_once():
    picture = marks(trace([np.nan, np.nan], [1e-3, 10.0]), kind="rate")
    assert picture.of(Points)[0].shape == "cross"
    assert not len(smooth(picture).x)
