"""The processes below a command, and what each of them and each group of them uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessUse:
    """One process at one instant; None is unknown."""

    pid: int
    parent_pid: int
    started_at_s: float
    """Tells a process from a later one with the same pid."""
    name: str
    cpu_s: float | None
    """User and system time of the process itself."""
    reaped_cpu_s: float | None
    """The same of children that ended and were waited for."""
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupUse:
    """A process with all its descendants; None is unknown."""

    cpu_s: float | None
    memory_bytes: int | None
    pids: frozenset[int]


def read_processes(root_pid: int, also: Iterable[int] = ()) -> dict[int, ProcessUse]:
    """Return the process, `also`, and all their descendants; who ends meanwhile is left out."""
    found: dict[int, psutil.Process] = {}
    for pid in (root_pid, *also):
        if pid in found:
            continue
        try:
            top = psutil.Process(pid)
            found[pid] = top
            found.update((child.pid, child) for child in top.children(recursive=True))
        except psutil.Error:
            continue
    uses = (_read(process) for process in found.values())
    return {use.pid: use for use in uses if use is not None}


def is_running(pid: int) -> bool:
    """Tell whether a process is there and has not ended: a zombie only waits to be reaped."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _read(process: psutil.Process) -> ProcessUse | None:
    try:
        with process.oneshot():
            parent_pid, started_at_s, name = process.ppid(), process.create_time(), process.name()
            cpu_s = reaped_cpu_s = memory_bytes = None
            try:
                times = process.cpu_times()
                cpu_s = times.user + times.system
                reaped_cpu_s = times.children_user + times.children_system
                memory_bytes = int(process.memory_info().rss) or None  # a zombie has none to measure
            except psutil.AccessDenied:
                pass
    except psutil.Error:
        return None
    return ProcessUse(
        pid=process.pid,
        parent_pid=parent_pid,
        started_at_s=started_at_s,
        name=name,
        cpu_s=cpu_s,
        reaped_cpu_s=reaped_cpu_s,
        memory_bytes=memory_bytes,
    )


def group_processes(processes: Mapping[int, ProcessUse], heads: Mapping[str, int]) -> dict[str, GroupUse]:
    """Give each head its descendants down to the next head; a head that is not there is left out."""
    children: dict[int, list[int]] = defaultdict(list)
    for use in processes.values():
        children[use.parent_pid].append(use.pid)
    other_heads = set(heads.values())
    groups: dict[str, GroupUse] = {}
    for name, head in heads.items():
        if head not in processes:
            continue
        members: list[int] = []
        waiting = [head]
        while waiting:
            pid = waiting.pop()
            members.append(pid)
            waiting.extend(child for child in children[pid] if child not in other_heads)
        groups[name] = _sum([processes[pid] for pid in members])
    return groups


def _sum(members: list[ProcessUse]) -> GroupUse:
    cpu = [part for use in members for part in (use.cpu_s, use.reaped_cpu_s)]
    memory = [use.memory_bytes for use in members]
    known_cpu = [part for part in cpu if part is not None]
    known_memory = [part for part in memory if part is not None]
    return GroupUse(
        cpu_s=sum(known_cpu) if len(known_cpu) == len(cpu) else None,
        memory_bytes=sum(known_memory) if len(known_memory) == len(memory) else None,
        pids=frozenset(use.pid for use in members),
    )


@dataclass(slots=True)
class Rates:
    """Turns counters of CPU seconds into cores in use between two reads."""

    _before: dict[object, tuple[float, float]] = field(default_factory=dict)
    _now: dict[object, tuple[float, float]] = field(default_factory=dict)

    def of(self, key: object, at_s: float, cpu_s: float | None) -> float | None:
        """Return CPU seconds per second since the last read of this key; None at first, or when the counter fell."""
        if cpu_s is None:
            return None
        self._now[key] = (at_s, cpu_s)
        if key not in self._before:
            return None
        earlier_s, earlier_cpu_s = self._before[key]
        if at_s <= earlier_s or cpu_s < earlier_cpu_s:
            return None
        return (cpu_s - earlier_cpu_s) / (at_s - earlier_s)

    def turn(self) -> None:
        """Forget what this read did not see."""
        self._before, self._now = self._now, {}
