"""What workers have of a resource, what of it was reserved and what was used: the sums of allocation and efficiency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from drmviz.analysis.utilization import capacities
from drmviz.model.decisions import FINISHED, RECORDING_ENDED
from drmviz.model.metrics import BoolArray, FloatArray, IntArray, Metric, Statistic
from drmviz.model.run import Run
from drmviz.model.workers import Worker

Resource = Literal["cpu", "memory", "gpu", "gpu_memory"]
RESOURCES: tuple[Resource, ...] = get_args(Resource)

WASTEFUL_BELOW = 0.5
WORTH_NAMING = 0.1
"""A reservation below this share of the capacity is too small to call wasteful."""
_ALL_THE_TIME = 0.995
"""Who was there for more of the time than this was there all the time, as far as sums can show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """Where the numbers of a resource come from."""

    used: Metric
    reserved: Metric | None
    capacity: str
    in_one: float
    """How much of the stated capacity makes one core, byte or device."""


_MEASURED: dict[Resource, _Measured] = {
    "cpu": _Measured(used="cpu_ratio", reserved="cpu_reserved_ratio", capacity="cpu_millicores", in_one=1000),
    "memory": _Measured(used="memory_ratio", reserved="memory_reserved_ratio", capacity="memory_bytes", in_one=1),
    "gpu": _Measured(used="gpu_ratio", reserved="gpu_reserved_ratio", capacity="gpu_count", in_one=1),
    "gpu_memory": _Measured(used="gpu_memory_ratio", reserved=None, capacity="gpu_memory_bytes", in_one=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Allotment:
    """One resource of each worker that has it, over a window.

    Arrays have the shape (workers,), float64, NaN where not known; amounts are in cores, bytes or devices. Each part is
    known or not by itself: a reservation may be known where use is not, and use where a capacity is not.
    """

    resource: Resource
    statistic: Statistic
    rows: IntArray
    """Which workers of the run these are; those known to have nothing of it (no GPU) are left out."""
    workers: tuple[Worker, ...]
    without: int
    """How many workers were left out."""
    capacity: FloatArray
    reserved_ratio: FloatArray
    """Over the capacity, as `used_ratio`: the mean over what was measured, or the highest."""
    used_ratio: FloatArray
    lived_ratio: FloatArray
    """Which share of the fleet's time each worker was there, 0..1; never unknown."""
    gone: BoolArray
    """Who left before the window ended, unless its work or the recording was over, or everybody left."""

    @property
    def reserved(self) -> FloatArray:
        return self.reserved_ratio * self.capacity

    @property
    def used(self) -> FloatArray:
        return self.used_ratio * self.capacity

    @property
    def idle(self) -> FloatArray:
        """Workload idle: reserved and not used, never below zero."""
        return np.maximum(self.reserved - self.used, 0.0)

    @property
    def free(self) -> FloatArray:
        """Infrastructure idle: had and neither reserved nor used; unknown use counts as none beyond the reservation."""
        free: FloatArray = np.maximum(self.capacity - np.where(np.isnan(self.used), self.reserved, self._taken), 0.0)
        return free

    @property
    def efficiency_ratio(self) -> FloatArray:
        """Used over reserved; 1 where used without a reservation, NaN where nothing was reserved and nothing used."""
        ratio = np.full(self.used_ratio.shape, np.nan)
        np.divide(self.used_ratio, self.reserved_ratio, out=ratio, where=self.reserved_ratio > 0)
        ratio[(self.reserved_ratio == 0) & (self.used_ratio > 0)] = 1.0
        return ratio

    @property
    def wasteful(self) -> BoolArray:
        """Who used less than half of a reservation worth naming."""
        wasteful: BoolArray = (self.efficiency_ratio < WASTEFUL_BELOW) & (self.reserved_ratio >= WORTH_NAMING)
        return wasteful

    @property
    def is_known(self) -> bool:
        """Whether use or a reservation of it is known of anybody."""
        return bool(np.isfinite(self.used_ratio).any() or np.isfinite(self.reserved_ratio).any())

    @property
    def is_reserved(self) -> bool:
        """Whether a reservation of it is known of anybody, be it of nothing."""
        return bool(np.isfinite(self.reserved_ratio).any())

    @property
    def _taken(self) -> FloatArray:
        taken: FloatArray = np.maximum(self.reserved, self.used)  # NaN where one of them is
        return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """The sums of an `Allotment` over its workers; None where it is known of none of them.

    A worker that was there for half of the time counts half, so a fleet that replaced its workers is not counted twice;
    of highest values there is no such mean, and every worker counts in full.
    """

    workers: int
    capacity: float | None
    reserved: float | None
    used: float | None
    idle: float | None
    free: float | None
    compared: float | None
    """What is reserved by those of whom use is known too."""
    efficiency_ratio: float | None
    """Over the workers of which both use and reservation are known."""
    capacity_unknown: int
    """How many workers are missing from the sums."""
    reserved_unknown: int
    used_unknown: int
    averaged: bool
    """Whether some worker was not there all the time, so that capacities are means too."""


def metrics_of(resource: Resource) -> tuple[Metric, ...]:
    """Return the metrics that a resource is read from: use, and reservation where it has one."""
    measured = _MEASURED[resource]
    return (measured.used,) if measured.reserved is None else (measured.used, measured.reserved)


def resource_of(metric: Metric) -> Resource | None:
    """Return the resource that a metric is about; None for the number of tasks."""
    return next((resource for resource in RESOURCES if metric in metrics_of(resource)), None)


def allotment(run: Run, resource: Resource, *, statistic: Statistic = "mean") -> Allotment:
    """Return what each worker has of a resource, what was reserved of it and what was used.

    Raises:
        InvalidValueError: the resource's metrics were not read together with this run.
    """
    found: Allotment = run.once(f"allotment {resource} {statistic}", lambda: _allotment(run, resource, statistic))
    return found


def _allotment(run: Run, resource: Resource, statistic: Statistic) -> Allotment:
    measured = _MEASURED[resource]
    ratio_of = run.mean_of if statistic == "mean" else run.highest_of
    everybody = list(range(len(run.workers)))
    capacity = capacities(run, everybody, measured.capacity) / measured.in_one
    if statistic == "mean":
        for row, had in _mean_capacities(run, measured.capacity):
            capacity[row] = had / measured.in_one
    rows = np.flatnonzero(capacity != 0)
    unknown = np.full(len(run.workers), np.nan)
    return Allotment(
        resource=resource,
        statistic=statistic,
        rows=rows,
        workers=tuple(run.workers[row] for row in rows.tolist()),
        without=len(run.workers) - len(rows),
        capacity=capacity[rows],
        reserved_ratio=(unknown if measured.reserved is None else ratio_of(measured.reserved))[rows],
        used_ratio=ratio_of(measured.used)[rows],
        lived_ratio=_lived(run)[rows],
        gone=_gone(run)[rows],
    )


def total(of: Allotment) -> Total:
    """Sum up over the workers of which a number is known."""
    weights = of.lived_ratio if of.statistic == "mean" else np.ones_like(of.lived_ratio)

    def summed(amounts: FloatArray) -> float | None:
        known = np.isfinite(amounts)
        return float((amounts * weights).sum(where=known)) if known.any() else None

    both = np.isfinite(of.used_ratio) & np.isfinite(of.reserved_ratio)
    return Total(
        workers=len(of.workers),
        capacity=summed(of.capacity),
        reserved=summed(of.reserved),
        used=summed(of.used),
        idle=summed(of.idle),
        free=summed(of.free),
        compared=summed(np.where(both, of.reserved, np.nan)),
        efficiency_ratio=_efficiency(of, weights, both),
        capacity_unknown=int(np.isnan(of.capacity).sum()),
        reserved_unknown=int(np.isnan(of.reserved_ratio).sum()),
        used_unknown=int(np.isnan(of.used_ratio).sum()),
        averaged=bool((weights < _ALL_THE_TIME).any()),
    )


def why_unknown(of: Allotment) -> dict[str, int]:
    """Return why efficiencies are not known, in words, and of how many workers."""
    no_use, no_reservation = np.isnan(of.used_ratio), np.isnan(of.reserved_ratio)
    reasons = {
        "use not measured": no_use & ~no_reservation,
        "reservation not known": no_reservation & ~no_use,
        "neither use nor reservation known": no_use & no_reservation,
        "nothing reserved and nothing used": (of.used_ratio == 0) & (of.reserved_ratio == 0),
    }
    return {why: int(of_them.sum()) for why, of_them in reasons.items() if of_them.any()}


def _efficiency(of: Allotment, weights: FloatArray, both: BoolArray) -> float | None:
    """Divide the sums; where a capacity is not known, only workers with one count, or all alike where none has."""
    sized = both & np.isfinite(of.capacity)
    chosen = sized if sized.any() else both
    scale = (weights * of.capacity if sized.any() else weights)[chosen]
    used, reserved = float((of.used_ratio[chosen] * scale).sum()), float((of.reserved_ratio[chosen] * scale).sum())
    if reserved > 0:
        return used / reserved
    return 1.0 if used > 0 else None


def _mean_capacities(run: Run, name: str) -> list[tuple[int, float]]:
    """Return the rows of those who came back with another capacity, and what they had on average while they lived."""
    several = {
        row: stated
        for row, worker in enumerate(run.workers)
        if len(worker.incarnations) > 1
        and len(set(stated := [getattr(life.capacity, name) for life in worker.incarnations])) > 1
        and None not in stated
    }
    if not several or not run.columns:
        return []
    of_row, began_s, ended_s = _lives(run)
    found = []
    for row, stated in several.items():
        lasted_s = (ended_s - began_s)[of_row == row]
        if lasted_s.sum() > 0:
            found.append((row, float(np.average(stated, weights=lasted_s))))
    return found


def _lived(run: Run) -> FloatArray:
    """Return the share of the time in which anybody lived that each worker lived, exact whatever the columns are."""
    if not run.columns:
        return np.zeros(len(run.workers))
    row, began_s, ended_s = _lives(run)
    lived_s = np.bincount(row, weights=ended_s - began_s, minlength=len(run.workers))
    in_order = np.argsort(began_s, kind="stable")
    began_s, ended_s = began_s[in_order], ended_s[in_order]
    until_s = np.maximum.accumulate(np.concatenate([[-np.inf], ended_s]))[:-1]
    inhabited_s = float(np.maximum(ended_s - np.maximum(began_s, until_s), 0.0).sum())
    if inhabited_s > 0:
        return np.asarray(lived_s / inhabited_s, dtype=np.float64)
    lived: FloatArray = run.alive.sum(axis=1) / max(1, int(run.alive.any(axis=0).sum()))  # all lives are moments
    return lived


def _lives(run: Run) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return the row of each life, and from when to when in the window it was, in seconds; none ends before it began.

    The interval of the last tick belongs to the recording; the rest of its column does not.
    """
    first_s, end_s = float(run.starts_at_s[0]), min(float(run.starts_at_s[-1]) + run.width_s, run.end_s)
    if run.header.ended_at_s is not None:
        end_s = max(first_s, min(end_s, run.header.ended_at_s + (run.header.interval_s or run.width_s)))
    lives = [(row, life) for row, worker in enumerate(run.workers) for life in worker.incarnations]
    began_s = np.array([life.joined_at_s for _, life in lives], dtype=np.float64)
    left_s = np.array([np.inf if life.left_at_s is None else life.left_at_s for _, life in lives], dtype=np.float64)
    began_s = np.clip(began_s, first_s, end_s)
    return np.array([row for row, _ in lives], dtype=np.intp), began_s, np.maximum(np.minimum(left_s, end_s), began_s)


def _gone(run: Run) -> BoolArray:
    if not run.columns:
        return np.zeros(len(run.workers), dtype=np.bool_)
    over = np.array([worker.latest.why_left in (FINISHED, RECORDING_ENDED) for worker in run.workers], dtype=np.bool_)
    gone: BoolArray = ~run.alive[:, -1] & ~over
    return gone & ~gone.all()
