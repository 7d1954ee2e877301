"""Reads a store while it is written or long after: which runs it holds, and a window of one of them as a `Run`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw
import numpy as np

from drmviz.errors import InvalidValueError, StoreDamagedError, StoreError
from drmviz.model.decisions import FleetChange, ScalingDecision
from drmviz.model.metrics import METRIC_ROW, METRICS, FloatArray, IntArray, Metric, Statistic
from drmviz.model.run import Run, RunHeader
from drmviz.model.tasks import Task
from drmviz.model.workers import Kind, Worker
from drmviz.store.chunks import RAW_TIER, VALUE, checked, decode, members_of
from drmviz.store.connections import ReadConnection, rows_of
from drmviz.store.frames import DamagedFrameError, unframed
from drmviz.store.grids import Columns, Grid, alive_grid
from drmviz.store.lock import is_being_written
from drmviz.store.records import (
    HEADER_COLUMNS,
    changes_of,
    decisions_between,
    header_of,
    incarnations,
    rows_shown,
    tasks_between,
)
from drmviz.store.rosters import Rosters
from drmviz.store.schema import BLOCK_US, NEVER, sequence_of, tick_id
from drmviz.store.sealing import samples_of
from drmviz.store.writer import microseconds

_JUMP_US = 1_000_000
"""A wall clock that moves by more than this against the monotonic one is worth a note."""


class Store:
    """A recorded history, open for reading."""

    def __init__(self, reading: ReadConnection) -> None:
        self._reading = reading
        self._connection = reading.connection

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open a store, also beside its writer and in places that cannot be written.

        Raises:
            StoreError: there is no such file, it is something else, or it cannot be opened.
        """
        return cls(ReadConnection(Path(path).expanduser()))

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._reading.close()

    @property
    def path(self) -> Path:
        return self._reading.path

    @property
    def is_being_written(self) -> bool:
        """Whether a living process writes this file right now."""
        return is_being_written(self.path)

    def runs(self) -> list[RunHeader]:
        """Return what is recorded, oldest first."""
        with _errors_named(self.path):
            return [
                header_of(row) for row in self._connection.execute(f"SELECT {HEADER_COLUMNS} FROM run ORDER BY number")
            ]

    def read(
        self,
        run_id: str | None = None,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        columns: int = 600,
        metrics: Sequence[Metric] = METRICS,
        statistics: Sequence[Statistic] = ("mean",),
        workers: Sequence[str] | None = None,
        kinds: Sequence[Kind] | None = None,
    ) -> Run:
        """Return a window of one run, reduced to at most `columns` columns.

        Args:
            run_id: its id or the beginning of it; the newest run when None.
            start_s: seconds since the epoch; the run's beginning when None.
            end_s: the same, not included; just after the newest tick when None.
            columns: each is a whole number of intervals wide, so it never splits a tick.
            metrics: what to read; less is faster.
            statistics: how the ticks of a column become one number.
            workers: only these rows, in this order; all of them, in natural order, when None.
            kinds: which kinds of roster entries are rows; workers, or processes where there are none, when None.

        Raises:
            InvalidValueError: no such run or worker, or a window that ends before it starts.
            StoreDamagedError: SQLite cannot read the pages of this window.
        """
        if columns < 1:
            raise InvalidValueError("columns", columns, "must be at least 1")
        window: _Window | None = None
        with _errors_named(self.path), self._connection:  # one transaction: everything below saw the same moment
            number, header = self._find(run_id)
            window = _Window.of(self._connection, number, header, start_s, end_s, at_most=columns)
            if window is not None:
                found = _fetch(self._connection, number, window, metrics, kinds, workers)
        if window is None:
            return Run.empty(header)
        notes = [*found.notes, *self._ending(header)]
        return _assembled(header, window, found, metrics, statistics, notes)

    def _find(self, run_id: str | None) -> tuple[int, RunHeader]:
        if run_id is None:
            newest = rows_of(self._connection, f"SELECT number, {HEADER_COLUMNS} FROM run ORDER BY number DESC LIMIT 1")
            if not newest:
                raise StoreError(self.path, "it holds no run yet", remedy="Record one with: drmviz run -- COMMAND")
            return newest[0][0], header_of(newest[0][1:])
        rows = rows_of(
            self._connection,
            f"SELECT number, {HEADER_COLUMNS} FROM run WHERE substr(id, 1, ?) = ?",
            (len(run_id), run_id),
        )
        rows = [row for row in rows if row[1] == run_id] or rows
        if len(rows) != 1 or not run_id:
            have = ", ".join(h.id for h in self.runs()[-5:])
            reason = "is the beginning of several ids" if rows else "is not in this store"
            raise InvalidValueError("run", run_id, f"{reason}; it holds {have}")
        return rows[0][0], header_of(rows[0][1:])

    def _ending(self, header: RunHeader) -> list[str]:
        if header.ended_at_s is None and not self.is_being_written:
            return ["its recorder ended without closing the run: what was acknowledged is here, the end is missing"]
        return []


class _errors_named:  # noqa: N801  reads as a phrase where it is used
    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, apsw.CorruptError | apsw.NotADBError):
            raise StoreDamagedError(
                self._path, f"it is damaged ({error})", remedy="`drmviz doctor` says what can be read of it."
            ) from error
        if isinstance(error, apsw.Error):
            raise StoreError(self._path, f"it cannot be read ({error})", remedy="Try again.") from error


@dataclass(frozen=True, slots=True)
class _Window:
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
    ) -> _Window | None:
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
class _Fetched:
    """Everything of a window that stands in the file, as it stands there."""

    workers: tuple[Worker, ...]
    row_of: dict[int, int]
    """Row of a picture by the number of an incarnation."""
    at_us: IntArray
    pieces: list[_Piece]
    decisions: tuple[ScalingDecision, ...]
    tasks: tuple[Task, ...]
    changes: tuple[FleetChange, ...]
    notes: list[str] = field(default_factory=list)
    damaged: int = 0
    """Pieces that are not what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Samples of some incarnations over some ticks: a chunk still packed, or hot ticks of one roster."""

    members: IntArray
    at_us: IntArray
    packed: memoryview | None = None
    first_tick: int = 0
    samples: list[tuple[int, bytes]] = field(default_factory=list)


def _fetch(
    connection: apsw.Connection,
    run: int,
    window: _Window,
    metrics: Sequence[Metric],
    kinds: Sequence[Kind] | None,
    workers: Sequence[str] | None,
) -> _Fetched:
    start_us, end_us = window.start_us, window.end_us
    lives = incarnations(connection, run, window.columns.first_us, window.columns.end_us)
    shown = rows_shown(lives, kinds, workers)
    row_of = {life.number: row for row, worker in enumerate(shown) for life in worker.incarnations}
    found = _Fetched(
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
    window: _Window,
    metrics: Sequence[Metric],
    found: _Fetched,
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
            found.pieces.append(_Piece(members=members, at_us=after, packed=payload, first_tick=first_tick))


def _fetch_hot(connection: apsw.Connection, run: int, block: int, window: _Window, found: _Fetched) -> IntArray:
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
                _Piece(
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


def _assembled(
    header: RunHeader,
    window: _Window,
    found: _Fetched,
    metrics: Sequence[Metric],
    statistics: Sequence[Statistic],
    notes: list[str],
) -> Run:
    columns = window.columns
    grids: dict[tuple[Metric, Statistic], Grid] = {
        (metric, statistic): Grid(statistic, len(found.workers), columns)
        for metric in metrics
        for statistic in statistics
    }
    damaged = found.damaged
    for piece in found.pieces:
        try:
            unpacked = _unpacked(piece, metrics)
            rows = _rows_of(piece, found.row_of)
            for metric, values in unpacked:
                _place(piece, rows, values, columns, [grids[metric, s] for s in statistics])
        except DamagedFrameError:
            damaged += 1
    if damaged:
        notes = [*notes, f"{damaged} piece{'s' if damaged > 1 else ''} of this window are damaged and left out"]
    lives = [(found.row_of[life.number], life) for worker in found.workers for life in worker.incarnations]
    return Run(
        header=header,
        start_s=window.start_us / 1e6,
        end_s=window.end_us / 1e6,
        starts_at_s=columns.starts_at_s,
        width_s=columns.width_us / 1e6,
        workers=found.workers,
        grids={key: grid.finished() for key, grid in grids.items()},
        alive=alive_grid(
            np.array([row for row, _ in lives], dtype=np.intp),
            np.array([microseconds(life.joined_at_s) for _, life in lives], dtype=np.int64),
            np.array(
                [NEVER if life.left_at_s is None else microseconds(life.left_at_s) for _, life in lives], dtype=np.int64
            ),
            height=len(found.workers),
            columns=columns,
        ),
        measured_ticks=len(found.at_us),
        decisions=found.decisions,
        changes=found.changes,
        tasks=found.tasks,
        notes=tuple(notes),
    )


def _unpacked(piece: _Piece, metrics: Sequence[Metric]) -> list[tuple[Metric, FloatArray]]:
    """Return float32 values of shape (members, ticks) by metric."""
    if piece.packed is not None:
        chunk = decode(piece.packed, first_tick=piece.first_tick)
        return [(METRICS[chunk.metric], chunk.values)]
    samples = [samples_of(blob, sequence=n, incarnations=len(piece.members)) for n, blob in piece.samples]
    return [(metric, np.stack([tick[METRIC_ROW[metric]] for tick in samples], axis=1)) for metric in metrics]


def _rows_of(piece: _Piece, row_of: dict[int, int]) -> IntArray:
    """Return the row of each member, -1 where it is not shown."""
    return np.array([row_of.get(member, -1) for member in piece.members.tolist()], dtype=np.intp)


def _place(piece: _Piece, rows: IntArray, values: FloatArray, columns: Columns, grids: list[Grid]) -> None:
    at_us = piece.at_us[: values.shape[1]]
    first, after = np.searchsorted(at_us, (columns.first_us, columns.end_us))
    shown = rows >= 0
    if not shown.all():
        rows, values = rows[shown], values[shown]
    if len(rows) and after > first:
        for grid in grids:
            grid.add(rows, columns.of(at_us[first:after]), values[:, first:after])
