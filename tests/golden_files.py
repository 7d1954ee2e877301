"""One small history, always the same: `python -m tests.golden_files` keeps it as a file of the present format.

Run it once when the version of the schema changes, before anything is released with it; files of earlier versions stay
as their programs wrote them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import ScalingDecision
from drmviz.model.roster import RosterTracker
from drmviz.model.samples import Reading, Tick
from drmviz.model.tasks import Task
from drmviz.store import Writer
from drmviz.store.schema import SCHEMA_VERSION

FOLDER = Path(__file__).parent / "golden"
START_S = 1_790_000_100.0
INTERVAL_S = 10.0
TICKS = 100
RUN_ID = "golden000001"
_CAPACITY = {"cpu_cores": 1, "memory_bytes": 2**30}


def golden(version: int) -> Path:
    return FOLDER / f"version-{version}.drmviz"


def cpu_of_gw0(tick: int) -> float:
    return tick % 10 / 8


def cpu_of_gw1(tick: int) -> float | None:
    return None if tick % 4 == 0 else 0.5


def is_gw1_there(tick: int) -> bool:
    return tick < 40 or tick >= 60


def decision(at_s: float) -> ScalingDecision:
    return ScalingDecision(
        action="scale_up",
        decided_at_s=at_s,
        count=1,
        reason="cpu 0.84 >= 0.80 for 90 s",
        metric="cpu_ratio",
        value=0.84,
        threshold=0.8,
        window_s=90.0,
        cooldown_remaining_s=0.0,
        worker_ids=("gw1",),
        utilization=0.84,
    )


def task(at_s: float) -> Task:
    return Task(
        name="t.py::test[é]",
        worker="gw0",
        outcome="passed",
        started_at_s=at_s - 5,
        ended_at_s=at_s,
        pid=7,
        cpu_s=2.5,
        memory_bytes=4096,
        peak_bytes=8192,
        attempt=1,
    )


def usage(at_s: float) -> CloudUsage:
    return CloudUsage(at_s=at_s, provider="aws", workers=2, per_hour=Decimal("0.34"), currency="USD")


def ticks() -> Iterator[Tick]:
    """Yield 100 ticks, ten seconds apart: three blocks, a worker that comes back, tests, a decision, a provider."""
    tracker = RosterTracker()
    for n in range(TICKS):
        at_s = START_S + INTERVAL_S * n
        workers = {"gw0": {"cpu_ratio": cpu_of_gw0(n), "memory_ratio": 0.25, "tasks_running": 1, "capacity": _CAPACITY}}
        if is_gw1_there(n):
            workers["gw1"] = {
                "cpu_ratio": cpu_of_gw1(n), "memory_ratio": 0.5, "tasks_running": 0, "capacity": _CAPACITY
            }  # fmt: skip
        reading = Reading.of(
            at_s,
            workers,
            decisions=[decision(at_s)] if n == 60 else [],
            tasks=[task(at_s)] if n % 20 == 10 else [],
        )
        tick = tracker.observe([reading], at_s=at_s, wall_s=at_s)
        yield replace(tick, cloud=(usage(at_s),)) if n == 0 else tick


def write(path: Path) -> None:
    with Writer.open(path) as writer:
        recording = writer.begin(
            title="pytest -n 2",
            started_at_s=START_S,
            interval_s=INTERVAL_S,
            source="pytest",
            host="host-1",
            labels={"commit": "abc"},
            facts={"exit_code": 0},
            run_id=RUN_ID,
        )
        for tick in ticks():
            recording.append(tick)
        recording.finish(START_S + TICKS * INTERVAL_S)


if __name__ == "__main__":
    golden(SCHEMA_VERSION).unlink(missing_ok=True)
    write(golden(SCHEMA_VERSION))
    print(golden(SCHEMA_VERSION))
