"""A window read from a rollup is the one that its samples would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drmviz.model.metrics import METRICS, STATISTICS
from drmviz.model.run import Run
from drmviz.store import Store
from drmviz.store.chunks import COUNT, VALUE, Chunk, checked, decode, encode, members_of
from drmviz.store.connections import rows_of
from drmviz.store.pages import connect
from drmviz.store.rollups import Rollup
from drmviz.store.schema import TIERS_US
from drmviz.store.sealing import tiers_for
from tests.fleets import START_S, KnownFleet, written
from tests.test_store_windows import assert_exact


@pytest.fixture(scope="module")
def fleet_and_path(tmp_path_factory: pytest.TempPathFactory) -> tuple[KnownFleet, Path]:
    """Seventy minutes of three workers, one of them replaced, with a stretch that was missed; all of it sealed."""
    fleet = KnownFleet(seed=11)
    path = tmp_path_factory.mktemp("tiers") / "h.drmviz"
    seconds = [second for second in range(0, 4200) if not 1000 <= second < 1045 and not 1800 <= second < 2450]
    written(
        path,
        [
            fleet.tick(START_S + s, ["a", "b", "c"] if s < 2705 else ["b", "c", "d"], incarnation=s // 3000)
            for s in seconds
        ],
    )
    return fleet, path


def without_tiers(path: Path, copy: Path, tiers: set[int]) -> Path:
    """Copy a file and take some tiers out of every block, as retention does."""
    copy.write_bytes(path.read_bytes())
    connection = connect(str(copy))
    for tier in tiers:
        connection.execute("DELETE FROM chunk WHERE tier = ?", (tier,))
        connection.execute("UPDATE block SET tiers = tiers & ~?", (1 << tier,))
    if 0 in tiers:
        connection.execute("UPDATE block SET times = NULL")
    connection.close()
    return copy


def read(path: Path, columns: int, *, start_s: float | None = None) -> Run:
    with Store.open(path) as store:
        return store.read(columns=columns, statistics=STATISTICS, start_s=start_s)


@pytest.mark.parametrize(
    ("columns", "gone", "bucket_s"),
    [
        (4200, set(), 1),
        (211, set(), 1),
        (210, {0}, 10),
        (100, {0}, 10),
        (36, {0, 1, 3}, 60),
        (35, {0, 1, 3}, 60),
        (3, {0, 1, 2}, 600),
        (4200, {0}, 10),
        (4200, {0, 1}, 60),
        (4200, {0, 1, 2}, 600),
        (35, {1, 2, 3}, 1),
        (3, {2, 3}, 1),
    ],
)
def test_whatever_tiers_are_left_a_window_is_exact_on_whole_buckets(
    fleet_and_path: tuple[KnownFleet, Path], tmp_path: Path, columns: int, gone: set[int], bucket_s: int
) -> None:
    fleet, path = fleet_and_path
    run = read(without_tiers(path, tmp_path / "h.drmviz", gone), columns)

    assert run.columns <= columns
    assert run.width_s % bucket_s == 0
    assert run.starts_at_s[0] % bucket_s == 0
    for metric in METRICS:
        assert_exact(run, fleet, metric)
    everything = read(path, columns)
    assert run.measured_ticks == everything.measured_ticks == len({at_us for at_us, _ in fleet.samples})
    assert [w.id for w in run.workers] == ["a", "b", "c", "d"]


def test_means_over_the_window_weigh_every_sample_whatever_the_tier(
    fleet_and_path: tuple[KnownFleet, Path], tmp_path: Path
) -> None:
    fleet, path = fleet_and_path
    expected = [
        np.mean(
            [v[METRICS.index("cpu_ratio")] for (_, w), v in fleet.samples.items() if w == worker and not np.isnan(v[0])]
        )
        for worker in "abcd"
    ]
    for gone in (set(), {0}, {0, 1}, {0, 1, 2}):
        run = read(without_tiers(path, tmp_path / "h.drmviz", gone), 4200)
        np.testing.assert_allclose(run.mean_of("cpu_ratio"), expected, rtol=1e-6)


def test_a_window_over_blocks_of_different_tiers_has_the_columns_of_the_coarsest(
    fleet_and_path: tuple[KnownFleet, Path], tmp_path: Path
) -> None:
    fleet, path = fleet_and_path
    copy = tmp_path / "h.drmviz"
    copy.write_bytes(path.read_bytes())
    connection = connect(str(copy))
    oldest = connection.execute("SELECT min(number) FROM block").get
    connection.execute("DELETE FROM chunk WHERE block = ? AND tier < 2", (oldest,))
    connection.execute("UPDATE block SET tiers = 12, times = NULL WHERE number = ?", (oldest,))
    connection.close()

    run = read(copy, 4200)
    later = read(copy, 4200, start_s=START_S + 3000)

    assert run.width_s == 60
    assert later.width_s == 1
    for metric in METRICS:
        assert_exact(run, fleet, metric)
        assert_exact(later, fleet, metric)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_churning_fleet_reads_the_same_from_any_tiers(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    fleet = KnownFleet(seed=data.draw(st.integers(0, 1000)))
    interval_s = data.draw(st.sampled_from([0.5, 1.0, 3.0, 5.0]))
    tick, ticks = 0, []
    for _ in range(data.draw(st.integers(1, 8))):
        tick += data.draw(st.integers(0, 300))
        workers = data.draw(st.lists(st.sampled_from([f"w{i}" for i in range(6)]), unique=True, max_size=6))
        life = data.draw(st.integers(0, 2))
        for _ in range(data.draw(st.integers(1, 60))):
            ticks.append(fleet.tick(START_S + 0.25 + tick * interval_s, workers, incarnation=life))
            tick += 1
    written(folder / "h.drmviz", ticks, interval_s=interval_s)
    gone = data.draw(st.sampled_from([set(), {0}, {0, 1}, {0, 1, 2}, {1}, {2, 3}, {0, 2}]))

    run = read(without_tiers(folder / "h.drmviz", folder / "copy.drmviz", gone), data.draw(st.integers(1, 60)))

    for metric in METRICS:
        assert_exact(run, fleet, metric)


def test_a_tier_that_says_no_less_than_the_ticks_is_not_kept() -> None:
    assert tiers_for(1_000_000) == (1, 2, 3)
    assert tiers_for(5_000_000) == (1, 2, 3)
    assert tiers_for(5_000_001) == (2, 3)
    assert tiers_for(600_000_000) == ()
    assert tiers_for(0) == (1, 2, 3)


@settings(deadline=None)
@given(
    members=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=70),
    ticks=st.integers(1, 5),
    samples=st.integers(0, 2**16 - 1),
)
def test_a_chunk_comes_back_as_it_was(members: list[int], ticks: int, samples: int) -> None:
    values = np.arange(len(members) * ticks, dtype=np.float32).reshape(len(members), ticks)
    chunk = Chunk(
        metric=3, statistic=COUNT, tier=2, members=np.array(members), first_tick=2**33, values=values, samples=samples
    )
    payload = checked(encode(chunk), first_tick=2**33)
    back = decode(payload, first_tick=2**33)

    assert members_of(payload).tolist() == back.members.tolist() == members
    np.testing.assert_array_equal(back.values, values)
    assert (back.metric, back.statistic, back.tier, back.samples) == (3, COUNT, 2, samples)
    some = decode(payload, first_tick=2**33, only=np.array([len(members) - 1, 0]))
    assert some.members.tolist() == [members[-1], members[0]]
    np.testing.assert_array_equal(some.values, values[[-1, 0]])


def test_a_damaged_count_takes_its_means_with_it_and_is_told(
    fleet_and_path: tuple[KnownFleet, Path], tmp_path: Path
) -> None:
    copy = without_tiers(fleet_and_path[1], tmp_path / "h.drmviz", {0})
    connection = connect(str(copy))
    ((row, blob),) = rows_of(
        connection, "SELECT id, packed FROM chunk WHERE statistic = ? AND tier = 1 LIMIT 1", (COUNT,)
    )
    connection.execute("UPDATE chunk SET packed = ? WHERE id = ?", (blob[:-1] + bytes([blob[-1] ^ 1]), row))
    connection.close()

    run = read(copy, 420)

    assert "2 pieces of this window are damaged and left out" in run.notes
    whole = read(fleet_and_path[1], 420)
    for metric in METRICS:
        kept = np.isfinite(run.values(metric))
        np.testing.assert_allclose(run.values(metric)[kept], whole.values(metric)[kept], atol=1e-6)


def test_sealing_costs_no_chunk_of_what_was_never_measured(tmp_path: Path) -> None:
    path = tmp_path / "h.drmviz"
    fleet = KnownFleet()
    ticks = [fleet.tick(START_S + s, ["a"], missing=0.0) for s in range(60)]
    for tick in ticks:
        tick.values[1:] = np.nan
    written(path, ticks)
    connection = connect(str(path))

    kept = connection.execute("SELECT DISTINCT metric, tier FROM chunk ORDER BY 2").fetchall()
    counts = connection.execute("SELECT count(*) FROM chunk WHERE statistic = ?", (COUNT,)).get
    connection.close()

    assert kept == [(0, tier) for tier in range(len(TIERS_US))]
    assert counts == 0, "every bucket of the minute is full"
    assert VALUE == 0


def test_rollups_of_rollups_are_those_of_the_samples() -> None:
    random = np.random.default_rng(3)
    values = random.random((2, 5, 400)).astype(np.float32)
    values[random.random(values.shape) < 0.2] = np.nan
    at_us = np.sort(random.choice(4_000_000_000, 400, replace=False)) + 1_700_000_000_000_000

    direct = Rollup.of(values, at_us, 600_000_000)
    by_steps = Rollup.of(values, at_us, 10_000_000).coarser(60_000_000).coarser(600_000_000)

    assert direct.first_bucket == by_steps.first_bucket
    for one, other in zip(direct.arrays, by_steps.arrays, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
