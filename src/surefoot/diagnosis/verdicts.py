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
