"""The rows and BLOBs of a window, fetched in one read transaction as they stand in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import apsw
import numpy as np

from drmviz.errors import InvalidValueError
from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.model.metrics import METRIC_ROW, IntArray, Metric
from drmviz.model.run import RunHeader
from drmviz.model.tasks import Task
from drmviz.model.workers import Kind, Worker
from drmviz.store.chunks import RAW_TIER, VALUE, checked, members_of
from drmviz.store.connections import rows_of
from drmviz.store.frames import DamagedFrameError, unframed
from drmviz.store.grids import Columns
from drmviz.store.records import (
    changes_of,
    decisions_between,
    incarnations,
    rows_shown,
    tasks_between,
)
from drmviz.store.rosters import Rosters
from drmviz.store.schema import BLOCK_US, microseconds, sequence_of, tick_id

_JUMP_US = 1_000_000
"""A wall clock that moves by more than this against the monotonic one is worth a note."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was asked for, and the whole columns that cover it: samples are taken by columns, events as asked."""

    start_us: int
    end_us: int
    columns: Columns

    @classmethod
    def of(
        cls,
        connection: apsw.Connection,
        run: int,
        header: RunHeader,
        start_s: float | None,
        end_s: float | None,
        *,
        at_most: int,
    ) -> Window | None:
        """Return the asked window, its open ends filled in from what is recorded; None where nothing is."""
        last = rows_of(
            connection,
            "SELECT number, first_sequence, sealed, times FROM block WHERE run = ? ORDER BY number DESC LIMIT 1",
            (run,),
        )
        if not last:
            return None
        first_us, stamps = _newest(connection, run, last[0])
        interval_us = microseconds(header.interval_s)
        if not interval_us:  # ticks came when somebody asked: their usual distance has to do
            interval_us = max(1, int(np.median(np.diff(stamps)))) if len(stamps) > 1 else 1_000_000
        start_us = first_us if start_s is None else microseconds(start_s)
        end_us = (int(stamps[-1]) // interval_us + 1) * interval_us if end_s is None else microseconds(end_s)
        if end_us <= start_us:
            raise InvalidValueError("end", end_s, f"the window would end before its start {start_us / 1e6:.3f}")
        return cls(start_us, end_us, Columns.over(start_us, end_us, interval_us=interval_us, at_most=at_most))


def _newest(connection: apsw.Connection, run: int, last: tuple[Any, ...]) -> tuple[int, IntArray]:
    """Return when the run began and the times of its newest ticks, in microseconds."""
    number, first_sequence, sealed, times = last
    began: int = rows_of(connection, "SELECT started_us FROM run WHERE number = ?", (run,))[0][0]
    if not sealed:
        stamps = rows_of(
            connection,
            "SELECT at_us FROM tick WHERE id >= ? AND id < ? ORDER BY id",
            (tick_id(run, 0), tick_id(run + 1, 0)),
        )
        return began, np.array(stamps, dtype=np.int64).ravel()
    try:
        return began, _times(times, first_sequence)[0]
    except DamagedFrameError:
        return began, np.array([(number + 1) * BLOCK_US - 1], dtype=np.int64)


@dataclass(slots=True)
class Fetched:
    """Everything of a window that stands in the file, as it stands there."""

    workers: tuple[Worker, ...]
    row_of: dict[int, int]
    """Row of a picture by the number of an incarnation."""
    at_us: IntArray
    pieces: list[Piece]
    decisions: tuple[ScalingDecision, ...]
    tasks: tuple[Task, ...]
    changes: tuple[FleetChange, ...]
    notes: list[str] = field(default_factory=list)
    damaged: int = 0
    """Pieces that are not what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Samples of some incarnations over some ticks: a chunk still packed, or hot ticks of one roster."""

    members: IntArray
    at_us: IntArray
    packed: memoryview | None = None
    first_tick: int = 0
    samples: list[tuple[int, bytes]] = field(default_factory=list)


def fetch(
    connection: apsw.Connection,
    run: int,
    window: Window,
    metrics: Sequence[Metric],
    kinds: Sequence[Kind] | None,
    workers: Sequence[str] | None,
) -> Fetched:
    start_us, end_us = window.start_us, window.end_us
    lives = incarnations(connection, run, window.columns.first_us, window.columns.end_us)
    shown = rows_shown(lives, kinds, workers)
    row_of = {life.number: row for row, worker in enumerate(shown) for life in worker.incarnations}
    found = Fetched(
        workers=shown,
        row_of=row_of,
        at_us=np.empty(0, dtype=np.int64),
        pieces=[],
        decisions=decisions_between(connection, run, start_us, end_us),
        tasks=tasks_between(
            connection, run, start_us, end_us, {worker.id for worker in shown} if workers is not None else None
        ),
        changes=changes_of(shown, start_us, end_us),
    )
    times: list[IntArray] = []
    for number, first_sequence, sealed, blob in rows_of(
        connection,
        "SELECT number, first_sequence, sealed, times FROM block WHERE run = ? AND number BETWEEN ? AND ?"
        " ORDER BY number",
        (run, window.columns.first_us // BLOCK_US, window.columns.end_us // BLOCK_US),
    ):
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
    found.notes.extend(
        sentence for (sentence,) in connection.execute("SELECT sentence FROM note WHERE run = ? ORDER BY id", (run,))
    )
    return found


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
    for first_tick, packed in rows_of(
        connection,
        "SELECT first_tick, packed FROM chunk WHERE run = ? AND tier = ? AND block = ? AND statistic = ?"
        f" AND metric IN ({', '.join('?' * len(wanted))})",
        (run, RAW_TIER, block, VALUE, *wanted),
    ):
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
    rows = rows_of(
        connection,
        "SELECT id, at_us, wall_us, roster, samples FROM tick"
        " WHERE id >= ? AND id < ? AND block = ? AND at_us >= ? AND at_us < ? ORDER BY id",
        (tick_id(run, 0), tick_id(run + 1, 0), block, window.columns.first_us, window.columns.end_us),
    )
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
