"""Without the frameworks the modules say which extra brings them."""

import importlib
import sys

import pytest

from surefoot.errors import NotInstalled, SettingError

FRAMEWORKS = ("transformers", "accelerate")


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_extra_is_named(name, monkeypatch):
    for framework in FRAMEWORKS:
        monkeypatch.setitem(sys.modules, framework, None)  # as if it were not there
    for loaded in [module for module in sys.modules if module.startswith("surefoot.integrations.")]:
        monkeypatch.delitem(sys.modules, loaded)
    with pytest.raises(NotInstalled, match=rf'pip install "surefoot\[{name}\]"') as raised:
        importlib.import_module(f"surefoot.integrations.{name}")
    assert isinstance(raised.value, SettingError)
    assert isinstance(raised.value, ImportError)
