"""Oracle: torch.optim.lr_scheduler, and the contract's own formulas."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surefoot import Problem, SettingError, descend
from surefoot.descent import schedule
from surefoot.trace import Row

STEPS = 100


def by_torch(make, steps=STEPS, lr=1.0):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=lr)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


ls = torch.optim.lr_scheduler
PEERS = {
    "constant": lambda o: ls.LambdaLR(o, lambda _: 1.0),
    "cosine": lambda o: ls.CosineAnnealingLR(o, STEPS),
    "linear": lambda o: ls.LinearLR(o, 1.0, 0.0, STEPS),
    "exponential": lambda o: ls.ExponentialLR(o, 0.01 ** (1 / STEPS)),
    "step": lambda o: ls.MultiStepLR(o, [50, 75], gamma=0.1),
    "inverse-time": lambda o: ls.LambdaLR(o, lambda t: 1 / (1 + 9 * t / STEPS)),
    "one-cycle": lambda o: ls.OneCycleLR(o, 1.0, STEPS, cycle_momentum=False),
    "triangular": lambda o: ls.CyclicLR(o, 0.1, 1.0, step_size_up=25, cycle_momentum=False),
    "warmup-cosine": lambda o: ls.SequentialLR(o, [ls.LinearLR(o, 0.2, 1.0, 4), ls.CosineAnnealingLR(o, 95)], [5]),
    "warmup-stable-decay": lambda o: ls.LambdaLR(o, lambda t: min(1, (t + 1) / 5, (STEPS - t) / 20)),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", PEERS)
def test_schedule_equals_torch(name):
    ours = schedule.named(name)
    assert [ours(step, STEPS) for step in range(STEPS)] == pytest.approx(by_torch(PEERS[name]), abs=1e-9)


def test_every_named_schedule_has_an_oracle():
    assert set(schedule.SCHEDULES) - {"plateau"} <= set(PEERS)


@pytest.mark.parametrize("seed", range(5))
def test_plateau_equals_torch(seed):
    losses = (2 - torch.rand(60, generator=torch.Generator().manual_seed(seed)).cumsum(0).clamp(max=1)).tolist()
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    peer = ls.ReduceLROnPlateau(optimizer, factor=0.5, patience=3, cooldown=2)
    ours, state = schedule.OnPlateau(factor=0.5, patience=3, cooldown=2), schedule.PlateauState()
    for loss in losses:
        peer.step(loss)
        state = ours.measured(state, loss)
        assert state.multiplier == pytest.approx(optimizer.param_groups[0]["lr"])


def test_plateau_in_a_descent_cuts_the_rate():
    noise = torch.Generator().manual_seed(0)
    flat = Problem.of(lambda x: x.sum() * 0 + torch.rand((), generator=noise) * 0 + 1.0, [1.0])
    run = descend(flat, lr=0.1, steps=40, schedule="plateau")
    assert run.trace["lr"][0] == 0.1
    assert run.trace["lr"][-1] == pytest.approx(1e-4)


@given(st.sampled_from(schedule.names()), st.integers(1, 500))
def test_every_schedule_stays_between_zero_and_one(name, steps):
    ours = schedule.named(name)
    if isinstance(ours, schedule.OnPlateau):
        multipliers = [ours.multiplier(ours.start(), step, steps) for step in range(steps)]
    else:
        multipliers = [ours(step, steps) for step in range(steps)]
    assert all(math.isfinite(m) and -1e-12 <= m <= 1 + 1e-12 for m in multipliers)
    assert max(multipliers) > 0


def test_unknown_schedule_names_the_nearest():
    with pytest.raises(SettingError, match="Did you mean 'warmup-cosine'"):
        schedule.named("warm-up-cosine")


def test_a_plain_function_is_a_schedule():
    run = descend(Problem.of(lambda x: (x**2).sum(), [1.0]), lr=0.1, steps=3, schedule=lambda step, steps: 1 / (step + 1))
    assert run.trace["lr"] == pytest.approx([0.1, 0.05, 0.1 / 3])
    assert isinstance(run.trace[0], Row)
