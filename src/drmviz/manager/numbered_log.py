"""What happened, numbered from 0, of which the last is kept: whoever reads on asks by number."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Generic, TypeVar

from drmviz.errors import InvalidValueError

KEPT = 10_000

Entry = TypeVar("Entry")


class NumberedLog(Generic[Entry]):
    """Forgets its oldest entries, never their numbers."""

    def __init__(self, kept: int = KEPT) -> None:
        self._entries: deque[Entry] = deque(maxlen=kept)
        self._next = 0

    @property
    def last(self) -> Entry | None:
        return self._entries[-1] if self._entries else None

    def append(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._next += 1

    def all(self) -> tuple[Entry, ...]:
        return tuple(self._entries)

    def since(self, number: int) -> tuple[tuple[Entry, ...], int]:
        """Return what is kept of the entries from this number on, and the number to ask with next time."""
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise InvalidValueError("number", number, "must be 0 or what the last call returned")
        first = self._next - len(self._entries)
        return tuple(islice(self._entries, max(0, number - first), None)), self._next
