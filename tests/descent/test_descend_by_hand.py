"""Oracle: torch.optim in a plain loop, bit for bit."""

import functools
import itertools

import numpy as np
import prodigyopt
import pytest
import schedulefree
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from surefoot import Problem, descend, problems, steps


def digits():
    return problems.load("digits-mlp")


def loader(problem, cls=TensorDataset, **options):
    return DataLoader(cls(*problem.data), batch_size=64, **options)


class Opaque(TensorDataset):
    """Not recognised as tensors in memory: fetched sample by sample."""


@pytest.mark.parametrize("dataset", [TensorDataset, Opaque])
@pytest.mark.parametrize("shuffle", [False, True])
def test_one_epoch_of_digits_with_adam_clipping_and_accumulation(dataset, shuffle):
    problem = digits()
    ours = descend(
        problem.with_(data=loader(problem, dataset, shuffle=shuffle), batch_size=None),
        lr=1e-3, optimizer=torch.optim.Adam, epochs=1, clip_norm=0.5, accumulate=4, seed=3,
    )  # fmt: skip

    model = digits().model
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses, norms = [], []
    torch.manual_seed(3)
    batches = list(loader(problem, Opaque, shuffle=shuffle))
    for first in range(0, len(batches), 4):
        group = batches[first : first + 4]
        optimizer.zero_grad()
        total = 0.0
        for x, y in group:
            loss = nn.functional.cross_entropy(model(x), y) / len(group)
            loss.backward()
            total += loss.item()
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 0.5)))
        optimizer.step()
        losses.append(total)
    assert ours.trace["loss"].tolist() == losses
    assert ours.trace["grad_norm"] == pytest.approx(norms, rel=1e-6)
    assert all(torch.equal(ours.weights[name], value) for name, value in model.state_dict().items())


def batches_of(problem, count=8):
    x, y = problem.data
    return [(x[i * 64 : (i + 1) * 64], y[i * 64 : (i + 1) * 64]) for i in range(count)]


def by_hand(problem, make, rates):
    model = problem.model
    optimizer = make(model)
    if hasattr(optimizer, "train"):
        optimizer.train()
    losses = []
    for (x, y), lr in zip(batches_of(problem), rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# Every optimizer of torch.optim that takes a step without a closure, and two third-party ones; a new one is a row here.
WITH_OWN_TESTS = {"Optimizer", "LBFGS", "SparseAdam", "Muon"}
CLASSES = [cls for name, cls in vars(torch.optim).items() if isinstance(cls, type) and name not in WITH_OWN_TESTS]
CLASSES += [schedulefree.AdamWScheduleFree, schedulefree.SGDScheduleFree, prodigyopt.Prodigy]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_optimizer_steps_as_by_hand(cls):
    problem = digits()
    run = descend(problem.with_(data=batches_of(problem), batch_size=None, validation=None), lr=1e-3, optimizer=cls, steps=8)
    losses = by_hand(digits(), lambda model: cls(model.parameters(), lr=1e-3), [1e-3] * 8)
    assert run.trace["loss"].tolist() == losses


def test_muon_over_matrices_beside_adam_in_groups():
    def make(model):
        return torch.optim.Muon([p for p in model.parameters() if p.ndim == 2], lr=1e-3)

    problem = digits()
    run = descend(problem.with_(data=batches_of(problem), batch_size=None, validation=None), lr=1e-3, optimizer=make, steps=8)
    assert run.trace["loss"].tolist() == by_hand(digits(), make, [1e-3] * 8)


def test_sparse_gradients():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(20, 4, sparse=True), nn.Flatten(), nn.Linear(8, 1))
    data = [(torch.tensor([[1, 2], [3, 4]]), torch.ones(2, 1))]
    groups = functools.partial(lambda m: torch.optim.SparseAdam([m[0].weight], lr=0.1))
    run = descend(Problem(model, data, loss=nn.functional.mse_loss), lr=0.1, optimizer=lambda m: groups(m), steps=30)
    assert run.trace["loss"][-1] < run.trace["loss"][0]
    assert (run.trace["grad_norm"] > 0).all()


def test_parameter_groups_keep_their_ratios():
    def make(model):
        return torch.optim.SGD([{"params": model[0].parameters(), "lr": 0.5}, {"params": model[2].parameters(), "lr": 0.05}])

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    x = torch.randn(10, 2)
    problem = Problem(model, (x, x.sum(1, keepdim=True)), loss=nn.functional.mse_loss, batch_size="full")
    run = descend(problem, lr=0.1, optimizer=make, steps=1, schedule=lambda step, steps: 0.5)
    gradients = torch.autograd.grad(nn.functional.mse_loss(model(x), x.sum(1, keepdim=True)), list(model.parameters()))
    for (name, before), gradient in zip(model.named_parameters(), gradients, strict=True):
        lr = 0.05 if name.startswith("0") else 0.005
        assert torch.allclose(run.weights[name], before - lr * gradient, atol=1e-7)
    assert run.trace["lr"].tolist() == [0.05]


class Images(Dataset):
    """A map-style dataset of the user's, with an augmentation that draws from NumPy's global generator."""

    def __len__(self):
        return 30

    def __getitem__(self, index):
        return np.float64(index) + np.random.rand(2), np.float32(index)  # noqa: NPY002


@pytest.mark.parametrize("batch_size", [None, 7, 1, "full"])
def test_a_dataset_is_walked_whole_and_anew_each_epoch(batch_size):
    seen = []

    def objective(model, batch):
        seen.append(batch[1].tolist())
        return model(batch[0]).mean()

    per_epoch = {None: 1, 7: 5, 1: 30, "full": 1}[batch_size]
    descend(Problem(nn.Linear(2, 1), Images(), objective=objective), lr=1e-3, epochs=2, batch_size=batch_size)
    first, second = (list(itertools.chain(*half)) for half in (seen[:per_epoch], seen[per_epoch:]))
    assert sorted(first) == sorted(second) == list(range(30))
    assert len(seen) == 2 * per_epoch
    assert per_epoch in (1,) or first != second


def test_huggingface_style_batches_and_outputs():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, features, labels):
            class Output:
                loss = ((self.layer(features) - labels) ** 2).mean()

            return Output()

    torch.manual_seed(0)
    data = [{"features": torch.randn(4, 3), "labels": torch.randn(4, 1)} for _ in range(3)]
    run = descend(Problem(Model(), data, validation=data), lr=0.05, epochs=5)
    assert len(run.trace) == 15
    assert run.trace["validation_loss"][-1] < run.trace["loss"][0]


def test_bf16_autocast_trains_close_to_float32():
    problem = digits()
    full, half = (descend(problem, lr=0.1, steps=40, autocast=kind) for kind in (None, "bf16"))
    assert half.trace["loss"][-5:].mean() == pytest.approx(full.trace["loss"][-5:].mean(), rel=0.1)
    assert (half.trace["loss"] != full.trace["loss"]).any()


def test_steps_leaves_the_loop_to_the_user():
    rows = [row for row, _ in zip(steps(digits(), lr=0.1, steps=100), range(7), strict=False)]
    assert [row.step for row in rows] == list(range(7))
    assert [row.loss for row in rows] == descend(digits(), lr=0.1, steps=7).trace["loss"].tolist()


def test_validation_loss_is_the_mean_over_the_held_out_samples():
    problem = digits()
    run = descend(problem, lr=0.1, steps=10, validate_every=4)
    measured = np.flatnonzero(np.isfinite(run.trace["validation_loss"]))
    assert measured.tolist() == [3, 7, 9]
    model = problem.model
    model.load_state_dict(run.weights)
    x, y = problem.validation
    assert run.trace["validation_loss"][-1] == pytest.approx(nn.functional.cross_entropy(model(x), y).item(), rel=1e-6)
