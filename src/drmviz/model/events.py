"""What a source says happened, held to what can be: a test, change or decision at no time is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.model.samples import Reading
from drmviz.model.tasks import Task

_LARGEST = 2**63 - 1
_LATEST_S = 1e11  # the year 5138; SQLite keeps microseconds in 64 bits


def tasks_of(readings: Sequence[Reading]) -> tuple[Task, ...]:
    """Return the tests of all readings; figures that cannot be become unknown, and both are counted."""
    return tuple(
        _sensible(task, reading)
        for reading in readings
        for task in reading.tasks
        if _is_a(Task, task, reading) and _has_times(task, reading)
    )


def changes_of(readings: Sequence[Reading]) -> list[FleetChange]:
    """Return the changes of all readings that happened at some time."""
    return [
        c
        for reading in readings
        for c in reading.changes
        if _is_a(FleetChange, c, reading) and _is_moment(c.at_s, "a fleet change", reading)
    ]


def decisions_of(readings: Sequence[Reading]) -> tuple[ScalingDecision, ...]:
    """Return the decisions of all readings that were taken at some time."""
    return tuple(
        d
        for reading in readings
        for d in reading.decisions
        if _is_a(ScalingDecision, d, reading) and _is_moment(d.decided_at_s, "a decision", reading)
    )


def cloud_of(readings: Sequence[Reading]) -> tuple[CloudUsage, ...]:
    """Return what all readings say of providers, where it was observed at some time."""
    return tuple(
        usage
        for reading in readings
        for usage in reading.cloud
        if _is_a(CloudUsage, usage, reading) and _is_moment(usage.at_s, "a provider", reading)
    )


def _is_a(kind: type, event: object, reading: Reading) -> bool:
    named = isinstance(event, kind) and all(
        isinstance(getattr(event, name, ""), str) for name in ("name", "worker", "outcome", "reason", "action")
    )
    if not named:
        reading.rejected.append(f"{event!r:.80} is not a {kind.__name__} with its names")
    return named


def _has_times(task: Task, reading: Reading) -> bool:
    return all(_is_moment(at_s, "a test", reading) for at_s in (task.started_at_s, task.ended_at_s))


def _is_moment(at_s: object, what: str, reading: Reading) -> bool:
    if isinstance(at_s, int | float) and math.isfinite(at_s) and 0 <= at_s < _LATEST_S:
        return True
    reading.rejected.append(f"{what} is said to have happened at {at_s!r} s")
    return False


def _sensible(task: Task, reading: Reading) -> Task:
    wrong = list(_wrong_figures(task))
    if not wrong:
        return task
    reading.rejected.append(f"{', '.join(wrong)} of a test made no sense")
    unknown: dict[str, Any] = dict.fromkeys(wrong)
    return replace(task, **unknown)


def _wrong_figures(task: Task) -> Iterable[str]:
    for name in ("pid", "memory_bytes", "peak_bytes"):
        value = getattr(task, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST):
            yield name
    cpu_s = task.cpu_s
    if cpu_s is not None and (isinstance(cpu_s, bool) or not isinstance(cpu_s, int | float) or not 0 <= cpu_s < 1e12):
        yield "cpu_s"
