"""Traces and problems that are awkward: always an answer of the closed set, or the error of the problem itself; never a warning."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf
from surefoot.diagnosis.verdicts import VERDICTS
from tests.diagnosis.planted import RUNS, descent, quadratic, regression, run, trace

NAN, INF = np.nan, np.inf


def told(answer):
    """An answer that can be shown at every depth."""
    assert answer.verdict in VERDICTS
    for depth in ("basic", "medium", "detailed"):
        assert answer.explain(depth)
    assert answer._repr_html_()
    return answer.verdict


# ---- traces


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("with_problem", [True, False])
def test_too_few_rows_are_unsure(rows, with_problem):
    problem = quadratic(1.0)
    made = sf.descend(problem, lr=0.1, steps=max(rows, 1), optimizer="sgd")
    asked = made if rows else made.trace[:0]
    answer = sf.diagnose(asked, problem) if with_problem else sf.diagnose(asked)
    assert told(answer) == "unsure"
    assert "row" in answer.told
    assert answer.confidence == 0


@pytest.mark.parametrize("value", [0.0, 1.0, -1000.0, 1e-40, 1e300])
@pytest.mark.parametrize("full", [True, False])
def test_constant_losses(value, full):
    told(sf.diagnose(trace(np.full(100, value), full=full)))
    still = {"grad_norm": 0.0, "update_norm": 0.0, "weight_norm": 0.0}
    assert told(sf.diagnose(trace(np.full(100, value), full=full, **still))) not in ("diverging", "overflow", "broken", "too-small")


@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize("rows", [1, 3, 50])
def test_not_a_number_from_the_first_step(bad, rows):
    answer = sf.diagnose(trace(np.full(rows, bad)))
    assert told(answer) == "overflow"
    assert answer.remedy.setting is None  # no rate helps
    problem = sf.Problem.of(lambda w: (w * bad).sum(), start=[1.0])  # `descend` itself refuses it
    assert told(sf.diagnose(trace(np.full(rows, bad)), problem, optimizer="sgd")) == "overflow"


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_lost_on_the_way(bad):
    loss = np.geomspace(1, 1e30, 60)
    loss[40:] = bad
    answer = sf.diagnose(trace(loss, full=True))
    assert told(answer) == "overflow"
    assert "40" in answer.told
    assert answer.remedy.value == pytest.approx(0.01)  # a tenth


def test_unknown_rate_needs_no_number():
    loss = np.geomspace(1, 1e30, 60)
    loss[40:] = INF
    answer = sf.diagnose(trace(loss, lr=NAN))
    assert told(answer) == "overflow"
    assert answer.remedy.value is None


def shifted(offset, a):
    problem = sf.Problem.of(lambda w: (w * w).sum() / 2 + offset, start=torch.ones(1, dtype=torch.float64))
    return problem, sf.descend(problem, lr=a, steps=80, optimizer="sgd")


# Known shortfall: what counts as level ground and as too small is held against |loss|, so a large constant hides both.
HIDDEN = {(0.001, True), (0.001, False), (0.5, True)}
SHIFTED = [
    pytest.param(offset, a, asked, marks=pytest.mark.xfail(strict=True) if abs(offset) == 1000 and (a, asked) in HIDDEN else ())
    for offset in (-1000, -10, 1000)
    for a in (0.001, 0.5, 1.99, 2.05)
    for asked in (True, False)
]


@pytest.mark.parametrize(("offset", "a", "with_problem"), SHIFTED)
def test_a_constant_added_to_the_loss_changes_no_verdict(offset, a, with_problem):
    verdicts = []
    for problem, made in (shifted(0, a), shifted(offset, a)):
        verdicts.append(told(sf.diagnose(made, problem) if with_problem else sf.diagnose(made)))
    assert verdicts[0] == verdicts[1]


def test_gaps_and_steps_that_are_there_twice_are_judged_alike():
    rows = descent(0.001, steps=200)
    verdict = told(sf.diagnose(rows))
    assert verdict == "too-small"
    columns = {name: rows[name].copy() for name in rows.columns}
    columns["loss"][1:-1:3] = NAN
    assert told(sf.diagnose(sf.Trace(columns))) == verdict
    assert told(sf.diagnose(rows[:120] + rows[90:])) == verdict
    assert told(sf.diagnose(rows[:100] + rows[:0] + rows[100:])) == verdict


def test_a_resumed_log_whose_steps_begin_anew_is_an_answer():
    rows = descent(0.3, steps=60)
    told(sf.diagnose(rows + rows))


def test_mixed_units():
    loss = 3 * np.exp(-np.arange(300) / 60) + 1
    column = np.full(300, NAN)
    column[::10] = 1000 * np.interp(np.arange(30), [0, 12, 29], [4.0, 2.0, 3.0])
    answer = sf.diagnose(trace(loss, validation_loss=column, grad_norm=1.0, update_norm=0.1, weight_norm=2.0))
    assert told(answer) == "overfitting"
    assert answer.remedy.value == pytest.approx(121, abs=11)
    column[::10] = 1000 * np.linspace(4, 2, 30)
    assert told(sf.diagnose(trace(loss, validation_loss=column))) != "overfitting"


@pytest.mark.parametrize("columns", [(), ("lr",), ("lr", "grad_norm"), ("lr", "grad_norm", "update_norm"), ("validation_loss",)])
@pytest.mark.parametrize("shape", ["falls", "rises", "stands", "noise"])
def test_logs_with_few_columns(columns, shape):
    steps = np.arange(200)
    loss = {"falls": np.exp(-steps / 50), "rises": np.exp(steps / 50), "stands": np.ones(200),
            "noise": np.random.default_rng(0).standard_normal(200)}[shape]  # fmt: skip
    given = {"lr": NAN, "epoch": NAN, **dict.fromkeys(columns, 0.3)}
    verdict = told(sf.diagnose(trace(loss, **given)))
    if shape == "rises":
        assert verdict in ("diverging", "broken")
    if shape == "falls":
        assert verdict not in ("diverging", "broken", "overflow")


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("rate", [NAN, 0.0])
def test_logs_without_a_rate(kind, rate):
    problem, made = run(kind)
    columns = {**{name: made.trace[name] for name in made.trace.columns}, "lr": np.full(len(made.trace), rate)}
    there = copy.deepcopy(problem.model)
    there.load_state_dict(made.weights)
    for answer in (
        sf.diagnose(sf.Trace(columns)),
        sf.diagnose(sf.Trace(columns), problem.with_(model=there)),
        sf.diagnose(sf.Trace(columns), problem),
    ):
        told(answer)
        value = answer.remedy.value if answer.remedy is not None and answer.remedy.setting == "lr" else 1.0
        assert 0 < value < INF
        assert "not a number" not in (answer.remedy.text if answer.remedy is not None else "")


def test_a_rate_of_zero():
    told(sf.diagnose(trace(np.linspace(2, 1, 50), lr=0.0, grad_norm=1.0, update_norm=0.0, weight_norm=1.0)))


# ---- problems


class Scalars(nn.Module):
    """Two weights that are single numbers."""

    def __init__(self):
        super().__init__()
        self.slope, self.intercept = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.tensor(0.0))

    def forward(self, x):
        return self.slope * x[:, :1] + self.intercept


class Single(nn.Module):
    """In float32 whatever becomes of its weights: doubling it fails."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x):
        mixed = torch.eye(3, dtype=torch.float32)
        return self.linear(x.float() @ mixed) if self.linear.weight.dtype is torch.float32 else self.linear(x @ mixed)


class WithLoss(nn.Module):
    """A model that brings its loss, as those of transformers do."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, inputs, labels):
        output = type("Output", (), {})()
        output.loss = nn.functional.mse_loss(self.linear(inputs), labels)
        return output


def data(count=48):
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    return x, x.sum(1, keepdim=True)


def loaded():
    drawn = torch.Generator().manual_seed(0)
    return sf.Problem(nn.Linear(3, 1), DataLoader(TensorDataset(*data()), batch_size=8, shuffle=True, generator=drawn),
                      loss=nn.functional.mse_loss)  # fmt: skip


def mappings():
    x, y = data()
    batches = [{"inputs": x[at : at + 8], "labels": y[at : at + 8]} for at in range(0, 48, 8)]
    return sf.Problem(WithLoss(), batches)


def text():
    drawn = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 7, (40, 9), generator=drawn)
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7))
    return sf.Problem(
        model, (tokens[:, :-1], tokens[:, 1:]), loss=lambda p, t: nn.functional.cross_entropy(p.flatten(0, 1), t.flatten())
    )


def own_gradient():
    return sf.Problem.of_gradient(lambda x: ((x**2).sum() / 2, x), start=np.array([3.0, 4.0]))


PROBLEMS = {
    "function": lambda: quadratic(1.0, 3.0),
    "own gradient": own_gradient,
    "loader": loaded,
    "mappings": mappings,
    "text": text,
    "scalars": lambda: regression(model=Scalars()),
    "float64": lambda: regression(model=nn.Linear(3, 1).double()).with_(data=tuple(part.double() for part in data())),
    "float32 only": lambda: regression(model=Single()),
    "one batch": lambda: sf.Problem(nn.Linear(3, 1), [data()], loss=nn.functional.mse_loss),
    "one sample": lambda: regression(count=1, batch_size="full"),
    "frozen part": lambda: frozen(),
}


def frozen():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    model[0].requires_grad_(False)
    return regression(model=model)


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize("lr", [1e-6, 0.1, 1e3])
def test_every_form_of_problem_is_answered(kind, lr):
    torch.manual_seed(0)
    problem = PROBLEMS[kind]()
    made = sf.descend(problem, lr=lr, steps=40, optimizer="sgd")
    verdict = told(sf.diagnose(made, problem))
    told(sf.diagnose(made))
    if lr == 1e-6:
        assert verdict in ("too-small", "unsure") if kind == "float32 only" else verdict == "too-small"
    if lr == 1e3 and kind != "text":
        assert verdict in ("overflow", "diverging")


def test_no_second_derivative_is_no_hindrance():
    problem = own_gradient()
    made = sf.descend(problem, lr=0.5, steps=100, optimizer="sgd")
    assert told(sf.diagnose(made, problem)) == "converged"


class Refuses(nn.Module):
    """Breaks after some calls."""

    def __init__(self, after):
        super().__init__()
        self.linear, self.left = nn.Linear(3, 1), [after]

    def forward(self, x):
        self.left[0] -= 1
        if self.left[0] < 0:
            raise LookupError("the planted error")
        return self.linear(x)

    def __deepcopy__(self, memo):
        copied = Refuses(0)
        copied.linear.load_state_dict(self.linear.state_dict())
        copied.left = self.left
        return copied


@pytest.mark.parametrize("after", [0, 1, 5, 40])
def test_an_error_of_the_users_own_comes_through(after):
    good = regression()
    made = sf.descend(good, lr=0.02, steps=40, optimizer="sgd")
    broken = Refuses(after)
    weights = {f"linear.{name}": value for name, value in made.weights.items()}
    with pytest.raises(LookupError, match="the planted error"):
        sf.diagnose(sf.Run(made.trace, weights, made.path, "steps", made.config), good.with_(model=broken))


def test_a_value_error_of_the_users_own_comes_through():
    def objective(model, batch):
        raise ValueError("the planted error")

    made = sf.descend(regression(), lr=0.02, steps=40, optimizer="sgd")
    with pytest.raises(ValueError, match="the planted error"):
        sf.diagnose(made, regression(loss=None, objective=objective))
