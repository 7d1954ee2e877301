"""The loop: on each tick every source is read, the readings become one tick, and the tick is stored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
        self._is_asked = False
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
            except BaseException as error:  # noqa: BLE001  in a thread of ours what ends a program ends only the reading
                answer = RuntimeError(f"{type(error).__name__}: {error}")
            self._answer = answer
            self._answered.set()

    @property
    def is_asked(self) -> bool:
        """Whether an answer is awaited, or waits to be taken."""
        return self._is_asked

    def ask(self, now_s: float) -> bool:
        """Ask for a reading, unless it is still busy with the last one or has an answer that nobody took."""
        if self._is_asked:
            return False
        self._is_asked = True
        self._answered.clear()
        self._now_s = now_s
        self._asked.release()
        return True

    def answer(self, patience_s: float) -> Reading | Exception | None:
        """Take what came within that time, None when nothing did; then it stays for the next call."""
        if not self._is_asked or not self._answered.wait(patience_s):
            return None
        self._is_asked = False
        return self._answer

    def stop(self, patience_s: float) -> bool:
        """End the thread; return False when the source is still stuck in its call."""
        self._stopped = True
        self._asked.release()
        self._thread.join(patience_s)
        return not self._thread.is_alive()


def _told_apart(sources: Sequence[Source]) -> list[str]:
    """Return the names of sources, numbered where two are the same."""
    names: list[str] = []
    for source in sources:
        same = sum(other.name == source.name for other in sources[: len(names)])
        names.append(f"{source.name} {same + 1}" if same else source.name)
    return names


def _checked(answer: object) -> Reading:
    if not isinstance(answer, Reading):
        raise TypeError(f"read() returned {type(answer).__name__}, not a drmviz.Reading")
    return answer


@dataclass(slots=True)
class _Unwritten:
    """What belongs to ticks that the disk refused: their events are kept for the next tick, their samples are gone."""

    events: Tick | None = None
    ticks: int = 0


@dataclass(frozen=True, slots=True)
class _Slowness:
    """What a slow disk has cost since it was last quick enough."""

    skipped: int = 0
    longest_s: float = 0.0

    def more(self, skipped: int, took_s: float) -> _Slowness:
        return _Slowness(self.skipped + skipped, max(self.longest_s, took_s))


def _counted(ticks: int) -> str:
    return f"{ticks} tick{'' if ticks == 1 else 's'}"


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=UTC).isoformat(sep=" ", timespec="milliseconds")


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
        started_monotonic_s: float | None = None,
    ) -> None:
        """`started_at_s` is the wall time from which the run's axis counts: the one its recording began with.

        `started_monotonic_s` is the monotonic time of the same moment; now, when None.

        `patience_s` is how long one tick waits for a source: eight tenths of the interval, or 5 s without one.
        """
        self._threads = dict(zip(_told_apart(sources), map(_SourceThread, sources), strict=True))
        self._recording = recording
        self._clock = clock
        self._interval_s = interval_s
        self._patience_s = patience_s if patience_s is not None else (interval_s * 0.8 or 5.0)
        self._listeners = tuple(listeners)
        self._tracker = RosterTracker()
        self._started_at_s = started_at_s
        self._started_monotonic_s = clock.monotonic_s() if started_monotonic_s is None else started_monotonic_s
        self._last: dict[str, Reading] = {}
        self._unwritten = _Unwritten()
        self._statuses: dict[str, Status] = dict.fromkeys((*self._threads, "store"), OK)
        self._owed_notes: list[str] = []
        self._slowness = _Slowness()
        self.unwritten_ticks = 0
        """How many ticks the disk refused; what happened in them is written with the next one that it takes."""
        self.skipped_ticks = 0
        """How many ticks were not taken because the disk was still busy with the one before."""
        self.refused: dict[str, int] = {}
        """How many answers of each source held values that made no sense."""
        self.late: dict[str, int] = {}
        """How many ticks each source let pass without an answer; what it tells later is not lost."""

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

    def tick(self, patience_s: float | None = None) -> Tick:
        """Read every source once, store the tick and return it; a source that fails costs only its own numbers.

        An answer that comes after its tick is taken by the next one: nothing that a source told is lost. Listeners get
        the tick before the disk does: one that is full or slow delays nobody who looks on.
        """
        at_s, wall_s = (
            self.now_s(),
            self._clock.wall_s(),
        )  # of one moment, or waiting would look like a clock that jumped
        is_fresh = {name: thread.ask(at_s) for name, thread in self._threads.items()}
        hanging_s = 0.0 if patience_s is None else patience_s  # who missed an earlier tick is not waited for again
        fresh_s = self._patience_s if patience_s is None else patience_s
        answers = {
            name: thread.answer(fresh_s if is_fresh[name] else hanging_s) for name, thread in self._threads.items()
        }
        readings = {
            name: reading for name, answer in answers.items() if (reading := self._used(name, answer, at_s)) is not None
        }
        tick = self._tracker.observe(list(readings.values()), at_s=at_s, wall_s=wall_s)
        for name, answer in answers.items():
            self._judge(name, answer, at_s)
        for listener in self._listeners:
            listener(tick)
        self._store(tick)
        return tick

    def last_tick(self, patience_s: float = 10.0) -> Tick:
        """Take what late sources still have to tell, and read each once more."""
        if any(thread.is_asked for thread in self._threads.values()):
            self.tick(patience_s)
        return self.tick(patience_s)

    def losses(self) -> list[str]:
        """Say in words what the disk has cost so far; empty when nothing."""
        said = []
        if self.unwritten_ticks:
            last = self._unwritten.ticks
            events = f", the last {last} with all that happened in them" if last else ""
            said.append(f"{_counted(self.unwritten_ticks)} could not be written{events}")
        if self.skipped_ticks:
            said.append(f"{_counted(self.skipped_ticks)} could not be taken: the disk was busy with those before")
        return said

    def _used(self, name: str, answer: Reading | Exception | None, at_s: float) -> Reading | None:
        """Return the answer, or everything unknown for those who were there last."""
        if isinstance(answer, Reading):
            self._last[name] = answer
            return answer
        last = self._last.get(name)
        return None if last is None else Reading.unknown(last.entries, taken_at_s=at_s)

    def _judge(self, name: str, answer: Reading | Exception | None, at_s: float) -> None:
        """Say how the source is doing, once the whole tick is known."""
        if isinstance(answer, Reading):
            if answer.rejected:
                self.refused[name] = self.refused.get(name, 0) + 1
                self._degrade(name, "; ".join(answer.rejected[:3]), at_s)
            else:
                self._statuses[name] = OK
        elif answer is None:
            self.late[name] = self.late.get(name, 0) + 1
            self._degrade(name, "has not answered in time", at_s)
        elif isinstance(answer, DRMVizError):
            self._degrade(name, str(answer), at_s)
        else:
            self._degrade(name, f"{type(answer).__name__}: {answer}", at_s)

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
                cloud=lost.cloud + tick.cloud,
            )
        begun_s = self._clock.monotonic_s()
        try:
            self._recording.append(tick)
        except StoreError as error:
            self.unwritten_ticks += 1
            self._unwritten = _Unwritten(events=tick, ticks=missing.ticks + 1)
            self._look_at_the_pace(tick.at_s, begun_s)
            self._degrade("store", f"{error} ({_counted(self._unwritten.ticks)} not written)", tick.at_s)
            return
        self._unwritten = _Unwritten()
        if missing.ticks:
            self._owed_notes.append(f"{_counted(missing.ticks)} before {_moment(tick.at_s)} could not be written")
        slowness = self._look_at_the_pace(tick.at_s, begun_s)
        unpaid = self._pay_notes(tick.at_s)
        problem = self._recording.problem or slowness or unpaid
        if problem is None:
            self._statuses["store"] = OK
        else:
            self._degrade("store", problem, tick.at_s)

    def _look_at_the_pace(self, at_s: float, begun_s: float) -> str | None:
        """Count the ticks that there was no time for since writing this one began; return what is to be said of it."""
        took_s = self._clock.monotonic_s() - begun_s
        if not self._interval_s:
            return None
        if took_s > self._interval_s:
            interval_us = round(self._interval_s * 1e6)
            skipped = round(self.now_s() * 1e6) // interval_us - round(at_s * 1e6) // interval_us
            self.skipped_ticks += skipped
            slow = self._slowness = self._slowness.more(skipped, took_s)
            return (
                f"the disk took {took_s:.1f} s to write a tick, one is due every {self._interval_s:g} s:"
                f" {_counted(slow.skipped)} not taken"
            )
        if self._slowness.skipped:
            slow, self._slowness = self._slowness, _Slowness()
            self._owed_notes.append(
                f"{_counted(slow.skipped)} before {_moment(at_s)} could not be taken: the disk took up to"
                f" {slow.longest_s:.1f} s to write one"
            )
        return None

    def _pay_notes(self, at_s: float) -> str | None:
        """Write what readers are to be told of missing ticks; return what the disk said against it."""
        while self._owed_notes:
            try:
                self._recording.note(at_s, self._owed_notes[0])
            except StoreError as error:
                return str(error)
            self._owed_notes.pop(0)
        return None

    def close(self, patience_s: float = 2.0) -> list[str]:
        """End the threads; return the names of sources that are still stuck in their call."""
        return [name for name, thread in self._threads.items() if not thread.stop(patience_s)]
