"""Many descents from one state.  K rates, seeds, optimizers -> K runs, in one batched pass where that is possible and pays.

All engines give the same runs (law 3): ``"vmap"`` walks all copies in one pass (`Herd`), ``"sequential"`` one after the other,
``"processes"`` one after the other in as many processes as there are cores, one thread each; ``"auto"`` walks the first steps both ways and
takes the faster. What cannot be walked in one pass is walked one after the other, and the answer says why. ``"ray"`` cuts them into shards,
which the workers of a cluster walk by whichever of the first two is the faster here.
"""

from __future__ import annotations

import functools
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch

from surefoot import html
from surefoot.descent.abreast import begun
from surefoot.descent.cluster import Cluster, cluster, on_cluster
from surefoot.descent.footprint import memory_of_one
from surefoot.descent.herd import Herd
from surefoot.descent.interrupt import Interrupted, interrupts_deferred
from surefoot.descent.pauses import paused
from surefoot.descent.ranks import leads, ranks_of, together
from surefoot.descent.settings import Settings
from surefoot.descent.snapshot import World
from surefoot.descent.stacked import Unbatchable
from surefoot.descent.stop import StopRule
from surefoot.descent.walk import Walk
from surefoot.descent.workers import cores, in_processes, unforkable
from surefoot.errors import SettingError, StoreError, SurefootWarning
from surefoot.problem import Problem
from surefoot.run import Run
from surefoot.store import record
from surefoot.trace import Row, Trace

Engine: TypeAlias = Literal["vmap", "sequential", "processes", "ray"]
ENGINES = ("auto", "vmap", "sequential", "processes", "ray")
SCOUTED = 3  # steps that are walked both ways before the engine is chosen; the first is slower than the rest
AGREEMENT = 1e-3  # relative: float32 over three steps stays far below, a model that vmap misreads does not
CLEARLY_SLOWER = 2.0  # a wide margin and a clock that other programs do not move: the same call takes the same engine
WORTH_PROCESSES = 5.0  # seconds of work: below, starting processes costs more than it saves
SHARDS = 4  # per worker of a cluster, walked one by one: none is idle for long while the last ones are walked
ONE_PASS = (
    64  # descents of a shard that is walked in one pass: with more, each takes as long (digits-mlp: 64 to 1,024), and memory grows
)


@dataclass(frozen=True)
class Population:
    """What became of many descents.

    Attributes:
        runs: one per descent, in the order asked for. Their tensors may be views of common ones: cheap as long as all of them are needed.
        engine: how they were walked: ``"vmap"``, ``"sequential"``, ``"processes"`` or ``"ray"``.
        note: why not in one pass, or in which portions; "" where there is nothing to say.
        gradients: gradient evaluations made, those of the trial steps that chose the engine included; steps that were walked on a cluster
            or in another process although they had been walked here before are counted once.
    """

    runs: tuple[Run, ...]
    engine: Engine
    note: str
    gradients: int

    def _repr_html_(self) -> str:
        told = [key for key in ("optimizer", "seed") if len({str(run.config.get(key)) for run in self.runs}) > 1]
        cost = f"engine {self.engine}; {self.gradients:,} gradient evaluations"
        columns = ("rate", *told, "steps", "ended", "final loss")
        title = f"{len(self.runs):,} descents"
        return html.grid(columns, self.runs, title, functools.partial(_line, told), notes=[cost, self.note])


def descend_many(
    problem: Problem,
    *,
    lr: float | Sequence[float],
    seed: int | Sequence[int] = 0,
    optimizer: Any = "sgd",
    steps: int,
    schedule: Any = "constant",
    batch_size: int | str | None = None,
    start: Run | None = None,
    stop: Callable[[], StopRule] | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    autocast: str | None = None,
    validate_every: int | None = None,
    device: Any = "auto",
    engine: str = "auto",
    memory: int | None = None,
    paths: bool = False,
    seen: Callable[[int], None] | None = None,
    store: str | os.PathLike[str] | None = None,
) -> Population:
    """Descends the problem several times, from one state, in one pass where that is possible.

    Args:
        problem: what to descend.
        lr: one rate, or one per descent.
        seed: one seed, or one per descent; descents of one seed see the same batches.
        optimizer: as for `descend`; a list of them for one per descent.
        steps: updates of each descent.
        schedule: as for `descend`.
        batch_size: as for `descend`.
        start: a run that all of them go on from.
        stop: makes a stop rule (rules remember) for each descent.
        clip_norm: as for `descend`, for each descent by itself.
        accumulate: as for `descend`.
        autocast: as for `descend`.
        validate_every: as for `descend`.
        device: as for `descend`.
        engine: ``"auto"``, ``"vmap"``, ``"sequential"``, ``"processes"`` or ``"ray"``: a Ray that is initialised in this process, else the
            cluster of ``RAY_ADDRESS``, else one started on this machine; or an address, ``"ray:HOST:PORT"``, ``"ray://HOST:10001"``.
        memory: bytes that the copies may take; more are walked in portions. None: half of what is free.
        paths: keep where each descent went, as `descend` does, of problems of up to 1,000 weights; else a path walked in one pass is its end.
        seen: called between two steps, at most 50 times a second, with the number of steps made since, those of all descents; in several
            processes with that of descents that have ended, on a cluster with that of shards. What it raises ends them all and comes out.
        store: a file of runs to record each in when it has ended; what was recorded stays when the others are given up.

    Returns:
        The runs, each what `descend` would have returned (float32: to 1e-4 of the losses over 50 steps), and which engine ran.

    Raises:
        SettingError: a setting makes no sense, or lists of different lengths are given.
        ProblemError: as `descend`; on a cluster also where the problem cannot be pickled, or a worker has not the file it reads.
        NotInstalled: ``engine="ray"`` without Ray.
        StoreError: the store cannot be written.
        KeyboardInterrupt: on Ctrl-C; nothing is changed, and nothing is left running.

    Example:
        >>> bowl = Problem.of(lambda x: (x**2).sum() / 2, start=[1.0])
        >>> made = descend_many(bowl, lr=[0.1, 1.0, 2.5], steps=200, engine="vmap")
        >>> [run.ended for run in made.runs], made.runs[1].weights["x"].item()
        (['steps', 'steps', 'diverged'], 0.0)
    """
    check_engine(engine)
    shared: dict[str, Any] = {"steps": steps, "schedule": schedule, "batch_size": batch_size, "clip_norm": clip_norm, "accumulate": accumulate,
                              "autocast": autocast, "validate_every": validate_every, "device": device}  # fmt: skip
    settings = [Settings(lr=a, seed=b, optimizer=c, **shared) for a, b, c in _members(lr, seed, optimizer)]
    with together(problem) as problem, interrupts_deferred() as interrupted, paused(seen) as told:
        store = store if leads(problem) else None
        if store is not None:
            record(store, ())  # a file that cannot be written is told now
        many = _Many(problem, settings, start, stop, memory, paths, told, interrupted, store)
        return many.walked(engine if ranks_of(problem) is None else many.in_turn(engine))


def check_engine(engine: str) -> None:
    """Refuses an engine that there is not.

    Raises:
        SettingError: it is none of `ENGINES`, nor ``"ray:"`` with an address.
    """
    if not isinstance(engine, str) or not (engine in ENGINES or on_cluster(engine)):
        raise SettingError(f"engine must be one of {', '.join(ENGINES)} or ray:ADDRESS, got {engine!r}.")


def fork(problem: Problem, start: Run, rates: Sequence[float], steps: int, **settings: Any) -> Population:
    """Goes on from where a run ended, at several rates, and leaves the run as it is.

    Args:
        problem: what the run descended.
        start: the run, which may be an unfinished one.
        rates: the learning rates to go on with.
        steps: updates at each of them.
        settings: whatever else `descend_many` takes; by default the run's own optimizer, batch size, seed, clipping and accumulation, and a
            constant rate.

    Example:
        >>> from surefoot import descend
        >>> bowl = Problem.of(lambda x: (x**2).sum() / 2, start=[8.0])
        >>> run = descend(bowl, lr=0.5, steps=3)
        >>> [round(float(fork.trace["loss"][-1]), 4) for fork in fork(bowl, run, [0.1, 1.0], steps=2).runs]
        [0.405, 0.0]
    """
    own = {key: start.config[key] for key in ("optimizer", "batch_size", "seed", "clip_norm", "accumulate", "autocast")}
    own = {key: value for key, value in own.items() if value is not None}
    return descend_many(problem, lr=list(rates), steps=steps, start=start, **{**own, **settings})


def _members(lr: Any, seed: Any, optimizer: Any) -> list[tuple[Any, Any, Any]]:
    """Rate, seed and optimizer of each descent."""
    given = {"lr": lr, "seed": seed, "optimizer": optimizer}
    lists = {name: list(value) for name, value in given.items() if isinstance(value, list | tuple) or getattr(value, "ndim", None)}
    lengths = {len(value) for value in lists.values()}
    if len(lengths) > 1 or 0 in lengths:
        told = ", ".join(f"{len(value)} of {name}" for name, value in lists.items())
        raise SettingError(f"One descent per entry: the lists must have one length above 0, got {told}.")
    count = lengths.pop() if lengths else 1
    columns = [lists.get(name, [value] * count) for name, value in given.items()]
    return list(zip(*columns, strict=True))


class _Many:
    """Descents that are still to be walked, and what has been noticed on the way."""

    def __init__(
        self, problem: Problem, settings: list[Settings], start: Run | None, rule: Callable[[], StopRule] | None, memory: int | None,
        paths: bool, seen: Callable[[int, World | None], None], interrupted: Interrupted, store: str | os.PathLike[str] | None = None,
    ) -> None:  # fmt: skip
        self.problem, self.settings, self.start, self.rule = problem, settings, start, rule
        self.memory, self.paths, self.seen, self.interrupted = memory, paths, seen, interrupted
        self.store = store
        self.notes: list[str] = []
        self.spent = 0
        self.refused: Exception | None = None  # what `seen` raised

    def in_turn(self, engine: str) -> str:
        """The engine where several processes walk together: they meet at every step, so that there is but one."""
        if engine not in ("auto", "sequential"):
            self.notes.append(f"one after the other, not by engine={engine!r}: the model is wrapped in DistributedDataParallel")
        return "sequential"

    def walked(self, engine: str) -> Population:
        if on_cluster(engine):
            with cluster(engine) as found:
                return self._on_cluster(found)
        scout, rows, pace = self._scouted(SCOUTED if engine == "auto" else 1)
        if engine == "processes" or engine == "sequential" or len(self.settings) == 1:
            return self._one_by_one(scout, rows, engine == "processes")
        try:
            runs = self._in_one_pass(scout, rows, pace if engine == "auto" else None)
        except Unbatchable as error:
            self.notes.append(str(error))
            pays = pace * (scout.end - scout.step) * len(self.settings) > WORTH_PROCESSES
            return self._one_by_one(scout, rows, engine == "auto" and pays and cores() > 1 and scout.device.type == "cpu")
        return Population(tuple(runs), "vmap", "; ".join(self.notes), self.spent)

    def _scouted(self, steps: int) -> tuple[Walk, list[Row], float]:
        """The first descent's first steps, one by one: what a step touches, what it costs, and every complaint there is."""
        scout = begun(self.problem, self.settings[0], self.start, (), ())
        rows: list[Row] = []
        seconds: list[float] = []
        with scout.world.entered():
            while scout.ended is None and len(rows) < steps:
                began = _clock(scout.device)
                rows.append(scout.advance())
                seconds.append(_clock(scout.device) - began)
        self.spent += len(rows)
        return scout, rows, min(seconds)

    # ---- in one pass

    def _in_one_pass(self, scout: Walk, rows: list[Row], pace: float | None) -> list[Run]:
        most = len(self.settings)
        if self.memory is not None or scout.device.type == "cuda":
            most = self._fitting(scout)
        runs: list[Run] = []
        while len(runs) < len(self.settings):
            portion = self.settings[len(runs) : len(runs) + most]
            spent = self.spent
            try:
                ended = self._portion(portion, scout, rows, pace)
            except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
                if error is self.refused:
                    raise
                self.spent = spent
                most = self._smaller(error, len(portion))
            else:
                runs += self._recorded(ended)
            pace = None  # once is enough
        return runs

    def _fitting(self, scout: Walk) -> int:
        """How many copies the memory holds."""
        one = memory_of_one(scout)
        free = self.memory if self.memory is not None else torch.cuda.mem_get_info(scout.device)[0] // 2
        most = max(1, int(free // one))
        if most < len(self.settings):
            self.notes.append(f"in portions of {most}, by memory")
        return most

    def _smaller(self, error: BaseException, tried: int) -> int:
        """Half as many; raises where the error is of another kind, or there is nothing to halve."""
        if not _is_memory(error):
            if isinstance(error, RuntimeError):  # torch.func refuses with a RuntimeError
                raise Unbatchable((str(error).splitlines() or [type(error).__name__])[0]) from error
            raise error
        if tried == 1:
            raise Unbatchable("the memory does not hold a batched copy") from error
        self.notes.append(f"out of memory with {tried} at once, so in portions of {tried // 2}")
        return tried // 2

    def _portion(self, settings: list[Settings], scout: Walk, rows: list[Row], pace: float | None) -> list[Run]:
        herd = Herd(self.problem, settings, scout, self.start, self.rule, self.paths)
        first, seconds = settings[0] is self.settings[0], []
        with herd.entered():
            while not herd.over:
                began = _clock(scout.device)
                stepped = herd.advance()
                seconds.append(_clock(scout.device) - began)
                self._count(stepped, herd.world)
                if first and len(seconds) == len(rows):
                    _compare(herd.table.rows(0), rows)
                    if pace is not None and min(seconds) > CLEARLY_SLOWER * pace * len(settings):
                        raise Unbatchable(f"one pass takes {min(seconds) / (pace * len(settings)):.2g} times as long as one by one")
        return herd.runs()

    def _count(self, stepped: int, world: World | None) -> None:
        self.spent += stepped
        try:
            self.seen(stepped, world)
        except Exception as error:
            self.refused = error
            raise
        if self.interrupted:
            raise KeyboardInterrupt

    # ---- one after the other

    def _one_by_one(self, scout: Walk, rows: list[Row], processes: bool) -> Population:
        self.spent -= len(rows)  # the scout's steps are the first descent's own
        if processes and unforkable():
            self.notes.append(unforkable())
        elif processes and len(self.settings) > 1:
            tasks = [functools.partial(_walked, self.problem, each, self.start, self.rule) for each in self.settings]
            runs = in_processes(tasks, self._arrived, self.interrupted)
            self.spent += sum(_steps(run, self.start) for run in runs)
            return Population(tuple(runs), "processes", "; ".join(self.notes), self.spent)
        runs = [self._alone(scout, rows)]
        runs += [self._alone(begun(self.problem, each, self.start, (), ()), []) for each in self.settings[1:]]
        return Population(tuple(runs), "sequential", "; ".join(self.notes), self.spent)

    def _alone(self, walk: Walk, rows: list[Row]) -> Run:
        for _ in rows:
            self._count(1, None)
        rule = self.rule() if self.rule else None
        return self._recorded([_to_the_end(walk, rows, rule, self.start, self._count)])[0]

    def _arrived(self, count: int, run: Run | None) -> Run | None:
        self.seen(count, None)
        return run if run is None else self._recorded([run])[0]

    def _recorded(self, runs: Sequence[Run]) -> list[Run]:
        """The runs, which have ended, as they stand in the store, if there is one."""
        if self.store is None:
            return list(runs)
        try:
            return record(self.store, runs, self.start)
        except StoreError as error:
            warnings.warn(f"The descents go on, but {len(runs)} could not be recorded: {error}", SurefootWarning, stacklevel=2)
            return list(runs)

    # ---- on a cluster

    def _on_cluster(self, found: Cluster) -> Population:
        scout, rows, pace = self._scouted(SCOUTED if found.local is None and len(self.settings) > 1 else 1)
        if scout.device.type != "cpu":
            raise SettingError(
                f"engine='ray' walks on the cores of its workers, and these descents are on {scout.device}: give device='cpu'."
            )
        local = self._local(found, scout, rows, pace)
        if local == "sequential":
            self.spent -= len(rows)
        count = _shards(len(self.settings), found.workers, local)
        parts = {
            "problem": self.problem,
            "start": self.start,
            "stop": self.rule,
            "memory": self.memory,
            "paths": self.paths,
            "engine": local,
        }
        runs: dict[int, Run] = {}
        notes: dict[str, None] = {}

        def arrived(shard: int, population: Population) -> None:
            told = sum(_steps(run, self.start) for run in population.runs)
            self.spent += told
            notes.update(dict.fromkeys(filter(None, [population.note])))
            runs.update(zip(range(shard, len(self.settings), count), self._recorded(population.runs), strict=True))
            self.seen(told, None)

        # every count-th, for rates next to each other take equally long: the highest diverge at once
        pieces = [self.settings[shard::count] for shard in range(count)]
        found.gathered(walk_shard, parts, pieces, arrived, lambda: self.seen(0, None), self.interrupted)
        told = f"{count} shards on {found.workers} workers, engine {local}"
        return Population(tuple(runs[place] for place in sorted(runs)), "ray", "; ".join([told, *self.notes, *notes]), self.spent)

    def _local(self, found: Cluster, scout: Walk, rows: list[Row], pace: float) -> str:
        """The engine of the workers: that which would be the faster here, as ``"auto"`` finds it out; chosen once on a cluster that is held."""
        if len(self.settings) == 1:
            found.local = "sequential"  # as it stays for a search in this process, which spends the same
        if found.local is None:
            trial = _Many(
                self.problem, self.settings[:ONE_PASS], self.start, lambda: lambda row: row.step >= rows[-1].step, self.memory, False,
                lambda count, world: self.seen(0, world), self.interrupted,
            )  # fmt: skip
            try:
                trial._in_one_pass(scout, rows, pace)
                found.local = "vmap"
            except Unbatchable as error:
                self.notes.append(str(error))
                self.spent += trial.spent
                found.local = "sequential"
        return found.local


def walk_shard(parts: Mapping[str, Any], settings: list[Settings]) -> Population:
    """In a worker: some of the descents."""
    with paused(None) as told:
        many = _Many(
            parts["problem"], settings, parts["start"], parts["stop"], parts["memory"], parts["paths"], told, Interrupted()
        )
        return many.walked(parts["engine"])


def _shards(descents: int, workers: int, engine: str) -> int:
    """How many shards: as many for each worker, but for the few last ones."""
    each = SHARDS if engine == "sequential" else -(-descents // (ONE_PASS * workers))
    return min(descents, each * workers)


def _walked(problem: Problem, settings: Settings, start: Run | None, rule: Callable[[], StopRule] | None) -> Run:
    return _to_the_end(Walk(problem, settings, start, (), ()), [], rule() if rule else None, start, lambda count, world: None)


def _to_the_end(
    walk: Walk, rows: list[Row], rule: StopRule | None, start: Run | None, seen: Callable[[int, World | None], None]
) -> Run:
    for row in rows:
        if rule is not None and rule(row) and walk.ended is None:
            walk.ended = "stopped"
    if rule is not None:
        walk.stop = [rule]
    rows = list(rows)
    with walk.world.entered():
        while walk.ended is None:
            rows.append(walk.advance())
            seen(1, walk.world)
    trace = Trace.of(rows)
    return walk.run(start.trace + trace if start is not None else trace)


def _steps(run: Run, start: Run | None) -> int:
    return len(run.trace) - (len(start.trace) if start is not None else 0)


def _compare(batched: Sequence[Row], alone: Sequence[Row]) -> None:
    for one, other in zip(batched, alone, strict=False):
        if abs(one.loss - other.loss) > AGREEMENT * max(abs(one.loss), abs(other.loss), 1e-6):
            raise Unbatchable(f"a batched copy does not walk as it does alone (loss {one.loss:.6g} against {other.loss:.6g})")


def _clock(device: torch.device) -> float:
    """Seconds; on a CPU those that this thread has worked, so that a busy machine does not choose the engine (law 2)."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (
        time.perf_counter() if device.type != "cpu" or sys.platform == "win32" else time.thread_time()
    )  # Windows counts it in 16 ms


def _line(told: Sequence[str], run: Run) -> tuple[Any, ...]:
    """A run in the table of a notebook: its rate, the settings that tell it from others, and what became of it."""
    final = float(run.trace["loss"][-1]) if len(run.trace) else None
    return run.config.get("lr"), *(run.config.get(key) for key in told), len(run.trace), run.ended, final


def _is_memory(error: BaseException) -> bool:
    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "out of memory" in words or "allocate memory" in words
