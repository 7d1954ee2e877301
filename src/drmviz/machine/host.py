"""How much of what can be used here is in use: by the control group where it limits, else by the whole machine."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from drmviz.machine.limits import Group, Limits, read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUse:
    """CPU seconds since some start, and bytes now; None is unknown."""

    cpu_s: float | None
    memory_bytes: int | None


def read_host(limits: Limits) -> HostUse:
    """Measure what `limits` speaks of."""
    cpu_group, memory_group = limits.cpu_group, limits.memory_group
    return HostUse(
        cpu_s=_machine_cpu_s(limits.cores) if cpu_group is None else _group_cpu_s(cpu_group),
        memory_bytes=_machine_memory_bytes() if memory_group is None else _group_memory_bytes(memory_group),
    )


def _machine_cpu_s(cores: frozenset[int]) -> float | None:
    try:
        each = psutil.cpu_times(percpu=True)
    except (OSError, psutil.Error):
        return None
    if not cores or max(cores) >= len(each):  # some cores are offline: their order says nothing about their numbers
        return None
    return sum(_busy_s(each[core]._asdict()) for core in cores)


def _busy_s(times: dict[str, float]) -> float:
    return sum(times.get(kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq"))


def _machine_memory_bytes() -> int | None:
    try:
        memory = psutil.virtual_memory()
    except (OSError, psutil.Error):
        return None
    return int(memory.total - memory.available)


def _group_cpu_s(group: Group) -> float | None:
    folder = group.folders[0]
    if group.version == 2:
        used = _keyed(read_text(folder / "cpu.stat")).get("usage_usec")
        return None if used is None else used / 1e6
    text = (read_text(folder / "cpuacct.usage") or "").strip()
    return int(text) / 1e9 if text.isdigit() else None


def _group_memory_bytes(group: Group) -> int | None:
    """Return what the group holds less the file cache that the kernel would drop first."""
    folder = group.folders[0]
    name, cache = (
        ("memory.current", "inactive_file")
        if group.version == 2
        else (
            "memory.usage_in_bytes",
            "total_inactive_file",
        )
    )
    text = (read_text(folder / name) or "").strip()
    if not text.isdigit():
        return None
    return max(0, int(text) - _keyed(read_text(folder / "memory.stat")).get(cache, 0))


def _keyed(text: str | None) -> dict[str, int]:
    pairs = (line.split() for line in (text or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
