"""Every change of a ledger as an event, and the state that those events lead to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from drmviz.manager.amounts import NOTHING, Amounts
from drmviz.manager.reservations import Reservation
from drmviz.model.resources import UNKNOWN_CAPACITY, WorkerCapacity


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStood:
    """A worker joined, or has another capacity or other labels than before."""

    at_s: float
    worker_id: str
    capacity: WorkerCapacity = UNKNOWN_CAPACITY
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLeft:
    """A worker is gone; what it held is told of by events before this one."""

    at_s: float
    worker_id: str
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationStood:
    """A reservation was granted, renewed or ended: it is as it stands here."""

    at_s: float
    reservation: Reservation


Event = WorkerStood | WorkerLeft | ReservationStood


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerState:
    """Who is there, and who holds what."""

    workers: dict[str, tuple[WorkerCapacity, tuple[tuple[str, str], ...]]] = field(default_factory=dict)
    active: dict[str, Reservation] = field(default_factory=dict)

    def reserved(self, worker_id: str) -> Amounts:
        """Return the sum of what is reserved on a worker."""
        total = NOTHING
        for reservation in self.active.values():
            if reservation.worker_id == worker_id:
                total = total.plus(reservation.amounts)
        return total


def replay(events: Iterable[Event]) -> LedgerState:
    """Return the state that a ledger is in after these events, from an empty one on."""
    state = LedgerState()
    for event in events:
        match event:
            case WorkerStood():
                state.workers[event.worker_id] = (event.capacity, event.labels)
            case WorkerLeft():
                del state.workers[event.worker_id]
            case ReservationStood(reservation=reservation) if reservation.state == "active":
                state.active[reservation.id] = reservation
            case ReservationStood(reservation=reservation):
                del state.active[reservation.id]
    return state
