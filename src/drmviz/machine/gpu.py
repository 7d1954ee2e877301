"""The NVIDIA GPUs of this machine through NVML: what the driver does not tell is unknown, never zero."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pynvml


class Nvml(Protocol):
    """The calls of NVML that are used; `pynvml` has them, and so has a recorded device."""

    def nvmlInit(self) -> None: ...  # noqa: N802  NVML's own names
    def nvmlShutdown(self) -> None: ...  # noqa: N802
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...  # noqa: N802
    def nvmlDeviceGetUUID(self, handle: Any) -> str | bytes: ...  # noqa: N802
    def nvmlDeviceGetName(self, handle: Any) -> str | bytes: ...  # noqa: N802
    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any: ...  # noqa: N802
    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any: ...  # noqa: N802
    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> list[Any]: ...  # noqa: N802
    def nvmlDeviceGetProcessUtilization(self, handle: Any, last_seen_us: int) -> list[Any]: ...  # noqa: N802


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """One GPU at one instant."""

    index: int
    uuid: str | None
    name: str | None
    memory_bytes: int | None
    """What it has."""
    used_memory_bytes: int | None
    busy_ratio: float | None
    memory_by_pid: Mapping[int, int] = field(default_factory=dict)
    busy_ratio_by_pid: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Device:
    index: int
    handle: Any
    uuid: str | None
    name: str | None


class Gpus:
    """All GPUs of this machine; none where there is no driver."""

    def __init__(self, nvml: Nvml | None = None) -> None:
        self._nvml: Nvml = nvml if nvml is not None else pynvml
        self._devices: list[_Device] = []
        self._seen_us: dict[int, int] = {}
        self.why_none: str | None = None
        """Why nothing is known of GPUs; None when something is."""
        try:
            self._nvml.nvmlInit()
        except pynvml.NVMLError as error:
            self.why_none = str(error)
            self._is_open = False
            return
        self._is_open = True
        for index in range(_asked(self._nvml.nvmlDeviceGetCount) or 0):
            handle = _asked(self._nvml.nvmlDeviceGetHandleByIndex, index)
            if handle is not None:
                uuid, name = _asked(self._nvml.nvmlDeviceGetUUID, handle), _asked(self._nvml.nvmlDeviceGetName, handle)
                self._devices.append(_Device(index, handle, _text(uuid), _text(name)))

    def read(self) -> tuple[GpuUse, ...]:
        """Measure every GPU; a call that the device does not support leaves its figure unknown."""
        return tuple(self._read(device) for device in self._devices)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._devices = []
            _asked(self._nvml.nvmlShutdown)

    def _read(self, device: _Device) -> GpuUse:
        memory = _asked(self._nvml.nvmlDeviceGetMemoryInfo, device.handle)
        rates = _asked(self._nvml.nvmlDeviceGetUtilizationRates, device.handle)
        return GpuUse(
            index=device.index,
            uuid=device.uuid,
            name=device.name,
            memory_bytes=None if memory is None else int(memory.total),
            used_memory_bytes=None if memory is None else int(memory.used),
            busy_ratio=None if rates is None else rates.gpu / 100,
            memory_by_pid=self._memory_by_pid(device),
            busy_ratio_by_pid=self._busy_by_pid(device),
        )

    def _memory_by_pid(self, device: _Device) -> dict[int, int]:
        running = _asked(self._nvml.nvmlDeviceGetComputeRunningProcesses, device.handle) or []
        return {
            int(process.pid): int(process.usedGpuMemory) for process in running if process.usedGpuMemory is not None
        }

    def _busy_by_pid(self, device: _Device) -> dict[int, float]:
        # NVML raises NotFound when nothing ran since the last sample it was asked about.
        last_seen_us = self._seen_us.get(device.index, 0)
        samples = _asked(self._nvml.nvmlDeviceGetProcessUtilization, device.handle, last_seen_us) or []
        shares: dict[int, list[float]] = defaultdict(list)
        for sample in samples:
            self._seen_us[device.index] = max(self._seen_us.get(device.index, 0), int(sample.timeStamp))
            if 0 <= sample.smUtil <= 100:  # drivers were seen to hand out uninitialised numbers here
                shares[int(sample.pid)].append(sample.smUtil / 100)
        if last_seen_us == 0:  # the first answer reaches back to before we looked
            return {}
        return {pid: sum(values) / len(values) for pid, values in shares.items()}


def _asked(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
