"""Pictures of a fleet, from Python: collects in the background, records, and draws what was recorded."""

from __future__ import annotations

from drmviz.visualization.drm_visualization import DRMVisualization

__all__ = ["DRMVisualization"]
