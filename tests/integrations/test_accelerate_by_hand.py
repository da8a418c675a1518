"""A loop under accelerate: watched, it is the loop in plain torch; its rate is that of the bare problem."""

import copy
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf
from surefoot import SettingError

accelerate = pytest.importorskip("accelerate")
ours = pytest.importorskip("surefoot.integrations.accelerate", exc_type=ImportError)

loss_of = nn.functional.cross_entropy


def points(count=96, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 2, generator=drawn)
    return inputs, (inputs[:, 0] * inputs[:, 1] > 0).long()


def network(dropout=0.0):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 2))


def adam(model, lr=1e-2):
    return torch.optim.AdamW(
        [{"params": model[0].parameters()}, {"params": model[3].parameters(), "lr": lr / 10}], lr=lr, foreach=False
    )


@pytest.fixture
def fresh():
    """An accelerator in a state of its own: accelerate keeps one for the whole process."""

    def made(**settings):
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
        accelerate.state.GradientState._reset_state()
        return accelerate.Accelerator(cpu=True, **settings)

    yield made
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


def prepared(accelerator, shuffle=False, dropout=0.0, batch_size=8):
    model = network(dropout)
    optimizer = adam(model)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
    loader = DataLoader(TensorDataset(*points()), batch_size=batch_size, shuffle=shuffle)
    return accelerator.prepare(model, optimizer, loader, scheduler)


def loop(accelerator, parts, tell, clip=0.5, epochs=2):
    """As the documentation of accelerate writes it."""
    model, optimizer, loader, scheduler = parts
    for _ in range(epochs):
        for inputs, targets in loader:
            with accelerator.accumulate(model):
                loss = tell(loss_of(model(inputs), targets))
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()


def by_hand(accumulate, clip=0.5, epochs=2):
    """The same in plain torch: rows of (lr, loss, norm before clipping, length of the update)."""
    model = network()
    optimizer = adam(model)
    inputs, targets = points()
    batches = list(zip(inputs.split(8), targets.split(8), strict=True))
    for step, begin in enumerate(list(range(0, 12, accumulate)) * epochs):
        taken = batches[begin : begin + accumulate]
        for group, base in zip(optimizer.param_groups, (1e-2, 1e-3), strict=True):
            group["lr"] = base * 0.9**step
        optimizer.zero_grad()
        losses = [loss_of(model(x), y) for x, y in taken]
        for loss in losses:
            (loss / accumulate).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), clip).item()
        before = [p.detach().clone() for p in model.parameters()]
        optimizer.step()
        moved = sum((p.detach() - old).square().sum().item() for p, old in zip(model.parameters(), before, strict=True)) ** 0.5
        yield optimizer.param_groups[0]["lr"], sum(loss.item() for loss in losses) / len(losses), norm, moved


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_row_is_an_update_of_the_loop_in_plain_torch(accumulate, fresh):
    accelerator = fresh(gradient_accumulation_steps=accumulate)
    parts = prepared(accelerator)
    with ours.watch(accelerator, parts[0], parts[1], norms=1) as seen:
        loop(accelerator, parts, seen.loss)
    expected = np.array(list(by_hand(accumulate)))
    assert len(seen.trace) == len(expected) == 24 // accumulate
    for column, name in enumerate(("lr", "loss", "grad_norm", "update_norm")):
        assert seen.trace[name] == pytest.approx(expected[:, column], rel=2e-4), name
    assert seen.note is None


def test_without_being_asked_the_norms_are_those_of_every_16th_update(fresh):
    accelerator = fresh()
    parts = prepared(accelerator)
    with ours.watch(accelerator, parts[0], parts[1]) as seen:
        loop(accelerator, parts, seen.loss)
    expected = np.array(list(by_hand(1)))
    assert np.flatnonzero(np.isfinite(seen.trace["update_norm"])).tolist() == [0, 16]
    assert seen.trace["update_norm"][[0, 16]] == pytest.approx(expected[[0, 16], 3], rel=2e-4)
    assert seen.trace["loss"] == pytest.approx(expected[:, 1], rel=2e-4)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_loop_is_bit_for_bit_the_one_without(precision, fresh):
    results = []
    for watched in (False, True):
        accelerator = fresh(gradient_accumulation_steps=2, mixed_precision=precision)
        parts = prepared(accelerator, shuffle=True, dropout=0.2)
        torch.manual_seed(1)
        if watched:
            with ours.watch(accelerator, parts[0], parts[1], norms=1, to=lambda values, step: None, every=3) as seen:
                loop(accelerator, parts, seen.loss)
        else:
            loop(accelerator, parts, lambda loss: loss)
        results.append((parts[0].state_dict(), parts[1].state_dict(), torch.get_rng_state()))
        assert not parts[1].optimizer._optimizer_step_post_hooks or not watched
    assert same(*results)


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_trackers_are_told_on_the_way_and_at_the_end_also_after_an_error(fresh):
    accelerator, told = fresh(), []
    parts = prepared(accelerator)
    lengths = []

    class Counts:
        def send(self, trace):
            lengths.append(len(trace))

    def breaks(loss):
        if len(told) == 20:
            raise RuntimeError("a broken loss")
        told.append(seen.loss(loss))
        return loss

    with pytest.raises(RuntimeError), ours.watch(accelerator, parts[0], parts[1], norms=1, to=Counts(), every=8) as seen:
        loop(accelerator, parts, breaks)
    assert lengths == [8, 16, 20]
    assert not parts[1].optimizer._optimizer_step_pre_hooks


# ---- the rate


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("is_prepared", [True, False])
def test_the_rate_is_that_of_the_bare_problem(is_prepared, accumulate, fresh):
    accelerator = fresh(
        gradient_accumulation_steps=accumulate, dataloader_config=accelerate.DataLoaderConfiguration(use_seedable_sampler=False)
    )
    if is_prepared:
        model, optimizer, loader, scheduler = prepared(accelerator, shuffle=True, dropout=0.2)
    else:
        model = network(0.2)
        optimizer = adam(model)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
        loader = DataLoader(TensorDataset(*points()), batch_size=8, shuffle=True)
    held_out = DataLoader(TensorDataset(*points(32, 1)), batch_size=16)
    before = (
        copy.deepcopy(model.state_dict()),
        copy.deepcopy(optimizer.state_dict()),
        scheduler.state_dict(),
        torch.get_rng_state(),
    )
    found = ours.find_lr(
        accelerator, model, loader, loss=loss_of, optimizer=optimizer, scheduler=scheduler, steps=80, validation=held_out, engine="sequential",
        clip_norm=0.5, progress=False,
    )  # fmt: skip
    bare = sf.Problem(
        network(0.2), DataLoader(TensorDataset(*points()), batch_size=8, shuffle=True), loss=loss_of, validation=held_out
    )
    expected = sf.find_lr(
        bare, optimizer=adam, schedule=lambda step, of: 0.9 ** (step * 80 // of), steps=80, accumulate=accumulate, clip_norm=0.5,
        engine="sequential", progress=False,
    )  # fmt: skip
    assert found.lr == expected.lr
    assert [len(trial) for trial in found.trials] == [len(trial) for trial in expected.trials]
    assert same(before, (model.state_dict(), optimizer.state_dict(), scheduler.state_dict(), torch.get_rng_state()))


def test_the_prepared_loader_keeps_its_place_also_after_an_error(fresh):
    accelerator = fresh(dataloader_config=accelerate.DataLoaderConfiguration(use_seedable_sampler=True))
    model, optimizer, loader, _ = prepared(accelerator, shuffle=True)
    sampler = loader.base_dataloader.batch_sampler.sampler

    def place():
        state, its = accelerator.gradient_state, sampler.generator
        return (
            sampler.epoch,
            its and its.get_state().tolist(),
            loader.iteration,
            state.active_dataloader,
            len(accelerator._dataloaders),
        )

    before = place()
    calls = []

    def breaks(prediction, target):
        calls.append(1)
        if len(calls) > 30:
            raise RuntimeError("a broken loss")
        return loss_of(prediction, target)

    with pytest.raises(RuntimeError, match="a broken loss"):
        ours.find_lr(accelerator, model, loader, loss=breaks, optimizer=optimizer, steps=80, engine="sequential", progress=False)
    assert place() == before


def test_mixed_precision_and_accumulation_are_taken_over(fresh):
    accelerator = fresh(gradient_accumulation_steps=4, mixed_precision="bf16")
    model, optimizer, loader, _ = prepared(accelerator)
    settings = ours.settings_of(accelerator, model, optimizer=optimizer, steps=60)
    assert (settings["accumulate"], settings["autocast"], settings["steps"]) == (4, "bf16", 60)
    problem = ours.problem_of(accelerator, model, loader, loss=loss_of)
    run = sf.descend(problem, lr=1e-2, **settings)
    plain = sf.descend(sf.Problem(network(), DataLoader(TensorDataset(*points()), batch_size=8), loss=loss_of), lr=1e-2, optimizer=adam,
                       steps=60, accumulate=4, autocast="bf16")  # fmt: skip
    assert run.trace["loss"] == pytest.approx(plain.trace["loss"], rel=2e-2)
    assert torch.equal(model[0].weight, network()[0].weight)


# ---- bad input


@pytest.mark.parametrize(
    ("kind", "processes", "said"),
    [("DEEPSPEED", 1, "DeepSpeed shards"), ("FSDP", 2, "FSDP shards"), ("MULTI_CPU", 2, "here are 2")],
)
def test_what_cannot_be_copied_is_refused_alike_in_every_process(kind, processes, said, fresh):
    model, optimizer, loader, _ = prepared(fresh())
    other = types.SimpleNamespace(distributed_type=types.SimpleNamespace(value=kind), num_processes=processes)
    with pytest.raises(SettingError, match=said):
        ours.find_lr(other, model, loader, loss=loss_of, optimizer=optimizer, steps=60)
    if kind == "DEEPSPEED":
        with pytest.raises(SettingError, match="steps inside an engine"), ours.watch(other, model, optimizer):
            pass


def test_an_optimizer_of_another_model_is_refused(fresh):
    accelerator = fresh()
    model, _, loader, _ = prepared(accelerator)
    with pytest.raises(SettingError, match=r"4 of the 4 tensors that the optimizer holds are not this model's"):
        ours.find_lr(accelerator, model, loader, loss=loss_of, optimizer=adam(network()), steps=60)


def test_unknown_precision_and_a_scheduler_that_follows_the_loss_are_refused(fresh):
    accelerator = fresh()
    model, optimizer, _, _ = prepared(accelerator)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer.optimizer)
    with pytest.raises(SettingError, match="schedule='plateau'"):
        ours.settings_of(accelerator, model, optimizer=optimizer, scheduler=plateau, steps=60)
    assert (
        ours.settings_of(accelerator, model, optimizer=optimizer, scheduler=plateau, steps=60, schedule="plateau")["schedule"]
        == "plateau"
    )
    fp8 = types.SimpleNamespace(distributed_type=types.SimpleNamespace(value="NO"), num_processes=1, mixed_precision="fp8")
    with pytest.raises(SettingError, match="'fp8' is not known"):
        ours.settings_of(fp8, model, optimizer=optimizer, steps=60)


def test_a_scheduler_that_was_stepped_is_refused(fresh):
    accelerator = fresh()
    parts = prepared(accelerator)
    loop(accelerator, parts, lambda loss: loss, epochs=1)
    model, optimizer, _, scheduler = parts
    with pytest.raises(SettingError, match=r"The scheduler has made 12 steps.*schedule="):
        ours.settings_of(accelerator, model, optimizer=optimizer, scheduler=scheduler, steps=60)
    told = ours.settings_of(accelerator, model, optimizer=optimizer, scheduler=scheduler, steps=60, schedule="cosine")
    assert told["schedule"] == "cosine"


def test_what_is_no_accelerator_is_refused():
    model = network()
    with pytest.raises(SettingError, match=r"must be an accelerate\.Accelerator, got a Sequential"):
        ours.find_lr(model, model, [], loss=loss_of, optimizer="adamw", steps=60)
    with (
        pytest.raises(SettingError, match=r"must be an accelerate\.Accelerator, got a NoneType"),
        ours.watch(None, model, adam(model)),
    ):
        pass


def test_a_watching_is_true_before_its_first_step(fresh):
    accelerator = fresh()
    model, optimizer, loader, _ = prepared(accelerator)
    with ours.watch(accelerator, model, optimizer) as seen:
        for inputs, targets in loader:
            loss = loss_of(model(inputs), targets)
            accelerator.backward(seen.loss(loss) if seen else loss)
            optimizer.step()
            optimizer.zero_grad()
    assert np.isfinite(seen.trace["loss"]).all()
