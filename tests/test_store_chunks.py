"""How numbers lie in chunks: few different ones as places in a table, short lives together, and read side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from drmviz.model.metrics import STATISTICS, FloatArray
from drmviz.store import Store
from drmviz.store.chunks import Chunk, checked, decode, encode, members_of, told_by, values_of
from drmviz.store.connections import rows_of
from drmviz.store.frames import framed
from drmviz.store.pages import connect
from tests.fleets import START_S, KnownFleet, written
from tests.test_store_windows import assert_exact


def packed(values: FloatArray) -> memoryview:
    members = np.arange(len(values))
    blob = encode(Chunk(metric=0, statistic=0, tier=0, members=members, first_tick=7, values=values))
    return checked(blob, first_tick=7)


def bits(values: FloatArray) -> list[list[int]]:
    return values.view(np.uint32).tolist()  # type: ignore[no-any-return]


@settings(deadline=None)
@given(
    values=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 40), st.integers(1, 60)),
        elements=st.sampled_from([0.0, -0.0, np.nan, np.inf, 0.25, 1e-38, 3.0]),
    )
)
def test_few_different_numbers_come_back_bit_by_bit(values: FloatArray) -> None:
    payload = packed(values)

    assert bits(values_of([payload])) == bits(values)
    assert bits(values_of([payload, payload], only=np.array([0]))) == bits(np.hstack([values[:1], values[:1]]))


@pytest.mark.parametrize("different", [1, 2, 255, 256, 257, 4000])
def test_as_many_numbers_as_a_table_holds_and_one_more_come_back(different: int) -> None:
    random = np.random.default_rng(different)
    numbers = random.random(different).astype(np.float32)
    values = np.resize(random.permutation(numbers), (64, 600))

    np.testing.assert_array_equal(values_of([packed(values)]), values)


def test_two_kinds_of_nan_keep_their_bits() -> None:
    values = np.zeros((64, 600), dtype=np.float32)
    values.view(np.uint32)[0, :2] = (0x7FC00000, 0x7FC00001)

    assert bits(values_of([packed(values)])) == bits(values)


def test_numbers_in_steps_of_one_percent_take_less_than_a_byte_each() -> None:
    random = np.random.default_rng(2)
    ratio = np.clip(0.5 + np.cumsum(random.normal(0, 0.01, (64, 600)), axis=1), 0, 1)
    values = (np.round(ratio / 0.01) * 0.01).astype(np.float32)

    assert len(packed(values)) < 0.5 * values.size


def test_chunks_of_both_kinds_lie_side_by_side() -> None:
    few = np.repeat(np.array([[0.5], [0.25], [1.0]], dtype=np.float32), 50, axis=1)
    many = np.arange(150, dtype=np.float32).reshape(3, 50)
    parts = [few, many, many + 1, few + 1]
    payloads = [packed(values) for values in parts]

    assert len({payload[0] for payload in payloads}) == 2, "both kinds are here"
    np.testing.assert_array_equal(values_of(payloads), np.hstack(parts))
    np.testing.assert_array_equal(values_of(payloads, only=np.array([2, 0])), np.hstack(parts)[[2, 0]])
    assert len({told_by(payload).members for payload in payloads}) == 1
    assert decode(payloads[0], first_tick=7).members.tolist() == [0, 1, 2]


def test_other_members_are_not_taken_for_the_same() -> None:
    named = set()
    for members in ([0, 1, 2], [0, 1, 3], [1, 2, 3], [0, 1, 2 + 256], [0, 1]):
        values = np.zeros((len(members), 50), dtype=np.float32)
        chunk = Chunk(metric=0, statistic=0, tier=0, members=np.array(members), first_tick=0, values=values)
        named.add(told_by(checked(encode(chunk), first_tick=0)).members)

    assert len(named) == 5


def test_short_lives_share_chunks_and_long_ones_do_not_wait_for_more(tmp_path: Path) -> None:
    """Of 30 workers a second, each of which lives for ten, 64 would fill only twelve ticks."""
    fleet = KnownFleet(seed=4)
    path = tmp_path / "h.drmviz"
    stay = [f"stays-{i}" for i in range(130)]
    ticks = [
        fleet.tick(START_S + s, [*stay, *(f"w{i}" for i in range(30 * s, 30 * s + 300))], missing=0) for s in range(300)
    ]
    written(path, ticks)

    connection = connect(str(path))
    payloads = [
        checked(blob, first_tick=first)
        for first, blob in rows_of(
            connection, "SELECT first_tick, packed FROM chunk WHERE tier = 0 AND metric = 1 ORDER BY lowest"
        )
    ]
    connection.close()
    sizes = [len(members_of(payload)) for payload in payloads]
    of_stays = [len(members_of(payload)) for payload in payloads if 0 in members_of(payload)]
    with Store.open(path) as store:
        run = store.read(
            columns=300, metrics=["memory_ratio"], statistics=STATISTICS, workers=["stays-3", "w0", "w4500", "w9269"]
        )

    assert sorted(np.concatenate([members_of(payload) for payload in payloads])) == list(range(130 + 300 + 299 * 30))
    assert of_stays == [128], "of 300 ticks, as many numbers as of 64 in 600"
    assert max(sizes) > 256
    assert len(sizes) < 40, "of 64 they would be 148"
    assert_exact(run, fleet, "memory_ratio")


def test_of_neighbouring_chunks_that_are_read_together_only_the_damaged_one_is_left_out(tmp_path: Path) -> None:
    fleet = KnownFleet(seed=6)
    path = tmp_path / "h.drmviz"
    written(path, [fleet.tick(START_S + s, ["a", "b"], missing=0) for s in range(1500)])  # from the middle of a block
    connection = connect(str(path))
    ((row, first, blob),) = rows_of(
        connection, "SELECT id, first_tick, packed FROM chunk WHERE tier = 0 AND metric = 0 ORDER BY block LIMIT 1, 1"
    )
    shorter = bytearray(checked(blob, first_tick=first))
    shorter[8] ^= 1  # it says that it has one tick more, or less, and its checksum agrees
    connection.execute("UPDATE chunk SET packed = ? WHERE id = ?", (framed(first, bytes(shorter)), row))
    connection.close()

    with Store.open(path) as store:
        run = store.read(columns=1500, metrics=["cpu_ratio", "memory_ratio"], statistics=STATISTICS)

    unknown = np.isnan(run.values("cpu_ratio")).sum(axis=0)
    assert unknown.tolist() == [0] * 300 + [2] * 600 + [0] * 600
    assert "1 piece of this window are damaged and left out" in run.notes
    assert_exact(run, fleet, "memory_ratio")
