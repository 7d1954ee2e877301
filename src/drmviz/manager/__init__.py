"""Grants the resources of workers to tasks, and decides when a fleet should grow or shrink."""

from __future__ import annotations

from drmviz.manager.dynamic_resource_manager import DynamicResourceManager

__all__ = ["DynamicResourceManager"]
