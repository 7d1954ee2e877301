"""The rows and BLOBs of a window, fetched in one read transaction as they stand in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import apsw
import numpy as np

from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import ScalingDecision
from drmviz.model.metrics import METRIC_ROW, FloatArray, IntArray, Metric, Statistic
from drmviz.model.resources import WorkerCapacity
from drmviz.model.tasks import Task
from drmviz.store.bodies import Body
from drmviz.store.chunks import COUNT, MAXIMUM, MEAN, MINIMUM, VALUE, checked, members_of, told_by
from drmviz.store.clock import jumps_told, times_of
from drmviz.store.connections import rows_of
from drmviz.store.frames import DamagedFrameError
from drmviz.store.grids import Columns
from drmviz.store.records import cloud_between, decisions_between, tasks_between
from drmviz.store.rosters import Rosters
from drmviz.store.salvage import not_complete, or_noted, readable
from drmviz.store.schema import BLOCK_US, RAW_TIER, TIERS_US, sequence_of, tick_id, tiers_in
from drmviz.store.spans import Span
from drmviz.store.windows import Window


@dataclass(slots=True)
class Fetched:
    """What one run has in the window, as it stands in the file."""

    row_of: dict[int, int]
    """Row of a picture by the number of an incarnation of this run."""
    ticks: int = 0
    """How many ticks lie in the columns."""
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


@dataclass(slots=True, kw_only=True)
class Piece:
    """Numbers of some incarnations over some ticks or buckets: a chunk still packed, or hot ticks of one roster."""

    members: IntArray
    """The same object in all pieces of a run that have the same ones."""
    at_us: IntArray
    """Of each tick, or the beginning of each bucket."""
    packed: Body | None = None
    kind: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    """Of what is packed: its tier, metric and statistic, and how many samples and ticks it says it has."""
    counts: Body | None = None
    """Beside means that were made of different numbers of samples: the chunk that tells how many."""
    samples: list[tuple[int, bytes]] = field(default_factory=list)
    arrays: Sequence[FloatArray] = ()
    """Ticks that were never packed, each float32 of shape (metrics, members)."""


_STATISTIC_OF: dict[Statistic, int] = {"mean": MEAN, "min": MINIMUM, "max": MAXIMUM}


@dataclass(frozen=True, slots=True)
class _Block:
    """A sealed block and the tier from which it is read."""

    number: int
    first_sequence: int
    tier: int
    ticks: int | None
    first_us: int | None
    last_us: int | None


def fetch(
    connection: apsw.Connection,
    span: Span,
    window: Window,
    metrics: Sequence[Metric],
    statistics: Sequence[Statistic],
    row_of: dict[int, int],
    workers: Sequence[str] | None,
) -> Fetched:
    run, columns = span.run, window.columns
    found = Fetched(row_of=row_of)
    sealed: list[_Block] = []
    first, last = columns.first_us // BLOCK_US, (columns.end_us - 1) // BLOCK_US
    there = readable(
        connection,
        "number, first_sequence, sealed, tiers, ticks, first_us, last_us",
        "block",
        "run = ? AND tiers AND number BETWEEN ? AND ?",
        (run, first, last),
        key="number",
        ordered=True,
    )
    found.notes.extend(not_complete(there, first, last))
    for number, first_sequence, is_sealed, tiers, *extent in there.rows:
        if is_sealed:
            kept = tiers_in(tiers)
            tier = max((tier for tier in kept if tier <= window.tier), default=min(kept))
            sealed.append(_Block(number, first_sequence, tier, *extent))
        else:
            found.ticks += _fetch_hot(connection, run, number, window, found)
    for tier, blocks in groupby(sealed, key=lambda block: block.tier):
        _fetch_chunks(connection, run, tier, list(blocks), window, metrics, statistics, found)
    _fetch_events(connection, run, window, None if workers is None else set(workers), found)
    return found


def _fetch_events(
    connection: apsw.Connection, run: int, window: Window, workers: set[str] | None, found: Fetched
) -> None:
    notes, start_us, ends_us = found.notes, window.start_us, window.decisions_end_us
    jumps: list[str] = or_noted(notes, "changes of the clock", lambda: _clock_told(connection, run, window.columns), [])
    notes.extend(jumps)
    found.decisions = or_noted(
        notes, "decisions", lambda: decisions_between(connection, run, window.decisions_from_us, ends_us), ()
    )
    found.tasks = or_noted(notes, "tests", lambda: tasks_between(connection, run, start_us, window.end_us, workers), ())
    found.cloud = or_noted(notes, "cloud providers", lambda: cloud_between(connection, run, start_us, ends_us), ())
    statement = "SELECT sentence FROM note WHERE run = ? ORDER BY id"
    written: list[tuple[str]] = or_noted(notes, "notes", lambda: rows_of(connection, statement, (run,)), [])
    notes.extend(sentence for (sentence,) in written)


def _fetch_chunks(
    connection: apsw.Connection,
    run: int,
    tier: int,
    blocks: list[_Block],
    window: Window,
    metrics: Sequence[Metric],
    statistics: Sequence[Statistic],
    found: Fetched,
) -> None:
    """Fetch neighbouring blocks from one tier."""
    times = _times_of(connection, run, tier, blocks, window.columns, found)
    if not found.row_of:
        return
    inside = _TimesInside(tier, {block.number: block.first_sequence for block in blocks}, times, window.columns)
    counts: dict[tuple[int, int, int], Body] = {}
    means: list[tuple[tuple[int, int, int], Piece]] = []
    known: dict[bytes, IntArray] = {}
    for number, metric, statistic, slot, first_tick, packed in _chunk_rows(
        connection, run, tier, blocks, metrics, statistics, found
    ):
        if tier == RAW_TIER and number not in times:
            continue
        try:
            payload = checked(packed, first_tick=first_tick)
        except DamagedFrameError:
            found.damaged += 1
            continue
        kind, named, body = told_by(payload)
        if statistic == COUNT:
            counts[number, metric, slot] = body
            continue
        at_us = inside.of(number, first_tick, kind[-1])
        if at_us is None:
            continue
        if named not in known:
            known[named] = members_of(payload)
        piece = Piece(members=known[named], at_us=at_us, packed=body, kind=kind)
        if statistic == MEAN:
            means.append(((number, metric, slot), piece))
        found.pieces.append(piece)
    for place, piece in means:
        piece.counts = counts.get(place)


def _times_of(
    connection: apsw.Connection, run: int, tier: int, blocks: list[_Block], columns: Columns, found: Fetched
) -> dict[int, IntArray]:
    """Count the ticks of blocks that lie in the columns; return at_us of each block that is read from its ticks."""
    times: dict[int, IntArray] = {}
    for block in blocks:
        if tier != RAW_TIER:
            found.ticks += _ticks_inside(block, columns)
            continue
        stamps = _block_times(connection, run, block, found)
        if stamps is not None:
            times[block.number] = stamps
            found.ticks += int(np.count_nonzero((stamps >= columns.first_us) & (stamps < columns.end_us)))
    return times


class _TimesInside:
    """When the ticks or buckets of chunks were: one object for all that have the same ones."""

    def __init__(
        self, tier: int, first_sequences: Mapping[int, int], times: Mapping[int, IntArray], columns: Columns
    ) -> None:
        self._width_us = TIERS_US[tier]
        self._first_sequences = first_sequences
        self._times = times
        self._columns = columns
        self._known: dict[tuple[int, int, int], IntArray | None] = {}

    def of(self, block: int, first: int, count: int) -> IntArray | None:
        """Return at_us, shape (count,) or fewer where the block has not so many; None where none is in the columns."""
        key = (block, first, count)
        if key not in self._known:
            at_us: IntArray
            if self._width_us:
                at_us = (first + np.arange(count, dtype=np.int64)) * self._width_us
            else:
                skipped = first - self._first_sequences[block]
                at_us = self._times[block][skipped : skipped + count]
            is_inside = at_us.size and at_us[0] < self._columns.end_us and at_us[-1] >= self._columns.first_us
            self._known[key] = at_us if is_inside else None
        return self._known[key]


def _chunk_rows(
    connection: apsw.Connection,
    run: int,
    tier: int,
    blocks: list[_Block],
    metrics: Sequence[Metric],
    statistics: Sequence[Statistic],
    found: Fetched,
) -> list[tuple[Any, ...]]:
    wanted = {METRIC_ROW[metric] for metric in metrics}
    kept = {VALUE} if tier == RAW_TIER else {MEAN, COUNT} | {_STATISTIC_OF[statistic] for statistic in statistics}
    first, last = blocks[0].number, blocks[-1].number
    there = readable(
        connection,
        "block, metric, statistic, slot, first_tick, packed",
        "chunk",
        f"run = ? AND tier = ? AND metric IN ({', '.join('?' * len(wanted))})"
        f" AND statistic IN ({', '.join('?' * len(kept))}) AND block BETWEEN ? AND ?",
        (run, tier, *sorted(wanted), *sorted(kept), first, last),
        key="id",
        place="block",
        narrower=(
            " AND (lowest IS NULL OR lowest <= ? AND highest >= ?)",
            (max(found.row_of), min(found.row_of)),
        ),
    )
    found.notes.extend(not_complete(there, first, last))
    return there.rows


def _block_times(connection: apsw.Connection, run: int, block: _Block, found: Fetched) -> IntArray | None:
    """Return at_us of the ticks of a block; None where they are damaged."""
    try:
        ((blob,),) = rows_of(connection, "SELECT times FROM block WHERE run = ? AND number = ?", (run, block.number))
        at_us: IntArray = times_of(blob, block.first_sequence)[0]
    except (DamagedFrameError, apsw.CorruptError) as damage:
        found.notes.append(f"block {block.number} is skipped: its times are damaged, {damage}")
        return None
    return at_us


def _ticks_inside(block: _Block, columns: Columns) -> int:
    """Return how many ticks of a block lie in the columns, taken as evenly spread where the columns cut it."""
    if block.ticks is None or block.first_us is None or block.last_us is None:
        return 0
    first, last = max(block.first_us, columns.first_us), min(block.last_us, columns.end_us - 1)
    share = (last - first + 1) / (block.last_us - block.first_us + 1)
    return max(0, -int(-block.ticks * share // 1))


def _clock_told(connection: apsw.Connection, run: int, columns: Columns) -> list[str]:
    segments = rows_of(connection, "SELECT at_us, drift_us FROM clock WHERE run = ? ORDER BY at_us", (run,))
    return jumps_told([(at_us, drift_us) for at_us, drift_us in segments], columns.first_us, columns.end_us)


def _fetch_hot(connection: apsw.Connection, run: int, block: int, window: Window, found: Fetched) -> int:
    """Fetch the ticks of a block that is not sealed; return how many."""
    there = readable(
        connection,
        "id, at_us, roster, samples",
        "tick",
        "id >= ? AND id < ? AND block = ? AND at_us >= ? AND at_us < ?",
        (tick_id(run, 0), tick_id(run + 1, 0), block, window.columns.first_us, window.columns.end_us),
        key="id",
        place="block",
        ordered=True,
    )
    found.notes.extend(not_complete(there, block, block))
    rows = there.rows
    if not rows:
        return 0
    rosters = Rosters.between(connection, run, rows[0][2], rows[-1][2])
    start = 0
    for i in range(1, len(rows) + 1):
        if i == len(rows) or rows[i][2] != rows[start][2]:
            together = rows[start:i]
            found.pieces.append(
                Piece(
                    members=rosters.members(rows[start][2]),
                    at_us=np.array([row[1] for row in together], dtype=np.int64),
                    samples=[(sequence_of(row[0]), row[3]) for row in together],
                )
            )
            start = i
    return len(rows)
