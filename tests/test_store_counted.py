"""Numbers that sensors count come back bit by bit from their counts, and so do those that nobody counts."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from drmviz.model.metrics import STATISTICS, FloatArray, IntArray
from drmviz.store import Store
from drmviz.store.bodies import COUNTED, FORMATS, HELD, INDEXED, SHUFFLED
from drmviz.store.chunks import COUNT, MAXIMUM, MEAN, MINIMUM, VALUE, Chunk, checked, encode, members_of, values_of
from drmviz.store.connections import open_for_writing, rows_of
from drmviz.store.counted import counts_of, in_common, per_one
from drmviz.store.frames import DamagedFrameError, framed
from drmviz.store.pages import connect
from drmviz.store.rollups import Rollup
from tests import golden_chunks
from tests.fleets import START_S, KnownFleet, written
from tests.golden_chunks import golden_chunk
from tests.test_store_windows import assert_exact

FRACTIONS = st.sampled_from([1, 3, 4, 100, 8192, 6144, 1_000_003, (1 << 24) - 1])
COUNTS = st.one_of(st.integers(-1, 200), st.integers(0, (1 << 22) - 1))
"""One below 0 stands for a number that is not known. From 2^22 on the nearest float32 may stand for two counts."""


LARGE_COUNTS = [1272841, 1146863, 1597446, 990068, 1559305, 908063, 1313234, 1280632, 1523097, 1066307]
"""Hundredths whose float32 sum up to something between two whole numbers of them."""


def packed(values: FloatArray, *, per_one: int, statistic: int = MINIMUM, samples: int = 0) -> memoryview:
    chunk = Chunk(
        metric=0, statistic=statistic, tier=1, members=np.arange(len(values)), first_tick=7, values=values,
        samples=samples, per_one=per_one,
    )  # fmt: skip
    return checked(encode(chunk), first_tick=7)


def bits(values: FloatArray) -> list[list[int]]:
    return np.ascontiguousarray(values).view(np.uint32).tolist()  # type: ignore[no-any-return]


def of_counts(counts: IntArray, fraction: int) -> FloatArray:
    values = counts.astype(np.float32) / np.float32(fraction)
    values[counts < 0] = np.nan
    return values


def assert_comes_back(values: FloatArray, payload: memoryview) -> None:
    """Assert the same bits, alone, of some members, and side by side with itself."""
    some = np.array([len(values) - 1, 0])
    assert bits(values_of([payload])) == bits(values)
    assert bits(values_of([payload], only=some)) == bits(values[some])
    assert bits(values_of([payload, payload], only=some)) == bits(np.hstack([values[some], values[some]]))


@settings(deadline=None)
@given(
    fraction=FRACTIONS,
    counts=arrays.arrays(
        np.int64, st.tuples(st.integers(1, 9), st.integers(1, 30)), elements=COUNTS, fill=st.nothing()
    ),
)
def test_counts_come_back_bit_by_bit_those_unknown_too(fraction: int, counts: IntArray) -> None:
    values = of_counts(counts, fraction)
    payload = packed(values, per_one=fraction)

    assert payload[0] in (COUNTED, HELD)
    assert_comes_back(values, payload)


@settings(deadline=None)
@given(
    fraction=FRACTIONS,
    shape=st.tuples(st.integers(1, 70), st.integers(8, 600)),
    held=st.lists(st.tuples(COUNTS, st.floats(0, 1)), min_size=1, max_size=3),
)
@example(fraction=100, shape=(64, 600), held=[(-1, 0.0)])
@example(fraction=100, shape=(1, 8), held=[(5, 0.0), ((1 << 22) - 1, 0.9)])
def test_counts_that_hold_come_back_bit_by_bit_however_long(
    fraction: int, shape: tuple[int, int], held: list[tuple[int, float]]
) -> None:
    counts = np.full(shape[0] * shape[1], held[0][0])
    for count, from_share in held[1:]:
        counts[int(from_share * len(counts)) :] = count
    values = of_counts(counts.reshape(shape), fraction)
    payload = packed(values, per_one=fraction)

    assert payload[0] == HELD
    assert len(payload) < 100
    assert_comes_back(values, payload)


@settings(deadline=None)
@given(
    fraction=FRACTIONS,
    counts=arrays.arrays(
        np.int64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.integers(1 << 22, 1 << 25)
    ),
)
def test_many_counts_come_back_bit_by_bit_whether_they_are_told_or_not(fraction: int, counts: IntArray) -> None:
    values = of_counts(counts, fraction)

    assert_comes_back(values, packed(values, per_one=fraction))


@settings(deadline=None)
@given(
    values=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 30)),
        elements=st.one_of(
            st.sampled_from([0.0, -0.0, -0.25, np.nan, np.inf, -np.inf, 0.25, 1e-38, 1e-45, 2.0**24, 2.0**22, 3e38]),
            st.floats(width=32, allow_nan=False),
        ),
    ),
    fraction=st.sampled_from([0, 1, 4, 100, 1 << 23, 1 << 24, 1 << 40]),
    statistic=st.sampled_from([VALUE, MINIMUM, MEAN, MAXIMUM, COUNT]),
)
def test_numbers_that_are_no_multiples_are_not_taken_for_some(
    values: FloatArray, fraction: int, statistic: int
) -> None:
    assert_comes_back(values, packed(values, per_one=fraction, statistic=statistic, samples=10))
    assert_comes_back(values, packed(values, per_one=per_one(values), statistic=statistic, samples=10))


@pytest.mark.parametrize("number", [0.0, -0.0, 0.25, 1e-45, -3e38, np.nan, np.inf])
@pytest.mark.parametrize("statistic", [VALUE, MEAN])
def test_one_number_everywhere_comes_back_and_takes_no_room(number: float, statistic: int) -> None:
    values = np.full((64, 600), number, dtype=np.float32)
    payload = packed(values, per_one=per_one(values), statistic=statistic, samples=10)

    assert_comes_back(values, payload)
    assert len(payload) < 120


def test_another_nan_keeps_its_bits() -> None:
    values = np.full((2, 3), 0.5, dtype=np.float32)
    values.view(np.uint32)[1, 1] = 0x7FC00001

    assert bits(values_of([packed(values, per_one=2)])) == bits(values)


@pytest.mark.parametrize("form", FORMATS)
def test_a_chunk_of_each_format_is_read_as_it_was_written_first(form: int) -> None:
    payload = checked(golden_chunk(form).read_bytes(), first_tick=golden_chunks.FIRST_TICK)

    assert payload[0] == form
    assert members_of(payload).tolist() == golden_chunks.MEMBERS.tolist()
    assert_comes_back(golden_chunks.values(form), payload)


def test_chunks_of_all_formats_lie_side_by_side() -> None:
    golden = [checked(golden_chunk(form).read_bytes(), first_tick=golden_chunks.FIRST_TICK) for form in FORMATS]
    order = [*golden, *golden[::-1], golden[4]]

    expected = [golden_chunks.values(payload[0]) for payload in order]
    assert bits(values_of(order)) == bits(np.hstack(expected))


@pytest.mark.parametrize("fraction", [1, 4, 100, 8192])
def test_the_fraction_is_found_in_the_steps_from_tick_to_tick(fraction: int) -> None:
    counts = np.random.default_rng(fraction).integers(0, fraction + 1, (64, 600))
    values = (counts / fraction).astype(np.float32)
    values[3, 7:50] = np.nan

    assert per_one(values) == fraction


def test_the_fraction_of_members_of_several_sizes_holds_all_of_them() -> None:
    counts = np.random.default_rng(1).integers(0, 50, (3, 600))

    assert per_one((counts / [[50], [64], [75]]).astype(np.float32)) == 4800
    assert per_one((counts / [[4001], [4003], [4007]]).astype(np.float32)) == 0, "beyond what is exact"


def test_no_fraction_is_found_where_there_is_none() -> None:
    random = np.random.default_rng(0).random((64, 600)).astype(np.float32)

    assert per_one(random) == 0
    assert per_one(np.array([[0.5, 0.50000006]], dtype=np.float32)) == 0
    assert per_one(np.full((3, 5), 0.3, dtype=np.float32)) == 0
    assert counts_of(random, 100) is None


def test_where_nothing_changes_the_number_itself_tells_the_fraction() -> None:
    assert [per_one(np.full((3, 5), number, dtype=np.float32)) for number in (0.25, 3.0, 0.0, np.nan)] == [4, 1, 1, 1]


def test_what_fractions_have_in_common() -> None:
    assert in_common([4, 6, 4]) == 12
    assert in_common([4, 0]) == 0
    assert in_common([1 << 20, 3**10]) == 0
    assert in_common([]) == 1


@settings(deadline=None)
@given(
    fraction=st.sampled_from([3, 4, 100, 8192, 6144]),
    counts=arrays.arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 60)), elements=st.integers(-1, 130_000)),
)
@example(fraction=100, counts=np.full((1, 60), (1 << 23) // 60))
@example(fraction=100, counts=np.array([LARGE_COUNTS]))
def test_the_mean_of_counted_samples_is_the_float32_nearest_to_that_of_their_counts(
    fraction: int, counts: IntArray
) -> None:
    samples = of_counts(counts, fraction)
    at_us = np.arange(counts.shape[1]) * 1_000_000
    rollup = Rollup.of(samples[None], at_us, 10_000_000, per_one=[fraction])

    for of_width, together in ((rollup, 10), (rollup.coarser(60_000_000), 60)):
        means = {statistic: values for statistic, values, _ in of_width.statistics_of(0)}.get(MEAN)
        assert (means is None) == (counts < 0).all()
        for (member, bucket), mean in np.ndenumerate(means) if means is not None else ():
            inside = counts[member, bucket * together :][:together]
            total, many = int(inside[inside >= 0].sum()), int((inside >= 0).sum())
            if not many:
                assert np.isnan(mean)
            elif total < 1 << 23:
                assert mean == np.float32(float(Fraction(total, fraction * many)))
            else:  # nobody can tell any more: that of the samples as they are
                known = samples[member, bucket * together :][:together].astype(np.float64)
                assert mean == np.float32(np.nansum(known) / many)


def test_means_of_counted_samples_take_half_the_room() -> None:
    random = np.random.default_rng(5)
    ratio = np.clip(0.5 + np.cumsum(random.normal(0, 0.01, (64, 600)), axis=1), 0, 1)
    samples = (np.round(ratio * 100) / 100).astype(np.float32)[None]
    rollup = Rollup.of(samples, np.arange(600) * 1_000_000, 10_000_000, per_one=[100])
    means = {statistic: values for statistic, values, _ in rollup.statistics_of(0)}[MEAN]

    counted = packed(means, per_one=100, statistic=MEAN, samples=10)
    plain = packed(means, per_one=0, statistic=MEAN, samples=10)

    assert_comes_back(means, counted)
    assert [counted[0], plain[0]] == [COUNTED, SHUFFLED]
    assert len(counted) < 0.5 * len(plain)


def test_what_seldom_changes_takes_a_fraction_of_what_steps_take() -> None:
    random = np.random.default_rng(6)
    steps = np.where(random.random((64, 600)) < 0.05, random.normal(0, 80, (64, 600)), 0)
    counts = np.clip(4000 + np.rint(np.cumsum(steps, axis=1)), 0, 8192)
    values = (counts / 8192).astype(np.float32)
    payload = packed(values, per_one=8192, statistic=VALUE)

    assert payload[0] == HELD
    assert len(payload) < 0.14 * values.size
    assert_comes_back(values, payload)


def test_neighbours_by_number_are_not_listed() -> None:
    values = np.zeros((1024, 1), dtype=np.float32)

    assert len(packed(values, per_one=1)) < 60
    for members in ([7], list(range(70_000, 70_064)), [3, 5], [5, 4]):
        chunk = Chunk(metric=0, statistic=0, tier=0, members=np.array(members), first_tick=0,
                      values=np.zeros((len(members), 9), dtype=np.float32))  # fmt: skip
        assert members_of(checked(encode(chunk), first_tick=0)).tolist() == members


def test_chunks_of_other_fractions_and_lengths_lie_side_by_side() -> None:
    quarters = np.array([[0.25, 0.5], [1.0, np.nan]], dtype=np.float32)
    tenths = np.array([[0.1, 0.7, 0.2], [0.3, 0.0, 1.0]], dtype=np.float32)
    others = np.array([[0.123, 3.0], [np.pi, 0.5]], dtype=np.float32)
    holds, holds_longer = np.full((2, 5), 0.25, dtype=np.float32), np.full((2, 70), 0.75, dtype=np.float32)
    parts = [
        (quarters, 4), (quarters + 1, 4), (tenths, 10), (others, 4), (holds, 4), (holds + 1, 4), (holds + 1000, 4),
        (holds_longer, 4), (holds, 8), (quarters, 4),
    ]  # fmt: skip
    payloads = [packed(values, per_one=fraction) for values, fraction in parts]
    expected = np.hstack([values for values, _ in parts])

    assert [payload[0] for payload in payloads] == [COUNTED] * 3 + [SHUFFLED] + [HELD] * 5 + [COUNTED]
    np.testing.assert_array_equal(values_of(payloads), expected)
    np.testing.assert_array_equal(values_of(payloads, only=np.array([1])), expected[1:])


def body_at(payload: memoryview) -> int:
    return 12 + 5  # its header, and members that follow each other


def refitted(payload: memoryview, told: bytes, body: bytes | None = None) -> memoryview:
    """Return a payload whose checksum agrees, with another beginning of what follows its members, and another rest."""
    at = body_at(payload)
    rest = bytes(payload[at + len(told) :]) if body is None else zstandard.ZstdCompressor().compress(body)
    return checked(framed(7, bytes(payload[:at]) + told + rest), first_tick=7)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (b"\0\0\0\0\1", "counts of 1/0 in 1 bytes are none"),
        (b"\4\0\0\0\0", "counts of 1/4 in 0 bytes are none"),
        (b"\4\0\0\0\5", "counts of 1/4 in 5 bytes are none"),
        (b"\4\0\0\0\2", "2 bytes were unpacked where 4 belong"),
    ],
)
def test_a_chunk_that_counts_nothing_is_damaged(told: bytes, says: str) -> None:
    payload = packed(np.array([[0.5, 0.25]], dtype=np.float32), per_one=4)

    assert payload[0] == COUNTED
    with pytest.raises(DamagedFrameError, match=says):
        values_of([refitted(payload, told)])


@pytest.mark.parametrize(
    ("told", "body", "says"),
    [
        (b"\0\0\0\0\1\1\2\0\0\0", None, "counts of 1/0 in 1 and 1 bytes are none"),
        (b"\4\0\0\0\0\1\2\0\0\0", None, "counts of 1/4 in 0 and 1 bytes are none"),
        (b"\4\0\0\0\1\6\2\0\0\0", None, "counts of 1/4 in 1 and 6 bytes are none"),
        (b"\4\0\0\0\1\1\0\0\0\0", None, "0 stretches cannot make 12 numbers"),
        (b"\4\0\0\0\1\1\15\0\0\0", None, "13 stretches cannot make 12 numbers"),
        (b"\4\0\0\0\1\1\2\0\0\0", b"\4\1\5\6", "stretches make 11 numbers where 12 belong"),
        (b"\4\0\0\0\1\4\2\0\0\0", b"\4\1" + b"\6\6\0\0\0\0\x80\x80", "stretches make 4294967308 numbers"),
        (b"\4\0\0\0\1\1\2\0\0\0", b"\4\1\6", "3 bytes were unpacked where 4 belong"),
        (b"\4\0\0\0\1\1\2\0\0\0\0", None, "it cannot be unpacked"),
    ],
)
def test_a_chunk_whose_stretches_do_not_fit_is_damaged(told: bytes, body: bytes | None, says: str) -> None:
    payload = packed(np.repeat(np.array([[0.5, 0.25]], dtype=np.float32), 6, axis=1), per_one=4)

    assert payload[0] == HELD
    assert bits(values_of([refitted(payload, b"\4\0\0\0\1\1\2\0\0\0", b"\6\1\6\6")])) == bits(values_of([payload]))
    with pytest.raises(DamagedFrameError, match=says):
        values_of([refitted(payload, told, body)])


@pytest.mark.parametrize("form", FORMATS)
def test_a_chunk_that_ends_with_its_members_is_damaged(form: int) -> None:
    blob = golden_chunk(form).read_bytes()
    ends = 12 + 4 * 3 if form == 1 else 12 + 5 + 2 * 2
    payload = checked(framed(7, blob[16 : 16 + ends]), first_tick=7)

    with pytest.raises(DamagedFrameError):
        values_of([payload])


def test_of_a_history_only_the_damaged_counts_are_left_out_and_told(tmp_path: Path) -> None:
    fleet = KnownFleet(seed=9)
    path = tmp_path / "h.drmviz"
    ticks = [fleet.tick(START_S + s, ["a", "b"], missing=0) for s in range(900)]  # from the middle of a block
    for i, tick in enumerate(ticks):
        tick.values[0] = [i // 40 / 64, i // 90 / 64]
        tick.values[1] = [i % 50 / 64, i % 60 / 64]
        fleet.samples.update({(round(tick.at_s * 1e6), w): tick.values[:, j] for j, w in enumerate("ab")})
    written(path, ticks)
    connection = connect(str(path))
    forms = rows_of(connection, "SELECT DISTINCT hex(substr(packed, 17, 1)) FROM chunk WHERE tier = 0 AND metric = 0")
    ((row, first, blob),) = rows_of(
        connection, "SELECT id, first_tick, packed FROM chunk WHERE tier = 0 AND metric = 0 ORDER BY block LIMIT 1, 1"
    )
    payload = bytearray(checked(blob, first_tick=first))
    payload[8] ^= 1  # it says that it has one tick more, or less, and its checksum agrees
    connection.execute("UPDATE chunk SET packed = ? WHERE id = ?", (framed(first, bytes(payload)), row))
    connection.close()

    with Store.open(path) as store:
        run = store.read(columns=900, metrics=["cpu_ratio", "memory_ratio"], statistics=STATISTICS)

    assert forms == [(f"{HELD:02X}",)]
    assert np.isnan(run.values("cpu_ratio")).sum(axis=0).tolist() == [0] * 300 + [2] * 600
    assert "1 piece of this window are damaged and left out" in run.notes
    assert_exact(run, fleet, "memory_ratio")


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
    formats = rows_of(
        connection,
        "SELECT DISTINCT tier > 0, hex(substr(packed, 17, 1)) FROM chunk"
        " WHERE metric = 0 AND block = (SELECT min(block) + 1 FROM chunk) ORDER BY 1, 2",  # all of its buckets are full
    )
    connection.close()

    groups = [
        samples[:, max(0, round(at_s - START_S)) : round(at_s - START_S + run.width_s)] for at_s in run.starts_at_s
    ]
    assert formats == [(0, f"{INDEXED:02X}"), (1, f"{COUNTED:02X}"), (1, f"{HELD:02X}")]
    np.testing.assert_array_equal(alike.values("cpu_ratio"), samples)
    np.testing.assert_array_equal(run.values("cpu_ratio", "min"), np.stack([g.min(axis=1) for g in groups], axis=1))
    np.testing.assert_array_equal(run.values("cpu_ratio", "max"), np.stack([g.max(axis=1) for g in groups], axis=1))
    means = np.stack([g.mean(axis=1, dtype=np.float64) for g in groups], axis=1)
    np.testing.assert_allclose(run.values("cpu_ratio", "mean"), means, rtol=3e-7)
