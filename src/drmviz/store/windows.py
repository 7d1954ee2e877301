"""The rows and BLOBs of a window, fetched in one read transaction as they stand in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import apsw
import numpy as np

from drmviz.errors import InvalidValueError
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import ScalingDecision
from drmviz.model.metrics import METRIC_ROW, FloatArray, IntArray, Metric, Statistic
from drmviz.model.resources import WorkerCapacity
from drmviz.model.tasks import Task
from drmviz.store.chunks import COUNT, MAXIMUM, MEAN, MINIMUM, VALUE, checked, kind_of, members_of, same_members
from drmviz.store.clock import jumps_told, times_of
from drmviz.store.connections import rows_of
from drmviz.store.frames import DamagedFrameError
from drmviz.store.grids import Columns
from drmviz.store.records import cloud_between, decisions_between, tasks_between
from drmviz.store.rosters import Rosters
from drmviz.store.salvage import not_complete, or_noted, readable
from drmviz.store.schema import BLOCK_US, NEVER, RAW_TIER, TIERS_US, microseconds, sequence_of, tick_id, tiers_in
from drmviz.store.sealing import tiers_for
from drmviz.store.spans import Span


@dataclass(frozen=True, slots=True)
class Window:
    """What was asked for, and the whole columns that cover it: samples are taken by columns, events as asked."""

    start_us: int
    end_us: int
    columns: Columns
    decisions_from_us: int
    """A decision may precede the first tick: with an open start none is left out."""
    decisions_end_us: int
    tier: int = RAW_TIER
    """The coarsest tier whose buckets no column splits."""

    @classmethod
    def over(cls, spans: Sequence[Span], start_s: float | None, end_s: float | None, *, at_most: int) -> Window:
        """Return the asked window, its open ends filled in from what is recorded.

        Columns are as wide as was asked or wider: whole ticks, or whole buckets of a tier where two of them fit into
        a column, or where nothing finer is kept.
        """
        start_us = min(span.first_us for span in spans) if start_s is None else microseconds(start_s)
        end_us = max(span.end_us for span in spans) if end_s is None else microseconds(end_s)
        if end_us <= start_us:
            raise InvalidValueError("end", end_s, f"the window would end before its start {start_us / 1e6:.3f}")
        interval_us = max(span.interval_us for span in spans)
        tier = coarsest_tier((end_us - start_us) // max(1, at_most), interval_us)
        while True:
            columns = columns_over(start_us, end_us, tier=tier, interval_us=interval_us, at_most=at_most)
            kept = max(finest_kept(span, columns) for span in spans)
            if kept <= tier:
                break
            tier = kept
        return cls(
            start_us,
            end_us,
            columns,
            0 if start_s is None else start_us,
            NEVER if end_s is None else end_us,
            tier,
        )

    def moved(self, by_us: int) -> Window:
        """Return the same window by a clock that is so much ahead; an open end stays open.

        Its columns lie no more on whole multiples of their width: where they would split buckets, it asks for a finer
        tier.
        """
        if not by_us:
            return self
        tier = max(tier for tier, width_us in enumerate(TIERS_US) if tier <= self.tier and is_whole(by_us, width_us))
        return Window(
            self.start_us + by_us,
            self.end_us + by_us,
            replace(self.columns, first_us=self.columns.first_us + by_us),
            self.decisions_from_us + by_us if self.decisions_from_us else 0,
            self.decisions_end_us if self.decisions_end_us == NEVER else self.decisions_end_us + by_us,
            tier,
        )

    def touches(self, span: Span) -> bool:
        """Tell whether any tick of the run may lie in the window."""
        return span.first_us < self.columns.end_us and span.end_us > self.columns.first_us


def columns_over(start_us: int, end_us: int, *, tier: int, interval_us: int, at_most: int) -> Columns:
    """Return columns of whole ticks, or of whole buckets of a tier."""
    width_us = TIERS_US[tier]
    unit_us = -(-interval_us // width_us) * width_us if width_us else interval_us
    return Columns.over(start_us, end_us, interval_us=unit_us, at_most=at_most)


def is_whole(by_us: int, width_us: int) -> bool:
    """Tell whether moving by so much keeps buckets of that width apart; ticks, which have none, always are."""
    return not width_us or by_us % width_us == 0


def coarsest_tier(column_us: int, interval_us: int) -> int:
    """Return the coarsest tier of which two buckets fit into a column, the raw one where none does."""
    return max((tier for tier in tiers_for(interval_us) if 2 * TIERS_US[tier] <= column_us), default=RAW_TIER)


def finest_kept(span: Span, columns: Columns) -> int:
    """Return the finest tier that every block of a run in those columns still has, or something finer."""
    connection, ahead_us = span.part.connection, span.part.offset_us
    where, values = (
        "run = ? AND sealed AND tiers AND number BETWEEN ? AND ?",
        (span.run, (columns.first_us - ahead_us) // BLOCK_US, (columns.end_us - ahead_us - 1) // BLOCK_US),
    )
    try:
        masks = rows_of(connection, f"SELECT DISTINCT tiers FROM block WHERE {where}", values)
    except apsw.CorruptError:
        masks = readable(connection, "tiers", "block", where, values, key="number", ordered=True).rows
    return max((min(tiers_in(mask), default=RAW_TIER) for (mask,) in masks), default=RAW_TIER)


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
    packed: memoryview | None = None
    kind: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    """Of what is packed: its tier, metric and statistic, and how many samples and ticks it says it has."""
    counts: memoryview | None = None
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
    columns = window.columns
    times: dict[int, IntArray] = {}
    for block in blocks:
        if tier == RAW_TIER:
            stamps = _block_times(connection, run, block, found)
            if stamps is not None:
                times[block.number] = stamps
                found.ticks += int(np.count_nonzero((stamps >= columns.first_us) & (stamps < columns.end_us)))
        else:
            found.ticks += _ticks_inside(block, columns)
    if not found.row_of:
        return
    first_sequences = {block.number: block.first_sequence for block in blocks}
    counts: dict[tuple[int, int, int], memoryview] = {}
    payloads: list[tuple[tuple[int, int, int], int, int, memoryview]] = []
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
        if statistic == COUNT:
            counts[number, metric, slot] = payload
        else:
            payloads.append(((number, metric, slot), statistic, first_tick, payload))
    known: dict[bytes, IntArray] = {}
    begin_us: dict[tuple[int, int], IntArray] = {}
    for place, statistic, first_tick, payload in payloads:
        kind = kind_of(payload)
        if tier == RAW_TIER:
            skipped = first_tick - first_sequences[place[0]]
            at_us = times[place[0]][skipped : skipped + kind[-1]]
        else:
            at_us = _buckets(tier, first_tick, kind[-1], begin_us)
        if not at_us.size or at_us[0] >= columns.end_us or at_us[-1] < columns.first_us:
            continue
        found.pieces.append(
            Piece(
                members=_shared_members(payload, known),
                at_us=at_us,
                packed=payload,
                kind=kind,
                counts=counts.get(place) if statistic == MEAN else None,
            )
        )


def _buckets(tier: int, first: int, count: int, known: dict[tuple[int, int], IntArray]) -> IntArray:
    """Return when so many buckets begin, one object for all chunks that have the same ones."""
    if (first, count) not in known:
        known[first, count] = (first + np.arange(count, dtype=np.int64)) * TIERS_US[tier]
    return known[first, count]


def _shared_members(payload: memoryview, known: dict[bytes, IntArray]) -> IntArray:
    """Return the members of a checked chunk, one object for all chunks that have the same ones."""
    named = same_members(payload)
    if named not in known:
        known[named] = members_of(payload)
    return known[named]


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
