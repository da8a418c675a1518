"""What can be said about a descent?  The closed set of verdicts -> for each, whether it is an illness."""

from __future__ import annotations

# Verdict -> whether something should be changed. "unsure" is no verdict about the descent but about the evidence.
VERDICTS: dict[str, bool] = {
    "converged": False,
    "descending": False,
    "edge-of-stability": False,
    "too-small": True,
    "oscillating": True,
    "noise-limited": True,
    "diverging": True,
    "overflow": True,
    "local-minimum": True,
    "saddle": True,
    "plateau": True,
    "spiking": True,
    "broken": True,
    "overfitting": True,
    "unsure": False,
}
HEALTHY = tuple(name for name, ill in VERDICTS.items() if not ill and name != "unsure")

# How often each verdict was right, and how often it was given, on the 336 calibration runs of benchmarks/verdicts.
RIGHT: dict[str, dict[str, tuple[int, int]]] = {
    "problem": {
        "broken": (16, 16), "converged": (48, 50), "descending": (56, 56), "diverging": (10, 10), "edge-of-stability": (9, 9),
        "local-minimum": (17, 17), "noise-limited": (12, 13), "oscillating": (15, 15), "overfitting": (11, 11),
        "overflow": (18, 18), "plateau": (16, 16), "saddle": (12, 12), "spiking": (12, 12), "too-small": (80, 80),
    },
    "trace": {
        "broken": (13, 13), "converged": (46, 76), "descending": (55, 68), "diverging": (10, 10), "edge-of-stability": (8, 9),
        "noise-limited": (11, 13), "oscillating": (14, 16), "overfitting": (11, 11), "overflow": (18, 18), "plateau": (9, 10),
        "spiking": (12, 12), "too-small": (75, 76),
    },
}  # fmt: skip


def confidence(verdict: str, basis: str) -> float:
    """How often such a verdict is to be expected right: (right + 1) / (given + 2), Laplace's rule; 0 for ``unsure``.

    Example:
        >>> confidence("converged", "trace") < confidence("converged", "problem") < 1
        True
    """
    if verdict not in RIGHT[basis]:
        return 0.0
    right, given = RIGHT[basis][verdict]
    return (right + 1) / (given + 2)
