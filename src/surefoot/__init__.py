"""surefoot finds the learning rate for any model, descends with it, shows the descent, and says what is happening."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surefoot import problems
    from surefoot.batch.batch_size import BatchSize
    from surefoot.batch.choose import find_batch_size
    from surefoot.batch.noise_scale import NoiseScale, noise_scale
    from surefoot.curvature.directional import two_gradients
    from surefoot.curvature.limits import stability_limit
    from surefoot.curvature.spectrum import Spectrum, spectrum
    from surefoot.descent import probe, schedule, stop
    from surefoot.descent.loop import descend, steps
    from surefoot.descent.population import Population, descend_many, fork
    from surefoot.diagnosis.diagnose import diagnose
    from surefoot.diagnosis.diagnosis import Diagnosis
    from surefoot.diagnosis.watched import watch
    from surefoot.errors import ProblemError, SettingError, StoreError, SurefootError, SurefootWarning, UserFileError
    from surefoot.figures.animate import Animation, animate
    from surefoot.figures.matplotlib import plot
    from surefoot.find.choose import find_lr
    from surefoot.find.found import Found, FoundBy
    from surefoot.find.range_test import range_test
    from surefoot.find.suggest import Suggestion, suggest
    from surefoot.lab.report import report
    from surefoot.logs.read import read_log
    from surefoot.problem import Answer, Problem
    from surefoot.run import Path, Run
    from surefoot.store import Store
    from surefoot.surfaces.basin import Basin, basin
    from surefoot.surfaces.planes import Plane
    from surefoot.surfaces.surface import Surface, landscape
    from surefoot.trace import Row, Trace
    from surefoot.training.train import train

# Loaded on first use: `surefoot --help` must not pay for torch, and `import surefoot` not for pictures.
_HOMES = {
    "Animation": "figures.animate",
    "Answer": "problem",
    "Basin": "surfaces.basin",
    "BatchSize": "batch.batch_size",
    "Diagnosis": "diagnosis.diagnosis",
    "Found": "find.found",
    "FoundBy": "find.found",
    "NoiseScale": "batch.noise_scale",
    "Path": "run",
    "Plane": "surfaces.planes",
    "Population": "descent.population",
    "Problem": "problem",
    "ProblemError": "errors",
    "Row": "trace",
    "Run": "run",
    "SettingError": "errors",
    "Spectrum": "curvature.spectrum",
    "Store": "store",
    "StoreError": "errors",
    "Suggestion": "find.suggest",
    "SurefootError": "errors",
    "SurefootWarning": "errors",
    "Surface": "surfaces.surface",
    "Trace": "trace",
    "UserFileError": "errors",
    "animate": "figures.animate",
    "basin": "surfaces.basin",
    "descend": "descent.loop",
    "descend_many": "descent.population",
    "diagnose": "diagnosis.diagnose",
    "find_batch_size": "batch.choose",
    "find_lr": "find.choose",
    "fork": "descent.population",
    "landscape": "surfaces.surface",
    "noise_scale": "batch.noise_scale",
    "plot": "figures.matplotlib",
    "probe": "descent",
    "problems": "",
    "range_test": "find.range_test",
    "read_log": "logs.read",
    "report": "lab.report",
    "schedule": "descent",
    "spectrum": "curvature.spectrum",
    "stability_limit": "curvature.limits",
    "steps": "descent.loop",
    "stop": "descent",
    "suggest": "find.suggest",
    "train": "training.train",
    "two_gradients": "curvature.directional",
    "watch": "diagnosis.watched",
}

__all__ = [
    "Animation",
    "Answer",
    "Basin",
    "BatchSize",
    "Diagnosis",
    "Found",
    "FoundBy",
    "NoiseScale",
    "Path",
    "Plane",
    "Population",
    "Problem",
    "ProblemError",
    "Row",
    "Run",
    "SettingError",
    "Spectrum",
    "Store",
    "StoreError",
    "Suggestion",
    "SurefootError",
    "SurefootWarning",
    "Surface",
    "Trace",
    "UserFileError",
    "animate",
    "basin",
    "descend",
    "descend_many",
    "diagnose",
    "find_batch_size",
    "find_lr",
    "fork",
    "landscape",
    "noise_scale",
    "plot",
    "probe",
    "problems",
    "range_test",
    "read_log",
    "report",
    "schedule",
    "spectrum",
    "stability_limit",
    "steps",
    "stop",
    "suggest",
    "train",
    "two_gradients",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'surefoot' has no attribute {name!r}")
    home = _HOMES[name]
    module = importlib.import_module(f"surefoot.{home}" if home else "surefoot")
    try:
        value = vars(module)[name]
    except KeyError:  # a module of its own, such as surefoot.descent.stop
        value = importlib.import_module(f"{module.__name__}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
