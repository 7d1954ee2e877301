"""The rows and BLOBs of a window, fetched in one read transaction as they stand in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import apsw
import numpy as np

from drmviz.errors import InvalidValueError
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import RECORDING_BEGAN, RECORDING_ENDED, ScalingDecision
from drmviz.model.metrics import METRIC_ROW, IntArray, Metric
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import RunHeader
from drmviz.model.tasks import Task
from drmviz.model.workers import Incarnation
from drmviz.store.chunks import RAW_TIER, VALUE, checked, members_of
from drmviz.store.connections import rows_of
from drmviz.store.frames import DamagedFrameError, unframed
from drmviz.store.grids import Columns
from drmviz.store.records import cloud_between, decisions_between, incarnations, tasks_between
from drmviz.store.rosters import Rosters
from drmviz.store.salvage import or_noted, readable
from drmviz.store.schema import BLOCK_US, NEVER, microseconds, sequence_of, tick_id

_JUMP_US = 1_000_000
"""A wall clock that moves by more than this against the monotonic one is worth a note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One run and the stretch of time of which it holds ticks; microseconds, `end_us` not included."""

    run: int
    header: RunHeader
    first_us: int
    end_us: int
    interval_us: int

    @classmethod
    def of(cls, connection: apsw.Connection, run: int, header: RunHeader) -> Span | None:
        """Return the stretch of a run; None where nothing is recorded."""
        blocks = rows_of(
            connection,
            "SELECT number, first_sequence, sealed FROM block WHERE run = ? ORDER BY number DESC LIMIT 1",
            (run,),
        )
        if not blocks:
            return None
        stamps = _newest(connection, run, *blocks[0])
        interval_us = microseconds(header.interval_s)
        if not interval_us:  # ticks came when somebody asked: their usual distance has to do
            interval_us = max(1, int(np.median(np.diff(stamps)))) if len(stamps) > 1 else 1_000_000
            if len(stamps) == 1 and blocks[0][1]:  # they come so seldom that a block holds one: the mean distance
                interval_us = max(interval_us, (int(stamps[0]) - microseconds(header.started_at_s)) // blocks[0][1])
        ((oldest,),) = rows_of(connection, "SELECT min(number) FROM block WHERE run = ?", (run,))
        return cls(
            run=run,
            header=header,
            first_us=max(microseconds(header.started_at_s), oldest * BLOCK_US),  # what is older was forgotten
            end_us=(int(stamps[-1]) // interval_us + 1) * interval_us,
            interval_us=interval_us,
        )

    def goes_on_after(self, other: Span) -> bool:
        """Tell whether this run was being recorded when the other one ended: a clock was set back between them."""
        return self.first_us < other.end_us < self.end_us


@dataclass(frozen=True, slots=True)
class Window:
    """What was asked for, and the whole columns that cover it: samples are taken by columns, events as asked."""

    start_us: int
    end_us: int
    columns: Columns
    decisions_from_us: int
    """A decision may precede the first tick: with an open start none is left out."""
    decisions_end_us: int

    @classmethod
    def over(cls, spans: Sequence[Span], start_s: float | None, end_s: float | None, *, at_most: int) -> Window:
        """Return the asked window, its open ends filled in from what is recorded."""
        start_us = min(span.first_us for span in spans) if start_s is None else microseconds(start_s)
        end_us = max(span.end_us for span in spans) if end_s is None else microseconds(end_s)
        if end_us <= start_us:
            raise InvalidValueError("end", end_s, f"the window would end before its start {start_us / 1e6:.3f}")
        interval_us = max(span.interval_us for span in spans)
        return cls(
            start_us,
            end_us,
            Columns.over(start_us, end_us, interval_us=interval_us, at_most=at_most),
            0 if start_s is None else start_us,
            NEVER if end_s is None else end_us,
        )

    def touches(self, span: Span) -> bool:
        """Tell whether any tick of the run may lie in the window."""
        return span.first_us < self.columns.end_us and span.end_us > self.columns.first_us


def _newest(connection: apsw.Connection, run: int, number: int, first_sequence: int, sealed: int) -> IntArray:
    """Return the times of the newest ticks of a run, in microseconds; the end of its last block where they are lost."""
    try:
        if not sealed:
            stamps = rows_of(
                connection,
                "SELECT at_us FROM tick WHERE id >= ? AND id < ? ORDER BY id",
                (tick_id(run, 0), tick_id(run + 1, 0)),
            )
            return np.array(stamps, dtype=np.int64).ravel()
        ((times,),) = rows_of(connection, "SELECT times FROM block WHERE run = ? AND number = ?", (run, number))
        newest: IntArray = _times(times, first_sequence)[0]
    except (DamagedFrameError, apsw.CorruptError):
        return np.array([(number + 1) * BLOCK_US - 1], dtype=np.int64)
    return newest


@dataclass(slots=True)
class Fetched:
    """What one run has in the window, as it stands in the file."""

    row_of: dict[int, int]
    """Row of a picture by the number of an incarnation of this run."""
    at_us: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    pieces: list[Piece] = field(default_factory=list)
    decisions: tuple[ScalingDecision, ...] = ()
    tasks: tuple[Task, ...] = ()
    cloud: tuple[CloudUsage, ...] = ()
    notes: list[str] = field(default_factory=list)
    damaged: int = 0
    """Pieces that are not what was written."""
    resized: dict[int, WorkerCapacity] = field(default_factory=dict)
    """What incarnations had whose worker had another capacity in another life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Samples of some incarnations over some ticks: a chunk still packed, or hot ticks of one roster."""

    members: IntArray
    at_us: IntArray
    packed: memoryview | None = None
    first_tick: int = 0
    samples: list[tuple[int, bytes]] = field(default_factory=list)


def lives_in(
    connection: apsw.Connection, spans: Sequence[Span], window: Window, *, newest: int
) -> list[dict[int, Incarnation]]:
    """Return the incarnations of each run that lived in the window, by their numbers in their own run.

    Where there are several runs, numbers and ordinals go on from one to the next, and who outlived the recording of a
    run leaves at its end, unless it is the newest: what happened afterwards nobody saw.
    """
    lives = [
        {
            life.number: life
            for life in incarnations(connection, span.run, window.columns.first_us, window.columns.end_us)
        }
        for span in spans
    ]
    if len(spans) == 1:
        return lives
    ordinals: dict[str, int] = {}
    count = 0
    for span, of_run in zip(spans, lives, strict=True):
        for number, life in of_run.items():
            ordinals[life.id] = ordinals.get(life.id, 0) + 1
            told = replace(life, number=count, ordinal=ordinals[life.id])
            if life.why_joined is None and life.joined_at_s < span.header.started_at_s + span.interval_us / 1e6:
                told = replace(told, why_joined=RECORDING_BEGAN)
            if life.left_at_s is None and span.run != newest:
                told = replace(told, left_at_s=max(span.end_us / 1e6, life.joined_at_s), why_left=RECORDING_ENDED)
            of_run[number] = told
            count += 1
    return lives


def fetch(
    connection: apsw.Connection,
    span: Span,
    window: Window,
    metrics: Sequence[Metric],
    row_of: dict[int, int],
    workers: Sequence[str] | None,
) -> Fetched:
    run = span.run
    found = Fetched(row_of=row_of)
    blocks = readable(
        connection,
        "number, first_sequence, sealed, times",
        "block",
        "run = ? AND number BETWEEN ? AND ?",
        (run, window.columns.first_us // BLOCK_US, window.columns.end_us // BLOCK_US),
        key="number",
        ordered=True,
    )
    found.notes.extend(f"block {number} is skipped: {blocks.damage}" for number in blocks.lost)
    if blocks.damage and not blocks.lost:
        found.notes.append(f"blocks are skipped that cannot be told from the file: {blocks.damage}")
    times: list[IntArray] = []
    for number, first_sequence, sealed, blob in blocks.rows:
        if not sealed:
            times.append(_fetch_hot(connection, run, number, window, found))
            continue
        try:
            stamps = _times(blob, first_sequence)
        except DamagedFrameError as damage:
            found.notes.append(f"block {number} is skipped: its times are damaged, {damage}")
            continue
        times.append(stamps)
        _fetch_chunks(connection, run, number, first_sequence, stamps[0], window, metrics, found)
    stamps = np.concatenate(times, axis=1) if times else np.empty((2, 0), dtype=np.int64)
    stamps = stamps[:, (stamps[0] >= window.columns.first_us) & (stamps[0] < window.columns.end_us)]
    found.at_us = stamps[0]
    found.notes.extend(_jumps(stamps))
    _fetch_events(connection, run, window, None if workers is None else set(workers), found)
    return found


def _fetch_events(
    connection: apsw.Connection, run: int, window: Window, workers: set[str] | None, found: Fetched
) -> None:
    ends_us = window.decisions_end_us
    found.decisions = or_noted(
        found.notes,
        "decisions",
        lambda: decisions_between(connection, run, window.decisions_from_us, ends_us),
        (),
    )
    found.tasks = or_noted(
        found.notes, "tests", lambda: tasks_between(connection, run, window.start_us, window.end_us, workers), ()
    )
    found.cloud = or_noted(
        found.notes, "cloud providers", lambda: cloud_between(connection, run, window.start_us, ends_us), ()
    )
    statement = "SELECT sentence FROM note WHERE run = ? ORDER BY id"
    written: list[tuple[str]] = or_noted(found.notes, "notes", lambda: rows_of(connection, statement, (run,)), [])
    found.notes.extend(sentence for (sentence,) in written)


def _fetch_chunks(
    connection: apsw.Connection,
    run: int,
    block: int,
    first_sequence: int,
    at_us: IntArray,
    window: Window,
    metrics: Sequence[Metric],
    found: Fetched,
) -> None:
    wanted = [METRIC_ROW[metric] for metric in metrics]
    chunks = readable(
        connection,
        "first_tick, packed",
        "chunk",
        f"run = ? AND tier = ? AND block = ? AND statistic = ? AND metric IN ({', '.join('?' * len(wanted))})",
        (run, RAW_TIER, block, VALUE, *wanted),
        key="id",
    )
    if chunks.damage:
        found.notes.append(f"block {block} is not complete: {chunks.damage}")
    for first_tick, packed in chunks.rows:
        try:
            payload = checked(packed, first_tick=first_tick)
        except DamagedFrameError:
            found.damaged += 1
            continue
        members = members_of(payload)
        after = at_us[first_tick - first_sequence :]
        if after.size and after[0] < window.columns.end_us and not found.row_of.keys().isdisjoint(members.tolist()):
            found.pieces.append(Piece(members=members, at_us=after, packed=payload, first_tick=first_tick))


def _fetch_hot(connection: apsw.Connection, run: int, block: int, window: Window, found: Fetched) -> IntArray:
    ticks = readable(
        connection,
        "id, at_us, wall_us, roster, samples",
        "tick",
        "id >= ? AND id < ? AND block = ? AND at_us >= ? AND at_us < ?",
        (tick_id(run, 0), tick_id(run + 1, 0), block, window.columns.first_us, window.columns.end_us),
        key="id",
        ordered=True,
    )
    rows = ticks.rows
    if ticks.damage:
        found.notes.append(f"block {block} is not complete: {ticks.damage}")
    if not rows:
        return np.empty((2, 0), dtype=np.int64)
    rosters = Rosters.between(connection, run, rows[0][3], rows[-1][3])
    start = 0
    for i in range(1, len(rows) + 1):
        if i == len(rows) or rows[i][3] != rows[start][3]:
            together = rows[start:i]
            found.pieces.append(
                Piece(
                    members=rosters.members(rows[start][3]),
                    at_us=np.array([row[1] for row in together], dtype=np.int64),
                    samples=[(sequence_of(row[0]), row[4]) for row in together],
                )
            )
            start = i
    return np.array([[row[1] for row in rows], [row[2] for row in rows]], dtype=np.int64)


def _times(blob: bytes, first_sequence: int) -> IntArray:
    return np.frombuffer(unframed(blob, sequence=first_sequence), dtype="<i8").reshape(2, -1)


def _jumps(stamps: IntArray) -> list[str]:
    drift = stamps[1] - stamps[0]
    jumped = np.flatnonzero(np.abs(np.diff(drift)) > _JUMP_US)
    return [
        f"the wall clock jumped by {(drift[i + 1] - drift[i]) / 1e6:+.0f} s at {stamps[0, i + 1] / 1e6:.0f} (epoch); "
        "times are shown as if it had not"
        for i in jumped[:20]
    ]
