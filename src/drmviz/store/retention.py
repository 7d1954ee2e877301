"""Forgets what is older than somebody wants to keep, block by block, in slices that no tick has to wait for."""

from __future__ import annotations

from collections.abc import Iterator

import apsw

from drmviz.store.connections import rows_of
from drmviz.store.schema import BLOCK_US, tick_id

_EVENTS = (("task", "ended_us"), ("decision", "decided_us"), ("note", "at_us"))
_FREE_PAGES = 256
"""How many pages are given back to the filesystem after each block: 2 MiB."""


def forget(connection: apsw.Connection, before_us: int) -> Iterator[None]:
    """Delete whole sealed blocks that end before that moment, then finished runs of which nothing is left.

    Each step is one short transaction and leaves a file in which every block is whole or gone.
    """
    old = rows_of(
        connection,
        "SELECT run, number FROM block WHERE sealed AND number < ? ORDER BY number, run",
        (before_us // BLOCK_US,),
    )
    for run, number in old:
        with connection:
            connection.execute("DELETE FROM chunk WHERE run = ? AND block = ?", (run, number))
            connection.execute(  # of a block that was sealed, but not yet cleared of its hot ticks
                "DELETE FROM tick WHERE id >= ? AND id < ? AND block = ?",
                (tick_id(run, 0), tick_id(run + 1, 0), number),
            )
            connection.execute("DELETE FROM block WHERE run = ? AND number = ?", (run, number))
        connection.execute(f"PRAGMA incremental_vacuum({_FREE_PAGES})").fetchall()
        yield
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
            for table in ("task", "decision", "note", "cloud", "resize", "incarnation"):
                connection.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
            connection.execute("DELETE FROM run WHERE number = ?", (run,))
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
