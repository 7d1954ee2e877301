"""The process that records: it owns the store and the loop, and watches tests from outside them."""

from __future__ import annotations

import platform
import resource
import shlex
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from drmviz import __version__
from drmviz.collector import Collector
from drmviz.model.samples import Tick
from drmviz.model.status import Status
from drmviz.recorder import spool as spools
from drmviz.recorder.launch import Command
from drmviz.sources.pytest_xdist import PytestXdistSource
from drmviz.sources.spool_tail import EVENTS
from drmviz.store import Recording, Writer
from drmviz.system import Clock, SystemClock

_LOOK_EVERY_S = 0.1
"""How often the end of a pytest that is not our child is looked for between two ticks."""


_END = b'{"event":"end"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be recorded and where."""

    store: Path
    interval_s: float
    labels: Mapping[str, str] = field(default_factory=dict)
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What came of it."""

    store: Path
    run_id: str
    exit_code: int | None
    ticks: int
    claimed: bool
    """Whether our pytest plugin took part; without it only the process tree is known."""
    remarks: tuple[str, ...] = ()
    """What the user should be told: ticks that could not be written, values that made no sense, a reader that holds."""


class Watch:
    """One run while it is recorded; what listeners are shown."""

    def __init__(self, plan: Plan, source: PytestXdistSource, writer: Writer, clock: Clock, *, title: str) -> None:
        self.source = source
        self._plan = plan
        self._writer = writer
        self.started_at_s = clock.wall_s()
        self._recording: Recording = writer.begin(
            title=title,
            started_at_s=self.started_at_s,
            interval_s=plan.interval_s,
            source=source.name,
            host=socket.gethostname(),
            labels=plan.labels,
            facts={"drmviz": __version__, "python": platform.python_version()},
            run_id=plan.run_id,
        )
        self._collector = Collector(
            [source], self._recording, clock=clock, started_at_s=self.started_at_s, interval_s=plan.interval_s
        )

    @property
    def statuses(self) -> dict[str, Status]:
        return self._collector.statuses

    @property
    def elapsed_s(self) -> float:
        return self._collector.now_s() - self.started_at_s

    def tick(self) -> Tick:
        return self._collector.tick()

    def seconds_to_next_tick(self) -> float:
        return self._collector.seconds_to_next_tick()

    def finish(self, *, exit_code: int | None, title: str | None = None, **facts: Any) -> Recorded:
        """Take what is left in the spool, close the run and the store."""
        self._collector.tick()
        remarks = [
            f"{name}: {count} readings held values that made no sense"
            for name, count in self._collector.refused.items()
        ]
        remarks += [f"{name}: {status}" for name, status in self.statuses.items() if status.state != "OK"]
        remarks += self.source.problems
        stuck = self._collector.close()
        if not stuck:
            self.source.close()
        remarks += [f"{name}: its last call has not returned" for name in stuck]
        ended_at_s = self._collector.now_s()
        for remark in remarks:
            self._recording.note(ended_at_s, remark)
        self._recording.state(
            title=title,
            **self.source.session,
            **facts,
            exit_code=exit_code,
            hooks_cpu_s=round(self.source.hooks_s, 6),
            recorder_cpu_s=round(time.process_time(), 6),
            suite_cpu_s=round(_finished_children_cpu_s(), 6),
        )
        self._recording.finish(ended_at_s)
        said = self._writer.close()
        return Recorded(
            store=self._plan.store,
            run_id=self._recording.header.id,
            exit_code=exit_code,
            ticks=self._recording.ticks,
            claimed=self.source.claimed,
            remarks=(*remarks, *([said] if said else [])),
        )


def _finished_children_cpu_s() -> float:
    """Return the CPU seconds of our finished children and theirs: the whole suite, once it is over."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


Show = Callable[[Watch, Tick], None]


def record_command(
    command: Sequence[str], plan: Plan, *, clock: Clock | None = None, show: Show | None = None
) -> Recorded:
    """Run a command to its end and record it; its streams stay its own.

    Raises:
        StoreError: the store cannot be written; the command was not started.
        CommandNotStartedError: the command does not exist or cannot be executed; nothing is recorded.
    """
    clock = clock or SystemClock()
    folder = spools.create()
    try:
        writer = Writer.open(plan.store)
        try:
            with Command(command, environment={"DRMVIZ_SPOOL": folder}) as child:
                source = PytestXdistSource(folder, root_pid=child.pid, clock=clock)
                watch = Watch(plan, source, writer, clock, title=shlex.join(command))
                code = _follow(watch, child.wait, show)
                return watch.finish(exit_code=code, command=list(command))
        finally:
            writer.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def record_pytest(folder: str, pid: int, plan: Plan, *, clock: Clock | None = None) -> Recorded:
    """Record a pytest that is already running, until it says that it is over or its process is gone.

    Raises:
        StoreError: the store cannot be written.
    """
    clock = clock or SystemClock()
    with Writer.open(plan.store) as writer:
        source = PytestXdistSource(folder, root_pid=pid, clock=clock)
        watch = Watch(plan, source, writer, clock, title="pytest")

        said_end = _EndWatch(Path(folder))

        def over(timeout_s: float) -> int | None:
            deadline_s = clock.monotonic_s() + timeout_s
            while not said_end() and psutil.pid_exists(pid):
                left_s = deadline_s - clock.monotonic_s()
                if left_s <= 0:
                    return None
                clock.wait_s(min(left_s, _LOOK_EVERY_S))
            return 0

        _follow(watch, over, None)
        return watch.finish(exit_code=source.exit_status, title=shlex.join(["pytest", *source.session.get("args", [])]))


@dataclass(slots=True)
class _EndWatch:
    """Looks for the event that pytest is over among what was appended since the last look; parses nothing."""

    folder: Path
    _seen: int = 0

    def __call__(self) -> bool:
        try:
            with (self.folder / EVENTS).open("rb") as events:
                events.seek(max(0, self._seen - len(_END)))
                fresh = events.read()
        except OSError:
            return True  # nobody will tell us anything any more
        self._seen = max(0, self._seen - len(_END)) + len(fresh)
        return _END in fresh


def _follow(watch: Watch, wait: Callable[[float], int | None], show: Show | None) -> int:
    while True:
        tick = watch.tick()
        if show is not None:
            show(watch, tick)
        code = wait(watch.seconds_to_next_tick())
        if code is not None:
            return code
