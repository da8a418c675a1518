"""A Trainer that is watched: its own log, and a training loop written out."""

import json

import numpy as np
import pytest
import torch
from torch.utils.data import IterableDataset

from surefoot import SettingError

transformers = pytest.importorskip("transformers")
Watch = pytest.importorskip("surefoot.integrations.transformers", exc_type=ImportError).Watch

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.filterwarnings("ignore:.*pin_memory.*")]


def samples(count, seed=0, length=8):
    drawn = torch.Generator().manual_seed(seed)
    rows = torch.randint(5, 50, (count, length), generator=drawn)
    return [{"input_ids": row, "labels": (row[0] > 27).long(), "unused": 1.0} for row in rows]


def sentences(count, seed=0):
    """Of different lengths: labels of padding are left out."""
    drawn = torch.Generator().manual_seed(seed)
    rows = torch.randint(5, 50, (count, 8), generator=drawn)
    lengths = torch.randint(3, 9, (count,), generator=drawn)
    return [{"input_ids": row, "labels": torch.where(torch.arange(8) < n, row, -100)} for row, n in zip(rows, lengths, strict=True)]


def bert():
    torch.manual_seed(0)
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=16,
        )
    )


def llama():
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=50,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=8,
        )
    )


def trainer(folder, model, data, callbacks=(), kind=None, more=None, **arguments):
    settings = {
        "per_device_train_batch_size": 4, "max_steps": 12, "logging_steps": 1, "report_to": "none", "disable_tqdm": True, "use_cpu": True,
        "save_strategy": "no", "learning_rate": 1e-3,
    }  # fmt: skip
    args = transformers.TrainingArguments(str(folder), **{**settings, **arguments})
    return (kind or transformers.Trainer)(model, args, train_dataset=data, callbacks=list(callbacks), **(more or {}))


def logged(trained, name="loss"):
    return [entry[name] for entry in trained.state.log_history if name in entry]


# ---- against the Trainer's own log


class OwnLoss(transformers.Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        loss = 3 * loss + 0.1 * sum(p.square().sum() for p in model.parameters())
        return (loss, outputs) if return_outputs else loss


def counted_loss(outputs, labels, num_items_in_batch=None):
    return torch.nn.functional.cross_entropy(outputs.logits, labels, reduction="sum") / num_items_in_batch


WAYS = {
    "plain": {},
    "accumulated": {"gradient_accumulation_steps": 3},
    "smoothed": {"label_smoothing_factor": 0.2, "gradient_accumulation_steps": 2},
    "overridden": {"kind": OwnLoss},
    "a function": {"more": {"compute_loss_func": counted_loss}, "gradient_accumulation_steps": 2},
    "bf16": {"bf16": True},
    "not clipped": {"max_grad_norm": 0.0},
    "clipped": {"max_grad_norm": 0.01, "gradient_accumulation_steps": 2},
}


def test_norms_are_measured_every_sixteenth_step_where_nothing_is_asked_for(tmp_path):
    watch = Watch()
    trainer(tmp_path, bert(), samples(40), [watch], max_steps=36).train()
    assert len(watch.trace) == 36
    measured = np.flatnonzero(np.isfinite(watch.trace["grad_norm"]))
    assert measured.tolist() == [0, 16, 32]


@pytest.mark.parametrize("way", WAYS)
def test_loss_rate_and_norm_are_those_the_trainer_logs(way, tmp_path):
    watch = Watch(norms=1)
    trained = trainer(tmp_path, bert(), samples(40), [watch], **WAYS[way])
    trained.train()
    trace = watch.trace
    assert trace["step"].tolist() == list(range(12))
    assert trace["loss"].tolist() == logged(trained)
    assert trace["lr"].tolist() == logged(trained, "learning_rate")
    assert trace["grad_norm"] == pytest.approx(logged(trained, "grad_norm"), rel=1e-5)
    if trained.args.gradient_accumulation_steps == 1:  # the Trainer logs the end of the step, and counts batches
        assert trace["epoch"] + 0.1 == pytest.approx(logged(trained, "epoch")[:12])
    assert watch.note is None


def test_the_mean_over_tokens_of_all_batches_is_that_of_a_loop_by_hand(tmp_path):
    """Language modelling, three batches with different numbers of tokens an update, AdamW with decay, clipping, a linear schedule."""
    data, watch = sentences(30), Watch(norms=1)
    trained = trainer(
        tmp_path, llama(), data, [watch], gradient_accumulation_steps=3, train_sampling_strategy="sequential", max_steps=6,
        weight_decay=0.1, max_grad_norm=0.5, warmup_steps=2, per_device_train_batch_size=2,
    )  # fmt: skip
    trained.train()

    model = llama().train()
    decayed = [p for name, p in model.named_parameters() if "norm" not in name]
    others = [p for name, p in model.named_parameters() if "norm" in name]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-3)
    batches = [data[begin : begin + 2] for begin in range(0, 30, 2)]
    updates = [batches[begin : begin + 3] for begin in range(0, 15, 3)]
    for step, update in enumerate([*updates, updates[0]]):
        multiplier = step / 2 if step < 2 else (6 - step) / 4
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * multiplier
        optimizer.zero_grad()
        tokens = sum((row["labels"][1:] != -100).sum() for batch in update for row in batch)
        total = 0.0
        for batch in update:
            ids, labels = (torch.stack([row[name] for row in batch]) for name in ("input_ids", "labels"))
            logits = model(input_ids=ids).logits[:, :-1].reshape(-1, 50)
            loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:].reshape(-1), ignore_index=-100, reduction="sum") / tokens
            loss.backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        before = [p.detach().clone() for p in model.parameters()]
        optimizer.step()
        moved = torch.cat([(p.detach() - old).flatten() for p, old in zip(model.parameters(), before, strict=True)]).norm()
        length = torch.cat([old.flatten() for old in before]).norm()
        row = watch.trace[step]
        assert row.lr == pytest.approx(1e-3 * multiplier)
        assert row.loss == pytest.approx(total, rel=1e-5)
        assert row.grad_norm == pytest.approx(norm.item(), rel=1e-4)
        assert row.weight_norm == pytest.approx(length.item(), rel=1e-5)
        assert row.update_norm == pytest.approx(moved.item(), rel=2e-3, abs=1e-7)


class Moves(transformers.TrainerCallback):
    """Whether each update moved a weight, and the scale it was made under."""

    def __init__(self):
        self.moved, self.scales = [], []

    def on_pre_optimizer_step(self, args, state, control, model, optimizer, **kwargs):
        self.before = model.classifier.weight.detach().clone()
        self.scales.append(optimizer.scaler.get_scale())

    def on_optimizer_step(self, args, state, control, model, **kwargs):
        self.moved.append(not torch.equal(self.before, model.classifier.weight))


@pytest.mark.parametrize(
    "optim", ["adamw_torch", "adamw_torch_fused"]
)  # a fused one is called also where it is to leave the weights alone
@pytest.mark.parametrize("norms", [1, 5])
def test_an_update_that_the_gradient_scaler_skips_makes_no_row(norms, optim, tmp_path):
    """The squares of some norms overflow in float32; what is skipped is in no row, and the norms are those without the scale."""
    watch, moves = Watch(norms=norms), Moves()
    trained = trainer(
        tmp_path,
        bert(),
        samples(40),
        [watch, moves],
        gradient_accumulation_steps=2,
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
    )
    trained.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**66)
    trained.train()
    assert 2 <= sum(moves.moved) <= 10
    kept = [step for step, moved in enumerate(moves.moved) if moved]
    assert watch.trace["loss"].tolist() == [logged(trained)[step] for step in kept]
    norm = logged(trained, "grad_norm")[kept[0]] / moves.scales[kept[0]]
    assert watch.trace["grad_norm"][0] == pytest.approx(norm, rel=1e-4)


def test_validation_losses_stand_where_they_were_measured(tmp_path):
    watch = Watch(norms=1)
    trained = trainer(
        tmp_path,
        bert(),
        samples(40),
        [watch],
        more={"eval_dataset": samples(12, 1)},
        eval_strategy="steps",
        eval_steps=5,
        eval_on_start=True,
    )
    trained.train()
    measured = np.flatnonzero(~np.isnan(watch.trace["validation_loss"]))
    assert measured.tolist() == [4, 9, 11]
    assert watch.trace["validation_loss"][measured].tolist() == logged(trained, "eval_loss")[1:]


def test_of_several_evaluation_sets_the_first_is_the_validation(tmp_path):
    watch = Watch(norms=1)
    sets = {"near": samples(12, 1), "far": samples(12, 2)}
    trained = trainer(tmp_path, bert(), samples(40), [watch], more={"eval_dataset": sets}, eval_strategy="steps", eval_steps=6)
    trained.train()
    assert watch.trace["validation_loss"][[5, 11]].tolist() == logged(trained, "eval_near_loss")


# ---- no footprint


def state_of(trained):
    history = [
        {key: value for key, value in entry.items() if "second" not in key and "runtime" not in key}
        for entry in trained.state.log_history
    ]
    optimizer = trained.optimizer.optimizer.state_dict()
    return trained.model.state_dict(), optimizer, history, torch.get_rng_state()


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def hooks_of(trained):
    model, optimizer = trained.model, trained.optimizer.optimizer
    kept = [model._forward_hooks, model._forward_pre_hooks, model._backward_hooks, optimizer._optimizer_step_pre_hooks]
    kept += [optimizer._optimizer_step_post_hooks, *(p._post_accumulate_grad_hooks for p in model.parameters())]
    return sum(len(hooks or ()) for hooks in kept)


def test_the_training_is_bit_for_bit_the_one_without(tmp_path):
    results = []
    for name, callbacks in {"bare": [], "watched": [Watch(norms=1, every=5, to=lambda values, step: None)]}.items():
        trained = trainer(
            tmp_path / name, bert(), samples(40), callbacks, gradient_accumulation_steps=2, logging_steps=3, save_strategy="steps", save_steps=6,
            more={"eval_dataset": samples(12, 1)}, eval_strategy="steps", eval_steps=6,
        )  # fmt: skip
        trained.train()
        assert hooks_of(trained) == 0
        assert not {"training_step", "_run_epoch"} & set(vars(trained))
        results.append((state_of(trained), sorted(str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*"))))
    (bare, files), (watched, its) = results
    assert same(bare, watched)
    assert files == its
    saved = [json.loads((tmp_path / name / "checkpoint-12" / "trainer_state.json").read_text()) for name in ("bare", "watched")]
    assert saved[0]["stateful_callbacks"] == saved[1]["stateful_callbacks"]


def test_one_that_goes_on_from_a_checkpoint_counts_on(tmp_path):
    whole, parts = Watch(norms=1), Watch(norms=1)
    trainer(tmp_path / "whole", bert(), samples(40), [whole], save_strategy="steps", save_steps=6).train()
    data = samples(40)
    trainer(tmp_path / "parts", bert(), data, [Stop(8), parts], save_strategy="steps", save_steps=6).train()
    assert parts.trace["step"].tolist() == list(range(8))
    again = trainer(tmp_path / "parts", bert(), data, [parts], save_strategy="steps", save_steps=6)
    again.train(resume_from_checkpoint=True)
    assert parts.trace["step"].tolist() == list(range(12))
    for name in ("loss", "lr", "grad_norm", "epoch", "update_norm"):
        assert parts.trace[name].tolist() == whole.trace[name].tolist(), name
    assert np.all(np.diff(parts.trace["seconds"]) > 0)
    alone = Watch(norms=1)
    trainer(tmp_path / "parts", bert(), data, [alone]).train(resume_from_checkpoint=str(tmp_path / "parts" / "checkpoint-6"))
    assert alone.trace["step"].tolist() == list(range(6, 12))
    assert alone.trace["loss"].tolist() == whole.trace["loss"][6:].tolist()


class Stop(transformers.TrainerCallback):
    def __init__(self, at):
        self.at = at

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.at


def test_another_training_begins_another_trace(tmp_path):
    watch = Watch(norms=1)
    trained = trainer(tmp_path, bert(), samples(40), [watch])
    trained.train()
    first = watch.trace
    trained.train()
    assert watch.trace["step"].tolist() == first["step"].tolist()
    assert watch.trace["loss"].tolist() == logged(trained)[-12:]
    assert hooks_of(trained) == 0


class Breaks(list):
    def __getitem__(self, index):
        if index == 33:
            raise RuntimeError("a broken sample")
        return super().__getitem__(index)


@pytest.mark.parametrize("where", ["the data", "the loss", "Ctrl-C"])
def test_an_error_of_the_training_comes_out_and_leaves_no_hook(where, tmp_path):
    calls = []

    def breaks(outputs, labels, num_items_in_batch=None):
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt if where == "Ctrl-C" else RuntimeError("a broken loss")
        return torch.nn.functional.cross_entropy(outputs.logits, labels)

    watch = Watch(norms=1)
    data = Breaks(samples(40)) if where == "the data" else samples(40)
    more = {} if where == "the data" else {"compute_loss_func": breaks}
    trained = trainer(tmp_path, bert(), data, [watch], more=more)
    with pytest.raises(KeyboardInterrupt if where == "Ctrl-C" else RuntimeError):
        trained.train()
    assert hooks_of(trained) == 0
    assert not {"training_step", "_run_epoch"} & set(vars(trained))
    assert 0 < len(watch.trace) < 12
    assert watch.trace["loss"].tolist() == logged(trained)[: len(watch.trace)]


def test_trackers_and_lines_are_told_on_the_way(tmp_path, capsys):
    told, lengths = [], []

    class Counts:
        def send(self, trace):
            lengths.append(len(trace))

    watch = Watch(norms=1, every=5, to=[lambda values, step: told.append((step, values["surefoot/loss"])), Counts()])
    trainer(tmp_path, bert(), samples(40), [watch]).train()
    assert lengths == [5, 10, 12]
    assert told == list(zip(range(12), watch.trace["loss"].tolist(), strict=True))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in lines] == ["5", "10"]
    assert watch.diagnosis.verdict


def test_an_error_of_the_watching_ends_the_watching(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise SettingError("cannot be watched")

    monkeypatch.setattr("surefoot.integrations.transformers.watch", broken)
    watch = Watch(norms=1)
    trained = trainer(tmp_path, bert(), samples(40), [watch])
    trained.train()
    assert len(logged(trained)) == 12
    assert len(watch.trace) == 0
    assert watch.note == "Nothing is watched: SettingError: cannot be watched"


def test_a_target_that_is_none_is_refused_at_once():
    with pytest.raises(SettingError, match="pass a function"):
        Watch(norms=1, to="runs/1")


@pytest.mark.parametrize("wrong", [{"norms": 0}, {"ratios": 1.5}, {"every": "3"}])
def test_settings_that_make_no_sense_are_refused_at_once(wrong):
    with pytest.raises(SettingError, match=f"{next(iter(wrong))} must be an int of at least 1"):
        Watch(**wrong)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(samples(40))


def test_a_stream_has_no_epochs(tmp_path):
    watch = Watch(norms=1)
    trained = trainer(tmp_path, bert(), Stream(), [watch])
    trained.train()
    assert watch.trace["loss"].tolist() == logged(trained)
    assert np.isnan(watch.trace["epoch"]).all()
