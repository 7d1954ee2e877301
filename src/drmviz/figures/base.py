"""What every figure is given and gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from drmviz.model.metrics import IntArray, Metric, Statistic
from drmviz.model.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ThemeName = Literal["light", "dark"]

PlotlySpec = dict[str, Any]
"""A Plotly figure as plain data: `data`, `layout`, `config`, and `narrow` (what a phone gets instead of `layout`).

Beside what JSON knows it may hold NumPy arrays and `CellText`; `encoding` writes both.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureOptions:
    """What a user may ask of any figure; None leaves it to the figure."""

    metric: Metric | None = None
    statistic: Statistic = "mean"
    title: str | None = None
    """None is the figure's own title, empty is none at all."""
    theme: ThemeName = "light"
    width: int | None = None
    """CSS pixels; None is as wide as the page."""
    height: int | None = None
    workers_named: bool = False
    """The user named the workers: their rows are never merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellText:
    """A text for each cell of a grid, where few texts differ."""

    texts: tuple[str, ...]
    index: IntArray
    """uint16 or uint32, shape (rows, columns), into `texts`."""

    def rows(self) -> list[list[str]]:
        """Write each text out."""
        texts = np.array(self.texts, dtype=object)
        rows: list[list[str]] = texts[self.index].tolist()
        return rows


class FigureModule(Protocol):
    """What a file of this room holds; `numbers` are its own, and both libraries draw the same ones."""

    def needs(self, options: FigureOptions) -> tuple[Metric, ...]:
        """Name the metrics whose columns it draws, or falls back from."""

    def means(self, options: FigureOptions) -> tuple[Metric, ...]:
        """Name the metrics of which it needs no more than the mean over the window."""

    def arrange(self, run: Run, options: FigureOptions) -> Any:
        """Lay the numbers out as they will be drawn."""

    def draw_plotly(self, numbers: Any, options: FigureOptions) -> PlotlySpec:
        """Return the Plotly figure as plain data."""

    def draw_matplotlib(self, numbers: Any, options: FigureOptions) -> Figure:
        """Return the same picture for files that do not move."""

    def describe(self, numbers: Any) -> str:
        """Say in one sentence what the picture shows, for those who cannot see it."""
