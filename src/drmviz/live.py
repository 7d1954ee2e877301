"""The hub: the last minutes of a run in memory, whatever the disk does, and who is told of each new tick."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from types import TracebackType

import numpy as np

from drmviz.errors import InvalidValueError
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import ScalingDecision
from drmviz.model.metrics import METRICS, IntArray, Metric, Statistic
from drmviz.model.run import Run, RunHeader
from drmviz.model.samples import Tick
from drmviz.model.tasks import Task
from drmviz.model.workers import Incarnation, Kind
from drmviz.store.assembling import Asked, Gathered, assembled, resized_of
from drmviz.store.clock import jumps_told, turns
from drmviz.store.fetching import Fetched, Piece
from drmviz.store.grids import Columns
from drmviz.store.records import rows_shown
from drmviz.store.schema import NEVER, microseconds
from drmviz.store.windows import Window, coarsest_tier, columns_over

KEPT_S = 600.0
KEPT_BYTES = 64_000_000
_EVENT_BYTES = 600
"""About what one test, decision, change or provider takes in memory."""
_PLACE_BYTES = 8


@dataclass(frozen=True, slots=True)
class LiveTick:
    """One tick as listeners get it: `number` counts from 0 and leaves nothing out, so a gap in it is a loss."""

    number: int
    tick: Tick


@dataclass(frozen=True, slots=True)
class _Held:
    at_us: int
    live: LiveTick
    members: IntArray
    """int64, shape (incarnations,): their numbers, one array for all ticks of a roster."""
    bytes_: int


class Hub:
    """Keeps ticks for `kept_s` and within `kept_bytes`, whichever is less, the oldest dropped first.

    It may be asked from any thread. The arrays of a tick are kept as they are, not copied: nobody may change them.
    """

    def __init__(self, header: RunHeader, *, kept_s: float = KEPT_S, kept_bytes: int = KEPT_BYTES) -> None:
        for name, value in (("kept_s", kept_s), ("kept_bytes", kept_bytes)):
            if value <= 0:
                raise InvalidValueError(name, value, "must be more than 0")
        self.header = header
        self._kept_us = microseconds(kept_s)
        self._kept_bytes = kept_bytes
        self._lock = threading.Lock()
        self._held: deque[_Held] = deque()
        self._bytes = 0
        self._count = 0
        self._lives: dict[int, Incarnation] = {}
        self._gone: deque[tuple[int, int]] = deque()
        """When who left, in the order of being told: (microseconds, number)."""
        self._providers: dict[str, CloudUsage] = {}
        """What was last said of each provider in ticks that were dropped."""
        self._subscriptions: tuple[Subscription, ...] = ()
        self._listeners: tuple[Callable[[LiveTick], None], ...] = ()

    @property
    def bytes_(self) -> int:
        """About how much memory the ticks take."""
        return self._bytes

    @property
    def ticks(self) -> int:
        """How many ticks are held."""
        return len(self._held)

    @property
    def oldest(self) -> LiveTick | None:
        """The first tick that is held."""
        with self._lock:
            return self._held[0].live if self._held else None

    @property
    def newest(self) -> LiveTick | None:
        with self._lock:
            return self._held[-1].live if self._held else None

    def add(self, tick: Tick) -> None:
        """Take the newest tick, drop what is too old or too much, and tell all subscribers; nobody is waited for."""
        with self._lock:
            live = LiveTick(self._count, tick)
            self._count += 1
            self._hold(live)
            self._drop()
            subscriptions, listeners = self._subscriptions, self._listeners
        for subscription in subscriptions:
            subscription.offer(live)
        for listener in listeners:
            listener(live)

    def tell(self, listener: Callable[[LiveTick], None]) -> Callable[[], None]:
        """Call `listener` with each new tick, in the thread that adds it, which it must not hold up.

        Returns:
            What ends that.
        """
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def forget() -> None:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

        return forget

    def _hold(self, live: LiveTick) -> None:
        tick = live.tick
        events = (*tick.came, *tick.went, *tick.resized, *tick.decisions, *tick.tasks, *tick.cloud)
        size = tick.values.nbytes + _EVENT_BYTES * (1 + len(events))
        last = self._held[-1] if self._held else None
        if last is not None and last.live.tick.roster is tick.roster:
            members = last.members
        else:
            members = np.array([life.number for life in tick.roster.incarnations], dtype=np.int64)
            size += members.nbytes + _PLACE_BYTES * len(members)
            self._lives.update((life.number, life) for life in tick.roster.incarnations)
        for life in tick.went:
            self._lives[life.number] = life
            self._gone.append((microseconds(life.left_at_s or tick.at_s), life.number))
        self._held.append(_Held(microseconds(tick.at_s), live, members, size))
        self._bytes += size

    def _drop(self) -> None:
        newest_us = self._held[-1].at_us
        while len(self._held) > 1 and (
            self._held[0].at_us <= newest_us - self._kept_us or self._bytes > self._kept_bytes
        ):
            dropped = self._held.popleft()
            self._bytes -= dropped.bytes_
            self._providers.update((usage.provider, usage) for usage in dropped.live.tick.cloud)
        while self._gone and self._gone[0][0] < self._held[0].at_us:
            del self._lives[self._gone.popleft()[1]]

    def after(self, number: int) -> list[LiveTick]:
        """Return the ticks held whose number is higher; the first one tells whether some in between are gone."""
        with self._lock:
            many = self._count - 1 - number  # what is held is counted without a gap, up to the newest
            newest_first = [held.live for held in islice(reversed(self._held), max(0, many))]
        return newest_first[::-1]

    def subscribe(self, *, at_most: int = 16) -> Subscription:
        """Return a queue of the ticks from now on that holds `at_most`; who is slower than that loses the oldest."""
        if at_most < 1:
            raise InvalidValueError("at_most", at_most, "must be at least 1")
        subscription = Subscription(self, at_most)
        with self._lock:
            self._subscriptions = (*self._subscriptions, subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Tell it nothing more; `Subscription.close` calls this."""
        with self._lock:
            self._subscriptions = tuple(other for other in self._subscriptions if other is not subscription)

    def read(
        self,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        columns: int = 600,
        metrics: Sequence[Metric] = METRICS,
        statistics: Sequence[Statistic] = ("mean",),
        workers: Sequence[str] | None = None,
        kinds: Sequence[Kind] | None = None,
        means: Sequence[Metric] = (),
    ) -> Run:
        """Return a window of what is held, the same as `Store.read` of ticks that were written.

        Raises:
            InvalidValueError: no such worker, or a window that ends before it starts.
        """
        if columns < 1:
            raise InvalidValueError("columns", columns, "must be at least 1")
        with self._lock:
            held = list(self._held)
            lives = list(self._lives.values())
            providers = tuple(self._providers.values())
        if not held:
            return Run.empty(self.header)
        asked = Asked(columns, start_s, end_s, tuple(metrics), tuple(statistics), workers, kinds, tuple(means))
        window = _window(self.header, held, asked)
        first_us, end_us = window.columns.first_us, window.columns.end_us
        lives = [life for life in lives if microseconds(life.joined_at_s) < end_us and _left_us(life) >= first_us]
        shown = rows_shown(sorted(lives, key=lambda life: life.number), kinds, workers)
        row_by_id = {worker.id: row for row, worker in enumerate(shown)}
        seen = [one for one in held if first_us <= one.at_us < end_us]
        found = Fetched(
            row_of={life.number: row_by_id[life.id] for life in lives if life.id in row_by_id},
            ticks=len(seen),
            pieces=_pieces(seen),
            decisions=_decisions(held, window),
            tasks=_tasks(held, window, workers),
            cloud=_cloud(providers, held, window),
            notes=_jumps(held, window.columns),
            resized=resized_of(shown, ((life.number, life) for life in lives)),
        )
        return assembled(Gathered(self.header, window, shown, [found]), asked)


class Subscription:
    """A bounded queue of new ticks; whoever is told never delays the one who tells."""

    def __init__(self, hub: Hub, at_most: int) -> None:
        self._hub = hub
        self._waiting: deque[LiveTick] = deque()
        self._at_most = at_most
        self._changed = threading.Condition()
        self._is_closed = False
        self.lost = 0
        """How many ticks were dropped because nobody took them in time."""

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def offer(self, live: LiveTick) -> None:
        """Put a tick into the queue; the oldest one makes room."""
        with self._changed:
            if self._is_closed:
                return
            if len(self._waiting) == self._at_most:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(live)
            self._changed.notify()

    def take(self, patience_s: float = 0.0) -> LiveTick | None:
        """Return the oldest tick that waits; None where none came within that time, or after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed, timeout=patience_s)
            return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Take no more ticks and wake whoever waits; what is in the queue can still be taken."""
        self._hub.forget(self)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


def _left_us(life: Incarnation) -> int:
    return NEVER if life.left_at_s is None else microseconds(life.left_at_s)


def _window(header: RunHeader, held: Sequence[_Held], asked: Asked) -> Window:
    """Return the columns that a store would answer with: from the run's beginning where nothing of it was dropped."""
    interval_us = microseconds(header.interval_s)
    if not interval_us:  # ticks come when somebody asks: their usual distance has to do
        stamps = np.array([one.at_us for one in held], dtype=np.int64)
        interval_us = max(1, int(np.median(np.diff(stamps)))) if len(stamps) > 1 else 1_000_000
    oldest_us = held[0].at_us // interval_us * interval_us
    first_us = oldest_us if held[0].live.number else microseconds(header.started_at_s)
    start_us = first_us if asked.start_s is None else microseconds(asked.start_s)
    newest_us = (held[-1].at_us // interval_us + 1) * interval_us
    end_us = newest_us if asked.end_s is None else microseconds(asked.end_s)
    if end_us <= start_us:
        raise InvalidValueError("end", asked.end_s, f"the window would end before its start {start_us / 1e6:.3f}")
    tier = coarsest_tier((end_us - start_us) // asked.columns, interval_us)
    columns = columns_over(start_us, end_us, tier=tier, interval_us=interval_us, at_most=asked.columns)
    return Window(
        start_us, end_us, columns, 0 if asked.start_s is None else start_us, NEVER if asked.end_s is None else end_us
    )


def _pieces(held: Sequence[_Held]) -> list[Piece]:
    return [
        Piece(
            members=together[0].members,
            at_us=np.array([one.at_us for one in together], dtype=np.int64),
            arrays=tuple(one.live.tick.values for one in together),
        )
        for _, grouped in groupby(held, key=lambda one: id(one.members))
        for together in [list(grouped)]
    ]


def _jumps(held: Sequence[_Held], columns: Columns) -> list[str]:
    at_us = np.array([one.at_us for one in held], dtype=np.int64)
    wall_us = np.array([microseconds(one.live.tick.wall_s) for one in held], dtype=np.int64)
    return jumps_told(list(turns(at_us, wall_us, None)), columns.first_us, columns.end_us)


def _decisions(held: Sequence[_Held], window: Window) -> tuple[ScalingDecision, ...]:
    return tuple(
        decision
        for one in held
        for decision in one.live.tick.decisions
        if window.decisions_from_us <= microseconds(decision.decided_at_s) < window.decisions_end_us
    )


def _tasks(held: Sequence[_Held], window: Window, workers: Sequence[str] | None) -> tuple[Task, ...]:
    tasks = [
        task
        for one in held
        for task in one.live.tick.tasks
        if microseconds(task.ended_at_s) >= window.start_us
        and microseconds(task.started_at_s) < window.end_us
        and (workers is None or task.worker in workers)
    ]
    return tuple(sorted(tasks, key=lambda task: microseconds(task.started_at_s)))


def _cloud(before: Sequence[CloudUsage], held: Sequence[_Held], window: Window) -> tuple[CloudUsage, ...]:
    """Return what was observed of providers in the window, and what held when it began."""
    told = sorted([*before, *(usage for one in held for usage in one.live.tick.cloud)], key=lambda usage: usage.at_s)
    stands = {usage.provider: usage for usage in told if microseconds(usage.at_s) < window.start_us}
    within = [u for u in told if window.start_us <= microseconds(u.at_s) < window.decisions_end_us]
    return (*stands.values(), *within)
