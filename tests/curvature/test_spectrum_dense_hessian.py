"""Both ends of the spectrum against the dense Hessian of torch.autograd.functional, closed forms, and curvlinops' operator."""

import copy
import importlib
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, TensorDataset

from surefoot import Problem, ProblemError, SettingError, descend, problems
from surefoot.curvature.spectrum import Spectrum, spectrum
from tests.laws.test_no_footprint import footprint, make, same

X, Y = torch.randn(2, 90, 4, generator=torch.Generator().manual_seed(0))
LABEL = (X.sum(1) > 0).long()


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.out = nn.LSTM(2, 6, batch_first=True), nn.Linear(6, 4)

    def forward(self, x):
        return self.out(self.inner(x.unflatten(1, (2, 2)))[0][:, -1])


class Attending(nn.Module):
    """Has LayerNorm, on which a forward derivative of the backward pass is wrong in torch 2.13."""

    def __init__(self):
        super().__init__()
        self.inner = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.3, batch_first=True)

    def forward(self, x):
        return self.inner(x.unsqueeze(1) * torch.arange(1, 4, device=x.device).to(x).view(1, 3, 1)).mean(1)


MODELS = {
    "dense": (lambda: nn.Sequential(nn.Linear(4, 30), nn.Tanh(), nn.Linear(30, 30), nn.Tanh(), nn.Linear(30, 4)), Y),
    "normed": (lambda: nn.Sequential(nn.Linear(4, 9), nn.BatchNorm1d(9), nn.GELU(), nn.Dropout(0.5), nn.Linear(9, 4)), Y),
    "labels": (lambda: nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.LayerNorm(16), nn.Linear(16, 2)), LABEL),
    "convolution": (
        lambda: nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 5, 2), nn.SiLU(), nn.Flatten(), nn.Linear(15, 4)),
        Y,
    ),
    "recurrent": (Recurrent, Y),
    "attention": (Attending, Y),
}


def built(name, **options):
    torch.manual_seed(3)
    model, target = MODELS[name]
    loss = nn.functional.cross_entropy if target is LABEL else nn.functional.mse_loss
    return Problem(model(), (X, target), loss=loss, **options)


def dense_values(problem, data=None):
    """The eigenvalues of the Hessian in ascending order, made row by row in float64 from a function of one flat vector."""
    model = copy.deepcopy(problem.model).double().eval()
    names, shapes = zip(*[(name, p.shape) for name, p in model.named_parameters() if p.requires_grad], strict=True)
    inputs, targets = data or problem.data

    def loss(flat):
        parts = flat.split([shape.numel() for shape in shapes])
        weights = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return problem.loss(
            torch.func.functional_call(model, weights, (inputs.double(),)), targets.double() if targets is Y else targets
        )

    flat = torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])
    assert flat.numel() < 2000
    with sdpa_kernel(SDPBackend.MATH):  # the fused one has no second derivative
        return torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))


def dense_ends(problem, data=None):
    values = dense_values(problem, data)
    return values[0].item(), values[-1].item()


@pytest.mark.parametrize("name", MODELS)
def test_ends_are_those_of_the_dense_hessian(name):
    problem = built(name)
    smallest, largest = dense_ends(problem)
    found = spectrum(problem)
    scale = max(abs(smallest), abs(largest))
    assert found.largest == pytest.approx(largest, rel=1e-6)
    assert found.smallest == pytest.approx(smallest, rel=1e-3, abs=1e-5 * scale)
    assert found.condition == pytest.approx(abs(largest / smallest), rel=0.01)
    assert max(found.largest_residual, found.smallest_residual) <= 2e-6 * scale
    assert found.samples == 90


@pytest.mark.parametrize("name", ["dense", "labels"])
def test_at_other_weights(name):
    problem = built(name)
    run = descend(problem, lr=0.3, steps=60, batch_size="full")
    there = problem.with_(model=built(name).model)
    there.model.load_state_dict(run.weights)
    smallest, largest = dense_ends(there)
    flat = nn.utils.parameters_to_vector(there.model.parameters()).detach()
    for found in (spectrum(problem, run.weights), spectrum(problem, flat), spectrum(there)):
        assert found.largest == pytest.approx(largest, rel=1e-6)
        assert found.smallest == pytest.approx(smallest, rel=1e-3, abs=1e-5 * largest)


def test_frozen_weights_are_left_out():
    problem = built("dense")
    problem.model[0].requires_grad_(False)
    assert spectrum(problem).largest == pytest.approx(dense_ends(problem)[1], rel=1e-6)


def test_residual_tells_how_far_from_an_eigenvalue_it_is(monkeypatch):
    """Stopped far too early, every answer still has an eigenvalue within its residual (a theorem for symmetric matrices)."""
    problem = built("dense")
    monkeypatch.setattr("surefoot.curvature.spectrum.MOST_PRODUCTS", 3)
    found = spectrum(problem)
    values = dense_values(problem)
    assert found.products == 5
    assert found.largest_residual > 1e-4
    assert values[0] < found.smallest < found.largest < values[-1]
    assert (values - found.largest).abs().min() <= found.largest_residual
    assert (values - found.smallest).abs().min() <= found.smallest_residual


def test_line_in_closed_form():
    problem = problems.load("line")
    x = problem.data[0].double().flatten().numpy()
    columns = np.stack([x, np.ones_like(x)])
    smallest, largest = np.linalg.eigvalsh(2 / len(x) * columns @ columns.T)
    found = spectrum(problem)
    assert (found.smallest, found.largest) == pytest.approx((smallest, largest), rel=1e-9)
    assert found.largest == pytest.approx(problem.answer.curvature, rel=1e-4)


@pytest.mark.parametrize(
    "curvatures", [[5.0], [2.0, 2.0, 2.0], [-3.0, -1.0], [0.0, 0.0], [0.0] * 70, [-7.0, 7.0], list(range(-40, 41))]
)
def test_planted_eigenvalues(curvatures):
    planted = torch.tensor([float(value) for value in curvatures])
    problem = Problem.of(lambda x: (planted.to(x) * x * x).sum() / 2 + 3 * x.sum(), start=[1.0] * len(curvatures))
    found = spectrum(problem)
    assert (found.smallest, found.largest) == pytest.approx((min(curvatures), max(curvatures)), abs=1e-5)


def test_data_chooses_the_samples():
    problem = built("dense", validation=(X[:30] * 2, Y[:30]))
    assert spectrum(problem, data="validation").largest == pytest.approx(dense_ends(problem, (X[:30] * 2, Y[:30]))[1], rel=1e-6)
    some, others = spectrum(problem, data=20), spectrum(problem, data=20, seed=1)
    assert some.samples == others.samples == 20
    assert some.largest != others.largest
    assert spectrum(problem, data=20) == some
    assert spectrum(problem, data=90).largest == pytest.approx(spectrum(problem).largest, rel=1e-9)


def test_batches_of_unequal_size_weigh_by_their_samples():
    problem = built("dense")
    loader = DataLoader(TensorDataset(X, Y), batch_size=32)
    assert spectrum(problem.with_(data=loader)).largest == pytest.approx(spectrum(problem).largest, rel=1e-9)
    assert spectrum(problem.with_(data=loader), data=40).samples == 64  # whole batches


def test_random_losses_are_the_same_in_every_product():
    problem = built("dense").with_(
        loss=None, objective=lambda model, batch: (model(batch[0] + torch.randn_like(batch[0])) ** 2).mean()
    )
    found = spectrum(problem)
    assert found.largest_residual < 1e-5 * found.largest
    assert spectrum(problem) == found


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, None])
def test_nothing_of_the_callers_changes(dtype):
    model, loader = make()
    before = footprint(model, loader)
    problem = Problem(model, loader, loss=nn.functional.mse_loss, validation=loader)
    weights = nn.utils.parameters_to_vector(model.parameters()).detach()
    kept = weights.clone()
    spectrum(problem, weights, dtype=dtype)
    spectrum(problem, data=10, dtype=dtype)
    assert same(before, footprint(model, loader))
    assert torch.equal(weights, kept)
    with pytest.raises(ZeroDivisionError):
        spectrum(problem.with_(loss=None, objective=lambda model, batch: 1 / 0))
    assert same(before, footprint(model, loader))


def test_float32_is_close():
    problem = built("labels")
    assert spectrum(problem, dtype=None).largest == pytest.approx(dense_ends(problem)[1], rel=1e-4)


def test_a_person_can_act_on_it():
    text = str(Spectrum(50.0, 0.5, 1e-7, 1e-7, 1200, 44))
    assert "2/L = 0.04" in text
    assert "1,200 samples" in text
    assert "ratio 100" in text
    assert "downwards" not in text
    assert "sets no limit" in str(Spectrum(-1.0, -2.0, 0.0, 0.0, 1, 4))
    assert "downwards" in str(Spectrum(1.0, -2.0, 0.0, 0.0, 1, 4))
    assert Spectrum(1.0, 0.0, 0.0, 0.0, 1, 4).condition == math.inf
    assert math.isnan(Spectrum(0.0, 0.0, 0.0, 0.0, 1, 4).condition)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, outer):
        return 2 * ctx.saved_tensors[0] * outer


def test_refusals_name_the_way_out():
    problem = built("dense")
    with pytest.raises(SettingError, match="validation="):
        spectrum(problem, data="validation")
    for data in ("test", 0, True, 1.5):
        with pytest.raises(SettingError, match="'train', 'validation' or a positive count"):
            spectrum(problem, data=data)
    assert spectrum(problem, data=91).samples == 90
    with pytest.raises(SettingError, match="3 values, the model has 1,204"):
        spectrum(problem, torch.ones(3))
    with pytest.raises(SettingError, match="do not fit"):
        spectrum(problem, {"weight": torch.ones(3)})
    with pytest.raises(ProblemError, match="no trainable"):
        spectrum(Problem(nn.Linear(4, 4).requires_grad_(False), (X, Y), loss=nn.functional.mse_loss))
    with pytest.raises(ProblemError, match=r"loss is nan.*Clean the data"):
        spectrum(problem.with_(data=(X * math.nan, Y)))


def test_losses_without_a_second_derivative_are_refused():
    with pytest.raises(ProblemError, match="without a second derivative"):
        spectrum(Problem.of(lambda x: Once.apply(x).sum(), start=[1.0, 2.0]))
    with pytest.raises(ProblemError, match=r"differentiated twice: .*_cdist_backward.* is not implemented"):
        spectrum(
            Problem.of(lambda x: torch.cdist(x.view(2, 2) ** 2, torch.ones(1, 2).to(x), p=3).sum(), start=[1.0, 2.0, 3.0, 4.0])
        )
    with pytest.raises(ProblemError, match="not finite at these weights"):
        spectrum(Problem.of(lambda x: x.abs().pow(1.5).sum(), start=[0.0, 2.0]))


def imported_curvlinops():
    try:
        return importlib.import_module("curvlinops")
    except ImportError:
        return pytest.skip("curvlinops is not installed, to compare with")


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # used by it and by torch's forward mode
@pytest.mark.parametrize("name", ["dense"])  # LayerNorm: see Attending; SiLU: its backward pass has no forward derivative
def test_ends_are_those_of_curvlinops(name):
    curvlinops = imported_curvlinops()
    problem = built(name)
    model = problem.model.double()
    batches = [(X.double(), Y.double())]
    hessian = curvlinops.HessianLinearOperator(model, nn.MSELoss(), list(model.parameters()), batches)
    values = torch.linalg.eigvalsh(hessian @ torch.eye(hessian.shape[0], dtype=torch.float64))
    found = spectrum(problem)
    assert (found.smallest, found.largest) == pytest.approx((values[0].item(), values[-1].item()), rel=1e-3)
