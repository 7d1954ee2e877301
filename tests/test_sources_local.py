"""This machine as a fleet of one, and the processes below one of its processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from drmviz.errors import SourceUnavailableError
from drmviz.machine.gpu import Gpus
from drmviz.machine.limits import Limits
from drmviz.machine.rows import Machine
from drmviz.sources.local_machine import LocalMachineSource
from drmviz.system import SimulatedClock
from tests.test_machine_gpu import RecordedNvml


def test_the_machine_is_one_worker_with_its_gpus() -> None:
    limits = Limits(cpu_millicores=2000, memory_bytes=10**15, cores=frozenset())
    source = LocalMachineSource(machine=Machine(limits=limits, gpus=Gpus(RecordedNvml()), name="box"))

    reading = source.read(1000.0)

    assert [(e.id, e.kind, e.parent) for e in reading.entries] == [("box", "worker", None), ("box-gpu0", "gpu", "box")]
    assert reading.entries[0].capacity.gpu_count == 1
    assert list(reading["gpu_ratio"]) == pytest.approx([0.8, 0.8])
    assert list(reading["gpu_memory_ratio"]) == pytest.approx([0.25, 0.25])
    assert 0 < reading["memory_ratio"][0] < 0.1
    source.close()


def test_the_real_machine_shows_its_use_from_the_second_read_on() -> None:
    clock = SimulatedClock()
    source = LocalMachineSource(clock=clock)
    first = source.read(1.0)
    while os.times().user < 0.05:
        pass
    clock.advance(1.0)
    second = source.read(2.0)
    source.close()

    assert first.entries[0].id == socket.gethostname()
    assert first.entries[0] is second.entries[0]
    assert not first["cpu_ratio"][0] >= 0
    assert second["cpu_ratio"][0] >= 0
    assert 0 < second["memory_ratio"][0] <= 1


def test_below_a_process_each_of_its_descendants_is_a_row() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as child:
        source = LocalMachineSource(os.getpid())
        source.read(1.0)
        reading = source.read(2.0)
        source.close()
        child.communicate(b"\n", timeout=30)

    kinds = {entry.pid: entry.kind for entry in reading.entries}
    assert kinds[child.pid] == kinds[os.getpid()] == "process"
    assert [entry.kind for entry in reading.entries].count("host") == 1


def test_a_process_that_has_ended_is_an_error_that_names_it() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    child.wait(30)

    with pytest.raises(SourceUnavailableError, match=f"process {child.pid} has ended"):
        LocalMachineSource(child.pid).read(1.0)
