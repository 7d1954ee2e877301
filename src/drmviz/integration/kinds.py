"""Which figures an integration keeps up to date, in the order of their tabs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from drmviz.figures import FIGURES
from drmviz.report import dashboard
from drmviz.visualization import DRMVisualization

Create = Callable[[DRMVisualization, Path], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One figure that is kept up to date."""

    title: str
    description: str
    stem: str
    create: Create


def _of(stem: str, description: str, create: Create) -> tuple[str, Kind]:
    info = FIGURES[stem]
    return info.type, Kind(title=info.title, description=description, stem=stem, create=create)


KINDS: Mapping[str, Kind] = dict(
    (
        (
            "dashboard",
            Kind(
                title=dashboard.TITLE,
                description="How the fleet stands, how it got there, and why it was scaled.",
                stem="dashboard",
                create=DRMVisualization.create_resource_dashboard,
            ),
        ),
        _of(
            "resource_utilization_heatmap",
            "Which worker was how busy when.",
            DRMVisualization.create_resource_utilization_heatmap,
        ),
        _of(
            "scaling_history",
            "How busy the fleet was against its thresholds, what was decided, and who came and went.",
            DRMVisualization.create_scaling_history_visualization,
        ),
        _of(
            "resource_allocation",
            "What each worker has, what of it is reserved, and what is used.",
            DRMVisualization.create_resource_allocation_visualization,
        ),
        _of(
            "resource_efficiency",
            "How much of what was reserved was used.",
            DRMVisualization.create_resource_efficiency_visualization,
        ),
        _of(
            "cloud_resources",
            "What each provider ran, and what that cost.",
            DRMVisualization.create_cloud_resource_visualization,
        ),
    )
)
"""By type."""
