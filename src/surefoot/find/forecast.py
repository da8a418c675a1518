"""What will the loss be at the end of the training?  trials -> the excess loss to expect at each rate.

A trial of a few steps flatters high rates: what they gain is gained early, what they lose is lost late. Each trial is therefore read as

    loss after t steps at rate r  =  floor + left (1 + r t / p)^-a + noise r

what is left to be learnt after a progress of rate times steps, and the noise that a rate keeps up, and the curve is read off at the end of the
training. ``p`` and ``a`` are averaged over, each pair with the weight that its fit to the trials deserves; the rest is linear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from surefoot.find.trials import Trial
from surefoot.trace import Column

EXPONENTS = (0.3, 0.5, 0.8, 1.2, 2.0)
SCALES = 12  # of the progress, from an eighth of the least that was seen to twice the most
RESOLVED = 0.05  # of what was gained: to this a trial's loss is trusted near the best one, to half of the loss itself far from it
LIMIT_FALLS = 0.5  # octaves by which the largest stable rate falls for every doubling of the length
LIMIT_WIDTH = 0.3  # octaves: how blurred it is
LIMIT_UNSEEN = 1.5  # octaves above the highest trial, where none was lost


def forecast(trials: Sequence[Trial], start: float, steps: int, rates: Column, lost: float, over_fits: bool = False) -> Column:
    """The excess loss to expect after so many steps at each rate, in units of what the best trial gained.

    Args:
        trials: of any lengths; at least one of them must have gained something.
        start: the loss, of the kind that trials are compared by, before anything moves.
        steps: the length of the training.
        rates: where to read it off.
        lost: the loss from which on a trial counts as lost.
        over_fits: whether what is learnt has stopped to hold for other data, so that progress can do harm.

    Example:
        >>> from surefoot.trace import Trace
        >>> def trial(rate, loss): return Trial(rate, 50, loss, loss, Trace.of([]))
        >>> short = [trial(0.01, 0.9), trial(0.04, 0.6), trial(0.16, 0.2), trial(0.64, float("inf"))]
        >>> rates = np.geomspace(0.01, 1, 50)
        >>> soon, late = (rates[forecast(short, 1.0, steps, rates, 1.0).argmin()] for steps in (50, 5000))
        >>> bool(late < soon < 0.64)
        True
    """
    from scipy.optimize import nnls  # here, for loading it takes a third of the time that torch takes

    held = [trial for trial in trials if trial.loss < start]
    best = min(trial.loss for trial in held)
    gain = start - best
    loss = (np.array([trial.loss for trial in held]) - best) / gain
    tried, length = np.array([trial.lr for trial in held]), np.array([trial.steps for trial in held])
    weight = 1 / (RESOLVED + loss / 2)
    top = tried.max()
    made, late = tried * length, rates * steps
    readings, misfits = [], []
    for exponent in EXPONENTS:
        for scale in np.geomspace(made.min() / 8, made.max() * 2, SCALES):
            left, left_late = (1 + made / scale) ** -exponent, (1 + late / scale) ** -exponent
            # floor (counted from two gains below the best trial, for it may be negative), what is left, noise; the last row is the start
            rows = np.vstack(
                [
                    np.stack([np.ones_like(left), left, tried / top, over_fits * made / made.max()], 1) * weight[:, None],
                    [5.0, 5.0, 0.0, 0.0],
                ]
            )
            factors, misfit = nnls(rows, np.append((loss + 2) * weight, 15.0), maxiter=1000)
            reading = factors[0] + factors[1] * left_late + factors[2] * rates / top + factors[3] * over_fits * late / made.max()
            readings.append(reading - reading.min())
            misfits.append(misfit)
    likelihood = np.exp(-0.5 * (np.square(misfits) - min(misfits) ** 2))
    excess = likelihood / likelihood.sum() @ np.array(readings)
    return np.asarray(excess + _lost(trials, steps, rates, lost))


def _lost(trials: Sequence[Trial], steps: int, rates: Column, lost: float) -> Column:
    """How likely each rate is to be lost before the end of the training."""
    best = min(trials, key=lambda trial: trial.loss)
    gone = [trial.lr for trial in trials if trial.lr > best.lr and not trial.loss < lost]
    held = [trial.lr for trial in trials if trial.loss < lost and trial.lr < min(gone, default=math.inf)]
    limit = math.log2(max(held)) + LIMIT_UNSEEN if not gone else (math.log2(min(gone)) + math.log2(max(held))) / 2
    limit -= LIMIT_FALLS * math.log2(max(1, steps / max(trial.steps for trial in trials)))
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-(np.log2(rates) - limit) / LIMIT_WIDTH)))
