"""Which doctests can run here: those of an integration need its framework (`make test-integrations` has them all)."""

import importlib.util
from pathlib import Path

FRAMEWORKS = ("lightning", "fastai", "transformers", "accelerate", "keras")
NEEDS = {"trainer_double": "transformers"}  # what does not begin with the name of its framework


def pytest_ignore_collect(collection_path: Path):
    """True for a module of surefoot.integrations whose framework is not installed."""
    if collection_path.parent.name != "integrations" or "src" not in collection_path.parts:
        return None
    framework = NEEDS.get(collection_path.stem) or next(
        (name for name in FRAMEWORKS if collection_path.stem.startswith(name)), None
    )
    return True if framework and importlib.util.find_spec(framework) is None else None
