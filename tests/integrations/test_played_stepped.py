"""A schedule that was played through is the scheduler, stepped."""

import warnings

import pytest
import torch
from torch.optim import lr_scheduler as schedulers

from surefoot.errors import SettingError
from surefoot.integrations.played import played

STEPS = 60
MADE = {
    "lambda": lambda o: schedulers.LambdaLR(o, lambda step: min(1, (step + 1) / 10) * 0.99**step),
    "one cycle": lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=STEPS),
    "sequential": lambda o: schedulers.SequentialLR(
        o, [schedulers.LinearLR(o, 0.1, total_iters=10), schedulers.CosineAnnealingLR(o, 50)], milestones=[10]
    ),
    "chained": lambda o: schedulers.ChainedScheduler([schedulers.ConstantLR(o, 0.5, 3), schedulers.ExponentialLR(o, 0.9)]),
    "restarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 13),
    "milestones": lambda o: schedulers.MultiStepLR(o, [3, 9]),
}


def optimizer():
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in "ab"]
    return torch.optim.AdamW([{"params": weights[:1]}, {"params": weights[1:], "lr": 0.01}], lr=0.1)


def plain(optimizer):
    return [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("name", MADE)
def test_it_is_the_scheduler_stepped(name, every):
    trained = optimizer()
    scheduler = MADE[name](trained)
    base, before = trained.param_groups[0]["initial_lr"], plain(trained)
    schedule = played(scheduler, STEPS, every)
    assert plain(trained) == before
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in range(STEPS):
            if step and step % every == 0:
                scheduler.step()
            rates.append(trained.param_groups[0]["lr"] / base)
    assert [schedule(step, STEPS) for step in range(STEPS)] == rates
    assert [schedule(step, STEPS // 4) for step in range(STEPS // 4)] == rates[::4]


def test_one_that_follows_the_loss_is_refused():
    with pytest.raises(SettingError, match="schedule='plateau'"):
        played(schedulers.ReduceLROnPlateau(optimizer()), STEPS)
