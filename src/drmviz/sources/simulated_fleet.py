"""The simulated fleet as an engine: reading it is what makes its world go on."""

from __future__ import annotations

import numpy as np

from drmviz.manager.snapshot import FleetSnapshot, WorkerSnapshot
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import ScalingPolicy
from drmviz.model.metrics import METRICS, FloatArray
from drmviz.model.samples import Reading
from drmviz.model.workers import RosterEntry
from drmviz.simulation import SimulatedCloud, SimulatedFleet


class SimulatedFleetSource:
    """Reads the workers, decisions, tests and providers of a simulated fleet."""

    name = "simulated"

    def __init__(self, fleet: SimulatedFleet | None = None) -> None:
        """Without a fleet: one of 20 workers, in real time."""
        self.fleet = fleet if fleet is not None else SimulatedFleet()
        self._cloud = SimulatedCloud(self.fleet)
        self._entries: dict[str, RosterEntry] = {}
        self._next_decision = self._next_change = self._next_task = 0
        self._told: dict[str, CloudUsage] = {}

    def policy(self) -> ScalingPolicy:
        """Return what the fleet is scaled by."""
        return self.fleet.manager.policy

    def read(self, now_s: float) -> Reading:
        self.fleet.advance()
        manager = self.fleet.manager
        fleet = manager.snapshot()
        decisions, self._next_decision = manager.decisions_since(self._next_decision)
        changes, self._next_change = manager.changes_since(self._next_change)
        tasks, self._next_task = self.fleet.tasks_since(self._next_task)
        return Reading(
            taken_at_s=now_s,
            entries=self._roster(fleet),
            values=_values(fleet),
            decisions=decisions,
            changes=changes,
            tasks=tasks,
            cloud=self._cloud_news(now_s),
        )

    def _roster(self, fleet: FleetSnapshot) -> tuple[RosterEntry, ...]:
        """Return the entries of the workers: the same objects for as long as they live."""
        known = self._entries
        self._entries = {
            worker.id: known.get(worker.id) or RosterEntry(id=worker.id, capacity=worker.capacity, labels=worker.labels)
            for worker in fleet.workers
        }
        return tuple(self._entries.values())

    def _cloud_news(self, now_s: float) -> tuple[CloudUsage, ...]:
        usages = [self._cloud.usage(provider, at_s=now_s) for provider in self._cloud.providers]
        news = [usage for usage in usages if not usage.says_the_same_as(self._told.get(usage.provider))]
        self._told.update((usage.provider, usage) for usage in news)
        return tuple(news)


def _values(fleet: FleetSnapshot) -> FloatArray:
    """Return float32 of shape (metrics, workers)."""
    rows = [_row(worker) for worker in fleet.workers]
    return np.array(rows, dtype=np.float32).reshape(len(rows), len(METRICS)).T.copy()


def _row(worker: WorkerSnapshot) -> tuple[float | None, ...]:
    """Return the metrics of one worker in their order; None becomes NaN."""
    has, taken, used = worker.capacity, worker.reserved, worker.usage
    has_gpu = bool(has.gpu_count)
    return (
        used.cpu_ratio,
        _share(used.memory_bytes, has.memory_bytes),
        used.gpu_ratio if has_gpu else None,
        _share(used.gpu_memory_bytes, has.gpu_memory_bytes),
        _share(taken.cpu_millicores, has.cpu_millicores),
        _share(taken.memory_bytes, has.memory_bytes),
        _share(taken.gpu_count, has.gpu_count),
        worker.tasks,
    )


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if whole and part is not None else None
