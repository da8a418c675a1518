"""Which size is tried next?  the sizes tried so far and what they took -> a size, or None when the largest is found."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

FIRST = 8  # samples: enough that batch normalisation can work, few enough for nearly every memory
LONG = 8  # steps of a try that comes near to the limit: glibc's heap frays from step to step, most of it in the first ten
BRIEF = 5  # steps of one whose blocks do not come from the heap: two whole batches, twice the rest of an epoch, a whole one
SHORT = 4.0  # what the samples may take after many steps, as a multiple of the first two: a try that may take too much by that is a long one
HOLES = 7.0  # a long training's heap keeps holes beyond those of such a try, as large as so many of its largest blocks: 0 to 8 were seen, mostly 2
FRAY = 1.5  # so many of them come to the bytes of the first two steps before, until a long try has told
RESERVE = 2**23  # bytes that a long training takes besides: rows, a thread's stack, libraries that are loaded late
NEAR = 0.03  # of the largest size known to fit: no larger one is looked for within
FAR = 1.4  # times the largest size known to fit: one that is known not to
LESS = 0.85  # of a size that was foreseen to fit and did not
TELLING = 0.05  # of the memory: peaks that differ by less say little about where it ends
STRAIGHT = 0.02  # of the slope: less of a bend is none


def own_mapping() -> int:
    """Bytes from which on glibc maps a block by itself, so that it leaves no hole: 32 MiB (DEFAULT_MMAP_THRESHOLD_MAX), or what the user has set.

    Example:
        >>> own_mapping() == 2**25 or "MALLOC_MMAP_THRESHOLD_" in os.environ
        True
    """
    told = os.environ.get("MALLOC_MMAP_THRESHOLD_", "")
    return int(told) if told.isdecimal() else 2**25


@dataclass(frozen=True)
class Try:
    """A batch size and what became of it.

    Attributes:
        batch_size: samples per batch.
        fits: whether the memory held the steps, and will hold many more, with the headroom left.
        peak: bytes taken at most beyond what was held before; NaN where they ran out.
        seconds: of the fastest step, without validation, by one thread where the try was a process of its own; NaN where it failed.
        steps: training steps that the try cost.
        early: bytes taken at most in the first two or three steps, also where later ones ran out.
        block: bytes of the largest tensor of a step that comes from the heap.
    """

    batch_size: int
    fits: bool
    peak: float
    seconds: float
    steps: int
    early: float = math.nan
    block: float = 0.0


@dataclass(frozen=True)
class Search:
    """What decides which size comes next.

    Attributes:
        limit: bytes that may be taken.
        headroom: the share of samples more that must still fit.
        growth: how many times larger than the largest that fits the next may be.
        long: steps of a try that comes near to the limit.
        holes: blocks whose room a long training's heap may keep beyond that of a long try.
        reserve: bytes that it may take besides.
        most: no larger size makes sense.
    """

    limit: int
    headroom: float = 0.05
    growth: int = 16
    long: int = LONG
    holes: float = HOLES
    reserve: int = RESERVE
    most: int | None = None

    def needs(self, tries: Sequence[Try], one: Try) -> float:
        """Bytes that a long training of one of the sizes tried needs, with headroom: a share of what the samples take, not of the weights.

        Example:
            >>> tries = [Try(10, True, 300.0, 1.0, 2, 300.0), Try(100, True, 1200.0, 1.0, 10, 1200.0)]
            >>> Search(10**4, reserve=0).needs(tries, tries[1])  # 200 bytes, and 10 for each sample
            1250.0
        """
        fixed = _fixed(tries)
        if self.is_long(one):
            return self._lasting(one, fixed)
        if any(self.is_long(t) and t.batch_size > one.batch_size and not math.isnan(t.peak) for t in tries):
            return self._foreseen(tries, one)
        return max(self._foreseen(tries, one), fixed + self.reserve + SHORT * (1 + self.headroom) * (one.peak - fixed))

    def _lasting(self, one: Try, fixed: float) -> float:
        """Bytes that a long training needs, by a long try."""
        return one.peak + max(self.headroom * (one.peak - fixed), self.reserve + self.holes * one.block)

    def judged(self, tries: Sequence[Try]) -> list[Try]:
        """The tries with what is known now of whether each fits."""
        return [replace(t, fits=self.needs(tries, t) <= self.limit) for t in tries]

    def enough(self, peak: float, block: float) -> int:
        """Steps of a long try: fewer where the holes of a heap would be nothing against the headroom."""
        return min(self.long, BRIEF if self.holes * block <= self.headroom * peak else LONG)

    def is_long(self, one: Try) -> bool:
        """Whether a try had steps enough to show how the heap frays."""
        return one.steps >= min(self.long, BRIEF)

    def _is_known(self, one: Try) -> bool:
        """Whether a try that does not fit has shown it."""
        return math.isnan(one.peak) or self.is_long(one)

    def settled(self, tries: Sequence[Try], left: int) -> bool:
        """Whether so few steps are left that they cannot tell more than the largest try that fits, not far below one that does not."""
        tries = self.judged(tries)
        last = max((t for t in tries if t.fits), key=lambda t: t.batch_size, default=None)
        if left >= min(self.long, BRIEF) or last is None or not self.is_long(last):
            return False
        high = min((t.batch_size for t in tries if not t.fits and t.batch_size > last.batch_size), default=0)
        return high <= FAR * last.batch_size

    def _foreseen(self, tries: Sequence[Try], one: Try) -> float:
        """Bytes that a long training needs, by the first steps and by how many blocks came to those of the largest long try."""
        fixed = _fixed(tries)
        long = [t for t in tries if self.is_long(t) and not math.isnan(t.peak) and t.block]
        last = max(long, key=lambda t: t.batch_size, default=None)
        # no more than the holes: what came where the largest block was next to nothing came from elsewhere
        come = min(self.holes, (last.peak - last.early) / last.block) if last else FRAY
        return one.early + max(self.headroom * (one.early - fixed), self.reserve + (self.holes and self.holes + come) * one.block)

    def close(self, tries: Sequence[Try]) -> float:
        """Bytes from which on a try is to be a long one; the first never is."""
        if not tries:
            return math.inf
        fixed = _fixed(tries) if len(_early(tries)) > 1 else 0.0  # from one try nobody can tell what its samples took
        return fixed + max(0.0, self.limit - self.reserve - fixed) / (SHORT * (1 + self.headroom))

    def next_size(self, tries: Sequence[Try]) -> int | None:
        """The size to try next.

        Where nothing grew yet, `growth` times the last; then where a line, or a parabola, through what the last ones need meets the limit;
        between one that fits and one that does not, there or halfway.

        Returns:
            A size that was not tried yet; None when the largest that fits is known to 3 %, or 1 does not fit.
        """
        if not tries:
            return min(FIRST, self.most or FIRST)
        tries = self.judged(tries)
        low = max((t.batch_size for t in tries if t.fits), default=0)
        # of a short try that may take too much nothing is known yet
        high = min((t.batch_size for t in tries if not t.fits and t.batch_size > low and self._is_known(t)), default=None)
        if low == self.most or high == 1:
            return None
        there = self._meets(tries)
        sizes = [t.batch_size for t in tries]
        if low == 0:
            if there is not None and there < (high or math.inf) and there not in sizes:
                return there
            return None if min(sizes) == 1 else max(1, min(sizes) // 4)
        long = any(self.is_long(t) for t in tries if t.batch_size == low)
        if there is not None and long and there <= low * (1 + NEAR):
            return None
        if high is not None:
            return None if high - low <= max(1, NEAR * low) else _between(low, high, there)
        wanted = low * self.growth if there is None else max(math.ceil(low * (1 + NEAR)), min(there, low * self.growth))
        return min(max(wanted, low + 1), self.most) if self.most else max(wanted, low + 1)

    def _meets(self, tries: Sequence[Try]) -> int | None:
        """The size that needs just the limit; None where what was tried does not tell."""
        # a size that was tried twice, the first time briefly, is one point
        points = sorted({t.batch_size: self._foreseen(tries, t) for t in tries if not math.isnan(t.early)}.items())
        if len(points) < 2:
            return None
        first, last = points[0][1], points[-1][1]
        telling = [point for point in points if point[1] - first >= TELLING / 4 * (self.limit - first)]
        (b, p), (c, q) = points[-2:]
        if last - first < TELLING * (self.limit - first) or q <= p:
            return None
        line = c + (self.limit - q) * (c - b) / (q - p)
        return max(1, math.floor(_parabola(telling[-3:], self.limit, line) if len(telling) >= 3 else line))


def _between(low: int, high: int, there: int | None) -> int:
    """Where the limit is met, if that is between them, and not so near to what did not fit that it may fail as well; else halfway, by ratio."""
    half = max(low + 1, min(high - 1, round(math.sqrt(low * high))))
    if there is None or there <= low:
        return half
    return max(low + 1, min(there, max(half, math.floor(high * LESS))))


def _early(tries: Sequence[Try]) -> list[tuple[int, float]]:
    return sorted((t.batch_size, t.early) for t in tries if not math.isnan(t.early))


def _fixed(tries: Sequence[Try]) -> float:
    """Bytes that no sample takes: where the line from the first early peak to the last begins."""
    points = _early(tries)
    if not points:
        return math.nan
    (first, low), (last, high) = points[0], points[-1]
    return min(low, max(0.0, low - first * (high - low) / (last - first))) if last > first else high


def _parabola(points: Sequence[tuple[int, float]], goal: float, line: float) -> float:
    """Where the parabola through three points meets the goal; the line's answer where it bends down, or hardly at all."""
    (a, o), (b, p), (c, q) = points
    slope, before = (q - p) / (c - b), (p - o) / (b - a)
    bend = (slope - before) / (c - a)
    steep = slope + bend * (c - b)  # the slope at c
    under = steep**2 + 4 * bend * (goal - q)
    if bend * (c - b) < STRAIGHT * slope or under <= 0:
        return line
    return c + (math.sqrt(under) - steep) / (2 * bend)
