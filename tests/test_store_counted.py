"""Numbers kept as counts of a fraction come back bit by bit, and chunks fill the pages they lie in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from drmviz.model.metrics import STATISTICS, FloatArray
from drmviz.store import Store
from drmviz.store.chunks import MEAN, MINIMUM, Chunk, checked, encode, values_of
from drmviz.store.connections import open_for_writing, rows_of
from drmviz.store.counted import counts_of, per_one
from drmviz.store.frames import DamagedFrameError, framed
from drmviz.store.shelving import ChunkRow, Shelf
from tests.fleets import START_S, KnownFleet, written

COUNTED, SHUFFLED = 4, 2


def packed(values: FloatArray, *, per_one: int, statistic: int = MINIMUM, samples: int = 0) -> memoryview:
    chunk = Chunk(
        metric=0, statistic=statistic, tier=1, members=np.arange(len(values)), first_tick=7, values=values,
        samples=samples, per_one=per_one,
    )  # fmt: skip
    return checked(encode(chunk), first_tick=7)


def bits(values: FloatArray) -> list[list[int]]:
    return values.view(np.uint32).tolist()  # type: ignore[no-any-return]


@settings(deadline=None)
@given(
    fraction=st.sampled_from([1, 3, 4, 100, 8192, 6144, 1_000_003]),
    counts=arrays.arrays(
        np.int64, st.tuples(st.integers(1, 9), st.integers(1, 30)), elements=st.integers(-1, (1 << 24) - 3)
    ),
)
def test_counts_come_back_bit_by_bit_those_unknown_too(
    fraction: int, counts: np.ndarray[tuple[int, int], np.dtype[np.int64]]
) -> None:
    values = np.where(counts < 0, np.float32(np.nan), counts.astype(np.float32) / np.float32(fraction))
    payload = packed(values, per_one=fraction)

    assert payload[0] == COUNTED
    assert bits(values_of([payload])) == bits(values)
    assert bits(values_of([payload, payload], only=np.array([0]))) == bits(np.hstack([values[:1], values[:1]]))


@settings(deadline=None)
@given(
    values=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 30)),
        elements=st.one_of(
            st.sampled_from([0.0, -0.0, -0.25, np.nan, np.inf, 0.25, 1e-38, 2.0**24, 2.0**22]),
            st.floats(width=32, allow_nan=False),
        ),
    ),
    fraction=st.sampled_from([0, 4, 100, 1 << 24, 1 << 40]),
    statistic=st.sampled_from([MINIMUM, MEAN]),
)
def test_numbers_that_are_no_multiples_are_not_taken_for_some(
    values: FloatArray, fraction: int, statistic: int
) -> None:
    back = values_of([packed(values, per_one=fraction, statistic=statistic, samples=10)])

    if statistic == MEAN:
        np.testing.assert_array_max_ulp(back, values, maxulp=1)
    else:
        assert bits(back) == bits(values)


def test_another_nan_keeps_its_bits() -> None:
    values = np.full((2, 3), 0.5, dtype=np.float32)
    values.view(np.uint32)[1, 1] = 0x7FC00001

    assert bits(values_of([packed(values, per_one=2)])) == bits(values)


@pytest.mark.parametrize("fraction", [1, 4, 100, 8192])
def test_the_fraction_is_found_in_the_steps_from_tick_to_tick(fraction: int) -> None:
    counts = np.random.default_rng(fraction).integers(0, fraction + 1, (64, 600))
    values = (counts / fraction).astype(np.float32)
    values[3, 7:50] = np.nan

    assert per_one(values) == fraction


def test_no_fraction_is_found_where_there_is_none() -> None:
    random = np.random.default_rng(0).random((64, 600)).astype(np.float32)

    assert per_one(random) == 0
    assert per_one(np.array([[0.5, 0.50000006]], dtype=np.float32)) == 0
    for nothing_changes in (np.full((3, 5), 0.5), np.full((3, 1), 0.5), np.full((3, 5), np.nan)):
        assert per_one(nothing_changes.astype(np.float32)) is None
    assert counts_of(random, 100) is None


def test_means_of_counted_samples_take_half_the_room_and_move_by_one_unit_at_most() -> None:
    random = np.random.default_rng(5)
    ratio = np.clip(0.5 + np.cumsum(random.normal(0, 0.01, (64, 600)), axis=1), 0, 1)
    samples = (np.round(ratio * 100) / 100).astype(np.float32)
    means = samples.reshape(64, 60, 10).mean(axis=2, dtype=np.float64).astype(np.float32)

    counted = packed(means, per_one=100, statistic=MEAN, samples=10)
    plain = packed(means, per_one=0, statistic=MEAN, samples=10)

    np.testing.assert_array_max_ulp(values_of([counted]), means, maxulp=1)
    np.testing.assert_array_equal(values_of([plain]), means)
    assert len(counted) < 0.5 * len(plain)


def test_chunks_of_other_fractions_and_lengths_lie_side_by_side() -> None:
    quarters = np.array([[0.25, 0.5], [1.0, np.nan]], dtype=np.float32)
    tenths = np.array([[0.1, 0.7, 0.2], [0.3, 0.0, 1.0]], dtype=np.float32)
    others = np.array([[0.123, 3.0], [np.pi, 0.5]], dtype=np.float32)
    parts = [(quarters, 4), (quarters + 1, 4), (tenths, 10), (others, 4), (quarters, 4)]
    payloads = [packed(values, per_one=fraction) for values, fraction in parts]
    expected = np.hstack([values for values, _ in parts])

    assert [payload[0] for payload in payloads] == [COUNTED, COUNTED, COUNTED, SHUFFLED, COUNTED]
    np.testing.assert_array_equal(values_of(payloads), expected)
    np.testing.assert_array_equal(values_of(payloads, only=np.array([1])), expected[1:])


@pytest.mark.parametrize(("fraction", "width"), [(0, 1), (4, 0), (4, 5)])
def test_a_chunk_that_counts_nothing_is_damaged(fraction: int, width: int) -> None:
    payload = bytearray(packed(np.full((1, 2), 0.5, dtype=np.float32), per_one=4))
    at = payload.index(b"\x04\x00\x00\x00\x01", 8)
    payload[at : at + 5] = fraction.to_bytes(4, "little") + bytes([width])

    with pytest.raises(DamagedFrameError, match=f"1/{fraction} in {width} bytes"):
        values_of([checked(framed(7, bytes(payload)), first_tick=7)])


def test_workers_whose_sensors_count_in_different_fractions_are_exact(tmp_path: Path) -> None:
    fleet = KnownFleet(seed=8)
    path = tmp_path / "h.drmviz"
    names = [f"w{i:03}" for i in range(150)]
    ticks = []
    for second in range(1000):
        tick = fleet.tick(START_S + second, names, missing=0)
        counts = np.random.default_rng(second).integers(0, 50, 150)
        tick.values[0] = counts / np.where(np.arange(150) < 64, 50, np.where(np.arange(150) < 128, 64, 75))
        ticks.append(tick)
    written(path, ticks)

    samples = np.stack([tick.values[0] for tick in ticks], axis=1).astype(np.float32)
    with Store.open(path) as store:
        run = store.read(columns=10, metrics=["cpu_ratio"], statistics=STATISTICS)
        alike = store.read(columns=1000, metrics=["cpu_ratio"])
    connection = open_for_writing(path)
    formats = rows_of(connection, "SELECT DISTINCT hex(substr(packed, 17, 1)) FROM chunk WHERE tier = 1 AND metric = 0")
    connection.close()

    groups = [
        samples[:, max(0, round(at_s - START_S)) : round(at_s - START_S + run.width_s)] for at_s in run.starts_at_s
    ]
    assert formats == [(f"{COUNTED:02X}",)]
    np.testing.assert_array_equal(alike.values("cpu_ratio"), samples)
    np.testing.assert_array_equal(run.values("cpu_ratio", "min"), np.stack([g.min(axis=1) for g in groups], axis=1))
    np.testing.assert_array_equal(run.values("cpu_ratio", "max"), np.stack([g.max(axis=1) for g in groups], axis=1))
    means = np.stack([g.mean(axis=1, dtype=np.float64) for g in groups], axis=1)
    np.testing.assert_allclose(run.values("cpu_ratio", "mean"), means, rtol=3e-7)


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
