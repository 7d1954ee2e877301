"""Which window is read, by which columns and from which tier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import apsw

from drmviz.errors import InvalidValueError
from drmviz.store.connections import rows_of
from drmviz.store.grids import Columns
from drmviz.store.salvage import readable
from drmviz.store.schema import BLOCK_US, NEVER, RAW_TIER, TIERS_US, microseconds, tiers_in
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
