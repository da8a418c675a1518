"""Basins against borders, minima and stability limits that are known on paper, descents one by one, and SciPy's stiff integrator."""

import copy
import functools

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from surefoot import Problem, descend, descend_many, problems, stop
from surefoot.errors import SettingError
from surefoot.surfaces.basin import basin
from surefoot.surfaces.flow import View, rests
from surefoot.surfaces.grid import Rows
from surefoot.surfaces.surface import landscape

HIMMELBLAU = np.array([[3, 2], [-2.805118, 3.131312], [-3.779310, -3.283186], [3.584428, -1.848127]])  # Himmelblau 1972
STEP = 10 ** (4 / 24)  # from one of 25 rates to the next: 100 squared in 24 steps


def started(problem: Problem, *start: float) -> Problem:
    """The same problem from another start."""
    model = copy.deepcopy(problem.model)
    with torch.no_grad():
        model.x.copy_(torch.tensor(start))
    return problem.with_(model=model)


def standing(problem: Problem):
    """A run that ends next to where it began."""
    return descend(problem, lr=1e-7, steps=1)


# ---- which minimum


@pytest.mark.parametrize(("start", "expected"), [(-3.0, -1), (-0.5, -1), (-1e-4, -1), (1e-4, 2), (0.5, 2), (3.5, 2)])
def test_the_hilltop_is_the_border(start, expected):
    """f'(x) = x (x + 1) (x - 2): downhill is to the left of 0 on its left, to the right on its right."""
    valley = started(problems.load("valley"), start)
    found = basin(valley, standing(valley), rates=0, starts=0)
    assert found.minimum.point[0] == pytest.approx(expected, abs=1e-6)
    assert (found.lower is None) == (expected == 2)


def test_each_of_himmelblaus_four_draws_its_neighbours():
    for minimum in HIMMELBLAU:
        for offset in ((0.5, 0.3), (-0.4, 0.4), (0.2, -0.6)):
            problem = started(problems.load("himmelblau"), *(minimum + offset))
            found = basin(problem, standing(problem), rates=0, starts=0)
            assert found.minimum.point == pytest.approx(tuple(minimum), abs=1e-5)
            assert found.lower is None  # all four are equally low


def himmelblau_downhill(_, point):
    x, y = point
    one, other = x**2 + y - 11, x + y**2 - 7
    return -np.array([4 * x * one + 2 * other, 2 * one + 4 * y * other])


def test_the_flow_is_that_of_scipy():
    points = np.random.default_rng(0).uniform(-5, 5, (40, 2))
    model = copy.deepcopy(problems.load("himmelblau").model).double()
    rows = Rows(problems.load("himmelblau").with_(model=model), "train", 0)
    ends = rests(rows, points, View(np.full(2, -5.0), np.full(2, 5.0), 100.0), np.empty((0, 2)))
    assert {each.how for each in ends} == {"minimum"}
    for point, end in zip(points, ends, strict=True):
        by_scipy = solve_ivp(himmelblau_downhill, (0, 100), point, method="Radau", rtol=1e-8, atol=1e-10).y[:, -1]
        assert end.point == pytest.approx(by_scipy, abs=1e-4)


def test_every_dent_of_rastrigin_draws_what_lies_between_its_hills():
    """Its coordinates do not touch: a weight goes downhill along x^2 - 10 cos(2 pi x), from one hilltop to the next."""
    x = np.linspace(-3.2, 3.2, 640_001)
    rising = 2 * x + 20 * np.pi * np.sin(2 * np.pi * x) > 0
    hills, dents = x[1:][rising[:-1] & ~rising[1:]], x[1:][~rising[:-1] & rising[1:]]
    points = np.random.default_rng(0).uniform(hills[0], hills[-1], (300, 2))
    expected = dents[np.searchsorted(dents, hills[0]) :][np.searchsorted(hills, points) - 1]
    model = copy.deepcopy(problems.load("rastrigin").model).double()
    rows = Rows(problems.load("rastrigin").with_(model=model), "train", 0)
    ends = rests(rows, points, View(np.full(2, -3.2), np.full(2, 3.2), 25.0), np.empty((0, 2)))
    assert np.array([each.point for each in ends]) == pytest.approx(expected, abs=1e-4)


def test_one_that_the_problem_does_not_name_is_found_beyond_the_path():
    bowl = Problem.of(lambda x: ((x - 7) ** 2).sum() / 2, start=torch.tensor([100.0], dtype=torch.float64))
    found = basin(bowl, descend(bowl, lr=0.001, steps=10))
    assert found.minimum.point[0] == pytest.approx(7, abs=1e-6)
    assert found.distance == pytest.approx(93 * 0.999**10, abs=1e-5)
    assert not found.settled
    assert "not settled" in str(found)


def test_settled_is_one_percent_of_the_way_down():
    bowl = Problem.of(lambda x: (x**2).sum() / 2, start=torch.tensor([1.0], dtype=torch.float64))
    # the loss shrinks by 0.9^2 per step: below 0.01 after 22 steps, not after 21
    assert [basin(bowl, descend(bowl, lr=0.1, steps=n), rates=0, starts=0).settled for n in (21, 22)] == [False, True]


def test_stuck_on_a_high_ring():
    problem = problems.load("rastrigin")
    found = basin(problem, descend(problem, lr=0.001, steps=100))
    assert found.settled
    assert np.round(found.minimum.point).tolist() == [2, 2]
    assert found.lower.point == pytest.approx((0, 0), abs=1e-6)
    assert found.lower.loss == pytest.approx(0, abs=1e-10)
    assert max(abs(x) for x in found.start) < 0.51  # the nearest start that gets to the middle lies in the middle dent


def test_a_line_of_minima_has_none_lower():
    product = Problem.of(lambda x: (x[0] * x[1] - 1) ** 2, start=[2.0, 0.1])
    found = basin(product, descend(product, lr=0.02, steps=200), rates=5, starts=2)
    assert found.settled
    assert found.lower is None
    assert np.prod(found.minimum.point) == pytest.approx(1, abs=1e-5)


# ---- in no minimum


def test_a_run_that_diverged_has_no_minimum_and_is_told_which_rate_has():
    valley = problems.load("valley")
    found = basin(valley, descend(valley, lr=1.0, steps=200))
    assert (found.minimum, found.settled) == (None, False)
    assert np.isnan(found.distance)
    assert found.lower.point[0] == pytest.approx(2, abs=1e-6)
    assert "the run diverged at step" in str(found)
    assert 0.2 < found.rate[0] < found.rate[1] < 1 / 3


def test_a_diverged_member_of_a_population():
    valley = problems.load("valley")
    run = descend_many(valley, lr=[0.1, 3.0], steps=50).runs[1]
    assert run.ended == "diverged"
    assert basin(valley, run, rates=0, starts=0).lower.point[0] == pytest.approx(2, abs=1e-6)


def test_on_a_mountain_pass():
    problem = started(problems.load("saddle"), 1.0, 0.0)
    found = basin(problem, descend(problem, lr=0.1, steps=50), starts=0)
    assert found.minimum is None
    assert "on a saddle" in found.note
    assert found.rate is None  # on the ridge the gradient has no part across it, at any rate
    assert "reaches it from this start" in str(found)


def test_on_a_hilltop():
    problem = started(problems.load("valley"), 0.0)
    assert "hilltop" in basin(problem, standing(problem), rates=0, starts=0).note


def test_on_a_plateau():
    problem = Problem.of(lambda x: -torch.exp(-(x**2)).sum(), start=[9.0])
    found = basin(problem, descend(problem, lr=0.1, steps=10), starts=0)
    assert found.minimum is None
    assert "a plateau" in found.note
    assert [each.point[0] for each in found.minima] == pytest.approx([0], abs=1e-6)  # no point of the plateau is one


def test_where_the_loss_falls_for_ever():
    slope = Problem.of(lambda x: x.sum(), start=[3.0])
    found = basin(slope, descend(slope, lr=0.1, steps=10))
    assert (found.minimum, found.lower, found.rate, found.start, found.minima) == (None, None, None, None, ())
    assert "leads out of what was looked at" in found.note


# ---- which rate


@pytest.mark.parametrize("curvatures", [(10.0,), (1.0, 10.0)])
def test_on_a_bowl_the_rates_end_at_the_stability_limit(curvatures):
    problem = problems.load("bowl", curvatures=curvatures)
    found = basin(problem, descend(problem, lr=0.05, steps=100), starts=0)
    low, high = found.rate
    assert low == pytest.approx(0.05 / 100)
    assert 0.2 / STEP <= high <= 0.2


def test_a_rate_that_has_not_diverged_yet_reaches_nothing():
    problem = problems.load("bowl", curvatures=(10.0,))
    found = basin(problem, descend(problem, lr=0.05, steps=3), starts=0)
    slowly = np.flatnonzero(found.by_rate.values > 0.2)[0]
    assert found.by_rate.led[slowly] == 0  # its end still lies in the bowl
    assert 0.2 / STEP <= found.rate[1] <= 0.2


def test_on_a_bowl_the_rates_that_settle_are_those_of_the_closed_form():
    curvatures = np.array([1.0, 10.0])
    problem = problems.load("bowl", curvatures=tuple(curvatures))
    found = basin(problem, descend(problem, lr=0.05, steps=100), starts=0)
    rates = found.by_rate.values
    assert rates[1:] / rates[:-1] == pytest.approx(STEP)
    with np.errstate(over="ignore"):
        left = (curvatures * (1 - rates[:, None] * curvatures) ** 200).sum(1) / curvatures.sum()  # from 1 in every dimension
    assert found.by_rate.settled.tolist() == (left <= 0.01).tolist()
    settled = rates[left <= 0.01]
    assert found.settles == pytest.approx((settled[0], settled[-1]))


def test_rates_lead_where_descents_one_by_one_end():
    valley = problems.load("valley")
    run = descend(valley, lr=0.05, steps=100)
    found = basin(valley, run, starts=0)
    for rate, led in zip(found.by_rate.values, found.by_rate.led, strict=True):
        alone = descend(valley, lr=float(rate), steps=100)
        if alone.ended == "diverged":
            assert led == -1
        else:
            assert led == (0 if alone.weights["x"].item() > 0 else 1)
    reached = found.by_rate.values[found.by_rate.reached]
    assert found.rate == (reached[0], reached[-1])
    assert 0.2 / STEP < found.rate[0] < 1 / 3 < found.rate[1] * STEP  # between leaping over the hill and the limit of staying


def test_the_interval_is_that_of_the_runs_own_rate():
    valley = problems.load("valley")
    found = basin(valley, descend(valley, lr=0.25, steps=200), starts=0)
    assert found.rate[0] <= 0.25 <= found.rate[1]
    assert found.settles[0] <= 0.25 <= found.settles[1] <= 1 / 3
    assert found.lower is None


def test_momentum_rolls_over_the_hill_where_plain_descent_stays():
    valley = problems.load("valley")
    plain = basin(valley, descend(valley, lr=0.1, steps=300), rates=0, starts=0)
    rolling = basin(valley, descend(valley, lr=0.1, steps=300, optimizer="momentum"), starts=0)
    assert plain.minimum.point[0] == pytest.approx(-1, abs=1e-6)
    assert rolling.minimum.point[0] == pytest.approx(2, abs=1e-6)
    assert rolling.rate[0] <= 0.1 <= rolling.rate[1]  # walked again with momentum


@pytest.mark.parametrize(
    "settings", [{"optimizer": "adam"}, {"schedule": "cosine"}, {"batch_size": 10, "seed": 3}, {"clip_norm": 0.1}]
)
def test_descents_tried_keep_the_runs_settings(settings):
    problem = problems.load("line")
    run = descend(problem, lr=0.05, steps=60, **settings)
    found = basin(problem, run, rates=3, starts=1)
    for rate, settled in zip(found.by_rate.values, found.by_rate.settled, strict=True):
        alone = descend(problem, lr=float(rate), steps=60, **settings)
        x, y = (part.double().numpy() for part in problem.data)
        loss = ((alone.weights["w"].item() * x + alone.weights["b"].item() - y) ** 2).mean()
        first = ((-1 - y) ** 2).mean()
        least = problem.answer.loss
        assert settled == (loss - least <= 0.01 * (first - least))
    assert 3 * 60 < found.gradients <= 5 * 60  # some diverge early


# ---- which start


def test_starts_to_the_right_of_the_hilltop_reach_the_lower_valley():
    valley = problems.load("valley")
    found = basin(valley, descend(valley, lr=0.05, steps=200), rates=0)
    grid = np.sort(found.by_start.values[1:, 0])
    assert len(grid) == 41
    low, high = found.start
    assert 0 < low <= np.diff(grid)[0]
    assert high == grid[-1]
    assert found.by_start.values[0] == pytest.approx([-2.2])  # the run's own


def test_the_nearest_start_lies_across_the_border():
    """The double well in y has its hill at -0.05, whatever x is; of the nine starts along y, 0 is the first above it."""
    problem = Problem.of(lambda x: x[0] ** 2 + (x[1] ** 2 - 1) ** 2 - 0.2 * x[1], start=[0.5, -1.2])
    found = basin(problem, descend(problem, lr=0.02, steps=200), surface=landscape(problem, extent=(-1, 1, -2, 2)), rates=0)
    assert found.minimum.point[1] < 0 < found.lower.point[1]
    assert found.start == (0.5, 0.0)
    assert len(found.by_start.values) == 82


def test_a_bowl_is_reached_from_everywhere():
    problem = problems.load("bowl", curvatures=(1.0,))
    found = basin(problem, descend(problem, lr=0.5, steps=50))
    assert found.start == found.view[0]
    assert found.by_start.reached.all()


# ---- records that do not tell all


def test_given_code_is_not_guessed():
    valley = problems.load("valley")
    for settings in ({"optimizer": functools.partial(torch.optim.SGD, momentum=0.5)}, {"schedule": lambda step, steps: 1.0}):
        found = basin(valley, descend(valley, lr=0.05, steps=20, **settings))
        assert (found.rate, found.start, found.by_rate, found.by_start, found.gradients) == (None, None, None, None, 0)
        assert "was given as code" in found.note
        assert found.minimum.point[0] == pytest.approx(-1, abs=1e-6)


def test_a_continued_run_is_not_walked_again():
    valley = problems.load("valley")
    found = basin(valley, descend(valley, lr=0.1, start=descend(valley, lr=0.01, steps=5), steps=50))
    assert found.settled
    assert "was continued" in found.note


def test_a_stopped_run_is_told_from_the_descents_tried():
    valley = problems.load("valley")
    found = basin(valley, descend(valley, lr=0.01, steps=300, stop=stop.below(3.0)), starts=0)
    assert not found.settled
    assert "of 300 steps" in found.note


def test_a_run_whose_path_holds_the_end_alone():
    valley = problems.load("valley")
    run = descend_many(valley, lr=[0.05, 0.25], steps=100, engine="vmap").runs[0]
    found, whole = basin(valley, run), basin(valley, descend(valley, lr=0.05, steps=100))
    assert (found.rate, found.settled) == (whole.rate, True)
    moved = started(valley, 1.0)
    assert "where the run began is not known" in basin(moved, run).note


def test_from_another_start_than_the_problems():
    valley = problems.load("valley")
    run = descend(started(valley, 3.0), lr=0.05, steps=100)
    found = basin(valley, run, starts=0)
    assert found.minimum.point[0] == pytest.approx(2, abs=1e-6)
    assert found.rate[0] == pytest.approx(0.0005)


def test_what_cannot_be_batched_is_descended_one_by_one():
    def wells(x):
        return ((x**2 - 1) ** 2).sum() + 0.3 * x.sum(), 4 * x * (x**2 - 1) + 0.3

    by_numpy = Problem.of_gradient(wells, start=np.array([0.7]))
    by_torch = Problem.of(lambda x: wells(x)[0], start=torch.tensor([0.7], dtype=torch.float64))
    one, other = (basin(each, descend(each, lr=0.05, steps=30), rates=9, starts=9) for each in (by_numpy, by_torch))
    assert "descended one by one" in one.note
    assert (one.rate, one.start) == (other.rate, other.start)
    assert one.by_rate.led.tolist() == other.by_rate.led.tolist()
    assert one.by_start.led.tolist() == other.by_start.led.tolist()
    assert one.minimum.point == pytest.approx(other.minimum.point)


def test_a_surface_of_ones_own():
    valley = problems.load("valley")
    run = descend(valley, lr=0.05, steps=200)
    left = landscape(valley, extent=(-3, -0.5))
    found = basin(valley, run, surface=left, rates=0, starts=0)
    assert found.view == ((-3, -0.5),)
    assert found.lower is None  # 2 lies beyond
    assert basin(valley, run, surface=landscape(valley, extent=(0.5, 3)), rates=0, starts=0).minimum.point[0] == pytest.approx(-1)


# ---- what it says, leaves alone and refuses


def test_what_it_says():
    valley = problems.load("valley")
    lines = str(basin(valley, descend(valley, lr=0.05, steps=200))).splitlines()
    assert lines[0].startswith("ended in the minimum at -1 (loss 2.25), ")
    assert lines[0].endswith(" away: settled")
    assert lines[1] == "a lower one lies at 2 (loss 0)"
    assert lines[2] == "from the same start a rate of 0.232 to 0.341 reaches it"
    assert lines[3].startswith("at the same rate a start from 0.0")
    assert len(lines) == 4


@pytest.mark.parametrize("name", ["valley", "line"])
def test_everything_of_the_caller_is_left_alone(name):
    problem = problems.load(name)
    run = descend(problem, lr=0.05, steps=20, batch_size=None if name == "valley" else 7)
    weights, path = copy.deepcopy(dict(run.weights)), run.path.weights.clone()
    before = copy.deepcopy(problem.model.state_dict())
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    basin(problem, run, rates=5, starts=3)
    assert (torch.rand(1), np.random.rand()) == expected  # noqa: NPY002
    assert all(torch.equal(value, before[key]) for key, value in problem.model.state_dict().items())
    assert all(torch.equal(value, weights[key]) for key, value in run.weights.items())
    assert torch.equal(run.path.weights, path)
    assert all(p.grad is None for p in problem.model.parameters())
    assert problem.model.training


def test_the_same_twice():
    problem = problems.load("line")
    run = descend(problem, lr=0.05, steps=20, batch_size=7)
    one, other = (basin(problem, run, rates=5, starts=3) for _ in range(2))
    assert (one.minimum, one.rate, one.start, one.minima) == (other.minimum, other.rate, other.start, other.minima)


def test_misuse_names_what_it_saw():
    valley, line = problems.load("valley"), problems.load("line")
    run = descend(valley, lr=0.05, steps=5)
    with pytest.raises(SettingError, match=r"one or two weights, the problem has 650\. landscape"):
        basin(problems.load("digits-linear"), run)
    with pytest.raises(SettingError, match="The run descended 'valley', and this is 'line'"):
        basin(line, run)
    with pytest.raises(SettingError, match="other weights than the problem's w, b"):
        basin(line.with_(name="valley"), run)
    with pytest.raises(SettingError, match="with 1 axes of weights; got one of kind 'axes' with 2"):
        basin(valley, run, surface=landscape(line))
    for setting in ({"rates": -1}, {"starts": 1.5}, {"rates": True}):
        with pytest.raises(SettingError, match=f"{next(iter(setting))} must be how many are tried"):
            basin(valley, run, **setting)
