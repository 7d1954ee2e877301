"""How busy a fleet was: steps in time against a list of all of them, sums of a fleet against its workers."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drmviz.manager.history import Mean, StepHistory
from drmviz.manager.load import MeasuredLoad
from drmviz.manager.usage import Usage, Weights, total, weights_of
from drmviz.model.resources import WorkerCapacity

TEN_CORES = WorkerCapacity(cpu_millicores=10_000, memory_bytes=1000, gpu_count=2)


def test_a_mean_goes_by_time_and_not_by_the_number_of_values() -> None:
    history = StepHistory(100)

    history.set(1.0, 0)
    history.set(0.5, 10)
    history.set(0.0, 20)

    assert history.mean(40, since_s=-math.inf) == Mean(0.375, 40)
    assert history.mean(40, since_s=15) == Mean(0.1, 25)
    assert history.mean(115, since_s=-math.inf) == Mean(0.025, 100)


def test_what_was_not_known_counts_as_nothing_and_not_as_zero() -> None:
    history = StepHistory(100)

    history.set(0.8, 0)
    history.set(None, 10)
    nothing = history.mean(20, since_s=0)
    history.set(0.4, 50)

    assert nothing is None
    assert history.mean(50, since_s=0) == Mean(0.8, 10)
    assert history.mean(60, since_s=0) == pytest.approx((0.6, 20))
    assert history.mean(60, since_s=20) == Mean(0.4, 10)


def test_no_more_than_a_window_is_known_whatever_the_last_bit_of_a_share_says() -> None:
    for i in range(1, 1000):
        history = StepHistory(50)
        history.set(0.5, 0)
        history.set(0.25, i * 0.1)
        history.set(0.75, i * 0.1 + 1 / 3)

        mean = history.mean(50 + i * 0.1 / 7, since_s=0)
        assert mean is not None
        assert mean.known_s <= 50


def test_a_value_known_this_moment_is_its_own_mean() -> None:
    history = StepHistory(100)
    history.set(0.8, 5)

    assert history.mean(5, since_s=5) == Mean(0.8, 0)


@given(
    value=st.floats(0, 2),
    steps=st.lists(st.floats(0.001, 50), min_size=1, max_size=20),
)
def test_the_mean_of_a_value_that_never_changes_is_exactly_that_value(value: float, steps: list[float]) -> None:
    history = StepHistory(100)

    at_s = 0.0
    for step in steps:
        history.set(value, at_s)
        at_s += step
        history.set(None, at_s)
        at_s += step
    history.set(value, at_s)

    mean = history.mean(at_s, since_s=-math.inf)
    assert mean is not None
    assert mean.value == value


@given(
    steps=st.lists(
        st.tuples(st.floats(0.5, 40), st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5])), min_size=1, max_size=40
    ),
    since_s=st.floats(0, 200),
)
def test_a_mean_is_the_one_over_all_steps_in_the_window(
    steps: list[tuple[float, float | None]], since_s: float
) -> None:
    history = StepHistory(100)
    times = [0.0, *itertools.accumulate(duration for duration, _ in steps)]
    for at_s, (_, value) in zip(times, steps, strict=False):
        history.set(value, at_s)
    now_s = times[-1]

    since_s = min(since_s, now_s)
    begin_s = max(since_s, now_s - 100)
    overlaps = [
        (max(0.0, end_s - max(start_s, begin_s)), value)
        for start_s, end_s, (_, value) in zip(times, times[1:], steps, strict=False)
        if value is not None
    ]
    known_s = sum(duration for duration, _ in overlaps)
    mean = history.mean(now_s, since_s=since_s)
    if steps[-1][1] is None:
        assert mean is None
    else:
        assert mean is not None
        assert mean.known_s == pytest.approx(known_s)
        assert mean.known_s <= 100
        if known_s:
            assert mean.value == pytest.approx(sum(d * v for d, v in overlaps) / known_s)


def test_a_history_stays_small_however_often_its_value_changes() -> None:
    history = StepHistory(300)

    for i in range(100_000):
        history.set((i % 2) * 0.5, i * 0.01)
        history.set(None, i * 0.01 + 0.002)
    history.set(0.25, 1000)

    assert len(history) <= 2 * 240 + 2
    mean = history.mean(1000, since_s=0)
    assert mean is not None
    assert mean.value == pytest.approx(0.25, abs=0.005)
    assert mean.known_s == pytest.approx(60, abs=0.5)


def test_a_measurement_counts_until_it_is_stale_and_no_longer_however_late_somebody_looks() -> None:
    load = MeasuredLoad(100, stale_after_s=10)

    load.record("a", Usage(cpu_ratio=1.0), TEN_CORES, 0)
    load.record("b", Usage(cpu_ratio=0.0), TEN_CORES, 5)
    load.settle(12)

    assert load.means(12, since_s=0)[0] == pytest.approx(((5 * 1.0 + 5 * 0.5 + 2 * 0.0) / 12, 12))
    assert (load.usage("a"), load.usage("b").cpu_ratio) == (Usage(), 0.0)


def test_a_measurement_of_bytes_is_another_ratio_of_another_capacity() -> None:
    load = MeasuredLoad(100, stale_after_s=50)
    load.record("a", Usage(memory_bytes=500, cpu_ratio=0.5), TEN_CORES, 0)

    load.resize("a", WorkerCapacity(memory_bytes=2000), 10)

    assert load.means(10, since_s=10) == (None, Mean(0.25, 0), None)
    assert load.means(10, since_s=0)[1] == Mean(0.5, 10)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.none() | st.floats(0, 2),
            st.none() | st.integers(0, 3000),
            st.floats(0, 20),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_the_sums_of_a_fleet_are_those_of_its_workers_whatever_came_and_went(
    steps: list[tuple[str, float | None, int | None, float, bool]],
) -> None:
    load = MeasuredLoad(100, stale_after_s=15)
    now_s = 0.0

    for worker_id, cpu, memory, wait_s, leaves in steps:
        now_s += wait_s
        load.record(worker_id, Usage(cpu_ratio=cpu, memory_bytes=memory, gpu_ratio=cpu), TEN_CORES, now_s)
        if leaves:
            load.forget(worker_id, now_s)

    load.settle(now_s)
    assert load._sum == (total([Weights(), *(weights_of(load.usage(each), TEN_CORES) for each in "abcd")]))
    for mean, now in zip(load.means(now_s, since_s=now_s), load._sum.ratios, strict=True):
        assert (None if mean is None else mean.value) == now
