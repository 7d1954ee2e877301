"""Each tier is kept as long and as large as it may be, and what is left reads as before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import apsw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drmviz.model.metrics import STATISTICS
from drmviz.store import Retention, Store, Writer
from drmviz.store.connections import rows_of
from drmviz.store.pages import connect
from drmviz.store.retention import forget
from drmviz.store.schema import BYTES_OF, TIERS_US, tiers_in
from tests.commands import Bench
from tests.fleets import START_S, KnownFleet, altered, written
from tests.test_store_windows import assert_exact

DAY_S = 86_400.0
BLOCK_S = 600.0


@pytest.fixture(scope="module")
def recorded_long(tmp_path_factory: pytest.TempPathFactory) -> tuple[KnownFleet, Path, float]:
    """Four hundred and ten days of two workers, half a minute twelve times as seldom the older it is, one recording."""
    fleet = KnownFleet(seed=4)
    path = tmp_path_factory.mktemp("long") / "h.drmviz"
    ages_s = np.unique(np.r_[np.arange(0, 3, 0.25), np.arange(3, 10, 1), np.arange(10, 410.5, 5)]) * DAY_S
    end_s = START_S + 410 * DAY_S
    with Writer.open(path) as writer:
        recording = writer.begin(title="long", started_at_s=end_s - ages_s[-1], interval_s=1)
        for age_s in ages_s[::-1]:
            for second in range(30):
                recording.append(fleet.tick(end_s - age_s + second, ["a", "b"]), seal=second == 29)
        recording.finish(end_s + 30)
        for later_s in (90, 151):  # what was begun at a tick is ended first
            while writer.advance_forgetting(end_s + later_s):
                pass
    return fleet, path, end_s


def blocks_of(path: Path) -> list[tuple[int, tuple[int, ...]]]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = [(number, tiers_in(mask)) for number, mask in rows_of(connection, "SELECT number, tiers FROM block")]
    kept = {(block, tier) for block, tier in rows_of(connection, "SELECT DISTINCT block, tier FROM chunk")}
    sizes = rows_of(connection, f"SELECT number, {', '.join(BYTES_OF)} FROM block")
    assert kept == {(block, tier) for block, tiers in found for tier in tiers}, "marks and chunks say the same"
    assert kept == {(row[0], tier) for row in sizes for tier in range(4) if row[1 + tier] is not None}
    assert connection.execute("SELECT count(*) FROM block WHERE (times IS NULL) != NOT (tiers & 1)").get == 0
    connection.close()
    return found


def test_each_tier_reaches_as_far_back_as_it_should_and_everything_left_is_exact(
    recorded_long: tuple[KnownFleet, Path, float],
) -> None:
    fleet, path, end_s = recorded_long
    limits_s = (2 * DAY_S, 7 * DAY_S, 30 * DAY_S, 400 * DAY_S)

    for block, tiers in blocks_of(path):
        age_s = end_s + 30 - (block + 1) * BLOCK_S
        assert tiers == tuple(tier for tier in range(4) if age_s < limits_s[tier]), age_s / DAY_S
    with Store.open(path) as store:
        for start_s, columns, width_s in (
            (end_s - 390 * DAY_S, 2000, 600),
            (end_s - 29 * DAY_S, 60_000, 60),
            (end_s - 6 * DAY_S, 60_000, 10),
            (end_s - 100, 600, 1),
        ):
            run = store.read(start_s=start_s, end_s=end_s + 30, columns=columns, statistics=STATISTICS)
            assert run.width_s % width_s == 0
            assert_exact(run, fleet, "cpu_ratio")
            assert_exact(run, fleet, "tasks_running")
        assert store.read().starts_at_s[0] >= end_s - 401 * DAY_S


def small(path: Path, *, blocks: int = 6) -> KnownFleet:
    fleet = KnownFleet(seed=9)
    ticks = [fleet.tick(START_S + block * BLOCK_S + s, ["a", "b"]) for block in range(blocks) for s in range(0, 300, 2)]
    written(path, ticks, interval_s=2)
    return fleet


def test_a_tier_that_is_too_large_loses_its_oldest_blocks_and_no_other_tier_does(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    fleet = small(path)
    with altered(path) as connection:
        raw = connection.execute("SELECT sum(raw_bytes) FROM block").get
    usual = Retention()

    with Writer.open(path, retention=Retention(bytes=(raw // 2, *usual.bytes[1:]))) as writer:
        while writer.advance_forgetting(START_S + 6 * BLOCK_S):
            pass

    kept = [0 in tiers for _, tiers in sorted(blocks_of(path))]
    assert kept == sorted(kept), "the oldest went"
    assert 1 <= sum(kept) <= 4
    assert all(tiers[-3:] == (1, 2, 3) for _, tiers in blocks_of(path))
    with Store.open(path) as store:
        assert_exact(store.read(columns=1000, statistics=STATISTICS), fleet, "cpu_ratio")


def test_no_limit_takes_the_newest_block(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    small(path)

    with Writer.open(path, retention=Retention(bytes=(1, 1, 1, 1))) as writer:
        while writer.advance_forgetting(START_S + 6 * BLOCK_S):
            pass

    ((_, tiers),) = blocks_of(path)
    assert tiers == (0, 1, 2, 3)


@settings(max_examples=15, deadline=None)
@given(steps=st.integers(0, 30), kept_s=st.integers(0, 3000))
def test_forgetting_that_is_cut_off_anywhere_leaves_an_exact_history_and_is_finished_later(
    steps: int, kept_s: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "h.drmviz"
    if not _CUT_FROM:
        whole = tmp_path_factory.mktemp("whole") / "h.drmviz"
        _CUT_FROM.append((small(whole), whole))
    ((fleet, whole),) = _CUT_FROM
    shutil.copy(whole, path)
    retention = Retention(ages_s=(kept_s / 2, kept_s, kept_s + 700, kept_s + 1400))
    now_s = START_S + 6 * BLOCK_S
    connection = connect(str(path))
    going = forget(connection, now_s, retention)
    for _ in range(steps):
        if next(going, steps) is steps:
            break
    connection.close()

    with Store.open(path) as store:
        assert_exact(store.read(columns=1000, statistics=STATISTICS), fleet, "cpu_ratio")
    with Writer.open(path, retention=retention) as writer:
        while writer.advance_forgetting(now_s):
            pass
    for block, tiers in blocks_of(path):
        age_s = now_s - (block + 1) * BLOCK_S
        assert tiers == tuple(t for t in range(4) if age_s < retention.ages_s[t])


_CUT_FROM: list[tuple[KnownFleet, Path]] = []


def test_what_was_packed_without_rollups_stays_for_as_long_as_they_would(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    shutil.copy(Path(__file__).parent / "golden" / "version-2.drmviz", path)
    with Store.open(path) as store:
        before = store.read_all(columns=1000, statistics=STATISTICS)

    with Writer.open(path) as writer:
        while writer.advance_forgetting(before.end_s + 399 * DAY_S):
            pass
    with Store.open(path) as store:
        after = store.read_all(columns=1000, statistics=STATISTICS)
    with Writer.open(path) as writer:
        while writer.advance_forgetting(before.end_s + 402 * DAY_S):
            pass

    np.testing.assert_array_equal(after.values("cpu_ratio"), before.values("cpu_ratio"))
    assert blocks_of(path) == []


def test_a_clock_that_is_decades_ahead_costs_no_history(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    small(path)
    fleet = KnownFleet()
    in_2098_s = 4_040_000_000.0

    with Writer.open(path) as writer:
        recording = writer.begin(title="set wrong", started_at_s=in_2098_s, interval_s=1)
        for second in range(3):
            recording.append(fleet.tick(in_2098_s + second, ["a"]))
        while writer.advance_forgetting(in_2098_s + 100):
            pass
        recording.finish(in_2098_s + 3)

    assert len(blocks_of(path)) == 7


def test_a_limit_of_days_caps_every_tier() -> None:
    assert Retention().capped(3 * DAY_S).ages_s == (2 * DAY_S, 3 * DAY_S, 3 * DAY_S, 3 * DAY_S)
    assert Retention().capped(0.5 * DAY_S).ages_s == (0.5 * DAY_S,) * 4
    assert len(TIERS_US) == len(Retention().bytes)


def test_the_reach_of_each_tier_is_told(recorded_long: tuple[KnownFleet, Path, float], tmp_path: Path) -> None:
    _, path, end_s = recorded_long
    with Store.open(path) as store:
        reach = {each.tier: each for each in store.read(columns=1, tiers=True).tiers}

    assert list(reach) == ["raw", "10 s", "1 min", "10 min"]
    assert [each.bucket_s for each in reach.values()] == [0, 10, 60, 600]
    days = [(end_s - each.first_s) / DAY_S for each in reach.values()]
    assert days == pytest.approx([2, 7, 30, 400], abs=0.01), "blocks that are not over for that long are whole"
    assert all(each.end_s == pytest.approx(end_s + 29, abs=0.1) for each in reach.values())
    assert all(each.bytes > 0 for each in reach.values())


def test_what_is_not_packed_yet_is_within_the_reach_of_raw_ticks(tmp_path: Path) -> None:
    fleet = KnownFleet()
    with Writer.open(tmp_path / "h.drmviz") as writer:
        recording = writer.begin(title="r", started_at_s=START_S, interval_s=1)
        for second in range(5):
            recording.append(fleet.tick(START_S + second, ["a"]))
        with Store.open(tmp_path / "h.drmviz") as store:
            (raw,) = store.read(recording.header.id, tiers=True).tiers

    assert (raw.tier, raw.first_s, raw.bytes) == ("raw", START_S, 5 * (16 + 8 * 4))


def test_the_commands_and_the_report_tell_what_is_kept(bench: Bench) -> None:
    path = bench.folder / "h.drmviz"
    fleet = KnownFleet()
    with Writer.open(path, retention=Retention(ages_s=(1200, 2400, 5000, 9000))) as writer:
        recording = writer.begin(title="long", started_at_s=START_S, interval_s=10)
        for i in range(1000):
            recording.append(fleet.tick(START_S + 10 * i, ["a"]), seal=i % 10 == 9)
        while writer.advance_sealing():
            pass
        while writer.advance_forgetting(START_S + 10_100):
            pass
        recording.finish(START_S + 10_000)
    kept = (
        "every tick from 2026-09-21 16:20 UTC, every 1 min from 2026-09-21 15:40 UTC,"
        " every 10 min from 2026-09-21 14:30 UTC"
    )

    runs = bench.drmviz("runs", path.name)
    said = bench.drmviz("runs", path.name, "--json")
    doctor = bench.drmviz("doctor", path.name)
    bench.drmviz("report", path.name, "-o", "r.html")

    (run,) = json.loads(said.stdout)["runs"]
    assert [(tier["tier"], tier["bucket_s"]) for tier in run["tiers"]] == [("raw", 0), ("1 min", 60), ("10 min", 600)]
    assert all(tier["bytes"] > 0 for tier in run["tiers"])
    assert run["tiers"][0]["first_at"] == "2026-09-21T16:20:00.000Z", "as long as 10 s would be"
    assert kept in doctor.stdout
    assert kept in (bench.folder / "r.html").read_text()
    assert "kept" in runs.stdout.splitlines()[2]
