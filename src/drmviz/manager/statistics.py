"""Statistics of any manager, as `get_worker_statistics()` returns them, read into metrics and capacities."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from math import isnan
from typing import Any

import numpy as np

from drmviz.errors import SourceUnavailableError
from drmviz.manager.judging import UseJudge
from drmviz.manager.values import number_of
from drmviz.model.metrics import BoolArray, FloatArray
from drmviz.model.resources import UNKNOWN_CAPACITY, WorkerCapacity
from drmviz.model.samples import Reading
from drmviz.model.text import LONGEST_NAME, storable
from drmviz.model.workers import RosterEntry

MIB = 2**20

Labels = tuple[tuple[str, str], ...]
LabelsOf = Callable[[str], Mapping[str, str]]
"""Says where a worker runs, as the labels of its `RosterEntry`; nothing where it is not known."""

_FIELDS = (
    "utilization.cpu", "utilization.memory", "utilization.gpu", "utilization.gpu_memory",
    "allocation.cpu", "allocation.memory", "allocation.gpu", "tasks",
    "cpu.cores", "memory.total_mb", "gpu.devices", "gpu.memory_mb",
    "cpu.available_cores", "memory.available_mb", "gpu.available_devices", "gpu.available_memory_mb",
)  # fmt: skip
_CAPACITY = slice(8, 12)
_NEVER_ZERO = ("cpu.cores", "memory.total_mb")
_SANE = 2**42  # more of anything than any machine has; as MiB it still fits the store
_LOOKS_LIKE_PERCENT = 10.0
_NOTHING: Mapping[str, Any] = {}
_PLAIN = frozenset({int, float, type(None)})

_Rows = dict[str, tuple[tuple[Any, ...], Labels]]
"""What is stated of each worker in the order of `_FIELDS`, and where it runs."""
_Columns = dict[str, FloatArray]
"""float64 by field, one number for each worker, NaN where not known."""


class StatisticsReader:
    """Reads the statistics of one manager, tick after tick.

    It remembers whether their utilization was ever more than reservations, and the entries of workers that stay as they
    are.
    """

    def __init__(self, *, labels_of: LabelsOf | None = None) -> None:
        self._labels_of = labels_of
        self._judge = UseJudge()
        self._tells_reserved = False
        self._entries: dict[str, tuple[tuple[Any, ...], RosterEntry]] = {}

    @property
    def states_reservations_only(self) -> bool:
        """Whether every utilization so far was nothing but what is reserved: then use is not known."""
        return not self._tells_reserved and self._judge.saw_reservations_only

    def read(self, statistics: object, *, taken_at_s: float) -> Reading:
        """Return what is stated of every worker; nothing of the statistics themselves is kept.

        A number that makes no sense becomes unknown and is counted in `rejected`.

        Raises:
            SourceUnavailableError: there is no mapping of workers in it.
        """
        rejected: list[str] = []
        rows = self._rows(_workers_of(statistics), rejected)
        fields = zip(*(row for row, _ in rows.values()), strict=True) if rows else [()] * len(_FIELDS)
        stated = {name: _numbers(values, name, rejected) for name, values in zip(_FIELDS, fields, strict=True)}
        reading = Reading.unknown(self._kept(rows, stated), taken_at_s=taken_at_s)
        reading.rejected.extend(rejected)
        self._fill(reading, stated)
        return reading

    def _rows(self, workers: Mapping[Any, Any], rejected: list[str]) -> _Rows:
        rows: _Rows = {}
        malformed = 0
        for key, worker in list(workers.items()):
            worker_id = storable(str(key))
            if not 0 < len(worker_id) <= LONGEST_NAME or worker_id in rows:
                rejected.append(f"worker id {worker_id[:80]!r} came twice, is empty, or is longer than any name")
                continue
            malformed += not isinstance(worker, Mapping)
            stated = _part(worker)
            known = _NOTHING if self._labels_of is None else self._labels_of(worker_id)
            rows[worker_id] = (_row(stated), _labels(known, _part(stated, "labels")))
            self._tells_reserved = self._tells_reserved or "allocation" in stated
        if malformed:
            rejected.append(f"{malformed} of {len(workers)} workers are described by something that is no mapping")
        return rows

    def _kept(self, rows: _Rows, stated: _Columns) -> list[RosterEntry]:
        """Return the entry of each worker: the same object as long as nothing about it changes.

        A capacity that is not stated this time is still the one that was.
        """
        kept: dict[str, tuple[tuple[Any, ...], RosterEntry]] = {}
        for i, (worker_id, (row, labels)) in enumerate(rows.items()):
            same = (row[_CAPACITY], labels)
            known = self._entries.get(worker_id)
            if known is None or known[0] != same:
                before = UNKNOWN_CAPACITY if known is None else known[1].capacity
                entry = RosterEntry(id=worker_id, capacity=_capacity(stated, i, before), labels=labels)
                known = (same, entry)
            kept[worker_id] = known
        self._entries = kept
        return [entry for _, entry in kept.values()]

    def _fill(self, reading: Reading, stated: _Columns) -> None:
        no_gpu = ~((stated["gpu.devices"] > 0) | (np.isnan(stated["gpu.devices"]) & (stated["gpu.memory_mb"] > 0)))
        used = {name: stated[f"utilization.{name}"] for name in ("cpu", "memory", "gpu", "gpu_memory")}
        granted = {name: stated[f"allocation.{name}"] for name in ("cpu", "memory", "gpu")}
        for of_gpu in (used["gpu"], used["gpu_memory"], granted["gpu"]):
            # zero is a measurement only where there is something to measure
            of_gpu[no_gpu & ((of_gpu == 0) | (stated["gpu.devices"] == 0))] = np.nan
        reserved = {
            "cpu": _taken(stated, "cpu.cores", "cpu.available_cores", reading.rejected),
            "memory": _taken(stated, "memory.total_mb", "memory.available_mb", reading.rejected),
            "gpu": _first_known(
                _taken(stated, "gpu.devices", "gpu.available_devices", reading.rejected),
                _taken(stated, "gpu.memory_mb", "gpu.available_memory_mb", reading.rejected),
            ),
        }
        if not self._tells_reserved:
            reading.rejected.extend(_percent_in(used))
        if self._tells_reserved or self._judge.is_measured(used, reserved):
            for name, values in used.items():
                reading[f"{name}_ratio"] = values
        for name, values in granted.items():
            reading[f"{name}_reserved_ratio"] = _first_known(values, reserved[name])
        reading["tasks_running"] = stated["tasks"]


def _workers_of(statistics: object) -> Mapping[Any, Any]:
    if isinstance(statistics, Coroutine):
        statistics.close()
        raise SourceUnavailableError(
            "manager",
            "its get_worker_statistics() is async, and nobody here waits for it",
            remedy="Hand in an object whose get_worker_statistics() returns them at once.",
        )
    workers = statistics.get("workers") if isinstance(statistics, Mapping) else None
    if not isinstance(workers, Mapping):
        what = f"{type(statistics).__name__}" if workers is None else f'{{"workers": {type(workers).__name__}}}'
        raise SourceUnavailableError(
            "manager",
            f"get_worker_statistics() returned no mapping of workers, but {what}",
            remedy='It must return {"workers": {id: {...}}}.',
        )
    return workers


def _part(stated: Any, name: str | None = None) -> Mapping[str, Any]:
    part = stated if name is None else stated.get(name)
    return part if type(part) is dict or isinstance(part, Mapping) else _NOTHING


def _row(worker: Mapping[str, Any]) -> tuple[Any, ...]:
    used, granted, has = _part(worker, "utilization"), _part(worker, "allocation"), _part(worker, "resources")
    has = _part(has, "resources") or has  # some managers put the capacities one level deeper
    cpu, memory, gpu = _part(has, "cpu"), _part(has, "memory"), _part(has, "gpu")
    devices = gpu.get("devices")
    return (
        used.get("cpu"),
        used.get("memory"),
        used.get("gpu"),
        used.get("gpu_memory"),
        granted.get("cpu"),
        granted.get("memory"),
        granted.get("gpu"),
        worker.get("tasks"),
        cpu.get("cores"),
        memory.get("total_mb"),
        len(devices) if isinstance(devices, list | tuple) else devices,
        gpu.get("memory_mb"),
        cpu.get("available_cores"),
        memory.get("available_mb"),
        gpu.get("available_devices"),
        gpu.get("available_memory_mb"),
    )


def _labels(known: Mapping[str, str], stated: Mapping[str, Any]) -> Labels:
    if not known and not stated:
        return ()
    own = {storable(str(key)): storable(str(value)) for key, value in stated.items()}
    return tuple(sorted((dict(known) | own).items()))


def _numbers(values: tuple[Any, ...], name: str, rejected: list[str]) -> FloatArray:
    """Return float64 with NaN for what is not known or makes no sense; the latter is counted."""
    if not set(map(type, values)) <= _PLAIN:
        values = tuple(_number(value) for value in values)
    try:
        numbers = np.array(values, dtype=np.float64)
    except OverflowError:
        numbers = np.array([_number(value) for value in values], dtype=np.float64)
    wrong = (numbers < 0) | (numbers > _SANE)
    if name in _NEVER_ZERO:
        wrong |= numbers == 0
    return _without(numbers, wrong, name, rejected)


def _number(value: Any) -> float | None:
    """Return what is a number as a float, -1 for what is none."""
    if value is None:
        return None
    number = number_of(value)
    return -1.0 if number is None else number


def _without(numbers: FloatArray, wrong: BoolArray, what: str, rejected: list[str]) -> FloatArray:
    count = int(wrong.sum())
    if count:
        rejected.append(f"{count} value{'s' if count > 1 else ''} of {what} made no sense")
        numbers[wrong] = np.nan
    return numbers


def _taken(stated: _Columns, whole: str, left: str, rejected: list[str]) -> FloatArray:
    """Return the share that is not available any more; NaN where there is nothing, or nothing is known."""
    total = np.where(stated[whole] > 0, stated[whole], np.nan)
    share = 1 - stated[left] / total
    share[np.abs(share) < 1e-9] = 0.0
    return _without(share, share < 0, left, rejected)


def _percent_in(used: Mapping[str, FloatArray]) -> list[str]:
    """Return what to say of utilization that looks like percent; it is kept: nobody can be sure."""
    highest = {name: float(np.nanmax(values, initial=0.0)) for name, values in used.items()}
    return [
        f"utilization.{name} of {value:g} is read as {value * 100:,.0f} %: shares from 0 to 1 are expected, not percent"
        for name, value in highest.items()
        if value > _LOOKS_LIKE_PERCENT
    ]


def _first_known(values: FloatArray, otherwise: FloatArray) -> FloatArray:
    known: FloatArray = np.where(np.isnan(values), otherwise, values)
    return known


def _capacity(stated: _Columns, i: int, before: WorkerCapacity) -> WorkerCapacity:
    cores, memory_mb, devices, gpu_memory_mb = (float(stated[name][i]) for name in _FIELDS[_CAPACITY])
    return WorkerCapacity(
        cpu_millicores=before.cpu_millicores if isnan(cores) else max(1, round(cores * 1000)),
        memory_bytes=before.memory_bytes if isnan(memory_mb) else max(1, round(memory_mb * MIB)),
        gpu_count=before.gpu_count if isnan(devices) else round(devices),
        gpu_memory_bytes=before.gpu_memory_bytes if isnan(gpu_memory_mb) else round(gpu_memory_mb * MIB),
    )
