"""The rows and BLOBs of a window, fetched in one read transaction as they stand in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import apsw
import numpy as np

from drmviz.errors import InvalidValueError
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import ScalingDecision
from drmviz.model.metrics import METRIC_ROW, IntArray, Metric
from drmviz.model.resources import WorkerCapacity
from drmviz.model.tasks import Task
from drmviz.store.chunks import RAW_TIER, VALUE, checked, members_of
from drmviz.store.connections import rows_of
from drmviz.store.frames import DamagedFrameError
from drmviz.store.grids import Columns
from drmviz.store.records import cloud_between, decisions_between, tasks_between
from drmviz.store.rosters import Rosters
from drmviz.store.schema import BLOCK_US, NEVER, microseconds, sequence_of, tick_id
from drmviz.store.spans import Span, times_of

_JUMP_US = 1_000_000
"""A wall clock that moves by more than this against the monotonic one is worth a note."""


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

    def moved(self, by_us: int) -> Window:
        """Return the same window by a clock that is so much ahead; an open end stays open."""
        if not by_us:
            return self
        return Window(
            self.start_us + by_us,
            self.end_us + by_us,
            replace(self.columns, first_us=self.columns.first_us + by_us),
            self.decisions_from_us + by_us if self.decisions_from_us else 0,
            self.decisions_end_us if self.decisions_end_us == NEVER else self.decisions_end_us + by_us,
        )

    def touches(self, span: Span) -> bool:
        """Tell whether any tick of the run may lie in the window."""
        return span.first_us < self.columns.end_us and span.end_us > self.columns.first_us


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
    name: str = ""
    """Of the file among several, in front of what is said of it."""
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


def fetch(
    connection: apsw.Connection,
    span: Span,
    window: Window,
    metrics: Sequence[Metric],
    row_of: dict[int, int],
    workers: Sequence[str] | None,
) -> Fetched:
    run = span.run
    found = Fetched(
        row_of=row_of,
        decisions=decisions_between(connection, run, window.decisions_from_us, window.decisions_end_us),
        tasks=tasks_between(
            connection, run, window.start_us, window.end_us, set(workers) if workers is not None else None
        ),
        cloud=cloud_between(connection, run, window.start_us, window.decisions_end_us),
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
            stamps = times_of(blob, first_sequence)
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


def _jumps(stamps: IntArray) -> list[str]:
    drift = stamps[1] - stamps[0]
    jumped = np.flatnonzero(np.abs(np.diff(drift)) > _JUMP_US)
    return [
        f"the wall clock jumped by {(drift[i + 1] - drift[i]) / 1e6:+.0f} s at {stamps[0, i + 1] / 1e6:.0f} (epoch); "
        "times are shown as if it had not"
        for i in jumped[:20]
    ]
