"""Which incarnations were the columns of a roster, from the table that both sealing and reading use."""

from __future__ import annotations

from dataclasses import dataclass, field

import apsw
import numpy as np

from drmviz.model.metrics import IntArray


@dataclass(slots=True)
class Rosters:
    """Incarnation numbers by roster, for the rosters of a stretch of ticks."""

    _numbers: IntArray
    _joined: IntArray
    _left: IntArray
    _known: dict[int, IntArray] = field(default_factory=dict)

    @classmethod
    def between(cls, connection: apsw.Connection, run: int, first: int, last: int) -> Rosters:
        """Read who stood in any roster from `first` to `last`."""
        rows = connection.execute(
            "SELECT number, joined_roster, left_roster FROM incarnation"
            " WHERE run = ? AND joined_roster <= ? AND left_roster > ? ORDER BY number",
            (run, last, first),
        ).fetchall()
        table = np.array(rows, dtype=np.int64).reshape(-1, 3)
        return cls(table[:, 0], table[:, 1], table[:, 2])

    def members(self, roster: int) -> IntArray:
        """Return the incarnation numbers of one roster, ascending: the order of its columns."""
        known = self._known.get(roster)
        if known is None:
            known = self._numbers[(self._joined <= roster) & (self._left > roster)]
            self._known[roster] = known
        return known

    def span(self, members: IntArray) -> tuple[int, int]:
        """Return the first roster in which one of these stood, and the one after the last."""
        joined, left = self.lifetimes(members)
        return int(joined.min()), int(left.max())

    def lifetimes(self, members: IntArray) -> tuple[IntArray, IntArray]:
        """Return for each of these the first roster in which it stood, and the one after its last."""
        rows = np.searchsorted(self._numbers, members)
        return self._joined[rows], self._left[rows]

    def by_lifetime(self) -> IntArray:
        """Return all numbers ordered by (joined, left): neighbours lived at the same time."""
        return self._numbers[np.lexsort((self._numbers, self._left, self._joined))]
