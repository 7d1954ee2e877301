"""One run that is being written: a tick is durable when `append` returns."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Protocol

import apsw
import numpy as np

from drmviz.errors import StoreError
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import ScalingDecision
from drmviz.model.metrics import METRICS
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import RunHeader
from drmviz.model.samples import Tick
from drmviz.model.tasks import Task
from drmviz.model.text import storable
from drmviz.model.workers import Incarnation
from drmviz.store.clock import JUMP_US
from drmviz.store.frames import framed
from drmviz.store.records import stated_by
from drmviz.store.schema import BLOCK_US, NEVER, microseconds, tick_id

CHECKPOINT_TICKS = 60
CLOSING_S = 1.0
"""How long closing may seal, and how long it waits for readers."""

_SURROGATE = re.compile("[\\ud800-\\udfff]")
_INSERT_TICK = "INSERT INTO tick (id, block, at_us, wall_us, roster, samples) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_INCARNATION = f"INSERT INTO incarnation VALUES ({', '.join('?' * 19)})"
_INSERT_TASK = (
    "INSERT INTO task (run, name, worker, outcome, started_us, ended_us, pid, cpu_s, memory_bytes, peak_bytes, attempt)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_DECISION = (
    "INSERT INTO decision (run, decided_us, action, count, reason, metric, value, threshold, window_s,"
    " cooldown_remaining_s, worker_ids, worker_type, utilization) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Keeper(Protocol):
    """What a recording needs of the writer that holds its file."""

    path: Path

    @property
    def problem(self) -> str | None:
        """What the disk refused although every tick was written."""

    @property
    def owes_checkpoint(self) -> bool:
        """Whether the last checkpoint failed: it is tried again before the next tick."""

    def advance_sealing(self, budget_s: float = ...) -> bool:
        """Pack finished blocks for a while; return whether anything is left to do."""

    def advance_forgetting(self, now_s: float, budget_s: float = ...) -> bool:
        """Forget for a while what is not to be kept; return whether anything is left to do."""

    def queue_for_sealing(self, run: int, block: int) -> None:
        """Say that no tick will be added to this block any more."""

    def checkpoint(self) -> None:
        """Move what is in the write-ahead log into the file."""

    def refusal(self, what: str, error: Exception) -> StoreError:
        """Return the error that says what the disk refused."""


class Recording:
    """One run that is being written."""

    def __init__(self, writer: Keeper, connection: apsw.Connection, run: int, header: RunHeader) -> None:
        self.header = header
        self._writer = writer
        self._connection = connection
        self._run = run
        self._sequence = 0
        self._block: int | None = None
        self._last_us: int | None = None
        self._drift_us: int | None = None
        self._finished = False

    @property
    def path(self) -> Path:
        return self._writer.path

    @property
    def problem(self) -> str | None:
        """What the disk refused although every tick was written; None while all is well."""
        return self._writer.problem

    @property
    def ticks(self) -> int:
        """How many ticks are durable."""
        return self._sequence

    def append(self, tick: Tick, *, seal: bool = True) -> int:
        """Write one tick; it is on the disk when this returns.

        Returns:
            Its sequence number in the run, from 0.

        Raises:
            StoreError: the disk refused; nothing of this tick was written and the next may succeed.
        """
        sequence = self._sequence
        at_us = microseconds(tick.at_s)
        wall_us = microseconds(tick.wall_s)
        block = at_us // BLOCK_US
        samples = np.ascontiguousarray(tick.values, dtype="<f4")
        if self._finished:
            raise StoreError(self.path, "this run is finished", remedy="Begin another one.")
        if self._last_us is not None and at_us < self._last_us:
            raise StoreError(self.path, "a tick lies before the one before it", remedy="Ticks go forward only.")
        if samples.shape != (len(METRICS), len(tick.roster.incarnations)):
            raise ValueError(f"values have shape {samples.shape}, the roster {len(tick.roster.incarnations)} columns")
        if self._writer.owes_checkpoint:  # first, as it makes room in the write-ahead log for this very tick
            self._writer.checkpoint()
        try:
            with self._connection:
                self._write_roster(tick)
                if block != self._block:
                    self._connection.execute(
                        "INSERT OR IGNORE INTO block (run, number, first_sequence) VALUES (?, ?, ?)",
                        (self._run, block, sequence),
                    )
                self._connection.execute(
                    _INSERT_TICK,
                    (
                        tick_id(self._run, sequence),
                        block,
                        at_us,
                        wall_us,
                        tick.roster.number,
                        framed(sequence, samples.data.cast("B") if samples.size else b""),
                    ),
                )
                is_clock_set = self._drift_us is None or abs(wall_us - at_us - self._drift_us) > JUMP_US
                if is_clock_set:
                    self._connection.execute(
                        "INSERT OR REPLACE INTO clock VALUES (?, ?, ?)", (self._run, at_us, wall_us - at_us)
                    )
                self._write_tasks(tick.tasks)
                self._write_decisions(tick.decisions)
                self._write_cloud(tick.cloud)
        except (apsw.Error, ValueError, OverflowError, TypeError) as error:  # the last three: not storable by SQLite
            raise self._writer.refusal("a tick could not be written", error) from error
        if self._block is not None and block != self._block:
            self._writer.queue_for_sealing(self._run, self._block)
        self._block = block
        self._last_us = at_us
        if is_clock_set:
            self._drift_us = wall_us - at_us
        self._sequence += 1
        if seal and not self._writer.advance_sealing():
            self._writer.advance_forgetting(tick.at_s)
        if self._sequence % CHECKPOINT_TICKS == 0:
            self._writer.checkpoint()
        return sequence

    def _write_roster(self, tick: Tick) -> None:
        run, roster = self._run, tick.roster.number
        standing = {incarnation.number for incarnation in tick.came}
        left = {incarnation.number: incarnation for incarnation in tick.went}
        for incarnation in tick.came:
            gone = left.get(incarnation.number)  # came and went between two ticks: it stands in no roster
            self._connection.execute(
                _INSERT_INCARNATION, _incarnation_row(run, gone or incarnation, roster, roster if gone else NEVER)
            )
        for incarnation in tick.went:
            if incarnation.number not in standing:
                self._connection.execute(
                    "UPDATE incarnation SET left_us = ?, why_left = ?, left_roster = ? WHERE run = ? AND number = ?",
                    (microseconds(incarnation.left_at_s or 0), incarnation.why_left, roster, run, incarnation.number),
                )
        for incarnation in tick.resized:
            self._connection.execute(
                "UPDATE incarnation SET labels = ? WHERE run = ? AND number = ?",
                (as_json(dict(incarnation.entry.labels)), run, incarnation.number),
            )
            row = (run, incarnation.number, roster, *_capacity_row(incarnation.capacity))
            self._connection.execute("INSERT OR REPLACE INTO resize VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def _write_tasks(self, tasks: tuple[Task, ...]) -> None:
        if tasks:
            self._connection.executemany(
                _INSERT_TASK,
                [
                    (
                        self._run,
                        storable(t.name),
                        storable(t.worker),
                        t.outcome,
                        microseconds(t.started_at_s),
                        microseconds(t.ended_at_s),
                        t.pid,
                        t.cpu_s,
                        t.memory_bytes,
                        t.peak_bytes,
                        t.attempt,
                    )
                    for t in tasks
                ],
            )

    def _write_decisions(self, decisions: tuple[ScalingDecision, ...]) -> None:
        for d in decisions:
            self._connection.execute(
                _INSERT_DECISION,
                (
                    self._run,
                    microseconds(d.decided_at_s),
                    d.action,
                    d.count,
                    storable(d.reason),
                    d.metric,
                    d.value,
                    d.threshold,
                    d.window_s,
                    d.cooldown_remaining_s,
                    as_json(list(d.worker_ids)),
                    None if d.worker_type is None else storable(d.worker_type),
                    d.utilization,
                ),
            )

    def _write_cloud(self, cloud: tuple[CloudUsage, ...]) -> None:
        for usage in cloud:
            self._connection.execute(
                "INSERT INTO cloud (run, at_us, provider, stated) VALUES (?, ?, ?, ?)",
                (self._run, microseconds(usage.at_s), usage.provider, as_json(stated_by(usage))),
            )

    def note(self, at_s: float, sentence: str) -> None:
        """Keep a sentence that readers of this run are to be told."""
        try:
            with self._connection:
                self._connection.execute(
                    "INSERT INTO note (run, at_us, sentence) VALUES (?, ?, ?)",
                    (self._run, microseconds(at_s), storable(sentence)),
                )
        except apsw.Error as error:
            raise self._writer.refusal("a note could not be written", error) from error

    def state(self, *, title: str | None = None, **facts: Any) -> None:
        """Add to what is known of the run."""
        merged = {**self.header.facts, **facts}
        self.header = RunHeader(
            **{
                **{name: getattr(self.header, name) for name in RunHeader.__slots__},
                "facts": merged,
                "title": storable(title) if title is not None else self.header.title,
            }
        )
        try:
            with self._connection:
                self._connection.execute(
                    "UPDATE run SET facts = ?, title = ? WHERE number = ?",
                    (as_json(merged), self.header.title, self._run),
                )
        except apsw.Error as error:
            raise self._writer.refusal("the facts of the run could not be written", error) from error

    def discard(self) -> None:
        """Forget a run of which nothing was recorded."""
        if self._sequence:
            return
        try:
            with self._connection:
                self._connection.execute("DELETE FROM run WHERE number = ?", (self._run,))
        except apsw.Error as error:
            raise self._writer.refusal("an empty run could not be forgotten", error) from error

    def finish(self, ended_at_s: float) -> None:
        """Say that the run is over; pack and forget what fits into the time for closing. Again it does nothing."""
        if self._finished:
            return
        try:
            with self._connection:
                self._connection.execute(
                    "UPDATE run SET ended_us = ? WHERE number = ?", (microseconds(ended_at_s), self._run)
                )
        except apsw.Error as error:
            raise self._writer.refusal("the end of the run could not be written", error) from error
        self._finished = True
        if self._block is not None:
            self._writer.queue_for_sealing(self._run, self._block)
        deadline = time.perf_counter() + CLOSING_S
        while self._writer.advance_sealing(deadline - time.perf_counter()) and time.perf_counter() < deadline:
            if self._writer.problem is not None:
                return
        if self._last_us is not None and time.perf_counter() < deadline:
            self._writer.advance_forgetting(self._last_us / 1e6, deadline - time.perf_counter())


def _incarnation_row(run: int, incarnation: Incarnation, joined_roster: int, left_roster: int) -> tuple[Any, ...]:
    entry = incarnation.entry
    left_us = NEVER if incarnation.left_at_s is None else microseconds(incarnation.left_at_s)
    return (
        run,
        incarnation.number,
        entry.id,
        incarnation.ordinal,
        entry.kind,
        entry.parent,
        entry.host,
        entry.pid,
        as_json(dict(entry.labels)),
        *_capacity_row(entry.capacity),
        microseconds(incarnation.joined_at_s),
        incarnation.why_joined,
        left_us,
        incarnation.why_left,
        joined_roster,
        left_roster,
    )


def _capacity_row(capacity: WorkerCapacity) -> tuple[int | None, ...]:
    return (capacity.cpu_millicores, capacity.memory_bytes, capacity.gpu_count, capacity.gpu_memory_bytes)


def as_json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    return _SURROGATE.sub(lambda found: rf"\\u{ord(found[0]):04x}", text)  # an escape in JSON would bring it back
