"""Which worker a demand goes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from drmviz.manager.amounts import NOTHING, Amounts


class _Room(NamedTuple):
    capacity: Amounts
    free: Amounts


class BestFit:
    """Places a demand where it leaves least: large rooms stay whole for what needs them.

    What is left is counted by the resource that gets scarcest, among those that the demand asks for, as a share of
    the worker's capacity. Of equals the first by id is taken, so the same questions have the same answers.
    """

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}

    def put(self, worker_id: str, *, capacity: Amounts, free: Amounts) -> None:
        """Say what a worker has and what of it is free; again, whenever one of them changes."""
        self._rooms[worker_id] = _Room(capacity, free)

    def drop(self, worker_id: str) -> None:
        del self._rooms[worker_id]

    def choose(
        self, demand: Amounts, *, only: str | None = None, taken: Mapping[str, Amounts] | None = None
    ) -> str | None:
        """Return the worker to take, None exactly when the demand fits into none of them.

        `only` names the one worker that will do; `taken` is what is spoken for besides, by worker.
        """
        asked = [(index, amount) for index, amount in enumerate(demand) if amount]
        best: tuple[float, str] | None = None
        for worker_id in self._rooms if only is None else (only,):
            capacity, free = self._rooms[worker_id]
            if taken:
                free = free.minus(taken.get(worker_id, NOTHING))
            least = 1.0
            for index, amount in asked:
                left = free[index] - amount
                if left < 0:
                    break
                least = min(least, left / capacity[index])
            else:
                if best is None or (least, worker_id) < best:
                    best = (least, worker_id)
        return None if best is None else best[1]
