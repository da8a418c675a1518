"""The rules for reading a range test.  name -> a pure function of rates and raw losses; a new rule is a file and a row here."""

from __future__ import annotations

from collections.abc import Callable

from surefoot.find.rules.fastai_slide import fastai_slide
from surefoot.find.rules.fastai_valley import fastai_valley
from surefoot.find.rules.lightning import lightning
from surefoot.find.rules.minimum import minimum, minimum_over_ten
from surefoot.find.rules.pick import Curve, Pick
from surefoot.find.rules.steepest import steepest
from surefoot.find.rules.torch_lr_finder import torch_lr_finder

RULES: dict[str, Callable[[Curve, Curve], Pick]] = {
    "steepest": steepest,
    "minimum": minimum,
    "minimum/10": minimum_over_ten,
    "valley": fastai_valley,
    "slide": fastai_slide,
    "lightning": lightning,
    "torch-lr-finder": torch_lr_finder,
}
