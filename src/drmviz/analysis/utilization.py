"""How busy workers were: means over what was measured, weighted by what each worker has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drmviz.model.metrics import CAPACITY_OF, FloatArray, Metric, Statistic
from drmviz.model.run import Run
from drmviz.model.workers import Kind, Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One metric over all rows: the mean over what was measured, and the highest single value."""

    mean_ratio: float | None = None
    max_ratio: float | None = None
    measured_s: float = 0.0
    """Worker-seconds over which the mean is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerUse:
    """What one worker did."""

    id: str
    alive_s: float
    measured_s: float
    """Of `alive_s`, the seconds in which CPU was measured."""
    cpu_mean_ratio: float | None
    cpu_core_s: float | None
    memory_peak_ratio: float | None
    memory_peak_bytes: float | None
    """Highest sample; a peak between two samples is higher still."""
    tests: int
    testing_s: float
    idle_s: float
    """Alive and running no test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilization:
    """How busy the workers were, or the processes where no worker was recorded."""

    kind: str
    cpu: Level
    memory: Level
    gpu: Level
    gpu_memory: Level
    alive_s: float
    measured_s: float
    cpu_core_s: float | None
    """CPU seconds used; None where a capacity is not known or nothing was measured."""
    testing_ratio: float | None
    """Share of worker-seconds in which a test ran; None where no test was recorded."""
    workers: tuple[WorkerUse, ...]


def rows_of(run: Run, *kinds: Kind) -> list[int]:
    """Return the rows of the first of these kinds that the run has any of."""
    for kind in kinds:
        rows = run.rows_of_kind(kind)
        if rows:
            return list(rows)
    return []


def wall_s(run: Run) -> float:
    """Return how long the window lasted, cut at the end of the run."""
    return max(0.0, end_s_of(run) - max(run.start_s, min(run.header.started_at_s, run.end_s)))


def alive_s(run: Run, worker: Worker) -> float:
    """Return for how many seconds of the window the worker lived."""
    end_s = end_s_of(run)
    lives = (
        min(end_s, life.left_at_s if life.left_at_s is not None else end_s) - max(run.start_s, life.joined_at_s)
        for life in worker.incarnations
    )
    return sum(max(0.0, life_s) for life_s in lives)


def capacities(run: Run, rows: list[int], name: str) -> FloatArray:
    """Return one capacity for each of the rows, NaN where it is not known."""
    return run.capacities(name)[rows]


def series(run: Run, metric: Metric, rows: list[int] | None = None, *, statistic: Statistic = "mean") -> FloatArray:
    """Return the weighted mean over the rows: float64, shape (columns,), NaN where nothing was measured."""
    if rows is None:
        everybody = rows_of(run, "worker", "process")
        of_all: FloatArray = run.once(
            f"series {metric} {statistic}", lambda: series(run, metric, everybody, statistic=statistic)
        )
        return of_all
    stated = capacities(run, rows, WEIGHTS[metric])
    weights = _weights(stated)
    used, total = np.zeros(run.columns), np.zeros(run.columns)
    for place, had in _changed(run, rows, WEIGHTS[metric]) if np.isfinite(stated).all() else ():
        grid = _grid(run, metric, statistic, [rows[place]])[0]
        used += had * np.where(np.isfinite(grid), grid, 0.0)
        total += had * np.isfinite(grid)
        weights[place] = 0
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        grid = _grid(run, metric, statistic, rows[first : first + _ROWS_AT_ONCE])
        known, part = np.isfinite(grid), weights[first : first + _ROWS_AT_ONCE]
        used += part @ np.where(known, grid, 0.0)
        total += part @ known
    means = _divided(used, total)
    means.setflags(write=False)
    return means


_ROWS_AT_ONCE = 256
"""So many stay in the processor's cache: five times as fast for ten thousand workers."""
WEIGHTS = CAPACITY_OF


def busy(run: Run) -> Utilization:
    """Sum up CPU, memory and GPU of the workers, or of the processes where there is no worker."""
    rows = rows_of(run, "worker", "process")
    lived_s = np.array([alive_s(run, run.workers[row]) for row in rows], dtype=np.float64)
    cpu = _grid(run, "cpu_ratio", "mean", rows)
    measured_s = _measured_s(run, rows, cpu, lived_s)
    cpu_mean = _row_means(cpu)
    core_s = cpu_mean * capacities(run, rows, "cpu_millicores") / 1000 * measured_s
    peak_ratio = _row_peaks(_grid(run, "memory_ratio", "max", rows))
    peak_bytes = peak_ratio * capacities(run, rows, "memory_bytes")
    testing: dict[str, list[float]] = {}
    for task in run.tasks:
        testing.setdefault(task.worker, []).append(task.duration_s)
    tests = {task.worker: set[str]() for task in run.tasks}
    for task in run.tasks:
        tests[task.worker].add(task.name)
    uses = []
    for i, row in enumerate(rows):
        worker = run.workers[row]
        testing_s = float(sum(testing.get(worker.id, ())))
        uses.append(
            WorkerUse(
                id=worker.id,
                alive_s=float(lived_s[i]),
                measured_s=float(measured_s[i]),
                cpu_mean_ratio=_known(cpu_mean[i]),
                cpu_core_s=_known(core_s[i]),
                memory_peak_ratio=_known(peak_ratio[i]),
                memory_peak_bytes=_known(peak_bytes[i]),
                tests=len(tests.get(worker.id, ())),
                testing_s=testing_s,
                idle_s=max(0.0, float(lived_s[i]) - testing_s),
            )
        )
    was_measured = measured_s > 0
    total_alive_s = float(lived_s.sum())
    return Utilization(
        kind=run.workers[rows[0]].kind if rows else "worker",
        cpu=_level(run, "cpu_ratio", rows, lived_s),
        memory=_level(run, "memory_ratio", rows, lived_s),
        gpu=_level(run, "gpu_ratio", rows, lived_s),
        gpu_memory=_level(run, "gpu_memory_ratio", rows, lived_s),
        alive_s=total_alive_s,
        measured_s=float(measured_s.sum()),
        cpu_core_s=_known(core_s[was_measured].sum()) if was_measured.any() else None,
        testing_ratio=_testing_ratio(run, uses, total_alive_s),
        workers=tuple(uses),
    )


def _testing_ratio(run: Run, uses: list[WorkerUse], total_alive_s: float) -> float | None:
    if not run.tasks or total_alive_s <= 0:
        return None
    return min(1.0, sum(use.testing_s for use in uses) / total_alive_s)


def end_s_of(run: Run) -> float:
    """Return where the window ends, or the run in it."""
    ended = run.header.ended_at_s
    return run.end_s if ended is None else min(run.end_s, max(ended, run.start_s))


def _grid(run: Run, metric: Metric, statistic: Statistic, rows: list[int]) -> FloatArray:
    grid = run.grids.get((metric, statistic), run.grids.get((metric, "mean")))
    if grid is None:
        return np.full((len(rows), run.columns), np.nan)
    return np.where(run.alive[rows], grid[rows].astype(np.float64), np.nan)


def _measured_s(run: Run, rows: list[int], grid: FloatArray, lived_s: FloatArray) -> FloatArray:
    """Return for each row the share of its life in which the metric was measured, in seconds."""
    columns = run.alive[rows].sum(axis=1)
    return _divided(np.isfinite(grid).sum(axis=1), np.maximum(columns, 1)) * lived_s


def _level(run: Run, metric: Metric, rows: list[int], lived_s: FloatArray) -> Level:
    grid = _grid(run, metric, "mean", rows)
    peaks = _row_peaks(_grid(run, metric, "max", rows))
    highest = float(np.nanmax(peaks)) if np.isfinite(peaks).any() else None
    measured_s = _measured_s(run, rows, grid, lived_s)
    # A life too short for the window's clock still counts: by its columns, not by its zero seconds.
    spans = measured_s if measured_s.sum() > 0 else np.isfinite(grid).sum(axis=1).astype(np.float64)
    has_any = spans > 0
    weights = spans * has_any
    weights[has_any] *= _weights(capacities(run, rows, WEIGHTS[metric])[has_any])
    if not weights.sum() > 0:
        return Level(max_ratio=highest)
    means = np.nan_to_num(_row_means(grid))
    mean = float((means * weights).sum() / weights.sum())
    return Level(mean_ratio=mean, max_ratio=highest, measured_s=float(measured_s.sum()))


def _changed(run: Run, rows: Sequence[int], name: str) -> list[tuple[int, FloatArray]]:
    """Return what those had in each column who came back with another capacity, by their place among the rows."""
    found: list[tuple[int, FloatArray]] = []
    ends_s = run.starts_at_s + run.width_s
    for place, row in enumerate(rows):
        lives = run.workers[row].incarnations
        if len(lives) == 1:
            continue
        stated = [getattr(life.capacity, name) for life in lives]
        if len(set(stated)) > 1 and None not in stated:
            turn = np.searchsorted([life.joined_at_s for life in lives], ends_s, side="left") - 1
            found.append((place, np.array(stated, dtype=np.float64)[np.maximum(turn, 0)]))
    return found


def _weights(stated: FloatArray) -> FloatArray:
    """Weigh rows by capacity, or equally where one of them is not known."""
    return stated if np.isfinite(stated).all() and stated.sum() > 0 else np.ones(stated.shape)


def _row_means(grid: FloatArray) -> FloatArray:
    measured = np.isfinite(grid).sum(axis=1)
    total = np.nan_to_num(grid).sum(axis=1)
    return _divided(total, measured)


def _row_peaks(grid: FloatArray) -> FloatArray:
    measured = np.isfinite(grid)
    peaks = np.where(measured, grid, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(measured.any(axis=1), peaks, np.nan)


def _divided(above: FloatArray, below: FloatArray) -> FloatArray:
    """Divide, with NaN where there is nothing to divide by."""
    quotient = np.full(above.shape, np.nan)
    np.divide(above, below, out=quotient, where=below > 0)
    return quotient


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
