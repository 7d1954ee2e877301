"""What the disk refuses costs no acknowledged tick, wherever it strikes, and writing resumes by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drmviz.errors import StoreError
from drmviz.model.metrics import METRICS
from drmviz.store import Store, Writer
from tests.fleets import START_S, KnownFleet

STEP_S = 20.0  # thirty ticks to a block


def assert_exact(path: Path, fleet: KnownFleet, ticks: int) -> None:
    with Store.open(path) as store:
        run = store.read(columns=10_000, statistics=("max",))
    assert run.measured_ticks == ticks
    ids = [worker.id for worker in run.workers]
    for metric in METRICS:
        expected = fleet.expected(metric, "max", workers=ids, starts_at_s=run.starts_at_s, width_s=run.width_s)
        np.testing.assert_array_equal(run.values(metric, "max"), expected.astype(np.float32))


@pytest.mark.parametrize("refused", range(1, 40))
def test_a_failure_at_any_statement_of_sealing_loses_nothing_and_is_made_up_for(tmp_path: Path, refused: int) -> None:
    path = tmp_path / "h.drmviz"
    fleet = KnownFleet()
    writer = Writer.open(path)
    recording = writer.begin(title="t", started_at_s=START_S, interval_s=STEP_S)
    for n in range(40):
        recording.append(fleet.tick(START_S + n * STEP_S, ["a", "b"] if n < 10 else ["b", "c"]), seal=False)

    seen = 0

    def refuse(cursor: object, statement: str, bindings: object) -> bool:
        nonlocal seen
        seen += 1
        return seen != refused  # False makes the engine abort this one statement

    writer._connection.exec_trace = refuse
    while writer.advance_sealing(0.0005) and writer.problem is None:
        pass
    problem = writer.problem
    writer._connection.exec_trace = None
    recording.append(fleet.tick(START_S + 40 * STEP_S, ["c"]), seal=False)
    assert_exact(path, fleet, 41)
    while writer.advance_sealing():
        pass
    assert_exact(path, fleet, 41)
    recording.finish(START_S + 41 * STEP_S)
    writer.close()

    assert problem is None if seen < refused else "cannot be packed" in str(problem)
    assert writer.problem is None
    assert_exact(path, fleet, 41)


def test_a_full_disk_refuses_ticks_in_words_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    fleet = KnownFleet()
    writer = Writer.open(path)
    recording = writer.begin(title="t", started_at_s=START_S, interval_s=STEP_S)
    workers = [f"w{i}" for i in range(1500)]
    written = refused = 0
    for n in range(90):
        if n in (5, 50):  # the engine answers SQLITE_FULL from here on; packing old ticks may make some room
            pages = writer._connection.execute("PRAGMA page_count").get
            writer._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
        if n in (13, 70):
            writer._connection.execute("PRAGMA max_page_count = 1000000")
        at_s = START_S + n * STEP_S
        tick = fleet.tick(at_s, workers)
        try:
            assert recording.append(tick) == written
            written += 1
        except StoreError as error:
            refused += "a tick could not be written" in str(error)
            for worker in workers:
                del fleet.samples[round(at_s * 1e6), worker]
    recording.finish(START_S + 90 * STEP_S)
    writer.close()

    assert refused > 5
    assert_exact(path, fleet, written)
