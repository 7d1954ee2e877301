"""The one writer of a store: a tick is durable when `append` returns, and old blocks are sealed in between."""

from __future__ import annotations

import json
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw
import numpy as np

from drmviz.errors import StoreError
from drmviz.model.decisions import ScalingDecision
from drmviz.model.metrics import METRICS
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import RunHeader
from drmviz.model.samples import Tick
from drmviz.model.tasks import Task
from drmviz.model.text import storable
from drmviz.model.workers import Incarnation
from drmviz.store.connections import open_for_writing, rows_of
from drmviz.store.frames import framed
from drmviz.store.lock import WriterLock
from drmviz.store.schema import BLOCK_US, NEVER, tick_id
from drmviz.store.sealing import seal

CHECKPOINT_TICKS = 60
SEALING_S = 0.05
CLOSING_S = 1.0
"""How long closing may seal, and how long it waits for readers."""

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


def microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


class Writer:
    """Holds the lock of one store; several runs may be written into it, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = WriterLock(path)
        self._created = not path.exists() or path.stat().st_size == 0
        self._closed = False
        self._sealing_problem: str | None = None
        self._checkpoint_problem: str | None = None
        self._unsealed: deque[tuple[int, int]] = deque()
        self._sealing: Iterator[None] | None = None
        try:
            self._connection = open_for_writing(path)
            try:
                self._forget_half_sealed()
            except apsw.Error as error:
                self._connection.close()
                raise StoreError(
                    path,
                    f"it cannot be taken up again ({error})",
                    remedy="`drmviz doctor` says what can be read of it.",
                ) from error
        except BaseException:
            self._lock.release()
            raise

    @property
    def problem(self) -> str | None:
        """What the disk refused although every tick was written, in words; None while all is well."""
        return self._sealing_problem or self._checkpoint_problem

    @classmethod
    def open(cls, path: str | Path) -> Writer:
        """Open or create a store.

        Raises:
            StoreBusyError: another process writes it; the error names its pid.
            StoreError: the file is something else, or its folder cannot be written.
        """
        path = Path(path).expanduser().resolve()  # two names of one file are one lock
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                path, f"its folder cannot be made ({error.strerror})", remedy="Name another place with --store."
            ) from error
        return cls(path)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _forget_half_sealed(self) -> None:
        """Throw away what a killed writer had packed of blocks without their mark, and queue those blocks again."""
        self._forget_chunks_without_their_mark()
        with self._connection:
            self._connection.execute(
                "DELETE FROM tick WHERE EXISTS"
                " (SELECT 1 FROM block b WHERE b.run = tick.id >> 40 AND b.number = tick.block AND b.sealed)"
            )
        self._unsealed.extend(
            (run, block)
            for run, block in rows_of(
                self._connection, "SELECT run, number FROM block WHERE NOT sealed ORDER BY run, number"
            )
        )

    def _forget_chunks_without_their_mark(self) -> None:
        with self._connection:
            self._connection.execute(
                "DELETE FROM chunk WHERE (run, block) IN (SELECT run, number FROM block WHERE NOT sealed)"
            )

    def begin(
        self,
        *,
        title: str,
        started_at_s: float,
        interval_s: float,
        source: str = "",
        host: str = "",
        labels: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
        run_id: str | None = None,
    ) -> Recording:
        """Begin a run; `started_at_s` is the wall time that its axis starts from."""
        header = RunHeader(
            id=run_id or uuid.uuid4().hex[:12],
            title=storable(title),
            started_at_s=started_at_s,
            interval_s=interval_s,
            source=source,
            host=host,
            labels=dict(labels or {}),
            facts=dict(facts or {}),
        )
        try:
            with self._connection:
                self._connection.execute(
                    "INSERT INTO run (id, title, source, host, labels, facts, started_us, interval_us)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        header.id,
                        header.title,
                        storable(header.source),
                        storable(header.host),
                        _json(header.labels),
                        _json(header.facts),
                        microseconds(started_at_s),
                        microseconds(interval_s),
                    ),
                )
        except apsw.Error as error:
            raise self.refusal("a run cannot be begun", error) from error
        return Recording(self, self._connection, self._connection.last_insert_rowid(), header)

    def advance_sealing(self, budget_s: float = SEALING_S) -> bool:
        """Pack finished blocks for at most `budget_s`; return whether anything is left to do.

        What the disk refuses is told by `problem`, costs no tick, and is tried again later from the block's beginning.
        """
        if self._sealing is None and not self._unsealed:
            return False
        deadline = time.perf_counter() + budget_s
        sealing = self._sealing or seal(self._connection, *self._unsealed[0])
        self._sealing = None  # a slice that fails is rolled back: what its generator believes to be written is not
        try:
            with self._connection:
                is_done = False
                while not is_done and time.perf_counter() < deadline:
                    is_done = next(sealing, _DONE) is _DONE
        except apsw.Error as error:
            self.leave_transaction()
            self._sealing_problem = f"old ticks cannot be packed ({error})"
            self._unsealed.rotate(-1)  # one block that resists must not keep the others waiting
            return True
        self._sealing_problem = None
        if is_done:
            self._unsealed.popleft()
        else:
            self._sealing = sealing
        return bool(self._unsealed)

    def refusal(self, what: str, error: Exception) -> StoreError:
        """Return the error that says what the disk refused, after taking back what was half done."""
        self.leave_transaction()
        return StoreError(self.path, f"{what} ({error})", remedy="Free some space, or name another place with --store.")

    def leave_transaction(self) -> None:
        """Take back what is left of a transaction whose beginning or end itself failed."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def queue_for_sealing(self, run: int, block: int) -> None:
        """Say that no tick will be added to this block any more."""
        self._unsealed.append((run, block))

    def checkpoint(self) -> None:
        """Move what is in the write-ahead log into the file, as far as readers allow it at once."""
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            self._checkpoint_problem = f"the write-ahead log cannot be moved into the file ({error})"
        else:
            self._checkpoint_problem = None

    def close(self) -> str | None:
        """Leave one file behind; calling it again does nothing. Blocks that are not sealed stay hot, and as readable.

        Returns:
            What could not be done because a reader held on, None where all is well. The next writer finishes it.
        """
        if self._closed:
            return None
        self._closed = True
        said: str | None = None
        try:
            if self._sealing is not None:
                self._sealing = None
                self._forget_chunks_without_their_mark()
            self._connection.execute("PRAGMA incremental_vacuum").fetchall()
            self._connection.set_busy_timeout(int(CLOSING_S * 1000))
            self._connection.execute("PRAGMA journal_mode=DELETE").fetchall()
        except apsw.BusyError:
            self.checkpoint()
            said = f"a reader still holds {self.path}; its -wal file stays until the next writer closes it"
        except apsw.Error as error:
            said = f"{self.path} could not be closed into one file ({error}); the next writer finishes it"
        finally:
            self._connection.close()
            self._lock.release()
        return said

    def abandon(self) -> None:
        """Close, and remove the file if this writer made it and no run is in it."""
        is_empty = self._created and not rows_of(self._connection, "SELECT 1 FROM run LIMIT 1")
        self.close()
        if is_empty:
            self.path.unlink(missing_ok=True)


class Recording:
    """One run that is being written."""

    def __init__(self, writer: Writer, connection: apsw.Connection, run: int, header: RunHeader) -> None:
        self.header = header
        self._writer = writer
        self._connection = connection
        self._run = run
        self._sequence = 0
        self._block: int | None = None
        self._last_us: int | None = None
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
        block = at_us // BLOCK_US
        samples = np.ascontiguousarray(tick.values, dtype="<f4")
        if self._finished:
            raise StoreError(self.path, "this run is finished", remedy="Begin another one.")
        if self._last_us is not None and at_us < self._last_us:
            raise StoreError(self.path, "a tick lies before the one before it", remedy="Ticks go forward only.")
        if samples.shape != (len(METRICS), len(tick.roster.incarnations)):
            raise ValueError(f"values have shape {samples.shape}, the roster {len(tick.roster.incarnations)} columns")
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
                        microseconds(tick.wall_s),
                        tick.roster.number,
                        framed(sequence, samples.data.cast("B") if samples.size else b""),
                    ),
                )
                self._write_tasks(tick.tasks)
                self._write_decisions(tick.decisions)
        except (apsw.Error, ValueError, OverflowError, TypeError) as error:  # the last three: not storable by SQLite
            raise self._writer.refusal("a tick could not be written", error) from error
        if self._block is not None and block != self._block:
            self._writer.queue_for_sealing(self._run, self._block)
        self._block = block
        self._last_us = at_us
        self._sequence += 1
        if seal:
            self._writer.advance_sealing()
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
                    _json(list(d.worker_ids)),
                    None if d.worker_type is None else storable(d.worker_type),
                    d.utilization,
                ),
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
                    (_json(merged), self.header.title, self._run),
                )
        except apsw.Error as error:
            raise self._writer.refusal("the facts of the run could not be written", error) from error

    def discard(self) -> None:
        """Forget a run of which nothing was recorded."""
        if not self._sequence:
            with self._connection:
                self._connection.execute("DELETE FROM run WHERE number = ?", (self._run,))

    def finish(self, ended_at_s: float) -> None:
        """Say that the run is over and pack what fits into the time for closing; calling it again does nothing."""
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
                break


_DONE = object()


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
        _json(dict(entry.labels)),
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


def _json(value: object) -> str:
    return storable(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str))
