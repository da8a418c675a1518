"""A function in the place of the progress bar: the answer is that of its twin without one, whatever the function does or raises."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import Problem, descend, descend_many, diagnose, find_lr, landscape, problems, range_test
from tests.laws.test_no_footprint import footprint, make, same


def seen_as_progress(told):
    return told and (lambda count: told("population", 0, 1))


RATES = [0.001, 0.01, 0.02]
VERBS = {
    "descend": lambda problem, told: descend(problem, lr=0.01, steps=20, progress=told),
    "range_test": lambda problem, told: range_test(problem, steps=20, progress=told),
    "find_lr": lambda problem, told: find_lr(problem, steps=80, progress=told),
    "find_lr, vmap": lambda problem, told: find_lr(problem, steps=80, engine="vmap", progress=told),
    "landscape": lambda problem, told: landscape(
        problem, descend(problem, lr=0.01, steps=10), resolution=9, data=20, progress=told
    ),
    "diagnose": lambda problem, told: diagnose(descend(problem, lr=0.01, steps=20), problem, progress=told),
    "diagnose, lost": lambda problem, told: diagnose(descend(problem, lr=1e6, steps=20), problem, progress=told),
    "many, vmap": lambda problem, told: descend_many(problem, lr=RATES, steps=9, engine="vmap", seen=seen_as_progress(told)),
    "many, auto": lambda problem, told: descend_many(problem, lr=RATES, steps=9, seen=seen_as_progress(told)),
    "many, one by one": lambda problem, told: descend_many(
        problem, lr=RATES, steps=9, engine="sequential", seen=seen_as_progress(told)
    ),
    "many, in processes": lambda problem, told: descend_many(
        problem, lr=RATES, steps=9, engine="processes", seen=seen_as_progress(told)
    ),
}
SMALL = {
    "landscape of all weights": lambda problem, told: landscape(
        problem, descend(problem, lr=0.1, steps=9), resolution=9, progress=told
    ),
    **{verb: VERBS[verb] for verb in ("descend", "find_lr, vmap", "many, vmap", "diagnose")},
}


@pytest.fixture(autouse=True)
def every_step(monkeypatch):
    """Calls after every step, not only now and then; and of two engines always the same."""
    monkeypatch.setattr("surefoot.descent.pauses.PAUSE", 0.0)
    monkeypatch.setattr("surefoot.descent.population.CLEARLY_SLOWER", 1e9)  # no clock chooses the engine


def silent(what, done, total):
    pass


def numbers(answer):
    """All that an answer says, but for the seconds."""
    if hasattr(answer, "runs"):
        return [row for run in answer.runs for row in numbers(run)]
    if hasattr(answer, "trials"):
        return [answer.lr, answer.low, answer.high, answer.reason, *(row for trial in answer.trials for row in numbers(trial))]
    if hasattr(answer, "plane"):
        return [answer.loss.tobytes(), repr(answer.minima), *(path.loss.tobytes() for path in answer.paths)]
    if hasattr(answer, "verdict"):
        return [answer.verdict, answer.told, [each.value for each in answer.evidence]]
    trace = answer.trace if hasattr(answer, "trace") else answer
    return [trace[column].tobytes() for column in ("step", "lr", "loss", "grad_norm", "update_norm", "weight_norm")]


def network():
    model, loader = make()
    return Problem(model, loader, loss=nn.functional.mse_loss, validation=loader), model, loader


@pytest.mark.parametrize("verb", VERBS)
def test_the_answer_is_that_without(verb):
    assert numbers(VERBS[verb](network()[0], silent)) == numbers(VERBS[verb](network()[0], None))


@pytest.mark.parametrize("verb", VERBS)
def test_questions_asked_meanwhile_leave_no_trace_and_are_answered_as_ever(verb):
    """The page of a server asks for a quick descent while a slow search goes on, maybe of the same problem."""
    problem, model, loader = network()
    quick = problems.load("line")
    before = footprint(model, loader)
    alone = [numbers(descend(problem, lr=0.02, steps=3)), numbers(descend_many(quick, lr=RATES, steps=3, engine="vmap"))]
    calls = []

    def told(what, done, total):
        calls.append(what)
        if len(calls) in (1, 7, 20):
            meanwhile = [
                numbers(descend(problem, lr=0.02, steps=3)),
                numbers(descend_many(quick, lr=RATES, steps=3, engine="vmap")),
            ]
            assert meanwhile == alone
            assert torch.is_grad_enabled()

    found = numbers(VERBS[verb](problem, told))
    assert calls
    assert found == numbers(VERBS[verb](network()[0], None))
    assert same(before, footprint(model, loader))


class Cancelled(Exception):
    """What a server raises."""


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("error", [Cancelled("enough"), RuntimeError("out of memory"), ValueError("no")])
@pytest.mark.parametrize("at", [1, 3])
def test_what_it_raises_comes_out_at_once_and_leaves_no_trace(verb, error, at):
    problem, model, loader = network()
    before, calls = footprint(model, loader), 0

    def told(what, done, total):
        nonlocal calls
        calls += 1
        if calls >= at:
            raise error

    with pytest.raises(type(error)) as raised:
        VERBS[verb](problem, told)
    assert raised.value is error
    assert calls == at
    assert same(before, footprint(model, loader))


@pytest.mark.parametrize("verb", SMALL)
def test_all_of_it_holds_for_two_weights(verb):
    line = problems.load("line")
    state, calls = torch.get_rng_state(), []
    alone = numbers(SMALL[verb](line, None))

    def told(what, done, total):
        calls.append((what, done, total))
        descend(line, lr=0.3, steps=2)

    assert numbers(SMALL[verb](line, told)) == alone
    assert len(calls) > 3

    def refuse(what, done, total):
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        SMALL[verb](line, refuse)
    assert torch.equal(state, torch.get_rng_state())
    assert (line.model.w.item(), line.model.b.item()) == (0.0, -1.0)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if "many" not in verb])
def test_it_hears_how_far_it_is_on_the_callers_thread(verb):
    calls = []
    VERBS[verb](network()[0], lambda *told: calls.append((*told, threading.current_thread())))
    assert {thread for *_, thread in calls} == {threading.current_thread()}
    for what in {what for what, *_ in calls} if verb == "landscape" else {""}:
        done = [at for name, at, *_ in calls if what in ("", name)]
        assert done == sorted(done)
    assert all(isinstance(what, str) and 0 <= done <= total for what, done, total, _ in calls)


def test_a_descent_counts_its_own_rows():
    calls = []
    bowl = problems.load("bowl")
    half = descend(bowl, lr=0.05, steps=4, progress=lambda *told: calls.append(told))
    assert calls == [("bowl at 0.05", done, 4) for done in (1, 2, 3, 4)]
    calls.clear()
    descend(bowl, start=half, steps=3, progress=lambda *told: calls.append(told))
    assert [call[1:] for call in calls] == [(1, 3), (2, 3), (3, 3)]


def test_it_is_called_now_and_then_and_hears_of_all(monkeypatch):
    monkeypatch.setattr("surefoot.descent.pauses.PAUSE", 1e9)
    calls, counts = [], []
    descend(problems.load("bowl"), lr=0.05, steps=50, progress=lambda *told: calls.append(told))
    assert [done for _, done, _ in calls] == [1, 50]
    descend_many(problems.load("bowl"), lr=[0.01, 0.02], steps=50, engine="vmap", seen=counts.append)
    assert counts == [2, 98]


def test_numbers_drawn_in_it_are_the_callers_own():
    """It is called in the caller's random state, which goes on as if there were no descent."""
    model, loader = make()
    torch.manual_seed(5)
    alone = [torch.rand(1).item() for _ in range(4)]
    torch.manual_seed(5)
    drawn = []
    problem = Problem(model, loader, loss=nn.functional.mse_loss)
    run = descend(problem, lr=0.01, steps=3, progress=lambda *_: drawn.append(torch.rand(1).item()))
    many = descend_many(problem, lr=[0.01, 0.02], steps=1, engine="vmap", seen=lambda count: drawn.append(torch.rand(1).item()))
    assert drawn == alone
    assert numbers(run) == numbers(descend(network()[0].with_(validation=None), lr=0.01, steps=3))
    assert numbers(many) == numbers(descend_many(network()[0].with_(validation=None), lr=[0.01, 0.02], steps=1, engine="vmap"))


def test_a_surface_counts_its_points():
    calls = []
    surface = landscape(problems.load("himmelblau"), resolution=31, progress=lambda *told: calls.append(told))
    grid = [(done, total) for what, done, total in calls if what == "the grid"]
    assert grid[-1] == (31 * 31, 31 * 31)
    assert np.isfinite(surface.loss).all()
    assert len(surface.minima) == 4
    assert [done for what, done, total in calls if what == "the minima"][-1] >= 4


def test_control_c_in_it_keeps_the_rows_so_far():
    def told(what, done, total):
        if done == 5:
            raise KeyboardInterrupt

    run = descend(problems.load("bowl"), lr=0.05, steps=50, progress=told)
    assert (run.ended, len(run.trace)) == ("interrupted", 5)


@pytest.mark.parametrize("every", [2])
def test_status_lines_are_printed_beside_it(every, capsys):
    descend(problems.load("bowl"), lr=0.05, steps=4, every=every, progress=silent)
    assert len(capsys.readouterr().out.splitlines()) == 2
