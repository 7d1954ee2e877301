"""Small runs with exact numbers, built in memory, for tests of sums and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.model.metrics import METRICS, Metric, Statistic
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import Run, RunHeader
from drmviz.model.tasks import Task
from drmviz.model.workers import Incarnation, RosterEntry, Worker

START_S = 1_790_000_000.0
ONE_CORE = WorkerCapacity(cpu_millicores=1000, memory_bytes=4 * 2**30)


def header(*, interval_s: float = 1.0, title: str = "pytest -n 2", **facts: object) -> RunHeader:
    return RunHeader(
        id="0123456789ab",
        title=title,
        started_at_s=START_S,
        interval_s=interval_s,
        ended_at_s=None,
        source="pytest",
        host="host-1",
        facts=facts,
    )


def recorded(
    cpu: Mapping[str, Sequence[float | None]],
    *,
    more: Mapping[Metric, Mapping[str, Sequence[float | None]]] | None = None,
    absent: Mapping[str, Iterable[int]] | None = None,
    tasks: Sequence[Task] = (),
    decisions: Sequence[ScalingDecision] = (),
    changes: Sequence[FleetChange] = (),
    cloud: Sequence[CloudUsage] = (),
    width_s: float = 1.0,
    capacity: WorkerCapacity | Mapping[str, WorkerCapacity] = ONE_CORE,
    labels: Mapping[str, Mapping[str, str]] | None = None,
    title: str = "pytest -n 2",
    notes: Sequence[str] = (),
    kind: str = "worker",
    **facts: object,
) -> Run:
    """Return a run whose cpu_ratio is as given: None is "not measured"; `absent` names columns not lived in.

    Mean and max of a metric are the same numbers; metrics not named are unknown. `capacity` and `labels` may differ by
    worker; `facts` may hold `scaling_policy`.
    """
    ids = list(cpu)
    columns = len(next(iter(cpu.values()))) if cpu else 0
    grids: dict[tuple[Metric, Statistic], np.ndarray] = {}
    stated: dict[Metric, Mapping[str, Sequence[float | None]]] = {"cpu_ratio": cpu, **(more or {})}
    for metric in METRICS:
        grid = np.full((len(ids), columns), np.nan, dtype=np.float32)
        for row, worker in enumerate(ids):
            for column, value in enumerate(stated.get(metric, {}).get(worker, ())):
                grid[row, column] = np.nan if value is None else value
        grids[metric, "mean"] = grids[metric, "max"] = grid
    alive = np.ones((len(ids), columns), dtype=np.bool_)
    for worker, gone in (absent or {}).items():
        alive[ids.index(worker), list(gone)] = False
    workers = []
    for row, worker in enumerate(ids):
        lived = np.flatnonzero(alive[row])
        first, last = (int(lived[0]), int(lived[-1])) if len(lived) else (0, -1)
        workers.append(
            Worker(
                id=worker,
                incarnations=(
                    Incarnation(
                        number=row,
                        ordinal=1,
                        entry=RosterEntry(
                            id=worker,
                            pid=1000 + row,
                            host="host-1",
                            capacity=capacity if isinstance(capacity, WorkerCapacity) else capacity[worker],
                            kind=kind,  # type: ignore[arg-type]
                            labels=tuple(sorted((labels or {}).get(worker, {}).items())),
                        ),
                        joined_at_s=START_S + first * width_s,
                        left_at_s=None if last == columns - 1 else START_S + (last + 1) * width_s,
                    ),
                ),
            )
        )
    return Run(
        header=header(interval_s=width_s, title=title, **facts),
        start_s=START_S,
        end_s=START_S + columns * width_s,
        starts_at_s=START_S + np.arange(columns) * width_s,
        width_s=width_s,
        workers=tuple(workers),
        grids=grids,
        alive=alive,
        measured_ticks=columns,
        tasks=tuple(tasks),
        decisions=tuple(decisions),
        changes=tuple(changes),
        cloud=tuple(cloud),
        notes=tuple(notes),
    )


def ran(
    name: str,
    worker: str = "gw0",
    *,
    start: float = 0.0,
    end: float = 1.0,
    outcome: str = "passed",
    cpu_s: float | None = None,
    memory_bytes: int | None = None,
    peak_bytes: int | None = None,
) -> Task:
    """Return a test that ran from `start` to `end`, in seconds after START_S."""
    return Task(
        name=name,
        worker=worker,
        outcome=outcome,
        started_at_s=START_S + start,
        ended_at_s=START_S + end,
        cpu_s=cpu_s,
        memory_bytes=memory_bytes,
        peak_bytes=peak_bytes,
    )
