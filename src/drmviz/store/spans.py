"""The stretch of time that each run covers on the common clock of all files, and who lived in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import apsw
import numpy as np

from drmviz.model.decisions import RECORDING_BEGAN, RECORDING_ENDED
from drmviz.model.metrics import IntArray
from drmviz.model.run import RunHeader
from drmviz.model.text import storable
from drmviz.model.workers import Incarnation
from drmviz.store.clock import times_of
from drmviz.store.connections import rows_of
from drmviz.store.failures import errors_named
from drmviz.store.frames import DamagedFrameError
from drmviz.store.parts import Part
from drmviz.store.records import incarnations
from drmviz.store.salvage import readable
from drmviz.store.schema import BLOCK_US, microseconds, tick_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One run and the stretch of time of which it holds ticks; microseconds, `end_us` not included."""

    part: Part
    run: int
    header: RunHeader
    first_us: int
    end_us: int
    interval_us: int

    @classmethod
    def of(cls, part: Part, run: int, header: RunHeader) -> Span | None:
        """Return the stretch of a run, given its header by its own clock; None where nothing is recorded."""
        connection = part.connection
        blocks = _ends(connection, run)
        if not blocks:
            return None
        oldest, (number, first_sequence, sealed) = blocks[0][0], blocks[-1]
        stamps = _newest(connection, run, number, first_sequence, sealed)
        interval_us = microseconds(header.interval_s)
        if not interval_us:  # ticks came when somebody asked: their usual distance has to do
            interval_us = max(1, int(np.median(np.diff(stamps)))) if len(stamps) > 1 else 1_000_000
            if len(stamps) == 1 and first_sequence:  # they come so seldom that a block holds one: the mean distance
                interval_us = max(interval_us, (int(stamps[0]) - microseconds(header.started_at_s)) // first_sequence)
        first_us = max(microseconds(header.started_at_s), oldest * BLOCK_US)  # what is older was forgotten
        return cls(
            part=part,
            run=run,
            header=part.header(header),
            first_us=first_us + part.offset_us,
            end_us=(int(stamps[-1]) // interval_us + 1) * interval_us + part.offset_us,
            interval_us=interval_us,
        )

    @property
    def is_newest(self) -> bool:
        """Whether no run of its file was begun later."""
        return self.run == self.part.newest[0]

    def goes_on_after(self, other: Span) -> bool:
        """Tell whether this run was being recorded when the other one ended: a clock was set back between them."""
        return self.first_us < other.end_us < self.end_us


def _ends(connection: apsw.Connection, run: int) -> list[tuple[int, int, int]]:
    """Return number, first sequence and mark of the oldest and the newest block of a run; nothing where it has none."""
    statement = "SELECT number, first_sequence, sealed FROM block WHERE run = ? AND tiers ORDER BY number"
    try:
        return [row for way in ("ASC", "DESC") for row in rows_of(connection, f"{statement} {way} LIMIT 1", (run,))]
    except apsw.CorruptError:
        columns = "number, first_sequence, sealed"
        there = readable(connection, columns, "block", "run = ? AND tiers", (run,), key="number", ordered=True).rows
        if not there:
            raise
        return [(0, 0, 1), there[-1]]  # from the run's beginning, so that what is missing there is seen


def _newest(connection: apsw.Connection, run: int, number: int, first_sequence: int, sealed: int) -> IntArray:
    """Return the times of the newest ticks of a run, in microseconds; the end of its last block where they are lost."""
    lost = np.array([(number + 1) * BLOCK_US - 1], dtype=np.int64)
    if not sealed:
        hot = (tick_id(run, 0), tick_id(run + 1, 0))
        stamps = readable(connection, "at_us", "tick", "id >= ? AND id < ?", hot, key="id", ordered=True)
        return np.array(stamps.rows, dtype=np.int64).ravel() if stamps.rows or not stamps.damage else lost
    statement = "SELECT times, ticks, first_us, last_us FROM block WHERE run = ? AND number = ?"
    try:
        ((times, ticks, first_us, last_us),) = rows_of(connection, statement, (run, number))
        if times is None:  # its raw tier is gone: as far apart as they were on the whole
            return np.linspace(first_us, last_us, ticks).astype(np.int64)
        newest: IntArray = times_of(times, first_sequence)[0]
    except (DamagedFrameError, apsw.CorruptError):
        return lost
    return newest


_MOST_ASKED = 200
"""Of more workers than this the lives are picked out of those of everybody: SQLite takes no list of any length."""


def lives_in(
    spans: Sequence[Span],
    over: Sequence[bool],
    first_us: int,
    end_us: int,
    *,
    alone: bool,
    workers: Sequence[str] | None = None,
) -> list[dict[int, Incarnation]]:
    """Return the incarnations of each run that lived in the window, by their numbers in their own run.

    Where one run is read alone and all of `workers` lived, those of others may be missing. Otherwise numbers and
    ordinals go on from one run to the next, and who outlived the recording of a run that is over leaves at its end:
    what happened afterwards nobody saw.
    """
    if alone:
        if workers is not None and len(workers) <= _MOST_ASKED:
            lives = [_lives_of(span, first_us, end_us, _own_names(span, workers)) for span in spans]
            if {life.id for of_run in lives for life in of_run.values()}.issuperset(workers):
                return lives
        return [_lives_of(span, first_us, end_us) for span in spans]
    lives = [_lives_of(span, first_us, end_us) for span in spans]
    ordinals: dict[str, int] = {}
    count = 0
    for span, is_over, of_run in zip(spans, over, lives, strict=True):
        for number, life in of_run.items():
            ordinals[life.id] = ordinals.get(life.id, 0) + 1
            told = replace(life, number=count, ordinal=ordinals[life.id])
            if life.why_joined is None and life.joined_at_s < span.header.started_at_s + span.interval_us / 1e6:
                told = replace(told, why_joined=RECORDING_BEGAN)
            if life.left_at_s is None and is_over:
                told = replace(told, left_at_s=max(span.end_us / 1e6, life.joined_at_s), why_left=RECORDING_ENDED)
            of_run[number] = told
            count += 1
    return lives


def _own_names(span: Span, workers: Sequence[str]) -> list[str]:
    """Return what the file may call these workers; a name that no file can hold is not one of them."""
    names = (name for worker in workers if isinstance(worker, str) for name in span.part.own(worker))
    return [name for name in dict.fromkeys(names) if storable(name) == name]


def _lives_of(span: Span, first_us: int, end_us: int, workers: Sequence[str] | None = None) -> dict[int, Incarnation]:
    part, ahead_us = span.part, span.part.offset_us
    with errors_named(part.path):
        recorded = incarnations(part.connection, span.run, first_us - ahead_us, end_us - ahead_us, workers)
    return {life.number: part.life(life) for life in recorded}
