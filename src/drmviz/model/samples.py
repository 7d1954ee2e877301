"""One source's answer at one instant (`Reading`), and the readings of all sources as they are stored (`Tick`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from drmviz.errors import InvalidValueError
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.model.metrics import METRIC_ROW, METRICS, FloatArray
from drmviz.model.resources import UNKNOWN_CAPACITY, WorkerCapacity
from drmviz.model.tasks import Task
from drmviz.model.text import LONGEST_NAME, storable
from drmviz.model.workers import Incarnation, RosterEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is known of every live worker; NaN where nothing was measured.

    Set a metric with `reading["cpu_ratio"] = values`, one number per entry in their order. A value that makes no
    sense (negative, infinite, text, a bool) becomes NaN and is counted in `rejected`; it never costs the reading.
    """

    taken_at_s: float
    entries: tuple[RosterEntry, ...]
    values: FloatArray
    """float32, shape (metrics, entries)."""
    decisions: tuple[ScalingDecision, ...] = ()
    changes: tuple[FleetChange, ...] = ()
    tasks: tuple[Task, ...] = ()
    cloud: tuple[CloudUsage, ...] = ()
    """Providers of which something changed since this source told of them last."""
    rejected: list[str] = field(default_factory=list)
    """What was refused, in words; empty when everything made sense."""

    @classmethod
    def unknown(
        cls,
        workers: Iterable[str | RosterEntry],
        *,
        taken_at_s: float,
        decisions: Iterable[ScalingDecision] = (),
        changes: Iterable[FleetChange] = (),
        tasks: Iterable[Task] = (),
        cloud: Iterable[CloudUsage] = (),
    ) -> Reading:
        """Return a reading in which nothing is measured yet; ids alone make workers of unknown capacity."""
        rejected: list[str] = []
        entries = _entries(workers, rejected)
        values = np.full((len(METRICS), len(entries)), np.nan, dtype=np.float32)
        return cls(
            taken_at_s=taken_at_s,
            entries=entries,
            values=values,
            decisions=tuple(decisions),
            changes=tuple(changes),
            tasks=tuple(tasks),
            cloud=tuple(cloud),
            rejected=rejected,
        )

    @classmethod
    def of(
        cls,
        now_s: float,
        workers: Mapping[str, Mapping[str, Any]],
        *,
        decisions: Iterable[ScalingDecision] = (),
        changes: Iterable[FleetChange] = (),
        tasks: Iterable[Task] = (),
    ) -> Reading:
        """Build from plain dictionaries: `{"w1": {"cpu_ratio": 0.5, "capacity": {"cpu_cores": 8}}}`.

        Keys of a worker are metrics, `capacity`, `host`, `pid` and `labels`; what is missing or None is unknown.
        """
        rejected: list[str] = []
        entries: list[RosterEntry] = []
        rows_by_id: dict[str, Mapping[str, Any]] = {}
        for worker_id, stated in workers.items():
            entries.append(_entry_of(worker_id, stated, rejected))
            rows_by_id.setdefault(entries[-1].id, stated)
        reading = cls.unknown(entries, taken_at_s=now_s, decisions=decisions, changes=changes, tasks=tasks)
        rows = [rows_by_id[entry.id] for entry in reading.entries]
        for metric in METRICS:
            reading[metric] = [row.get(metric) for row in rows]
        reading.rejected.extend(rejected)
        return reading

    def __getitem__(self, metric: str) -> FloatArray:
        row: FloatArray = self.values[METRIC_ROW[metric]]
        return row

    def __setitem__(self, metric: str, values: Iterable[Any]) -> None:
        if metric not in METRIC_ROW:
            raise InvalidValueError("metric", metric, f"is not one of {', '.join(METRICS)}")
        clean, refused = _sensible(values)
        if clean.shape != (len(self.entries),):
            raise InvalidValueError(metric, clean.shape, f"must hold one value for each of {len(self.entries)} workers")
        self.values[METRIC_ROW[metric]] = clean
        if refused:
            self.rejected.append(f"{refused} value{'s' if refused > 1 else ''} of {metric} made no sense")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Which incarnations the columns of a tick stand for, in the order of their numbers."""

    number: int
    incarnations: tuple[Incarnation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The readings of all sources at one instant, ready to be stored."""

    at_s: float
    """On the run's own axis: its first wall time plus monotonic seconds since."""
    wall_s: float
    """What the wall clock said."""
    roster: Roster
    values: FloatArray
    """float32, shape (metrics, incarnations)."""
    came: tuple[Incarnation, ...] = ()
    went: tuple[Incarnation, ...] = ()
    resized: tuple[Incarnation, ...] = ()
    """Incarnations whose capacity or labels are others than before."""
    decisions: tuple[ScalingDecision, ...] = ()
    tasks: tuple[Task, ...] = ()
    cloud: tuple[CloudUsage, ...] = ()


def _entries(workers: Iterable[str | RosterEntry], rejected: list[str]) -> tuple[RosterEntry, ...]:
    entries: dict[str, RosterEntry] = {}
    for worker in workers:
        entry = RosterEntry(id=storable(str(worker))) if not isinstance(worker, RosterEntry) else worker
        if not 0 < len(entry.id) <= LONGEST_NAME:
            rejected.append(f"a worker id of {len(entry.id)} characters is not between 1 and {LONGEST_NAME}")
        elif entry.id in entries:
            rejected.append(f"worker id {entry.id[:80]!r} came twice")
        else:
            entries[entry.id] = entry
    return tuple(entries.values())


def _entry_of(worker_id: object, stated: Mapping[str, Any], rejected: list[str]) -> RosterEntry:
    capacity = UNKNOWN_CAPACITY
    try:
        given = stated.get("capacity") or {}
        capacity = given if isinstance(given, WorkerCapacity) else WorkerCapacity.of(given)
    except InvalidValueError as error:
        rejected.append(f"capacity of {str(worker_id)[:80]!r}: {error}")
    pid = stated.get("pid")
    return RosterEntry(
        id=storable(str(worker_id)),
        host=None if stated.get("host") is None else storable(str(stated["host"])),
        pid=pid if isinstance(pid, int) and not isinstance(pid, bool) and 0 <= pid < 2**31 else None,
        capacity=capacity,
        labels=tuple(sorted((storable(str(k)), storable(str(v))) for k, v in (stated.get("labels") or {}).items())),
    )


def _sensible(values: Iterable[Any]) -> tuple[npt.NDArray[np.float32], int]:
    """Return float32 with NaN for what makes no sense, and how many there were; None and NaN are not counted."""
    given = values if isinstance(values, np.ndarray) else np.array(list(values), dtype=object)
    if given.dtype == object or given.dtype.kind not in "fiu":
        numbers = np.array([_number(value) for value in given.ravel()], dtype=np.float64).reshape(given.shape)
        refused = int(sum(_is_refused(value) for value in given.ravel()))
    else:
        numbers, refused = given.astype(np.float64), 0
    nonsense = ~np.isnan(numbers) & ((numbers < 0) | (numbers > np.finfo(np.float32).max))
    numbers = np.where(nonsense, np.nan, numbers)
    return numbers.astype(np.float32), refused + int(nonsense.sum())


def _number(value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.floating | np.integer):
        return float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _is_refused(value: Any) -> bool:
    return value is not None and (
        isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.floating | np.integer)
    )
