"""How long the measured tests would take on another number of workers, laid out longest first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from drmviz.analysis.tests import TestTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The measured tests of a run, and the time around them that no schedule removes."""

    durations_s: tuple[float, ...]
    """Longest first; a rerun belongs to its test."""
    workers: int
    """That ran at least one test."""
    span_s: float
    """From the start of the first test to the end of the last."""
    between_s: float
    """Time between tests, mean of the workers."""

    def expected_s(self, workers: int) -> float:
        """Return the span to expect with that many workers and the longest tests first."""
        between_s = self.between_s * min(1.0, self.workers / workers) if workers else 0.0
        return longest_first(self.durations_s, workers) + between_s


def longest_first(durations_s: Iterable[float], workers: int) -> float:
    """Return when the last worker is through if each free worker takes the longest test that is left."""
    free_at_s = [0.0] * max(1, workers)
    for duration_s in sorted(durations_s, reverse=True):
        heapq.heapreplace(free_at_s, free_at_s[0] + duration_s)
    return max(free_at_s)


def schedule(table: TestTable) -> Schedule | None:
    """Return how the tests were laid out; None without tests."""
    if table.first_start_s is None or table.last_end_s is None:
        return None
    durations = sorted((sum(task.duration_s for task in row.attempts) for row in table.rows), reverse=True)
    ran = [worker for worker in table.by_worker if worker.tests]
    last_s: dict[str, float] = {}
    for row in table.rows:
        last_s[row.last.worker] = max(last_s.get(row.last.worker, row.last.ended_at_s), row.last.ended_at_s)
    between = [max(0.0, last_s[worker.worker] - table.first_start_s - worker.seconds) for worker in ran]
    return Schedule(
        durations_s=tuple(durations),
        workers=len(ran),
        span_s=table.last_end_s - table.first_start_s,
        between_s=sum(between) / len(between),
    )
