"""The problem and the settings of a Trainer: a descent of ours is what ``train()`` does, and the rate is that of the bare problem."""

import copy
import pickle
import types

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import surefoot as sf
from surefoot import ProblemError, SettingError

transformers = pytest.importorskip("transformers")
ours = pytest.importorskip("surefoot.integrations.transformers", exc_type=ImportError)

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.filterwarnings("ignore:.*pin_memory.*")]


def samples(count, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    rows = torch.randint(5, 50, (count, 8), generator=drawn)
    return [{"input_ids": row, "labels": (row[0] > 27).long(), "unused": 1.0} for row in rows]


def sentences(count, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    rows = torch.randint(5, 50, (count, 8), generator=drawn)
    lengths = torch.randint(3, 9, (count,), generator=drawn)
    return [{"input_ids": row, "labels": torch.where(torch.arange(8) < n, row, -100)} for row, n in zip(rows, lengths, strict=True)]


def bert(dropout=0.0):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=16,
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config)


def llama():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=8
    )
    return transformers.LlamaForCausalLM(config)


def trainer(folder, model, data, callbacks=(), kind=None, more=None, **arguments):
    settings = {
        "per_device_train_batch_size": 4, "max_steps": 12, "logging_steps": 1, "report_to": "none", "disable_tqdm": True, "use_cpu": True,
        "save_strategy": "no", "learning_rate": 1e-3,
    }  # fmt: skip
    args = transformers.TrainingArguments(str(folder), **{**settings, **arguments})
    return (kind or transformers.Trainer)(model, args, train_dataset=data, callbacks=list(callbacks), **(more or {}))


class OwnLoss(transformers.Trainer):
    """A loss of one's own, which also keeps a book and logs."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.book, self.calls = {"losses": []}, 0

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        loss = 3 * loss + 0.01 * sum(p.square().sum() for p in self.model.parameters())
        self.book["losses"].append(loss.item())
        self.calls += 1
        if not return_outputs and self.calls % 5 == 0:
            self.log({"mine": 1.0})
        return (loss, outputs) if return_outputs else loss


class OwnParts(transformers.Trainer):
    """An optimizer, a schedule and a loader of one's own."""

    def create_optimizer(self, model=None):
        if self.optimizer is None:
            self.optimizer = torch.optim.SGD((model or self.model).parameters(), lr=self.args.learning_rate, momentum=0.5)
        return self.optimizer

    def create_scheduler(self, num_training_steps, optimizer=None):
        if self.lr_scheduler is None:
            chosen = optimizer if optimizer is not None else self.optimizer
            self.lr_scheduler = torch.optim.lr_scheduler.ExponentialLR(chosen, 0.9)
        return self.lr_scheduler

    def get_train_dataloader(self):
        return self.accelerator.prepare(DataLoader(self.train_dataset, batch_size=3, collate_fn=self.data_collator))


def counted_loss(outputs, labels, num_items_in_batch=None):
    return torch.nn.functional.cross_entropy(outputs.logits, labels, reduction="sum") / num_items_in_batch


def passed(model):
    """What goes into ``optimizers=``."""
    groups = [{"params": list(model.bert.parameters())}, {"params": list(model.classifier.parameters()), "lr": 1e-2}]
    optimizer = torch.optim.RMSprop(groups, lr=1e-3, momentum=0.3)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, [1e-3, 1e-2], total_steps=13, cycle_momentum=False)


SEQUENTIAL = {"train_sampling_strategy": "sequential"}
WAYS = {
    "plain": (bert, samples, {}),
    "accumulated": (bert, samples, {"gradient_accumulation_steps": 3}),
    "tokens": (llama, sentences, {"gradient_accumulation_steps": 3, "weight_decay": 0.3, "warmup_steps": 3}),
    "by a share": (llama, sentences, {"warmup_steps": 0.3, "lr_scheduler_type": "cosine"}),
    "ends at a rate": (llama, sentences, {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 5e-4}}),
    "smoothed": (bert, samples, {"label_smoothing_factor": 0.2, "gradient_accumulation_steps": 2}),
    "a function": (bert, samples, {"more": {"compute_loss_func": counted_loss}, "gradient_accumulation_steps": 2}),
    "own loss": (bert, samples, {"kind": OwnLoss, "gradient_accumulation_steps": 2}),
    "own parts": (bert, samples, {"kind": OwnParts}),
    "clipped": (bert, samples, {"max_grad_norm": 0.05}),
    "not clipped": (bert, samples, {"max_grad_norm": 0.0}),
    "sgd": (bert, samples, {"optim": "sgd", "learning_rate": 0.1}),
    "adafactor": (bert, samples, {"optim": "adafactor"}),
    "epochs": (bert, samples, {"max_steps": -1, "num_train_epochs": 1.5, "gradient_accumulation_steps": 4}),
    "bf16": (bert, samples, {"bf16": True}),
}


def walked(trained, **more):
    lr = trained.args.learning_rate
    return sf.descend(ours.problem_of(trained), lr=lr, **{**ours.settings_of(trained), **more}).trace


def is_same_walk(trace, watch, exact=1e-5):
    assert len(trace) == len(watch.trace) > 3
    assert trace["lr"] == pytest.approx(watch.trace["lr"], rel=1e-9)
    for name in ("loss", "grad_norm", "update_norm", "weight_norm"):
        assert trace[name] == pytest.approx(watch.trace[name], rel=exact, abs=1e-7), name


@pytest.mark.parametrize("way", WAYS)
def test_a_descent_with_the_settings_of_a_trainer_is_its_training(way, tmp_path):
    make, data, arguments = WAYS[way]
    watch = ours.Watch(norms=1)
    trained = trainer(tmp_path, make(), data(42), [watch], **{**SEQUENTIAL, **arguments})
    trace = walked(trained)
    trained.train()
    is_same_walk(trace, watch, exact=2e-2 if way == "bf16" else 2e-4)
    assert trace["loss"] == pytest.approx(watch.trace["loss"], rel=2e-3 if way == "bf16" else 1e-5)


def test_a_pair_of_optimizer_and_scheduler_that_was_passed(tmp_path):
    watch, model = ours.Watch(norms=1), bert()
    trained = trainer(tmp_path, model, samples(42), [watch], more={"optimizers": passed(model)}, **SEQUENTIAL)
    lr = trained.optimizer.param_groups[0]["initial_lr"]
    trace = sf.descend(ours.problem_of(trained), lr=lr, **ours.settings_of(trained)).trace
    trained.train()
    is_same_walk(trace, watch, exact=1e-4)


@pytest.mark.parametrize("bf16", [False, True])
def test_after_a_training_it_is_the_next_one(bf16, tmp_path):
    """The optimizer keeps its state and has its base rate again, the schedule is another, and a forward that was wrapped is copied."""
    watch = ours.Watch(norms=1)
    trained = trainer(tmp_path, bert(), samples(42), [watch], bf16=bf16, **SEQUENTIAL)
    trained.train()
    trace = walked(trained)
    assert trace["lr"][0] == 1e-3
    lengths = (trace["weight_norm"][0], watch.trace["weight_norm"][-1] + watch.trace["update_norm"][-1])
    assert lengths[0] <= lengths[1]
    trained.train()
    assert trace["loss"][:3] == pytest.approx(watch.trace["loss"][:3], rel=2e-3 if bf16 else 1e-5)


def test_a_trainer_that_makes_its_model_begins_from_such_a_one(tmp_path):
    watch = ours.Watch(norms=1)

    def fresh():  # from the Trainer's own seed
        return transformers.BertForSequenceClassification(bert().config)

    made = []
    trained = trainer(
        tmp_path, None, samples(42), [watch], more={"model_init": lambda: made.append(1) or fresh()}, seed=3, **SEQUENTIAL
    )
    trained.train()
    trace = walked(trained)
    is_same_walk(trace, watch, exact=1e-4)


# ---- the rate


def by_hand(model):
    """What ``create_optimizer`` does, written out."""
    groups = {True: [], False: []}
    for name, p in model.named_parameters():
        groups["bias" not in name and "LayerNorm" not in name].append(p)
    decayed = [{"params": groups[True], "weight_decay": 0.1}, {"params": groups[False], "weight_decay": 0.0}]
    return torch.optim.AdamW(decayed, lr=1e-3, fused=True)  # the Trainer's default since transformers 5


def collate(rows):
    return {name: torch.stack([row[name] for row in rows]) for name in ("input_ids", "labels")}


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_the_rate_is_that_of_the_bare_problem(schedule, tmp_path):
    """The same model, with its dropout, the same shuffled loader, the same seed; the loss inside the model."""
    data, held_out = samples(64), samples(24, 1)
    more = {"eval_dataset": held_out}
    trained = trainer(tmp_path, bert(0.1), data, max_steps=80, weight_decay=0.1, more=more, lr_scheduler_type=schedule)
    found = ours.find_lr(trained, engine="sequential", progress=False)
    bare = sf.Problem(
        bert(0.1),
        DataLoader(data, batch_size=4, shuffle=True, collate_fn=collate),
        validation=DataLoader(held_out, batch_size=8, collate_fn=collate),
    )
    multiplier = {"constant": lambda step, steps: 1.0, "linear": lambda step, steps: 1 - step * 80 // steps / 80}[schedule]
    expected = sf.find_lr(
        bare, optimizer=by_hand, schedule=multiplier, steps=80, clip_norm=1.0, engine="sequential", progress=False
    )
    assert found.lr == expected.lr
    if schedule == "constant":  # the other's rates differ in the last bit
        assert (found.low, found.high, found.ceiling) == (expected.low, expected.high, expected.ceiling)
        assert len(found.trials) == len(expected.trials) > 6
        assert all(one == other for one, other in zip(found.trials, expected.trials, strict=True))


def test_what_is_asked_for_goes_before_what_the_trainer_says(tmp_path):
    evaluated = {"eval_strategy": "epoch", "more": {"eval_dataset": samples(4)}}
    trained = trainer(tmp_path, bert(), samples(42), lr_scheduler_type="reduce_lr_on_plateau", **evaluated)
    with pytest.raises(SettingError, match="schedule='plateau'"):
        ours.settings_of(trained)
    settings = ours.settings_of(trained, schedule="plateau", steps=70, optimizer="sgd", clip_norm=None)
    assert (settings["schedule"], settings["steps"], settings["optimizer"], settings["clip_norm"]) == ("plateau", 70, "sgd", None)
    found = ours.find_lr(trained, schedule="plateau", steps=70, engine="sequential", progress=False)
    assert found.steps == 70


def test_of_many_evaluation_samples_500_are_taken_evenly(tmp_path):
    trained = trainer(tmp_path, bert(), samples(42), more={"eval_dataset": {"first": samples(1201, 1), "other": samples(3)}})
    batches = list(ours.problem_of(trained).validation)
    rows = torch.cat([batch["input_ids"] for batch in batches])
    assert len(rows) == 500
    whole = [row["input_ids"] for row in samples(1201, 1)]
    assert torch.equal(rows[0], whole[0])
    assert torch.equal(rows[-1], whole[-1])
    assert "unused" not in batches[0]


# ---- no footprint


def taken(trained):
    """Everything of a Trainer that could be changed: identities of what it holds, and values."""
    held = {name: id(value) for name, value in vars(trained).items()}
    values = copy.deepcopy(
        (
            trained.model.state_dict(),
            [(p.requires_grad, p.grad is None) for p in trained.model.parameters()],
            [module.training for module in trained.model.modules()],
            [sorted(vars(module)) for module in trained.model.modules()],
            trained.args.to_dict(),
            vars(trained.state),
            [
                len(kept)
                for kept in (trained.accelerator._dataloaders, trained.accelerator._models, trained.accelerator._optimizers)
            ],
            {name: value for name, value in vars(trained).items() if isinstance(value, int | float | str | bool | list | dict)}
            if not isinstance(trained.train_dataset, IterableDataset)
            else {},
            trained.optimizer.state_dict() if trained.optimizer is not None else None,
        )
    )
    return held, values, torch.get_rng_state(), [type(each) for each in trained.callback_handler.callbacks]


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("kind", [transformers.Trainer, OwnLoss])
def test_the_trainer_is_bit_for_bit_what_it_was(kind, tmp_path):
    trained = trainer(
        tmp_path,
        bert(0.1),
        samples(42),
        kind=kind,
        max_steps=60,
        more={"eval_dataset": samples(12, 1)},
        gradient_accumulation_steps=2,
    )
    before = taken(trained)
    ours.find_lr(trained, engine="sequential", progress=False)
    assert same(before, taken(trained))
    assert trained.state.log_history == []
    with pytest.raises(SettingError):
        ours.find_lr(trained, budget=0.01)
    assert same(before, taken(trained))


def test_an_error_on_the_way_leaves_it_as_it_was(tmp_path):
    calls = []

    def breaks(outputs, labels, num_items_in_batch=None):
        calls.append(1)
        if len(calls) == 20:
            raise RuntimeError("a broken loss")
        return torch.nn.functional.cross_entropy(outputs.logits, labels)

    trained = trainer(tmp_path, bert(), samples(42), more={"compute_loss_func": breaks}, max_steps=60)
    before = taken(trained)
    with pytest.raises(RuntimeError, match="a broken loss"):
        ours.find_lr(trained, engine="sequential", progress=False)
    assert same(before, taken(trained))


def test_a_training_after_find_lr_is_the_training_without(tmp_path):
    results = []
    for looks in (False, True):
        model = bert(0.1)
        trained = trainer(tmp_path, model, samples(42), more={"optimizers": passed(model)})
        if looks:
            ours.find_lr(trained, steps=60, engine="sequential", progress=False)
        trained.train()
        losses = [entry["loss"] for entry in trained.state.log_history if "loss" in entry]
        results.append((losses, trained.model.state_dict(), torch.get_rng_state()))
    assert same(*results)


# ---- bad input


class Stream(IterableDataset):
    def __iter__(self):
        return iter(samples(42))


def test_a_stream_needs_a_number_of_steps(tmp_path):
    trained = trainer(tmp_path, bert(), Stream(), max_steps=12)
    assert ours.settings_of(trained)["steps"] == 12
    trained.args.max_steps = -1
    with pytest.raises(SettingError, match="max_steps"):
        ours.settings_of(trained)
    assert ours.settings_of(trained, steps=30)["steps"] == 30


def test_without_a_train_dataset(tmp_path):
    with pytest.raises(ProblemError, match="train_dataset"):
        ours.find_lr(trainer(tmp_path, bert(), None))


@pytest.mark.parametrize("as_tuple", [False, True])
def test_without_labels_it_says_what_to_do(as_tuple, tmp_path):
    data = [{"input_ids": row["input_ids"]} for row in samples(42)]
    model = bert()
    model.config.return_dict = not as_tuple
    trained = trainer(tmp_path, model, data, max_steps=60)
    with pytest.raises(ProblemError, match=r"no labels among them \(looked for: labels\).*data_collator"):
        ours.find_lr(trained, progress=False)


def test_a_loss_that_is_no_scalar_is_said_to_be_one(tmp_path):
    def apart(outputs, labels, num_items_in_batch=None):
        return torch.nn.functional.cross_entropy(outputs.logits, labels, reduction="none")

    trained = trainer(tmp_path, bert(), samples(42), max_steps=60, more={"compute_loss_func": apart})
    with pytest.raises(ProblemError, match=r"scalar.*\(4,\)"):
        ours.find_lr(trained, progress=False)


def test_the_problem_can_be_sent_to_another_process(tmp_path):
    problem = ours.problem_of(trainer(tmp_path, bert(), samples(42), gradient_accumulation_steps=2))
    other = pickle.loads(pickle.dumps(problem))
    batches = [next(iter(each.data)) for each in (problem, other)]
    assert [parts[1:] for parts in batches] == [(8, 2)] * 2
    assert other.loss_on(other.model, batches[0]).item() == problem.loss_on(problem.model, batches[0]).item()


def test_something_else_than_a_trainer():
    with pytest.raises(SettingError, match=r"must be a transformers\.Trainer, got a dict"):
        ours.find_lr({})


@pytest.mark.parametrize(
    ("kind", "processes", "said"),
    [("DEEPSPEED", 1, "DeepSpeed shards"), ("FSDP", 1, "FSDP shards"), ("MULTI_GPU", 4, "here are 4")],
)
def test_sharded_models_and_several_processes_are_refused_with_the_way_out(kind, processes, said, tmp_path):
    trained = trainer(tmp_path, bert(), samples(42))
    trained.accelerator = types.SimpleNamespace(distributed_type=types.SimpleNamespace(value=kind), num_processes=processes)
    for ask in (ours.problem_of, ours.settings_of, ours.find_lr):
        with pytest.raises(SettingError, match=said):
            ask(trained)
