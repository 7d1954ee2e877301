"""Answers that many viewers ask for at once: each is made once for every state of the history."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

_MOST = 32
_MOST_BYTES = 64_000_000


@dataclass(slots=True)
class _Answer:
    lock: threading.Lock = field(default_factory=threading.Lock)
    version: object = None
    content: bytes | None = None


class KeptAnswers:
    """The newest answer to each of the last questions; any thread may ask."""

    def __init__(self, *, at_most: int = _MOST, at_most_bytes: int = _MOST_BYTES) -> None:
        self._at_most = at_most
        self._at_most_bytes = at_most_bytes
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()

    def get(self, question: Hashable, version: object, make: Callable[[], bytes]) -> bytes:
        """Return what `make` returned for this version; who asks while it is being made waits for it."""
        with self._lock:
            answer = self._answers.setdefault(question, _Answer())
            self._answers.move_to_end(question)
            while len(self._answers) > self._at_most:
                self._answers.popitem(last=False)
        with answer.lock:
            if answer.content is None or answer.version != version:
                answer.content = make()
                answer.version = version
            content = answer.content
        self._make_room()
        return content

    def _make_room(self) -> None:
        with self._lock:
            bytes_ = sum(len(answer.content or b"") for answer in self._answers.values())
            while self._answers and bytes_ > self._at_most_bytes:
                _, dropped = self._answers.popitem(last=False)
                bytes_ -= len(dropped.content or b"")
