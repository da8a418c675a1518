"""Every picture there is.  (type of the value, kind) -> the function that makes its marks.

A new picture is one file and one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from surefoot.figures.layers import Marks
from surefoot.figures.pictures.fit import fit_picture
from surefoot.figures.pictures.landscape import landscape_picture
from surefoot.figures.pictures.loss import loss_picture
from surefoot.figures.pictures.rate import found_map, found_picture, is_range_test, range_picture
from surefoot.figures.pictures.rate_map import map_picture
from surefoot.figures.pictures.relief import relief_picture
from surefoot.find.found import Found
from surefoot.problem import Problem
from surefoot.run import Run
from surefoot.surfaces.surface import Surface
from surefoot.trace import Trace

Picture: TypeAlias = Callable[[Any, Problem | None], Marks]


def _alone(picture: Callable[[Any], Marks]) -> Picture:
    """A picture that needs nothing but the answer."""
    return lambda answer, problem: picture(answer)


# The first row of a type is its usual picture.
PICTURES: dict[tuple[type, str], Picture] = {
    (Trace, "loss"): _alone(loss_picture),
    (Trace, "rate"): _alone(range_picture),
    (Run, "loss"): _alone(loss_picture),
    (Run, "fit"): fit_picture,
    (Found, "rate"): _alone(found_picture),
    (Found, "map"): _alone(found_map),
    (Surface, "landscape"): _alone(landscape_picture),
    (Surface, "3d"): _alone(relief_picture),
    (Sequence, "loss"): _alone(loss_picture),
    (Sequence, "map"): _alone(map_picture),
}


def default_kind(answer: Any, kinds: Iterable[str]) -> str:
    """The usual picture of a value that has these; a trace whose rate rises from row to row is a range test."""
    return "rate" if isinstance(answer, Trace) and is_range_test(answer) else next(iter(kinds))
