"""Tests against the real frameworks: what is not installed is skipped with a word, unless the run was made for it."""

import importlib.util
import os

import pytest

# `make test-integrations` names what it has installed: there a missing framework is a failure, not a skip.
REQUIRED = os.environ.get("SUREFOOT_FRAMEWORKS", "").split()


@pytest.fixture(scope="session", autouse=True)
def frameworks():
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    assert not missing, f"not installed here: {', '.join(missing)}"
