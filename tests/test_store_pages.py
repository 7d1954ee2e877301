"""Every page of a new store is verified as it is read: damage costs what lies on the page, and never makes a number."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from drmviz.errors import StoreDamagedError, StoreError
from drmviz.model.decisions import ScalingDecision
from drmviz.model.metrics import METRICS, Metric
from drmviz.model.run import Run
from drmviz.model.tasks import Task
from drmviz.store import Store, Writer, back_up
from drmviz.store.pages import CONTENT_BYTES, RESERVED_BYTES, is_whole, trailer
from drmviz.store.schema import PAGE_BYTES
from tests.commands import Bench
from tests.fleets import START_S, KnownFleet, altered, written
from tests.golden_files import golden

STEP_S = 20.0
TICKS = 80  # three blocks: two are sealed, the last one is left hot
WORKERS = [f"w{i}" for i in range(40)]
WINDOW: dict[str, Any] = {"start_s": START_S, "end_s": START_S + TICKS * STEP_S, "columns": 10_000}

COARSE: dict[str, Any] = WINDOW | {"columns": 2, "statistics": ("min", "mean", "max")}


@dataclass(frozen=True)
class Recorded:
    """A closed history of which every number is known."""

    path: Path
    content: bytes
    values: dict[Metric, np.ndarray]  # of each metric, shape (workers, ticks)
    whole: Run
    coarse: Run
    """From rollups."""

    @property
    def pages(self) -> int:
        return len(self.content) // PAGE_BYTES

    def put(self, content: bytes, folder: Path) -> Path:
        path = folder / "copy.drmviz"
        path.write_bytes(content)
        return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    path = tmp_path_factory.mktemp("pages") / "h.drmviz"
    fleet = KnownFleet()
    with Writer.open(path) as writer:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=STEP_S)
        for n in range(TICKS):
            at_s = START_S + n * STEP_S
            tick = fleet.tick(at_s, WORKERS, missing=0)
            test = Task(name=f"t.py::test_{n}", worker="w1", outcome="passed", started_at_s=at_s, ended_at_s=at_s + 1)
            decision = ScalingDecision(action="scale_up", decided_at_s=at_s, count=n, reason=f"because {n}")
            recording.append(replace(tick, tasks=(test,), decisions=(decision,)))
            while writer.advance_sealing():
                pass
    with altered(path) as closed:  # finishing it would have sealed the last block too
        closed.execute("UPDATE run SET ended_us = ?", (round((START_S + TICKS * STEP_S) * 1e6),))
    with Store.open(path) as store:
        whole, coarse = store.read(**WINDOW), store.read(**COARSE)
    moments = [round((START_S + n * STEP_S) * 1e6) for n in range(TICKS)]
    table = np.array([[fleet.samples[at_us, worker] for at_us in moments] for worker in WORKERS])
    values = {metric: table[:, :, i] for i, metric in enumerate(METRICS)}
    return Recorded(path, path.read_bytes(), values, whole, coarse)


def assert_true_or_absent(run: Run, recorded: Recorded) -> bool:
    """Check every number; return whether all of them are there. What is missing must be told by a note."""
    is_all = True
    for metric, values in recorded.values.items():
        seen = run.values(metric)
        there = np.isfinite(seen)
        rows = [WORKERS.index(worker.id) for worker in run.workers]
        np.testing.assert_array_equal(seen[there], values[rows][there])
        is_all = is_all and bool(there.all()) and len(rows) == len(WORKERS)
    assert set(run.tasks) <= set(recorded.whole.tasks)
    assert set(run.decisions) <= set(recorded.whole.decisions)
    assert {worker.id for worker in run.workers} <= set(WORKERS)
    is_all = is_all and run.tasks == recorded.whole.tasks and run.decisions == recorded.whole.decisions
    is_all = is_all and run.measured_ticks == TICKS and run.workers == recorded.whole.workers
    assert is_all or any("page" in note for note in run.notes), run.notes
    return is_all


def read_damaged(recorded: Recorded, content: bytes, folder: Path) -> str:
    """Return what became of it: refused, partly read, or nothing that was read is damaged."""
    path = recorded.put(content, folder)
    try:
        with Store.open(path) as store:
            run, coarse = store.read(**WINDOW), store.read(**COARSE)
    except StoreDamagedError:
        return "refused"
    if not coarse.notes:
        for metric in METRICS:
            for statistic in COARSE["statistics"]:
                expected = recorded.coarse.values(metric, statistic)
                np.testing.assert_array_equal(coarse.values(metric, statistic), expected)
    assert run.header == recorded.whole.header
    return "untouched" if assert_true_or_absent(run, recorded) else "in part"


def test_a_new_store_has_a_checksum_on_every_page_and_is_plain_sqlite_all_the_same(recorded: Recorded) -> None:
    pages = [recorded.content[at : at + PAGE_BYTES] for at in range(0, len(recorded.content), PAGE_BYTES)]
    reader = sqlite3.connect(f"file:{recorded.path}?mode=ro", uri=True)
    integrity = reader.execute("PRAGMA integrity_check").fetchall()
    counted = reader.execute("SELECT count(*) FROM task").fetchone()
    reader.close()

    assert recorded.content[20] == RESERVED_BYTES
    assert len(pages) > 20
    assert all(is_whole(page, number) for number, page in enumerate(pages, 1))
    assert (integrity, counted) == ([("ok",)], (TICKS,))
    assert assert_true_or_absent(recorded.whole, recorded)
    assert recorded.whole.notes == ()


def test_a_page_is_whole_only_as_it_was_written_and_where_it_was_written() -> None:
    content = random.Random(1).randbytes(CONTENT_BYTES)
    page = content + trailer(content, 7)

    assert is_whole(page, 7)
    assert not is_whole(page, 8)
    assert not is_whole(page[:-1], 7)
    assert not is_whole(bytes(PAGE_BYTES), 7)
    for place in range(0, PAGE_BYTES, 61):
        assert not is_whole(page[:place] + bytes([page[place] ^ 1]) + page[place + 1 :], 7)


def damaged_at_random(recorded: Recorded, count: int, *, seed: int) -> Iterator[bytes]:
    """Yield the file with one bit flipped, cut short, or with a sector of 512 bytes that was never written."""
    seeded = random.Random(seed)
    for n in range(count):
        place = seeded.randrange(len(recorded.content))
        damaged = bytearray(recorded.content)
        if n % 4 == 0:
            del damaged[max(place, 512) :]
        elif n % 4 == 1:
            sector = place - place % 512
            damaged[sector : sector + 512] = bytes(512)
        else:
            damaged[place] ^= 1 << seeded.randrange(8)
        yield bytes(damaged)


def assert_never_wrong(recorded: Recorded, folder: Path, *, count: int, seed: int) -> dict[str, int]:
    became = {"refused": 0, "in part": 0, "untouched": 0}
    for content in damaged_at_random(recorded, count, seed=seed):
        became[read_damaged(recorded, content, folder)] += 1
    return became


def test_a_file_damaged_at_200_places_gives_true_numbers_or_none(recorded: Recorded, tmp_path: Path) -> None:
    became = assert_never_wrong(recorded, tmp_path, count=200, seed=3)

    assert became["in part"] > 50, "most of a history are chunks, and a damaged one costs itself only"
    assert became["refused"] > 50, "a file that was cut short is refused"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_file_damaged_at_2000_places_gives_true_numbers_or_none(recorded: Recorded, tmp_path: Path) -> None:
    assert_never_wrong(recorded, tmp_path, count=2000, seed=4)


def pages_of(path: Path, table: str) -> list[int]:
    """Return the pages of a table or an index, from 1."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    numbers = [int(number) for (number,) in connection.execute("SELECT pageno FROM dbstat WHERE name = ?", (table,))]
    connection.close()
    return numbers


def pages_of_samples(recorded: Recorded) -> list[int]:
    """Return on which pages the chunks of the raw tier end, from 1."""
    connection = apsw.Connection(str(recorded.path), flags=apsw.SQLITE_OPEN_READONLY)
    chunks = [blob for (blob,) in connection.execute("SELECT packed FROM chunk WHERE tier = 0 ORDER BY id")]
    connection.close()
    return [recorded.content.index(blob[-40:]) // PAGE_BYTES + 1 for blob in chunks]


def with_page(content: bytes, number: int, page: bytes) -> bytes:
    return content[: (number - 1) * PAGE_BYTES] + page + content[number * PAGE_BYTES :]


def flipped_page(content: bytes, number: int) -> bytes:
    page = bytearray(content[(number - 1) * PAGE_BYTES : number * PAGE_BYTES])
    page[4000] ^= 16
    return with_page(content, number, bytes(page))


def test_a_damaged_page_of_chunks_costs_those_and_names_the_block_and_the_page(
    recorded: Recorded, tmp_path: Path
) -> None:
    number = pages_of_samples(recorded)[-1]
    path = recorded.put(flipped_page(recorded.content, number), tmp_path)

    with Store.open(path) as store:
        run = store.read(**WINDOW)

    assert not assert_true_or_absent(run, recorded)
    missing = sum(np.isnan(run.values(metric)).any() for metric in METRICS)
    assert 1 <= missing <= 3, "the chunks of other metrics lie elsewhere"
    (note,) = run.notes
    assert f"is not complete: page {number} does not match its checksum" in note
    assert note.startswith("block ")


def test_a_damaged_page_of_hot_ticks_costs_the_ticks_on_it(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    fleet = KnownFleet()
    with Writer.open(path) as writer:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=1.0)
        for n in range(100):
            recording.append(fleet.tick(START_S + n, WORKERS, missing=0))
    number = pages_of(path, "tick")[10]
    path.write_bytes(flipped_page(path.read_bytes(), number))

    with Store.open(path) as store:
        run = store.read(columns=1000)

    is_missing = np.isnan(run.values("cpu_ratio")).all(axis=0)
    assert 90 < run.measured_ticks < 100
    assert is_missing.sum() == 100 - run.measured_ticks
    for at in np.flatnonzero(~is_missing):
        samples = [fleet.samples[round((START_S + int(at)) * 1e6), worker] for worker in WORKERS]
        for i, metric in enumerate(METRICS):
            rows = {worker.id: row for row, worker in enumerate(run.workers)}
            seen = [run.values(metric)[rows[worker], at] for worker in WORKERS]
            assert seen == [sample[i] for sample in samples]
    assert any(f"page {number} does not match" in note for note in run.notes)


def test_a_damaged_page_of_blocks_costs_the_blocks_on_it(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    fleet = KnownFleet()
    with Writer.open(path) as writer:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=60.0)
        for n in range(1500):
            recording.append(fleet.tick(START_S + n * 60, ["a"], missing=0), seal=False)
        while writer.advance_sealing():
            pass
        recording.finish(START_S + 90_000)
    content = path.read_bytes()
    pages = pages_of(path, "block")
    assert len(pages) >= 4, "a root and some leaves"
    for number in pages[1:]:
        path.write_bytes(flipped_page(content, number))

        with Store.open(path) as store:
            run = store.read(columns=10_000)

        values = run.values("cpu_ratio")[0]
        first = round((run.starts_at_s[0] - START_S) / 60)
        there = np.flatnonzero(np.isfinite(values))
        written = [fleet.samples[round((START_S + (first + int(n)) * 60) * 1e6), "a"][0] for n in there]
        np.testing.assert_array_equal(values[there], written)
        assert 500 < len(there) == run.measured_ticks < 1500
        assert any(f"are not complete: page {number} does not match" in note for note in run.notes)


@pytest.mark.parametrize(
    ("table", "missing"),
    [
        ("clock", "changes of the clock"),
        ("task", "tests"),
        ("task_by_end", "tests"),
        ("decision", "decisions"),
        ("note", "notes"),
    ],
)
def test_damaged_pages_of_events_leave_the_numbers_and_name_what_is_missing(
    recorded: Recorded, tmp_path: Path, table: str, missing: str
) -> None:
    path = recorded.put(flipped_page(recorded.content, pages_of(recorded.path, table)[-1]), tmp_path)

    with Store.open(path) as store:
        run = store.read(**WINDOW)

    assert_true_or_absent(run, recorded)
    assert run.measured_ticks == TICKS
    assert [note.split(":")[0] for note in run.notes] == [f"{missing} are left out"]


@pytest.mark.parametrize("table", ["sqlite_schema", "run", "incarnation"])
def test_damage_without_which_nothing_can_be_read_is_one_line_with_the_way_out(
    recorded: Recorded, tmp_path: Path, table: str
) -> None:
    number = pages_of(recorded.path, table)[0]
    path = recorded.put(flipped_page(recorded.content, number), tmp_path)

    with (
        pytest.raises(StoreDamagedError, match=f"it is damaged .page {number} does not match") as caught,
        Store.open(path) as store,
    ):
        store.read()

    assert "drmviz doctor --repair" in str(caught.value)


@pytest.mark.parametrize("place", [0, 15, 16, 17, 18, 20, 21, 28, 47, 60, 68, 71, CONTENT_BYTES, PAGE_BYTES - 1])
def test_a_damaged_header_is_damage_and_not_somebody_elses_file(recorded: Recorded, tmp_path: Path, place: int) -> None:
    damaged = bytearray(recorded.content)
    damaged[place] ^= 255
    path = recorded.put(bytes(damaged), tmp_path)

    for door in (Store.open, Writer.open):
        with pytest.raises(StoreDamagedError, match="it is damaged"):
            door(path)

    assert path.read_bytes() == damaged


def test_a_damaged_header_of_an_older_file_is_damage_too(tmp_path: Path) -> None:
    damaged = bytearray(golden(2).read_bytes())
    damaged[3] ^= 1
    path = tmp_path / "h.drmviz"
    path.write_bytes(damaged)

    with pytest.raises(StoreDamagedError, match="it is damaged"):
        Store.open(path)


def test_a_page_that_lies_in_the_place_of_another_is_found(recorded: Recorded, tmp_path: Path) -> None:
    one, other = pages_of_samples(recorded)[-2:]
    page = recorded.content[(one - 1) * PAGE_BYTES : one * PAGE_BYTES]

    assert read_damaged(recorded, with_page(recorded.content, other, page), tmp_path) == "in part"


def test_a_page_of_zeros_is_damage_where_something_belongs(recorded: Recorded, tmp_path: Path) -> None:
    last = pages_of_samples(recorded)[-1]
    path = recorded.put(with_page(recorded.content, last, bytes(PAGE_BYTES)), tmp_path)

    with Store.open(path) as store:
        run = store.read(**WINDOW)
        copy = back_up(path, tmp_path / "again.drmviz")
    with Store.open(copy) as store:
        again = store.read(**WINDOW)

    for read in (run, again):  # a copy must not lend it a checksum
        assert not assert_true_or_absent(read, recorded)
        assert any(f"page {last} does not match" in note for note in read.notes)


def test_a_damaged_page_is_not_copied_by_a_backup(recorded: Recorded, tmp_path: Path) -> None:
    path = recorded.put(flipped_page(recorded.content, recorded.pages - 1), tmp_path)

    with pytest.raises(StoreDamagedError, match=f"page {recorded.pages - 1} does not match"):
        back_up(path, tmp_path / "again.drmviz")

    assert not (tmp_path / "again.drmviz").exists()


def test_a_backup_larger_than_the_cache_is_checked_on_every_page(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    fleet = KnownFleet()
    written(path, [fleet.tick(START_S + n, [f"w{i}" for i in range(2000)]) for n in range(60)])

    copy = back_up(path, tmp_path / "copy.drmviz").read_bytes()

    assert len(copy) > 3_000_000
    for at in range(0, len(copy), PAGE_BYTES):
        page = copy[at : at + PAGE_BYTES]
        assert is_whole(page, at // PAGE_BYTES + 1) or not any(page)


def test_a_copy_beside_the_writer_takes_pages_that_were_never_written(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    with Writer.open(path) as writer:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=1.0)
        recording.append(KnownFleet().tick(START_S, WORKERS))
        with writer._connection:  # its pages are given back before they were ever written
            writer._connection.execute("CREATE TABLE passing (x)")
            writer._connection.execute("INSERT INTO passing VALUES (zeroblob(100000))")
            writer._connection.execute("DROP TABLE passing")
        copy = back_up(path, tmp_path / "copy.drmviz")

    with Store.open(copy) as store:
        assert store.read().measured_ticks == 1


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_file_has_no_checksums_and_keeps_that(tmp_path: Path, version: int) -> None:
    path = Path(shutil.copy(golden(version), tmp_path / "h.drmviz"))
    with Writer.open(path) as writer:
        recording = writer.begin(title="more", started_at_s=START_S + 9000, interval_s=1.0)
        recording.append(KnownFleet().tick(START_S + 9000, WORKERS))
    copy = back_up(path, tmp_path / "copy.drmviz")

    for file in (path, copy):
        assert file.read_bytes()[20] == 0
        with Store.open(file) as store:
            assert store.read().measured_ticks == 1
        plain = sqlite3.connect(file)
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        plain.close()


class _Counting(apsw.VFS):
    """A file system of somebody else, which is the default for a while."""

    def __init__(self) -> None:
        super().__init__("counting", "", makedefault=True)
        self.opened: list[int] = []

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        self.opened.append(flags[0])
        return apsw.VFSFile("unix", name, flags)


def test_the_checks_lie_over_whatever_file_system_is_the_default(recorded: Recorded, tmp_path: Path) -> None:
    path = recorded.put(flipped_page(recorded.content, 1), tmp_path)
    for _ in range(2):  # under the same name, another one
        below = _Counting()
        try:
            with pytest.raises(StoreDamagedError):
                Store.open(path)
            written(tmp_path / f"{id(below)}.drmviz", [KnownFleet().tick(START_S, ["a"])])
            with Store.open(recorded.path):
                assert apsw.vfs_names()[0] == "counting"
                assert not [name for name in apsw.vfs_names() if "drmviz" in name]
        finally:
            below.unregister()
        assert any(flags & apsw.SQLITE_OPEN_MAIN_DB for flags in below.opened)
        assert any(flags & apsw.SQLITE_OPEN_WAL for flags in below.opened)


def test_what_another_program_wrote_is_not_trusted_and_says_so(recorded: Recorded, tmp_path: Path) -> None:
    path = recorded.put(recorded.content, tmp_path)
    with sqlite3.connect(path) as theirs:
        theirs.execute("UPDATE run SET title = 'mine'")
    theirs.close()

    with pytest.raises(StoreDamagedError, match="another program wrote into the file"), Store.open(path) as store:
        store.read()


def test_what_we_change_is_trusted(recorded: Recorded, tmp_path: Path) -> None:
    path = recorded.put(recorded.content, tmp_path)
    with altered(path) as ours:
        ours.execute("UPDATE run SET title = 'mine'")

    with Store.open(path) as store:
        assert store.read().header.title == "mine"


@pytest.mark.parametrize("table", ["run", "incarnation", "sqlite_schema", None])
def test_the_commands_name_the_damage_in_one_line(bench: Bench, recorded: Recorded, table: str | None) -> None:
    """`table` None: the file was cut short."""
    content = recorded.content[: len(recorded.content) // 2]
    if table is not None:
        content = flipped_page(recorded.content, pages_of(recorded.path, table)[-1])
    path = recorded.put(content, bench.folder)

    for command in ("runs", "report", "doctor", "draw"):
        done = bench.drmviz(command, path.name)
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        assert done.returncode == 1, (command, said)
        assert "it is damaged" in said


def test_a_writer_refuses_a_file_whose_tables_cannot_be_read(recorded: Recorded, tmp_path: Path) -> None:
    path = recorded.put(flipped_page(recorded.content, pages_of(recorded.path, "block")[0]), tmp_path)

    with pytest.raises(StoreError, match="it is damaged"):
        Writer.open(path)

    assert not path.with_name(path.name + ".lock").exists()
