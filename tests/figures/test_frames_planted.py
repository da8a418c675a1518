"""Which moments are shown, against paths and traces whose movement is known by formula."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from planted_pictures import AWKWARD, EVERY_PICTURE, blowing_up, found, line_problem, noisy, run, surface, trace

from surefoot.errors import SettingError
from surefoot.figures.frames import cut, frames
from surefoot.figures.layers import Heat, Line, Points
from surefoot.figures.marks import marks
from surefoot.figures.terminal import text
from surefoot.problem import Problem
from surefoot.run import Path
from surefoot.surfaces.surface import PathOn

WIDTH = 3.0  # of the planted surface: its axes go from -1 to 2
MOVING = {name: row for name, row in EVERY_PICTURE.items() if not name.startswith(("batch", "found", "diagnosis"))}


def walked(*along, steps=None):
    """The planted surface with paths of these coordinates, (points, 2) each."""
    paths = []
    for coordinates in along:
        loss = ((coordinates - 1) ** 2).sum(1)
        count = np.arange(len(coordinates)) if steps is None else steps
        paths.append(PathOn(count, coordinates, loss, loss, np.zeros(len(loss)), 1.0))
    return replace(surface(2), paths=tuple(paths))


def steps_of(shown):
    return np.array([int(frame.caption.split(":")[0].removeprefix("step ").replace(",", "")) for frame in shown])


def diagonal(places):
    return np.stack([places, places], 1)


def test_an_exponential_approach_moves_equally_far_from_frame_to_frame():
    rate = 0.98
    shown = steps_of(frames(walked(diagonal(1 - rate ** np.arange(300))), most=20))
    gone = np.sqrt(2) / WIDTH * (1 - rate**shown)  # closed form: how much of the picture lies behind
    strides = np.diff(gone) + 0.05 * np.diff(shown) / 299  # and a small share for the steps
    assert len(shown) in (19, 20)
    assert strides[:-1].max() < 1.35 * strides[:-1].min()  # two steps more or less: the first ones are 1 % of the picture each
    assert np.diff(shown)[0] * 8 < np.diff(shown)[-2]


def test_of_two_walkers_the_faster_one_decides():
    fast = diagonal(1 - 0.98 ** np.arange(300))
    slow = fast / 3
    assert np.array_equal(steps_of(frames(walked(slow, fast), most=20)), steps_of(frames(walked(fast), most=20)))


def test_a_descent_that_stands_still_gets_few_frames():
    places = np.minimum(np.arange(300) / 60, 1)
    shown = steps_of(frames(walked(diagonal(places))))
    assert (shown <= 60).sum() > 50
    assert 1 < (shown > 60).sum() < 30
    assert len(frames(walked(diagonal(np.zeros(300))))) < 40


def test_a_walker_that_leaps_leaves_the_frames_to_the_others():
    leaps = diagonal(0.5 + 0.5 * (-1.0) ** np.arange(300) * (np.arange(300) < 10))
    shown = steps_of(frames(walked(leaps, diagonal(np.arange(300) / 300)), most=60))
    assert shown[:11].tolist() == list(range(11))
    assert len(shown) == 60
    assert np.diff(shown)[10:-1].max() - np.diff(shown)[10:-1].min() <= 1


def test_what_is_beyond_the_picture_does_not_count():
    away = diagonal(np.append(np.zeros(5), 3.0 + np.arange(295)))
    assert len(frames(walked(away))) < 40


@pytest.mark.parametrize("most", [2, 7, 300])
def test_there_are_never_more_than_asked_for(most):
    for answer in (trace(noisy(5000)), walked(np.random.default_rng(0).uniform(-1, 2, (3000, 2)))):
        assert 2 <= len(frames(answer, most=most)) <= most


def test_fewer_moments_are_fewer_frames():
    assert steps_of(frames(trace([3.0, 2.0, 1.5]))).tolist() == [1, 2, 3]
    assert [len(frames(answer)) for answer in (trace([2.3]), run([2.3]))] == [1, 2]


@pytest.mark.parametrize("most", [1, 301, 0, True, 2.5, "many"])
def test_a_number_of_frames_that_makes_no_sense_is_refused(most):
    with pytest.raises(SettingError, match=f"from 2 to 300.*{most}"):
        frames(trace(noisy(20)), most=most)


@pytest.mark.parametrize(("answer", "kind", "problem"), MOVING.values(), ids=MOVING)
def test_only_layers_and_captions_change_and_the_last_frame_is_the_whole_picture(answer, kind, problem):
    if kind == "fit":  # the planted run has no path of its own
        answer = fitted()
    whole, shown = marks(answer, kind=kind, problem=problem), frames(answer, kind=kind, problem=problem, most=12)
    assert replace(shown[-1], caption="") == whole
    assert len(shown) > 3
    for frame in shown:
        for field in {field.name for field in fields(frame)} - {"layers", "caption"}:
            assert getattr(frame, field) == getattr(whole, field)
        assert {(heat.limits, heat.scale) for heat in frame.of(Heat)} <= {(heat.limits, heat.scale) for heat in whole.of(Heat)}
    captions = [frame.caption for frame in shown]
    assert len(set(captions)) == len(captions)
    assert shown[0] != shown[-1]


@pytest.mark.parametrize("answer", AWKWARD.values(), ids=AWKWARD)
def test_awkward_losses_have_frames(answer):
    shown = frames(answer, kind="loss", most=9)
    assert replace(shown[-1], caption="") == marks(answer, kind="loss")
    assert all(frame.layers for frame in shown[1:])


def test_the_first_frame_is_the_start():
    places = np.linspace(0, 1, 50)
    first, *_ = frames(walked(diagonal(places), diagonal(-places)))
    assert [(line.x.tolist(), line.y.tolist()) for line in first.of(Line)] == [([0], [0])] * 2
    assert first.caption == "step 0"


def test_every_frame_ends_where_the_walker_was():
    places = 1 - 0.9 ** np.arange(80)
    for frame in frames(walked(diagonal(places)), most=15):
        step = int(frame.caption.split(":")[0].split()[1])
        (line,) = frame.of(Line)
        assert len(line.x) == step + 1
        assert line.x[-1] == places[step]
        assert frame.caption == f"step {step}: loss {frame_loss(places[step])}"


def frame_loss(place):
    return "2" if place == 0 else format(2 * (place - 1) ** 2, ".3g") if 2 * (place - 1) ** 2 >= 1e-3 else scientific(place)


def scientific(place):
    mantissa, exponent = f"{2 * (place - 1) ** 2:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def test_a_loss_curve_grows_from_its_start():
    for frame in frames(trace(2.0 - 0.01 * np.arange(100)), most=10):
        (line,) = frame.of(Line)
        assert np.array_equal(line.x, np.arange(steps_of([frame])[0]))
        assert np.allclose(line.y, 2.0 - 0.01 * line.x)


def test_a_run_diverges_when_it_diverges():
    lost = [run(blowing_up(40), lr=1.0), run(noisy(80), lr=0.1)]
    for frame in frames(lost):
        crosses = [points for points in frame.of(Points) if points.shape == "cross"]
        assert len(crosses) == (steps_of([frame])[0] >= 40)
    shown = frames(run(blowing_up(40)))
    assert shown[-1].caption == "step 40: loss not finite"
    assert not any(points.shape == "cross" for frame in shown[:-1] for points in frame.of(Points))


def test_the_cross_of_a_run_that_diverged_stays_where_it_is():
    late = noisy(80)
    late[70] = 1000.0  # the axis of the whole picture reaches higher than those before
    lost = [run(blowing_up(40), lr=1.0), run(late, lr=0.1)]
    crosses = [points.y[0] for frame in frames(lost) for points in frame.of(Points) if points.shape == "cross"]
    assert len(crosses) > 20
    assert set(crosses) == {marks(lost).of(Points)[-1].y[0]}


def test_losses_of_zero_have_no_place_in_any_frame_of_a_logarithmic_picture():
    shown = frames(run(np.concatenate([[1.0, 0.0, 0.9], np.geomspace(1, 1e-6, 40)])))
    assert shown[-1].y_scale == "log"
    assert not any((line.y <= 0).any() for frame in shown for line in frame.of(Line))


def test_a_path_is_cut_by_its_number_of_updates():
    steps = np.array([0, 10, 20, 40])
    places = walked(diagonal(np.linspace(0, 1, 4)), steps=steps)
    for step, kept in ((0, 1), (9, 1), (10, 2), (39, 3), (40, 4), (-5, 1), (100, 4)):
        (path,) = cut(places, step).paths
        assert path.steps.tolist() == steps[:kept].tolist()
        assert all(len(getattr(path, name)) == kept for name in ("coordinates", "loss", "under", "distance"))
    assert cut(places, 10).loss is places.loss


class Shared(torch.nn.Module):
    """A frozen parameter, a buffer, and one parameter under two names: none of them is a part of the path of its own."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([7.0]))
        self.first = torch.nn.Parameter(torch.zeros(2, 2))
        self.frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
        self.second = torch.nn.Parameter(torch.zeros(1))
        self.again = self.first


def shared_run(model):
    rows = torch.arange(25.0).reshape(5, 5)  # after 0, 2, 4, 6, 8 updates
    path = Path(np.arange(0, 10, 2), rows)
    return replace(run(np.arange(8.0, 0, -1)), path=path, weights=dict(model.state_dict()), state={"some": 1})


def test_a_run_is_cut_to_the_weights_that_it_had():
    model = Shared()
    problem = Problem(model, [torch.zeros(1)], objective=lambda model, batch: model.second.sum())
    whole = shared_run(model)
    before = {name: value.clone() for name, value in whole.weights.items()}
    then = cut(whole, 5, problem)
    assert then.trace["loss"].tolist() == [8, 7, 6, 5, 4]
    assert then.path.steps.tolist() == [0, 2, 4]
    assert then.weights["first"].tolist() == then.weights["again"].tolist() == [[10, 11], [12, 13]]
    assert then.weights["second"].tolist() == [14]
    assert (then.weights["mean"].item(), then.weights["frozen"].item()) == (7, 1)
    assert (then.ended, then.state, dict(then.config)) == ("interrupted", {}, dict(whole.config))
    assert all(torch.equal(whole.weights[name], value) for name, value in before.items())
    assert cut(whole, 5).weights == {}  # nobody knows which of them are trained
    assert cut(whole, 8, problem) is whole


def test_cut_at_its_start_a_run_keeps_a_row_and_a_point():
    then = cut(shared_run(Shared()), 0)
    assert (len(then.trace), len(then.path)) == (1, 1)


def test_every_run_of_a_list_is_cut():
    short, long = run(noisy(10)), run(noisy(50))
    assert [len(each.trace) for each in cut([short, long], 30)] == [10, 30]
    assert cut([short, long], 30)[0] is short


def fitted():
    """Weights that walk from (w, b) = (0, -1) to the true (0.1, 0.5)."""
    share = 1 - 0.9 ** np.arange(61)
    rows = torch.tensor(np.stack([0.1 * share, 1.5 * share - 1], 1))
    weights = {"w": rows[-1, 0], "b": rows[-1, 1]}
    return replace(run(noisy(60)), path=Path(np.arange(61), rows), weights=weights)


def test_the_fitted_line_is_that_of_the_moment():
    problem = line_problem()
    shown = frames(fitted(), kind="fit", problem=problem, most=30)
    for frame in shown:
        share = 1 - 0.9 ** steps_of([frame])[0]
        line = frame.of(Line)[-1]
        assert np.allclose(line.y, 0.1 * share * line.x + 1.5 * share - 1)
    assert (problem.model.w.item(), problem.model.b.item()) == (0, -1)


def test_the_picture_of_a_range_test_keeps_its_words():
    answer, kind, _ = EVERY_PICTURE["trace-rate"]
    whole = marks(answer, kind=kind)
    words = {getattr(layer, "label", "") for layer in whole.layers}
    shown = frames(answer)
    assert shown[0].x_label == whole.x_label == "learning rate"
    for frame in shown:
        assert {getattr(layer, "label", "") for layer in frame.layers if type(layer).__name__ in ("Rule", "Span")} <= words


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (found(), "A Found has no course.*trials"),
        (replace(surface(2), paths=()), "Surface without paths.*landscape"),
        ("line", "no picture"),
        (None, "no picture"),
        ([], "empty"),
    ],
    ids=["found", "no paths", "text", "nothing", "empty"],
)
def test_what_has_no_course_is_refused_with_the_way_out(answer, words):
    with pytest.raises(SettingError, match=words):
        frames(answer)


@pytest.mark.parametrize("answer", [found(), "line", None], ids=repr)
def test_what_has_no_course_cannot_be_cut(answer):
    with pytest.raises(SettingError, match="no course"):
        cut(answer, 3)


def test_the_terminal_shows_the_moment():
    lines = text(frames(trace(noisy(20)))[4], 60, 10, colourful=False).splitlines()
    assert lines[1].startswith("step 5: loss ")
    assert not any(line.startswith("step 5") for line in text(marks(trace(noisy(20))), 60, 10, colourful=False).splitlines())
