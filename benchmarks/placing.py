"""Reserving and releasing on a large fleet, beside a look at every worker."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from itertools import cycle
from typing import cast

from benchmarks.rows import Row, cpu_s, in_turn
from drmviz.manager import DynamicResourceManager
from drmviz.manager.amounts import NOTHING, Amounts
from drmviz.manager.placement import BestFit

WORKERS = 10_000
RESERVATIONS = 100_000
_PAIRS = 40
_ROUNDS = 5


def reserve_release(_workers: int, _ticks: int) -> Row:
    """Reserve and release on 10,000 workers that hold 100,000 reservations: the rate is to be 20 times a scan's."""
    ours, scanning = _filled(), _filled()
    placement = ScanningBestFit()
    for worker in scanning._fleet.ledger.workers.values():
        placement.put(worker.id, capacity=worker.room, free=worker.room.minus(worker.reserved))
    scanning._fleet.ledger._placement = cast("BestFit", placement)
    asked = cycle(_requirements(7, 200))

    def pairs(manager: DynamicResourceManager) -> None:
        for _ in range(_PAIRS):
            granted = manager.reserve_resources("a_task", next(asked))
            if granted is None or not manager.release_resources(granted):
                raise AssertionError("there is room for more")

    taken, baseline = in_turn(lambda: pairs(ours), lambda: pairs(scanning), rounds=_ROUNDS, clock=cpu_s)
    return Row(
        name="reserve_release",
        ours=taken / _PAIRS * 1e6,
        baseline=baseline / _PAIRS * 1e6,
        baseline_is="the same manager with a look at every worker",
        unit="us CPU/pair",
        target=1 / 20,
    )


@cache
def _requirements(seed: int, count: int) -> list[dict[str, float]]:
    seeded = random.Random(seed)
    return [{"cpu_cores": seeded.randrange(1, 9) / 4, "memory_mb": seeded.randrange(64, 2048)} for _ in range(count)]


def _filled() -> DynamicResourceManager:
    manager, seeded = DynamicResourceManager(), random.Random(3)
    for number in range(WORKERS):
        cores, total_mb = seeded.choice([(16, 32_768), (32, 65_536), (64, 262_144)])
        memory = {"total_mb": total_mb - seeded.randrange(64)}  # machines of one type differ by some of it
        manager.register_worker(f"worker-{number}", {"cpu": {"cores": cores}, "memory": memory})
    for number, requirements in enumerate(_requirements(5, RESERVATIONS)):
        if manager.reserve_resources(f"test-{number}", requirements) is None:
            raise AssertionError("there is room for all")
    return manager


class ScanningBestFit:
    """Looks at every worker for every demand."""

    def __init__(self) -> None:
        self._rooms: dict[str, tuple[Amounts, Amounts]] = {}

    def put(self, worker_id: str, *, capacity: Amounts, free: Amounts) -> None:
        self._rooms[worker_id] = (capacity, free)

    def drop(self, worker_id: str) -> None:
        del self._rooms[worker_id]

    def choose(
        self, demand: Amounts, *, only: str | None = None, taken: Mapping[str, Amounts] | None = None
    ) -> str | None:
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
