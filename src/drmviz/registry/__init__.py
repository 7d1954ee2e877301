"""The registry of written figures: which there are, where, since when, of which run; shared by processes."""

from __future__ import annotations

from drmviz.registry.entries import Entry
from drmviz.registry.registry import REGISTRY_NAME, Known, Registry

__all__ = ["REGISTRY_NAME", "Entry", "Known", "Registry"]
