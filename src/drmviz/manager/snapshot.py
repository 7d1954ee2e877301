"""A whole fleet at one moment, frozen, and the plain dictionaries that statistics are promised as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drmviz.manager.amounts import NOTHING, Amounts
from drmviz.manager.capacities import MIB, whole_or_not
from drmviz.manager.load import reserved_ratios
from drmviz.manager.usage import NOT_MEASURED, Ratios, Usage, ratios_of, total, weights_of
from drmviz.model.resources import WorkerCapacity


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSnapshot:
    """One worker: what it has, what is reserved of it, what was measured."""

    id: str
    capacity: WorkerCapacity
    reserved: Amounts = NOTHING
    usage: Usage = NOT_MEASURED
    """What was last measured; nothing where that is too long ago."""
    tasks: int = 0
    """How many tasks hold something of it."""
    reservations: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    joined_at_s: float = 0.0
    """Seconds since the epoch."""

    @property
    def utilization(self) -> Ratios:
        """Measured use over capacity."""
        return ratios_of(self.usage, self.capacity)

    @property
    def allocation(self) -> Ratios:
        """Reserved over capacity."""
        return reserved_ratios(self.reserved, Amounts.of(self.capacity))


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSnapshot:
    """All workers, in the order of joining."""

    taken_at_s: float
    """Seconds since the epoch."""
    workers: tuple[WorkerSnapshot, ...]
    active_tasks: int
    active_reservations: int

    @property
    def utilization(self) -> Ratios:
        """The mean over the workers that have and know a resource, by how much of it they have."""
        if not self.workers:
            return Ratios()
        return total(weights_of(worker.usage, worker.capacity) for worker in self.workers).ratios

    @property
    def allocation(self) -> Ratios:
        """What is reserved of all that is known to be there."""
        reserved = room = NOTHING
        for worker in self.workers:
            reserved, room = reserved.plus(worker.reserved), room.plus(Amounts.of(worker.capacity))
        return reserved_ratios(reserved, room)

    def statistics(self) -> dict[str, Any]:
        """Return the snapshot as fresh dictionaries; memory in MiB, what is not known as None."""
        return {
            "total_workers": len(self.workers),
            "active_tasks": self.active_tasks,
            "resource_reservations": self.active_reservations,
            "overall_utilization": self.utilization.as_dict(),
            "overall_allocation": self.allocation.as_dict(),
            "workers": {worker.id: _statistics_of(worker) for worker in self.workers},
        }


def _statistics_of(worker: WorkerSnapshot) -> dict[str, Any]:
    has, taken = worker.capacity, worker.reserved
    cores, cores_left = _known(has.cpu_millicores, taken.cpu_millicores, 1000)
    memory, memory_left = _known(has.memory_bytes, taken.memory_bytes, MIB)
    gpus, gpus_left = _known(has.gpu_count, taken.gpu_count, 1)
    gpu_memory, gpu_memory_left = _known(has.gpu_memory_bytes, taken.gpu_memory_bytes, MIB)
    return {
        "utilization": worker.utilization.as_dict(),
        "allocation": worker.allocation.as_dict(),
        "tasks": worker.tasks,
        "reservations": worker.reservations,
        "labels": dict(worker.labels),
        "joined_at_s": worker.joined_at_s,
        "resources": {
            "cpu": {"cores": cores, "available_cores": cores_left},
            "memory": {"total_mb": memory, "available_mb": memory_left},
            "gpu": {
                "devices": gpus,
                "available_devices": gpus_left,
                "memory_mb": gpu_memory,
                "available_memory_mb": gpu_memory_left,
            },
        },
    }


def _known(has: int | None, taken: int, units: int) -> tuple[float | None, float | None]:
    return (None, None) if has is None else (whole_or_not(has, units), whole_or_not(has - taken, units))
