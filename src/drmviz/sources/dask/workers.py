"""Workers as a Dask scheduler describes them, brought to our units: who they are, what they have, what they use."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drmviz.errors import InvalidValueError
from drmviz.model.metrics import FloatArray
from drmviz.model.resources import UNKNOWN_CAPACITY, WorkerCapacity
from drmviz.model.samples import Reading
from drmviz.model.text import storable
from drmviz.model.workers import RosterEntry

RUNNING = ("executing", "long-running")
"""States of tasks that a worker works on; the latter have left its thread pool and hold no thread of it."""
WAITING = ("ready", "constrained")
"""States of tasks that a worker has and that wait for one of its threads or resources."""
_DESCRIBING = ("name", "host", "nthreads", "memory_limit", "local_directory", "status", "gpu")
_SHORTEST_SILENCE_S = 5.0
_PERCENT = 100.0
_NUMBERS = frozenset({int, float})
"""What msgpack makes of numbers; a bool is none."""
_NOTHING: dict[str, Any] = {}

Stated = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One life of a worker: its address and its folder tell it from all others of its scheduler."""

    address: str
    folder: str
    name: Any
    """As Dask knows it, a number or text; what it is asked to retire by."""
    entry: RosterEntry

    def is_same_as(self, other: Life) -> bool:
        return (self.address, self.folder) == (other.address, other.folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What all workers together do and hold; None where it is not known."""

    workers: int = 0
    threads: int = 0
    running: int | None = None
    ready: int | None = None
    """Tasks that wait on a worker."""
    queued: int | None = None
    """Tasks that wait on the scheduler for a worker, those among them that no worker can run included."""
    memory_bytes: int | None = None
    managed_bytes: int | None = None
    """Results that Dask knows of and holds in memory."""
    spilled_bytes: int | None = None
    """Results that it has moved to disk, as they lie there."""
    cpu_ratio: float | None = None
    """Mean by threads over the workers that tell it."""

    @property
    def unmanaged_bytes(self) -> int | None:
        """Return the memory of which Dask does not know what it is."""
        if self.memory_bytes is None or self.managed_bytes is None:
            return None
        return max(0, self.memory_bytes - self.managed_bytes)


class WorkersReader:
    """Turns what a scheduler states into readings; remembers who is who and since when somebody says nothing new."""

    def __init__(self) -> None:
        self.lives: dict[str, Life] = {}
        """By worker id: those of the last reading."""
        self.load = Load()
        self._heard: dict[str, tuple[Any, float]] = {}
        self._spilled: dict[str, int] = {}
        self._told_before: dict[str, tuple[Any, ...]] = {}
        self._refused: list[str] = []
        """What of these descriptions made no sense."""

    def read(self, stated: Mapping[str, Stated], *, taken_at_s: float) -> Reading:
        """Return a reading of `{address: worker}`, as `Scheduler.identity` holds it."""
        rejected: list[str] = []
        workers = {str(address): worker for address, worker in stated.items() if isinstance(worker, dict)}
        if len(workers) < len(stated):
            rejected.append(f"{len(stated) - len(workers)} of {len(stated)} workers are described by no dictionary")
        self.lives = self._living(workers, rejected)
        reading = Reading.unknown((life.entry for life in self.lives.values()), taken_at_s=taken_at_s)
        reading.rejected.extend(rejected)
        rows = [workers[life.address] for life in self.lives.values()]
        metrics = [self._news(life.address, workers, taken_at_s) for life in self.lives.values()]
        self._measure(reading, rows, metrics)
        self._heard = {address: heard for address, heard in self._heard.items() if address in workers}
        self._spilled = {address: most for address, most in self._spilled.items() if address in workers}
        return reading

    def _measure(self, reading: Reading, rows: Sequence[Stated], metrics: Sequence[Stated]) -> None:
        """Fill in the metrics; shape (workers,) each."""
        threads = numbers(row.get("nthreads") for row in rows)
        threads[~(threads > 0)] = np.nan
        limits = numbers(row.get("memory_limit") for row in rows)
        limits[~(limits > 0)] = np.nan  # 0 is Dask's word for "no limit"
        memory = numbers(each.get("memory") for each in metrics)
        counts = [each.get("task_counts") for each in metrics]
        running = _counted(counts, RUNNING)
        cpu = numbers(each.get("cpu") for each in metrics) / _PERCENT / threads
        reading["cpu_ratio"] = cpu  # Dask counts 100 for one busy core
        reading["memory_ratio"] = memory / limits
        reading["cpu_reserved_ratio"] = _counted(counts, RUNNING[:1]) / threads
        reading["tasks_running"] = running
        gpus = [mapping(each.get("gpu")) for each in metrics]
        reading["gpu_ratio"] = numbers(gpu.get("utilization") for gpu in gpus) / _PERCENT
        totals = numbers(mapping(row.get("gpu")).get("memory-total") for row in rows)
        totals[~(totals > 0)] = np.nan
        reading["gpu_memory_ratio"] = numbers(gpu.get("memory-used") for gpu in gpus) / totals
        spilled = [mapping(each.get("spilled_bytes")) for each in metrics]
        known = ~np.isnan(cpu) & ~np.isnan(threads)
        self.load = Load(
            workers=len(rows),
            threads=int(np.nansum(threads)),
            running=_total(running),
            ready=_total(_counted(counts, WAITING)),
            memory_bytes=_total(memory),
            managed_bytes=_total(
                numbers(each.get("managed_bytes") for each in metrics) - numbers(each.get("memory") for each in spilled)
            ),
            spilled_bytes=_total(numbers(each.get("disk") for each in spilled)),
            cpu_ratio=float(np.average(cpu[known], weights=threads[known])) if known.any() else None,
        )

    def _living(self, workers: Mapping[str, Stated], rejected: list[str]) -> dict[str, Life]:
        """Return who lives by worker id: the name, or the address where two have one name."""
        told = {address: self._told(address, worker) for address, worker in workers.items()}
        if told == self._told_before:
            rejected.extend(self._refused)
            return self.lives
        self._told_before, self._refused = told, []
        before = {life.address: life for life in self.lives.values()}
        names = Counter(storable(str(worker.get("name", address))) for address, worker in workers.items())
        lives: dict[str, Life] = {}
        for address, worker in workers.items():
            name = worker.get("name", address)
            worker_id = storable(str(name))
            if names[worker_id] > 1 or not worker_id:
                worker_id = address
            life = Life(
                address=address,
                folder=str(worker.get("local_directory")),
                name=name,
                entry=_entry(worker_id, address, worker, self._spilled[address], self._refused),
            )
            last = before.get(address)
            lives[worker_id] = last if last == life else life
        rejected.extend(self._refused)
        return lives

    def _told(self, address: str, worker: Stated) -> tuple[Any, ...]:
        """Return all that a roster entry is made of; where none of it changes, none is made anew."""
        return (self._spilling(address, worker), *map(worker.get, _DESCRIBING))

    def _spilling(self, address: str, worker: Stated) -> int:
        """Return the power of two that what it has on disk once exceeded, 0 while that is nothing.

        So a worker that spills is told a few times in its life, not at every reading.
        """
        stated = mapping(mapping(worker.get("metrics")).get("spilled_bytes")).get("disk")
        most = self._spilled.setdefault(address, 0)
        if type(stated) is int and stated >= max(2 * most, 1):
            most = self._spilled[address] = 1 << (stated.bit_length() - 1)
        return most

    def _news(self, address: str, workers: Mapping[str, Stated], now_s: float) -> Stated:
        """Return the metrics of a worker, nothing where its heartbeat stood still for several of its intervals.

        Dask lets hearts beat slower the more workers there are; `last_seen` is of another machine's clock, so only
        that it changes is used. A worker that has just started says 0 of a CPU that it has not measured yet.
        """
        seen, metrics = workers[address].get("last_seen"), mapping(workers[address].get("metrics"))
        heard = self._heard.get(address)
        if heard is None or heard[0] != seen:
            self._heard[address] = (seen, now_s)
            is_unmeasured = heard is None and metrics.get("cpu") == 0
            return {**metrics, "cpu": None} if is_unmeasured else metrics
        is_silent = now_s - heard[1] > max(_SHORTEST_SILENCE_S, 5 * (len(workers) / 200 + 1))
        return {} if is_silent else metrics


def mapping(stated: Any) -> Stated:
    """Return a dictionary as it is, and an empty one for anything else."""
    return stated if isinstance(stated, dict) else _NOTHING


def numbers(stated: Iterable[Any]) -> FloatArray:
    """Return float64 with NaN for what is no number."""
    return np.array([n if type(n) in _NUMBERS else math.nan for n in stated], dtype=np.float64)


def _counted(counts: Sequence[Any], states: Sequence[str]) -> FloatArray:
    """Return how many tasks of each worker are in one of the states; a state that is not named holds none."""
    total = np.zeros(len(counts))
    for state in states:
        total += numbers(count.get(state, 0) if isinstance(count, dict) else None for count in counts)
    return total


def _total(values: FloatArray) -> int | None:
    """Return the sum where at least one is known."""
    known = values[np.isfinite(values)]
    return round(float(known.sum())) if len(known) else None


def _entry(worker_id: str, address: str, worker: Stated, spilled: int, rejected: list[str]) -> RosterEntry:
    gpu = mapping(worker.get("gpu"))
    labels = {"address": storable(address), "status": storable(str(worker.get("status", "")))}
    if gpu.get("name"):
        labels["gpu"] = storable(str(gpu["name"]))
    if spilled:
        labels["spilled_over_bytes"] = str(spilled)
    host = worker.get("host")
    try:
        capacity = _capacity(worker, gpu)
    except (InvalidValueError, OverflowError) as error:
        rejected.append(f"capacity of {worker_id[:80]!r}: {error}")
        capacity = UNKNOWN_CAPACITY
    return RosterEntry(
        id=worker_id,
        host=str(host) if host else None,
        capacity=capacity,
        labels=tuple(sorted((name, value) for name, value in labels.items() if value)),
    )


def _capacity(worker: Stated, gpu: Stated) -> WorkerCapacity:
    """Return the threads as cores, which is what Dask gives to tasks."""
    threads, memory = worker.get("nthreads"), worker.get("memory_limit")
    total = gpu.get("memory-total")
    return WorkerCapacity(
        cpu_millicores=threads * 1000 if isinstance(threads, int) and threads > 0 else None,
        memory_bytes=int(memory) if isinstance(memory, int | float) and memory > 0 else None,
        gpu_count=1 if gpu else None,
        gpu_memory_bytes=int(total) if isinstance(total, int | float) and total > 0 else None,
    )
