"""A collection that is under way: sources are read in the background and recorded, until somebody closes it."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from socket import gethostname
from typing import Any
from weakref import WeakSet

from drmviz.collector import Collector
from drmviz.errors import StoreBusyError, StoreError, UsageError
from drmviz.live import Hub
from drmviz.model.status import OK, Status
from drmviz.sources.base import Source
from drmviz.store import Retention, Writer
from drmviz.system import Clock
from drmviz.visualization.given import Given, Settings, policy_of
from drmviz.visualization.history import recorded_events

_FIRST_TICK_S = 2.0
"""How long the first tick waits for all sources together."""
_PATIENCE_S = 1.0
_LAST_TICK_S = 0.6
_LETTING_GO_S = 0.2
_CLOSING_S = 2.0


class Collection:
    """Takes a tick when it is made, one each interval from then on, and one whenever it is told to."""

    def __init__(
        self,
        sources: Sequence[Source],
        writer: Writer,
        *,
        clock: Clock,
        interval_s: float,
        title: str,
        facts: Mapping[str, Any],
        remark: str | None = None,
    ) -> None:
        """With an interval of 0 it takes a tick only when told to.

        `remark` is what there is to say of the file for as long as this
        goes on. It closes the writer.
        """
        self._writer = writer
        self._clock = clock
        self._interval_s = interval_s
        self._remark = remark
        self._lock = threading.Lock()
        self._stop = SimpleQueue[None]()  # the one thing a destructor may call at any moment
        self._is_closed = False
        self._problems: dict[str, Status] = {}
        started_at_s = clock.wall_s()
        names = ", ".join(source.name for source in sources)
        try:
            self._recording = writer.begin(
                title=title,
                started_at_s=started_at_s,
                interval_s=interval_s,
                source=names,
                host=gethostname(),
                facts=facts,
            )
        except StoreError:
            writer.close()
            raise
        self.hub = Hub(self._recording.header)
        patience_s = min(interval_s * 0.8, _PATIENCE_S) if interval_s else None
        self._collector = Collector(
            sources,
            self._recording,
            clock=clock,
            started_at_s=started_at_s,
            interval_s=interval_s,
            patience_s=patience_s,
            listeners=[self.hub.add],
        )
        self._keeper = threading.Thread(target=self._keep, name="drmviz-collection", daemon=True)
        self._share = 1 / len(sources)
        self._file = _identity(writer.path)
        self._process = os.getpid()
        _UNDER_WAY.add(self)
        try:
            if interval_s:
                self._tick_or_say_why(_FIRST_TICK_S * self._share)
        except BaseException:
            self._end()
            raise
        self._keeper.start()

    @property
    def path(self) -> Path:
        return self._writer.path

    def now_s(self) -> float:
        """Return this moment on the run's axis, which a wall clock that jumps does not move."""
        return self._collector.now_s()

    @property
    def statuses(self) -> dict[str, Status]:
        """How each source and the store are doing."""
        statuses = self._collector.statuses | self._problems
        if self._remark is not None:
            store = statuses["store"]
            reason = self._remark if store == OK else f"{self._remark}; {store.reason}"
            statuses["store"] = Status(state="DEGRADED", reason=reason, since_s=store.since_s)
        return statuses

    def tick(self) -> None:
        """Read every source now.

        Raises:
            UsageError: it is closed, or this is a fork of the process that began it.
        """
        if os.getpid() != self._process:  # before the lock: it may have been held when this process began
            raise UsageError("A forked process does not collect: its parent does. Make a new DRMVisualization in it.")
        with self._lock:
            if self._is_closed:
                raise UsageError("Nothing is collected any more after cleanup(). Make a new DRMVisualization.")
            self._tick()

    def ask_to_stop(self) -> None:
        """Let it end soon, and wait for nothing: what a destructor calls."""
        self._stop.put(None)

    def close(self, patience_s: float = _CLOSING_S) -> None:
        """Take what is still to be told, and end; calling it again does nothing."""
        self.ask_to_stop()
        self._keeper.join(patience_s)

    def _keep(self) -> None:
        while True:
            try:
                self._stop.get(timeout=self._collector.seconds_to_next_tick() if self._interval_s else None)
            except Empty:
                with self._lock:
                    self._tick_or_say_why()
            else:
                break
        with self._lock:
            self._end()

    def _tick(self, patience_s: float | None = None) -> None:
        self._collector.tick(patience_s)
        self._look_for_the_file(self._collector.now_s())

    def _look_for_the_file(self, now_s: float) -> None:
        """Say so where the file is gone: what is written then goes nowhere, and no write fails of it."""
        if _identity(self.path) == self._file:
            self._problems.pop("store", None)
        elif "store" not in self._problems:
            reason = f"{self.path} was deleted, moved or replaced: nothing more is kept; make a new DRMVisualization"
            self._problems["store"] = Status(state="FAILED", reason=reason, since_s=now_s)

    def _tick_or_say_why(self, patience_s: float | None = None) -> None:
        self._or_say_why(lambda: self._tick(patience_s))

    def _or_say_why(self, tick: Callable[[], object]) -> None:
        try:
            tick()
        except Exception as error:  # noqa: BLE001  the collector loop is a boundary: one bad tick must not end it
            reason = f"a tick was lost ({type(error).__name__}: {error})"
            self._problems["collection"] = Status(state="DEGRADED", reason=reason, since_s=self._clock.wall_s())
        else:
            self._problems.pop("collection", None)

    def _end(self) -> None:
        self._is_closed = True
        _UNDER_WAY.discard(self)
        if self._interval_s:
            self._or_say_why(lambda: self._collector.last_tick(_LAST_TICK_S * self._share))
        for name in self._collector.close(_LETTING_GO_S * self._share):
            reason = "it is still stuck in its call; its thread ends when that returns"
            self._problems[name] = Status(state="FAILED", reason=reason, since_s=self._clock.wall_s())
        said: list[str | None] = []
        try:
            if self._recording.ticks:
                self._recording.finish(self._collector.now_s())
            else:
                self._recording.discard()
        except StoreError as error:
            said.append(str(error))
        closing = self._writer.close()
        if "store" not in self._problems:  # of a file that is gone there is nothing else to say
            said.append(closing)
        if reason := "; ".join(filter(None, said)):
            self._problems["store"] = Status(state="DEGRADED", reason=reason, since_s=self._clock.wall_s())


def begin(given: Given, path: Path, *, settings: Settings, clock: Clock) -> Collection:
    """Begin a run in that file, or in one numbered beside it, and return its collection after the first tick.

    Raises:
        StoreError: nothing can be written here.
    """
    writer, remark = open_writer(path, Retention().capped(settings.keep_s))
    try:
        recorded = recorded_events(writer.path)
        sources = given.sources(update_interval=settings.update_interval, recorded=recorded)
        policy = policy_of(sources)
    except BaseException:
        writer.close()
        raise
    return Collection(
        sources,
        writer,
        clock=clock,
        interval_s=settings.update_interval,
        title=given.title,
        facts={"scaling_policy": policy.facts()} if policy.is_known else {},
        remark=remark,
    )


def open_writer(path: Path, retention: Retention) -> tuple[Writer, str | None]:
    """Open the file, or the first one numbered beside it that nobody writes; say so in that case.

    Raises:
        StoreError: nothing can be written here.
    """
    busy: StoreBusyError | None = None
    for number in count(1):
        target = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        try:
            writer = Writer.open(target, retention=retention)
        except StoreBusyError as error:
            busy = busy or error
            continue
        if busy is None:
            return writer, None
        who = f"process {busy.pid}" if busy.pid else "another process"
        return writer, f"{path.name} is being written by {who}; this records into {target.name}"
    raise AssertionError("there is always a next number")


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what makes it this file and no other of the same name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


_UNDER_WAY = WeakSet[Collection]()


@atexit.register
def _close_those_left() -> None:
    for collection in list(_UNDER_WAY):
        collection.close()
