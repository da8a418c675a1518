"""What a page may set: everything within its bounds, and everything else refused with the field's name."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from surefoot.descent.optimizer import OPTIMIZERS
from surefoot.lab.link import settings
from surefoot.lab.state import FIELDS, Refused, State, change, plain, read
from surefoot.lab.state import OPTIMIZERS as OFFERED

REFUSED = {
    "zero": ({"lr": 0}, "lr", "above 0"),
    "negative": ({"lr": -0.5}, "lr", "above 0, got -0.5"),
    "too large": ({"lr": 1e300}, "lr", "1e\\+300"),
    "no number": ({"lr": "0.1"}, "lr", "must be a number"),
    "not finite": ({"lr": math.nan}, "lr", "must be a number"),
    "infinite": ({"lr": math.inf}, "lr", "must be a number"),
    "yes": ({"lr": True}, "lr", "must be a number"),
    "half a step": ({"steps": 1.5}, "steps", "whole number"),
    "no step": ({"steps": 0}, "steps", "from 1"),
    "momentum of one": ({"momentum": 1.0}, "momentum", "0.999"),
    "optimizer": ({"optimizer": "sgdd"}, "optimizer", "Did you mean 'sgd'"),
    "start": ({"start": [1, "x"]}, "start", "numbers"),
    "start of three": ({"start": [1, 2, 3]}, "start", "at most 2"),
    "race of nine": ({"race": [{}] * 9}, "race", "at most 5"),
    "rival's rate": ({"race": [{"lr": 0}]}, "lr", "above 0"),
    "rival's seed": ({"race": [{"seed": 1}]}, "race", "has any of"),
    "hidden": ({"hide": ["kitchen"]}, "hide", "kitchen"),
    "unknown": ({"learning_rate": 1}, "", "no setting of the lab named 'learning_rate'"),
    "long": ({"target": "x" * 5000}, "target", "short text"),
    "no mapping": ([1, 2], "", "mapping"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_where_it_stands(case):
    given, field, words = REFUSED[case]
    with pytest.raises(Refused, match=words) as caught:
        read(given)
    assert caught.value.field == field
    assert len(str(caught.value)) < 600


_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20),
    lambda inner: some.lists(inner, max_size=7) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(some.dictionaries(some.sampled_from([field.key for field in FIELDS] + ["x", "__class__"]), _JSON, max_size=5))
def test_whatever_comes_it_is_a_state_or_refused(given):
    try:
        state = read(given)
    except Refused:
        return
    assert read(json.loads(json.dumps(plain(state)))) == state
    for field in FIELDS:
        value = getattr(state, field.key)
        if field.kind in ("number", "count"):
            assert field.low <= value <= field.high
        if field.kind == "choice":
            assert value in field.choices


def test_the_table_is_the_state():
    assert [field.key for field in FIELDS] == list(State.__dataclass_fields__)
    assert all(getattr(State(), field.key) == field.default for field in FIELDS)
    assert set(OFFERED) <= set(OPTIMIZERS)


def test_a_link_sets_what_it_says_and_nothing_else():
    state = read(settings("#lr=0.3&start=0.5,-1&hide=seed,noise&race=lr:0.01;lr:0.5,optimizer:adam&problem=line"))
    assert state == change(
        State(),
        {"lr": 0.3, "start": [0.5, -1], "hide": ["seed", "noise"], "race": [{"lr": 0.01}, {"lr": 0.5, "optimizer": "adam"}]},
    )
