"""What ran at each provider over time and what it cost, as numbers and words, the same for both libraries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drmviz.figures.base import ThemeName
from drmviz.figures.providers import Look, look_of
from drmviz.model.metrics import BoolArray, FloatArray

FILL = 0.42
"""How much of its colour a layer has."""
_MOST_SHAPES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A provider, or all those that are shown as one."""

    providers: tuple[str, ...]
    label: str
    """The provider's whole name, or "24 others"."""

    def look(self, providers: tuple[str, ...], theme: ThemeName) -> Look:
        """Return its colour and shape among all providers of the run."""
        return look_of(self.providers[0] if len(self.providers) == 1 else None, providers, theme)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One layer of a stack."""

    source: Source
    values: FloatArray
    """float64, shape (columns,): workers, or an amount of money for each hour; NaN where not known."""
    now: str
    """What it comes to at the end, as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A stretch of time in which something of a provider is not known, and why."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A stack over time: how many workers, or what an hour costs in one currency."""

    name: str
    unit: str
    """The currency; empty for workers."""
    said: str
    """What it comes to at the end of the window, in words."""
    suffix: str
    """What makes the name of a band's trace: "workers", "per hour"."""
    is_money: bool
    bands: tuple[Band, ...]
    """The largest first, which lies at the bottom."""
    unknown: BoolArray
    """bool, shape (columns,): somebody's number is missing there, so the stack may be higher."""
    gaps: tuple[Unknown, ...]

    @property
    def highest(self) -> float:
        """Return where the stack ends."""
        stacked = np.nansum([band.values for band in self.bands], axis=0)
        return float(stacked.max(initial=0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    source: Source | None
    """None in the line of sums."""
    types: str
    workers: str
    per_hour: str
    share: str
    spent: str

    @property
    def cells(self) -> tuple[str, ...]:
        return self.types, self.workers, self.per_hour, self.share, self.spent


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudResources:
    """Workers over time, cost over time for each currency, and a table of how things stand at the end."""

    title: str
    subtitle: str
    providers: tuple[str, ...]
    """All of the run's, which decides how each looks."""
    starts_at_s: FloatArray
    width_s: float
    panels: tuple[Panel, ...] = ()
    heads: tuple[str, ...] = ()
    """Above the columns of the table, without that of the providers."""
    rows: tuple[Row, ...] = ()
    shares: tuple[tuple[Source, float], ...] = ()
    """Parts of the whole at the end, 0..1, adding up to 1; empty where that cannot be told."""
    remarks: tuple[str, ...] = ()
    notice: str | None = None
    """Why there is nothing to see; None where there is."""

    @property
    def start_s(self) -> float:
        return float(self.starts_at_s[0])

    @property
    def end_s(self) -> float:
        return float(self.starts_at_s[-1]) + self.width_s


def steps(values: FloatArray) -> FloatArray:
    """Return the values with the last one again, for the end of the last column."""
    repeated: FloatArray = np.append(values, values[-1:])
    return repeated


def shapes_at(panel: Panel, place: int) -> set[int]:
    """Return in which columns a layer carries its shape, which tells it apart beside its colour; layers take turns."""
    values = panel.bands[place].values
    shapes, layers = min(_MOST_SHAPES, len(values)), len(panel.bands)
    columns = [int((turn + (place + 0.5) / layers) * len(values) / shapes) for turn in range(shapes)]
    return {column for column in columns if values[column] > 0}
