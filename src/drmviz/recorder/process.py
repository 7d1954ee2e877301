"""The process that records: it owns the store and the loop, and watches tests from outside them."""

from __future__ import annotations

import platform
import resource
import shlex
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from drmviz import __version__
from drmviz.collector import Collector, Listener
from drmviz.errors import StoreError
from drmviz.live import Hub
from drmviz.model.run import RunHeader
from drmviz.model.samples import Tick
from drmviz.model.status import Status
from drmviz.recorder import spool as spools
from drmviz.recorder.launch import Command, CommandNotStartedError
from drmviz.recorder.news import StoreNews
from drmviz.recorder.underway import Begun, Underway
from drmviz.sources.pytest_xdist import PytestXdistSource
from drmviz.sources.spool_tail import EVENTS, Tail
from drmviz.store import Recording, Writer
from drmviz.system import Clock, SystemClock

_LOOK_EVERY_S = 0.1
"""How often the end of a pytest that is not our child is looked for between two ticks."""


_PATIENCE_S = 60.0
"""How long a pytest that is over may take to print what the recorder left for it."""
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

    def __init__(
        self, plan: Plan, writer: Writer, clock: Clock, *, title: str, began_monotonic_s: float | None = None
    ) -> None:
        """Begin the run; `began_monotonic_s` is when its tests did, where that was before now."""
        self._plan = plan
        self._writer = writer
        self._clock = clock
        now_s = clock.monotonic_s()
        self._began_monotonic_s = now_s if began_monotonic_s is None else min(now_s, began_monotonic_s)
        self.started_at_s = clock.wall_s() - (now_s - self._began_monotonic_s)
        self._recording: Recording = writer.begin(
            title=title,
            started_at_s=self.started_at_s,
            interval_s=plan.interval_s,
            source=PytestXdistSource.name,
            host=socket.gethostname(),
            labels=plan.labels,
            facts={"drmviz": __version__, "python": platform.python_version()},
            run_id=plan.run_id,
        )
        self.source: PytestXdistSource
        self._collector: Collector
        self._news: StoreNews

    @property
    def header(self) -> RunHeader:
        return self._recording.header

    def follow(self, source: PytestXdistSource, *, listeners: Sequence[Listener] = ()) -> None:
        """Say whom to read from now on, and who is told of each tick."""
        self.source = source
        self._collector = Collector(
            [source],
            self._recording,
            clock=self._clock,
            started_at_s=self.started_at_s,
            started_monotonic_s=self._began_monotonic_s,
            interval_s=self._plan.interval_s,
            listeners=listeners,
        )
        self._news = StoreNews(self._collector)

    def discard(self) -> None:
        """Forget a run whose command did not start, and the file if it was made for it."""
        self._recording.discard()
        self._writer.abandon()

    @property
    def statuses(self) -> dict[str, Status]:
        return self._collector.statuses

    @property
    def elapsed_s(self) -> float:
        return self._collector.now_s() - self.started_at_s

    def tick(self) -> Tick:
        return self._collector.tick()

    def news(self) -> str | None:
        """Return what became of the disk since the last call, where that is worth a line."""
        return self._news.line()

    def seconds_to_next_tick(self) -> float:
        return self._collector.seconds_to_next_tick()

    def drain(self) -> None:
        """Take what is left in the spool."""
        self._collector.last_tick()

    def finish(self, *, exit_code: int | None, title: str | None = None, **facts: Any) -> Recorded:
        """Close the run and the store; what the disk refuses becomes a remark."""
        ended_at_s = self._collector.now_s()
        remarks = self._remarks()
        recording = self._recording
        known = {
            **self.source.session,
            **facts,
            "exit_code": exit_code,
            "hooks_cpu_s": round(self.source.hooks_s, 6),
            "recorder_cpu_s": round(time.process_time(), 6),
            "suite_cpu_s": round(_finished_children_cpu_s(), 6),
        }
        closing: list[Callable[[], None]] = [partial(recording.note, ended_at_s, remark) for remark in remarks]
        closing += [partial(recording.state, title=title, **known), partial(recording.finish, ended_at_s)]
        for step in closing:
            try:
                step()
            except StoreError as error:
                remarks.append(str(error))
        said = self._writer.close()
        return Recorded(
            store=self._writer.path,
            run_id=recording.header.id,
            exit_code=exit_code,
            ticks=recording.ticks,
            claimed=self.source.claimed,
            remarks=(*dict.fromkeys(remarks), *([said] if said else [])),
        )

    def _remarks(self) -> list[str]:
        collector = self._collector
        remarks = [f"{name}: {n} readings held values that made no sense" for name, n in collector.refused.items()]
        remarks += [
            f"{name}: {n} of {self._recording.ticks} ticks had no answer in time" for name, n in collector.late.items()
        ]
        remarks += [f"{name}: {status}" for name, status in self.statuses.items() if status.state != "OK"]
        remarks += [f"store: {loss}" for loss in collector.losses()]
        remarks += self.source.problems
        if self.source.was_abandoned:
            remarks.append("pytest never said that it ended: tests that it could not tell of are missing")
        stuck = collector.close()
        if not stuck:
            self.source.close()
        return [*remarks, *(f"{name}: its last call has not returned" for name in stuck)]


def _finished_children_cpu_s() -> float:
    """Return the CPU seconds of our finished children and theirs: the whole suite, once it is over."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


Show = Callable[[Watch, Tick], None]
Tell = Callable[[str], None]
"""Takes a line for the person at the terminal, at once."""


def record_command(
    command: Sequence[str],
    plan: Plan,
    *,
    clock: Clock | None = None,
    show: Show | None = None,
    tell: Tell | None = None,
    begun: Begun | None = None,
) -> Recorded:
    """Run a command to its end and record it; its streams stay its own.

    `show` gets each tick, `tell` one line whenever the disk begins to refuse ticks or takes them again.

    Raises:
        StoreError: the store cannot be written; the command was not started.
        CommandNotStartedError: the command does not exist or cannot be executed; nothing is recorded.
    """
    clock = clock or SystemClock()
    writer = Writer.open(plan.store)
    folder = spools.create()
    try:
        watch = Watch(plan, writer, clock, title=shlex.join(command))
        try:
            child = Command(command, environment={spools.ENVIRONMENT_VARIABLE: folder})
        except CommandNotStartedError:
            watch.discard()
            raise
        with child:  # also while the run is closed: a second Ctrl-C must not cost its end
            hub = None if begun is None else Hub(watch.header)
            listeners = () if hub is None else (hub.add,)
            watch.follow(PytestXdistSource(folder, root_pid=child.pid, clock=clock), listeners=listeners)
            try:
                if begun is not None and hub is not None:
                    begun(Underway(store=writer.path, hub=hub, statuses=lambda: watch.statuses))
                code = _follow(watch, child.wait, show, tell)
            finally:  # whatever becomes of us, the command runs to its own end
                child.wait()
            watch.drain()
            return watch.finish(exit_code=code, command=list(command))
    finally:
        writer.close()
        spools.remove(folder)


def record_pytest(folder: str, pid: int, plan: Plan, *, clock: Clock | None = None) -> Recorded:
    """Record a pytest that is already running, until it says that it is over or its process is gone.

    Raises:
        StoreError: the store cannot be written.
    """
    clock = clock or SystemClock()
    with Writer.open(plan.store) as writer:
        watch = Watch(plan, writer, clock, title="pytest", began_monotonic_s=_began_monotonic_s(Path(folder)))
        source = PytestXdistSource(folder, root_pid=pid, clock=clock)
        watch.follow(source)
        said_end, lives = _EndWatch(Path(folder)), _Life(pid)

        def over(timeout_s: float) -> int | None:
            deadline_s = clock.monotonic_s() + timeout_s
            while not said_end() and lives():
                left_s = deadline_s - clock.monotonic_s()
                if left_s <= 0:
                    return None
                clock.wait_s(min(left_s, _LOOK_EVERY_S))
            return 0

        _follow(watch, over)
        watch.drain()
        return watch.finish(exit_code=source.exit_status, title=shlex.join(["pytest", *source.session.get("args", [])]))


def _began_monotonic_s(folder: Path) -> float | None:
    """Return when the first event was written: tests may end before this process can look at them."""
    first = next(iter(Tail(folder).read()), None)
    at = None if first is None else first.get("at")
    return float(at) if isinstance(at, int | float) else None


def clean_up_after(folder: str, pid: int, *, clock: Clock | None = None) -> None:
    """Remove the spool once pytest is gone, if it did not do so itself after printing what it found there."""
    clock = clock or SystemClock()
    lives = _Life(pid)
    give_up_s = clock.monotonic_s() + _PATIENCE_S
    while lives() and Path(folder).exists() and clock.monotonic_s() < give_up_s:
        clock.wait_s(_LOOK_EVERY_S)
    spools.remove(folder)


class _Life:
    """Tells whether a process still runs: not a zombie, and not another one with the same pid."""

    def __init__(self, pid: int) -> None:
        try:
            self._process: psutil.Process | None = psutil.Process(pid)
        except psutil.NoSuchProcess:
            self._process = None

    def __call__(self) -> bool:
        try:
            return (
                self._process is not None
                and self._process.is_running()
                and self._process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return False


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


def _follow(
    watch: Watch, wait: Callable[[float], int | None], show: Show | None = None, tell: Tell | None = None
) -> int:
    while True:
        tick = watch.tick()
        if tell is not None and (line := watch.news()) is not None:
            tell(line)
        if show is not None:
            show(watch, tick)
        code = wait(watch.seconds_to_next_tick())
        if code is not None:
            return code
