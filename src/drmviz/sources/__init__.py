"""Engines that can be read; one file each, imported on first use."""

from __future__ import annotations

SOURCES: dict[str, str] = {
    "dask": "drmviz.sources.dask:DaskSource",
    "local": "drmviz.sources.local_machine:LocalMachineSource",
    "pytest": "drmviz.sources.pytest_xdist:PytestXdistSource",
    "simulated": "drmviz.sources.simulated_fleet:SimulatedFleetSource",
}
