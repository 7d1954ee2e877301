"""Inserts the chunks of a block in the order that fills the pages of SQLite: what else would lie empty is a sixth."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

import apsw

from drmviz.store.pages import CONTENT_BYTES

_TOGETHER_BYTES = 500_000
"""How much waits until it is put in order."""
_STEP_BYTES = 100_000
"""How much is inserted between two looks at the time."""
_AROUND_BYTES = 40
"""What a row takes beside its BLOB, about: its other columns, and their place in the page."""
_MOST_INSIDE = CONTENT_BYTES - 35
_LEAST_INSIDE = (CONTENT_BYTES - 12) * 32 // 255 - 23
_OVERFLOW_BYTES = CONTENT_BYTES - 4


class ChunkRow(NamedTuple):
    run: int
    block: int
    tier: int
    metric: int
    statistic: int
    slot: int
    first_tick: int
    packed: bytes
    lowest: int
    highest: int


class Shelf:
    """Rows that wait to be inserted."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._waiting: list[ChunkRow] = []
        self._bytes = 0
        self._free_bytes = 0
        """Of the page that the last row lies in."""

    def put(self, row: ChunkRow) -> None:
        self._waiting.append(row)
        self._bytes += len(row.packed)

    def full(self) -> Iterator[None]:
        """Insert what waits if it is enough to choose from; every step is short."""
        if self._bytes >= _TOGETHER_BYTES:
            yield from self.empty()

    def empty(self) -> Iterator[None]:
        """Insert what waits, each time the largest row that the page still holds."""
        left = sorted(((_inside(row.packed), row) for row in self._waiting), key=itemgetter(0))
        sizes = [size for size, _ in left]
        self._waiting, self._bytes = [], 0
        inserted = 0
        while left:
            place = bisect_right(sizes, self._free_bytes) - 1
            if place < 0:
                self._free_bytes = CONTENT_BYTES
            size, row = left.pop(place)  # of a new page the largest of all
            del sizes[place]
            self._free_bytes -= size
            self._connection.execute(f"INSERT INTO chunk ({_COLUMNS}) VALUES ({_PLACES})", row)
            inserted += len(row.packed)
            if inserted > _STEP_BYTES:
                inserted = 0
                yield
        yield


_COLUMNS = ", ".join(ChunkRow._fields)
_PLACES = ", ".join("?" * len(ChunkRow._fields))


def _inside(packed: bytes) -> int:
    """Return how much of its page a row takes; the rest lies in pages of its own (SQLite file format, 1.6)."""
    size = len(packed) + _AROUND_BYTES
    if size <= _MOST_INSIDE:
        return size
    inside = _LEAST_INSIDE + (size - _LEAST_INSIDE) % _OVERFLOW_BYTES
    return inside if inside <= _MOST_INSIDE else _LEAST_INSIDE
