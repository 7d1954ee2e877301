"""The table of pictures; each is one file with `needs`, `arrange`, `draw_plotly`, `draw_matplotlib` and `describe`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from drmviz.errors import UsageError

if TYPE_CHECKING:
    from drmviz.figures.base import FigureModule


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureInfo:
    """One row of the table; the module is imported on first use."""

    stem: str
    """The name of files, of the command line and of `figure(name)`."""
    type: str
    """The name in the registry of an integration."""
    title: str
    module: str


FIGURES: dict[str, FigureInfo] = {
    info.stem: info
    for info in (
        FigureInfo(
            stem="resource_utilization_heatmap",
            type="resource_heatmap",
            title="Resource utilization",
            module="drmviz.figures.resource_utilization_heatmap",
        ),
        FigureInfo(
            stem="scaling_history",
            type="scaling_history",
            title="Scaling history",
            module="drmviz.figures.scaling_history",
        ),
        FigureInfo(
            stem="resource_allocation",
            type="resource_allocation",
            title="Resource allocation",
            module="drmviz.figures.resource_allocation",
        ),
        FigureInfo(
            stem="resource_efficiency",
            type="resource_efficiency",
            title="Resource efficiency",
            module="drmviz.figures.resource_efficiency",
        ),
        FigureInfo(
            stem="cloud_resources",
            type="cloud_resources",
            title="Cloud usage",
            module="drmviz.figures.cloud_resources",
        ),
        FigureInfo(
            stem="test_timeline",
            type="tests",
            title="Tests",
            module="drmviz.figures.test_timeline",
        ),
    )
}


def load(stem: str) -> FigureModule:
    """Return the module that draws a figure.

    Raises:
        UsageError: there is no figure of that name.
    """
    info = FIGURES.get(stem)
    if info is None:
        raise UsageError(f"There is no figure {stem!r}. Choose one of: {', '.join(FIGURES)}.")
    module: FigureModule = import_module(info.module)
    return module
