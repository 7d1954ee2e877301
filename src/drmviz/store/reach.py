"""How far back each tier reaches, and how large it is."""

from __future__ import annotations

from collections.abc import Iterable

import apsw

from drmviz.model.run import TierReach
from drmviz.store.connections import rows_of
from drmviz.store.schema import BLOCK_US, BYTES_OF, RAW_TIER, TIERS_US, tick_id

TIER_NAMES = ("raw", "10 s", "1 min", "10 min")


def reaches(connection: apsw.Connection, run: int | None = None) -> tuple[TierReach, ...]:
    """Return what is kept of each tier that is there, finest first: of one run, or of all.

    Ticks that are not packed yet count as raw.
    """
    found = []
    for tier, (name, width_us, size) in enumerate(zip(TIER_NAMES, TIERS_US, BYTES_OF, strict=True)):
        first, last, packed = rows_of(
            connection,
            "SELECT min(coalesce(first_us, number * ?1)), max(coalesce(last_us + 1, (number + 1) * ?1)),"
            f" coalesce(sum({size}), 0) FROM block WHERE sealed AND tiers & ?2 AND (run = ?3 OR ?3 IS NULL)",
            (BLOCK_US, 1 << tier, run),
        )[0]
        moments = [moment for moment in (first, last) if moment is not None]
        if tier == RAW_TIER:
            hot_first, hot_last, hot = _hot(connection, run)
            moments += [moment for moment in (hot_first, hot_last) if moment is not None]
            packed += hot
        if moments:
            found.append(
                TierReach(
                    tier=name,
                    bucket_s=width_us / 1e6,
                    first_s=min(moments) / 1e6,
                    end_s=max(moments) / 1e6,
                    bytes=packed,
                )
            )
    return tuple(found)


def _hot(connection: apsw.Connection, run: int | None) -> tuple[int | None, int | None, int]:
    """Return when the first and just after the last tick that is not packed was taken, and the bytes of all."""
    first, last = (0, 2**62) if run is None else (tick_id(run, 0), tick_id(run + 1, 0))
    ((begin_us, end_us, size),) = rows_of(
        connection,
        "SELECT min(at_us), max(at_us) + 1, coalesce(sum(length(samples)), 0) FROM tick t WHERE id >= ? AND id < ?"
        " AND EXISTS (SELECT 1 FROM block b WHERE b.run = t.id >> 40 AND b.number = t.block AND NOT b.sealed)",
        (first, last),
    )
    return begin_us, end_us, size


def reaches_together(parts: Iterable[tuple[TierReach, int]]) -> tuple[TierReach, ...]:
    """Return the tiers of several runs as one, each moved by so many microseconds."""
    found: dict[str, TierReach] = {}
    for part, offset_us in parts:
        first_s, end_s = part.first_s + offset_us / 1e6, part.end_s + offset_us / 1e6
        known = found.get(part.tier)
        found[part.tier] = TierReach(
            tier=part.tier,
            bucket_s=part.bucket_s,
            first_s=first_s if known is None else min(first_s, known.first_s),
            end_s=end_s if known is None else max(end_s, known.end_s),
            bytes=part.bytes + (0 if known is None else known.bytes),
        )
    return tuple(sorted(found.values(), key=lambda reach: reach.bucket_s))
