"""The pytest source: what a spool says and what processes use, on the axis of the caller."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drmviz.machine.gpu import Gpus
from drmviz.machine.limits import Limits
from drmviz.machine.rows import Machine
from drmviz.model.roster import RosterTracker
from drmviz.model.samples import Reading
from drmviz.model.workers import RosterEntry
from drmviz.recorder import spool
from drmviz.recorder.launch import Command
from drmviz.sources.pytest_fleet import Fleet
from drmviz.sources.pytest_xdist import PytestXdistSource
from drmviz.system import SimulatedClock
from tests.test_machine_gpu import RecordedNvml, sample

HOST = socket.gethostname()
LIMITS = Limits(cpu_millicores=2000, memory_bytes=8_000_000_000, cores=frozenset())


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n", timeout=30)


class Spool:
    def __init__(self, folder: Path) -> None:
        self.path = spool.create(str(folder))

    def tell(self, kind: str, at: float, **facts: Any) -> None:
        spool.append(self.path, {"event": kind, "at": at, "worker": "main", **facts})

    def session(self, at: float, workers: int = 2) -> None:
        self.tell("session", at, pid=os.getpid(), host=HOST, workers=workers, rootdir="/x", args=[])

    def join(self, at: float, worker: str, pid: int) -> None:
        self.tell("worker", at, worker=worker, pid=pid, host=HOST)


@pytest.fixture
def told(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def source_of(told: Spool, root_pid: int, clock: SimulatedClock, **options: Any) -> PytestXdistSource:
    machine = Machine(limits=LIMITS, gpus=options.get("gpus", Gpus(RecordedNvml())), name=HOST)
    return PytestXdistSource(told.path, root_pid, clock=clock, machine=machine)


def entry(reading: Reading, entry_id: str) -> RosterEntry:
    (found,) = [entry for entry in reading.entries if entry.id == entry_id]
    return found


def value(reading: Reading, entry_id: str, metric: str) -> float:
    return float(reading[metric][[entry.id for entry in reading.entries].index(entry_id)])


def test_tests_are_told_once_on_the_axis_of_the_caller(told: Spool, sleeper: int) -> None:
    clock = SimulatedClock(monotonic=100.0)
    source = source_of(told, sleeper, clock)
    told.session(90.0)
    told.join(91.0, "gw0", sleeper)
    told.tell("start", 92.0, worker="gw0", nodeid="t.py::a[\udcff]")
    told.tell(
        "test", 95.5, worker="gw0", nodeid="t.py::a[\udcff]", outcome="passed", pid=sleeper, start=92.0, end=95.0,
        cpu_s=1.25, memory_bytes=0, peak_bytes=7, attempt=2,
    )  # fmt: skip

    reading = source.read(1_000_000.0)

    (task,) = reading.tasks
    assert (task.name, task.worker, task.outcome, task.pid) == ("t.py::a[\\udcff]", "gw0", "passed", sleeper)
    assert (task.started_at_s, task.ended_at_s) == (999_992.0, 999_995.0)
    assert (task.cpu_s, task.memory_bytes, task.peak_bytes, task.attempt) == (1.25, 0, 7, 2)
    assert [(change.worker, change.change, change.at_s) for change in reading.changes] == [("gw0", "joined", 999_991.0)]
    assert source.read(1_000_001.0).tasks == ()
    assert (source.claimed, source.progress.done, source.outcomes) == (True, 1, {"passed": 1})


def test_workers_share_the_memory_and_have_a_core_each(told: Spool, sleeper: int) -> None:
    source = source_of(told, os.getpid(), SimulatedClock(monotonic=100.0))
    told.session(90.0)
    told.join(91.0, "gw0", sleeper)

    reading = source.read(1000.0)

    worker = entry(reading, "gw0")
    assert (worker.kind, worker.pid, worker.host, worker.parent) == ("worker", sleeper, HOST, HOST)
    assert (worker.capacity.cpu_millicores, worker.capacity.memory_bytes) == (1000, 4_000_000_000)
    assert np.isnan(value(reading, "gw0", "cpu_ratio"))
    assert 0 < value(reading, "gw0", "memory_ratio") < 0.05
    assert np.isnan(value(reading, "gw0", "memory_reserved_ratio"))
    host = entry(reading, HOST)
    assert (host.kind, host.capacity.cpu_millicores, host.capacity.memory_bytes) == ("host", 2000, 8_000_000_000)
    assert entry(reading, f"{HOST}-gpu0").parent == HOST
    assert [e.pid for e in reading.entries if e.kind == "process"] == [os.getpid()]
    assert not reading.rejected


def test_the_core_is_reserved_for_as_long_as_tests_ran(told: Spool, sleeper: int) -> None:
    clock = SimulatedClock(monotonic=100.0)
    source = source_of(told, sleeper, clock)
    told.session(99.0)
    told.join(100.0, "gw0", sleeper)

    reading = source.read(1000.0)
    assert (value(reading, "gw0", "cpu_reserved_ratio"), value(reading, "gw0", "tasks_running")) == (0.0, 0.0)

    told.tell("start", 101.0, worker="gw0", nodeid="t::a")
    clock.advance(4.0)
    reading = source.read(1004.0)
    assert (value(reading, "gw0", "cpu_reserved_ratio"), value(reading, "gw0", "tasks_running")) == (0.75, 1.0)

    told.tell("test", 105.1, worker="gw0", nodeid="t::a", outcome="passed", start=101.0, end=105.0)
    told.tell("start", 106.0, worker="gw0", nodeid="t::b")
    clock.advance(4.0)
    reading = source.read(1008.0)
    assert (value(reading, "gw0", "cpu_reserved_ratio"), value(reading, "gw0", "tasks_running")) == (0.75, 1.0)


def test_a_crash_is_told_with_its_start_and_its_replacement(told: Spool, sleeper: int) -> None:
    source = source_of(told, sleeper, SimulatedClock(monotonic=100.0))
    told.session(90.0, workers=1)
    told.join(91.0, "gw0", 4_000_001)
    told.tell("start", 92.0, worker="gw0", nodeid="t::dies")
    told.tell("left", 93.0, worker="gw0", why="crashed")
    told.tell("test", 93.1, worker="gw0", nodeid="t::dies", outcome="crashed", start=None, end=93.1, cpu_s=None)
    told.join(94.0, "gw1", sleeper)

    reading = source.read(1000.0)

    (task,) = reading.tasks
    assert (task.outcome, task.pid, task.started_at_s, task.cpu_s) == ("crashed", 4_000_001, 992.0, None)
    assert task.ended_at_s == pytest.approx(993.1)
    assert [(change.worker, change.change, change.why) for change in reading.changes] == [
        ("gw0", "joined", "asked for"),
        ("gw0", "left", "crashed"),
        ("gw1", "joined", "replaces gw0"),
    ]
    tick = RosterTracker().observe([reading], at_s=1000.0, wall_s=1000.0)
    (gone,) = tick.went
    assert (gone.entry.pid, gone.entry.capacity.cpu_millicores, gone.joined_at_s, gone.left_at_s) == (
        4_000_001,
        1000,
        991.0,
        993.0,
    )
    assert [e.id for e in source.read(1001.0).entries if e.kind == "worker"] == ["gw1"]


def test_the_end_of_the_session_is_the_end_of_its_workers(told: Spool, sleeper: int) -> None:
    source = source_of(told, sleeper, SimulatedClock(monotonic=100.0))
    told.session(90.0, workers=0)
    told.join(91.0, "main", sleeper)
    told.tell("end", 95.0, exitstatus=1, hooks_s=0.25)

    reading = source.read(1000.0)

    assert (source.has_ended, source.exit_status, source.hooks_s) == (True, 1, 0.25)
    assert [(c.worker, c.change, c.why) for c in reading.changes][-1] == ("main", "left", "finished")


def test_without_our_plugin_every_process_is_a_row_once_it_lasted(told: Spool, sleeper: int) -> None:
    clock = SimulatedClock(monotonic=100.0)
    source = source_of(told, os.getpid(), clock)

    first = source.read(1000.0)
    clock.advance(1.0)
    second = source.read(1001.0)

    assert not source.claimed
    assert [e.pid for e in first.entries if e.kind == "process"] == [os.getpid()]
    rows = {e.pid: e for e in second.entries if e.kind == "process"}
    assert {os.getpid(), sleeper} <= set(rows)
    assert rows[sleeper].id.endswith(f"-{sleeper}")
    assert value(second, rows[sleeper].id, "memory_ratio") > 0
    assert value(second, rows[sleeper].id, "cpu_ratio") >= 0


def test_the_same_worker_is_the_same_entry_object(told: Spool, sleeper: int) -> None:
    source = source_of(told, sleeper, SimulatedClock(monotonic=100.0))
    told.session(90.0)
    told.join(91.0, "gw0", sleeper)

    assert entry(source.read(1000.0), "gw0") is entry(source.read(1001.0), "gw0")


def test_a_worker_elsewhere_is_known_from_its_own_samples(told: Spool, sleeper: int) -> None:
    source = source_of(told, sleeper, SimulatedClock(monotonic=100.0))
    told.session(90.0)
    told.tell("worker", 91.0, worker="gw0", pid=os.getpid(), host="another-machine")
    told.tell("sample", 92.0, worker="gw0", cpu_s=1.0, memory_bytes=5)
    told.tell("sample", 96.0, worker="gw0", cpu_s=3.0, memory_bytes=5)

    reading = source.read(1000.0)

    assert value(reading, "gw0", "cpu_ratio") == 0.5
    assert (entry(reading, "gw0").parent, entry(reading, "gw0").capacity.memory_bytes) == (None, None)
    assert np.isnan(value(source.read(1001.0), "gw0", "cpu_ratio"))


def test_gpu_use_of_a_worker_comes_from_its_processes(told: Spool, sleeper: int) -> None:
    nvml = RecordedNvml()
    source = source_of(told, sleeper, SimulatedClock(monotonic=100.0), gpus=Gpus(nvml))
    told.session(90.0)
    told.join(91.0, "gw0", sleeper)
    nvml.samples = [sample(sleeper, 1, 10)]
    source.read(1000.0)
    nvml.samples = [sample(sleeper, 2, 30)]

    assert value(source.read(1001.0), "gw0", "gpu_ratio") == pytest.approx(0.3)


VALUE = st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.booleans() | st.lists(st.integers())
KIND = st.sampled_from(["session", "worker", "start", "test", "sample", "left", "hooks", "collected", "problem", "end"])
FACTS = st.sampled_from(
    ["at", "worker", "pid", "nodeid", "outcome", "start", "end", "cpu_s", "memory_bytes", "workers"]
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(KIND, st.dictionaries(FACTS, VALUE)), max_size=12))
def test_events_that_make_no_sense_are_counted_and_never_raise(events: list[tuple[str, dict[str, Any]]]) -> None:
    fleet = Fleet()

    fleet.follow([facts | {"event": kind} for kind, facts in events], ahead_s=5.0)

    tasks, changes, _ = fleet.take()
    assert all(np.isfinite(task.ended_at_s) and task.started_at_s <= task.ended_at_s for task in tasks)
    assert len(changes) <= 2 * len(events)


def test_a_real_run_is_read_to_its_last_test(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest, time\n@pytest.mark.parametrize('i', range(40))\ndef test_it(i):\n"
        "    begun = time.process_time()\n    while time.process_time() - begun < 0.03: pass\n"
    )
    path = spool.create(str(tmp_path))
    readings: list[Reading] = []
    ids_busy: dict[str, float] = {}
    command = [sys.executable, "-m", "pytest", "-q", "-n2", "--rootdir", str(tmp_path), str(tmp_path)]
    with Command(command, environment={spool.ENVIRONMENT_VARIABLE: path, "PYTEST_ADDOPTS": ""}) as child:
        source = PytestXdistSource(path, child.pid)
        code = None
        while code is None:
            readings.append(source.read(1000.0 + len(readings)))
            code = child.wait(0.1)
        readings.append(source.read(1000.0 + len(readings)))
    source.close()

    tasks = [task for reading in readings for task in reading.tasks]
    for reading in readings:
        for i, row in enumerate(reading.entries):
            if row.kind == "worker" and not np.isnan(reading["cpu_ratio"][i]):
                ids_busy[row.id] = max(ids_busy.get(row.id, 0.0), float(reading["cpu_ratio"][i]))
    assert code == 0
    assert sorted(task.name for task in tasks) == sorted(f"test_it.py::test_it[{i}]" for i in range(40))
    assert {task.worker for task in tasks} == {"gw0", "gw1"}
    assert sum(task.cpu_s or 0.0 for task in tasks) >= 40 * 0.03
    assert set(ids_busy) == {"gw0", "gw1"}
    assert all(0.2 < busy < 3 for busy in ids_busy.values()), ids_busy
    assert (source.session["workers"], source.problems, source.progress.collected) == (2, (), 40)
