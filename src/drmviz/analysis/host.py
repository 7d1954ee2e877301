"""How much of the machine had no worker, and how much of it did nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drmviz.analysis.recordings import recordings
from drmviz.analysis.utilization import alive_s, busy, capacities, rows_of, series, wall_s
from drmviz.model.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class HostIdle:
    """What the hosts had and who used it; None where the hosts were not measured."""

    cores: float | None = None
    memory_bytes: float | None = None
    cores_without_worker: float | None = None
    """Mean over the run, never below zero."""
    idle_ratio: float | None = None
    """Share of the hosts' measured core-seconds in which nothing ran."""
    cpu_mean_ratio: float | None = None
    memory_max_ratio: float | None = None
    idle_core_s: float | None = None
    """Core-seconds in which nothing ran, where it was measured."""
    measured_core_s: float | None = None
    """Core-seconds of which it was measured whether anything ran."""
    others_cores: float | None = None
    """Mean cores used by what is no worker of ours."""


def host_idle(host_run: Run | None, workers_run: Run) -> HostIdle:
    """Compare what the hosts have with what the workers had of it, each host while it was recorded."""
    if host_run is None:
        return HostIdle()
    if len(host_run.origins) > 1:
        hosts, parts = recordings(host_run), recordings(workers_run)
        return _together([_host_idle(hosts[name], part) for name, part in parts.items() if name in hosts])
    return _host_idle(host_run, workers_run)


def _together(hosts: Sequence[HostIdle]) -> HostIdle:
    """Add hosts up, each over its own time; what one of them did not measure is not known of all."""
    measured_core_s = _sum([host.measured_core_s for host in hosts])
    idle_core_s = _sum([host.idle_core_s for host in hosts])
    idle_ratio = idle_core_s / measured_core_s if idle_core_s is not None and measured_core_s else None
    peaks = [host.memory_max_ratio for host in hosts if host.memory_max_ratio is not None]
    return HostIdle(
        cores=_sum([host.cores for host in hosts]),
        memory_bytes=_sum([host.memory_bytes for host in hosts]),
        cores_without_worker=_sum([host.cores_without_worker for host in hosts]),
        idle_ratio=idle_ratio,
        cpu_mean_ratio=None if idle_ratio is None else 1 - idle_ratio,
        memory_max_ratio=max(peaks) if len(peaks) == len(hosts) and peaks else None,
        idle_core_s=idle_core_s,
        measured_core_s=measured_core_s,
        others_cores=_sum([host.others_cores for host in hosts]),
    )


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _host_idle(host_run: Run, workers_run: Run) -> HostIdle:
    rows = rows_of(host_run, "host")
    if not rows:
        return HostIdle()
    millicores = capacities(host_run, rows, "cpu_millicores")
    memory = capacities(host_run, rows, "memory_bytes")
    cores = float(millicores.sum()) / 1000 if np.isfinite(millicores).all() else None
    used = series(host_run, "cpu_ratio", rows)
    measured = np.isfinite(used)
    mean = float(used[measured].mean()) if measured.any() else None
    memory_used = series(host_run, "memory_ratio", rows, statistic="max")
    lasted_s = wall_s(host_run) * float(measured.mean()) if measured.any() else 0.0
    return HostIdle(
        cores=cores,
        memory_bytes=float(memory.sum()) if np.isfinite(memory).all() else None,
        cores_without_worker=_without_worker(cores, workers_run),
        idle_ratio=None if mean is None else max(0.0, 1 - mean),
        cpu_mean_ratio=mean,
        memory_max_ratio=float(np.nanmax(memory_used)) if np.isfinite(memory_used).any() else None,
        idle_core_s=None if mean is None or cores is None else max(0.0, 1 - mean) * cores * lasted_s,
        measured_core_s=None if mean is None or cores is None else cores * lasted_s,
        others_cores=_others(cores, mean, workers_run),
    )


def _without_worker(cores: float | None, run: Run) -> float | None:
    rows = rows_of(run, "worker")
    had = capacities(run, rows, "cpu_millicores") / 1000
    lasted_s = wall_s(run)
    if cores is None or not rows or not np.isfinite(had).all() or lasted_s <= 0:
        return None
    lived_s = np.array([alive_s(run, run.workers[row]) for row in rows])
    return max(0.0, cores - float((had * lived_s).sum()) / lasted_s)


def _others(cores: float | None, mean: float | None, run: Run) -> float | None:
    used_s = busy(run).cpu_core_s
    lasted_s = wall_s(run)
    if cores is None or mean is None or used_s is None or lasted_s <= 0:
        return None
    return max(0.0, cores * mean - used_s / lasted_s)
