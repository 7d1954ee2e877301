"""GPUs through NVML, played by a recorded device; where there is no driver, nothing is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from drmviz.machine.gpu import Gpus
from drmviz.machine.limits import Limits
from drmviz.machine.rows import Machine

GIB = 1 << 30


class RecordedNvml:
    """Answers as a driver does; a name in `unsupported` raises as a device without that counter does."""

    def __init__(self, *, unsupported: tuple[str, ...] = ()) -> None:
        self.unsupported = unsupported
        self.samples: list[Any] = []
        self.open = 0

    def _say(self, name: str, answer: Any) -> Any:
        if name in self.unsupported:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return answer

    def nvmlInit(self) -> None:  # noqa: N802
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:  # noqa: N802
        return f"handle{index}"

    def nvmlDeviceGetUUID(self, handle: Any) -> str | bytes:  # noqa: N802
        return b"GPU-1"

    def nvmlDeviceGetName(self, handle: Any) -> str | bytes:  # noqa: N802
        return "H200"

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:  # noqa: N802
        return self._say("memory", SimpleNamespace(total=100 * GIB, used=25 * GIB))

    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any:  # noqa: N802
        return self._say("rates", SimpleNamespace(gpu=80, memory=10))

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> list[Any]:  # noqa: N802
        here = [SimpleNamespace(pid=11, usedGpuMemory=20 * GIB), SimpleNamespace(pid=12, usedGpuMemory=None)]
        answer: list[Any] = self._say("processes", here)
        return answer

    def nvmlDeviceGetProcessUtilization(self, handle: Any, last_seen_us: int) -> list[Any]:  # noqa: N802
        fresh = [sample for sample in self.samples if sample.timeStamp > last_seen_us]
        if not fresh:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return fresh


def sample(pid: int, at_us: int, sm: int) -> Any:
    return SimpleNamespace(pid=pid, timeStamp=at_us, smUtil=sm)


def machine_with(nvml: RecordedNvml) -> Machine:
    limits = Limits(cpu_millicores=2000, memory_bytes=GIB, cores=frozenset({0}))
    return Machine(limits=limits, gpus=Gpus(nvml), name="box")


def test_a_gpu_has_its_own_row_and_processes_their_share() -> None:
    nvml = RecordedNvml()
    machine = machine_with(nvml)
    nvml.samples = [sample(11, 1000, 90)]
    machine.gpu_rows()
    nvml.samples += [sample(11, 2000, 40), sample(11, 3000, 60), sample(12, 3000, 10), sample(13, 3000, 4000)]

    (row,) = machine.gpu_rows()

    assert (row.entry.id, row.entry.kind, row.entry.parent) == ("box-gpu0", "gpu", "box")
    assert row.entry.capacity.gpu_memory_bytes == 100 * GIB
    assert dict(row.entry.labels) == {"name": "H200", "uuid": "GPU-1"}
    assert dict(row.metrics) == {"gpu_ratio": 0.8, "gpu_memory_ratio": 0.25}
    assert machine.gpu_metrics([11, 12]) == {"gpu_ratio": pytest.approx(0.6), "gpu_memory_ratio": pytest.approx(0.2)}
    assert machine.gpu_metrics([12]) == {"gpu_ratio": pytest.approx(0.1), "gpu_memory_ratio": None}
    assert machine.gpu_metrics([99]) == {"gpu_ratio": None, "gpu_memory_ratio": None}


def test_what_a_device_does_not_tell_is_unknown_and_the_rest_stays() -> None:
    machine = machine_with(RecordedNvml(unsupported=("rates", "processes")))

    (row,) = machine.gpu_rows()

    assert dict(row.metrics) == {"gpu_ratio": None, "gpu_memory_ratio": 0.25}
    assert machine.gpu_metrics([11]) == {"gpu_ratio": None, "gpu_memory_ratio": None}


def test_without_memory_figures_the_capacity_is_unknown_too() -> None:
    (row,) = machine_with(RecordedNvml(unsupported=("memory",))).gpu_rows()

    assert row.entry.capacity.gpu_memory_bytes is None
    assert dict(row.metrics) == {"gpu_ratio": 0.8, "gpu_memory_ratio": None}


def test_the_driver_is_opened_once_and_closed_once() -> None:
    nvml = RecordedNvml()
    gpus = Gpus(nvml)
    gpus.read()
    gpus.read()
    assert nvml.open == 1

    gpus.close()
    gpus.close()

    assert nvml.open == 0
    assert gpus.read() == ()


def test_without_a_driver_there_are_no_gpus_and_a_reason() -> None:
    class NoDriver(RecordedNvml):
        def nvmlInit(self) -> None:  # noqa: N802
            raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    gpus = Gpus(NoDriver())

    assert gpus.read() == ()
    assert gpus.why_none
    gpus.close()
