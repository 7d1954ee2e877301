"""Where a demand goes: always where looking at every worker would send it, without looking at every worker."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.placing import ScanningBestFit
from drmviz.manager import placement
from drmviz.manager.amounts import Amounts
from drmviz.manager.placement import BestFit

SMALL = st.integers(0, 4)
LARGE = st.sampled_from([0, 1, 7, 8, 2**33, 2**33 + 4096, 2**33 + 8192, 3 * 2**32, 2**40])
AMOUNTS = st.builds(Amounts, SMALL, LARGE, st.integers(0, 1), SMALL)
IDS = st.sampled_from([f"w{number}" for number in range(12)])


@st.composite
def rooms(draw: st.DrawFn) -> tuple[Amounts, Amounts]:
    capacity = draw(AMOUNTS)
    free = Amounts(*(draw(st.integers(0, 4)) * part // 4 for part in capacity))
    return capacity, free


STEPS = st.one_of(
    st.tuples(st.just("put"), IDS, rooms()),
    st.tuples(st.just("drop"), IDS, st.none()),
    st.tuples(st.just("choose"), st.dictionaries(IDS, AMOUNTS, max_size=4), AMOUNTS),
)


@given(st.lists(STEPS, max_size=60))
@settings(max_examples=300)
def test_it_chooses_whom_a_look_at_every_worker_would_choose(steps: list[tuple[str, Any, Any]]) -> None:
    ours, theirs = BestFit(), ScanningBestFit()
    there: dict[str, Amounts] = {}
    for step, who, what in steps:
        if step == "put":
            there[who] = what[1]
            for one in (ours, theirs):
                one.put(who, capacity=what[0], free=what[1])
        elif step == "drop" and who in there:
            del there[who]
            for one in (ours, theirs):
                one.drop(who)
        elif step == "choose":
            taken = {
                worker: Amounts(*map(min, amounts, there[worker])) for worker, amounts in who.items() if worker in there
            }
            assert ours.choose(what, taken=taken) == theirs.choose(what, taken=taken)
            assert ours.choose(what) == theirs.choose(what)
            for worker in there:
                assert ours.choose(what, only=worker) == theirs.choose(what, only=worker)


@pytest.mark.parametrize("is_alike", [True, False], ids=["equal machines", "machines that differ by some kB"])
def test_how_many_workers_are_looked_at_does_not_follow_how_many_there_are(
    monkeypatch: pytest.MonkeyPatch, is_alike: bool
) -> None:
    looks = 0
    original = placement._Class.from_least_free

    def counted(self: placement._Class, index: int, amount: int) -> Iterator[Any]:
        nonlocal looks
        for found in original(self, index, amount):
            looks += 1
            yield found

    monkeypatch.setattr(placement._Class, "from_least_free", counted)
    seeded, best_fit = random.Random(3), BestFit()
    for number in range(5_000):
        capacity = Amounts(8_000, 2**34 + (0 if is_alike else 4096 * seeded.randrange(1000)))
        free = Amounts(seeded.randrange(0, 8_000, 250), seeded.randrange(0, 2**34, 2**20))
        best_fit.put(f"worker-{number}", capacity=capacity, free=free)

    demands = [Amounts(seeded.randrange(250, 4_000, 250), seeded.randrange(2**28, 2**32)) for _ in range(500)]
    assert all(best_fit.choose(demand) is not None for demand in demands)

    assert looks / 500 < 250, "5,000 workers stand in two orders: a twentieth of one is enough"
