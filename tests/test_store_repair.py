"""Whatever happened to a file: what is whole of it is brought back, and never a number that was not written."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import apsw
import numpy as np
import pytest

from drmviz.errors import OutputError, StoreBusyError, StoreError
from drmviz.store import Store, Writer
from drmviz.store.chunks import checked
from drmviz.store.frames import unframed
from drmviz.store.repairing import examine, repair
from drmviz.store.repairing.cells import TABLE_INTERIOR, TABLE_LEAF, Cell, cells
from drmviz.store.repairing.page_file import PageFile
from drmviz.store.repairing.repair import opened_beside_its_writer
from drmviz.store.repairing.tables import tables_of
from drmviz.store.repairing.taking import take_whole_rows
from drmviz.store.repairing.trees import Forest
from drmviz.store.schema import PAGE_BYTES, SCHEMA_VERSION, sequence_of
from tests import golden_files
from tests.damaged import RUNS, KnownHistory, assert_nothing_but_the_truth, cut, flipped, known_history
from tests.fleets import START_S, KnownFleet, altered
from tests.golden_files import golden
from tests.test_store_crashes import assert_all_there
from tests.test_store_crashes import writer as writing_process
from tests.test_store_versions import assert_golden, copied


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> KnownHistory:
    return known_history(tmp_path_factory.mktemp("repair") / "h.drmviz")


def assert_repaired(history: KnownHistory, content: bytes, hit: set[int], folder: Path, *, again: bool = True) -> bool:
    """Damage, repair and compare; return whether a new file was written."""
    damaged, to = folder / "damaged.drmviz", folder / "new.drmviz"
    damaged.write_bytes(content)
    to.unlink(missing_ok=True)
    whole = {(run, number) for (run, number), pages in history.pages.items() if not (pages | history.names[run]) & hit}
    try:
        _, account = repair(damaged, to)
    except StoreError:
        assert not to.exists()
        assert not whole
        return False
    assert_nothing_but_the_truth(to, history, whole=whole)
    ids = account.run_ids
    said = {(ids[block.run], block.number) for block in account.blocks.values() if block.is_whole}
    touched = {place for place, pages in history.pages.items() if pages & hit}
    assert not said & touched
    assert not account.is_whole or not hit & set().union(*history.pages.values())
    if again:
        found = examine(to)
        assert found.is_whole, found
    assert damaged.read_bytes() == content
    return True


def tried(history: KnownHistory, folder: Path, *, times: int, seed: int) -> None:
    content = history.path.read_bytes()
    seeded = random.Random(seed)
    written = 0
    for n in range(times):
        damaged, hit = (cut if n % 2 else flipped)(content, seeded)
        try:
            written += assert_repaired(history, damaged, hit, folder, again=n % 10 < 3)
        except Exception as error:
            raise AssertionError(f"round {n}: pages {sorted(hit)[:5]} of {len(content) // 8192}") from error
    assert written > 0.9 * times


def test_a_file_hit_at_a_hundred_places_gives_back_every_block_that_is_whole(
    history: KnownHistory, tmp_path: Path
) -> None:
    tried(history, tmp_path, times=100, seed=100)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_file_hit_at_two_thousand_places_gives_back_every_block_that_is_whole(
    history: KnownHistory, tmp_path: Path
) -> None:
    tried(history, tmp_path, times=2000, seed=2000)


def pages_of(history: KnownHistory, path: Path, *numbers: int) -> None:
    """Write the history with one byte of each of these pages changed."""
    content = bytearray(history.path.read_bytes())
    for number in numbers:
        content[number * PAGE_BYTES - 1000] ^= 0x55
    path.write_bytes(content)


def test_without_its_first_page_a_file_gives_back_everything(history: KnownHistory, tmp_path: Path) -> None:
    pages_of(history, tmp_path / "h.drmviz", 1)
    with pytest.raises(StoreError):
        Store.open(tmp_path / "h.drmviz")

    to, account = repair(tmp_path / "h.drmviz")

    assert to == tmp_path / "h.repaired.drmviz"
    assert (account.version, account.whole_blocks, len(account.blocks)) == (None, 12, 12)
    assert_nothing_but_the_truth(to, history, whole=history.blocks())
    with Store.open(to) as store:
        assert [(header.title, header.labels) for header in store.runs()] == [
            (f"run {n}", {"commit": "abc"}) for n in range(3)
        ]
        run = store.read(RUNS[0])
    assert (len(run.tasks), len(run.decisions), len(run.cloud)) == (330, 13, 13)


def test_a_run_without_its_header_keeps_its_id_and_its_numbers(history: KnownHistory, tmp_path: Path) -> None:
    pages_of(history, tmp_path / "h.drmviz", 3)  # the table of runs; their ids stand in page 4 too

    to, account = repair(tmp_path / "h.drmviz")

    assert account.lost_headers == {1, 2, 3}
    assert_nothing_but_the_truth(to, history, whole=history.blocks())
    with Store.open(to) as store:
        headers = store.runs()
        notes = store.read(RUNS[0]).notes
    assert [header.id for header in headers] == list(RUNS)
    assert {header.title for header in headers} == {"(its header is lost)"}
    assert headers[0].started_at_s == START_S
    assert any("the header of this run was damaged" in note for note in notes)


def test_without_both_places_that_name_the_runs_their_numbers_are_there(history: KnownHistory, tmp_path: Path) -> None:
    pages_of(history, tmp_path / "h.drmviz", 3, 4)

    to, _ = repair(tmp_path / "h.drmviz")

    with Store.open(to) as store:
        assert [header.id for header in store.runs()] == ["recovered-1", "recovered-2", "recovered-3"]
    assert_nothing_but_the_truth(to, history, whole=())


@pytest.mark.parametrize(
    ("lost", "whole_blocks"),
    [((10,), 12), ((2, 10), 12), ((1, 10), 12), ((1, 2, 10), 12), ((11,), 12), ((8,), 12), ((1, 2, 8), 11)],
)
def test_pages_that_only_lead_to_others_cost_nothing(
    history: KnownHistory, tmp_path: Path, lost: tuple[int, ...], whole_blocks: int
) -> None:
    # Of the last one nobody can tell any more whether ticks came behind those that are there.
    # 1: header and schema; 2: what each page is; 8, 10: the roots of ticks and chunks; 11: the index of chunks.
    pages_of(history, tmp_path / "h.drmviz", *lost)

    to, account = repair(tmp_path / "h.drmviz")

    assert_nothing_but_the_truth(to, history, whole=history.blocks())
    assert account.whole_blocks == whole_blocks
    assert not account.is_whole


def test_a_tree_that_bites_its_own_tail_is_left(history: KnownHistory, tmp_path: Path) -> None:
    content = bytearray(golden(2).read_bytes())
    root = 10 * PAGE_BYTES - PAGE_BYTES
    assert content[root] == TABLE_LEAF
    content[root : root + 12] = bytes([TABLE_INTERIOR, 0, 0, 0, 0, 0, 0, 0]) + (10).to_bytes(4, "big")
    (tmp_path / "h.drmviz").write_bytes(content)

    _, account = repair(tmp_path / "h.drmviz")

    assert account.rows["chunk"].pages == {10}


def test_a_lost_block_is_named_in_the_new_file_and_by_the_account(history: KnownHistory, tmp_path: Path) -> None:
    place = (RUNS[0], sorted(number for run, number in history.pages if run == RUNS[0])[2])
    (page,) = sorted(history.pages[place] - set().union(*(p for k, p in history.pages.items() if k != place)))[:1]
    pages_of(history, tmp_path / "h.drmviz", page)

    to, account = repair(tmp_path / "h.drmviz")

    (loss,) = account.losses()
    assert (loss.run_id, loss.start_s // 600, loss.pages) == (*place, (page,))
    assert loss.lost_pieces >= 1
    with Store.open(to) as store:
        (note,) = store.read(RUNS[0]).notes
    assert f"from {loss.start_s:.0f} (epoch) were damaged" in note


def test_ticks_lost_in_the_middle_of_a_block_shift_no_other_when_a_writer_packs_them(tmp_path: Path) -> None:
    path, fleet = tmp_path / "h.drmviz", KnownFleet()
    early = [f"w{i}" for i in range(128)]  # two full chunks: who joins later has one of its own
    with Writer.open(path) as writer:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=10.0)
        for n in range(24):  # four kilobytes each, in one block; somebody joins behind those that will be lost
            recording.append(fleet.tick(START_S + n * 10, early if n < 18 else [*early, "late"]), seal=False)
    with PageFile(path) as pages:
        ticks = Forest(pages, tables_of(pages)[0]).trees["tick"].pages
    content = bytearray(path.read_bytes())
    content[ticks[len(ticks) // 2] * PAGE_BYTES - 1000] ^= 1
    path.write_bytes(content)

    to, account = repair(path)
    (block,) = account.blocks.values()
    with Writer.open(to) as writer:
        while writer.advance_sealing(1.0):
            pass

    assert block.missing_ticks == block.lost_pieces > 0
    with Store.open(to) as store:
        run = store.read(columns=1000, statistics=("max",))
    assert run.measured_ticks == 24 - block.missing_ticks
    assert [worker.id for worker in run.workers][-1] == "w127"
    late = run.values("cpu_ratio", "max")[[worker.id for worker in run.workers].index("late")]
    cpu = [fleet.samples.get((round(at_s * 1e6), "late"), [float("nan")])[0] for at_s in run.starts_at_s]
    np.testing.assert_array_equal(late, np.array(cpu, dtype=np.float32))


@pytest.mark.parametrize("ticks", [12, 200])  # a checkpoint comes after sixty
def test_a_log_that_was_left_behind_is_taken_and_left_as_it_is(tmp_path: Path, ticks: int) -> None:
    path, acknowledged = tmp_path / "h.drmviz", 0
    process = writing_process(path, 100_000)
    assert process.stdout is not None
    for line in process.stdout:
        acknowledged = int(line) + 1
        if acknowledged == ticks:
            process.kill()
    process.stdout.close()
    process.wait()
    log = path.with_name("h.drmviz-wal")
    path.with_name("h.drmviz-shm").unlink()
    path.with_name("h.drmviz.lock").unlink()
    before = (path.read_bytes(), log.read_bytes())

    to, account = repair(path)

    assert account.log_commits > 0
    assert account.is_whole
    assert_all_there(to, acknowledged)
    assert (path.read_bytes(), log.read_bytes()) == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["h.drmviz", "h.drmviz-wal", "h.repaired.drmviz"]
    damaged = bytearray(before[1])
    damaged[len(damaged) // 2] ^= 1
    log.write_bytes(damaged)

    _, account = repair(path, tmp_path / "second.drmviz")

    assert account.log_loss is not None
    assert not account.is_whole
    with Store.open(tmp_path / "second.drmviz") as store:
        assert 0 < store.read().measured_ticks < acknowledged


def test_a_store_is_examined_while_a_process_writes_it_and_refused_to_be_repaired(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    process = writing_process(path, 1_000_000)
    assert process.stdout is not None
    try:
        seen = []
        for _ in range(8):
            at_least = [int(process.stdout.readline()) for _ in range(60)][-1] + 1
            account = examine(path)
            assert account.is_whole, account
            assert sum(block.ticks for block in account.blocks.values()) >= at_least
            seen.append(at_least)
        with pytest.raises(StoreBusyError, match=f"process {process.pid} is writing it. Copy it .* `drmviz backup`"):
            repair(path)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
    assert not list(tmp_path.glob("*repaired*"))


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_a_file_of_each_version_gives_back_every_number(version: int, tmp_path: Path) -> None:
    path = copied(version, tmp_path)

    to, account = repair(path)

    assert account.is_whole
    assert account.version == version
    assert_golden(to, has_cloud=version >= 2)
    assert examine(to).has_checksums


def assert_every_blob_is_what_was_written(path: Path) -> None:
    with altered(path) as connection:
        for first_tick, packed in connection.execute("SELECT first_tick, packed FROM chunk"):
            checked(packed, first_tick=first_tick)
        for first_sequence, times in connection.execute("SELECT first_sequence, times FROM block WHERE sealed"):
            unframed(times, sequence=first_sequence)
        for row_id, samples in connection.execute("SELECT id, samples FROM tick"):
            unframed(samples, sequence=sequence_of(row_id))


def test_without_checksums_damage_never_stops_a_repair(tmp_path: Path) -> None:
    content = golden(2).read_bytes()
    seeded = random.Random(3)
    damaged = [(cut if n % 2 else flipped)(content, seeded)[0] for n in range(60)]
    damaged += [content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :] for at in range(100)]  # the header
    repaired = 0
    for n, of in enumerate(damaged):
        (tmp_path / "h.drmviz").write_bytes(of)
        to = tmp_path / f"{n}.drmviz"
        try:
            repair(tmp_path / "h.drmviz", to)
        except StoreError:
            continue
        repaired += 1
        with Store.open(to) as store:
            for header in store.runs():
                store.read(header.id)
        assert_every_blob_is_what_was_written(to)
        assert examine(to).is_whole
    assert repaired > 140


def test_without_checksums_of_pages_no_blob_is_taken_that_was_hit(
    history: KnownHistory, unchecked: bytes, tmp_path: Path
) -> None:
    path, seeded = tmp_path / "h.drmviz", random.Random(5)
    for n in range(20):
        damaged = bytearray(unchecked)
        for _ in range(5):
            damaged[seeded.randrange(20 * PAGE_BYTES, len(damaged))] ^= seeded.randrange(1, 256)
        path.write_bytes(damaged)

        to, _ = repair(path, tmp_path / f"{n}.drmviz")

        assert_every_blob_is_what_was_written(to)
        assert examine(to).is_whole


def test_without_checksums_of_pages_no_sample_is_taken_that_differs_from_what_was_written(tmp_path: Path) -> None:
    path, seeded, gaps = tmp_path / "h.drmviz", random.Random(4), 0
    content = golden(2).read_bytes()
    path.write_bytes(content)
    with PageFile(path) as pages:
        trees = Forest(pages, tables_of(pages)[0]).trees
        hit = [number for name in ("chunk", "block") for number in trees[name].pages]
    for n in range(60):
        damaged = bytearray(content)
        damaged[seeded.choice(hit) * PAGE_BYTES - seeded.randrange(1, PAGE_BYTES // 2)] ^= seeded.randrange(1, 256)
        path.write_bytes(damaged)

        to, _ = repair(path, tmp_path / f"{n}.drmviz")

        with Store.open(to) as store:
            run = store.read(columns=10_000, statistics=("max",))
        at = np.round((run.starts_at_s - golden_files.START_S) / golden_files.INTERVAL_S).astype(int).tolist()
        cpu = dict(zip((worker.id for worker in run.workers), run.values("cpu_ratio", "max"), strict=True))
        for worker, known in (("gw0", golden_files.cpu_of_gw0), ("gw1", golden_files.cpu_of_gw1)):
            for tick, value in zip(at, cpu[worker].tolist(), strict=True):
                assert value != value or value == known(tick)
        gaps += run.measured_ticks < golden_files.TICKS or bool(run.notes)
    assert gaps > 10


def test_what_is_written_and_moved_while_a_store_is_read_changes_nothing_of_what_is_read(tmp_path: Path) -> None:
    path, fleet = tmp_path / "h.drmviz", KnownFleet()
    workers = [f"w{i}" for i in range(40)]
    with Writer.open(path) as writer:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=10.0)
        for n in range(80):  # of the second block many lie in the file itself, and all of it is packed later
            recording.append(fleet.tick(START_S + n * 10, workers))

        with opened_beside_its_writer(path) as pages:
            for n in range(80, 400):  # packs, deletes, begins the log anew
                recording.append(fleet.tick(START_S + n * 10, workers))
                writer.checkpoint()
            account = take_whole_rows(pages, lambda _table, _row: None)

        assert account.is_whole
        assert sum(block.ticks for block in account.blocks.values()) == 80


def test_samples_of_workers_whose_names_are_lost_are_kept_counted_and_not_shown(
    history: KnownHistory, tmp_path: Path
) -> None:
    pages_of(history, tmp_path / "h.drmviz", *history.names[RUNS[0]])

    to, account = repair(tmp_path / "h.drmviz")

    assert account.strangers == {1: 24, 2: 24}
    assert_nothing_but_the_truth(to, history, whole=())
    with Store.open(to) as store:
        run = store.read(RUNS[0])
    assert run.workers == ()
    assert "the names of 24 workers were damaged: what they did is here and is not shown" in run.notes
    with altered(to) as connection:
        assert connection.execute("SELECT count(*) FROM tick").get == 0  # of whom their samples are, nobody can say
        assert connection.execute("SELECT count(*) FROM chunk").get == account.rows["chunk"].whole > 50


@pytest.fixture(scope="module")
def unchecked(history: KnownHistory, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The same history in a file whose pages carry no checksums."""
    path = tmp_path_factory.mktemp("unchecked") / "h.drmviz"
    shutil.copy(history.path, path)
    connection = apsw.Connection(str(path))
    connection.reserve_bytes(reserve=0)
    connection.execute("VACUUM")
    connection.close()
    with PageFile(path) as pages:
        assert not pages.has_checksums
    return path.read_bytes()


def test_a_number_that_leads_to_a_page_of_another_table_costs_neither_table(
    history: KnownHistory, unchecked: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "h.drmviz"
    path.write_bytes(unchecked)
    with PageFile(path) as pages:
        trees = Forest(pages, tables_of(pages)[0]).trees
    chunks, tasks = trees["chunk"], trees["task"]
    root = (chunks.table.root - 1) * PAGE_BYTES
    first = root + int.from_bytes(unchecked[root + 12 : root + 14], "big")
    assert int.from_bytes(unchecked[first : first + 4], "big") == chunks.pages[0]
    path.write_bytes(unchecked[:first] + tasks.pages[1].to_bytes(4, "big") + unchecked[first + 4 :])

    to, account = repair(path)

    assert_nothing_but_the_truth(to, history, whole=history.blocks())
    assert (account.rows["task"].whole, account.rows["task"].refused) == (3 * (110 + 110 + 24), 0)


def test_a_long_row_whose_pages_lead_in_a_circle_is_left() -> None:
    usable_bytes = 512
    local = 432  # of 100,000 bytes this much stands in the page itself
    row = b"\x86\x8d\x20\x01" + bytes(local) + (7).to_bytes(4, "big")
    page = bytearray(usable_bytes)
    page[0], page[4], page[8:10] = TABLE_LEAF, 1, (60).to_bytes(2, "big")
    page[60 : 60 + len(row)] = row
    asked: list[int] = []

    def read(number: int) -> bytes:
        asked.append(number)
        return (15 - number).to_bytes(4, "big") + bytes(usable_bytes - 4)  # 7 leads to 8 and 8 to 7

    (cell,) = cells(bytes(page), 5, usable_bytes, read)

    assert isinstance(cell, Cell)
    assert (cell.broken_at, asked) == (7, [7, 8, 7])


def test_a_row_that_makes_no_sense_costs_itself(history: KnownHistory, unchecked: bytes, tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    assert unchecked.count(b'{"commit": "abc"}') == 3
    path.write_bytes(unchecked.replace(b'{"commit": "abc"}', b'["commit": "abc"}', 1))

    to, account = repair(path)

    assert account.rows["run"].refused == 1
    assert len(account.lost_headers) == 1
    assert_nothing_but_the_truth(to, history, whole=history.blocks())
    with Store.open(to) as store:
        assert sorted(header.labels.get("commit", "") for header in store.runs()) == ["", "abc", "abc"]


def test_a_block_whose_samples_were_forgotten_keeps_its_rollups(history: KnownHistory, tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    shutil.copy(history.path, path)
    with altered(path) as connection:
        connection.execute("DELETE FROM chunk WHERE run = 1 AND tier = 0")
        connection.execute("UPDATE block SET tiers = tiers & ~1, times = NULL WHERE run = 1")
    with Store.open(path) as store:
        expected = store.read(RUNS[0], columns=10)

    to, account = repair(path)

    assert account.is_whole
    assert account.whole_blocks == 12
    with Store.open(to) as store:
        run = store.read(RUNS[0], columns=10)
    assert run.measured_ticks == expected.measured_ticks == 110
    assert not np.isnan(expected.values("cpu_ratio", "mean")).all()
    np.testing.assert_array_equal(run.values("cpu_ratio", "mean"), expected.values("cpu_ratio", "mean"))


def test_nothing_is_written_over(history: KnownHistory, tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    shutil.copy(history.path, path)
    (tmp_path / "h.repaired.drmviz").write_text("mine")

    with pytest.raises(OutputError, match="something is there already"):
        repair(path)

    assert (tmp_path / "h.repaired.drmviz").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"a text", bytes(30_000), b"SQLite format 3\0" + bytes(10_000)])
def test_what_is_no_store_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "h.drmviz"
    path.write_bytes(content)

    for asked in (repair, examine):
        with pytest.raises(StoreError, match="it is not a drmviz store"):
            asked(path)

    assert [entry.name for entry in tmp_path.iterdir()] == ["h.drmviz"]


def test_another_program_s_file_is_refused(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "h.db"))
    connection.execute("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    connection.close()

    with pytest.raises(StoreError, match="another program's SQLite file"):
        repair(tmp_path / "h.db")
