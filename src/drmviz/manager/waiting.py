"""Requests that found no room, for as long as they speak for a larger fleet."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from drmviz.manager.amounts import NOTHING, Amounts
from drmviz.manager.fleet_view import ROUNDING, Unplaced, WorkerType

_MOST = 1_000
"""Tasks that are remembered; of more, the last."""

Finder = Callable[[Amounts, dict[str, Amounts]], str | None]
"""Says which worker would take an amount, with so much spoken for besides."""


class _Refused(NamedTuple):
    first_s: float
    last_s: float
    amounts: Amounts


class WaitingRequests:
    """The last refused request of each task that has got nothing since."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._refused: OrderedDict[str, _Refused] = OrderedDict()  # the oldest first

    def refuse(self, task_id: str, amounts: Amounts, at_s: float) -> None:
        """Remember a task; one that asks again waits since it asked first, for what it asks now."""
        before = self._refused.pop(task_id, None)
        self._refused[task_id] = _Refused(before.first_s if before else at_s, at_s, amounts)
        if before is None and len(self._refused) > _MOST:
            self._refused.popitem(last=False)

    def serve(self, task_id: str) -> None:
        """Forget a task: it has got something."""
        self._refused.pop(task_id, None)

    def view(self, now_s: float, *, rooms: Iterable[Amounts], find: Finder) -> Unplaced:
        """Say how many find no room now, beside each other; `rooms` is what the workers have when empty."""
        while self._refused and next(iter(self._refused.values())).last_s < now_s - self._window_s:
            self._refused.popitem(last=False)
        if not self._refused:
            return Unplaced()
        unplaced = list[_Refused]()
        placeable = self._place(find, unplaced)
        waiting_s = now_s - min((refused.first_s for refused in unplaced), default=now_s)
        return _described(unplaced, set(rooms), placeable=placeable, waiting_s=min(waiting_s, self._window_s))

    def _place(self, find: Finder, unplaced: list[_Refused]) -> int:
        """Put those for which there is no room into `unplaced`, and return how many find some."""
        taken: dict[str, Amounts] = {}
        hopeless: set[Amounts] = set()  # what once finds no room finds none after more was taken
        placeable = 0
        for refused in self._refused.values():
            worker_id = None if refused.amounts in hopeless else find(refused.amounts, taken)
            if worker_id is None:
                hopeless.add(refused.amounts)
                unplaced.append(refused)
            else:
                taken[worker_id] = taken.get(worker_id, NOTHING).plus(refused.amounts)
                placeable += 1
        return placeable


def _described(unplaced: list[_Refused], rooms: set[Amounts], *, placeable: int, waiting_s: float) -> Unplaced:
    most = Amounts(*(max(column) for column in zip(*rooms, strict=True))) if rooms else NOTHING
    workers, counted, asked = 0.0, 0, NOTHING
    for refused in unplaced:
        share = min((refused.amounts.largest_share(room) for room in rooms), default=math.inf)
        if share <= 1 or not rooms or _is_without_gpus(refused.amounts, most):
            workers += share if share <= 1 else 0.0  # of another kind of worker nobody knows how much it holds
            counted += 1
            asked = asked.plus(refused.amounts)
    return Unplaced(
        requests=counted,
        workers=max(math.ceil(workers - ROUNDING), 1 if counted else 0),
        worker_type=_type_of(asked, most),
        waiting_s=waiting_s,
        placeable=placeable,
        oversize=len(unplaced) - counted,
    )


def _is_without_gpus(asked: Amounts, most: Amounts) -> bool:
    """Tell whether GPUs are asked for that no worker has: then another kind of worker is what is missing."""
    return bool((asked.gpu_count and not most.gpu_count) or (asked.gpu_memory_bytes and not most.gpu_memory_bytes))


def _type_of(asked: Amounts, most: Amounts) -> WorkerType:
    """Return what a worker for these must have most of."""
    if asked.gpu_count or asked.gpu_memory_bytes:
        return "gpu"
    cpu = Amounts(cpu_millicores=asked.cpu_millicores).largest_share(most)
    memory = Amounts(memory_bytes=asked.memory_bytes).largest_share(most)
    return "memory" if memory > cpu else "cpu"
