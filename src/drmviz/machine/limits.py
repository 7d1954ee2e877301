"""How much CPU and memory this process may use: its cgroup, its affinity, the machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

PROC = Path("/proc")

_UNLIMITED_BYTES = 1 << 60  # version 1 writes a number near 2**63 for "no limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One control group and those above it, innermost first; a limit of any of them binds."""

    version: int
    folders: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What can be used here; a group is given where it, and not the machine, is what limits."""

    cpu_millicores: int | None
    memory_bytes: int | None
    cores: frozenset[int]
    """The cores this process may run on."""
    cpu_group: Group | None = None
    memory_group: Group | None = None


def read_limits(
    *, proc: Path = PROC, cores: frozenset[int] | None = None, machine_memory_bytes: int | None = None
) -> Limits:
    """Read the limits that bind this process; the arguments stand in for the machine in tests."""
    allowed = cores if cores is not None else _affinity()
    memory_bytes = machine_memory_bytes if machine_memory_bytes is not None else _machine_memory_bytes()
    cpu_millicores: int | None = len(allowed) * 1000 or None
    cpu_group = memory_group = None
    quota = _least(find_group("cpu", proc=proc), _quota_millicores)
    if quota is not None and (cpu_millicores is None or quota[0] < cpu_millicores):
        cpu_millicores, cpu_group = quota
        if cpu_group.version == 1 and not (cpu_group.folders[0] / "cpuacct.usage").exists():
            cpu_group = find_group("cpuacct", proc=proc) or cpu_group  # version 1 may count CPU time elsewhere
    most = _least(find_group("memory", proc=proc), _memory_limit_bytes)
    if most is not None and (memory_bytes is None or most[0] < memory_bytes):
        memory_bytes, memory_group = most
    return Limits(
        cpu_millicores=cpu_millicores,
        memory_bytes=memory_bytes,
        cores=allowed,
        cpu_group=cpu_group,
        memory_group=memory_group,
    )


def find_group(controller: str, *, proc: Path = PROC) -> Group | None:
    """Return the control group that holds this process for `cpu` or `memory`; None where there is none."""
    try:
        memberships = (proc / "self" / "cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
        mounts = (proc / "self" / "mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    unified = None
    for line in memberships:
        _, _, rest = line.partition(":")
        controllers, _, inside = rest.partition(":")
        if controller in controllers.split(","):
            folders = _folders(mounts, "cgroup", controller, inside)
            if folders:
                return Group(version=1, folders=folders)
        elif not controllers:
            unified = inside
    folders = () if unified is None else _folders(mounts, "cgroup2", None, unified)
    return Group(version=2, folders=folders) if folders else None


def _folders(mounts: list[str], kind: str, controller: str | None, inside: str) -> tuple[Path, ...]:
    """Return the folder of a group and of those above it, as they are mounted here."""
    for line in mounts:
        before, _, after = line.partition(" - ")
        fields, tail = before.split(), after.split()
        if len(fields) < 5 or len(tail) < 3 or tail[0] != kind:
            continue
        if controller is not None and controller not in tail[2].split(","):
            continue
        root, mounted_at = fields[3], Path(_unescaped(fields[4]))
        # In a container the path may be that of the host: what is above the mount cannot be seen from here.
        below = inside.removeprefix(root.rstrip("/")) if inside.startswith(root.rstrip("/")) else "/"
        folder = mounted_at / below.strip("/")
        if ".." in folder.parts or not folder.is_dir():
            folder = mounted_at
        return tuple(_upwards(folder, mounted_at))
    return ()


def _upwards(folder: Path, top: Path) -> Iterator[Path]:
    while folder != top and top in folder.parents:
        yield folder
        folder = folder.parent
    yield top


def _unescaped(text: str) -> str:
    return text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def _least(group: Group | None, limit_of: Callable[[Path, int], int | None]) -> tuple[int, Group] | None:
    """Return the limit that binds, and the group from the folder upwards that sets it."""
    least: tuple[int, Group] | None = None
    for i, folder in enumerate(() if group is None else group.folders):
        limit = None if group is None else limit_of(folder, group.version)
        if group is not None and limit is not None and (least is None or limit < least[0]):
            least = (limit, Group(version=group.version, folders=group.folders[i:]))
    return least


def _quota_millicores(folder: Path, version: int) -> int | None:
    if version == 2:
        quota, _, period = (read_text(folder / "cpu.max") or "").strip().partition(" ")
    else:
        quota = (read_text(folder / "cpu.cfs_quota_us") or "").strip()
        period = (read_text(folder / "cpu.cfs_period_us") or "").strip()
    if not (quota.isdigit() and period.isdigit() and int(period) > 0):
        return None
    return max(1, int(quota) * 1000 // int(period))


def _memory_limit_bytes(folder: Path, version: int) -> int | None:
    text = (read_text(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes")) or "").strip()
    return int(text) if text.isdigit() and 0 < int(text) < _UNLIMITED_BYTES else None


def read_text(path: Path) -> str | None:
    """Return what a small file of the kernel says, None when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _affinity() -> frozenset[int]:
    try:
        return frozenset(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # macOS has no affinity
        return frozenset(range(os.cpu_count() or 0))


def _machine_memory_bytes() -> int | None:
    try:
        return int(psutil.virtual_memory().total)
    except (OSError, psutil.Error):
        return None
