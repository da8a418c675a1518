"""Every picture there is.  (type of the value, kind) -> the function that makes its marks.

A new picture is one file and one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from surefoot.batch.batch_size import BatchSize
from surefoot.diagnosis.diagnosis import Diagnosis
from surefoot.figures.layers import Marks, Panels
from surefoot.figures.pictures.batch import batch_picture
from surefoot.figures.pictures.final_loss import final_picture
from surefoot.figures.pictures.fit import fit_picture
from surefoot.figures.pictures.forks import forks_picture
from surefoot.figures.pictures.landscape import landscape_picture
from surefoot.figures.pictures.loss import loss_picture
from surefoot.figures.pictures.multiples import multiples_picture
from surefoot.figures.pictures.rate import found_map, found_picture, is_range_test, range_picture, with_limits
from surefoot.figures.pictures.rate_map import map_picture
from surefoot.figures.pictures.relief import relief_picture
from surefoot.find.found import Found
from surefoot.problem import Problem
from surefoot.run import Run
from surefoot.surfaces.surface import Surface
from surefoot.trace import Trace


@dataclass(frozen=True)
class Beside:
    """What a picture may need beside the answer.

    Attributes:
        problem: what the run descended.
        curvature: the largest eigenvalue of the Hessian, in loss per weight squared.
    """

    problem: Problem | None = None
    curvature: float | None = None


Picture: TypeAlias = Callable[[Any, Beside], Marks | Panels]


def _alone(picture: Callable[[Any], Marks | Panels]) -> Picture:
    """A picture that needs nothing but the answer."""
    return lambda answer, beside: picture(answer)


def _with_limits(picture: Callable[[Any], Marks]) -> Picture:
    """A picture over learning rates, with the limits that a curvature sets to them."""
    return lambda answer, beside: with_limits(picture(answer), beside.curvature)


# The first row of a type is its usual picture.
PICTURES: dict[tuple[type, str], Picture] = {
    (Trace, "loss"): _alone(loss_picture),
    (Trace, "rate"): _with_limits(range_picture),
    (Run, "loss"): _alone(loss_picture),
    (Run, "fit"): lambda run, beside: fit_picture(run, beside.problem),
    (Found, "rate"): _with_limits(found_picture),
    (Found, "map"): _with_limits(found_map),
    (BatchSize, "batch"): _alone(batch_picture),
    (Diagnosis, "forks"): _alone(forks_picture),
    (Surface, "landscape"): _alone(landscape_picture),
    (Surface, "3d"): _alone(relief_picture),
    (Surface, "multiples"): _alone(multiples_picture),
    (Sequence, "loss"): _alone(loss_picture),
    (Sequence, "rate"): _with_limits(final_picture),
    (Sequence, "map"): _with_limits(map_picture),
}


def default_kind(answer: Any, kinds: Iterable[str]) -> str:
    """The usual picture of a value that has these; a trace whose rate rises from row to row is a range test."""
    return "rate" if isinstance(answer, Trace) and is_range_test(answer) else next(iter(kinds))
