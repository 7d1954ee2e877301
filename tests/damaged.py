"""A history of several runs of which every number, and the page that it lies on, is known; and ways to damage it."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from drmviz.model.metrics import METRICS
from drmviz.model.workers import Worker
from drmviz.store import Store, Writer
from drmviz.store.repairing.cells import Cell, cells
from drmviz.store.repairing.page_file import PageFile
from drmviz.store.repairing.tables import tables_of
from drmviz.store.repairing.trees import Forest
from drmviz.store.schema import BLOCK_US, PAGE_BYTES
from tests import golden_files
from tests.fleets import START_S, KnownFleet

STEP_S = 20.0
RUNS = ("run00000000a", "run00000000b", "run00000000c")
Place = tuple[str, int]
"""A run, and the number of one of its blocks."""


@dataclass
class KnownHistory:
    """What was recorded in a file."""

    path: Path
    fleets: dict[str, KnownFleet] = field(default_factory=dict)
    workers: dict[str, list[Worker]] = field(default_factory=dict)
    pages: dict[Place, set[int]] = field(default_factory=lambda: defaultdict(set))
    """The pages that the rows of each block lie on, the rest of long ones too."""
    names: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """The pages that name the workers of each run."""

    def ticks(self, run: str) -> list[int]:
        return sorted({at_us for at_us, _ in self.fleets[run].samples})

    def blocks(self) -> set[Place]:
        return {(run, at_us // BLOCK_US) for run in self.fleets for at_us in self.ticks(run)}


def known_history(path: Path, *, workers: int = 24) -> KnownHistory:
    """Write three runs: two of packed blocks, one whose ticks are not packed yet, with tests, decisions and prices."""
    history = KnownHistory(path)
    with Writer.open(path) as writer:
        for n, run_id in enumerate(RUNS):
            is_hot = n == len(RUNS) - 1
            start_s = START_S + n * 6000
            fleet = history.fleets[run_id] = KnownFleet(seed=n)
            recording = writer.begin(
                title=f"run {n}", started_at_s=start_s, interval_s=STEP_S, run_id=run_id, labels={"commit": "abc"}
            )
            for i in range(24 if is_hot else 110):
                at_s = start_s + i * STEP_S
                tick = fleet.tick(at_s, [f"w{w}" for w in range(workers) if w != 3 or i < 40], missing=0.3)
                tick = replace(tick, tasks=tuple(golden_files.task(at_s + t) for t in range(3)))
                if i % 9 == 0:
                    tick = replace(tick, decisions=(golden_files.decision(at_s),), cloud=(golden_files.usage(at_s),))
                recording.append(tick, seal=not is_hot)
            if not is_hot:
                recording.finish(at_s)
                while writer.advance_sealing(1.0):
                    pass
    with Store.open(path) as store:
        for run_id in RUNS:
            history.workers[run_id] = list(store.read(run_id, columns=1).workers)
    _find_pages(history)
    return history


def _find_pages(history: KnownHistory) -> None:
    with PageFile(history.path) as pages:
        tables, _ = tables_of(pages)
        for tree in Forest(pages, tables).trees.values():
            for number in tree.pages:
                _find_rows(history, pages, tree.table.name, tree.table.row, number)


def _find_rows(
    history: KnownHistory, pages: PageFile, table: str, row_of: Callable[[Cell], dict[str, object] | None], number: int
) -> None:
    touched: set[int] = set()

    def read(page: int) -> bytes | None:
        touched.add(page)
        return pages.read(page)

    content = pages.read(number)
    assert content is not None
    for cell in cells(content, number, pages.usable_bytes, read):
        assert isinstance(cell, Cell)
        row = row_of(cell)
        assert row is not None
        on = {number, *touched}
        touched.clear()
        if table == "incarnation":
            history.names[RUNS[int(str(row["run"])) - 1]] |= on
        elif table in ("chunk", "block", "tick"):
            run = int(str(row["id"])) >> 40 if table == "tick" else int(str(row["run"]))
            block = row["number"] if table == "block" else row["block"]
            if table != "block" or run < len(RUNS):  # the row of a block whose ticks are there says nothing more
                history.pages[RUNS[run - 1], int(str(block))] |= on


def flipped(content: bytes, seeded: random.Random) -> tuple[bytes, set[int]]:
    """Return the content with one to four bytes of one page changed, and that page."""
    damaged = bytearray(content)
    at = seeded.randrange(len(content))
    page = at // PAGE_BYTES
    for place in {at, *(page * PAGE_BYTES + seeded.randrange(PAGE_BYTES) for _ in range(seeded.randrange(4)))}:
        damaged[place] ^= seeded.randrange(1, 256)
    return bytes(damaged), {page + 1}


def cut(content: bytes, seeded: random.Random) -> tuple[bytes, set[int]]:
    """Return the beginning of the content, and the pages that are not there whole any more."""
    length = seeded.randrange(len(content))
    return content[:length], set(range(length // PAGE_BYTES + 1, len(content) // PAGE_BYTES + 1))


def assert_nothing_but_the_truth(path: Path, history: KnownHistory, *, whole: Iterable[Place]) -> None:
    """Every number of the file is one that was written, and each of these blocks has all of its numbers."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for name, number in whole:
        wanted[name].add(number)
    with Store.open(path) as store:
        headers = store.runs()
        there = {header.id for header in headers}
        assert set(wanted) <= there
        for header in headers:
            run_id = header.id if header.id in RUNS else RUNS[int(header.id.removeprefix("recovered-")) - 1]
            run = store.read(header.id, columns=100_000, statistics=("max",))
            at_us = np.round(run.starts_at_s * 1e6).astype(np.int64).tolist()
            fleet = history.fleets[run_id]
            expected_ids = {worker.id for worker in history.workers[run_id]}
            ids = [worker.id for worker in run.workers]
            assert set(ids) <= expected_ids
            unknown = np.full(len(METRICS), np.nan, dtype=np.float32)
            truth = np.array([[fleet.samples.get((at, worker), unknown) for at in at_us] for worker in ids])
            truth = truth.reshape(len(ids), len(at_us), len(METRICS))
            found = np.stack([run.values(metric, "max") for metric in METRICS], axis=-1) if ids else truth
            is_there = ~np.isnan(found)
            np.testing.assert_array_equal(found[is_there], truth[is_there])
            if wanted[run_id]:
                assert set(ids) == expected_ids
                inside = np.array([at // BLOCK_US in wanted[run_id] for at in at_us])
                assert {at for at in history.ticks(run_id) if at // BLOCK_US in wanted[run_id]} <= set(at_us)
                np.testing.assert_array_equal(found[:, inside], truth[:, inside])
