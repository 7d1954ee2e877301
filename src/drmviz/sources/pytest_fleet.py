"""The workers and tests of a pytest run, followed event by event."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from drmviz.model.decisions import FleetChange
from drmviz.model.tasks import BAD_OUTCOMES, OUTCOMES, Task
from drmviz.model.text import storable
from drmviz.sources.spool_tail import Event


@dataclass(slots=True, kw_only=True)
class TestWorker:
    """One pytest process that executes tests; times are monotonic."""

    __test__ = False

    id: str
    pid: int | None
    host: str | None
    joined_s: float
    running: str | None = None
    running_since_s: float = 0.0
    busy_s: float = 0.0
    """How long tests ran since the last call of `take_busy_s`, the running one aside."""
    samples: list[tuple[float, float | None, int | None]] = field(default_factory=list)
    """Of a worker on another machine: when, CPU seconds so far, bytes."""

    def start(self, nodeid: str, at_s: float) -> None:
        self.stop(at_s)  # the end of the one before may not have been told yet
        self.running, self.running_since_s = nodeid, at_s

    def stop(self, at_s: float) -> None:
        if self.running is not None:
            self.busy_s += max(0.0, at_s - self.running_since_s)
            self.running = None

    def take_busy_s(self, now_s: float) -> float:
        """Return how long tests ran since the last call."""
        busy_s, self.busy_s = self.busy_s, 0.0
        if self.running is not None:
            busy_s += max(0.0, now_s - self.running_since_s)
            self.running_since_s = max(now_s, self.running_since_s)
        return busy_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the tests are; `collected` is None before it is known."""

    collected: int | None
    done: int
    failed: int
    running: int


class Fleet:
    """Who works and what came out, so far."""

    def __init__(self) -> None:
        self.session: dict[str, Any] = {}
        self.claimed = False
        self.exit_status: int | None = None
        self.has_ended = False
        self.problems: list[str] = []
        """What went wrong with our own hooks, in words."""
        self.refused = 0
        """Events that made no sense."""
        self.workers: dict[str, TestWorker] = {}
        self.gone: list[TestWorker] = []
        """Who left since the last `take`."""
        self.outcomes: Counter[str] = Counter()
        self.hooks_s = 0.0
        """CPU seconds that our hooks took in all test processes."""
        self._collected: int | None = None
        self._known: dict[str, TestWorker] = {}
        self._crashed: list[str] = []
        self._joined = 0
        self._started_s: dict[tuple[str, str], float] = {}
        self._tasks: list[Task] = []
        self._changes: list[FleetChange] = []
        self._ahead_s = 0.0

    @property
    def progress(self) -> Progress:
        return Progress(
            collected=self._collected,
            done=self.outcomes.total(),
            failed=sum(self.outcomes[outcome] for outcome in BAD_OUTCOMES),
            running=sum(worker.running is not None for worker in self.workers.values()),
        )

    def follow(self, events: Iterable[Event], *, ahead_s: float) -> None:
        """Take events in; `ahead_s` is how far the caller's axis is ahead of the monotonic clock."""
        self._ahead_s = ahead_s
        for event in events:
            handle = _HANDLERS.get(event["event"])
            if handle is None:  # from a later version of the plugin
                continue
            try:
                handle(self, event)
            except (KeyError, TypeError, ValueError, OverflowError):
                self.refused += 1

    def take(self) -> tuple[list[Task], list[FleetChange], list[TestWorker]]:
        """Return what is new since the last call: finished tests, changes of the fleet, and who left."""
        taken = self._tasks, self._changes, self.gone
        self._tasks, self._changes, self.gone = [], [], []
        return taken

    def abandon(self, at_s: float) -> None:
        """Say that pytest is gone without a word: the tests that were running took it with them."""
        self.has_ended = True
        for worker in list(self.workers.values()):
            if worker.running is not None:
                event = {"at": at_s, "worker": worker.id, "nodeid": worker.running, "outcome": "crashed", "end": at_s}
                self._test(event)
            self._leave(worker.id, at_s, "crashed")

    def _session(self, event: Event) -> None:
        number = event.get("workers", 0)
        facts = {key: value for key, value in event.items() if key not in ("event", "at", "worker")}
        self.session = facts | {"workers": number if isinstance(number, int) else 0}
        self.claimed, self.has_ended, self._joined, self._collected = True, False, 0, None
        self._crashed.clear()

    def _worker(self, event: Event) -> None:
        at_s, pid = _number(event["at"]), event.get("pid")
        worker = TestWorker(
            id=_text(event["worker"]),
            pid=pid if isinstance(pid, int) and pid > 0 else None,
            host=None if event.get("host") is None else _text(event["host"]),
            joined_s=at_s,
        )
        if worker.id in self.workers:
            self._leave(worker.id, at_s, None)
        why = "asked for"
        if self._crashed and self._joined >= self.session.get("workers", 0):
            why = f"replaces {self._crashed.pop(0)}"
        self._joined += 1
        self.workers[worker.id] = self._known[worker.id] = worker
        self._changes.append(self._change(worker.id, at_s, "joined", why))

    def _start(self, event: Event) -> None:
        at_s, worker_id, nodeid = _number(event["at"]), _text(event["worker"]), _text(event["nodeid"])
        self._started_s[worker_id, nodeid] = at_s
        if worker_id in self.workers:
            self.workers[worker_id].start(nodeid, at_s)

    def _test(self, event: Event) -> None:
        at_s, worker_id, nodeid = _number(event["at"]), _text(event["worker"]), _text(event["nodeid"])
        outcome = _text(event["outcome"])
        if outcome not in OUTCOMES:
            raise ValueError(outcome)
        worker = self._known.get(worker_id)
        seen_s = self._started_s.pop((worker_id, nodeid), None)
        ended_s = _optional(event.get("end"), at_s)
        started_s = min(ended_s, _optional(event.get("start"), ended_s if seen_s is None else seen_s))
        if worker is not None and worker.running == nodeid:
            worker.stop(ended_s)
        pid = event.get("pid")
        task = Task(
            name=nodeid,
            worker=worker_id,
            outcome=outcome,
            started_at_s=started_s + self._ahead_s,
            ended_at_s=ended_s + self._ahead_s,
            pid=pid if isinstance(pid, int) else None if worker is None else worker.pid,
            cpu_s=None if event.get("cpu_s") is None else _number(event["cpu_s"]),
            memory_bytes=_bytes(event.get("memory_bytes")),
            peak_bytes=_bytes(event.get("peak_bytes")),
            attempt=int(event.get("attempt") or 1),
        )
        if outcome != "rerun":  # it will be told again
            self.outcomes[outcome] += 1
        self._tasks.append(task)

    def _sample(self, event: Event) -> None:
        worker = self.workers.get(_text(event["worker"]))
        if worker is not None:
            cpu_s = None if event.get("cpu_s") is None else _number(event["cpu_s"])
            worker.samples = [*worker.samples[-1:], (_number(event["at"]), cpu_s, _bytes(event.get("memory_bytes")))]

    def _left(self, event: Event) -> None:
        at_s, worker_id, why = _number(event["at"]), _text(event["worker"]), event.get("why")
        if worker_id not in self.workers:
            return
        if why == "crashed":
            self._crashed.append(worker_id)
        self._leave(worker_id, at_s, _text(why) if why is not None else None)

    def _end(self, event: Event) -> None:
        at_s, status = _number(event["at"]), event.get("exitstatus")
        self._hooks(event)
        self.has_ended = True
        self.exit_status = status if isinstance(status, int) else None
        for worker_id in list(self.workers):
            self._leave(worker_id, at_s, "finished")

    def _hooks(self, event: Event) -> None:
        self.hooks_s += _optional(event.get("hooks_s"), 0.0)

    def _collect(self, event: Event) -> None:
        self._collected = int(event["tests"])

    def _problem(self, event: Event) -> None:
        self.problems.append(f"{_text(event['worker'])}: {_text(event['type'])}: {_text(event['message'])}")

    def _leave(self, worker_id: str, at_s: float, why: str | None) -> None:
        worker = self.workers.pop(worker_id)
        self.gone.append(worker)
        self._changes.append(self._change(worker_id, at_s, "left", why))

    def _change(self, worker_id: str, at_s: float, change: Literal["joined", "left"], why: str | None) -> FleetChange:
        return FleetChange(at_s=at_s + self._ahead_s, worker=worker_id, change=change, why=why)


_HANDLERS: dict[str, Callable[[Fleet, Event], None]] = {
    "session": Fleet._session,
    "worker": Fleet._worker,
    "start": Fleet._start,
    "test": Fleet._test,
    "sample": Fleet._sample,
    "left": Fleet._left,
    "hooks": Fleet._hooks,
    "collected": Fleet._collect,
    "problem": Fleet._problem,
    "end": Fleet._end,
}


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)


def _optional(value: object, otherwise: float) -> float:
    return otherwise if value is None else _number(value)


def _bytes(value: object) -> int | None:
    return None if value is None else int(_number(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return storable(value)
