"""Curvature along a step, and where it landed, against quadratics whose Hessian is at hand."""

import math

import pytest
import torch

from surefoot import SettingError
from surefoot.curvature.directional import two_gradients


def quadratic(seed, size=40):
    """A random symmetric Hessian (with negative eigenvalues too), a place and a direction, in float64."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(size, size, generator=generator, dtype=torch.float64)
    place, direction = torch.randn(2, size, generator=generator, dtype=torch.float64)
    return matrix + matrix.T, place, direction


def bowl(seed, size=40):
    """The same with a positive Hessian."""
    matrix, place, _ = quadratic(seed, size)
    hessian = matrix @ matrix / size + 0.1 * torch.eye(size, dtype=torch.float64)
    return hessian, place


@pytest.mark.parametrize("length", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("seed", range(5))
def test_curvature_is_the_rayleigh_quotient(seed, length):
    hessian, place, direction = quadratic(seed)
    step = length * direction
    curvature, _ = two_gradients(hessian @ place, hessian @ (place + step), step)
    assert curvature == pytest.approx(float(direction @ hessian @ direction / (direction @ direction)), rel=1e-6)


@pytest.mark.parametrize(("share", "alpha"), [(0.1, -0.9), (0.5, -0.5), (1.0, 0.0), (1.5, 0.5), (2.0, 1.0), (3.0, 2.0)])
@pytest.mark.parametrize("seed", range(5))
def test_alpha_says_where_on_the_line_the_step_landed(seed, share, alpha):
    hessian, place = bowl(seed)
    gradient = hessian @ place
    onto_the_minimum = float(gradient @ gradient / (gradient @ hessian @ gradient))  # exact line search
    step = -share * onto_the_minimum * gradient
    assert two_gradients(gradient, hessian @ (place + step), step)[1] == pytest.approx(alpha, abs=1e-10)


def test_alpha_is_one_at_the_stability_limit():
    hessian, _ = bowl(0)
    values, vectors = torch.linalg.eigh(hessian)
    place = vectors[:, -1]  # the steepest direction
    step = -2 / values[-1] * (hessian @ place)
    assert two_gradients(hessian @ place, hessian @ (place + step), step) == pytest.approx((float(values[-1]), 1.0), rel=1e-9)


def test_for_plain_gradient_descent_alpha_plus_one_is_rate_times_curvature():
    hessian, place = bowl(1)
    for lr in (1e-3, 0.03, 1.0):
        step = -lr * (hessian @ place)
        curvature, alpha = two_gradients(hessian @ place, hessian @ (place + step), step)
        assert alpha + 1 == pytest.approx(lr * curvature, rel=1e-9)


def test_of_a_network_it_is_the_second_derivative_along_the_step():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    x = torch.randn(20, 3, dtype=torch.float64)
    weights, direction = torch.nn.utils.parameters_to_vector(model.parameters()).detach(), torch.randn(41, dtype=torch.float64)

    def loss(at):
        torch.nn.utils.vector_to_parameters(at, model.parameters())
        return ((model(x) - x.sum(1, keepdim=True)) ** 2).mean()

    def gradient(at):
        return torch.nn.utils.parameters_to_vector(torch.autograd.grad(loss(at), list(model.parameters())))

    step, h = 1e-6 * direction, 1e-3
    bent = (loss(weights + h * direction) - 2 * loss(weights) + loss(weights - h * direction)).item() / h**2
    curvature, _ = two_gradients(gradient(weights), gradient(weights + step), step)
    assert curvature == pytest.approx(bent / float(direction @ direction), rel=1e-4)


def test_any_shape_and_precision():
    before, after, step = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    flat = two_gradients(before.flatten(), after.flatten(), step.flatten())
    assert two_gradients(before, after, step) == flat
    assert two_gradients(before.double(), after.double(), step.double()) == flat  # float32 is only how it arrives


def test_undefined_is_nan():
    one, none = torch.ones(2), torch.zeros(2)
    assert all(math.isnan(value) for value in two_gradients(one, one, none))
    curvature, alpha = two_gradients(none, one, one)
    assert curvature == 1.0
    assert math.isnan(alpha)
    assert all(math.isnan(value) for value in two_gradients(one, one * math.nan, one))


def test_unequal_sizes_are_refused():
    with pytest.raises(SettingError, match="got 2, 2 and 3"):
        two_gradients(torch.ones(2), torch.ones(2), torch.ones(3))
