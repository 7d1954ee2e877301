"""Files of earlier versions: brought up to date by their writer, shown as if they were to readers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw
import numpy as np

from drmviz.model.metrics import IntArray
from drmviz.store.clock import times_of, turns
from drmviz.store.frames import DamagedFrameError
from drmviz.store.schema import (
    BLOCK_COLUMNS,
    CHUNK_COLUMNS,
    CLOCK_TABLE,
    CLOUD_TABLE,
    SCHEMA_VERSION,
    UPGRADES,
    tick_id,
)


def upgrade(connection: apsw.Connection, version: int) -> None:
    """Bring a file up to date; nothing that was recorded is lost, and packed blocks stay as they are."""
    if version == SCHEMA_VERSION:
        return
    with connection:
        for older in range(version, SCHEMA_VERSION):
            connection.execute(UPGRADES[older])
        if version < 3:
            write_clock(connection, "main")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def show_as_present(connection: apsw.Connection, version: int) -> None:
    """Let a connection that cannot write see the tables of an earlier file as the present ones.

    What SQLite finds in its temporary schema goes before what is in the file.
    """
    if version < 2:
        connection.execute(_temporary(CLOUD_TABLE))
    if version < 3:
        of_block = ["1 AS tiers", *(f"NULL AS {name}" for name in BLOCK_COLUMNS if name != "tiers")]
        of_chunk = [f"NULL AS {name}" for name in CHUNK_COLUMNS]
        connection.execute(f"CREATE TEMP VIEW block AS SELECT *, {', '.join(of_block)} FROM main.block")
        connection.execute(f"CREATE TEMP VIEW chunk AS SELECT *, {', '.join(of_chunk)} FROM main.chunk")
        connection.execute(_temporary(CLOCK_TABLE))
        write_clock(connection, "temp")


def _temporary(tables: str) -> str:
    return tables.replace("CREATE TABLE IF NOT EXISTS ", "CREATE TEMP TABLE ").replace(
        "CREATE INDEX IF NOT EXISTS ", "CREATE INDEX temp."
    )


def write_clock(connection: apsw.Connection, schema: str) -> None:
    """Write how far the wall clock was ahead, from the times of the ticks of a file that has no such table."""
    for (run,) in connection.execute("SELECT number FROM main.run").fetchall():
        drift_us: int | None = None
        for at_us, wall_us in _stamps(connection, run):
            for turn in turns(at_us, wall_us, drift_us):
                connection.execute(f"INSERT INTO {schema}.clock VALUES (?, ?, ?)", (run, *turn))
                drift_us = turn[1]


def _stamps(connection: apsw.Connection, run: Any) -> Iterator[IntArray]:
    """Yield int64 of shape (2, ticks): at_us and wall_us, block by block."""
    for first_sequence, blob in connection.execute(
        "SELECT first_sequence, times FROM main.block WHERE run = ? AND sealed ORDER BY number", (run,)
    ):
        try:
            yield times_of(blob, first_sequence)
        except DamagedFrameError:  # whoever reads the block is told
            continue
    hot = connection.execute(
        "SELECT at_us, wall_us FROM main.tick WHERE id >= ? AND id < ? ORDER BY id",
        (tick_id(run, 0), tick_id(run + 1, 0)),
    ).fetchall()
    yield np.array(hot, dtype=np.int64).reshape(-1, 2).T
