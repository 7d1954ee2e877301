"""Looking at a few workers, or again: less is read and made, and every number stays what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drmviz.errors import InvalidValueError
from drmviz.model.metrics import METRICS, STATISTICS, BoolArray, IntArray
from drmviz.model.resources import WorkerCapacity
from drmviz.model.roster import RosterTracker
from drmviz.model.run import Run
from drmviz.model.samples import Reading, Tick
from drmviz.model.workers import Incarnation, RosterEntry
from drmviz.store import Store, Stores, Writer
from drmviz.store.grids import Columns, Grid, Weighed, alive_grid
from drmviz.store.records import changes_of, incarnations, rows_shown
from drmviz.store.schema import NEVER, PAGE_BYTES
from tests.fleets import START_S, KnownFleet, written

WORKERS = [f"w{i}" for i in range(100)]  # more than share a chunk


def comings_and_goings(fleet: KnownFleet, *, seconds: int = 700) -> Iterator[Tick]:
    """Yield ticks of a fleet of which each tenth worker is away for a while and comes back as another process."""
    for second in range(seconds):
        there = [worker for i, worker in enumerate(WORKERS) if i % 10 or not 200 <= second < 400]
        yield fleet.tick(START_S + second, there, incarnation=second // 400)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("again") / "h.drmviz"
    written(path, list(comings_and_goings(KnownFleet())))
    return path


def assert_same_rows(few: Run, all_: Run, workers: list[str]) -> None:
    rows = [[worker.id for worker in all_.workers].index(id_) for id_ in workers]
    assert few.workers == tuple(all_.workers[row] for row in rows)
    np.testing.assert_array_equal(few.alive, all_.alive[rows])
    for metric in METRICS:
        for statistic in STATISTICS:
            seen, known = few.values(metric, statistic), all_.values(metric, statistic)[rows]
            np.testing.assert_array_equal(seen.view(np.uint32), known.view(np.uint32))
        np.testing.assert_array_equal(few.means[metric], all_.means[metric][rows])


@pytest.mark.parametrize("columns", [10, 700])  # from rollups, from samples
@pytest.mark.parametrize("workers", [["w7"], ["w70", "w0", "w99"], WORKERS[::-1]])
def test_a_few_workers_are_the_rows_that_they_are_among_all(path: Path, columns: int, workers: list[str]) -> None:
    with Store.open(path) as store:
        all_ = store.read(columns=columns, statistics=STATISTICS)
        few = store.read(columns=columns, statistics=STATISTICS, workers=workers)

    assert len(few.workers[-1].incarnations) == 2
    assert_same_rows(few, all_, workers)
    assert {change.worker for change in few.changes} == set(workers)


def test_with_an_offset_a_few_workers_are_the_rows_that_they_are_among_all(path: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.drmviz"
    Writer.open(empty).close()  # with it the workers are called NAME/ID
    with Stores.open([path, empty], offsets={str(path): 30.0}) as stores:
        all_ = stores.read(statistics=STATISTICS)
        few = stores.read(statistics=STATISTICS, workers=["h/w20", "h/w3"])

    assert few.workers[0].incarnations[0].joined_at_s == START_S + 30
    assert_same_rows(few, all_, ["h/w20", "h/w3"])


def test_only_the_lives_of_those_who_are_asked_for_are_made(path: Path) -> None:
    with Store.open(path) as store:
        lives = incarnations(store._connection, 1, 0, NEVER, ["w3", "w20"])

    assert [(life.id, life.ordinal) for life in lives] == [("w3", 1), ("w20", 1), ("w3", 2), ("w20", 2)]


@pytest.mark.parametrize("unknown", ["w100", "\udcff", 3])
def test_a_worker_that_never_lived_is_named_beside_some_that_did(path: Path, unknown: str) -> None:
    with (
        Store.open(path) as store,
        pytest.raises(InvalidValueError, match=r"did not live in this window; there were w0, w1, w2, w3, w4") as error,
    ):
        store.read(workers=["w5", unknown])

    assert error.value.value == unknown


def test_of_who_lives_on_the_same_reader_sees_the_new_capacity_and_the_end(tmp_path: Path) -> None:
    tracker = RosterTracker()
    path = tmp_path / "h.drmviz"

    def tick(second: int, *entries: RosterEntry) -> Tick:
        values = np.full((len(METRICS), len(entries)), 0.5, dtype=np.float32)
        at_s = START_S + second
        return tracker.observe([Reading(taken_at_s=at_s, entries=entries, values=values)], at_s=at_s, wall_s=at_s)

    small = RosterEntry(id="a", capacity=WorkerCapacity(cpu_millicores=1000))
    large, other = replace(small, capacity=WorkerCapacity(cpu_millicores=4000)), RosterEntry(id="b")
    seen: list[Incarnation] = []
    with Writer.open(path) as writer, Store.open(path) as store:
        recording = writer.begin(title="t", started_at_s=START_S, interval_s=1.0)
        for second, entries in enumerate([(small, other), (large, other), (other,)]):
            recording.append(tick(second, *entries))
            run = store.read(workers=["a"])
            seen.append(run.workers[0].latest)

    assert [life.capacity.cpu_millicores for life in seen] == [1000, 4000, 4000]
    assert [life.left_at_s for life in seen] == [None, None, START_S + 2]
    assert run.alive.tolist() == [[True, True, False]]


def with_every_page_of_chunks_flipped(path: Path, first: int) -> None:
    content = bytearray(path.read_bytes())
    for page in range(first, len(content) // PAGE_BYTES):
        content[page * PAGE_BYTES + 100] ^= 1
    with path.open("r+b") as file:
        file.write(content)


def test_pages_that_were_verified_are_kept_and_not_read_again(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.drmviz"
    copy.write_bytes(path.read_bytes())
    with Store.open(copy) as store:
        before = store.read(columns=700)
        with_every_page_of_chunks_flipped(copy, 1)

        again = store.read(columns=700)
    with Store.open(copy) as store, pytest.raises(Exception, match="does not match its checksum"):
        store.read(columns=700)

    assert before.notes == again.notes == ()
    for metric in METRICS:
        np.testing.assert_array_equal(again.values(metric), before.values(metric))


def kept_bytes(stores: Stores) -> list[int]:
    return [-1024 * int(each.connection.execute("PRAGMA cache_size").get) for each in stores._readings]


def test_files_that_are_read_as_one_share_what_is_kept_of_their_pages(path: Path, tmp_path: Path) -> None:
    paths = [path]
    for number in range(7):
        paths.append(tmp_path / f"{number}.drmviz")
        paths[-1].write_bytes(path.read_bytes())

    with Stores.open(paths[:1]) as one, Stores.open(paths) as eight:
        kept = kept_bytes(one), kept_bytes(eight)

    assert kept == ([32 << 20], [4 << 20] * 8)


def test_a_mean_is_the_quotient_in_double_precision_rounded_bit_by_bit() -> None:
    seeded = np.random.default_rng(1)
    columns = Columns(first_us=0, width_us=7, count=50)
    values = seeded.random((40, 350)).astype(np.float32)
    values[seeded.random(values.shape) < 0.7] = np.nan
    grid = Grid("mean", 40, columns)

    grid.add(np.arange(40), np.arange(350) // 7, values, Weighed.of(values, None))
    means = grid.finished()

    groups = values.reshape(40, 50, 7)
    counts = np.isfinite(groups).sum(axis=2)
    sums = np.zeros((40, 50), dtype=np.float32)
    for tick in range(7):
        sums += np.nan_to_num(groups[:, :, tick])
    expected = np.full((40, 50), np.nan, dtype=np.float32)
    np.divide(sums.astype(np.float64), counts, out=expected, where=counts > 0, casting="same_kind")
    assert 0 < (counts == 0).sum() < 400
    np.testing.assert_array_equal(means.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("count", [(1 << 24) - 1, (1 << 24) + 1])
def test_of_more_samples_than_single_precision_can_count_the_mean_is_right_too(count: int) -> None:
    grid = Grid("mean", 1, Columns(first_us=0, width_us=1, count=1))
    values = np.array([[1.0]], dtype=np.float32)

    grid.add(np.zeros(1, dtype=np.intp), np.zeros(1, dtype=np.int64), values, Weighed.of(values, count))

    assert grid.finished()[0, 0] == np.float32(np.float64(np.float32(count)) / count)


def brute_force_alive(rows: IntArray, joined: IntArray, left: IntArray, height: int, columns: Columns) -> BoolArray:
    alive = np.zeros((height, columns.count), dtype=np.bool_)
    for row, joins, leaves in zip(rows, joined, left, strict=True):
        for column in range(columns.count):
            start = columns.first_us + column * columns.width_us
            alive[row, column] |= joins < start + columns.width_us and (leaves > start or joins >= start)
    return alive


def test_who_lived_throughout_and_who_did_not_are_both_alive_where_they_were() -> None:
    seeded = np.random.default_rng(2)
    columns = Columns(first_us=1000, width_us=10, count=20)
    for _ in range(300):
        many = int(seeded.integers(0, 12))
        rows = seeded.integers(0, 4, many)
        joined = seeded.integers(950, 1230, many)
        left = joined + seeded.integers(1, 300, many)
        left[seeded.random(many) < 0.3] = NEVER
        joined[seeded.random(many) < 0.3] = 0

        alive = alive_grid(rows, joined, left, height=4, columns=columns)

        np.testing.assert_array_equal(alive, brute_force_alive(rows, joined, left, 4, columns))


def test_changes_are_those_inside_the_window_with_both_of_its_ends_in_their_order() -> None:
    def life(number: int, id_: str, joined_s: float, left_s: float | None) -> Incarnation:
        entry = RosterEntry(id=id_)
        return Incarnation(number=number, ordinal=1, entry=entry, joined_at_s=joined_s, left_at_s=left_s)

    lives = [life(0, "a", 1, 10), life(1, "b", 10, 20), life(2, "c", 20, 20), life(3, "d", 21, None)]

    changes = changes_of(rows_shown(lives, None, None), 10_000_000, 20_000_000)

    assert [(change.at_s, change.worker, change.change) for change in changes] == [
        (10, "a", "left"),
        (10, "b", "joined"),
        (20, "b", "left"),
        (20, "c", "joined"),
        (20, "c", "left"),
    ]


def test_rows_stand_in_natural_order() -> None:
    lives = [
        Incarnation(number=i, ordinal=1, entry=RosterEntry(id=id_), joined_at_s=0.0)
        for i, id_ in enumerate(["gw10", "gw9", "a", "gw010"])
    ]

    assert [worker.id for worker in rows_shown(lives, None, None)] == ["a", "gw9", "gw010", "gw10"]
