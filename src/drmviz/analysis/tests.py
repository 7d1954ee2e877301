"""What tests cost: each test once, the slowest and hungriest, the sums by worker, and the tail of the schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter

from drmviz.analysis.recordings import recordings
from drmviz.model.run import Run
from drmviz.model.tasks import BAD_OUTCOMES, Task

CUT_SHORT = frozenset({"crashed", "lost", "reclaimed", "killed", "replaced"})
"""Reasons for leaving that say nothing about having run out of tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRow:
    """One test; its last attempt counts."""

    __test__ = False

    last: Task
    attempts: tuple[Task, ...]
    """All of them, the last one included, in the order of their starts."""

    @property
    def seconds(self) -> float:
        return self.last.duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTests:
    """What one worker ran, reruns included in the seconds."""

    worker: str
    tests: int
    seconds: float
    cpu_s: float | None
    bad: int
    """Failed, errored or crashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The highest memory mark that any process reached."""

    bytes: int
    worker: str
    test: str | None
    """The earliest test that raised the mark to it; None where that happened outside of tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """From when the first worker ran out of tests for good until the last test ended."""

    seconds: float
    from_s: float
    to_s: float
    tests: tuple[Task, ...]
    """Those that were running in it, the one that took most of it first."""
    idle_worker_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TestTable:
    """All tests of a run."""

    __test__ = False

    rows: tuple[TestRow, ...]
    """In the order of the starts of their last attempts."""
    outcomes: Mapping[str, int]
    by_worker: tuple[WorkerTests, ...]
    total_s: float
    """Seconds spent in tests, reruns included."""
    cpu_s: float | None
    first_start_s: float | None
    last_end_s: float | None
    startup_s: float | None
    """From the start of the run to the first test: imports and collection."""
    peak: Peak | None
    tail: Tail | None

    def slowest(self, count: int) -> tuple[TestRow, ...]:
        return tuple(sorted(self.rows, key=lambda row: -row.seconds)[:count])

    def hungriest(self, count: int) -> tuple[TestRow, ...]:
        """Return those that raised the memory mark most; tests that did not raise it, or are unknown, are left out."""
        known = [row for row in self.rows if row.last.memory_bytes]
        return tuple(sorted(known, key=lambda row: -(row.last.memory_bytes or 0))[:count])

    def most_cpu(self, count: int) -> tuple[TestRow, ...]:
        known = [row for row in self.rows if row.last.cpu_s is not None]
        return tuple(sorted(known, key=lambda row: -(row.last.cpu_s or 0.0))[:count])

    @property
    def bad(self) -> tuple[TestRow, ...]:
        return tuple(row for row in self.rows if row.last.outcome in BAD_OUTCOMES)


def tests(run: Run) -> TestTable:
    """List each test once: the same node id on the same worker again is a rerun of it."""
    attempts: dict[tuple[str, str], list[Task]] = {}
    for task in sorted(run.tasks, key=attrgetter("started_at_s", "attempt")):
        attempts.setdefault((task.name, task.worker), []).append(task)
    rows = sorted(
        (TestRow(last=tried[-1], attempts=tuple(tried)) for tried in attempts.values()),
        key=lambda row: row.last.started_at_s,
    )
    first_s = min((task.started_at_s for task in run.tasks), default=None)
    return TestTable(
        rows=tuple(rows),
        outcomes=dict(Counter(row.last.outcome for row in rows).most_common()),
        by_worker=_by_worker(run, rows),
        total_s=sum(task.duration_s for task in run.tasks),
        cpu_s=_known_sum([task.cpu_s for task in run.tasks]),
        first_start_s=first_s,
        last_end_s=max((task.ended_at_s for task in run.tasks), default=None),
        startup_s=None if first_s is None else max(0.0, first_s - run.header.started_at_s),
        peak=_peak(run),
        tail=_longest_tail(run),
    )


def _by_worker(run: Run, rows: list[TestRow]) -> tuple[WorkerTests, ...]:
    ran: dict[str, list[TestRow]] = {worker.id: [] for worker in run.workers if worker.kind == "worker"}
    for row in rows:
        ran.setdefault(row.last.worker, []).append(row)
    return tuple(
        WorkerTests(
            worker=worker,
            tests=len(its),
            seconds=sum(task.duration_s for row in its for task in row.attempts),
            cpu_s=_known_sum([task.cpu_s for row in its for task in row.attempts]),
            bad=sum(row.last.outcome in BAD_OUTCOMES for row in its),
        )
        for worker, its in ran.items()
    )


def _known_sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _peak(run: Run) -> Peak | None:
    marked = [task for task in run.tasks if task.peak_bytes is not None]
    if not marked:
        return None
    highest = max(task.peak_bytes or 0 for task in marked)
    there = sorted((task for task in marked if task.peak_bytes == highest), key=attrgetter("ended_at_s"))
    raised = next((task for task in there if task.memory_bytes), None)
    reached = raised or there[0]
    return Peak(bytes=highest, worker=reached.worker, test=raised.name if raised else None)


def _longest_tail(run: Run) -> Tail | None:
    """Return the tail of the run; of several recordings the longest one, since no test moves from one to another."""
    if len(run.origins) < 2:
        return _tail(run)
    tails = [tail for part in recordings(run).values() if (tail := _tail(part)) is not None]
    return max(tails, key=lambda tail: tail.seconds, default=None)


def _tail(run: Run) -> Tail | None:
    if not run.tasks:
        return None
    last: dict[str, Task] = {}
    for task in run.tasks:
        if task.worker not in last or task.ended_at_s >= last[task.worker].ended_at_s:
            last[task.worker] = task
    end_s = max(task.ended_at_s for task in last.values())
    left_early = {worker.id for worker in run.workers if worker.latest.why_left in CUT_SHORT}
    emptied = [
        task.ended_at_s
        for worker, task in last.items()
        if task.ended_at_s == end_s or (worker not in left_early and task.outcome != "crashed")
    ]
    from_s = min(emptied)
    running = [task for task in run.tasks if task.ended_at_s > from_s]
    return Tail(
        seconds=end_s - from_s,
        from_s=from_s,
        to_s=end_s,
        tests=tuple(sorted(running, key=lambda task: max(task.started_at_s, from_s) - task.ended_at_s)),
        idle_worker_s=sum(end_s - emptied_s for emptied_s in emptied),
    )
