"""The book of who is there and who holds what: every grant and every end of one, in whole units.

It takes no lock: whoever owns it lets one caller in at a time.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from drmviz.errors import DuplicateWorkerError, InvalidValueError, UnknownReservationError, UnknownWorkerError
from drmviz.manager.amounts import NOTHING, Amounts
from drmviz.manager.capacities import Demand, in_their_units, name_of
from drmviz.manager.placement import BestFit
from drmviz.manager.replay import Event, LedgerState, ReservationStood, WorkerLeft, WorkerStood
from drmviz.manager.reservations import Reservation, State
from drmviz.model.resources import WorkerCapacity
from drmviz.system import Clock

REMEMBERED = 10_000
"""How many reservations that have ended can still be asked for."""


@dataclass(slots=True)
class BookedWorker:
    """One worker and what is taken of it."""

    id: str
    capacity: WorkerCapacity
    labels: tuple[tuple[str, str], ...]
    joined_at_s: float
    room: Amounts
    """What of its capacity can be granted: nothing of what is not known."""
    reserved: Amounts = NOTHING
    reservations: set[str] = field(default_factory=set)
    tasks: dict[str, int] = field(default_factory=dict)
    """Tasks that hold something here, and how many reservations each."""


class Ledger:
    """Workers and reservations; a call that fails leaves all of it as it was."""

    def __init__(self, clock: Clock, *, keep_log: bool = False) -> None:
        self._clock = clock
        self._placement = BestFit()
        self._workers: dict[str, BookedWorker] = {}
        self._active: dict[str, Reservation] = {}
        self._ended: OrderedDict[str, Reservation] = OrderedDict()
        self._deadlines: list[tuple[float, str]] = []
        self._granted = 0
        self._tasks: dict[str, int] = {}
        self._events: list[Event] | None = [] if keep_log else None
        self.room = NOTHING
        """What all workers together can grant."""
        self.reserved = NOTHING
        """What all active reservations together hold."""

    @property
    def workers(self) -> dict[str, BookedWorker]:
        """The workers by id, in the order of joining: to be read, not written."""
        return self._workers

    @property
    def events(self) -> Sequence[Event]:
        """Every change since the beginning, where a log is kept."""
        return self._events or ()

    @property
    def active_tasks(self) -> int:
        return len(self._tasks)

    @property
    def active_reservations(self) -> int:
        return len(self._active)

    def worker(self, worker_id: str) -> BookedWorker:
        """Return a worker that is there, or raise UnknownWorkerError."""
        worker = self._workers.get(worker_id)
        if worker is None:
            raise UnknownWorkerError(worker_id)
        return worker

    def join(self, worker_id: str, capacity: WorkerCapacity, labels: tuple[tuple[str, str], ...]) -> None:
        """Add a worker that holds nothing yet, whoever had this id before."""
        if worker_id in self._workers:
            raise DuplicateWorkerError(worker_id)
        now_s, room = self._clock.wall_s(), Amounts.of(capacity)
        self._workers[worker_id] = BookedWorker(worker_id, capacity, labels, now_s, room)
        self.room = self.room.plus(room)
        self._placement.put(worker_id, capacity=room, free=room)
        self._note(WorkerStood(at_s=now_s, worker_id=worker_id, capacity=capacity, labels=labels))

    def change(self, worker: BookedWorker, capacity: WorkerCapacity, labels: tuple[tuple[str, str], ...]) -> None:
        """Give a worker another capacity, which must hold what is reserved of it."""
        room = Amounts.of(capacity)
        for index, (has, holds) in enumerate(zip(room, worker.reserved, strict=True)):
            if has < holds:
                name, held = name_of(index), in_their_units(index, holds)
                reason = f"worker {worker.id!r} has {held:.12g} reserved; release some of it first"
                raise InvalidValueError(name, in_their_units(index, has), reason)
        self.room = self.room.minus(worker.room).plus(room)
        worker.capacity, worker.labels, worker.room = capacity, labels, room
        self._place(worker)
        self._note(
            WorkerStood(at_s=self._clock.wall_s(), worker_id=worker.id, capacity=capacity, labels=labels),
        )

    def leave(self, worker: BookedWorker, *, why: str | None) -> tuple[Reservation, ...]:
        """Take a worker out; what was reserved of it is lost, and returned."""
        now_s = self._clock.wall_s()
        reason = "its worker left" if why is None else f"its worker left: {why}"
        lost = tuple(
            self._end(self._active[reservation_id], "lost", ended_at_s=now_s, why=reason)
            for reservation_id in sorted(worker.reservations, key=_number)
        )
        del self._workers[worker.id]
        self._placement.drop(worker.id)
        self.room = self.room.minus(worker.room)
        self._note(WorkerLeft(at_s=now_s, worker_id=worker.id, why=why))
        return lost

    def reserve(self, requests: Iterable[tuple[str, Demand]]) -> tuple[Reservation, ...] | None:
        """Grant all of the requests, in their order, or none; None when there is no room.

        Several are placed largest first.
        """
        asked = list(requests)
        for _, demand in asked:
            if demand.worker_id is not None:
                self.worker(demand.worker_id)
        chosen = self._chosen([demand for _, demand in asked])
        if chosen is None:
            return None
        now_s = self._clock.monotonic_s()
        return tuple(
            self._grant(task_id, demand, self._workers[worker_id], now_s)
            for (task_id, demand), worker_id in zip(asked, chosen, strict=True)
        )

    def renew(self, reservation_id: str, ttl_s: float | None) -> bool:
        """Let an active reservation hold for so long from now on; False for any other."""
        reservation = self._active.get(reservation_id)
        if reservation is None:
            return False
        deadline_s = None if ttl_s is None else self._clock.monotonic_s() + ttl_s
        self._keep(replace(reservation, ttl_s=ttl_s, expires_at_monotonic_s=deadline_s))
        return True

    def release(self, reservation_id: str) -> bool:
        """Give back what an active reservation holds; False for any other."""
        reservation = self._active.get(reservation_id)
        if reservation is None:
            return False
        self._end(reservation, "released", ended_at_s=self._clock.wall_s(), why=None)
        return True

    def expire_next(self, now_s: float) -> float | None:
        """End the next reservation whose time is over at this monotonic moment and return when it was, or None.

        The wall time of its end is reckoned back from now.
        """
        while self._deadlines and self._deadlines[0][0] <= now_s:
            deadline_s, reservation_id = heapq.heappop(self._deadlines)
            reservation = self._active.get(reservation_id)
            if reservation is not None and reservation.expires_at_monotonic_s == deadline_s:
                why = f"its {reservation.ttl_s:g} s were over"
                self._end(reservation, "expired", ended_at_s=self._clock.wall_s() - (now_s - deadline_s), why=why)
                return deadline_s
        return None

    def reservation(self, reservation_id: str) -> Reservation:
        """Return a reservation that is active, or one of the last that ended."""
        found = self._active.get(reservation_id) or self._ended.get(reservation_id)
        if found is None:
            raise UnknownReservationError(reservation_id, remembered=REMEMBERED)
        return found

    def find_room(self, amounts: Amounts, taken: dict[str, Amounts]) -> str | None:
        """Return which worker would take this, with so much spoken for besides; None where none would."""
        return self._placement.choose(amounts, taken=taken)

    def state(self) -> LedgerState:
        """Return a copy of who is there and who holds what."""
        workers = {worker.id: (worker.capacity, worker.labels) for worker in self._workers.values()}
        return LedgerState(workers=workers, active=dict(self._active))

    def _chosen(self, demands: list[Demand]) -> list[str] | None:
        """Return a worker for each demand, or None when one of them finds no room beside the others."""
        if len(demands) == 1:
            worker_id = self._placement.choose(demands[0].amounts, only=demands[0].worker_id)
            return None if worker_id is None else [worker_id]
        chosen: dict[int, str] = {}
        taken: dict[str, Amounts] = {}
        named_first_then_largest = sorted(
            range(len(demands)),
            key=lambda i: (demands[i].worker_id is None, -demands[i].amounts.largest_share(self.room), i),
        )
        for i in named_first_then_largest:
            worker_id = self._placement.choose(demands[i].amounts, only=demands[i].worker_id, taken=taken)
            if worker_id is None:
                return None
            chosen[i] = worker_id
            taken[worker_id] = taken.get(worker_id, NOTHING).plus(demands[i].amounts)
        return [chosen[i] for i in range(len(demands))]

    def _grant(self, task_id: str, demand: Demand, worker: BookedWorker, now_s: float) -> Reservation:
        self._granted += 1
        reservation = Reservation(
            id=f"reservation-{self._granted}",
            task_id=task_id,
            worker_id=worker.id,
            amounts=demand.amounts,
            reserved_at_s=self._clock.wall_s(),
            ttl_s=demand.ttl_s,
            expires_at_monotonic_s=None if demand.ttl_s is None else now_s + demand.ttl_s,
        )
        worker.reserved = worker.reserved.plus(demand.amounts)
        self.reserved = self.reserved.plus(demand.amounts)
        worker.reservations.add(reservation.id)
        for tasks in (worker.tasks, self._tasks):
            tasks[task_id] = tasks.get(task_id, 0) + 1
        self._place(worker)
        self._keep(reservation)
        return reservation

    def _keep(self, reservation: Reservation) -> None:
        self._active[reservation.id] = reservation
        if reservation.expires_at_monotonic_s is not None:
            heapq.heappush(self._deadlines, (reservation.expires_at_monotonic_s, reservation.id))
            if len(self._deadlines) > 2 * len(self._active) + 64:  # mostly of what was renewed or has ended
                self._deadlines = [
                    (each.expires_at_monotonic_s, each.id)
                    for each in self._active.values()
                    if each.expires_at_monotonic_s is not None
                ]
                heapq.heapify(self._deadlines)
        self._note(ReservationStood(at_s=self._clock.wall_s(), reservation=reservation))

    def _end(self, reservation: Reservation, state: State, *, ended_at_s: float, why: str | None) -> Reservation:
        ended = replace(reservation, state=state, ended_at_s=ended_at_s, why=why)
        worker = self._workers[reservation.worker_id]
        worker.reserved = worker.reserved.minus(reservation.amounts)
        self.reserved = self.reserved.minus(reservation.amounts)
        worker.reservations.remove(reservation.id)
        for tasks in (worker.tasks, self._tasks):
            tasks[reservation.task_id] -= 1
            if not tasks[reservation.task_id]:
                del tasks[reservation.task_id]
        self._place(worker)
        del self._active[reservation.id]
        self._ended[reservation.id] = ended
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        self._note(ReservationStood(at_s=ended_at_s, reservation=ended))
        return ended

    def _place(self, worker: BookedWorker) -> None:
        self._placement.put(worker.id, capacity=worker.room, free=worker.room.minus(worker.reserved))

    def _note(self, event: Event) -> None:
        if self._events is not None:
            self._events.append(event)


def _number(reservation_id: str) -> int:
    return int(reservation_id.rpartition("-")[2])
