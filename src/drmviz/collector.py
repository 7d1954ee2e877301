"""The loop: on each tick every source is read, the readings become one tick, and the tick is stored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from drmviz.errors import DRMVizError, StoreError
from drmviz.model.roster import RosterTracker
from drmviz.model.samples import Reading, Tick
from drmviz.model.status import OK, Status
from drmviz.sources.base import Source
from drmviz.system import Clock


class TickSink(Protocol):
    """Where ticks go: a `Recording` of the store."""

    @property
    def problem(self) -> str | None:
        """What is wrong although ticks are kept; None while all is well."""

    def append(self, tick: Tick) -> int:
        """Keep a tick durably and return its sequence, or raise StoreError."""

    def note(self, at_s: float, sentence: str) -> None:
        """Keep a sentence that readers are to be told."""


Listener = Callable[[Tick], None]


class _SourceThread:
    """Asks one source in a thread of its own, so that one that hangs costs only itself."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._asked = threading.Semaphore(0)
        self._answered = threading.Event()
        self._answered.set()
        self._now_s = 0.0
        self._answer: Reading | Exception | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._serve, name=f"drmviz-source-{source.name}", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            self._asked.acquire()
            if self._stopped:
                return
            answer: Reading | Exception
            try:
                answer = _checked(self.source.read(self._now_s))
            except Exception as error:  # noqa: BLE001  the collector loop is a boundary: a source may raise anything
                answer = error
            self._answer = answer
            self._answered.set()

    def ask(self, now_s: float) -> bool:
        """Ask for a reading; return whether the source was free to be asked."""
        if not self._answered.is_set():
            return False
        self._answered.clear()
        self._now_s = now_s
        self._asked.release()
        return True

    def answer(self, patience_s: float) -> Reading | Exception | None:
        """Return what came within that time, None when nothing did."""
        return self._answer if self._answered.wait(patience_s) else None

    def stop(self, patience_s: float) -> bool:
        """End the thread; return False when the source is still stuck in its call."""
        self._stopped = True
        self._asked.release()
        self._thread.join(patience_s)
        return not self._thread.is_alive()


def _checked(answer: object) -> Reading:
    if not isinstance(answer, Reading):
        raise TypeError(f"read() returned {type(answer).__name__}, not a drmviz.Reading")
    return answer


@dataclass(slots=True)
class _Unwritten:
    """What belongs to ticks that the disk refused: their events are kept for the next tick, their samples are gone."""

    events: Tick | None = None
    ticks: int = 0


class Collector:
    """Reads sources on a clock it is given and hands ticks to a recording; owns no thread but one per source."""

    def __init__(
        self,
        sources: Sequence[Source],
        recording: TickSink,
        *,
        clock: Clock,
        started_at_s: float,
        interval_s: float,
        patience_s: float | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        """`started_at_s` is the wall time from which the run's axis counts: the one its recording began with.

        `patience_s` is how long one tick waits for a source: eight tenths of the interval, or 5 s without one.
        """
        self._threads = [_SourceThread(source) for source in sources]
        self._recording = recording
        self._clock = clock
        self._interval_s = interval_s
        self._patience_s = patience_s if patience_s is not None else (interval_s * 0.8 or 5.0)
        self._listeners = tuple(listeners)
        self._tracker = RosterTracker()
        self._started_at_s = started_at_s
        self._started_monotonic_s = clock.monotonic_s()
        self._last: dict[str, Reading] = {}
        self._unwritten = _Unwritten()
        self._statuses: dict[str, Status] = {source.name: OK for source in sources} | {"store": OK}
        self.refused: dict[str, int] = {}
        """How many answers of each source held values that made no sense."""

    @property
    def statuses(self) -> dict[str, Status]:
        """How each source and the store are doing."""
        return dict(self._statuses)

    def now_s(self) -> float:
        """Return this moment on the run's axis: its first wall time plus monotonic seconds since."""
        return self._started_at_s + (self._clock.monotonic_s() - self._started_monotonic_s)

    def seconds_to_next_tick(self) -> float:
        """Return how long to wait: ticks lie on whole multiples of the interval, so that every grid fits them."""
        if not self._interval_s:
            return 0.0
        now_us = round(self.now_s() * 1e6)
        interval_us = round(self._interval_s * 1e6)
        return (interval_us - now_us % interval_us) / 1e6

    def tick(self) -> Tick:
        """Read every source once, store the tick and return it; a source that fails costs only its own numbers."""
        at_s = self.now_s()
        asked = [thread.ask(at_s) for thread in self._threads]
        readings = []
        for thread, was_free in zip(self._threads, asked, strict=True):
            answer = thread.answer(self._patience_s if was_free else 0.0) if was_free else None
            reading = self._accepted(thread.source.name, answer, at_s)
            if reading is not None:
                readings.append(reading)
        tick = self._tracker.observe(readings, at_s=at_s, wall_s=self._clock.wall_s())
        self._store(tick)
        for listener in self._listeners:
            listener(tick)
        return tick

    def _accepted(self, name: str, answer: Reading | Exception | None, at_s: float) -> Reading | None:
        """Return the reading to use: the answer, or everything unknown for those who were there last."""
        if isinstance(answer, Reading):
            self._last[name] = answer
            if answer.rejected:
                self.refused[name] = self.refused.get(name, 0) + 1
                self._degrade(name, "; ".join(answer.rejected[:3]), at_s)
            else:
                self._statuses[name] = OK
            return answer
        if answer is None:
            self._degrade(name, "has not answered in time", at_s)
        elif isinstance(answer, DRMVizError):
            self._degrade(name, str(answer), at_s)
        else:
            self._degrade(name, f"{type(answer).__name__}: {answer}", at_s)
        last = self._last.get(name)
        return None if last is None else Reading.unknown(last.entries, taken_at_s=at_s)

    def _degrade(self, name: str, reason: str, at_s: float) -> None:
        before = self._statuses[name]
        since_s = at_s if before.since_s is None else before.since_s
        self._statuses[name] = Status(state="DEGRADED", reason=reason, since_s=since_s)

    def _store(self, tick: Tick) -> None:
        missing = self._unwritten
        if missing.events is not None:
            lost = missing.events
            tick = replace(
                tick,
                came=lost.came + tick.came,
                went=lost.went + tick.went,
                resized=lost.resized + tick.resized,
                decisions=lost.decisions + tick.decisions,
                tasks=lost.tasks + tick.tasks,
            )
        try:
            self._recording.append(tick)
            if missing.ticks:
                self._recording.note(tick.at_s, f"{missing.ticks} ticks before this one could not be written")
        except StoreError as error:
            self._unwritten = _Unwritten(events=tick, ticks=missing.ticks + 1)
            self._degrade("store", f"{error} ({self._unwritten.ticks} ticks not written)", tick.at_s)
            return
        self._unwritten = _Unwritten()
        if self._recording.problem is None:
            self._statuses["store"] = OK
        else:
            self._degrade("store", self._recording.problem, tick.at_s)

    def close(self, patience_s: float = 2.0) -> list[str]:
        """End the threads; return the names of sources that are still stuck in their call."""
        return [thread.source.name for thread in self._threads if not thread.stop(patience_s)]
