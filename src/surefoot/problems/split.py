"""What is learnt from and what is held out.  A number of samples + a seed -> two sets of indices that share none."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from surefoot.problems import options

Indices: TypeAlias = "np.ndarray[Any, np.dtype[np.intp]]"
SHARE = 0.2  # held out: the usual fifth


def split(samples: int, seed: int, labels: Any = None) -> tuple[Indices, Indices]:
    """Four fifths of the samples to learn from, one fifth to validate on.

    Args:
        samples: how many there are.
        seed: what the choice is drawn from, 0 or more.
        labels: (samples,) classes; each is split by itself, so that both parts hold it in the same share.

    Returns:
        Two rising arrays of indices, those to learn from first. A class of one or two samples is not held out.

    Example:
        >>> learn, held_out = split(10, seed=0, labels=[0] * 5 + [1] * 5)
        >>> len(learn), sorted({*learn, *held_out}) == list(range(10)), (held_out < 5).sum()
        (8, True, np.int64(1))
    """
    random = np.random.default_rng(options.count("seed", seed, least=0))
    labels = np.zeros(samples) if labels is None else np.asarray(labels)
    # one sort: looking for each class anew would take classes x samples
    ordered = np.argsort(labels, kind="stable")
    groups = np.split(ordered, np.flatnonzero(np.diff(labels[ordered])) + 1)
    is_held_out = np.zeros(samples, dtype=bool)
    for group in groups:
        is_held_out[random.permutation(group)[: round(SHARE * len(group))]] = True
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
