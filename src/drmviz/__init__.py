"""Record how a fleet of test workers is used, and draw it; names are resolved on first use, so importing is cheap."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "CloudUsage": "drmviz.model.cloud",
    "DRMVizError": "drmviz.errors",
    "DRMVisualization": "drmviz.visualization",
    "DRMVisualizationIntegration": "drmviz.integration",
    "DaskFleet": "drmviz.sources.dask",
    "DynamicResourceManager": "drmviz.manager",
    "FleetChange": "drmviz.model.decisions",
    "Reading": "drmviz.model.samples",
    "Run": "drmviz.model.run",
    "ScalingPolicy": "drmviz.model.decisions",
    "ScalingDecision": "drmviz.model.decisions",
    "Store": "drmviz.store",
    "Stores": "drmviz.store",
    "Task": "drmviz.model.tasks",
    "WorkerCapacity": "drmviz.model.resources",
    "draw": "drmviz.drawing",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'drmviz' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
