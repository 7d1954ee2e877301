"""Dask: `DaskSource` watches any scheduler from outside, `DaskFleet` is for who owns the cluster."""

from __future__ import annotations

from drmviz.sources.dask.fleet import DaskFleet
from drmviz.sources.dask.source import DaskSource

__all__ = ["DaskFleet", "DaskSource"]
