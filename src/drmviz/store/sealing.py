"""Turns the hot ticks of a finished block into chunks, in slices that no tick has to wait for."""

from __future__ import annotations

import math
import mmap
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import apsw
import numpy as np

from drmviz.model.metrics import METRICS, BoolArray, FloatArray, IntArray
from drmviz.store.bodies import Packer
from drmviz.store.chunks import CHUNK_INCARNATIONS, COUNT, VALUE, Chunk, encode
from drmviz.store.connections import rows_of
from drmviz.store.counted import counts_of, per_one
from drmviz.store.frames import DamagedFrameError, framed, unframed
from drmviz.store.rollups import Rollup
from drmviz.store.rosters import Rosters
from drmviz.store.schema import BYTES_OF, RAW_TIER, TIERS_US, sequence_of, tick_id
from drmviz.store.shelving import ChunkRow, Shelf

_MATRIX_BYTES = 12_000_000
"""How much of a block is held unpacked at once: decides how many metrics are done in one pass over the ticks."""
_CHUNK_VALUES = 40_000
"""As many numbers has a chunk of members who stay for a block of seconds; of those who soon leave it takes more."""
_LARGE_BYTES = 1_000_000
_SLICE_BYTES = 1_500_000
"""How much is read or deleted between two looks at the time."""


@dataclass(slots=True)
class _Stretch:
    """Consecutive ticks of one roster; values float32 of shape (metrics of this pass, ticks, incarnations)."""

    first: int
    roster: int
    members: IntArray
    values: FloatArray

    @property
    def end(self) -> int:
        return self.first + int(self.values.shape[1])


@dataclass(frozen=True, slots=True)
class _HotTick:
    row_id: int
    at_us: int
    wall_us: int
    roster: int


def seal(connection: apsw.Connection, run: int, block: int) -> Iterator[None]:
    """Seal one block: chunks first, then the mark that readers go by, then away with the hot rows.

    Every step leaves the file readable and may be the last one: chunks of a block without its mark are not looked at,
    and hot rows of a sealed block are not either. Beginning again is always right.
    """
    mark = rows_of(connection, "SELECT sealed FROM block WHERE run = ? AND number = ?", (run, block))
    ticks = [
        _HotTick(*row)
        for row in rows_of(
            connection,
            "SELECT id, at_us, wall_us, roster FROM tick WHERE id >= ? AND id < ? AND block = ? ORDER BY id",
            (tick_id(run, 0), tick_id(run + 1, 0), block),
        )
    ]
    yield
    widest = 0
    if not ticks:
        connection.execute("DELETE FROM block WHERE run = ? AND number = ? AND NOT sealed", (run, block))
    elif mark and not mark[0][0]:
        rosters = Rosters.between(connection, run, ticks[0].roster, ticks[-1].roster)
        yield
        widest = max(len(rosters.members(roster)) for roster in {tick.roster for tick in ticks})
        yield from _Packing(connection, run, block, ticks, rosters, widest).steps()
    yield from _forget_hot(connection, [tick.row_id for tick in ticks], bytes_each=4 * len(METRICS) * widest)


def _forget_hot(connection: apsw.Connection, row_ids: list[int], *, bytes_each: int) -> Iterator[None]:
    """Delete hot rows in slices."""
    at_once = max(1, _SLICE_BYTES // max(1, bytes_each))
    for start in range(0, len(row_ids), at_once):
        part = row_ids[start : start + at_once]
        connection.execute("DELETE FROM tick WHERE id BETWEEN ? AND ?", (part[0], part[-1]))
        yield


def _empty_stretches(ticks: list[_HotTick], rosters: Rosters, rows: slice) -> list[_Stretch]:
    bounds = [0, *(i for i in range(1, len(ticks)) if ticks[i].roster != ticks[i - 1].roster), len(ticks)]
    stretches = []
    for start, end in pairwise(bounds):
        roster = ticks[start].roster
        members = rosters.members(roster)
        shape = (rows.stop - rows.start, end - start, len(members))
        stretches.append(_Stretch(start, roster, members, _unknown(shape)))
    return stretches


def _unknown(shape: tuple[int, ...]) -> FloatArray:
    """Return float32 NaN; what is large comes from the system and goes back to it, where malloc would often keep it."""
    count = math.prod(shape)
    if 4 * count < _LARGE_BYTES:
        return np.full(shape, np.nan, dtype=np.float32)
    values = np.frombuffer(mmap.mmap(-1, 4 * count), dtype=np.float32)
    values.fill(np.nan)
    return values.reshape(shape)


def _fill(
    connection: apsw.Connection, ticks: list[_HotTick], stretches: list[_Stretch], rows: slice, damaged: set[int]
) -> Iterator[None]:
    moved = 0
    for stretch in stretches:
        for i in range(stretch.values.shape[1]):
            tick = ticks[stretch.first + i]
            blob = connection.execute("SELECT samples FROM tick WHERE id = ?", (tick.row_id,)).get
            try:
                samples = samples_of(blob, sequence=sequence_of(tick.row_id), incarnations=len(stretch.members))
            except DamagedFrameError:
                damaged.add(tick.row_id)
                continue
            stretch.values[:, i, :] = samples[rows]
            moved += len(blob)
            if moved > _SLICE_BYTES:
                moved = 0
                yield


def samples_of(blob: bytes, *, sequence: int, incarnations: int) -> FloatArray:
    """Return the samples of a hot tick, float32 of shape (metrics, incarnations).

    Raises:
        DamagedFrameError: the BLOB is not what was written.
    """
    flat = np.frombuffer(unframed(blob, sequence=sequence), dtype="<f4")
    if flat.size != len(METRICS) * incarnations:
        raise DamagedFrameError(f"{flat.size} numbers are there where {len(METRICS)} x {incarnations} belong")
    return flat.reshape(len(METRICS), incarnations)


def tiers_for(interval_us: int) -> tuple[int, ...]:
    """Return the rollups that say less than the ticks do: a bucket of them holds at least two."""
    return tuple(tier for tier, width_us in enumerate(TIERS_US) if tier != RAW_TIER and width_us >= 2 * interval_us)


class _Packing:
    """Writes all chunks of one block, raw and rolled up, from its hot ticks."""

    def __init__(
        self, connection: apsw.Connection, run: int, block: int, ticks: list[_HotTick], rosters: Rosters, widest: int
    ) -> None:
        self._connection = connection
        self._run, self._block = run, block
        self._ticks = ticks
        self._at_us = np.array([tick.at_us for tick in ticks], dtype="<i8")
        self._rosters = rosters
        self._widest = widest
        self._shelf = Shelf(connection)
        self._packer = Packer()
        self._bytes = [0] * len(TIERS_US)
        self._per_one: dict[int, int] = {}
        """By metric: the samples packed last are whole multiples of 1 / this; 0 where they are not."""
        self._tiers = tiers_for(connection.execute("SELECT interval_us FROM run WHERE number = ?", (run,)).get)

    def steps(self) -> Iterator[None]:
        """Write them; every step is short."""
        ticks, run, block = self._ticks, self._run, self._block
        forget_chunks(self._connection, run, block)
        together = max(1, min(len(METRICS), _MATRIX_BYTES // max(1, 4 * self._widest * len(ticks))))
        damaged: set[int] = set()
        for first in range(0, len(METRICS), together):
            rows = slice(first, min(first + together, len(METRICS)))
            stretches = _empty_stretches(ticks, self._rosters, rows)
            yield
            yield from _fill(self._connection, ticks, stretches, rows, damaged)
            yield from self._write(stretches, rows)
        yield from self._shelf.empty()
        if damaged:
            self._connection.execute(
                "INSERT INTO note (run, at_us, sentence) VALUES (?, ?, ?)",
                (run, ticks[0].at_us, f"{len(damaged)} of {len(ticks)} ticks were damaged before they could be packed"),
            )
        times = np.stack([self._at_us, np.array([tick.wall_us for tick in ticks], dtype="<i8")])
        first_sequence = sequence_of(ticks[0].row_id)
        self._connection.execute(
            "UPDATE block SET sealed = 1, first_sequence = ?, times = ?, tiers = ?, ticks = ?, first_us = ?,"
            " last_us = ?," + ", ".join(f" {name} = ?" for name in BYTES_OF) + " WHERE run = ? AND number = ?",
            (
                first_sequence,
                framed(first_sequence, times.tobytes()),
                sum(1 << tier for tier in (RAW_TIER, *self._tiers)),
                len(ticks),
                ticks[0].at_us,
                ticks[-1].at_us,
                *(self._bytes[tier] if tier in (RAW_TIER, *self._tiers) else None for tier in range(len(TIERS_US))),
                run,
                block,
            ),
        )
        yield

    def _write(self, stretches: list[_Stretch], rows: slice) -> Iterator[None]:
        """Write the chunks of some metrics: fine tiers as they are unpacked, coarse ones when enough are together."""
        members = self._rosters.by_lifetime()
        beginnings = [stretch.roster for stretch in stretches]
        many, few = max(CHUNK_INCARNATIONS), CHUNK_INCARNATIONS[RAW_TIER]
        slot = -1
        for wide, start in enumerate(range(0, len(members), many)):
            rolled: dict[int, list[tuple[IntArray, Rollup]]] = {tier: [] for tier in self._tiers}
            for together in self._neighbours(members[start : start + many], stretches):
                slot += 1
                joined, left = self._rosters.span(together)
                lived = stretches[bisect_left(beginnings, joined) : bisect_left(beginnings, left)]
                first, values = _gathered(together, lived)
                if not values.shape[2]:
                    continue
                per_ones = [1] * len(values)
                # By place, not by its own number: of a repaired file some ticks are missing.
                first_tick = sequence_of(self._ticks[0].row_id) + first
                for i, metric in enumerate(range(rows.start, rows.stop)):
                    if np.isnan(values[i]).all():  # nothing was measured: no chunk says the same
                        continue
                    per_ones[i] = self._per_one_of(metric, values[i])
                    self._put(RAW_TIER, metric, VALUE, slot, together, first_tick, values[i], per_one=per_ones[i])
                    yield
                finer = None
                for tier in self._tiers:
                    if finer is None:
                        at_us = self._at_us[first : first + values.shape[2]]
                        finer = Rollup.of(values, at_us, TIERS_US[tier], per_one=per_ones)
                    else:
                        finer = finer.coarser(TIERS_US[tier])
                    if CHUNK_INCARNATIONS[tier] == few:
                        yield from self._put_rollup(tier, slot, together, finer, rows)
                    else:
                        rolled[tier].append((together, finer))
                yield from self._shelf.full()
            for tier, parts in rolled.items():
                if parts:
                    everybody = np.concatenate([part for part, _ in parts])
                    whole = Rollup.together([rollup for _, rollup in parts])
                    yield from self._put_rollup(tier, wide, everybody, whole, rows)

    def _per_one_of(self, metric: int, values: FloatArray) -> int:
        """Return n where these samples are whole multiples of 1 / n, as those before them probably are; 0 where not."""
        known = self._per_one.get(metric, 0)
        if not known or counts_of(values, known) is None:
            known = self._per_one[metric] = per_one(values)
        return known

    def _neighbours(self, members: IntArray, stretches: list[_Stretch]) -> Iterator[IntArray]:
        """Yield members, ordered by lifetime, by as many as share a chunk.

        These are twice as many as usual, or four times ..., while they lived for at least half of the ticks that their
        chunk then covers, and it does not become larger than one of members who stay.
        """
        joined, left = self._rosters.lifetimes(members)
        rosters = [stretch.roster for stretch in stretches]
        ticks = np.array([*(stretch.first for stretch in stretches), stretches[-1].end])
        first, end = ticks[np.searchsorted(rosters, joined)], ticks[np.searchsorted(rosters, left)]
        start = 0
        while start < len(members):
            many = CHUNK_INCARNATIONS[RAW_TIER]
            while start + many < len(members):
                wider = slice(start, start + 2 * many)
                values = len(members[wider]) * int(end[wider].max() - first[wider].min())
                if values > _CHUNK_VALUES or values > 2 * int((end[wider] - first[wider]).sum()):
                    break
                many *= 2
            yield members[start : start + many]
            start += many

    def _put_rollup(self, tier: int, slot: int, members: IntArray, rollup: Rollup, rows: slice) -> Iterator[None]:
        for i, metric in enumerate(range(rows.start, rows.stop)):
            for statistic, values, samples in rollup.statistics_of(i):
                self._put(
                    tier, metric, statistic, slot, members, rollup.first_bucket, values,
                    samples=samples, per_one=rollup.per_one[i],
                )  # fmt: skip
            yield

    def _put(
        self,
        tier: int,
        metric: int,
        statistic: int,
        slot: int,
        members: IntArray,
        first_tick: int,
        values: FloatArray,
        *,
        per_one: int,
        samples: int = 0,
    ) -> None:
        chunk = Chunk(
            metric=metric,
            statistic=statistic,
            tier=tier,
            members=members,
            first_tick=first_tick,
            values=values,
            samples=samples,
            per_one=per_one,
        )
        packed = encode(chunk, self._packer)
        self._bytes[tier] += len(packed)
        lowest, highest = int(members.min()), int(members.max())
        self._shelf.put(
            ChunkRow(self._run, self._block, tier, metric, statistic, slot, first_tick, packed, lowest, highest)
        )


_ALL_TIERS = tuple(range(len(TIERS_US)))
_ALL_METRICS = tuple(range(len(METRICS)))


def forget_chunks(
    connection: apsw.Connection,
    run: int,
    block: int,
    *,
    tiers: Sequence[int] = _ALL_TIERS,
    metrics: Sequence[int] = _ALL_METRICS,
) -> None:
    """Delete chunks of a block; what is to go is named one by one, so that the index leads to each."""
    connection.execute(
        f"DELETE FROM chunk WHERE run = ? AND tier IN ({_listed(tiers)}) AND metric IN ({_listed(metrics)})"
        f" AND statistic IN ({_listed(range(COUNT + 1))}) AND block = ?",
        (run, block),
    )


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _gathered(members: IntArray, stretches: list[_Stretch]) -> tuple[int, FloatArray]:
    """Return the first tick in which one of the members lived, and float32 values (metrics, members, ticks) from it."""
    lived = [
        (stretch, columns, found)
        for stretch in stretches
        for columns, found in [_columns(stretch.members, members)]
        if found.any()
    ]
    if not lived:
        return 0, np.empty((1, len(members), 0), dtype=np.float32)
    first, end = lived[0][0].first, lived[-1][0].end
    values = np.full((len(lived[0][0].values), len(members), end - first), np.nan, dtype=np.float32)
    for stretch, columns, found in lived:
        part = values[:, :, stretch.first - first : stretch.end - first]
        part[:, found] = stretch.values[:, :, columns[found]].transpose(0, 2, 1)
    return first, values


def _columns(roster: IntArray, members: IntArray) -> tuple[IntArray, BoolArray]:
    """Return where the members stand in an ascending roster, and which of them stand in it at all."""
    columns = np.searchsorted(roster, members)
    inside = columns < len(roster)
    found = np.zeros(len(members), dtype=np.bool_)
    found[inside] = roster[columns[inside]] == members[inside]
    return columns, found
