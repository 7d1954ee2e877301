"""Answers that many viewers ask for at once: each is made once for every state of the history."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

_MOST = 32


@dataclass(slots=True)
class _Answer:
    lock: threading.Lock = field(default_factory=threading.Lock)
    version: object = None
    content: bytes | None = None


class KeptAnswers:
    """The newest answer to each of the last questions; any thread may ask."""

    def __init__(self, *, at_most: int = _MOST) -> None:
        self._at_most = at_most
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
            return answer.content
