"""The numbers behind pictures, as tables of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from drmviz.analysis.efficiency import Resource, allotment
from drmviz.analysis.utilization import rows_of
from drmviz.figures.amounts import NAMES, UNITS, amount
from drmviz.figures.cloud import CloudResources
from drmviz.figures.heatmap import METRIC_NAMES
from drmviz.model.metrics import FloatArray, Metric
from drmviz.model.run import Run
from drmviz.report import wording
from drmviz.report.wording import count, cut

_SLICES = 12
MOST_ROWS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """A table: heads of the columns, and rows of which each begins with a name from outside."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    more: str = ""
    """What was left out, in words."""


NO_NUMBERS = Numbers()


def slices(run: Run, metric: Metric) -> Numbers:
    """Return the mean of a metric for each worker in some equal parts of the window."""
    rows = rows_of(run, "worker", "process")
    grid = run.grids.get((metric, "mean"))
    if grid is None or not rows or not run.columns:
        return NO_NUMBERS
    edges = np.unique(np.linspace(0, run.columns, _SLICES + 1).round().astype(int))
    starts_s = run.starts_at_s[edges[:-1]] - run.starts_at_s[0]
    means, counted = _means(grid[rows[:MOST_ROWS]], edges), metric == "tasks_running"
    cells = np.where(np.isnan(means), "–", np.char.mod("%.1f", means)) if counted else _percents(means)
    return Numbers(
        columns=(f"{METRIC_NAMES[metric]}, mean", *(f"from {wording.elapsed(float(start_s))}" for start_s in starts_s)),
        rows=tuple((run.workers[row].id, *cells[i].tolist()) for i, row in enumerate(rows[:MOST_ROWS])),
        more=_left_out(len(rows), "worker"),
    )


def allotted(run: Run, resource: Resource) -> Numbers:
    """Return what each worker has of a resource, what of it was reserved and what was used, most idle first."""
    of = allotment(run, resource)
    unit = UNITS[resource]
    order = np.argsort(-np.nan_to_num(of.idle), kind="stable")[:MOST_ROWS]
    parts = [of.capacity, of.reserved, of.used, of.idle, of.free]
    amounts = [(part[order] / unit.size).tolist() for part in parts]
    efficiency = _percents(of.efficiency_ratio[order]).tolist()
    ids = [of.workers[row].id for row in order.tolist()]
    return Numbers(
        columns=(f"{NAMES[resource]}, {unit.many}", "has", "reserved", "used", "reserved, idle", "free", "efficiency"),
        rows=tuple(
            (id_, *map(amount, cells), ratio)
            for id_, cells, ratio in zip(ids, zip(*amounts, strict=True), efficiency, strict=True)
        ),
        more=_left_out(len(of.workers), "worker"),
    )


def shares(run: Run, resource: Resource) -> Numbers:
    """Return the shares of its capacity that each worker reserved and used, least efficient first."""
    of = allotment(run, resource)
    order = np.argsort(np.where(np.isnan(of.efficiency_ratio), np.inf, of.efficiency_ratio), kind="stable")[:MOST_ROWS]
    parts = [_percents(part[order]).tolist() for part in (of.reserved_ratio, of.used_ratio, of.efficiency_ratio)]
    ids = [of.workers[row].id for row in order.tolist()]
    return Numbers(
        columns=(f"{NAMES[resource]}, of capacity", "reserved", "used", "efficiency"),
        rows=tuple(zip(ids, *parts, strict=True)),
        more=_left_out(len(of.workers), "worker"),
    )


def providers(numbers: CloudResources) -> Numbers:
    """Return how things stand at the end, provider by provider."""
    return Numbers(
        columns=("Provider", *(head or "–" for head in numbers.heads)),
        rows=tuple(
            (row.source.label if row.source else "All", *(cell or "–" for cell in row.cells)) for row in numbers.rows
        ),
    )


def ran(run: Run) -> Numbers:
    """Return the tests that took longest."""
    lasted_s = np.array([task.ended_at_s for task in run.tasks]) - [task.started_at_s for task in run.tasks]
    longest = [run.tasks[place] for place in np.argsort(-lasted_s, kind="stable")[:MOST_ROWS].tolist()]
    return Numbers(
        columns=("Test, longest first", "took", "worker", "outcome"),
        rows=tuple(
            (task.name, wording.seconds(task.duration_s), cut(task.worker, 40), cut(task.outcome, 20))
            for task in longest
        ),
        more=_left_out(len(run.tasks), "test"),
    )


def _left_out(rows: int, noun: str) -> str:
    return f"and {count(rows - MOST_ROWS, f'more {noun}')}" if rows > MOST_ROWS else ""


def _percents(ratios: FloatArray) -> np.ndarray[Any, Any]:
    return np.where(np.isnan(ratios), "–", np.char.mod("%.0f %%", np.nan_to_num(ratios) * 100))


def _means(grid: FloatArray, edges: np.ndarray[Any, Any]) -> FloatArray:
    """Return float64 of shape (rows, parts), NaN where nothing was measured."""
    measured = np.add.reduceat(np.isfinite(grid).astype(np.float64), edges[:-1], axis=1)
    total = np.add.reduceat(np.nan_to_num(grid).astype(np.float64), edges[:-1], axis=1)
    means = np.full(total.shape, np.nan)
    np.divide(total, measured, out=means, where=measured > 0)
    return means
