"""A fleet of test workers that does not exist: seeded, on any clock, scaled by a real manager."""

from __future__ import annotations

from drmviz.simulation.cloud import SimulatedCloud
from drmviz.simulation.fleet import SimulatedFleet

__all__ = ["SimulatedCloud", "SimulatedFleet"]
