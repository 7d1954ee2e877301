"""The workers of a Dask cluster, kept in a DynamicResourceManager."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from drmviz.manager import DynamicResourceManager
from drmviz.model.decisions import ScalingDecision
from drmviz.model.samples import Reading
from drmviz.sources.dask.workers import Life, Load

_MOST_WAITING = 200
"""Waiting tasks that are asked for one by one: a fleet doubles at most, so more of them change nothing."""


class ManagedWorkers:
    """Registers who is there, says what they use, reserves the threads that tasks hold, asks for more of them."""

    def __init__(self, manager: DynamicResourceManager) -> None:
        self.manager = manager
        self._lives: dict[str, Life] = {}
        self._held: dict[str, str] = {}
        """Reservation of the running tasks, by worker id."""
        self._granted: list[str] = []
        """Reservations of waiting tasks."""

    def follow(self, lives: Mapping[str, Life], reading: Reading, load: Load) -> None:
        """Bring the manager to what a reading of the cluster tells.

        Raises:
            ManagerClosedError: it was closed.
            DuplicateWorkerError: somebody else registered a worker of the same id.
        """
        manager = self.manager
        for worker_id, life in list(self._lives.items()):
            if worker_id not in lives or not lives[worker_id].is_same_as(life):
                self._held.pop(worker_id, None)
                del self._lives[worker_id]
                manager.deregister_worker(worker_id)
        for worker_id, life in lives.items():
            if worker_id not in self._lives:
                manager.register_worker(worker_id, life.entry.capacity, labels=dict(life.entry.labels))
            self._lives[worker_id] = life
        self._record(reading)
        self._hold(reading)
        self._ask_for(load)

    def names_of(self, decision: ScalingDecision, lives: Mapping[str, Life]) -> list[Hashable]:
        """Return the workers that a decision lets go, as Dask knows them."""
        return [lives[worker_id].name for worker_id in decision.worker_ids if worker_id in lives]

    def _record(self, reading: Reading) -> None:
        for column, entry in enumerate(reading.entries):
            has = entry.capacity
            self.manager.record_usage(
                entry.id,
                cpu_ratio=_known(reading["cpu_ratio"][column]),
                memory_bytes=_amount(reading["memory_ratio"][column], has.memory_bytes),
                gpu_ratio=_known(reading["gpu_ratio"][column]) if has.gpu_count else None,
                gpu_memory_bytes=_amount(reading["gpu_memory_ratio"][column], has.gpu_memory_bytes),
            )

    def _hold(self, reading: Reading) -> None:
        """Reserve the threads that tasks hold: a worker with a task is not let go."""
        for reservation in self._granted:
            self.manager.release_resources(reservation)
        self._granted = []
        for column, entry in enumerate(reading.entries):
            held = self._held.pop(entry.id, None)
            if held is not None:
                self.manager.release_resources(held)
            share, cores = _known(reading["cpu_reserved_ratio"][column]), entry.capacity.cpu_cores
            if not share or cores is None:
                continue
            wanted = {"cpu_cores": min(share, 1.0) * cores, "worker_id": entry.id}
            granted = self.manager.reserve_resources(f"running on {entry.id}", wanted)
            if granted is not None:
                self._held[entry.id] = granted

    def _ask_for(self, load: Load) -> None:
        """Ask for a thread for each waiting task: those that get none speak for a larger fleet.

        What the others get is theirs until the next reading, so that a decision in between counts none of it as free.
        """
        waiting = min((load.ready or 0) + (load.queued or 0), _MOST_WAITING)
        one: dict[str, Any] = {"cpu_cores": 1}
        asked = [self.manager.reserve_resources(f"waiting {number}", one) for number in range(waiting)]
        self._granted = [reservation for reservation in asked if reservation is not None]


def _known(ratio: float) -> float | None:
    return float(ratio) if np.isfinite(ratio) else None


def _amount(ratio: float, capacity: int | None) -> int | None:
    return round(float(ratio) * capacity) if capacity and np.isfinite(ratio) else None
