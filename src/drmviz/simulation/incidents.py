"""When workers crash, when a provider takes rented ones back, and when nobody can see what some of them use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Incident = Literal["crashed", "reclaimed", "unseen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rhythm:
    what: Incident
    first_s: tuple[float, float]
    """The first one comes somewhere between these seconds."""
    then_s: float
    """The mean time from one to the next, of a fleet of few workers."""
    grows: bool = True
    """Whether many workers meet it more often."""


_RHYTHMS = (
    _Rhythm(what="crashed", first_s=(195.0, 260.0), then_s=520.0),
    _Rhythm(what="reclaimed", first_s=(330.0, 460.0), then_s=480.0),
    _Rhythm(what="unseen", first_s=(90.0, 130.0), then_s=150.0, grows=False),
)
_FEW = 50
"""So many workers meet what one fleet meets; twice as many meet twice as much."""


class Incidents:
    """Tells second after second what goes wrong."""

    def __init__(self, random: np.random.Generator, *, workers: int) -> None:
        self._random = random
        self._hurry = max(1.0, workers / _FEW)
        self._next = [random.uniform(*rhythm.first_s) for rhythm in _RHYTHMS]

    def due(self, second: int) -> list[Incident]:
        """Return what happens up to that second and was not told before."""
        happening: list[Incident] = []
        for i, rhythm in enumerate(_RHYTHMS):
            while self._next[i] <= second:
                happening.append(rhythm.what)
                self._next[i] += (10.0 + self._random.exponential(rhythm.then_s)) / (
                    self._hurry if rhythm.grows else 1.0
                )
        return happening
