"""Pictures of a fleet inside somebody else's page: drawn again and again, embedded, and side by side in tabs."""

from __future__ import annotations

from drmviz.integration.drm_visualization_integration import DRMVisualizationIntegration

__all__ = ["DRMVisualizationIntegration"]
