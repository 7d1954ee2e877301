"""Runs the simulated tests: queues them, reserves for them, lets them end, and loses those of a worker that is gone."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

import numpy as np

from drmviz.manager import DynamicResourceManager
from drmviz.manager.numbered_log import NumberedLog
from drmviz.model.metrics import FloatArray
from drmviz.model.tasks import Task
from drmviz.simulation.load import KINDS, Arrival, Kind, Load
from drmviz.simulation.meters import Meters

_PATIENCE_S = 60.0
"""Where tests wait for longer than about that, people start no more of them."""
_MOST_SECONDS = 300
"""Of a fleet that slept, what arrived before that is not looked at."""
_REMEMBERED = 100_000
_LARGEST_FIRST = sorted(KINDS, key=lambda kind: (-kind.gpus, -kind.memory_bytes))
_CORES_KEPT_PER_GPU = max(kind.cpu_cores for kind in KINDS if kind.gpus)
"""A GPU without a core to feed it is of no use: other tests leave so much free beside an idle one."""
_A_BIT = 0.26
"""Of its cores; a worker is filled that far before the next one is begun."""
_MIB = 2**20


@dataclass(slots=True, kw_only=True)
class _Running:
    test: Arrival
    worker_id: str
    slot: int
    reservation_id: str
    started_s: float
    is_over: bool = False


class Runner:
    """What waits, what runs, and what has ended; its times are seconds since the fleet began."""

    def __init__(
        self,
        manager: DynamicResourceManager,
        meters: Meters,
        load: Load,
        random: np.random.Generator,
        *,
        began_at_s: float,
    ) -> None:
        self._manager, self._meters, self._load, self._random = manager, meters, load, random
        self._began_at_s = began_at_s
        self._queues: dict[str, deque[Arrival]] = {kind.stem: deque() for kind in KINDS}
        self._most_waiting = {kind.stem: max(8, round(load.rate(kind) * _PATIENCE_S)) for kind in KINDS}
        self._ends: list[tuple[float, int, _Running]] = []
        self._on: dict[int, dict[int, _Running]] = {}
        self._started = 0
        self.worker_ids: dict[int, str] = {}
        """Who is in which slot."""
        self._ended = NumberedLog[Task](_REMEMBERED)

    @property
    def waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    def is_idle(self, slot: int) -> bool:
        return not self._on.get(slot)

    def ended_since(self, n: int) -> tuple[tuple[Task, ...], int]:
        """Return the tests that ended after the first `n`, and what to ask with next time."""
        return self._ended.since(n)

    def begin(self) -> None:
        """Start what would be running by now, had tests been started before."""
        for age_s in range(round(self._load.longest_s), 0, -1):
            for test in self._load.arrivals(-age_s):
                if test.duration_s > age_s:
                    self._wait(test._replace(duration_s=test.duration_s - age_s))
        self._start_waiting(0.0)

    def start_tests(self, seconds: range, now_s: float) -> None:
        """Queue what arrives in those seconds, and start what finds room, the largest first."""
        for second in seconds[-_MOST_SECONDS:]:
            for test in self._load.arrivals(second):
                self._wait(test)
        self._start_waiting(now_s)

    def _wait(self, test: Arrival) -> None:
        queue = self._queues[test.kind.stem]
        if len(queue) < self._most_waiting[test.kind.stem]:
            queue.append(test)

    def _start_waiting(self, now_s: float) -> None:
        liking = 0.12 * self._random.random(len(self._meters.cores))
        for kind in _LARGEST_FIRST:
            queue = self._queues[kind.stem]
            while queue and (slot := self._place(kind, liking)) is not None and self._start(queue[0], slot, now_s):
                queue.popleft()
            if kind.gpus and queue and not self._meters.gpu_memory.any():
                # It is refused, and that tells the manager what is missing.
                self._manager.reserve_resources(queue[0].task_id, _requirements(kind))

    def end_tests(self, now_s: float) -> None:
        """End the tests whose time is over."""
        while self._ends and self._ends[0][0] <= now_s:
            ended_s, number, running = heapq.heappop(self._ends)
            if running.is_over:
                continue
            del self._on[running.slot][number]
            self._manager.release_resources(running.reservation_id)
            self._meters.add(running.slot, running.test, -1)
            self._end(running, ended_s, running.test.outcome)

    def lose(self, slot: int, now_s: float) -> None:
        """End the tests of a worker that is gone; they are started again elsewhere, as is usual."""
        for running in self._on.pop(slot, {}).values():
            running.is_over = True
            self._end(running, now_s, "crashed")
            again = running.test._replace(attempt=running.test.attempt + 1)
            self._queues[again.kind.stem].appendleft(again)

    def _place(self, kind: Kind, liking: FloatArray) -> int | None:
        """Return the slot for a test: where a bit runs already, so that others may go, else where least runs."""
        meters = self._meters
        free = meters.free_cores if kind.gpus else meters.free_cores - _CORES_KEPT_PER_GPU * meters.free_gpus
        has_room = (
            (free >= kind.cpu_cores) & (meters.free_memory >= kind.memory_bytes) & (meters.free_gpus >= kind.gpus)
        )
        if not has_room.any():
            return None
        reserved = 1 - free / np.maximum(meters.cores, 1)
        rank = np.where(reserved < _A_BIT, 1 + reserved, 1 - reserved) + liking
        return int(np.argmax(np.where(has_room, rank, -1.0)))

    def _start(self, test: Arrival, slot: int, now_s: float) -> bool:
        """Start a test, or return False where somebody else reserved what the meters say is free."""
        requirements = {**_requirements(test.kind), "worker_id": self.worker_ids[slot]}
        reservation_id = self._manager.reserve_resources(test.task_id, requirements)
        if reservation_id is None:
            return False
        self._started += 1
        running = _Running(
            test=test,
            worker_id=self.worker_ids[slot],
            slot=slot,
            reservation_id=reservation_id,
            started_s=now_s,
        )
        self._meters.add(slot, test)
        self._on.setdefault(slot, {})[self._started] = running
        heapq.heappush(self._ends, (now_s + test.duration_s, self._started, running))
        return True

    def _end(self, running: _Running, ended_s: float, outcome: str) -> None:
        test, crashed = running.test, outcome == "crashed"
        used = self._meters.thrift(running.slot)
        lasted_s = ended_s - running.started_s
        self._ended.append(
            Task(
                name=test.name,
                worker=running.worker_id,
                outcome=outcome,
                started_at_s=self._began_at_s + running.started_s,
                ended_at_s=self._began_at_s + ended_s,
                cpu_s=None if crashed else lasted_s * test.kind.cpu_cores * test.cpu_use * used,
                memory_bytes=None if crashed else round(test.kind.memory_bytes * test.memory_use * used),
                attempt=test.attempt,
            )
        )


def _requirements(kind: Kind) -> dict[str, int]:
    return {"cpu_cores": kind.cpu_cores, "memory_mb": kind.memory_bytes // _MIB, "gpus": kind.gpus}
