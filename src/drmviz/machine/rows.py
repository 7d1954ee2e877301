"""The rows of a reading that every source of this machine shares: the host, its GPUs, and processes."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from drmviz.machine.gpu import Gpus, GpuUse
from drmviz.machine.host import read_host
from drmviz.machine.limits import Limits, read_limits
from drmviz.machine.processes import ProcessUse, Rates
from drmviz.model.decisions import FleetChange
from drmviz.model.metrics import METRICS
from drmviz.model.resources import WorkerCapacity
from drmviz.model.samples import Reading
from drmviz.model.tasks import Task
from drmviz.model.text import storable
from drmviz.model.workers import Kind, RosterEntry

ONE_CORE_MILLICORES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One entry and what is measured of it; what is missing is unknown."""

    entry: RosterEntry
    metrics: Mapping[str, float | None] = field(default_factory=dict)


def reading_of(
    rows: Iterable[Row], *, taken_at_s: float, changes: Iterable[FleetChange] = (), tasks: Iterable[Task] = ()
) -> Reading:
    """Lay rows out as a reading; of two rows with one id the first stays."""
    by_id: dict[str, Row] = {}
    for row in rows:
        by_id.setdefault(row.entry.id, row)
    reading = Reading.unknown(
        [row.entry for row in by_id.values()], taken_at_s=taken_at_s, changes=changes, tasks=tasks
    )
    for metric in METRICS:
        reading[metric] = [row.metrics.get(metric) for row in by_id.values()]
    return reading


class Machine:
    """Measures this machine between two reads; keeps its counters and entries so that nothing is told anew."""

    def __init__(self, *, limits: Limits | None = None, gpus: Gpus | None = None, name: str | None = None) -> None:
        self.limits = limits if limits is not None else read_limits()
        self.name = storable(name or socket.gethostname() or "localhost")
        self.rates = Rates()
        self._gpus = gpus if gpus is not None else Gpus()
        self._entries: dict[tuple[object, ...], RosterEntry] = {}
        self._seen: dict[tuple[int, float], None] = {}
        self.gpu_uses: tuple[GpuUse, ...] = ()

    def close(self) -> None:
        self._gpus.close()

    def host_row(self, at_s: float, *, kind: Kind = "host") -> Row:
        """Return what is in use of what can be used here."""
        use = read_host(self.limits)
        cores_in_use = self.rates.of("host", at_s, use.cpu_s)
        metrics = {
            "cpu_ratio": ratio(cores_in_use, self.limits.cpu_millicores, per=1000),
            "memory_ratio": ratio(use.memory_bytes, self.limits.memory_bytes),
        }
        if kind == "worker":  # its GPUs are its own, as it is the only worker
            known = [gpu.busy_ratio for gpu in self.gpu_uses if gpu.busy_ratio is not None]
            metrics["gpu_ratio"] = sum(known) / len(known) if known else None
            metrics["gpu_memory_ratio"] = ratio(
                _total(gpu.used_memory_bytes for gpu in self.gpu_uses),
                _total(gpu.memory_bytes for gpu in self.gpu_uses),
            )
        return Row(entry=self._host_entry(kind), metrics=metrics)

    def gpu_rows(self) -> list[Row]:
        """Measure the GPUs and return a row for each; call it before asking what a process uses of them."""
        self.gpu_uses = self._gpus.read()
        return [
            Row(
                entry=self._gpu_entry(gpu),
                metrics={
                    "gpu_ratio": gpu.busy_ratio,
                    "gpu_memory_ratio": ratio(gpu.used_memory_bytes, gpu.memory_bytes),
                },
            )
            for gpu in self.gpu_uses
        ]

    def gpu_metrics(self, pids: Iterable[int]) -> dict[str, float | None]:
        """Return what these processes use of the GPUs they are on; unknown where the driver does not tell."""
        members = frozenset(pids)
        busy: list[float] = []
        used = had = 0
        for gpu in self.gpu_uses:
            shares = [share for pid, share in gpu.busy_ratio_by_pid.items() if pid in members]
            if shares:
                busy.append(sum(shares))
            held = [size for pid, size in gpu.memory_by_pid.items() if pid in members]
            if held and gpu.memory_bytes:
                used, had = used + sum(held), had + gpu.memory_bytes
        return {"gpu_ratio": sum(busy) / len(busy) if busy else None, "gpu_memory_ratio": ratio(used, had or None)}

    def process_rows(self, processes: Iterable[ProcessUse], at_s: float, *, always: frozenset[int]) -> list[Row]:
        """Return a row for each process that was there the last time too, or is in `always`."""
        rows: list[Row] = []
        seen: dict[tuple[int, float], None] = {}
        for use in processes:
            life = (use.pid, use.started_at_s)
            seen[life] = None
            cores_in_use = self.rates.of(life, at_s, use.cpu_s)
            if life not in self._seen and use.pid not in always:
                continue
            metrics = self.gpu_metrics([use.pid]) if self.gpu_uses else {}
            metrics["cpu_ratio"] = cores_in_use
            metrics["memory_ratio"] = ratio(use.memory_bytes, self.limits.memory_bytes)
            rows.append(Row(entry=self._process_entry(use), metrics=metrics))
        self._seen = seen
        return rows

    def entry(
        self,
        entry_id: str,
        kind: Kind,
        *,
        pid: int | None,
        host: str | None,
        memory_bytes: int | None,
        labels: tuple[tuple[str, str], ...] = (),
    ) -> RosterEntry:
        """Return the entry of something that works on one core; the same object for the same facts."""
        key = (entry_id, kind, pid, host, memory_bytes, labels)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = RosterEntry(
                id=entry_id,
                kind=kind,
                parent=self.name if host == self.name else None,
                host=host,
                pid=pid,
                capacity=WorkerCapacity(cpu_millicores=ONE_CORE_MILLICORES, memory_bytes=memory_bytes),
                labels=labels,
            )
        return entry

    def forget_entries(self, kept: Iterable[RosterEntry]) -> None:
        """Let go of entries that no row uses any more."""
        alive = {id(entry) for entry in kept}
        self._entries = {key: entry for key, entry in self._entries.items() if id(entry) in alive}

    def _process_entry(self, use: ProcessUse) -> RosterEntry:
        entry_id = storable(f"{use.name}-{use.pid}")
        return self.entry(entry_id, "process", pid=use.pid, host=self.name, memory_bytes=self.limits.memory_bytes)

    def _host_entry(self, kind: Kind) -> RosterEntry:
        key = ("host", kind)
        entry = self._entries.get(key)
        if entry is None:
            capacity = WorkerCapacity(
                cpu_millicores=self.limits.cpu_millicores,
                memory_bytes=self.limits.memory_bytes,
                gpu_count=len(self.gpu_uses) or None,
                gpu_memory_bytes=_total(gpu.memory_bytes for gpu in self.gpu_uses),
            )
            entry = self._entries[key] = RosterEntry(id=self.name, kind=kind, host=self.name, capacity=capacity)
        return entry

    def _gpu_entry(self, gpu: GpuUse) -> RosterEntry:
        key = ("gpu", gpu.index, gpu.uuid, gpu.memory_bytes)
        entry = self._entries.get(key)
        if entry is None:
            named = (("name", gpu.name), ("uuid", gpu.uuid))
            entry = self._entries[key] = RosterEntry(
                id=f"{self.name}-gpu{gpu.index}",
                kind="gpu",
                parent=self.name,
                host=self.name,
                capacity=WorkerCapacity(gpu_count=1, gpu_memory_bytes=gpu.memory_bytes),
                labels=tuple((key, storable(value)) for key, value in named if value is not None),
            )
        return entry


def ratio(used: float | None, capacity: float | None, *, per: int = 1) -> float | None:
    """Return used * per / capacity; unknown where either is."""
    return None if used is None or not capacity else used * per / capacity


def _total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
