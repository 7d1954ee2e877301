"""What earlier versions wrote is read with every number, as it lies and after the next writer brought it up to date."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import numpy as np
import pytest

from drmviz.errors import StoreError
from drmviz.store import Store, Writer
from drmviz.store.pages import connect
from drmviz.store.schema import SCHEMA_VERSION
from tests import golden_files
from tests.golden_files import INTERVAL_S, START_S, TICKS, golden

VERSIONS = range(1, SCHEMA_VERSION + 1)


def version_of(path: Path) -> int:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    version: int = connection.execute("PRAGMA user_version").get
    connection.close()
    return version


def copied(version: int, folder: Path) -> Path:
    return Path(shutil.copy(golden(version), folder / "h.drmviz"))


def assert_golden(path: Path, *, has_cloud: bool) -> None:
    with Store.open(path) as store:
        header = next(header for header in store.runs() if header.id == golden_files.RUN_ID)
        run = store.read(header.id, columns=10_000, statistics=("max",))
    assert (header.title, header.host, header.labels, header.facts["exit_code"]) == (
        "pytest -n 2", "host-1", {"commit": "abc"}, 0,
    )  # fmt: skip
    assert (header.started_at_s, header.ended_at_s) == (START_S, START_S + TICKS * INTERVAL_S)
    assert run.measured_ticks == TICKS
    assert run.width_s == INTERVAL_S
    there = [golden_files.cpu_of_gw1(n) if golden_files.is_gw1_there(n) else None for n in range(TICKS)]
    expected = np.array([[golden_files.cpu_of_gw0(n) for n in range(TICKS)], there], dtype=np.float32)
    np.testing.assert_array_equal(run.values("cpu_ratio", "max"), expected)
    assert [[life.ordinal for life in worker.incarnations] for worker in run.workers] == [[1], [1, 2]]
    assert {worker.capacity.cpu_millicores for worker in run.workers} == {1000}
    assert run.decisions == (golden_files.decision(START_S + 60 * INTERVAL_S),)
    assert run.tasks == tuple(golden_files.task(START_S + n * INTERVAL_S) for n in range(10, TICKS, 20))
    assert run.cloud == ((golden_files.usage(START_S),) if has_cloud else ())
    assert run.notes == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_each_version_is_kept_and_read_as_it_is(version: int) -> None:
    path = golden(version)
    before = path.read_bytes()

    assert version_of(path) == version
    assert_golden(path, has_cloud=version >= 2)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", VERSIONS)
def test_the_next_writer_brings_a_file_up_to_date_and_changes_no_number(version: int, tmp_path: Path) -> None:
    path = copied(version, tmp_path)

    with Writer.open(path) as writer:
        recording = writer.begin(title="more", started_at_s=START_S, interval_s=INTERVAL_S)
        tick = next(golden_files.ticks())
        recording.append(tick)
        recording.finish(START_S + INTERVAL_S)

    assert version_of(path) == SCHEMA_VERSION
    assert_golden(path, has_cloud=version >= 2)
    with Store.open(path) as store:
        assert [header.title for header in store.runs()] == ["pytest -n 2", "more"]
        assert store.read().cloud == (golden_files.usage(START_S),)  # what version 1 could not keep yet


def test_a_newer_file_is_refused_by_readers_and_writers_and_left_alone(tmp_path: Path) -> None:
    path = copied(SCHEMA_VERSION, tmp_path)
    connection = connect(str(path))
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()

    for way in (Store.open, Writer.open):
        with pytest.raises(StoreError, match="written by a newer drmviz"):
            way(path)

    assert path.read_bytes() == before
