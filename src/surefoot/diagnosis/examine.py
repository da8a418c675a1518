"""What does the problem itself say?  run + problem -> measurements at the place the run got to: forks, gradients, noise, curvature.

Each costs a few dozen gradients; the dear ones are made only where the cheap ones ask for them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surefoot.curvature.directional import two_gradients
from surefoot.curvature.limits import LIMITS, stability_limit
from surefoot.curvature.spectrum import flattest, spectrum
from surefoot.descent.batches import samples, source
from surefoot.descent.loop import descend
from surefoot.descent.path import flattened
from surefoot.descent.population import descend_many
from surefoot.descent.probe import Moment, Probe
from surefoot.descent.snapshot import World, carried_generators
from surefoot.diagnosis.elsewhere import Elsewhere, elsewhere, state_at
from surefoot.diagnosis.forks import TIMES, Forks, climbed, finite, forked, settings_of, walkable
from surefoot.diagnosis.ground import Followed, Ground, followed, row_of
from surefoot.diagnosis.led import Many
from surefoot.diagnosis.reading import Reading
from surefoot.diagnosis.stable import largest_stable
from surefoot.diagnosis.stages import SILENT, Tell
from surefoot.errors import ProblemError, SettingError
from surefoot.problem import Problem, trainable
from surefoot.run import Run
from surefoot.trace import Column

NAN = math.nan
ANNEALED = 0.3  # of the highest rate: below it a run is examined where it still went at half of that
ALPHA_STEPS = 8
BATCHES = 12  # whose gradients tell the noise
CURVED = 256  # samples that curvature is measured on
MOST_WEIGHTS = 300_000  # for which curvature is measured
STILL = 1e-3  # of what was gained (or of a hundredth of the loss, where nothing was): forks that lower the loss by less stand still
PATIENCE = 0.5  # seconds for the course of the run
COURSE = 48  # points of the run at which the loss over the sample is taken
NOTHING = 1e-5  # of what was gained: so little is nothing, however level the ground
FLAT = 0.05  # of the loss, or of what was gained: the most that slope and curvature can change within a length of the weights, on level ground
DEAD = 0.7  # share of the weights without any gradient (AUTOTRAINER, Zhang et al. 2021)
DEAD_MOVES = 0.1  # of what was gained: what the living rest may still do
FAINT = 1e-6  # of the loss: a gradient that promises less over the length of the weights is not held against differences
LEVEL_GROUND = 0.05  # of the loss: what a gradient that is nearly zero promises over the length of the weights
ARRIVED, SMALL = 0.05, 2000  # of the loss at the start; weights: beyond both, nobody looks for a lower place
ROUGH = 1e-2  # of the largest eigenvalue: the residual that is good enough
NUDGES = (1e-3, 1e-2, 1e-1, 0.3, 1.0)  # of the weights' length, along the direction that curves downwards


@dataclass(frozen=True)
class Examination:
    """What was measured; NaN or None for what was not.

    Attributes:
        course: the loss over the sample at points spread evenly over the run, the last at its end.
        begin: the loss over the sample at the start of the run.
        loss: the same where the run was examined.
        follows: whether the loss follows its gradient, at the start and here.
        uphill: the cosine of the run's first displacement and its gradient: above 0, the steps go up.
        size: length of the weights, or of the way from the start, whichever is longer.
        gradient: norm of the gradient over the sample.
        noise: how much of a step is noise: trace of the covariance of the batch gradients over the squared norm of their mean.
        alpha: where steps land on their line, from the gradients of the same batch before and after.
        forks: the same steps at other rates.
        ends: by multiple of the rate, the loss over the sample at the end of the fork.
        levels: the same over the last half of the fork, with its standard error.
        stable: the largest stable rate, for a run that was lost.
        limit: the stability limit by curvature, where there is a formula for the optimizer.
        largest, smallest: eigenvalues of the Hessian.
        flat: by how much the loss can change within a length of the weights, as far as slope and curvature here tell, over what it is.
        dead: share of the weights whose gradient is exactly zero.
        down: how much lower the loss is along the direction that curves downwards, and the weights there.
        lower: the lowest place that other descents found.
        known: the loss at the known minimum, NaN where none is known.
        annealed: examined in the middle of the run, for its rate has decayed.
        gradients: gradient evaluations spent.
    """

    course: Column = field(default_factory=lambda: np.empty(0))
    begin: float = NAN
    loss: float = NAN
    follows: tuple[Followed, ...] = ()
    uphill: float = NAN
    size: float = NAN
    gradient: float = NAN
    noise: float = NAN
    alpha: float = NAN
    forks: Forks | None = None
    ends: Mapping[float, float] = field(default_factory=dict)
    levels: Mapping[float, tuple[float, float]] = field(default_factory=dict)
    stable: float = NAN
    limit: float = NAN
    largest: float = NAN
    smallest: float = NAN
    residual: float = NAN
    flat: float = NAN
    dead: float = NAN
    down: float = NAN
    nudged: Mapping[str, Tensor] | None = field(default=None, repr=False)
    lower: Elsewhere | None = None
    known: float = NAN
    annealed: bool = False
    gradients: int = 0

    @property
    def scale(self) -> float:
        """What losses are held against: how far the run fell, or a hundredth of the loss where it hardly fell."""
        return max(self.begin - self.loss, 0.01 * abs(self.begin), 1e-12)

    @property
    def own(self) -> float:
        """How far the loss falls in a fork at the rate itself."""
        return self.loss - self.ends.get(1.0, NAN)

    def better(self, times: float) -> tuple[float, float]:
        """How much lower the loss over the sample is at this multiple of the rate than at the rate itself, and the standard error of that."""
        (own, error), (other, its) = self.levels[1.0], self.levels[times]
        return (own - other, math.hypot(error, its)) if math.isfinite(other) else (-math.inf, 0.0)

    @property
    def best(self) -> float:
        """The multiple of the rate with the lowest loss over the sample in the end; 1 where there were no forks."""
        return min(self.ends, key=lambda times: (not math.isfinite(self.ends[times]), self.ends[times], times), default=1.0)

    @property
    def moved(self) -> float:
        """The most that the loss falls at a tenth of the rate, at it, or at three times."""
        if self.forks is None:
            return 0.0
        gains = [self.loss - end for times, end in self.ends.items() if times <= TIMES[-1]]
        return max((each for each in gains if math.isfinite(each)), default=0.0)

    @property
    def still(self) -> bool:
        """Whether the loss stands: no fork lowers it, and the gradient is nearly zero."""
        level = self.gradient * self.size <= LEVEL_GROUND * max(abs(self.loss), self.scale)
        return level and self.moved <= STILL * self.scale and -self.own <= 5 * STILL * self.scale

    @property
    def lifeless(self) -> bool:
        """Whether most weights get no gradient, and the rest does next to nothing."""
        return self.dead > DEAD and self.moved < DEAD_MOVES * self.scale

    @property
    def left(self) -> float:
        """What is still to be gained in this valley and beyond, as far as the descents that were tried tell, over what was gained."""
        known = [self.ends[self.best]] if self.ends else []
        known += [self.lower.loss] if self.lower is not None else []
        known += [self.known] if math.isfinite(self.known) else []
        return (self.loss - min(known, default=self.loss)) / self.scale

    @property
    def trend(self) -> tuple[float, float]:
        """The fall of the loss over the last third of the run against the middle one, over what was gained, and in standard errors."""
        third = len(self.course) // 3
        if third < 4:
            return NAN, NAN
        before, after = self.course[-2 * third : -third], self.course[-third:]
        blocks = [np.array([part.mean() for part in np.array_split(each, 4)]) for each in (before, after)]
        error = math.hypot(*(float(_about_line(each)) / 2 for each in blocks))
        fall = float(before.mean() - after.mean())
        return fall / self.scale, fall / max(error, 1e-12 * abs(float(self.course[-1])) + 1e-300)


def examine(problem: Problem, run: Run, seen: Reading, tell: Tell = SILENT, many: Many = descend_many) -> Examination:
    """Measures at the place that the run got to, or at its start where it was lost; tells of the stages; ``many`` walks the forks."""
    ground = Ground(problem, int(run.config.get("seed") or 0), tell)
    begin = _begin(problem, run)
    lost = seen.lost_at is not None or not finite(run.weights)
    answer = problem.answer
    known = answer.loss if answer is not None and answer.minima and answer.loss is not None else NAN
    found = Examination(begin=ground.loss(begin), uphill=_uphill(ground, run), known=known)
    follows = [followed(ground, begin)]
    if not lost:
        here, start = _place(problem, run, seen)
        tell("the course")
        found = replace(found, loss=ground.loss(here), annealed=start is None, course=_course(ground, run))
        if not _rises(found):
            follows += [
                each
                for each in [followed(ground, here)]
                if each.slope * np.linalg.norm(here) > FAINT * max(abs(found.loss), found.scale)
            ]
        found = replace(found, follows=tuple(follows))
        if _rises(found) and not _wrong(found) and walkable(run):
            stable, spent = _stable(problem, run, ground, begin, many)
            found = replace(found, stable=stable, gradients=spent)
        elif not _wrong(found):
            found = _on_foot(problem, run, seen, found, ground, begin, here, start, many)
    else:
        found = replace(found, follows=tuple(follows))
        if walkable(run) and not _wrong(found):
            stable, spent = _stable(problem, run, ground, begin, many)
            found = replace(found, stable=stable, limit=_limit(problem, run, torch.as_tensor(begin)), gradients=spent)
    return replace(found, gradients=found.gradients + ground.gradients)


def _on_foot(
    problem: Problem,
    run: Run,
    seen: Reading,
    found: Examination,
    ground: Ground,
    begin: Column,
    here: Column,
    start: Run | None,
    many: Many,
) -> Examination:
    """The forks, the noise, and what they make one ask for."""
    value, slope = ground.gradient(here)
    size = max(float(np.linalg.norm(here)), float(np.linalg.norm(here - begin)), 1e-2 * math.sqrt(len(here)))
    found = replace(
        found,
        dead=_dead(ground, here, slope),
        size=size,
        loss=value,
        gradient=float(np.linalg.norm(slope)),
    )
    at = _at(problem, run, here)
    rate = seen.last_rate if start is not None and math.isfinite(seen.last_rate) else 0.5 * seen.rate
    if walkable(run) and rate > 0:
        ground.tell("the forks")
        forks = forked(at, run, rate, start, seen=lambda count: ground.tell(), many=many)
        forks = climbed(at, run, forks, start, lambda count: ground.tell(), many)
        ends, levels = _levels(ground, forks)
        found = replace(
            found,
            forks=forks,
            ends=ends,
            levels=levels,
            gradients=found.gradients + forks.gradients,
            alpha=_alpha(at, run, start, rate),
        )
    if not seen.full:
        ground.tell("the noise")
        found = replace(found, noise=_noise(at, run))
    if sum(p.numel() for p in trainable(problem.model).values()) <= MOST_WEIGHTS and (seen.full or found.still):
        ground.tell("the curvature")
        found = _curved(problem, run, found, ground, here, seen)
    if found.still:
        found = replace(found, flat=_flat(found))
        level = found.flat < FLAT
        asks = (level or not found.down > STILL * found.scale) and (found.loss > ARRIVED * abs(found.begin) or len(here) <= SMALL)
        found = _elsewhere(problem, run, found, ground, begin, here) if asks else found
    elif found.lifeless:
        found = _elsewhere(problem, run, found, ground, begin, here)
    return found


def _elsewhere(problem: Problem, run: Run, found: Examination, ground: Ground, begin: Column, here: Column) -> Examination:
    ground.tell("other places")
    lower = elsewhere(problem, run, ground, begin, here)
    return replace(found, lower=lower, gradients=found.gradients + (lower.gradients if lower else 0))


def _stable(problem: Problem, run: Run, ground: Ground, begin: Column, many: Many) -> tuple[float, int]:
    ground.tell("the forks")
    return largest_stable(_at(problem, run, begin), run, lambda count: ground.tell(), many)


# ---- where


def _begin(problem: Problem, run: Run) -> Column:
    if len(run.path) and run.path.steps[0] == 0:
        return row_of(run.path[0])
    return flattened(list(trainable(problem.model).values())).double().cpu().numpy()


def _place(problem: Problem, run: Run, seen: Reading) -> tuple[Column, Run | None]:
    """The end of the run, to go on from; of one whose rate has decayed, where it was half of the highest, to begin anew from."""
    if not seen.annealed < ANNEALED or not len(run.path):
        end = flattened([run.weights[name] for name in trainable(problem.model)]).double().cpu().numpy()
        return end, run if run.state and walkable(run) else None
    fast = np.flatnonzero(run.trace["lr"] >= 0.5 * seen.rate)
    step = int(run.trace["step"][fast[-1]])
    return row_of(run.path[int(np.abs(run.path.steps - step).argmin())]), None


def _at(problem: Problem, run: Run, row: Column) -> Problem:
    """The problem with its model at these trainable weights, and the run's buffers."""
    model = problem.model if not finite(run.weights) else None
    state = dict(problem.model.state_dict()) if model is not None else dict(run.weights)
    made = state_at(problem, replace(run, weights=state), row)
    moved = copy.deepcopy(problem.model)
    moved.load_state_dict(made)
    return problem.with_(model=moved, validation=None)  # whose loss nobody asks for here


# ---- what is asked of what was found


def _wrong(found: Examination) -> bool:
    return any(each.ratio < 0.5 or each.ratio > 2 or each.unreached for each in found.follows)


def _rises(found: Examination) -> bool:
    return found.loss > found.begin + 0.05 * abs(found.begin) + 1e-9


# ---- measurements


def _course(ground: Ground, run: Run) -> Column:
    """The loss over the sample along the path."""
    if len(run.path) < 12:
        return np.empty(0)
    count = int(min(COURSE, max(12, PATIENCE / ground.rows.seconds)))
    picked = np.unique(np.linspace(0, len(run.path) - 1, count).round().astype(int))
    return ground.losses(np.stack([row_of(run.path[int(index)]) for index in picked]))


def _levels(ground: Ground, forks: Forks) -> tuple[dict[float, float], dict[float, tuple[float, float]]]:
    """The loss over the sample at the end of each fork, and over its last half."""
    ends, levels = {}, {}
    for times, points in forks.points.items():
        finite_rows = np.isfinite(points).all(axis=1)
        lost = not finite_rows.all() or not np.isfinite(forks.losses[times]).all()
        losses = np.full(1, math.inf) if lost else ground.losses(points)
        ends[times] = float(losses[-1])
        error = float(np.std(losses, ddof=1)) / math.sqrt(max(1, len(losses) / 3)) if len(losses) > 1 else 0.0
        levels[times] = (float(losses.mean()), error)
    return ends, levels


def _flat(found: Examination) -> float:
    """What a step as long as the weights (or as the way that was made) could change, by Taylor's second order, over the loss or what was gained."""
    size = max(found.size, 1.0)
    curvature = max(abs(found.largest), abs(found.smallest))
    return (found.gradient * size + curvature * size**2 / 2) / max(abs(found.loss), found.begin - found.loss, 1e-30)


def _dead(ground: Ground, here: Column, slope: Column) -> float:
    """The share of the weights that get no gradient and make no difference when they are moved a little."""
    without = slope == 0
    moved = np.where(without, here + 0.1 * (np.abs(here) + 0.01) * ground.random.standard_normal(len(here)), here)
    before, after = ground.losses(np.stack([here, moved]))
    return float(without.mean()) if abs(after - before) <= 1e-12 * max(abs(before), 1e-30) else 0.0


def _about_line(values: Column) -> float:
    """The standard deviation about the straight line through them."""
    line = np.polyval(np.polyfit(np.arange(len(values)), values, 1), np.arange(len(values)))
    return float(np.sqrt(((values - line) ** 2).sum() / max(1, len(values) - 2)))


def _uphill(ground: Ground, run: Run) -> float:
    """The cosine of the gradient and the first displacement on the path."""
    if len(run.path) < 2:
        return NAN
    first, second = (row_of(run.path[index]) for index in (0, 1))
    moved = second - first
    _, slope = ground.gradient(first)
    lengths = float(np.linalg.norm(moved) * np.linalg.norm(slope))
    return float(moved @ slope) / lengths if lengths > 0 and math.isfinite(lengths) else NAN


def _alpha(problem: Problem, run: Run, start: Run | None, rate: float) -> float:
    """The median of the two-gradient alpha over a few steps."""

    def measure(moment: Moment) -> float:
        parameters = [p for p in moment.model.parameters() if p.requires_grad and p.grad is not None]
        after = torch.autograd.grad(moment.problem.loss_on(moment.model, moment.batches[0]), parameters, allow_unused=True)
        kept = [
            (g0, g1, p - before)
            for g0, g1, p, before in zip(moment.gradients, after, parameters, moment.weights_before, strict=False)
            if g1 is not None
        ]
        if not kept:
            return NAN
        g0, g1, d = (torch.cat([part.detach().flatten() for part in parts]) for parts in zip(*kept, strict=True))
        return two_gradients(g0, g1, d)[1]

    if run.config.get("accumulate", 1) not in (None, 1):
        return NAN
    try:
        probes = [Probe("alpha", measure, after=True)]
        made = descend(problem, lr=rate, steps=ALPHA_STEPS, schedule="constant", start=start, probes=probes, progress=False, validate_every=10**9,
                       **settings_of(run))  # fmt: skip
    except (RuntimeError, SettingError, ProblemError):
        return NAN
    values = made.trace["alpha"][-ALPHA_STEPS:]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else NAN


def _noise(problem: Problem, run: Run) -> float:
    """Of the gradients of single batches: the trace of their covariance over the squared norm of their mean."""
    # loaders and dropout draw random numbers: none of the user's
    with World.seeded(int(run.config.get("seed") or 0), carried_generators(problem.data)).entered():
        return _disagreement(problem, run)


def _disagreement(problem: Problem, run: Run) -> float:
    model = problem.model
    like = next(iter(trainable(model).values()))
    size = run.config.get("batch_size") or problem.batch_size
    batches = source(problem.data, size, int(run.config.get("seed") or 0), like.device, like.dtype).epoch(0, 0)
    squares: list[float] = []
    whole = 0
    total: Column | None = None
    for _, batch in zip(range(BATCHES), batches, strict=False):
        if samples(batch) < whole:  # the last batch is shorter, and noisier
            break
        whole = samples(batch)
        parameters = list(trainable(model).values())
        gradient = torch.autograd.grad(problem.loss_on(model, batch), parameters, materialize_grads=True)
        flat = flattened([g.detach() for g in gradient]).double().cpu().numpy()
        squares.append(float(flat @ flat))
        total = flat if total is None else total + flat
    count = len(squares)
    if count < 2 or total is None:
        return NAN
    mean = float(total @ total) / count**2
    covariance = (float(np.mean(squares)) - mean) * count / (count - 1)
    signal = float(np.mean(squares)) - covariance
    return covariance / signal if signal > 0 else math.inf


def _curved(problem: Problem, run: Run, found: Examination, ground: Ground, here: Column, seen: Reading) -> Examination:
    """Both ends of the spectrum, and where the direction that curves downwards leads."""
    count: Any = "train" if isinstance(problem.data, list) else CURVED
    at = torch.as_tensor(here)
    try:
        ends = spectrum(problem, at, data=count, tolerance=ROUGH)
    except (ProblemError, RuntimeError):
        return found
    limit = _limit_of(run, ends.largest)
    found = replace(found, largest=ends.largest, smallest=ends.smallest, residual=ends.smallest_residual, limit=limit,
                    gradients=found.gradients + 3 * ends.products)  # fmt: skip
    if ends.smallest < -3 * ends.smallest_residual and found.still:
        along = flattest(problem, at, data=count, tolerance=ROUGH).numpy()
        rows = np.stack([here + sign * nudge * found.size * along for nudge in NUDGES for sign in (1, -1)])
        losses = ground.losses(rows)
        best = int(np.nanargmin(losses))
        found = replace(found, down=found.loss - float(losses[best]), nudged=state_at(problem, run, rows[best]))
    return found


def _limit(problem: Problem, run: Run, at: Tensor) -> float:
    """The stability limit by the largest curvature there; NaN where it has no formula or costs too much."""
    if run.config.get("optimizer") not in ("sgd", "momentum", "nesterov") or at.numel() > MOST_WEIGHTS:
        return NAN
    try:
        return _limit_of(
            run, spectrum(problem, at, data="train" if isinstance(problem.data, list) else CURVED, tolerance=ROUGH).largest
        )
    except (ProblemError, RuntimeError):
        return NAN


def _limit_of(run: Run, largest: float) -> float:
    name = run.config.get("optimizer")
    return stability_limit(largest, str(name)) if name in LIMITS and name not in ("adam", "adamw") else NAN
