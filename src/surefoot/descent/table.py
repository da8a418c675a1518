"""What did many descents measure?  one block of columns per step -> the trace of each descent.

A row per descent and step, as `Walk` makes them, would take longer than a step of a small problem itself.
"""

from __future__ import annotations

import numpy as np

from surefoot.trace import COLUMNS, Column, Row, Trace

UPDATE_NORM, VALIDATION_LOSS = (COLUMNS.index(name) for name in ("update_norm", "validation_loss"))


class Table:
    """The rows of several descents, which all begin at the first step and end one by one.

    Args:
        members: how many descents there are.

    Example:
        >>> table = Table(2)
        >>> _ = table.add(np.array([0, 1]), step=0, epoch=0.0, lr=0.1, loss=np.array([4.0, 5.0]), grad_norm=1.0, weight_norm=1.0, seconds=0.0)
        >>> _ = table.add(np.array([1]), step=1, epoch=0.0, lr=0.1, loss=np.array([3.0]), grad_norm=1.0, weight_norm=1.0, seconds=0.0)
        >>> [trace["loss"].tolist() for trace in table.traces()]
        [[4.0], [5.0, 3.0]]
    """

    def __init__(self, members: int) -> None:
        self.members = members
        self._blocks: list[tuple[Column, Column]] = []

    def add(self, of: Column, **measured: Column | float) -> Column:
        """A step's block, (columns, descents), for these descents; what was not measured is NaN and may still be filled in."""
        block = np.full((len(COLUMNS), len(of)), np.nan)
        for name, values in measured.items():
            block[COLUMNS.index(name)] = values
        self._blocks.append((of, block))
        return block

    def traces(self) -> list[Trace]:
        """The trace of each descent so far."""
        cells = np.full((len(COLUMNS), self.members, len(self._blocks)), np.nan)
        counts = np.zeros(self.members, dtype=int)
        for step, (of, block) in enumerate(self._blocks):
            cells[:, of, step] = block
            counts[of] += 1
        return [Trace(dict(zip(COLUMNS, cells[:, member, :count], strict=True))) for member, count in enumerate(counts.tolist())]

    def rows(self, member: int) -> list[Row]:
        """The rows of one descent so far."""
        found = [block[:, of == member] for of, block in self._blocks]
        return [row_of(block, 0) for block in found if block.shape[1]]


def row_of(block: Column, place: int) -> Row:
    """The row of one descent in a block."""
    step, *rest = block[:, place].tolist()
    return Row(int(step), *rest)
