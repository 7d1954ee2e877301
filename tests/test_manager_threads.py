"""Many threads at one manager: nothing is granted twice, and the same test without the lock fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest

from drmviz.manager import DynamicResourceManager
from drmviz.system import SystemClock

THREADS = 64
CORES = 10


class YieldingClock(SystemClock):
    """Lets another thread run whenever somebody asks for the time."""

    def monotonic_s(self) -> float:
        time.sleep(0)
        return super().monotonic_s()


@dataclass
class Crowd:
    """Threads that begin at one moment, and what went wrong in them."""

    errors: list[BaseException] = field(default_factory=list)

    def run(self, *works: Callable[[], object]) -> None:
        barrier = threading.Barrier(len(works))

        def begin(work: Callable[[], object]) -> None:
            barrier.wait()
            try:
                work()
            except Exception as error:  # noqa: BLE001  it is told to the test
                self.errors.append(error)

        threads = [threading.Thread(target=begin, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@pytest.fixture
def manager() -> Iterator[DynamicResourceManager]:
    before = threading.active_count()
    with DynamicResourceManager(clock=YieldingClock()) as made:
        for name in "ab":
            made.register_worker(name, {"cpu_cores": CORES // 2})
        yield made
    assert threading.active_count() == before


def reserve_and_release(manager: DynamicResourceManager, rounds: int) -> tuple[list[int], Crowd]:
    """Let 64 threads take and give one core at a time; return the most that was seen reserved of each worker."""
    crowd, most = Crowd(), [0]

    def work() -> None:
        for _ in range(rounds):
            held = manager.reserve_resources("t", {"cpu_cores": 1, "ttl_s": 60})
            most.append(max(worker.reserved.cpu_millicores for worker in manager.snapshot().workers))
            if held is not None and not manager.release_resources(held):
                raise AssertionError("somebody else gave back what was mine")

    crowd.run(*[work] * THREADS)
    return most, crowd


def grants_of_one_rush(manager: DynamicResourceManager) -> int:
    """Let 64 threads ask for one core at once; return how many got one."""
    granted: list[str] = []

    def work() -> None:
        held = manager.reserve_resources("t", {"cpu_cores": 1})
        if held is not None:
            granted.append(held)

    crowd = Crowd()
    crowd.run(*[work] * THREADS)
    return len(granted) + len(crowd.errors)


def test_a_rush_gets_what_there_is_and_nobody_more(manager: DynamicResourceManager) -> None:
    for _ in range(5):
        assert grants_of_one_rush(manager) == CORES
        for name in "ab":
            assert len(manager.deregister_worker(name)) == CORES // 2
            manager.register_worker(name, {"cpu_cores": CORES // 2})


def test_taking_and_giving_back_never_exceeds_a_worker_and_ends_at_nothing(manager: DynamicResourceManager) -> None:
    most, crowd = reserve_and_release(manager, rounds=10)

    assert crowd.errors == []
    assert max(most) == CORES // 2 * 1000
    assert [worker.reserved.cpu_millicores for worker in manager.snapshot().workers] == [0, 0]
    assert manager.get_worker_statistics()["active_tasks"] == 0


def test_without_the_lock_the_same_rush_is_granted_too_much(manager: DynamicResourceManager) -> None:
    manager._lock = nullcontext()
    rushes = []
    for _ in range(20):
        rushes.append(grants_of_one_rush(manager))
        if rushes[-1] > CORES:
            break
        manager = DynamicResourceManager(clock=YieldingClock())
        manager._lock = nullcontext()
        for name in "ab":
            manager.register_worker(name, {"cpu_cores": CORES // 2})

    assert max(rushes) > CORES


def test_without_the_lock_taking_and_giving_back_goes_wrong(manager: DynamicResourceManager) -> None:
    manager._lock = nullcontext()

    most, crowd = reserve_and_release(manager, rounds=10)

    assert max(most) > CORES // 2 * 1000 or crowd.errors


def test_everything_at_once_leaves_a_consistent_fleet(manager: DynamicResourceManager) -> None:
    stop_at_s = time.monotonic() + 1.5
    seen: list[dict[str, Any]] = []

    def forever(work: Callable[[int], object]) -> Callable[[], None]:
        def run() -> None:
            i = 0
            while time.monotonic() < stop_at_s:
                work(i)
                i += 1

        return run

    def come_and_go(i: int) -> None:
        manager.register_worker("guest", {"cpu_cores": 3})
        manager.reserve_resources("t", {"cpu_cores": 3, "worker_id": "guest"})
        manager.deregister_worker("guest")

    def gang(i: int) -> None:
        for held in manager.reserve_many([(f"g{i}", {"cpu_cores": 0.5, "ttl_s": 0.001})] * 3) or ():
            manager.renew_reservation(held, 0.01)

    crowd = Crowd()
    crowd.run(
        forever(come_and_go),
        forever(gang),
        forever(lambda i: manager.record_usage("ab"[i % 2], cpu_ratio=i % 10 / 10)),
        forever(lambda i: manager.evaluate_scaling()),
        forever(lambda i: seen.append(manager.get_worker_statistics())),
        forever(lambda i: manager.record_task_execution(f"t{i}", {"duration_s": 1})),
    )

    assert crowd.errors == []
    for stated in seen:
        workers = stated["workers"].values()
        assert stated["total_workers"] == len(workers)
        assert stated["resource_reservations"] == sum(worker["reservations"] for worker in workers)
        assert all(worker["resources"]["cpu"]["available_cores"] >= 0 for worker in workers)
    assert len(manager.changes_since(0)[0]) >= 4
