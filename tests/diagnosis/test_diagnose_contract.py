"""What every diagnosis keeps to, on one run of each kind: the closed set, remedies, three depths, JSON, HTML, no footprint, the same answer twice."""

import copy
import dataclasses
import functools
import json
import random
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import surefoot as sf
from surefoot.diagnosis.evidence import plain
from surefoot.diagnosis.verdicts import HEALTHY, VERDICTS
from tests.diagnosis.planted import RUNS, loader, quadratic, regression, run, trace

# What issue and documentation promise, written down once more.
CLOSED = {"converged", "descending", "edge-of-stability", "too-small", "oscillating", "noise-limited", "diverging", "overflow",
          "local-minimum", "saddle", "plateau", "spiking", "broken", "overfitting", "unsure"}  # fmt: skip
# What these runs are by construction, where no rule of thumb has a say.
CERTAIN = {"converged": "converged", "too short": "too-small", "at the limit": "oscillating", "diverging": "diverging",
           "overflow": "overflow", "saddle": "saddle", "wrong well": "local-minimum", "level": "plateau",
           "upside down": "broken"}  # fmt: skip
DEPTHS = ("basic", "medium", "detailed")
SETTINGS = {"lr", "schedule", "steps", "clip_norm", "start", None}


def spiky():
    loss = 5 * np.exp(-np.arange(600) / 150) + 0.1 * np.random.default_rng(0).standard_normal(600)
    loss[[100, 300, 450]] += 20
    return trace(loss, grad_norm=0.5, update_norm=0.05, weight_norm=3.0)


def by_heart():
    held_out = np.interp(np.arange(400), [0, 150, 399], [5.0, 2.0, 4.0])
    loss = 5 * np.exp(-np.arange(400) / 100)
    return trace(loss, grad_norm=0.5, update_norm=0.05, weight_norm=3.0, validation_loss=held_out)


TRACES = {"spiking": spiky, "overfitting": by_heart}


@functools.cache
def found(kind, with_problem=True):
    if kind in TRACES:
        return sf.diagnose(TRACES[kind]())
    problem, made = run(kind)
    return sf.diagnose(made, problem) if with_problem else sf.diagnose(made)


EVERY = [*((kind, with_problem) for kind in RUNS for with_problem in (True, False)), *((kind, False) for kind in TRACES)]
every = pytest.mark.parametrize(("kind", "with_problem"), EVERY)


# ---- the answer


def test_the_set_of_verdicts_is_closed():
    assert set(VERDICTS) == CLOSED
    assert set(HEALTHY) == {"converged", "descending", "edge-of-stability"}


@pytest.mark.parametrize("kind", [*CERTAIN, *TRACES])
def test_verdicts_that_follow_from_the_construction(kind):
    assert found(kind).verdict == CERTAIN.get(kind, kind)


@every
def test_answer(kind, with_problem):
    answer = found(kind, with_problem)
    assert answer.verdict in CLOSED
    assert 0 < answer.confidence <= 1 or answer.verdict == "unsure"
    assert answer.basis == ("problem" if with_problem else "trace")
    assert (answer.gradients > 0) == with_problem
    assert answer.told
    assert answer.ill == (answer.verdict not in {*HEALTHY, "unsure"})
    for each in answer.evidence:
        assert each.quantity
        assert each.source
        assert isinstance(each.value, float)
        assert each.threshold is None or isinstance(each.threshold, float)
        assert str(each).startswith(each.quantity)
    assert answer.evidence or answer.verdict == "unsure"


@every
def test_remedy(kind, with_problem):
    answer = found(kind, with_problem)
    assert (answer.remedy is not None) == answer.ill
    if answer.remedy is None:
        return
    remedy = answer.remedy
    assert len(remedy.text) > 10
    assert remedy.setting in SETTINGS
    if remedy.setting == "lr":
        assert isinstance(remedy.value, float)
        assert 0 < remedy.value < np.inf
        assert re.search(r"\d", remedy.text)
    if remedy.setting == "start":
        problem = run(kind)[0]
        model = copy.deepcopy(problem.model)
        model.load_state_dict(remedy.value)  # they fit
        assert problem.loss_on(model, next(iter(problem.data))).item() < np.inf
    if remedy.setting is None:
        assert remedy.value is None


@pytest.mark.parametrize("kind", ["too short", "at the limit", "diverging", "overflow", "wrong well", "saddle", "noisy"])
def test_the_remedy_taken_once_ends_lower(kind):
    problem, made = run(kind)
    remedy = found(kind).remedy
    settings = {"optimizer": "sgd", **RUNS[kind][1]}
    if remedy.setting == "start":
        model = copy.deepcopy(problem.model)
        model.load_state_dict(remedy.value)
        problem = problem.with_(model=model)
    else:
        settings[remedy.setting] = remedy.value
    better = sf.descend(problem, **settings)

    def level(each):
        return np.mean(each.trace["loss"][-30:])

    assert better.ended == "steps"
    assert not level(better) >= level(made)


@pytest.mark.parametrize("kind", ["diverging", "overflow", "at the limit"])
def test_rates_that_are_told_are_stable(kind):
    curvature = 1.0
    assert found(kind).remedy.value < 2 / curvature


def test_forks_are_shown_by_rate():
    forks = found("converged").forks
    assert {0.04, 0.4, 1.2} <= {round(rate, 6) for rate in forks}
    assert len({len(losses) for losses in forks.values()}) == 1
    assert found("converged", False).forks == {}


# ---- told


@every
def test_three_depths_differ(kind, with_problem):
    answer = found(kind, with_problem)
    texts = {depth: answer.explain(depth) for depth in DEPTHS}
    assert len(set(texts.values())) == 3
    assert answer.explain() == str(answer) == texts["medium"]
    assert answer.headline.startswith(answer.verdict)
    assert "\n" not in answer.headline
    assert texts["medium"].startswith(answer.headline)
    for text in texts.values():
        assert "None" not in text
        assert "nan" not in text.split()
        assert "\n\n" not in text


@every
def test_basic_has_no_formula(kind, with_problem):
    text = found(kind, with_problem).explain("basic")
    picture = text.split("What to do:")[0]
    assert not set("|^=<>") & set(picture)
    assert not re.search(r"\d", picture) or found(kind, with_problem).verdict == "unsure"
    assert len(text.split()) > 12


@every
def test_detailed_names_sources(kind, with_problem):
    answer = found(kind, with_problem)
    text = answer.explain("detailed")
    assert text.count("source: ") == len(answer.evidence)
    for each in answer.evidence:
        assert each.source in text
        assert str(each) in answer.explain("medium")
    assert ("gradient evaluations" in text) == with_problem
    if answer.remedy is not None:
        assert all(answer.remedy.text in answer.explain(depth) for depth in DEPTHS)


def test_unknown_depth_names_those_there_are():
    with pytest.raises(sf.SettingError, match=r"deep.*basic, detailed, medium"):
        found("well").explain("deep")


@every
def test_json(kind, with_problem):
    answer = found(kind, with_problem)
    value = {
        "verdict": answer.verdict,
        "confidence": answer.confidence,
        "evidence": [dataclasses.asdict(each) for each in answer.evidence],
        "remedy": plain(answer.remedy),
        "told": answer.told,
        "words": dict(answer.words),
        "gradients": answer.gradients,
    }
    assert json.loads(json.dumps(value))["verdict"] == answer.verdict


def test_weights_are_plain_where_they_are_few():
    assert plain(found("saddle").remedy)["value"]["x"] == found("saddle").remedy.value["x"].tolist()
    assert plain(None) is None


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)


@every
def test_html_parses(kind, with_problem):
    answer = found(kind, with_problem)
    text = answer._repr_html_()
    shown = "".join(ElementTree.fromstring(f"<all>{text}</all>").itertext())
    assert Tags(text).tags <= {"div", "table", "thead", "tbody", "tr", "th", "td"}
    assert answer.verdict in shown
    assert answer.told[:100] in shown
    for each in answer.evidence:
        assert each.quantity in shown
    assert answer.remedy is None or answer.remedy.text[:100] in shown


# ---- nothing changes


def footprint(problem):
    data = problem.data
    return {
        "weights": copy.deepcopy(problem.model.state_dict()),
        "gradients": [None if p.grad is None else p.grad.clone() for p in problem.model.parameters()],
        "modes": [module.training for module in problem.model.modules()],
        "identity": [id(p) for p in problem.model.parameters()],
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "torch": torch.get_rng_state(),
        "loader": data.generator.get_state() if isinstance(data, torch.utils.data.DataLoader) else None,
    }


def same(a, b):
    if isinstance(a, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor | np.ndarray):
        return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
    return bool(a == b)


@pytest.mark.parametrize("kind", RUNS)
def test_no_footprint(kind):
    problem, made = run(kind)
    before, kept = footprint(problem), copy.deepcopy(made)
    sf.diagnose(made, problem)
    assert same(before, footprint(problem))
    assert made.trace == kept.trace
    assert same(dict(made.weights), dict(kept.weights))
    assert same(dict(made.state), dict(kept.state))
    assert torch.equal(made.path.weights.nan_to_num(), kept.path.weights.nan_to_num())


def test_no_footprint_where_the_users_code_draws_random_numbers():
    plain_problem = loader()

    def objective(model, batch):
        random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
        return torch.nn.functional.mse_loss(model(batch[0]), batch[1])

    problem = plain_problem.with_(loss=None, objective=objective)
    made = sf.descend(problem, lr=0.05, steps=40, optimizer="sgd")
    before = footprint(problem)
    sf.diagnose(made, problem)
    assert same(before, footprint(problem))


@pytest.mark.parametrize("kind", ["loader", "noisy", "saddle", "wrong well"])
def test_the_same_answer_twice(kind):
    problem, made = run(kind)
    again = sf.diagnose(made, problem)
    first = found(kind)
    assert (again.verdict, again.confidence, again.told) == (first.verdict, first.confidence, first.told)
    # the forks' engine is chosen by a clock, and the engines agree to rounding only
    assert [each.value for each in again.evidence] == pytest.approx([each.value for each in first.evidence], rel=1e-3, abs=1e-12)
    assert set(again.forks) == set(first.forks)
    assert again.remedy is None or again.remedy.text == first.remedy.text


# ---- who asks


@pytest.mark.parametrize("kind", ["converged", "saddle", "wrong well", "diverging", "too short"])
def test_a_trace_and_a_model_that_stands_at_its_end(kind):
    problem, made = run(kind)
    model = copy.deepcopy(problem.model)
    model.load_state_dict(made.weights)
    before = copy.deepcopy(model.state_dict())
    answer = sf.diagnose(made.trace, problem.with_(model=model), optimizer="sgd")
    assert answer.basis == "problem"
    assert same(before, dict(model.state_dict()))
    assert answer.verdict in CLOSED
    if kind in ("converged", "saddle"):
        assert answer.verdict == found(kind).verdict


class Own(torch.optim.SGD):
    pass


def planted_optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)


@pytest.mark.parametrize("optimizer", [functools.partial(torch.optim.SGD, momentum=0.5), planted_optimizer, Own])
@pytest.mark.parametrize("lr", [0.02, 50.0])
def test_optimizers_of_the_users_own_lose_the_forks_only(optimizer, lr):
    problem = regression()
    made = sf.descend(problem, lr=lr, steps=60, optimizer=optimizer)
    answer = sf.diagnose(made, problem)
    assert answer.verdict in CLOSED
    assert answer.basis == "problem"
    assert answer.forks == {}


def dead_network():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    return regression(model=model)


@pytest.mark.parametrize("kind", [*RUNS, "dead"])
def test_without_forks_every_kind_is_answered(kind):
    make, settings = RUNS.get(kind, (dead_network, {"lr": 0.3, "steps": 100}))
    problem = make()
    answer = sf.diagnose(sf.descend(problem, **{**settings, "optimizer": Own}), problem)
    assert answer.verdict in CLOSED
    assert answer.forks == {}
    assert (answer.remedy is not None) == answer.ill
    if kind in ("overflow", "diverging", "upside down"):
        assert answer.verdict == CERTAIN[kind]


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov", "adam", "adamw"])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_optimizers_and_schedules(optimizer, schedule):
    problem = regression()
    made = sf.descend(problem, lr=0.01, steps=60, optimizer=optimizer, schedule=schedule)
    answer = sf.diagnose(made, problem)
    assert answer.verdict in CLOSED
    assert answer.forks


def test_a_saved_run_is_diagnosed_alike(tmp_path):
    problem, made = run("noisy")
    made.save(tmp_path / "run.pt")
    again = sf.diagnose(sf.Run.load(tmp_path / "run.pt"), problem)
    assert (again.verdict, again.told) == (found("noisy").verdict, found("noisy").told)


@pytest.mark.parametrize("wrong", [None, [1.0, 2.0], {"loss": [1.0]}, "run.pt", quadratic])
def test_what_is_no_run_is_named(wrong):
    with pytest.raises(sf.SettingError, match=rf"Run or a Trace.*{type(wrong).__name__}"):
        sf.diagnose(wrong)


def test_what_is_no_problem_is_named():
    with pytest.raises(sf.SettingError, match="Linear"):
        sf.diagnose(run("well")[1], torch.nn.Linear(3, 1))


def test_an_update_that_is_infinite_at_once_is_laid_to_the_rate_not_to_the_data():
    line = sf.problems.load("line")
    found = sf.diagnose(sf.descend(line, lr=1e30, steps=20), line)
    assert found.verdict == "overflow"
    assert found.remedy.setting == "lr"
    assert 0 < found.remedy.value < 0.79  # 2 / curvature


def test_tries_that_were_abandoned_say_nothing_about_the_training():
    bowl = sf.problems.load("bowl")
    mended = sf.train(bowl, steps=100, optimizer="sgd", lr=1e30)
    assert mended.trace["attempt"].max() > 0
    assert sf.diagnose(mended, bowl).verdict in ("converged", "descending")
    assert sf.diagnose(mended.trace).verdict in ("converged", "descending")


def test_a_rate_that_has_decayed_is_not_told_to_decay():
    line = sf.problems.load("line", noise=0.5)
    run = sf.descend(line, lr=0.3, steps=300, batch_size=2, schedule="cosine")
    assert sf.diagnose(run, line).verdict != "noise-limited"
    assert sf.diagnose(run.trace).verdict != "noise-limited"
