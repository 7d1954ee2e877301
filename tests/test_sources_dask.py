"""Dask clusters: read from outside, scaled by their owner, killed and back again."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drmviz.collector import Collector
from drmviz.errors import InvalidValueError, SourceUnavailableError, StoreError
from drmviz.manager import DynamicResourceManager
from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.model.samples import Reading
from drmviz.sources.dask import DaskFleet, DaskSource
from drmviz.sources.dask.carrying import ManagedWorkers
from drmviz.sources.dask.events import Passers, changes_between, worker_events
from drmviz.sources.dask.link import address_of
from drmviz.sources.dask.sentences import WANTED, adaptive_decision
from drmviz.sources.dask.source import _is_about_the_same
from drmviz.sources.dask.workers import Life, Load, WorkersReader
from drmviz.store import Store, Writer
from drmviz.system import SimulatedClock, SystemClock
from drmviz.visualization import DRMVisualization
from tests.commands import Bench

try:
    import distributed
except ImportError:
    distributed = None

needs_dask = pytest.mark.skipif(distributed is None, reason="distributed is not installed: pip install -e '.[dask]'")
GIB = 2**30
ROOM = 6 * GIB
"""Of workers that are threads of the test process: what that holds must not make them pause, or a fleet grow."""
BLOCK_S = 30.0


def stated(name: object = "a", *, threads: int = 2, limit: int = 4 * GIB, seen: float = 1.0, **metrics: Any) -> Any:
    """Return a worker as `Scheduler.identity` holds it."""
    return {
        "type": "Worker",
        "name": name,
        "host": "10.0.0.1",
        "nthreads": threads,
        "memory_limit": limit,
        "last_seen": seen,
        "local_directory": f"/tmp/{name}",
        "status": "running",
        "metrics": metrics,
    }


def read(workers: Mapping[str, Any], *, at_s: float = 0.0) -> tuple[Reading, WorkersReader]:
    reader = WorkersReader()
    return reader.read(workers, taken_at_s=at_s), reader


def test_units_are_brought_in_line() -> None:
    worker = stated(
        cpu=150.0,
        memory=GIB,
        task_counts={"executing": 1, "long-running": 2, "ready": 5, "constrained": 1, "memory": 9},
        managed_bytes=700,
        spilled_bytes={"memory": 200, "disk": 150},
    )

    reading, reader = read({"tcp://10.0.0.1:1": worker})

    assert [entry.id for entry in reading.entries] == ["a"]
    assert reading["cpu_ratio"].tolist() == [0.75]
    assert reading["memory_ratio"].tolist() == [0.25]
    assert reading["cpu_reserved_ratio"].tolist() == [0.5]
    assert reading["tasks_running"].tolist() == [3.0]
    assert reading.entries[0].capacity.cpu_millicores == 2000
    assert reading.entries[0].capacity.memory_bytes == 4 * GIB
    load = reader.load
    assert (load.running, load.ready, load.queued) == (3, 6, None)
    assert (load.memory_bytes, load.managed_bytes, load.unmanaged_bytes) == (GIB, 500, GIB - 500)
    assert load.spilled_bytes == 150
    assert load.cpu_ratio == 0.75


def test_a_gpu_is_a_share_and_one_that_is_not_reported_is_unknown() -> None:
    with_gpu = {
        **stated("a", cpu=1.0, gpu={"utilization": 40, "memory-used": 2 * GIB}),
        "gpu": {"name": "H200", "memory-total": 8 * GIB},
    }

    reading, _ = read({"tcp://h:1": with_gpu, "tcp://h:2": stated("b", cpu=1.0)})

    np.testing.assert_allclose(reading["gpu_ratio"], [0.4, np.nan])
    np.testing.assert_allclose(reading["gpu_memory_ratio"], [0.25, np.nan])
    assert reading.entries[0].capacity.gpu_memory_bytes == 8 * GIB
    assert reading.entries[1].capacity.gpu_count is None


@pytest.mark.parametrize(
    "worker",
    [
        stated("a"),
        {"name": "a"},
        stated("a", cpu="fast", memory=None, task_counts=7, spilled_bytes=[], gpu="yes"),
        stated("a", cpu=True, memory=-1, task_counts={"executing": "one"}, gpu={"utilization": []}),
        stated("a", threads=0, limit=0, cpu=50.0, memory=GIB) | {"metrics": {"cpu": 50.0, "memory": GIB}},
    ],
    ids=["no metrics yet", "nothing but a name", "nonsense", "nonsense inside", "no threads and no limit"],
)
def test_what_is_not_told_is_unknown_and_never_zero(worker: Any) -> None:
    reading, _ = read({"tcp://h:1": worker})

    for metric in ("cpu_ratio", "memory_ratio", "gpu_ratio", "cpu_reserved_ratio"):
        assert np.isnan(reading[metric]).all(), metric


def test_the_zero_of_a_worker_that_has_measured_no_cpu_yet_is_unknown() -> None:
    reader = WorkersReader()

    first = reader.read({"tcp://h:1": stated(cpu=0.0, seen=1.0)}, taken_at_s=0.0)
    second = reader.read({"tcp://h:1": stated(cpu=0.0, seen=1.5)}, taken_at_s=1.0)

    assert np.isnan(first["cpu_ratio"]).all()
    assert second["cpu_ratio"].tolist() == [0.0]


def test_a_worker_whose_heart_stands_still_is_unknown_until_it_beats_again() -> None:
    reader = WorkersReader()
    reader.read({"tcp://h:1": stated(cpu=80.0, seen=1.0)}, taken_at_s=100.0)

    soon = reader.read({"tcp://h:1": stated(cpu=80.0, seen=1.0)}, taken_at_s=104.0)
    late = reader.read({"tcp://h:1": stated(cpu=80.0, seen=1.0)}, taken_at_s=106.0)
    again = reader.read({"tcp://h:1": stated(cpu=60.0, seen=9.0)}, taken_at_s=107.0)

    assert soon["cpu_ratio"].tolist() == pytest.approx([0.4])
    assert np.isnan(late["cpu_ratio"]).all()
    assert again["cpu_ratio"].tolist() == pytest.approx([0.3])


def test_workers_of_one_name_are_told_apart_by_their_addresses() -> None:
    reading, _ = read({"tcp://h:1": stated(1), "tcp://h:2": stated("1"), "tcp://h:3": stated("c")})

    assert [entry.id for entry in reading.entries] == ["tcp://h:1", "tcp://h:2", "c"]
    assert not reading.rejected


def test_a_worker_that_spills_is_described_anew_when_it_has_doubled_and_not_at_every_reading() -> None:
    reader = WorkersReader()
    labels = []

    for disk in (0, 100, 120, 130, 90, 300):
        worker = stated(spilled_bytes={"memory": disk, "disk": disk})
        reading = reader.read({"tcp://h:1": worker}, taken_at_s=0.0)
        labels.append(dict(reading.entries[0].labels).get("spilled_over_bytes"))

    assert labels == [None, "64", "64", "128", "128", "256"]


def life(address: str, worker_id: str = "a") -> Life:
    reading, reader = read({address: stated(worker_id)})
    assert len(reading.entries) == 1
    return reader.lives[worker_id]


def removed(address: str, *, at_s: float = 11.0, **message: Any) -> tuple[float, dict[str, Any]]:
    return (at_s, {"action": "remove-worker", "worker": address, **message})


def added(address: str, *, at_s: float = 11.0) -> tuple[float, dict[str, Any]]:
    return (at_s, {"action": "add-worker", "worker": address})


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"stimulus_id": "retire-workers-1.5", "expected": True}, "asked for"),
        ({"stimulus_id": "worker-close-1.5", "expected": True}, "asked for"),
        ({"stimulus_id": "handle-worker-cleanup-1.5", "expected": False}, "lost"),
        ({}, "lost"),
    ],
)
def test_the_event_log_says_when_and_why_a_worker_left(message: dict[str, Any], why: str) -> None:
    events = worker_events([removed("tcp://h:1", **message)])

    changes = changes_between({"a": life("tcp://h:1")}, {}, events, since_s=10.0, now_s=12.0)

    assert changes == (FleetChange(at_s=11.0, worker="a", change="left", why=why),)


def test_a_worker_that_comes_back_under_its_name_is_another_life_of_it() -> None:
    events = worker_events([removed("tcp://h:1", at_s=11.0), added("tcp://h:2", at_s=11.5)])

    changes = changes_between({"a": life("tcp://h:1")}, {"a": life("tcp://h:2")}, events, since_s=10.0, now_s=12.0)

    assert [(change.at_s, change.change) for change in changes] == [(11.0, "left"), (11.5, "joined")]


def test_times_of_a_scheduler_whose_clock_is_wrong_are_held_between_the_readings() -> None:
    events = worker_events([removed("tcp://h:1", at_s=9e9), added("tcp://h:2", at_s=-5.0)])

    changes = changes_between({"a": life("tcp://h:1")}, {"b": life("tcp://h:2", "b")}, events, since_s=10.0, now_s=12.0)

    assert [(change.at_s, change.change) for change in changes] == [(12.0, "left"), (10.0, "joined")]


def test_who_came_and_went_between_two_readings_is_told_once() -> None:
    passers = Passers()
    old = [added("tcp://h:1"), removed("tcp://h:1")]
    log = [*old, added("tcp://h:2", at_s=11.0), removed("tcp://h:2", at_s=11.5)]

    first = passers.new_ones(worker_events(old), (), since_s=0.0, now_s=10.0)
    second = passers.new_ones(worker_events(log), (), since_s=10.0, now_s=12.0)
    third = passers.new_ones(worker_events(log), (), since_s=12.0, now_s=14.0)

    assert first == third == ()
    assert [(change.at_s, change.worker, change.change) for change in second] == [
        (11.0, "tcp://h:2", "joined"),
        (11.5, "tcp://h:2", "left"),
    ]


@pytest.mark.parametrize(
    "entry", [None, (1.0,), ("soon", {}), (1.0, "text"), (math.nan, {"worker": "a"}), (1.0, {"worker": 3})]
)
def test_an_entry_of_the_log_that_makes_no_sense_costs_only_itself(entry: Any) -> None:
    assert len(worker_events([entry, added("tcp://h:1")])) == 1


@pytest.mark.parametrize(
    ("named", "address"),
    [
        ("dask://127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("tcp://host:1", "tcp://host:1"),
        ("tls://host:1/", "tls://host:1"),
        ("host:8786", "tcp://host:8786"),
        ("dask://[::1]:8786", "tcp://[::1]:8786"),
    ],
)
def test_addresses_are_taken_as_people_write_them(named: str, address: str) -> None:
    assert address_of(named) == address


@pytest.mark.parametrize(
    "named", ["", "dask://", "dask://host", "dask://host:0", "dask://host:99999", "http://host:1", "a:b", 8786, None]
)
def test_what_is_no_address_is_refused_by_name(named: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"address = .*dask://127\.0\.0\.1:8786"):
        address_of(named)


@pytest.mark.parametrize(
    ("wanted", "before", "is_told"), [(4, 4, False), (5, 4, False), (8, 4, True), (2, 4, True), (1, 0, True)]
)
def test_a_wish_is_told_again_when_it_has_doubled_or_halved(wanted: int, before: int, is_told: bool) -> None:
    now, last = (ScalingDecision(action="scale_up", decided_at_s=0.0, value=value) for value in (wanted, before))

    assert _is_about_the_same(now, last) is not is_told


# From here on: real schedulers and workers.


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A real cluster whose seven workers are threads of this process, reached through real sockets."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=7,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        dashboard_address="127.0.0.1:0",
        memory_limit=ROOM,
    ) as made:
        yield made


@pytest.fixture
def single() -> Iterator[Any]:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        dashboard_address="127.0.0.1:0",
        memory_limit=ROOM,
    ) as made:
        yield made


def until(condition: Callable[[], Any], *, patience_s: float = BLOCK_S, pause_s: float = 0.05) -> Any:
    """Return the first answer that is true; engines are real, so what is waited for has no moment of its own."""
    deadline_s = time.monotonic() + patience_s
    while not (answer := condition()):
        assert time.monotonic() < deadline_s, "it never came to be"
        time.sleep(pause_s)
    return answer


@needs_dask
def test_all_workers_are_read_and_not_only_the_first_five(cluster: Any) -> None:
    source = DaskSource(cluster.scheduler_address.replace("tcp://", "dask://"))

    reading = source.read(time.time())
    source.close()

    assert sorted(entry.id for entry in reading.entries) == [str(number) for number in range(7)]
    assert {entry.capacity.memory_bytes for entry in reading.entries} == {ROOM}
    assert not reading.rejected
    assert not reading.changes


@needs_dask
def test_running_and_waiting_tasks_and_who_is_retired_are_seen_from_outside(cluster: Any) -> None:
    from distributed import Client, Event

    source = DaskSource(cluster.scheduler_address, looks_inside=True)
    with Client(cluster, set_as_default=False) as client:
        clients = set(cluster.scheduler.clients)
        source.read(time.time())
        assert set(cluster.scheduler.clients) == clients  # a watcher is none
        event = Event("go", client=client)
        futures = client.map(lambda number: event.wait(60) and number, range(20), pure=False)
        until(lambda: source.read(time.time()) and source.load.running == 7)
        reading = source.read(time.time())
        load = source.load

        assert reading["cpu_reserved_ratio"].tolist() == [1.0] * 7
        assert load.running == 7
        assert (load.ready or 0) + (load.queued or 0) == 13
        event.set()
        assert client.gather(futures) == list(range(20))
        client.retire_workers(names=[3])
        left = until(lambda: source.read(time.time()).changes)

        assert [(change.worker, change.change, change.why) for change in left] == [("3", "left", "asked for")]
    source.close()


@needs_dask
def test_a_scheduler_that_answers_only_some_questions_is_read_as_far_as_it_does() -> None:
    import dask
    from distributed import LocalCluster

    refused = ["run_function", "events", "adaptive_target"]
    with (
        dask.config.set({"distributed.scheduler.blocked-handlers": refused}),
        LocalCluster(
            n_workers=1, processes=False, protocol="tcp://", dashboard_address="127.0.0.1:0", memory_limit=ROOM
        ) as cluster,
    ):
        source = DaskSource(cluster.scheduler_address, looks_inside=True)
        first = source.read(time.time())
        queued = source.load.queued
        cluster.scale(0)
        gone = until(lambda: source.read(time.time()).changes)
        source.close()

    assert [entry.id for entry in first.entries] == ["0"]
    assert queued is None
    assert first.decisions == ()
    assert [(change.worker, change.change, change.why) for change in gone] == [("0", "left", None)]


@needs_dask
def test_what_is_asynchronous_is_refused_with_the_way_out(single: Any) -> None:
    from distributed import Client

    async def refuse() -> None:
        async with Client(single.scheduler_address, asynchronous=True, set_as_default=False) as client:
            with pytest.raises(InvalidValueError, match=r"is asynchronous.*DaskSource\(client\.scheduler\.address\)"):
                DaskSource(client)

    asyncio.run(refuse())
    with Client(single, set_as_default=False) as client:
        source = DaskSource(client)
        assert len(source.read(time.time()).entries) == 1
        source.close()


@needs_dask
def test_a_scheduler_that_is_not_there_is_named_at_once_and_tried_again_later() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        source = DaskSource(f"127.0.0.1:{taken.getsockname()[1]}")  # bound and not listening: refused
        begun_s = time.monotonic()
        with pytest.raises(SourceUnavailableError, match=r"scheduler tcp://127\.0\.0\.1:\d+: nobody listens there"):
            source.read(time.time())
        assert time.monotonic() - begun_s < 2
        source.close()


@needs_dask
def test_a_scheduler_that_failed_is_asked_again_after_a_pause_that_doubles_up_to_eight_seconds() -> None:
    clock = SimulatedClock()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        source = DaskSource(f"127.0.0.1:{taken.getsockname()[1]}", clock=clock, patience_s=0.2)
        for pause_s in (0.5, 1.0, 2.0, 4.0, 8.0, 8.0):
            with pytest.raises(SourceUnavailableError, match="nobody listens there"):
                source.read(0.0)
            clock.advance(pause_s * 0.99)
            with pytest.raises(SourceUnavailableError, match="nobody listens there"):
                source.read(0.0)  # not asked: a failure would have begun a longer pause
            clock.advance(pause_s * 0.02)
        taken.listen()
        with pytest.raises(SourceUnavailableError, match=r"did not answer within 0\.2 s"):
            source.read(0.0)
        source.close()


@needs_dask
def test_a_port_where_something_else_listens_is_no_scheduler() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        source = DaskSource(f"127.0.0.1:{other.getsockname()[1]}", patience_s=0.5)
        with pytest.raises(SourceUnavailableError, match=r"did not answer within 0\.5 s|connection was lost"):
            source.read(time.time())
        source.close()


def busy(client: Any) -> list[Any]:
    """Give a cluster about 7 s of work for one thread; many short tasks, none of which needs a core."""

    def wait(number: int) -> int:
        time.sleep(0.1)
        return number

    futures: list[Any] = client.map(wait, range(70), pure=False)
    return futures


class Told:
    """What a source told of a fleet that went up and down again."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.sizes: list[int] = []
        self.changes: list[FleetChange] = []
        self.decisions: list[ScalingDecision] = []

    def look(self) -> int:
        reading = self.source.read(time.time())
        self.sizes.append(len(reading.entries))
        self.changes.extend(reading.changes)
        self.decisions.extend(reading.decisions)
        return self.sizes[-1]

    def watch_up_and_down(self, client: Any, *, most: int = 4) -> None:
        until(lambda: self.look() == 1)
        futures = busy(client)
        until(lambda: self.look() == most)
        client.gather(futures)
        del futures
        until(lambda: self.look() == 1)

    @property
    def joined(self) -> list[FleetChange]:
        return [change for change in self.changes if change.change == "joined"]

    @property
    def left(self) -> list[FleetChange]:
        return [change for change in self.changes if change.change == "left"]


def manager_for_tests() -> DynamicResourceManager:
    return DynamicResourceManager(0.6, 0.8, 0.3, 0.6, 0.3, 0.6, min_workers=1, max_workers=4, stale_after_s=5.0)


@needs_dask
@pytest.mark.parametrize("who", ["dask", "manager"])
def test_a_cluster_goes_from_one_to_four_and_back_and_every_evaluation_is_told(single: Any, who: str) -> None:
    from distributed import Client

    fleet, watcher = DaskFleet(single), DaskSource(single.scheduler_address)
    told, seen = Told(fleet), Told(watcher)
    with Client(single, set_as_default=False) as client:
        if who == "dask":
            fleet.adapt(minimum=1, maximum=4, interval="100ms", wait_count=3, target_duration="500ms")
        else:
            fleet.follow(manager_for_tests(), interval="100ms")
        look = told.look
        told.look = lambda: (seen.look(), look())[1]  # type: ignore[method-assign]
        told.watch_up_and_down(client)
        fleet.close()
        watcher.close()

    for one in (told, seen):
        actions = {decision.action for decision in one.decisions}
        assert actions >= {"scale_up", "scale_down"}
        assert all(decision.reason and decision.metric and decision.value is not None for decision in one.decisions)
        assert len(one.joined) == len(one.left) == 3
        assert {change.why for change in one.left} == {"asked for"}
    assert {change.why for change in told.joined} == {"asked for"}
    assert sum(decision.action == "maintain" for decision in told.decisions) > 5
    assert fleet.policy().max_workers == 4
    gone = {name for decision in told.decisions for name in decision.worker_ids}
    assert gone == {change.worker for change in told.left}
    if who == "dask":
        asked = [decision for decision in told.decisions if decision.action == "scale_up"]
        assert sum(decision.count for decision in asked) == 3
        assert {decision.metric for decision in told.decisions} == {WANTED}


@needs_dask
def test_only_so_many_workers_as_a_decision_asked_for_joined_because_of_it(single: Any) -> None:
    fleet = DaskFleet(single)
    told = Told(fleet)
    told.look()
    fleet._tell(ScalingDecision(action="scale_up", decided_at_s=0.0, count=1))
    single.scale(3)  # by hand: one more than was decided
    until(lambda: told.look() == 3)
    fleet.close()

    assert sorted(str(change.why) for change in told.joined) == ["None", "asked for"]


@needs_dask
def test_what_is_no_cluster_of_dask_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="must be a Dask cluster"):
        DaskFleet("tcp://127.0.0.1:8786")


@needs_dask
def test_only_a_manager_can_be_followed(single: Any) -> None:
    with pytest.raises(InvalidValueError, match="must be a DynamicResourceManager"):
        DaskFleet(single).follow(single)


@needs_dask
def test_a_manager_can_be_followed_again_after_dask_decided(single: Any) -> None:
    fleet, manager = DaskFleet(single), manager_for_tests()
    for turn in range(2):
        fleet.follow(manager, interval="50ms")
        decided = len(manager.decisions)
        while len(manager.decisions) < decided + 3:
            time.sleep(0.02)
        assert [worker.id for worker in manager.snapshot().workers] == ["0"], turn
        fleet.adapt(minimum=1, maximum=1, interval="50ms")
    fleet.close()


def test_a_manager_of_workers_that_are_gone_is_told_so_and_what_their_tasks_held_is_free() -> None:
    manager = DynamicResourceManager(min_workers=0)
    carried, reader = ManagedWorkers(manager), WorkersReader()
    both = {
        "tcp://h:1": stated("a", threads=2, cpu=50.0, memory=GIB, task_counts={"executing": 2}),
        "tcp://h:2": stated("b", threads=2, cpu=10.0, memory=GIB, task_counts={"executing": 0, "ready": 3}),
    }

    def follow(workers: Mapping[str, Any]) -> dict[str, Any]:
        reading = reader.read(workers, taken_at_s=0.0)
        carried.follow(reader.lives, reading, reader.load)
        statistics: dict[str, Any] = manager.get_worker_statistics()["workers"]
        return statistics

    first = follow(both)
    assert first["a"]["utilization"]["cpu"] == pytest.approx(0.25)
    assert first["a"]["resources"]["cpu"]["available_cores"] == 0
    assert first["b"]["resources"]["cpu"]["available_cores"] == 0  # two of the three that wait find room
    decision = manager.evaluate_scaling()
    assert (decision.action, decision.metric, decision.value) == ("scale_up", "requests_unplaced", 1)

    second = follow({"tcp://h:2": both["tcp://h:2"]})
    assert list(second) == ["b"]

    another = follow({"tcp://h:9": both["tcp://h:2"] | {"local_directory": "/tmp/elsewhere"}})
    assert list(another) == ["b"]
    told = [(change.worker, change.change) for change in manager.changes_since(0)[0]]
    assert told[-2:] == [("b", "left"), ("b", "joined")]


def test_a_decision_that_names_nobody_of_the_cluster_is_not_carried_out() -> None:
    carried, reader = ManagedWorkers(DynamicResourceManager()), WorkersReader()
    reader.read({"tcp://h:1": stated(7)}, taken_at_s=0.0)
    decision = ScalingDecision(action="scale_down", decided_at_s=0.0, count=2, worker_ids=("by hand", "7"))

    assert carried.names_of(decision, reader.lives) == [7]


@pytest.mark.parametrize(
    ("numbers", "action", "count", "said"),
    [
        ({"wanted": 9, "target": 4, "planned": 1, "status": "up"}, "scale_up", 3,
         "9 workers wanted, limited to 4 by the maximum, 1 is planned (no workers): 3 more workers"),
        ({"wanted": 0, "target": 1, "planned": 3, "status": "down", "leaving": ["2", "0"]}, "scale_down", 2,
         "0 workers wanted, raised to 1 by the minimum, 3 are planned (no workers) for 3 s: 2 workers fewer (2, 0)"),
        ({"wanted": 1, "target": 1, "planned": 3, "status": "same", "remaining_s": 2.0}, "maintain", 0,
         "1 worker wanted, 3 are planned (no workers), but workers are let go only after 3 s of it, 2 s from now"),
        ({"wanted": 3, "target": 3, "planned": 3, "status": "same"}, "maintain", 0,
         "3 workers wanted, 3 are planned (no workers): nothing to change"),
    ],
)  # fmt: skip
def test_an_evaluation_says_its_numbers(numbers: dict[str, Any], action: str, count: int, said: str) -> None:
    given: dict[str, Any] = {"leaving": [], "remaining_s": None, "wait_s": 3.0, "load": Load(), "decided_at_s": 1.0}

    decision = adaptive_decision(**{**given, **numbers})

    assert (decision.action, decision.count, decision.reason) == (action, count, said)
    assert (decision.value, decision.threshold) == (numbers["wanted"], numbers["planned"])


def test_without_distributed_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['distributed'] = None\n"
        "from drmviz.errors import MissingExtraError\n"
        "from drmviz.sources.dask import DaskSource\n"
        "try:\n    DaskSource('dask://h:1')\nexcept MissingExtraError as error:\n    print(error)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == ("Reading a Dask scheduler needs distributed. Install it with: pip install 'drmviz[dask]'\n")


@needs_dask
def test_watch_says_what_is_wrong_with_an_address_in_one_line(bench: Bench) -> None:
    done = bench.drmviz("watch", "dask://127.0.0.1", "--no-dashboard", "--store", "h.drmviz")

    assert done.returncode == 2
    assert "it names no port, which is 8786 unless told otherwise" in done.stderr
    assert done.stderr.count("\n") == 1


# The second tier: processes that are killed.

MEMORY = "512MiB"
OWN_PORT = ("--dashboard-address", "127.0.0.1:0")
OWNER = f"""
import sys, time
from distributed import Client, LocalCluster

if __name__ == "__main__":
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit="{MEMORY}"
    ) as cluster, Client(cluster) as client:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.readline()
        cluster.adapt(minimum=1, maximum=4, interval="200ms", wait_count=5, target_duration="1s")
        futures = client.map(lambda number: time.sleep(0.3) or number, range(100), pure=False)
        client.gather(futures)
        del futures
        while len(client.scheduler_info(n_workers=-1)["workers"]) > 1:
            time.sleep(0.2)
        print("down again", flush=True)
        sys.stdin.readline()
"""


def has_workers(bench: Bench) -> bool:
    """Tell whether a recording has begun and holds somebody; a file is there before it is a store."""
    try:
        return bool(bench.recorded().workers)
    except StoreError:
        return False


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class Engine:
    """A scheduler and its workers, each a process of its own, as people start them by hand."""

    def __init__(self, port: int, folder: Path) -> None:
        self.address = f"tcp://127.0.0.1:{port}"
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(port), *OWN_PORT)

    def add_worker(self, name: str) -> subprocess.Popen[bytes]:
        return self._start(
            "worker", self.address, "--name", name, "--nthreads", "1", "--memory-limit", MEMORY, "--no-nanny",
            "--death-timeout", "60", *OWN_PORT,
        )  # fmt: skip

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@needs_dask
@pytest.mark.long
def test_a_scheduler_that_is_killed_and_returns_leaves_a_gap_and_no_doubled_worker(tmp_path: Path) -> None:
    port, interval_s, clock = free_port(), 0.5, SystemClock()
    engine = Engine(port, tmp_path)
    again: Engine | None = None
    source = DaskSource(f"dask://127.0.0.1:{port}")
    try:
        for name in ("w0", "w1"):
            engine.add_worker(name)
        with Writer.open(tmp_path / "h.drmviz") as writer:
            recording = writer.begin(
                title="dask", started_at_s=(started_at_s := clock.wall_s()), interval_s=interval_s, source="dask",
                host="here", facts={},
            )  # fmt: skip
            collector = Collector([source], recording, clock=clock, started_at_s=started_at_s, interval_s=interval_s)

            def tick() -> Any:
                clock.wait_s(collector.seconds_to_next_tick())
                return collector.tick()

            until(lambda: len(tick().roster.incarnations) == 2 and collector.statuses["dask"].state == "OK")
            tick()
            engine.kill()
            killed_at_s = collector.now_s()
            until(lambda: (tick(), collector.statuses["dask"].state == "DEGRADED")[1])
            noticed_s = collector.now_s() - killed_at_s
            reason = collector.statuses["dask"].reason
            until(lambda: (tick(), "connection refused" in collector.statuses["dask"].reason)[1])
            for _ in range(4):
                assert len(tick().roster.incarnations) == 2  # unknown, not gone
            again = Engine(port, tmp_path)
            for name in ("w0", "w1"):
                again.add_worker(name)
            until(lambda: len(lives := tick().roster.incarnations) == 2 and {life.ordinal for life in lives} == {2})
            back_s = collector.now_s() - killed_at_s
            assert collector.statuses["dask"].state == "OK"
            for _ in range(3):
                tick()
            collector.close()
            recording.finish(collector.now_s())
    finally:
        source.close()
        engine.kill()
        if again is not None:
            again.kill()

    assert noticed_s <= 2 * interval_s + 0.2
    assert f"scheduler tcp://127.0.0.1:{port}: the connection was lost" in reason
    assert back_s < 30
    with Store.open(tmp_path / "h.drmviz") as store:
        run = store.read()
    assert sorted(worker.id for worker in run.workers) == ["w0", "w1"]
    for worker in run.workers:
        first, second = worker.incarnations
        assert first.why_left == "lost"
        assert first.left_at_s is not None
        assert first.left_at_s <= second.joined_at_s
    memory = run.grids["memory_ratio", "mean"]
    during = (run.starts_at_s > killed_at_s + interval_s) & (run.starts_at_s < killed_at_s + interval_s * 4)
    assert during.any()
    assert np.isnan(memory[:, during]).all()
    assert np.isfinite(memory[:, -3:]).all()


@needs_dask
@pytest.mark.long
def test_a_worker_that_is_killed_is_lost_and_comes_back_as_another_life() -> None:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=MEMORY
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        fleet = DaskFleet(cluster)
        told = Told(fleet)
        until(lambda: told.look() == 2)
        pids = client.run(os.getpid)
        victim = next(
            address for address, info in client.scheduler_info(n_workers=-1)["workers"].items() if info["name"] == 1
        )
        os.kill(pids[victim], signal.SIGKILL)
        until(lambda: (told.look(), told.joined)[1])
        fleet.close()

    assert [(change.worker, change.change, change.why) for change in told.changes] == [
        ("1", "left", "lost"),
        ("1", "joined", None),
    ]


@needs_dask
@pytest.mark.long
def test_a_cluster_is_watched_from_outside_by_a_process_that_owns_nothing(bench: Bench) -> None:
    bench.write(owner=OWNER)
    owner = subprocess.Popen(
        [sys.executable, "owner.py"],
        cwd=bench.folder,
        env=bench.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    watch: subprocess.Popen[str] | None = None
    try:
        address = owner.stdout.readline().strip().replace("tcp://", "dask://")
        watch = bench.start(
            sys.executable, "-m", "drmviz", "watch", address, "--no-dashboard", "--store", "h.drmviz", "--interval",
            "0.5",
        )  # fmt: skip
        until(lambda: has_workers(bench))
        print("go", file=owner.stdin, flush=True)
        assert owner.stdout.readline() == "down again\n"
        until(lambda: sum(change.change == "left" for change in bench.recorded().changes) >= 3)
        owner.communicate(timeout=30)
        watch.send_signal(signal.SIGTERM)
        _, err = watch.communicate(timeout=20)
    finally:
        for process in (owner, watch):
            if process is not None and process.poll() is None:
                process.kill()
                process.communicate()

    assert watch.returncode == 0, err
    run = bench.recorded()
    left = [change for change in run.changes if change.change == "left" and change.is_of_the_fleet]
    assert len(run.workers) == 4
    assert [change.why for change in left[:3]] == ["asked for"] * 3  # a fourth may be seen to fall with its cluster
    assert {decision.action for decision in run.decisions} >= {"scale_up", "scale_down"}
    drawn = bench.drmviz("draw", "h.drmviz", "--figure", "all", "--format", "json", "--output-dir", "drawn")
    assert drawn.returncode == 0, drawn.stderr
    assert len(list((bench.folder / "drawn").glob("*.json"))) >= 3


@needs_dask
@pytest.mark.long
def test_a_scheduler_that_hangs_is_waited_for_and_its_workers_are_the_same_ones_afterwards(tmp_path: Path) -> None:
    port, interval_s, clock = free_port(), 0.5, SystemClock()
    engine = Engine(port, tmp_path)
    engine.add_worker("w0")
    source = DaskSource(f"dask://127.0.0.1:{port}", patience_s=1.0)
    try:
        with Writer.open(tmp_path / "h.drmviz") as writer:
            started_at_s = clock.wall_s()
            recording = writer.begin(
                title="dask", started_at_s=started_at_s, interval_s=interval_s, source="dask", host="here", facts={}
            )
            collector = Collector([source], recording, clock=clock, started_at_s=started_at_s, interval_s=interval_s)

            def tick() -> Any:
                clock.wait_s(collector.seconds_to_next_tick())
                return collector.tick()

            until(lambda: len(tick().roster.incarnations) == 1 and collector.statuses["dask"].state == "OK")
            engine.scheduler.send_signal(signal.SIGSTOP)
            hung_at_s = collector.now_s()
            until(lambda: (tick(), collector.statuses["dask"].state == "DEGRADED")[1])
            noticed_s = collector.now_s() - hung_at_s
            until(lambda: (tick(), "did not answer within 1 s" in collector.statuses["dask"].reason)[1])
            engine.scheduler.send_signal(signal.SIGCONT)
            until(lambda: (tick(), collector.statuses["dask"].state == "OK")[1])
            lives = tick().roster.incarnations
            collector.close()
            recording.finish(collector.now_s())
    finally:
        source.close()
        engine.kill()

    assert noticed_s <= 2 * interval_s + 0.2
    assert [(life.id, life.ordinal) for life in lives] == [("w0", 1)]


@needs_dask
@pytest.mark.long
def test_a_real_load_on_real_processes_draws_after_the_cluster_is_closed(tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    def compute(number: int) -> int:
        until_s = time.monotonic() + 0.15
        while time.monotonic() < until_s:
            sum(range(1000))
        time.sleep(0.15)
        return number

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=MEMORY
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        fleet = DaskFleet(cluster)
        manager = DynamicResourceManager(0.7, 0.8, 0.3, 2, 1, 2, max_workers=4, stale_after_s=5)
        fleet.follow(manager, interval="250ms")
        with DRMVisualization(fleet, output_dir=tmp_path, update_interval=0.5) as visualization:
            futures = client.map(compute, range(120), pure=False)
            until(lambda: len(cluster.scheduler.workers) == 4)
            client.gather(futures)
            del futures
            until(lambda: len(cluster.scheduler.workers) == 1)
            visualization.collect()
        fleet.close()

    with Store.open(tmp_path / "history.drmviz") as store:
        run = store.read()
    assert len(run.workers) == 4
    assert {decision.action for decision in run.decisions} == {"scale_up", "scale_down", "maintain"}
    assert np.nanmax(run.grids["cpu_ratio", "mean"]) > 0.2
    assert run.header.facts["scaling_policy"]["max_workers"] == 4
    with DRMVisualization(tmp_path / "history.drmviz", output_dir=tmp_path) as recorded:
        drawn = recorded.create_scaling_history_visualization(tmp_path / "scaling.json")
    assert "requests without room" in drawn.read_text(encoding="utf-8")
