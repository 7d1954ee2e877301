"""Turns what sources see, tick after tick, into incarnations that joined and left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from drmviz.model.decisions import FleetChange
from drmviz.model.events import changes_of, cloud_of, decisions_of, tasks_of
from drmviz.model.metrics import METRICS, FloatArray, IntArray
from drmviz.model.samples import Reading, Roster, Tick
from drmviz.model.workers import Incarnation, RosterEntry


@dataclass(slots=True)
class RosterTracker:
    """Knows who lives; give it every reading in turn."""

    _live: dict[str, Incarnation] = field(default_factory=dict)
    _lives: dict[str, int] = field(default_factory=dict)
    _next: int = 0
    _roster: Roster = field(default_factory=lambda: Roster(number=0, incarnations=()))
    _seen: tuple[tuple[RosterEntry, ...], ...] = ()
    _placing: list[tuple[IntArray, IntArray]] = field(default_factory=list)
    """For each reading: which of its columns go where in the roster."""

    def observe(self, readings: Sequence[Reading], *, at_s: float, wall_s: float) -> Tick:
        """Return the tick of these readings; who is in none of them has left.

        A change that a source reports (`left`, `crashed`) says when and why; one that is only seen has no reason.
        """
        seen = tuple(reading.entries for reading in readings)
        changes = changes_of(readings)
        came: list[Incarnation] = []
        went: list[Incarnation] = []
        resized: list[Incarnation] = []
        if (
            changes
            or len(seen) != len(self._seen)
            or any(a is not b and a != b for a, b in zip(seen, self._seen, strict=True))
        ):
            entries: dict[str, RosterEntry] = {}
            for reading in readings:
                for entry in reading.entries:
                    if entry.id in entries:
                        reading.rejected.append(f"worker id {entry.id[:80]!r} is reported by two sources")
                    else:
                        entries[entry.id] = entry
            gone = self._apply(changes, entries, at_s, came, went)
            self._compare(entries, gone, at_s, came, went, resized)
            if came or went or resized:
                living = sorted(self._live.values(), key=lambda incarnation: incarnation.number)
                self._roster = Roster(number=self._roster.number + 1, incarnations=tuple(living))
            self._placing = self._placed(readings)
        self._seen = seen
        return Tick(
            at_s=at_s,
            wall_s=wall_s,
            roster=self._roster,
            values=self._arranged(readings),
            came=tuple(came),
            went=tuple(went),
            resized=tuple(resized),
            decisions=decisions_of(readings),
            tasks=tasks_of(readings),
            cloud=cloud_of(readings),
        )

    def _apply(
        self,
        changes: list[FleetChange],
        entries: dict[str, RosterEntry],
        at_s: float,
        came: list[Incarnation],
        went: list[Incarnation],
    ) -> set[str]:
        """Follow reported changes in their order; return the ids that were told to be gone."""
        gone: set[str] = set()
        for change in sorted(changes, key=lambda change: change.at_s):
            when_s = min(change.at_s, at_s)
            if change.change == "joined":
                gone.discard(change.worker)
                if change.worker not in self._live:
                    entry = entries.get(change.worker) or RosterEntry(id=change.worker)
                    came.append(self._join(entry, when_s, change.why))
            else:
                if change.worker not in self._live:
                    continue
                went.append(self._leave(change.worker, when_s, change.why))
                gone.add(change.worker)
        return gone

    def _compare(
        self,
        entries: dict[str, RosterEntry],
        gone: set[str],
        at_s: float,
        came: list[Incarnation],
        went: list[Incarnation],
        resized: list[Incarnation],
    ) -> None:
        unseen = [worker_id for worker_id in self._live if worker_id not in entries]
        went.extend(self._leave(worker_id, at_s, None) for worker_id in unseen)
        for worker_id, entry in entries.items():
            if worker_id in gone:
                continue
            living = self._live.get(worker_id)
            if living is None:
                came.append(self._join(entry, at_s, None))
            elif not living.entry.is_same_incarnation(entry):
                if any(
                    new is living for new in came
                ):  # it joined in this very tick, before the source could describe it
                    came[:] = [replace(new, entry=entry) if new is living else new for new in came]
                    self._live[worker_id] = replace(living, entry=entry)
                    continue
                went.append(self._leave(worker_id, at_s, "replaced"))
                came.append(self._join(entry, at_s, None))
            elif living.entry != entry:
                self._live[worker_id] = replace(living, entry=entry)
                if (living.capacity, living.entry.labels) != (entry.capacity, entry.labels):
                    resized.append(self._live[worker_id])

    def _join(self, entry: RosterEntry, at_s: float, why: str | None) -> Incarnation:
        self._lives[entry.id] = self._lives.get(entry.id, 0) + 1
        incarnation = Incarnation(
            number=self._next, ordinal=self._lives[entry.id], entry=entry, joined_at_s=at_s, why_joined=why
        )
        self._next += 1
        self._live[entry.id] = incarnation
        return incarnation

    def _leave(self, worker_id: str, at_s: float, why: str | None) -> Incarnation:
        living = self._live.pop(worker_id)
        return replace(living, left_at_s=max(at_s, living.joined_at_s), why_left=why)

    def _placed(self, readings: Sequence[Reading]) -> list[tuple[IntArray, IntArray]]:
        columns = {incarnation.id: i for i, incarnation in enumerate(self._roster.incarnations)}
        placing: list[tuple[IntArray, IntArray]] = []
        for reading in readings:
            pairs = [(i, columns.pop(e.id)) for i, e in enumerate(reading.entries) if e.id in columns]
            both = np.array(pairs, dtype=np.intp).reshape(-1, 2)
            placing.append((both[:, 0], both[:, 1]))
        return placing

    def _arranged(self, readings: Sequence[Reading]) -> FloatArray:
        """Return the values of all readings in the order of the roster."""
        values = np.full((len(METRICS), len(self._roster.incarnations)), np.nan, dtype=np.float32)
        for reading, (source, target) in zip(readings, self._placing, strict=True):
            values[:, target] = reading.values[:, source]
        return values
