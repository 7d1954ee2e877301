"""A backup is one whole file of one moment, taken beside the writer, and writes over nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from drmviz.errors import OutputError, StoreDamagedError, StoreError
from drmviz.store import Store, Writer, back_up
from tests.commands import Bench
from tests.fleets import START_S, KnownFleet, written
from tests.test_store_crashes import writer as writing_process

WORKERS = ["a", "b"]


def ticks_of(path: Path) -> int:
    with Store.open(path) as store:
        return store.read(columns=100_000).measured_ticks


def test_a_copy_shows_the_moment_it_was_taken_while_the_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    fleet = KnownFleet()
    with Writer.open(path) as writer:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=20.0)
        for n in range(70):
            recording.append(fleet.tick(START_S + n * 20, WORKERS))
        copy = back_up(path, tmp_path / "copies" / "copy.drmviz")
        recording.append(fleet.tick(START_S + 70 * 20, WORKERS))

        assert ticks_of(path) == 71
    assert os.listdir(copy.parent) == ["copy.drmviz"]
    with Store.open(copy) as store:
        run = store.read(columns=10_000, statistics=("max",))
    assert run.measured_ticks == 70
    expected = fleet.expected("cpu_ratio", "max", workers=WORKERS, starts_at_s=run.starts_at_s, width_s=run.width_s)
    np.testing.assert_array_equal(run.values("cpu_ratio", "max"), expected.astype(np.float32))


def test_copies_taken_beside_a_process_that_writes_at_full_speed_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    process = writing_process(path, 1_000_000)
    assert process.stdout is not None
    try:
        copies = []
        for n in range(5):
            acknowledged = [int(process.stdout.readline()) for _ in range(40)][-1] + 1
            copies.append((acknowledged, back_up(path, tmp_path / f"{n}.drmviz")))
    finally:
        process.kill()
        process.stdout.close()
        process.wait()

    for at_least, copy in copies:
        with Store.open(copy) as store:
            run = store.read(columns=1_000_000, metrics=["cpu_ratio"], statistics=("max",))
        assert run.measured_ticks >= at_least
        expected = (np.arange(run.measured_ticks) % 97 / 97).astype(np.float32)
        np.testing.assert_array_equal(run.values("cpu_ratio", "max")[0], expected)


def test_a_copy_is_a_store_that_a_writer_takes_up(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    written(path, [KnownFleet().tick(START_S, WORKERS)])
    copy = back_up(path, tmp_path / "copy.drmviz")

    with Writer.open(copy) as writer:
        writer.begin(title="more", started_at_s=START_S + 60, interval_s=1.0).finish(START_S + 61)

    with Store.open(copy) as store:
        assert [header.title for header in store.runs()] == ["a run", "more"]


@pytest.mark.parametrize("kind", ["file", "dangling link", "the store itself"])
def test_nothing_is_written_over(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "h.drmviz"
    written(path, [KnownFleet().tick(START_S, WORKERS)])
    before = path.read_bytes()
    target = tmp_path / "there"
    if kind == "file":
        target.write_text("mine")
    elif kind == "dangling link":
        target.symlink_to(tmp_path / "nowhere")
    else:
        target = path

    with pytest.raises(OutputError, match="something is there already"):
        back_up(path, target)

    assert path.read_bytes() == before
    assert kind != "file" or target.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    fleet = KnownFleet()
    written(path, [fleet.tick(START_S + n, [f"w{i}" for i in range(300)]) for n in range(50)])
    content = bytearray(path.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    (tmp_path / "to").mkdir()

    with pytest.raises((StoreDamagedError, StoreError, OutputError)):
        back_up(path, tmp_path / "to")

    assert not list((tmp_path / "to").iterdir())


def test_the_command_prints_where_the_copy_lies_and_takes_a_folder(bench: Bench) -> None:
    written(bench.folder / "h.drmviz", [KnownFleet().tick(START_S, WORKERS)])
    (bench.folder / "kept").mkdir()

    first = bench.drmviz("backup", "h.drmviz", "kept")
    again = bench.drmviz("backup", "h.drmviz", "kept")

    assert (first.returncode, first.stdout) == (0, "kept/h.drmviz\n")
    assert again.returncode == 1
    assert "something is there already" in again.stderr
    assert ticks_of(bench.folder / "kept" / "h.drmviz") == 1
