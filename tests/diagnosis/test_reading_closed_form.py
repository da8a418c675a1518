"""What a trace shows, against closed forms of the traces and against what was planted in them."""

import dataclasses
import warnings

import numpy as np
import pytest

import surefoot as sf
from surefoot.diagnosis.reading import _running, read
from tests.diagnosis.planted import descent, quadratic, trace

NAN, INF = np.nan, np.inf


def drawn(seed=0):
    return np.random.default_rng(seed)


def facts(seen):
    """The numbers of a reading by name."""
    return {name: value for name, value in dataclasses.asdict(seen).items() if isinstance(value, float)}


# ---- where steps landed


@pytest.mark.parametrize("a", [0.05, 0.5, 0.9, 1.5, 1.95])  # rate times curvature
def test_alpha_and_efficiency_of_descent_on_a_quadratic(a):
    seen = read(descent(a, steps=20))
    assert seen.full
    assert seen.alpha == pytest.approx(a - 1, abs=1e-9)
    assert seen.steepest == pytest.approx(a - 1, abs=1e-9)
    shrinks = (1 - a) ** 2
    promised = 2 * a * (1 - shrinks**20) / (1 - shrinks)  # over the first loss: of each step, lr |g|^2 = 2 a loss
    assert seen.efficiency == pytest.approx((1 - shrinks**19) / promised, rel=1e-9)
    assert read(descent(a, steps=199)).efficiency == pytest.approx(1 - a / 2, rel=1e-6)


def test_alpha_of_a_real_descent_agrees_with_its_closed_form():
    run = sf.descend(quadratic(4.0), lr=0.2, steps=15, optimizer="sgd")
    assert read(run.trace, run.config).alpha == pytest.approx(0.8 - 1, abs=1e-6)


def test_alpha_is_told_of_plain_descent_on_all_data_only():
    rows = descent(0.5)
    assert np.isnan(read(rows, {"optimizer": "momentum"}).alpha)
    longer = sf.Trace({**{name: rows[name] for name in rows.columns}, "update_norm": 3 * rows["update_norm"]})
    assert np.isnan(read(longer).alpha)
    batches = sf.Trace({**{name: rows[name] for name in rows.columns}, "epoch": 0.1 * rows["epoch"]})
    assert not read(batches).full
    assert np.isnan(read(batches).alpha)
    assert read(batches, {"batch_size": "full"}).alpha == pytest.approx(-0.5)


def test_efficiency_is_negative_where_the_steps_go_up():
    rows = descent(0.1, steps=50)
    reversed_rows = trace(rows["loss"][::-1], full=True, grad_norm=rows["grad_norm"][::-1], update_norm=0.1)
    assert read(reversed_rows).efficiency < 0
    assert read(reversed_rows).fall < 0


@pytest.mark.parametrize("full", [True, False])
def test_climbs_tells_steps_upwards_from_leaps(full):
    a, steps, curvature = 0.02, 200, 3.0
    up = (1 + a) ** np.arange(steps)  # every step up the gradient, a curvature of 1
    over = (-(1 + a)) ** np.arange(steps)  # every step over the valley, further than it began: lr = 2 + a
    rows = {}
    for name, w, rate in (("up", up, a / curvature), ("over", np.abs(over), (2 + a) / curvature)):
        slope = curvature * w
        rows[name] = trace(curvature * w**2 / 2, full=full, grad_norm=slope, update_norm=rate * slope, weight_norm=w)
    assert read(rows["up"]).climbs == 1
    assert read(rows["over"]).climbs == 0


# ---- levels and trends


@pytest.mark.parametrize("q", [0.9, 0.95, 0.99])
def test_shares_of_a_geometric_decay(q):
    count = 96
    seen = read(trace(7 + 5 * q ** np.arange(count), full=True))
    left = [(q**at - q ** (count - 1)) / (1 - q ** (count - 1)) for at in (count / 2 - 1, 0.8 * count - 1)]
    assert seen.late == pytest.approx(left[0], abs=0.01)
    assert seen.recent == pytest.approx(left[1], abs=0.01)
    assert (seen.first, seen.start) == (12.0, 12.0)
    assert seen.end == pytest.approx(7 + 5 * q ** (count - 1))
    assert seen.gained == pytest.approx(5 * (1 - q ** (count - 1)))


def test_shares_of_a_straight_line():
    seen = read(trace(np.linspace(10, 2, 201), full=True))
    assert seen.late == pytest.approx(0.5, abs=0.02)
    assert seen.recent == pytest.approx(0.2, abs=0.02)
    assert seen.rising == 0


def test_the_clock_is_the_rate():
    rate = np.where(np.arange(200) < 100, 0.3, 0.1)  # a straight line in rate times steps
    loss = 10 - np.cumsum(rate)
    seen = read(trace(loss, full=True, lr=rate))
    assert seen.late == pytest.approx(0.5, abs=0.02)
    assert (seen.annealed, seen.rate, seen.last_rate) == (pytest.approx(1 / 3), 0.3, 0.1)


def test_share_of_rises():
    zigzag = np.tile([0.0, 1.0, 2.0, 1.0], 50)  # up, up, down, down
    assert read(trace(10 + zigzag)).rising == pytest.approx(0.5, abs=0.02)
    assert read(trace(np.arange(50.0))).rising == 1


@pytest.mark.parametrize("spread", [1e-3, 1.0])
def test_noise_about_a_trend(spread):
    count = 6000
    loss = np.linspace(50, 20, count) + spread * drawn().standard_normal(count)
    assert read(trace(loss)).noise == pytest.approx(spread, rel=0.1)


def test_fall_is_a_t_statistic():
    count, spread, slope = 3000, 1.0, 2e-4
    values = [read(trace(5 - slope * np.arange(count) + spread * drawn(seed).standard_normal(count))).fall for seed in range(40)]
    third = count // 3
    assert np.mean(values) == pytest.approx(slope * third / (spread * np.sqrt(2 / third)), abs=4 / np.sqrt(40))
    assert np.std(values) == pytest.approx(1, rel=0.4)


def test_fall_of_noise_is_none():
    values = [read(trace(5 + drawn(seed).standard_normal(900))).fall for seed in range(100)]
    assert np.mean(np.abs(values) > 2) < 0.12  # 0.05 by the normal distribution
    assert np.mean(values) == pytest.approx(0, abs=0.3)


def test_error_of_the_gain_from_two_levels():
    count = 600
    gains = []
    for seed in range(60):
        seen = read(trace(3 + drawn(seed).standard_normal(count)))
        gains.append(seen.gained / seen.error)
    assert 0.6 < np.std(gains) < 1.7


def test_norms_and_ways():
    count = 240
    seen = read(trace(np.linspace(2, 1, count), grad_norm=np.linspace(8, 2, count), update_norm=0.05, weight_norm=5.0))
    assert seen.ratio == pytest.approx(0.01)
    assert seen.travel == pytest.approx(count * 0.01)
    assert seen.gradient == pytest.approx(2 / 8, rel=0.05)
    assert seen.usual == pytest.approx(8 - 0.1 * 6, rel=0.05)
    assert seen.slope == pytest.approx(2 * 5 / 1, rel=0.1)


# ---- spikes


NOISES = {
    "normal": lambda random, count: random.standard_normal(count),
    "exponential": lambda random, count: random.exponential(size=count),
    "chi-square": lambda random, count: random.chisquare(1, size=count),
}


@pytest.mark.parametrize("noise", NOISES)
def test_planted_spikes_are_found_at_their_steps(noise):
    count, steps = 800, (150, 400, 633)
    loss = 10 * np.exp(-np.arange(count) / 200) + 0.05 * NOISES[noise](drawn(3), count)
    for step, height in zip(steps, (9.0, 14.0, 10.0), strict=True):
        loss[step : step + 3] += height * np.array([1, 0.5, 0.2])
    seen = read(trace(loss))
    assert seen.spikes == steps
    assert seen.spike == pytest.approx(14, rel=0.1)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("count", [300, 800, 3000])
def test_tails_of_noise_are_no_spikes(noise, count):
    alarms = [
        read(trace(3 * np.exp(-np.arange(count) / count * 4) + NOISES[noise](drawn(seed), count))).spikes for seed in range(20)
    ]
    assert sum(len(each) >= 2 for each in alarms) <= 1  # of 20


def test_spikes_bear_the_steps_of_the_trace():
    loss = 5 + 0.1 * drawn().standard_normal(400)
    loss[[100, 300]] += 30
    assert read(trace(loss, step=1000 + 7 * np.arange(400))).spikes == (1700, 3100)


def test_on_all_data_nothing_is_a_spike():
    loss = 5 + 0.1 * drawn().standard_normal(400)
    loss[[100, 300]] += 30
    assert read(trace(loss, full=True)).spikes == ()


# ---- held-out data


def held_out(values, every, count):
    column = np.full(count, NAN)
    column[::every] = values
    return column


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_rise_of_the_validation_loss(unit):
    count, every = 400, 10
    each = unit * np.interp(np.arange(40), [0, 18, 19, 20, 39], [4.0, 1.5, 1.0, 1.5, 2.0])  # lowest at row 190
    seen = read(trace(np.linspace(4, 0.5, count), full=True, validation_loss=held_out(each, every, count)))
    low = (each[18] + each[19] + each[20]) / 3
    last = each[-3:].mean()
    assert seen.best_step == 190
    assert seen.rise == pytest.approx(last / low - 1)
    assert seen.since == pytest.approx(1 - 0.5 / np.linspace(4, 0.5, count)[190], rel=0.05)
    scale = max(each[:3].mean() - low, 3.5)
    assert seen.gap == pytest.approx((last - low) / scale, rel=0.01)


def test_no_rise_without_validation_and_where_it_only_falls():
    loss = np.linspace(4, 0.5, 100)
    assert np.isnan(read(trace(loss)).rise)
    assert read(trace(loss)).best_step is None
    seen = read(trace(loss, validation_loss=loss + 1))
    assert (seen.rise, seen.gap) == (0, 0)


def test_rise_is_not_told_of_negative_losses():
    loss = np.linspace(4, 0.5, 100)
    each = np.interp(np.arange(100), [0, 50, 99], [-5.0, -9.0, -6.0])
    seen = read(trace(loss - 10, validation_loss=each))
    assert np.isnan(seen.rise)
    assert seen.gap == pytest.approx(3 / 4, rel=0.1)


# ---- which rows


def test_where_a_loss_was_lost():
    loss = np.linspace(5, 1, 50)
    for bad in (NAN, INF, -INF):
        spoilt = loss.copy()
        spoilt[30:] = bad
        assert read(trace(spoilt)).lost_at == 30
        assert read(trace(spoilt)).rows == 30
        assert read(trace(spoilt)).end == pytest.approx(loss[29], rel=0.1)
    assert read(trace(loss)).lost_at is None
    assert read(trace(np.full(50, NAN))).lost_at == 0
    assert read(trace(np.full(50, NAN))).unfit


def test_a_lost_update_or_gradient_counts():
    loss = np.linspace(5, 1, 50)
    for column in ("grad_norm", "update_norm"):
        values = np.ones(50)
        values[20] = INF
        assert read(trace(loss, **{column: values})).lost_at == 20
    values = np.ones(50)
    values[-1] = NAN
    assert read(trace(loss, update_norm=values)).lost_at == 49
    assert read(trace(loss, update_norm=np.full(50, NAN))).lost_at is None


def test_gaps_are_no_loss():
    loss = np.linspace(5, 1, 90)
    gappy = loss.copy()
    gappy[np.arange(90) % 3 != 0] = NAN
    seen = read(trace(gappy))
    # the last number is at row 87: what follows cannot be told from a loss that broke
    assert seen.lost_at in (None, 88)
    assert seen.rows == 30
    gappy[-1] = loss[-1]
    assert read(trace(gappy)).lost_at is None


def test_of_steps_that_are_there_twice_the_last_counts():
    first, again = np.linspace(9, 5, 60), np.linspace(7, 1, 60)
    step = np.r_[np.arange(60), np.arange(30, 90)]
    seen = read(trace(np.r_[first, again], step=step, epoch=step * 0.01))
    alone = read(trace(np.r_[first[:30], again]))
    assert facts(seen) == pytest.approx(facts(alone), nan_ok=True)
    assert seen.rows == 90


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_few_rows_say_so(count):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = read(trace(np.linspace(2, 1, count)))
    assert seen.unfit
    assert seen.rows == count
    assert str(count) in seen.unfit or count == 0


@pytest.mark.parametrize("missing", ["epoch", "lr", "grad_norm", "update_norm", "weight_norm", "everything"])
def test_missing_columns_are_not_a_number_and_no_error(missing):
    names = ["epoch", "lr", "grad_norm", "update_norm", "weight_norm"] if missing == "everything" else [missing]
    rows = descent(0.3, steps=40)
    rows = sf.Trace({**{name: rows[name] for name in rows.columns}, **{name: np.full(40, NAN) for name in names}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = read(rows)
    assert seen.unfit == ""
    assert seen.fall > 0
    tells = {"lr": ("rate", "annealed", "alpha"), "grad_norm": ("gradient", "slope", "usual"), "weight_norm": ("ratio", "travel"),
             "update_norm": ("ratio", "travel"), "epoch": ("alpha",)}  # fmt: skip
    for name in names:
        for fact in tells[name]:
            assert np.isnan(getattr(seen, fact)), (name, fact)


@pytest.mark.parametrize("value", [0.0, 1.0, -1000.0, 1e-30, 1e30])
def test_a_constant_loss_is_no_error(value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = read(trace(np.full(100, value), grad_norm=0.0, update_norm=0.0, weight_norm=0.0))
    assert (seen.gained, seen.noise, seen.rising, seen.fall, seen.spikes) == (0, 0, 0, 0, ())


# ---- laws


def noisy(count=300):
    loss = 4 * np.exp(-np.arange(count) / 80) + 1 + 0.2 * drawn(5).standard_normal(count)
    slope = 0.3 * np.abs(drawn(6).standard_normal(count)) + 0.1
    return {"loss": loss, "grad_norm": slope, "update_norm": 0.1 * slope, "weight_norm": np.linspace(3, 4, count),
            "validation_loss": held_out(np.interp(np.arange(30), [0, 15, 29], [5, 2, 3]), 10, count)}  # fmt: skip


@pytest.mark.parametrize("gain", [1e-6, 3.0, 1e6])
def test_the_unit_of_the_loss_does_not_matter(gain):
    plain = noisy()
    # the same descent of the loss times gain at the rate over gain: the weights go the same way
    scaled = {**plain, "loss": gain * plain["loss"], "grad_norm": gain * plain["grad_norm"],
              "validation_loss": gain * plain["validation_loss"]}  # fmt: skip
    before, after = (read(trace(each.pop("loss"), lr=rate, **each)) for each, rate in ((plain, 0.1), (scaled, 0.1 / gain)))
    for name in ("rising", "fall", "late", "recent", "gradient", "slope", "ratio", "travel", "efficiency", "climbs", "gap", "rise",
                 "since", "annealed"):  # fmt: skip
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-6, nan_ok=True), name
    for name in ("start", "end", "lowest", "error", "noise"):
        assert getattr(after, name) == pytest.approx(gain * getattr(before, name), rel=1e-6), name
    assert (after.spikes, after.best_step) == (before.spikes, before.best_step)


@pytest.mark.parametrize("offset", [-1000.0, -1.0, 50.0])
def test_a_constant_added_to_the_loss_changes_no_trend(offset):
    plain = noisy()
    moved = {**plain, "loss": plain["loss"] + offset, "validation_loss": plain["validation_loss"] + offset}
    before, after = (read(trace(each.pop("loss"), **each)) for each in (plain, moved))
    for name in ("rising", "late", "recent", "gradient", "ratio", "travel", "efficiency", "noise", "error", "gap"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-6, abs=1e-9), name
    assert after.fall == pytest.approx(before.fall, rel=1e-3)
    assert (after.spikes, after.best_step) == (before.spikes, before.best_step)


@pytest.mark.parametrize("offset", [-100.0, 30.0])
def test_a_constant_added_to_the_loss_does_not_change_alpha(offset):
    rows = descent(0.7, steps=8)
    moved = sf.Trace({**{name: rows[name] for name in rows.columns}, "loss": rows["loss"] + offset})
    assert read(moved).alpha == pytest.approx(-0.3, abs=1e-6)


@pytest.mark.parametrize(("count", "reach"), [(50, 4), (5000, 60), (20_000, 500)])
def test_the_running_median_is_that_of_every_window(count, reach):
    values = np.random.default_rng(count).normal(size=count)
    found = _running(values, reach)
    mirrored = np.concatenate([values[reach:0:-1], values, values[-2 : -reach - 2 : -1]])
    for place in (0, 1, reach, count // 2, count - 2, count - 1):
        assert found[place] == sorted(mirrored[place : place + 2 * reach + 1])[reach]


# ---- few rows


def test_few_rows_of_noise_do_not_fall():
    fell = [sf.diagnose(trace(5 + drawn(seed).standard_normal(20))).verdict == "descending" for seed in range(60)]
    assert sum(fell) <= 2


def test_few_rows_that_fall_are_held_against_the_noise_of_the_rows_around():
    loss = np.repeat([5.0, 1.0], 10) + 0.05 * drawn().standard_normal(20)
    said = sf.diagnose(trace(loss))
    assert said.verdict == "descending"
    assert 4 < said.evidence[0].value < 1000
