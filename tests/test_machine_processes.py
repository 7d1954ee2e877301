"""Process trees of real children, and how they are summed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from drmviz.machine.processes import ProcessUse, Rates, group_processes, read_processes

BURNING = "import time\nwhile time.process_time() < 0.2: pass\nprint('done', flush=True)\ninput()"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-S', '-c', {BURNING!r}])"


@pytest.fixture
def burning() -> Iterator[subprocess.Popen[str]]:
    """A process whose child has used 0.2 s of CPU and now waits."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.communicate("\n", timeout=30)


def test_a_group_holds_the_cpu_and_memory_of_its_descendants(burning: subprocess.Popen[str]) -> None:
    processes = read_processes(os.getpid())
    groups = group_processes(processes, {"all": os.getpid(), "burning": burning.pid})

    assert processes[burning.pid].parent_pid == os.getpid()
    assert len(groups["burning"].pids) == 2
    assert not groups["all"].pids & groups["burning"].pids
    cpu_s, memory_bytes = groups["burning"].cpu_s, groups["burning"].memory_bytes
    assert cpu_s is not None
    assert 0.1 <= cpu_s < 5
    assert memory_bytes is not None
    assert memory_bytes > 5_000_000


def test_cpu_of_children_that_ended_stays_with_their_parent() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", BURNING], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    before = group_processes(read_processes(os.getpid()), {"all": os.getpid()})["all"].cpu_s
    child.communicate(b"\n", timeout=30)

    after = group_processes(read_processes(os.getpid()), {"all": os.getpid()})["all"].cpu_s

    assert before is not None
    assert after is not None
    assert after >= before


def test_a_process_that_is_gone_reads_as_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    child.wait(30)

    assert read_processes(child.pid) == {}
    assert group_processes({}, {"gw0": child.pid}) == {}


def use(pid: int, parent: int, cpu_s: float | None) -> ProcessUse:
    return ProcessUse(
        pid=pid, parent_pid=parent, started_at_s=0.0, name="p", cpu_s=cpu_s, reaped_cpu_s=0.5, memory_bytes=10
    )


def test_a_worker_below_a_worker_keeps_its_own_descendants() -> None:
    processes = {u.pid: u for u in (use(1, 0, 1.0), use(2, 1, 2.0), use(3, 2, 4.0), use(4, 1, 8.0), use(5, 4, 16.0))}

    groups = group_processes(processes, {"outer": 1, "inner": 2, "gone": 9})

    assert {name: group.pids for name, group in groups.items()} == {"outer": {1, 4, 5}, "inner": {2, 3}}
    assert groups["outer"].cpu_s == 1.0 + 8.0 + 16.0 + 3 * 0.5
    assert groups["inner"].memory_bytes == 20


def test_what_may_not_be_read_makes_the_sum_unknown() -> None:
    groups = group_processes({1: use(1, 0, 1.0), 2: use(2, 1, None)}, {"w": 1})

    assert groups["w"].cpu_s is None
    assert groups["w"].memory_bytes == 20


def test_a_rate_needs_two_reads_and_a_counter_that_does_not_fall() -> None:
    rates = Rates()

    def read(at_s: float, cpu_s: float | None) -> float | None:
        rate = rates.of("w", at_s, cpu_s)
        rates.turn()
        return rate

    assert read(10.0, 5.0) is None
    assert read(12.0, 8.0) == 1.5
    assert read(13.0, 7.0) is None
    assert read(14.0, 7.0) == 0.0
    assert read(15.0, None) is None
    assert read(16.0, 9.0) is None
