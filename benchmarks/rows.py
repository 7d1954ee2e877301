"""What a benchmark answers: ours beside a named baseline, measured in turn in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; `ratio` is ours / baseline and holds when it is at most `target`."""

    name: str
    ours: float
    baseline: float
    baseline_is: str
    unit: str
    target: float
    limit: float | None = None
    """Where a figure is promised in itself: what `ours` may be at most."""

    @property
    def ratio(self) -> float:
        return self.ours / self.baseline

    @property
    def holds(self) -> bool:
        return self.ratio <= self.target and (self.limit is None or self.ours <= self.limit)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "holds": self.holds}


def in_turn(
    ours: Callable[[], object], baseline: Callable[[], object], *, rounds: int, clock: Callable[[], float]
) -> tuple[float, float]:
    """Return the medians of both, measured A B A B after one round that is not counted."""
    taken: tuple[list[float], list[float]] = ([], [])
    for round_ in range(rounds + 1):
        for side, measured in zip((ours, baseline), taken, strict=True):
            begun = clock()
            side()
            if round_:
                measured.append(clock() - begun)
    return statistics.median(taken[0]), statistics.median(taken[1])


def cpu_s() -> float:
    return time.process_time()


def wall_s() -> float:
    return time.perf_counter()
