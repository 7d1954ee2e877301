"""Chunks are inserted in the order that fills the pages they lie in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drmviz.store.connections import open_for_writing, rows_of
from drmviz.store.shelving import ChunkRow, Shelf


def test_rows_fill_their_pages_whatever_their_sizes(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    rows = [
        ChunkRow(1, 1, 0, 0, 0, slot, slot, random.bytes(size), 0, 1)
        for slot, size in enumerate(random.choice([700, 2500, 4300, 6300, 9000, 19_000], 600).tolist())
    ]

    steps = _stored(tmp_path / "shelf.drmviz", rows, at_once=True)
    _stored(tmp_path / "plain.drmviz", rows, at_once=False)

    assert _unused(tmp_path / "shelf.drmviz") < 0.06 < 0.1 < _unused(tmp_path / "plain.drmviz")
    assert _read_back(tmp_path / "shelf.drmviz") == sorted((row.slot, row.packed) for row in rows)
    assert steps > sum(len(row.packed) for row in rows) / 150_000, "no step inserts much"


def _stored(path: Path, rows: list[ChunkRow], *, at_once: bool) -> int:
    connection = open_for_writing(path)
    shelf = Shelf(connection)
    steps = 0
    with connection:
        for row in rows:
            shelf.put(row)
            steps += sum(1 for _ in (shelf.full() if at_once else shelf.empty()))
        steps += sum(1 for _ in shelf.empty())
    connection.close()
    return steps


def _unused(path: Path) -> float:
    connection = open_for_writing(path)
    ((unused, size),) = rows_of(connection, "SELECT sum(unused), sum(pgsize) FROM dbstat WHERE name = 'chunk'")
    connection.close()
    return float(unused / size)


def _read_back(path: Path) -> list[tuple[int, bytes]]:
    connection = open_for_writing(path)
    rows = rows_of(connection, "SELECT slot, packed FROM chunk ORDER BY slot")
    connection.close()
    return rows
