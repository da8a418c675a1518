"""The loss, its gradient and whether it follows it, against finite differences of this file's own and against planted bugs."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot.diagnosis.ground import Ground, followed
from tests.diagnosis.planted import quadratic, regression


class Wrong(torch.autograd.Function):
    """The value as it is, the gradient times a factor."""

    @staticmethod
    def forward(ctx, value, factor):
        ctx.factor = factor
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return ctx.factor * gradient, None


MODELS = {
    "linear": lambda: nn.Linear(3, 1),
    "relu": lambda: nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)),
    "tanh": lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)),
    "batch norm": lambda: nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1)),
    "dropout": lambda: nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1)),
    "layer norm": lambda: nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 1)),
}


class Single(nn.Module):
    """In float32 whatever becomes of its weights: doubling it fails."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x):
        mixed = torch.eye(3, dtype=torch.float32)
        return self.linear(x.float() @ mixed) if self.linear.weight.dtype is torch.float32 else self.linear(x @ mixed)


def row(problem):
    return torch.cat([p.detach().double().flatten() for p in problem.model.parameters()]).numpy()


def by_hand(problem, values):
    """The loss over all of the data of a copy in evaluation mode, in float64."""
    model = copy.deepcopy(problem.model).double().eval()
    nn.utils.vector_to_parameters(torch.as_tensor(values), list(model.parameters()))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.train()  # with the statistics of what is shown
    x, y = (part.double() for part in problem.data)
    with torch.no_grad():
        return float(nn.functional.mse_loss(model(x), y))


@pytest.mark.parametrize("kind", MODELS)
def test_loss_and_gradient_against_differences(kind):
    torch.manual_seed(1)
    problem = regression(model=MODELS[kind]())
    ground, here = Ground(problem), row(problem)
    assert ground.exact
    assert ground.loss(here) == pytest.approx(by_hand(problem, here), rel=1e-9)
    value, gradient = ground.gradient(here)
    assert value == pytest.approx(ground.loss(here), rel=1e-9)
    step = 1e-6
    for index in np.random.default_rng(0).choice(len(here), min(12, len(here)), replace=False):
        along = np.eye(len(here))[index]
        slope = (by_hand(problem, here + step * along) - by_hand(problem, here - step * along)) / (2 * step)
        assert gradient[index] == pytest.approx(slope, abs=1e-6 * (1 + np.abs(gradient).max()))
    unit = ground.direction()
    assert np.linalg.norm(unit) == pytest.approx(1)
    assert ground.slope(here, unit) == pytest.approx(gradient @ unit, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("factor", [1.0, -1.0, 2.0, 0.25])
def test_a_planted_factor_on_the_gradient_is_found(kind, factor):
    def objective(model, batch):
        return Wrong.apply(nn.functional.mse_loss(model(batch[0]), batch[1]), factor)

    torch.manual_seed(1)
    problem = regression(model=MODELS[kind](), loss=None, objective=objective)
    found = followed(Ground(problem), row(problem))
    assert found.ratio == pytest.approx(1 / factor, rel=1e-4)
    assert found.unreached == ()
    assert found.slope > 0


@pytest.mark.parametrize("factor", [1.0, -1.0, 2.0])
def test_a_model_that_cannot_be_doubled_is_measured_in_float32(factor):
    def objective(model, batch):
        return Wrong.apply((model(batch[0]) ** 2).mean(), factor)  # no target: the slope is steep enough for float32

    problem = regression(model=Single(), loss=None, objective=objective)
    ground = Ground(problem)
    assert not ground.exact
    found = followed(ground, row(problem))
    assert found.ratio == pytest.approx(1 / factor, rel=0.02)
    assert found.unreached == ()


def test_a_wrong_sign_is_found_in_float32_on_an_ordinary_loss():
    def objective(model, batch):
        return Wrong.apply(nn.functional.mse_loss(model(batch[0]), batch[1]), -1.0)

    problem = regression(model=Single(), loss=None, objective=objective)
    assert followed(Ground(problem), row(problem)).ratio == pytest.approx(-1, rel=0.1)


def test_what_float32_cannot_tell_is_no_alarm():
    problem = regression(model=Single())
    for seed in range(5):
        torch.manual_seed(seed)
        here = row(problem) + torch.randn(4).double().numpy()
        found = followed(Ground(problem), here)
        assert np.isnan(found.ratio) or found.ratio == pytest.approx(1, rel=0.05)
        assert found.unreached == ()


class Detached(nn.Module):
    """The first part is not reached by the gradient."""

    def __init__(self, through):
        super().__init__()
        self.first, self.second, self.through = nn.Linear(3, 4), nn.Linear(4, 1), through

    def forward(self, x):
        return self.second(self.through(torch.tanh(self.first(x))))


@pytest.mark.parametrize("through", [torch.Tensor.detach, lambda h: h.data, lambda h: torch.tensor(h.tolist(), dtype=h.dtype)])
def test_names_of_detached_weights(through):
    problem = regression(model=Detached(through))
    found = followed(Ground(problem), row(problem))
    assert set(found.unreached) == {"first.weight", "first.bias"}
    assert followed(Ground(regression(model=Detached(lambda h: h))), row(problem)).unreached == ()


def test_all_weights_detached():
    problem = regression(
        loss=None, objective=lambda model, batch: ((model(batch[0]).detach() - batch[1]) ** 2).mean() + 0 * model.bias.sum()
    )
    found = followed(Ground(problem), row(problem))
    assert np.isnan(found.ratio)
    assert set(found.unreached) == {"weight", "bias"}


def test_dead_units_are_no_missing_gradient():
    torch.manual_seed(0)
    problem = regression(model=MODELS["relu"]())
    with torch.no_grad():
        problem.model[0].bias.fill_(-100.0)
    found = followed(Ground(problem), row(problem))
    assert found.unreached == ()
    assert found.ratio == pytest.approx(1, rel=1e-4)  # the bias of the last layer still learns


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_minimum_is_no_missing_gradient(dtype):
    problem = quadratic(1.0, 4.0, start=0.0, dtype=dtype)
    found = followed(Ground(problem), np.zeros(2))
    assert np.isnan(found.ratio)
    assert (found.slope, found.unreached) == (0, ())


def test_a_saddle_is_no_missing_gradient():
    problem = sf.Problem.of(lambda w: w[0] ** 2 - w[1] ** 2, start=[0.0, 0.0])
    assert followed(Ground(problem), np.zeros(2)).unreached == ()


def test_weights_that_the_loss_does_not_depend_on_are_no_bug():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(3, 1), nn.Linear(5, 5)

        def forward(self, x):
            return self.used(x)

    problem = regression(model=Unused())
    found = followed(Ground(problem), row(problem))
    assert found.ratio == pytest.approx(1, rel=1e-4)
    assert found.unreached == ()


@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_a_large_constant_hides_no_sign(offset):
    for factor in (1.0, -1.0):
        problem = sf.Problem.of(lambda w, factor=factor: Wrong.apply((w**2).sum(), factor) + offset, start=[1.0, 2.0])
        found = followed(Ground(problem), np.array([1.0, 2.0]))
        assert found.ratio == pytest.approx(factor, rel=1e-3)


def test_data_of_one_sample_a_batch_and_of_many():
    many = regression(count=5000)
    ground = Ground(many)
    assert ground.rows.count == 2048
    assert followed(ground, row(many)).ratio == pytest.approx(1, rel=1e-4)
    one = regression(count=1)
    assert followed(Ground(one), row(one)).ratio == pytest.approx(1, rel=1e-4)
