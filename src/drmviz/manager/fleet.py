"""Workers, what they hold and what was measured of them, kept in step with each other and with the clock.

It takes no lock: whoever owns it lets one caller in at a time, and calls `settle` first.
"""

from __future__ import annotations

from drmviz.manager.capacities import Demand
from drmviz.manager.ledger import BookedWorker, Ledger
from drmviz.manager.load import MeasuredLoad, ReservedLoad
from drmviz.manager.reservations import Reservation
from drmviz.manager.snapshot import FleetSnapshot, WorkerSnapshot
from drmviz.manager.usage import Usage
from drmviz.model.resources import WorkerCapacity
from drmviz.system import Clock

Labels = tuple[tuple[str, str], ...]


class Fleet:
    """The state of a manager; what changes a sum is remembered as a step of the load."""

    def __init__(self, clock: Clock, *, window_s: float, stale_after_s: float, keep_log: bool) -> None:
        self._clock = clock
        self.ledger = Ledger(clock, keep_log=keep_log)
        self.measured = MeasuredLoad(window_s, stale_after_s=stale_after_s)
        self.reserved = ReservedLoad(window_s)

    def settle(self) -> float:
        """Do what is due, each at the moment when it was due, and return the monotonic time."""
        now_s = self._clock.monotonic_s()
        while (expired_at_s := self.ledger.expire_next(now_s)) is not None:
            self._step(expired_at_s)
        self.measured.settle(now_s)
        return now_s

    def join(self, worker_id: str, capacity: WorkerCapacity, labels: Labels, *, now_s: float) -> None:
        self.ledger.join(worker_id, capacity, labels)
        self._step(now_s)

    def change(self, worker: BookedWorker, capacity: WorkerCapacity, labels: Labels, *, now_s: float) -> None:
        self.ledger.change(worker, capacity, labels)
        self.measured.resize(worker.id, capacity, now_s)
        self._step(now_s)

    def leave(self, worker: BookedWorker, *, why: str | None, now_s: float) -> tuple[Reservation, ...]:
        lost = self.ledger.leave(worker, why=why)
        self.measured.forget(worker.id, now_s)
        self._step(now_s)
        return lost

    def reserve(self, asked: list[tuple[str, Demand]], *, now_s: float) -> tuple[Reservation, ...] | None:
        granted = self.ledger.reserve(asked)
        self._step(now_s)
        return granted

    def release(self, reservation_id: str, *, now_s: float) -> bool:
        is_released = self.ledger.release(reservation_id)
        self._step(now_s)
        return is_released

    def record(self, worker_id: str, usage: Usage, *, now_s: float) -> None:
        self.measured.record(worker_id, usage, self.ledger.worker(worker_id).capacity, now_s)

    def snapshot(self) -> FleetSnapshot:
        """Return everything as it was at the last `settle`."""
        return FleetSnapshot(
            taken_at_s=self._clock.wall_s(),
            workers=tuple(self._snapshot_of(worker) for worker in self.ledger.workers.values()),
            active_tasks=self.ledger.active_tasks,
            active_reservations=self.ledger.active_reservations,
        )

    def snapshot_of(self, worker_id: str) -> WorkerSnapshot:
        """Return one worker as it was at the last `settle`."""
        return self._snapshot_of(self.ledger.worker(worker_id))

    def _snapshot_of(self, worker: BookedWorker) -> WorkerSnapshot:
        return WorkerSnapshot(
            id=worker.id,
            capacity=worker.capacity,
            reserved=worker.reserved,
            usage=self.measured.usage(worker.id),
            tasks=len(worker.tasks),
            reservations=len(worker.reservations),
            labels=worker.labels,
            joined_at_s=worker.joined_at_s,
        )

    def _step(self, at_s: float) -> None:
        self.reserved.set(self.ledger.reserved, self.ledger.room, at_s)
