"""Workers x time as numbers, the same for both libraries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drmviz.figures.base import CellText
from drmviz.figures.names import drawn
from drmviz.figures.providers import Look
from drmviz.figures.units import percent
from drmviz.model.metrics import BoolArray, FloatArray, Metric, Statistic

MOST_ROWS = 500
RAIL_PX = 26
_RAIL_LETTER_PX = 6.2

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
class Group:
    """Rows of one provider, from `first` up to `end`."""

    provider: str
    first: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Who stands in the rows of a panel."""

    workers: tuple[str, ...]
    """One label for each row: the whole worker id, or "first–last (n)" where rows were merged."""
    alive: BoolArray
    """bool, shape (rows, columns)."""
    groups: tuple[Group, ...] = ()
    """Where workers run, in the order of the rows; empty where all run at one place or nobody knows."""
    tests: CellText | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One metric."""

    metric: Metric
    name: str
    unit: str
    """`%`, or empty for a number of tasks."""
    rows: Rows
    values: FloatArray
    """float32, shape (rows, columns), in percent; NaN where not measured or not alive."""
    highest: float
    """Where the colours end: 100 for percent."""
    note: str = ""
    """What stands beside the name."""

    @property
    def gaps(self) -> BoolArray:
        """Where a worker lived and was not measured."""
        gaps: BoolArray = self.rows.alive & np.isnan(self.values)
        return gaps


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
    starts_at_s: FloatArray
    width_s: float
    panels: tuple[Panel, ...]
    statistic: Statistic
    events: tuple[Event, ...] = ()
    providers: tuple[str, ...] = ()
    """All of the run's, which decides how each looks."""
    notice: str | None = None
    """Why there is nothing to see; None where there is."""

    @property
    def end_s(self) -> float:
        return float(self.starts_at_s[-1]) + self.width_s

    @property
    def is_grouped(self) -> bool:
        """Whether any panel tells providers apart."""
        return any(panel.rows.groups for panel in self.panels)


def rail_text(group: Group, look: Look, long_px: float) -> str:
    """Return what is written along the rail of a group: its name, its sign alone, or nothing, as there is room."""
    room = int(long_px / _RAIL_LETTER_PX)
    name = drawn(group.provider, limit=24)
    return f"{look.sign} {name}" if room >= len(name) + 2 else look.sign if room >= 2 else ""


def mean_text(panel: Panel, mean: float) -> str:
    """Return what stands at the end of a row."""
    return percent(mean) if panel.unit else "–" if mean != mean else f"{mean:.1f}"


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
