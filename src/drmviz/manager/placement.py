"""Which worker a demand goes to."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from drmviz.manager.amounts import NOTHING, Amounts


class _Room(NamedTuple):
    capacity: Amounts
    free: Amounts

    def left_by(self, asked: Iterable[tuple[int, int]]) -> float | None:
        """Return what is left of the resource that gets scarcest, as a share of the capacity; None: it does not fit."""
        least = 1.0
        for index, amount in asked:
            left = self.free[index] - amount
            if left < 0:
                return None
            least = min(least, left / self.capacity[index])
        return least


@dataclass(slots=True)
class _Class:
    """Workers of about the same capacity with about as much of it free, in the order of what is free of each resource.

    Those that are exactly alike stand in one place, so a fleet of equals is as quick as a single worker.
    """

    alike: dict[_Room, list[str]] = field(default_factory=dict)
    """Who has this room, in the order of their ids."""
    by_free: tuple[list[tuple[int, _Room]], ...] = field(default_factory=lambda: tuple([] for _ in NOTHING))
    largest: list[int] = field(default_factory=lambda: [0 for _ in NOTHING])
    """The largest capacity that was seen of each resource: no share is counted of more."""

    def bound(self, asked: Iterable[tuple[int, int]]) -> float | None:
        """Return what is left at least of the scarcest resource, whoever is taken; None where nobody has the room."""
        least = 1.0
        for index, amount in asked:
            places = self.by_free[index]
            if not places or places[-1][0] < amount:
                return None
            least = min(least, (places[0][0] - amount) / self.largest[index])
        return least

    def add(self, worker_id: str, room: _Room) -> None:
        alike = self.alike.get(room)
        if alike is not None:
            insort(alike, worker_id)
            return
        self.alike[room] = [worker_id]
        for index, capacity in enumerate(room.capacity):
            if capacity:
                insort(self.by_free[index], (room.free[index], room))
                self.largest[index] = max(self.largest[index], capacity)

    def remove(self, worker_id: str, room: _Room) -> None:
        alike = self.alike[room]
        del alike[bisect_left(alike, worker_id)]
        if alike:
            return
        del self.alike[room]
        for index, capacity in enumerate(room.capacity):
            if capacity:
                places = self.by_free[index]
                del places[bisect_left(places, (room.free[index], room))]

    def from_least_free(self, index: int, amount: int) -> Iterator[tuple[float, _Room]]:
        """Yield rooms with so much of a resource free, the fullest first, and the share that is left at least."""
        places, largest = self.by_free[index], self.largest[index]
        for place in range(bisect_left(places, (amount,)), len(places)):
            free, room = places[place]
            yield (free - amount) / largest, room


class BestFit:
    """Places a demand where it leaves least: large rooms stay whole for what needs them.

    What is left is counted by the resource that gets scarcest, among those that the demand asks for, as a share of
    the worker's capacity. Of equals the first by id is taken, so the same questions have the same answers.

    Workers are kept in classes of about the same room, and in a class in the order of what is free of each resource. A
    class without the room, or with more room than the best so far leaves, is passed over; in the others whoever is
    left the least of is, for one of the resources, the fullest that fits: a walk ends soon after the first that does.
    """

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}
        self._classes: dict[tuple[int, ...], _Class] = {}

    def put(self, worker_id: str, *, capacity: Amounts, free: Amounts) -> None:
        """Say what a worker has and what of it is free; again, whenever one of them changes."""
        if worker_id in self._rooms:
            self.drop(worker_id)
        room = _Room(capacity, free)
        self._rooms[worker_id] = room
        self._classes.setdefault(_class_of(room), _Class()).add(worker_id, room)

    def drop(self, worker_id: str) -> None:
        room = self._rooms.pop(worker_id)
        key = _class_of(room)
        self._classes[key].remove(worker_id, room)
        if not self._classes[key].alike:
            del self._classes[key]

    def choose(
        self, demand: Amounts, *, only: str | None = None, taken: Mapping[str, Amounts] | None = None
    ) -> str | None:
        """Return the worker to take, None exactly when the demand fits into none of them.

        `only` names the one worker that will do; `taken` is what is spoken for besides, by worker.
        """
        asked = [(index, amount) for index, amount in enumerate(demand) if amount]
        if not asked and only is None:
            return min(self._rooms, default=None)
        taken = taken or {}
        best: tuple[float, str] | None = None
        for worker_id in taken if only is None else (only,):
            capacity, free = self._rooms[worker_id]
            least = _Room(capacity, free.minus(taken.get(worker_id, NOTHING))).left_by(asked)
            if least is not None and (best is None or (least, worker_id) < best):
                best = (least, worker_id)
        if only is None:
            for each in self._classes.values():
                bound = each.bound(asked)
                if bound is not None and (best is None or bound <= best[0]):
                    best = _best_of(each, asked, taken, best)
        return None if best is None else best[1]


def _best_of(
    workers: _Class, asked: list[tuple[int, int]], taken: Mapping[str, Amounts], best: tuple[float, str] | None
) -> tuple[float, str] | None:
    """Return the better of `best` and the best of these workers, those aside that something is taken of."""
    for index, amount in asked:
        for at_least, room in workers.from_least_free(index, amount):
            if best is not None and at_least > best[0]:
                break
            least = room.left_by(asked)
            if least is None or (best is not None and least > best[0]):
                continue
            worker_id = next((each for each in workers.alike[room] if each not in taken), None)
            if worker_id is not None and (best is None or (least, worker_id) < best):
                best = (least, worker_id)
    return best


def _class_of(room: _Room) -> tuple[int, ...]:
    """Return what is equal for capacities that differ by less than an eighth, with about the same part of it free."""
    size = tuple((amount.bit_length() << 4) | (amount >> max(0, amount.bit_length() - 4)) for amount in room.capacity)
    return (*size, *(amount.bit_length() for amount in room.free))
