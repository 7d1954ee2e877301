"""Workers x time as numbers, the same for both libraries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drmviz.figures.base import CellText
from drmviz.model.metrics import BoolArray, FloatArray, Metric, Statistic

MOST_ROWS = 500

METRIC_NAMES: dict[Metric, str] = {
    "cpu_ratio": "CPU",
    "memory_ratio": "Memory",
    "gpu_ratio": "GPU",
    "gpu_memory_ratio": "GPU memory",
    "cpu_reserved_ratio": "CPU reserved",
    "memory_reserved_ratio": "Memory reserved",
    "gpu_reserved_ratio": "GPU reserved",
    "tasks_running": "Tasks running",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One metric."""

    metric: Metric
    name: str
    unit: str
    """`%`, or empty for a number of tasks."""
    values: FloatArray
    """float32, shape (rows, columns), in percent; NaN where not measured or not alive."""
    highest: float
    """Where the colours end: 100 for percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Workers joined or left, in one narrow stretch of time."""

    at_s: float
    kind: str
    """`added`, `removed` or `lost`."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap:
    """A cell is measured (a number), not measured (alive and NaN) or not alive; zero is a number like any other."""

    title: str
    subtitle: str
    workers: tuple[str, ...]
    """One label for each row: the whole worker id, or "first–last (n)" where rows were merged."""
    starts_at_s: FloatArray
    width_s: float
    alive: BoolArray
    """bool, shape (rows, columns)."""
    panels: tuple[Panel, ...]
    statistic: Statistic
    events: tuple[Event, ...] = ()
    tests: CellText | None = None
    notice: str | None = None
    """Why there is nothing to see; None where there is."""

    @property
    def end_s(self) -> float:
        return float(self.starts_at_s[-1]) + self.width_s

    def gaps(self, panel: Panel) -> BoolArray:
        """Return where a worker lived and was not measured."""
        gaps: BoolArray = self.alive & np.isnan(panel.values)
        return gaps


def row_means(panel: Panel) -> list[float]:
    """Return the mean of each row over what was measured in it; NaN where nothing was."""
    known = np.isfinite(panel.values)
    counts = known.sum(axis=1)
    sums = np.where(known, panel.values, np.float32(0)).sum(axis=1, dtype=np.float64)
    means: list[float] = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0).tolist()
    return means


def absences(alive: BoolArray) -> list[tuple[int, int, int]]:
    """Return each stretch without life as (row, first column, end column)."""
    edged = np.zeros((alive.shape[0], alive.shape[1] + 2), dtype=np.int8)
    edged[:, 1:-1] = ~alive
    steps = np.diff(edged, axis=1)
    rows, firsts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    return list(zip(rows.tolist(), firsts.tolist(), ends.tolist(), strict=True))
