"""Forgets what is older or larger than somebody wants to keep, tier by tier, in slices that no tick has to wait for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import apsw

from drmviz.model.metrics import METRICS
from drmviz.store.connections import rows_of
from drmviz.store.schema import BLOCK_US, BYTES_OF, RAW_TIER, TIERS_US, microseconds, tick_id, tiers_in
from drmviz.store.sealing import forget_chunks

_DAY_S = 86_400.0
_EVENTS = (("task", "ended_us"), ("decision", "decided_us"), ("note", "at_us"))
_FREE_PAGES = 256
"""How many pages are given back to the filesystem after each block: 2 MiB."""
_MANY_CHUNKS = 32
"""So many deleted at once are a step of their own."""
_BELIEVED_GAP_S = 5 * 365 * _DAY_S
"""A clock that is this far ahead of everything recorded before is set wrong: nothing is forgotten by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long and how large each tier is kept, raw ticks first, then buckets of 10 s, 1 min and 10 min.

    What a block never had in a coarser tier stays for as long as that tier would. The limits of size are about what
    is packed; ticks of the last minutes and what happened come on top.
    """

    ages_s: tuple[float, float, float, float] = (2 * _DAY_S, 7 * _DAY_S, 30 * _DAY_S, 400 * _DAY_S)
    bytes: tuple[int, int, int, int] = (3_000_000_000, 1_250_000_000, 500_000_000, 250_000_000)

    def capped(self, age_s: float) -> Retention:
        """Return the same with nothing kept for longer than that."""
        raw, ten_seconds, minute, ten_minutes = (min(age, age_s) for age in self.ages_s)
        return replace(self, ages_s=(raw, ten_seconds, minute, ten_minutes))

    def age_s(self, tier: int, tiers: tuple[int, ...]) -> float:
        """Return how long a tier is kept in a block that has these."""
        after = next((other for other in tiers if other > tier), len(TIERS_US))
        return max(self.ages_s[tier:after])


def forget(connection: apsw.Connection, now_s: float, retention: Retention) -> Iterator[None]:
    """Delete what is too old or too much, then what happened before anything that is left, then runs left empty.

    Each step is one short transaction and leaves a file in which every tier of every block is whole or gone.
    """
    if _is_set_wrong(connection, now_s):
        return
    yield from _forget_tiers(connection, _half_forgotten(connection))
    yield from _forget_tiers(connection, _too_old(connection, now_s, retention))
    yield from _forget_tiers(connection, _too_much(connection, retention))
    before_us = microseconds(now_s - max(retention.ages_s))
    for run, oldest in rows_of(
        connection, "SELECT r.number, (SELECT min(b.number) FROM block b WHERE b.run = r.number) FROM run r"
    ):
        with connection:
            changes = connection.total_changes()
            _forget_events(connection, run, before_us if oldest is None else min(before_us, oldest * BLOCK_US))
        if connection.total_changes() > changes:
            yield
    for (run,) in rows_of(
        connection,
        "SELECT number FROM run r WHERE ended_us < ? AND NOT EXISTS (SELECT 1 FROM block b WHERE b.run = r.number)",
        (before_us,),
    ):
        with connection:
            for table in ("task", "decision", "note", "cloud", "clock", "resize", "incarnation"):
                connection.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
            connection.execute("DELETE FROM run WHERE number = ?", (run,))
        yield


def _is_set_wrong(connection: apsw.Connection, now_s: float) -> bool:
    """Tell whether this moment is years after everything that was recorded."""
    newest_us = connection.execute("SELECT (max(number) + 1) * ? FROM block", (BLOCK_US,)).get
    started_us = connection.execute("SELECT max(started_us) FROM run WHERE number < (SELECT max(number) FROM run)").get
    known_us = [moment for moment in (newest_us, started_us) if moment is not None]
    return bool(known_us) and now_s - min(known_us) / 1e6 > _BELIEVED_GAP_S


_Doomed = dict[tuple[int, int], list[int]]
"""Tiers that go, by run and block, oldest blocks first."""


def _half_forgotten(connection: apsw.Connection) -> _Doomed:
    found: _Doomed = {}
    for tier, size in enumerate(BYTES_OF):
        for run, block in rows_of(
            connection,
            f"SELECT run, number FROM block WHERE sealed AND {size} IS NOT NULL AND NOT tiers & ?",
            (1 << tier,),
        ):
            found.setdefault((run, block), []).append(tier)
    return found


def _too_old(connection: apsw.Connection, now_s: float, retention: Retention) -> _Doomed:
    found: _Doomed = {}
    for run, block, mask in rows_of(
        connection,
        "SELECT run, number, tiers FROM block WHERE sealed AND number < ? ORDER BY number, run",
        (microseconds(now_s - min(retention.ages_s)) // BLOCK_US,),
    ):
        tiers = tiers_in(mask)
        end_s = (block + 1) * BLOCK_US / 1e6
        doomed = [tier for tier in tiers if end_s <= now_s - retention.age_s(tier, tiers)]
        if doomed:
            found[run, block] = doomed
    return found


def _too_much(connection: apsw.Connection, retention: Retention) -> _Doomed:
    """Name the oldest blocks of each tier that is larger than it may be; the newest one always stays."""
    found: _Doomed = {}
    for tier, (size, limit) in enumerate(zip(BYTES_OF, retention.bytes, strict=True)):
        excess = (connection.execute(f"SELECT sum({size}) FROM block WHERE sealed").get or 0) - limit
        if excess <= 0:
            continue
        kept = rows_of(
            connection,
            f"SELECT run, number, {size} FROM block WHERE sealed AND tiers & ? ORDER BY number, run",
            (1 << tier,),
        )
        for run, block, many in kept[:-1]:
            if excess <= 0:
                break
            found.setdefault((run, block), []).append(tier)
            excess -= many or 0
    return found


def _forget_tiers(connection: apsw.Connection, doomed: _Doomed) -> Iterator[None]:
    for (run, block), tiers in doomed.items():
        with connection:  # from here on nobody reads them; whoever finds a block like this goes on
            connection.execute(
                "UPDATE block SET tiers = tiers & ~? WHERE run = ? AND number = ?",
                (sum(1 << tier for tier in tiers), run, block),
            )
        for tier in tiers:
            for metric in range(len(METRICS)):
                with connection:
                    changes = connection.total_changes()
                    forget_chunks(connection, run, block, tiers=(tier,), metrics=(metric,))
                if connection.total_changes() - changes > _MANY_CHUNKS:
                    yield
        with connection:
            if RAW_TIER in tiers:
                connection.execute("UPDATE block SET times = NULL WHERE run = ? AND number = ?", (run, block))
                connection.execute(  # of a block that was sealed, but not yet cleared of its hot ticks
                    "DELETE FROM tick WHERE id >= ? AND id < ? AND block = ?",
                    (tick_id(run, 0), tick_id(run + 1, 0), block),
                )
            gone = ", ".join(f"{BYTES_OF[tier]} = NULL" for tier in tiers)
            connection.execute(f"UPDATE block SET {gone} WHERE run = ? AND number = ?", (run, block))
            connection.execute("DELETE FROM block WHERE run = ? AND number = ? AND NOT tiers", (run, block))
        connection.execute(f"PRAGMA incremental_vacuum({_FREE_PAGES})").fetchall()
        yield


def _forget_events(connection: apsw.Connection, run: int, before_us: int) -> None:
    """Delete what happened before that moment; ticks that are still there keep the incarnations they stand for."""
    for table, moment in _EVENTS:
        connection.execute(f"DELETE FROM {table} WHERE run = ? AND {moment} < ?", (run, before_us))
    connection.execute(  # the last of each provider still holds
        "DELETE FROM cloud WHERE run = ?1 AND at_us < ?2 AND id NOT IN"
        " (SELECT id FROM (SELECT id, max(at_us) FROM cloud WHERE run = ?1 AND at_us < ?2 GROUP BY provider))",
        (run, before_us),
    )
    connection.execute(
        "DELETE FROM resize WHERE run = ?1 AND incarnation IN"
        " (SELECT number FROM incarnation WHERE run = ?1 AND left_us < ?2)",
        (run, before_us),
    )
    connection.execute("DELETE FROM incarnation WHERE run = ? AND left_us < ?", (run, before_us))
    connection.execute(  # where the clock stood before what is left still holds
        "DELETE FROM clock WHERE run = ?1 AND at_us < (SELECT max(at_us) FROM clock WHERE run = ?1 AND at_us < ?2)",
        (run, before_us),
    )
