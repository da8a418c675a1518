"""One verb for every value that has a picture.  answer -> marks: what is drawn, as numbers, before anybody draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from surefoot.curvature.spectrum import Spectrum
from surefoot.errors import SettingError, unknown
from surefoot.figures.layers import Arrows, Band, Contour, Faces, Heat, Layer, Line, Marks, Panels, Points, Rule, Span, Words
from surefoot.figures.pictures import PICTURES, Beside, Picture, default_kind
from surefoot.problem import Problem

__all__ = [
    "Arrows",
    "Band",
    "Contour",
    "Faces",
    "Heat",
    "Layer",
    "Line",
    "Marks",
    "Panels",
    "Points",
    "Rule",
    "Span",
    "Words",
    "kinds",
    "marks",
]


def marks(
    answer: Any, *, kind: str | None = None, problem: Problem | None = None, curvature: float | Spectrum | None = None
) -> Marks | Panels:
    """The picture of a value, as numbers.

    Args:
        answer: a `Trace`, a `Run`, a `Found`, a `BatchSize`, a `Surface`, or a list of runs and traces.
        kind: what is drawn; None: ``"rate"`` for a range test and for a `Found`, ``"landscape"`` for a `Surface`, else ``"loss"``.
            ``"loss"``: against the step;
            ``"rate"``: loss against the learning rate; of a list, the final loss of each descent against its rate;
            ``"fit"``: the points and the fitted curve of a run, with ``problem=``;
            ``"map"``: the final loss over rate and steps, of a list;
            ``"landscape"``: the loss over the weights with the paths;
            ``"3d"``: the same as a mountain range;
            ``"batch"``: speed, steps and time over the batch size, of a `BatchSize`;
            ``"multiples"``: a small landscape for each path.
        problem: the problem that a run descended, for ``"fit"``.
        curvature: L, or a `Spectrum`, whose largest eigenvalue it is: pictures over rates then show 1/L and 2/L.

    Returns:
        The same `Marks` (or `Panels` of them) for the same answer; nothing is drawn, shown or written.

    Raises:
        SettingError: the value has no picture, or none of that kind.

    Example:
        >>> from surefoot.trace import Row, Trace
        >>> trace = Trace.of([Row(k, 0.0, 0.1, 1.0 - k / 4, 1.0, 0.1, 1.0, float("nan"), 0.0) for k in range(4)])
        >>> marks(trace).of(Line)[0].y.tolist(), marks(trace) == marks(trace)
        ([1.0, 0.75, 0.5, 0.25], True)
    """
    known = kinds(answer)
    if kind is not None and kind not in known:
        raise unknown(f"kind of picture of {_described(answer)}", kind, known)
    largest = curvature.largest if isinstance(curvature, Spectrum) else curvature
    return known[kind or default_kind(answer, known)](answer, Beside(problem, largest))


def kinds(answer: Any) -> dict[str, Picture]:
    """The kinds of picture that a value has, the usual one first, each with the function that makes its marks.

    Raises:
        SettingError: it has none.
    """
    found = {
        kind: picture for (type_, kind), picture in PICTURES.items() if isinstance(answer, type_) and not isinstance(answer, str)
    }
    if not found:
        names = dict.fromkeys("a list of runs" if type_ is Sequence else type_.__name__ for type_, _ in PICTURES)
        raise SettingError(f"{_described(answer)} has no picture. These have one: {', '.join(names)}.")
    return found


def _described(answer: Any) -> str:
    return "a list of runs" if isinstance(answer, list | tuple) else f"a {type(answer).__name__}"
