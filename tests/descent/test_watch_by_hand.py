"""`watch` against loops written by hand, whose columns the test computes itself, in NumPy, from copies of weights and gradients."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import ProblemError, SettingError, descend, problems
from surefoot.descent.watch import watch

NORMS = ("grad_norm", "update_norm", "weight_norm")


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))


def batches(count, size=16):
    drawn = torch.Generator().manual_seed(1)
    return [(torch.randn(size, 5, generator=drawn), torch.randint(0, 3, (size,), generator=drawn)) for _ in range(count)]


def flat(tensors):
    return np.concatenate([t.detach().numpy().ravel().astype(np.float64) for t in tensors])


def weights(model):
    return flat(model.parameters())


def gradient(model):
    return flat(p.grad for p in model.parameters() if p.grad is not None)


def loss_of(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


class Ledger:
    """The columns as a person would note them down."""

    def __init__(self):
        self.columns = {name: [] for name in ("lr", "loss", *NORMS)}

    def note(self, lr, loss, gradient, before, after):
        values = (lr, loss, np.linalg.norm(gradient), np.linalg.norm(after - before), np.linalg.norm(before))
        for name, value in zip(self.columns, values, strict=True):
            self.columns[name].append(value)

    def agrees(self, trace, rel=2e-5):  # float32: an update is the difference of weights a thousand times its size
        assert trace["step"].tolist() == list(range(len(self.columns["lr"])))
        for name, values in self.columns.items():
            assert trace[name] == pytest.approx(np.array(values), rel=rel), name


def train(model, optimizer, seen, *, steps=12, accumulate=1, clip=None, scheduler=None):
    """A loop as people write it; what it did."""
    ledger = Ledger()
    stream = iter(batches(steps * accumulate))
    for _ in range(steps):
        optimizer.zero_grad()
        told = []
        for batch in [next(stream) for _ in range(accumulate)]:
            loss = loss_of(model, batch)
            seen.loss(loss)
            told.append(loss.item())
            (loss / accumulate).backward()
        raw, before, lr = gradient(model), weights(model), optimizer.param_groups[0]["lr"]
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        ledger.note(lr, np.mean(told), raw, before, weights(model))
        if scheduler is not None:
            scheduler.step()
    return ledger


def two_groups(model):
    groups = [{"params": model[0].parameters(), "lr": 0.05}, {"params": model[2].parameters(), "lr": 0.5}]
    return torch.optim.SGD(groups, lr=0.1)


OPTIMIZERS = {
    "momentum": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
    "adam": lambda model: torch.optim.Adam(model.parameters(), lr=0.01),
    "fused": lambda model: torch.optim.AdamW(model.parameters(), lr=0.01, fused=True),
    "two groups": two_groups,
}
LOOPS = {"plain": {}, "clipped": {"clip": 0.05}, "accumulated": {"accumulate": 3}, "both": {"accumulate": 2, "clip": 0.05}}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loop", LOOPS)
def test_columns_are_those_computed_by_hand(optimizer, loop):
    model = net()
    made = OPTIMIZERS[optimizer](model)
    with watch(model, made) as seen:
        ledger = train(model, made, seen, **LOOPS[loop])
    ledger.agrees(seen.trace)
    assert seen.note is None
    if "clip" in LOOPS[loop]:  # or the test would not tell the gradient before from the one after
        assert (seen.trace["grad_norm"] > 0.06).all()


def test_lr_is_that_of_the_first_group_with_its_schedule_applied():
    model = net()
    made = two_groups(model)
    with watch(model, made, steps_per_epoch=4) as seen:
        ledger = train(model, made, seen, scheduler=torch.optim.lr_scheduler.StepLR(made, 3, gamma=0.5))
    ledger.agrees(seen.trace)
    assert seen.trace["lr"] == pytest.approx(0.05 * 0.5 ** (np.arange(12) // 3))
    assert seen.trace["epoch"].tolist() == [step / 4 for step in range(12)]


def scaled_loop(model, made, scaler, seen, *, spoilt, unscale, clip=None):
    ledger = Ledger()
    for index, batch in enumerate(batches(10)):
        made.zero_grad()
        loss = loss_of(model, batch) * (math.inf if index in spoilt else 1.0)
        seen.loss(loss)
        scaler.scale(loss).backward()
        raw, before, scale = gradient(model), weights(model), scaler.get_scale()
        if unscale:
            scaler.unscale_(made)
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        scaler.step(made)
        scaler.update()
        if index not in spoilt:
            ledger.note(made.param_groups[0]["lr"], loss.item(), raw / scale, before, weights(model))
    return ledger


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("spoilt", [(), (0,), (3, 4)])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_a_scaler_is_undone_and_a_step_it_skips_makes_no_row(optimizer, spoilt, clip):
    model = net()
    made = OPTIMIZERS[optimizer](model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
    with watch(model, made, scaler=scaler) as seen:
        ledger = scaled_loop(model, made, scaler, seen, spoilt=spoilt, unscale=clip is not None, clip=clip)
    assert seen.note is None
    assert len(seen) == 10 - len(spoilt)
    ledger.agrees(seen.trace)


def test_the_loss_of_a_skipped_step_is_forgotten_under_accumulation():
    model = net()
    made = OPTIMIZERS["momentum"](model)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    stream = iter(batches(6))
    with watch(model, made, scaler=scaler) as seen:
        for factors in ((math.inf, 1.0), (1.0, math.inf), (1.0, 1.0)):
            made.zero_grad()
            told = [factor * loss_of(model, next(stream)) for factor in factors]
            for loss in told:
                seen.loss(loss)
                scaler.scale(loss / 2).backward()
            scaler.step(made)
            scaler.update()
    assert seen.trace["loss"] == pytest.approx([np.mean([loss.item() for loss in told])])


def test_autocast_changes_nothing_in_what_is_seen():
    model = net()
    made = OPTIMIZERS["adam"](model)
    ledger = Ledger()
    with watch(model, made) as seen:
        for batch in batches(5):
            made.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = seen.loss(loss_of(model, batch))
            loss.backward()
            raw, before = gradient(model), weights(model)
            made.step()
            ledger.note(0.01, loss.item(), raw, before, weights(model))
    ledger.agrees(seen.trace)


def test_a_closure_tells_of_its_first_evaluation():
    model = net()
    made = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)
    (batch,) = batches(1)
    with watch(model, made) as seen:

        def closure():
            made.zero_grad()
            loss = seen.loss(loss_of(model, batch))
            loss.backward()
            evaluations.append((loss.item(), np.linalg.norm(gradient(model))))
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            return loss

        firsts = []
        for _ in range(3):
            evaluations = []
            made.step(closure)
            assert len(evaluations) > 1
            firsts.append(evaluations[0])
    assert seen.trace["loss"] == pytest.approx([loss for loss, _ in firsts])
    assert seen.trace["grad_norm"] == pytest.approx([norm for _, norm in firsts], rel=1e-5)


def test_a_compiled_model_is_seen_as_the_plain_one():
    plain, watched = net(), net()
    compiled = torch.compile(watched, backend="aot_eager")
    traces = []
    for model in (plain, compiled):
        made = torch.optim.Adam(model.parameters(), lr=0.01)
        with watch(model, made) as seen:
            train(model, made, seen, steps=4, clip=0.05)
        traces.append(seen.trace)
    for name in ("loss", *NORMS):
        assert traces[1][name] == pytest.approx(traces[0][name], rel=1e-4), name


def test_the_same_as_descend_on_the_same_batches():
    problem = problems.load("digits-linear")
    model = copy.deepcopy(problem.model)
    ours = descend(problem, lr=0.5, steps=20, batch_size="full")
    x, y = (torch.as_tensor(part) for part in problem.data)
    made = torch.optim.SGD(model.parameters(), lr=0.5)
    with watch(model, made, steps_per_epoch=1) as seen:
        for _ in range(20):
            made.zero_grad()
            seen.loss(problem.loss_on(model, (x, y))).backward()
            made.step()
    for name in ("step", "epoch", "lr", "loss"):
        assert seen.trace[name].tolist() == ours.trace[name].tolist(), name
    for name in NORMS:
        assert seen.trace[name] == pytest.approx(ours.trace[name], rel=1e-6), name
    assert all(torch.equal(ours.weights[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_is_bit_equal_with_and_without(optimizer):
    class Nobody:
        loss = staticmethod(lambda value: value)

    ends = []
    for watched in (False, True):
        model = nn.Sequential(*net(), nn.Dropout(0.3))
        made = OPTIMIZERS[optimizer](model)
        torch.manual_seed(5)
        if watched:
            with watch(model, made) as seen:
                train(model, made, seen, accumulate=2, clip=0.05)
        else:
            train(model, made, Nobody(), accumulate=2, clip=0.05)
        ends.append((weights(model), gradient(model), torch.rand(3).tolist(), np.random.get_state()[1].tolist()))  # noqa: NPY002
    for one, other in zip(*ends, strict=True):
        assert np.array_equal(one, other)


def hooks(model, optimizer):
    found = [*optimizer._optimizer_step_pre_hooks, *optimizer._optimizer_step_post_hooks]
    return found + [hook for p in model.parameters() for hook in (p._post_accumulate_grad_hooks or ())]


@pytest.mark.parametrize("ending", ["end", "break", "exception", "interrupt", "inside a backward pass"])
def test_nothing_is_left_behind(ending):
    model = net()
    made = OPTIMIZERS["momentum"](model)
    attributes = [set(vars(part)) for part in (*model.modules(), *model.parameters(), made)]
    raised = {"exception": ZeroDivisionError, "interrupt": KeyboardInterrupt, "inside a backward pass": RuntimeError}.get(ending)

    def loop():
        with watch(model, made) as seen:
            assert len(hooks(model, made)) == 2 + 4
            for step, batch in enumerate(batches(5)):
                made.zero_grad()
                loss = seen.loss(loss_of(model, batch))
                if step == 3 and ending == "inside a backward pass":
                    model[0].weight.register_hook(lambda _: 1 / 0)
                loss.backward()
                made.step()
                if step == 3 and ending == "break":
                    break
                if step == 3 and raised:
                    raise raised
        return seen

    if raised is None:
        assert len(loop()) == (4 if ending == "break" else 5)
    else:
        with pytest.raises((raised, ZeroDivisionError)):
            loop()
    assert hooks(model, made) == []
    assert [set(vars(part)) for part in (*model.modules(), *model.parameters(), made)] == attributes


def test_after_a_backward_pass_that_failed_the_next_one_is_seen():
    model = net()
    made = OPTIMIZERS["momentum"](model)
    first, second = batches(2)
    with watch(model, made) as seen:
        loss = loss_of(model, first)
        failing = model[0].weight.register_hook(lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loss.backward()
        failing.remove()
        made.zero_grad()
        loss_of(model, second).backward()
        expected = np.linalg.norm(gradient(model))
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        made.step()
    assert seen.trace["grad_norm"] == pytest.approx([expected], rel=1e-5)


def test_an_error_of_the_watching_ends_the_watching_alone():
    model = net()
    made = OPTIMIZERS["momentum"](model)
    with watch(model, made) as seen:
        for step, batch in enumerate(batches(5)):
            made.zero_grad()
            seen.loss("no number" if step == 2 else loss_of(model, batch).item())
            before = weights(model)
            loss_of(model, batch).backward()
            made.step()
            assert not np.array_equal(before, weights(model))
    assert len(seen.trace) == 2
    assert "step 2" in seen.note
    assert "no number" in seen.note
    assert hooks(model, made) == []


def test_what_is_not_told_is_nan_and_every_third_step_is_measured():
    model = net()
    made = OPTIMIZERS["adam"](model)
    with watch(model, made, norms=3, ratios=None) as seen:
        for step, batch in enumerate(batches(7)):
            made.zero_grad()
            loss_of(model, batch).backward()
            made.step()
            if step == 4:
                seen.validation(torch.tensor(0.25))
            assert len(seen.trace) == step + 1
    trace = seen.trace
    for name in NORMS:
        assert np.isfinite(trace[name]).tolist() == [step % 3 == 0 for step in range(7)], name
    assert np.isnan(trace["loss"]).all()
    assert np.isnan(trace["epoch"]).all()
    assert np.flatnonzero(np.isfinite(trace["validation_loss"])).tolist() == [4]
    assert (np.diff(trace["seconds"]) > 0).all()


def test_weights_freed_on_the_way_are_seen_from_then_on():
    model = net()
    model[0].requires_grad_(False)
    made = torch.optim.SGD(model.parameters(), lr=0.1)
    sizes = []
    with watch(model, made) as seen:
        for step, batch in enumerate(batches(6)):
            model[0].requires_grad_(step >= 3)
            made.zero_grad()
            loss_of(model, batch).backward()
            moving = [p for p in model.parameters() if p.requires_grad]
            sizes.append((np.linalg.norm(gradient(model)), np.linalg.norm(flat(moving))))
            made.step()
    assert seen.note is None
    assert seen.trace["grad_norm"] == pytest.approx([size for size, _ in sizes], rel=1e-5)
    assert seen.trace["weight_norm"] == pytest.approx([size for _, size in sizes], rel=1e-5)


def test_half_precision_norms_do_not_overflow():
    model = nn.Linear(512, 512, bias=False, dtype=torch.float16)
    nn.init.constant_(model.weight, 300.0)  # norm 153,600; float16 ends at 65,504
    made = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch(model, made) as seen:
        model.weight.grad = torch.full_like(model.weight, 200.0)
        made.step()
    assert seen.trace["weight_norm"] == pytest.approx([300.0 * 512], rel=1e-3)
    assert seen.trace["grad_norm"] == pytest.approx([200.0 * 512], rel=1e-3)


def test_misuse_is_refused_on_entry():
    model, other = net(), net()
    made = OPTIMIZERS["momentum"](model)
    for arguments, settings, said in (
        ((made, model), {}, "first argument"),
        ((model, model), {}, "second argument"),
        ((other, made), {}, "holds no trainable parameter"),
        ((model, made), {"norms": 0}, "norms"),
        ((model, made), {"norms": None}, "norms"),
        ((model, made), {"steps_per_epoch": 1.5}, "steps_per_epoch"),
        ((model, made), {"scaler": 1024.0}, "GradScaler"),
    ):
        with pytest.raises(SettingError, match=said), watch(*arguments, **settings):
            pass
    with pytest.raises(ProblemError, match="no trainable"), watch(nn.Tanh(), made):
        pass
    assert hooks(model, made) == []
