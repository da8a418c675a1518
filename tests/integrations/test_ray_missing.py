"""Without Ray, the engine is refused with the way to it."""

import importlib.util

import pytest

from surefoot import find_lr, problems
from surefoot.descent.population import descend_many
from surefoot.errors import NotInstalled

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed here")
WAY_OUT = r"engine='ray' needs a package that is not there \(No module named 'ray'\)\. Try: pip install \"surefoot\[ray\]\""


@pytest.mark.parametrize("engine", ["ray", "ray:auto", "ray://10.0.0.1:10001"])
def test_the_extra_is_named(engine):
    line = problems.load("line")
    with pytest.raises(NotInstalled, match=WAY_OUT):
        descend_many(line, lr=[0.1, 0.2], steps=5, engine=engine)
    with pytest.raises(NotInstalled, match=WAY_OUT):
        find_lr(line, steps=200, engine=engine)
