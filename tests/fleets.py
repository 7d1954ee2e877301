"""Fleets that change, with every number known: what the store is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import numpy as np

from drmviz.model.metrics import METRICS, Metric, Statistic
from drmviz.model.roster import RosterTracker
from drmviz.model.samples import Reading, Tick
from drmviz.model.workers import RosterEntry
from drmviz.store import Writer
from drmviz.store.pages import connect

START_S = 1_790_000_100.0  # 300 s before the end of a block


@dataclass
class KnownFleet:
    """Remembers each sample that it hands out: (time in microseconds, worker, metric) -> value."""

    seed: int = 1
    tracker: RosterTracker = field(default_factory=RosterTracker)
    samples: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def tick(self, at_s: float, workers: Sequence[str], *, incarnation: int = 0, missing: float = 0.1) -> Tick:
        entries = tuple(RosterEntry(id=worker, pid=1000 + incarnation) for worker in workers)
        values = self.random.random((len(METRICS), len(entries))).astype(np.float32)
        values[self.random.random(values.shape) < missing] = np.nan
        for i, worker in enumerate(workers):
            self.samples[round(at_s * 1e6), worker] = values[:, i]
        reading = Reading(taken_at_s=at_s, entries=entries, values=values)
        return self.tracker.observe([reading], at_s=at_s, wall_s=at_s)

    def expected(
        self, metric: Metric, statistic: Statistic, *, workers: Sequence[str], starts_at_s: np.ndarray, width_s: float
    ) -> np.ndarray:
        """Compute the picture sample by sample, as slowly and plainly as possible."""
        row = METRICS.index(metric)
        width_us, first_us = round(width_s * 1e6), round(float(starts_at_s[0]) * 1e6)
        cells: dict[tuple[int, int], list[float]] = {}
        for (at_us, worker), values in self.samples.items():
            column = (at_us - first_us) // width_us
            if worker in workers and 0 <= column < len(starts_at_s) and not np.isnan(values[row]):
                cells.setdefault((workers.index(worker), column), []).append(float(values[row]))
        grid = np.full((len(workers), len(starts_at_s)), np.nan)
        for place, numbers in cells.items():
            grid[place] = np.mean(numbers) if statistic == "mean" else {"min": min, "max": max}[statistic](numbers)
        return grid


def written(path: Path, ticks: Sequence[Tick], *, interval_s: float = 1.0, title: str = "a run") -> None:
    """Write ticks as one closed run."""
    with Writer.open(path) as writer:
        recording = writer.begin(title=title, started_at_s=ticks[0].at_s, interval_s=interval_s)
        for tick in ticks:
            recording.append(tick)
        recording.finish(ticks[-1].at_s)
        while writer.advance_sealing(1.0):  # all of it, however busy the machine is
            pass


@contextmanager
def altered(path: Path) -> Iterator[apsw.Connection]:
    """Change a store behind its back, as its own writer would: the checksums of its pages stay right."""
    connection = connect(str(path))
    try:
        with connection:
            yield connection
    finally:
        connection.close()
