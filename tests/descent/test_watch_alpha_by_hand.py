"""`watch`'s alpha, ratios and line against loops written by hand, which take both gradients themselves."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import SettingError
from surefoot.descent.watch import watch


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.4), nn.Linear(8, 3))


def batches(count, size=16):
    drawn = torch.Generator().manual_seed(1)
    return [(torch.randn(size, 5, generator=drawn), torch.randint(0, 3, (size,), generator=drawn)) for _ in range(count)]


def loss_of(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def flat(tensors):
    return np.concatenate([t.detach().double().numpy().ravel() for t in tensors])


def by_hand(model, made, micro, factors):
    """The step of a twin, with the gradient of the very same function (same dropout masks) before it and after it: alpha, ratios."""
    states, before = [], copy.deepcopy(list(model.parameters()))
    made.zero_grad()
    for batch, factor in zip(micro, factors, strict=True):
        states.append(torch.get_rng_state())
        (loss_of(model, batch) * factor).backward()
    first = flat(p.grad for p in model.parameters())
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    made.step()
    step = flat(model.parameters()) - flat(before)
    twin, kept = copy.deepcopy(model), torch.get_rng_state()
    twin.zero_grad()
    for batch, factor, state in zip(micro, factors, states, strict=True):
        torch.set_rng_state(state)
        (loss_of(twin, batch) * factor).backward()
    torch.set_rng_state(kept)
    sizes = [((p - b).norm().item(), b.norm().item()) for p, b in zip(model.parameters(), before, strict=True)]
    return -(flat(p.grad for p in twin.parameters()) @ step) / (first @ step), [d / w for d, w in sizes if w]


OPTIMIZERS = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=5.0, momentum=0.9),
    "adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("factors", [(1.0,), (0.25, 0.75), (1024.0, 512.0)])
@pytest.mark.parametrize("compiled", [False, True])
def test_alpha_and_ratios_are_those_of_a_bare_loop(optimizer, factors, compiled):
    """Batch norm, dropout, clipping and accumulation with weights of one's own; every third step."""
    plain, watched = net(), net()
    wrapped = torch.compile(watched, backend="aot_eager") if compiled else watched
    made, ours = OPTIMIZERS[optimizer](plain), OPTIMIZERS[optimizer](watched)
    stream = batches(7 * len(factors))
    steps = [stream[k * len(factors) : (k + 1) * len(factors)] for k in range(7)]
    torch.manual_seed(3)
    expected = [by_hand(plain, made, micro, factors) for micro in steps]
    torch.manual_seed(3)
    with watch(wrapped, ours, alpha=3, ratios=2) as seen:
        for micro in steps:
            ours.zero_grad()
            for batch, factor in zip(micro, factors, strict=True):
                (seen.loss(loss_of, wrapped, batch) * factor).backward()
            nn.utils.clip_grad_norm_(watched.parameters(), 0.1)
            ours.step()
    assert seen.note is None
    trace = seen.trace
    assert np.flatnonzero(np.isfinite(trace["alpha"])).tolist() == [0, 3, 6]
    assert trace["alpha"][::3] == pytest.approx([alpha for alpha, _ in expected[::3]], rel=1e-3, abs=1e-4)
    for name, extreme in (("ratio_low", min), ("ratio_high", max)):
        assert trace[name][::2] == pytest.approx([extreme(ratios) for _, ratios in expected[::2]], rel=1e-3), name
        assert np.isnan(trace[name][1::2]).all()
    assert list(seen.ratios) == [name for name, _ in watched.named_parameters()]
    assert list(seen.ratios.values()) == pytest.approx(expected[-1][1], rel=1e-3)


@pytest.mark.parametrize("alpha", [1, 2])
def test_training_is_bit_equal_with_and_without_alpha(alpha):
    ends = []
    for asked in (None, alpha):
        model = net()
        made = OPTIMIZERS["adamw"](model)
        torch.manual_seed(5)
        random.seed(5)
        with watch(model, made, alpha=asked) as seen:
            for batch in batches(6):
                made.zero_grad()
                seen.loss(loss_of, model, batch).backward()
                made.step()
        grads = [p.grad for p in model.parameters()]
        ends.append([*copy.deepcopy(model.state_dict()).values(), *grads, torch.rand(3), torch.tensor(random.random())])
        assert seen.note is None
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


def test_alpha_with_autocast_and_a_scaler_that_skips_is_that_of_the_steps_made():
    """On a parabola, plain descent lands at alpha = lr * curvature - 1, whatever the scale."""
    model = nn.Linear(4, 1, bias=False)
    made = torch.optim.SGD(model.parameters(), lr=0.3)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    with watch(model, made, scaler=scaler, alpha=1) as seen:
        for factor in (1.0, float("inf"), 1.0):
            made.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = seen.loss(lambda: 2.5 * (model.weight.float() ** 2).sum())
            scaler.scale(loss * factor).backward()
            scaler.step(made)
            scaler.update()
    assert seen.trace["alpha"] == pytest.approx([0.5, 0.5], rel=1e-4)
    assert seen.note is None


@pytest.mark.parametrize("how", ["a number", "no arguments"])
def test_alpha_that_cannot_be_known_is_nan_and_says_why(how):
    model = net()
    made = OPTIMIZERS["sgd"](model)
    with watch(model, made, alpha=1) as seen:
        for batch in batches(2):
            made.zero_grad()
            for _ in range(2):
                told = loss_of(model, batch) if how == "a number" else (lambda batch=batch: loss_of(model, batch))
                seen.loss(told).backward()
            made.step()
    assert np.isnan(seen.trace["alpha"]).all()
    assert "alpha is NaN" in seen.note
    assert len(seen) == 2


def test_an_error_in_the_second_evaluation_ends_alpha_alone():
    model = net()
    made = OPTIMIZERS["sgd"](model)
    calls = []

    def fragile(batch):
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError("the second time")
        return loss_of(model, batch)

    with watch(model, made, alpha=1) as seen:
        for batch in batches(3):
            made.zero_grad()
            seen.loss(fragile, batch).backward()
            made.step()
    assert len(calls) == 4
    assert len(seen.trace) == 3
    assert np.isfinite(seen.trace["update_norm"]).all()
    assert "alpha ended at step 0: ZeroDivisionError: the second time" in seen.note


def test_an_error_of_the_loss_itself_is_the_users_to_see():
    model = net()
    made = OPTIMIZERS["sgd"](model)
    with pytest.raises(ZeroDivisionError), watch(model, made, alpha=1) as seen:
        seen.loss(lambda: 1 / 0)
    assert seen.note is None


def test_a_line_every_two_steps_ends_with_the_verdict(capsys):
    model = net()
    made = OPTIMIZERS["sgd"](model)

    def verdict(trace):
        if len(trace) > 5:
            raise RuntimeError("no idea")
        return f"seen {len(trace)} rows"

    with watch(model, made, every=2, verdict=verdict) as seen:
        for batch in batches(9):
            made.zero_grad()
            seen.loss(loss_of(model, batch)).backward()
            made.step()
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    row = seen.trace[2]
    assert lines[0] == f"step 2  loss {row.loss:.4g}  update/weight {row.update_norm / row.weight_norm:.1e}  seen 3 rows"
    assert [line.split("  ")[0] for line in lines] == ["step 2", "step 4", "step 6"]
    assert "no idea" in seen.note
    assert len(seen.trace) == 9


def test_misuse_is_refused_on_entry():
    model = net()
    made = OPTIMIZERS["sgd"](model)
    for settings, said in (
        ({"alpha": 0}, "alpha"),
        ({"ratios": 1.5}, "ratios"),
        ({"every": True}, "every"),
        ({"verdict": "fine"}, "verdict"),
    ):
        with pytest.raises(SettingError, match=said), watch(model, made, **settings):
            pass
