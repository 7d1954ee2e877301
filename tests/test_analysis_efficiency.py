"""What is had, reserved and used, worker by worker and in sums; what is not known stays unknown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drmviz.analysis.efficiency import Resource, allotment, metrics_of, resource_of, total, why_unknown
from drmviz.errors import InvalidValueError
from drmviz.model.metrics import Metric
from drmviz.model.resources import UNKNOWN_CAPACITY, WorkerCapacity
from drmviz.model.run import Run
from tests.building import START_S, recorded

NAN = float("nan")
EIGHT = WorkerCapacity(cpu_millicores=8000, memory_bytes=32 * 2**30, gpu_count=2)

Ratios = Mapping[str, Sequence[float | None]]


def fleet(used: Ratios, reserved: Ratios, *, capacity: WorkerCapacity | Mapping[str, WorkerCapacity] = EIGHT) -> Run:
    return recorded(used, more={"cpu_reserved_ratio": reserved}, capacity=capacity)


def test_what_is_used_reserved_idle_and_free_comes_in_cores() -> None:
    run = fleet({"a": [0.25, 0.5]}, {"a": [0.75, 0.75]})

    of = allotment(run, "cpu")

    np.testing.assert_array_equal(of.capacity, [8.0])
    np.testing.assert_array_equal(of.used, [3.0])
    np.testing.assert_array_equal(of.reserved, [6.0])
    np.testing.assert_array_equal(of.idle, [3.0])
    np.testing.assert_array_equal(of.free, [2.0])
    np.testing.assert_array_equal(of.efficiency_ratio, [0.5])


def test_memory_comes_in_bytes_and_gpus_in_devices() -> None:
    half = {"a": [0.5]}
    run = recorded(
        half,
        more={"memory_ratio": half, "memory_reserved_ratio": {"a": [1.0]}, "gpu_ratio": {"a": [0.25]},
              "gpu_reserved_ratio": half},
        capacity=EIGHT,
    )  # fmt: skip

    memory, gpu = allotment(run, "memory"), allotment(run, "gpu")

    assert (memory.used.tolist(), memory.reserved.tolist()) == ([16 * 2**30], [32 * 2**30])
    assert (gpu.used.tolist(), gpu.reserved.tolist(), gpu.efficiency_ratio.tolist()) == ([0.5], [1.0], [0.5])


def test_more_use_than_reserved_is_no_negative_idleness() -> None:
    run = fleet({"a": [1.0]}, {"a": [0.5]})

    of = allotment(run, "cpu")

    assert (of.idle.tolist(), of.free.tolist(), of.efficiency_ratio.tolist()) == ([0.0], [0.0], [2.0])


def test_more_reserved_than_had_leaves_nothing_free() -> None:
    of = allotment(fleet({"a": [0.5]}, {"a": [1.5]}), "cpu")

    assert (of.idle.tolist(), of.free.tolist()) == ([8.0], [0.0])


def test_use_without_a_reservation_is_efficient_and_nothing_of_nothing_is_unknown() -> None:
    run = fleet({"a": [0.5], "b": [0.0]}, {"a": [0.0], "b": [0.0]})

    of = allotment(run, "cpu")

    np.testing.assert_array_equal(of.efficiency_ratio, [1.0, NAN])
    assert why_unknown(of) == {"nothing reserved and nothing used": 1}


def test_reservations_alone_give_no_efficiency_at_all() -> None:
    run = fleet({"a": [None], "b": [None]}, {"a": [0.5], "b": [1.0]})

    of = allotment(run, "cpu")

    np.testing.assert_array_equal(of.efficiency_ratio, [NAN, NAN])
    assert total(of).efficiency_ratio is None
    assert total(of).idle is None
    assert total(of).reserved == 12.0
    assert why_unknown(of) == {"use not measured": 2}


def test_each_part_is_known_or_not_by_itself() -> None:
    run = fleet(
        {"no use": [None], "no reservation": [0.5], "neither": [None], "no capacity": [0.25]},
        {"no use": [0.25], "no reservation": [None], "neither": [None], "no capacity": [0.5]},
        capacity=dict.fromkeys(("no use", "no reservation", "neither"), EIGHT) | {"no capacity": UNKNOWN_CAPACITY},
    )

    of = allotment(run, "cpu")

    np.testing.assert_array_equal(of.capacity, [8.0, 8.0, 8.0, NAN])
    np.testing.assert_array_equal(of.used, [NAN, 4.0, NAN, NAN])
    np.testing.assert_array_equal(of.reserved, [2.0, NAN, NAN, NAN])
    np.testing.assert_array_equal(of.idle, [NAN, NAN, NAN, NAN])
    np.testing.assert_array_equal(of.free, [6.0, NAN, NAN, NAN])
    np.testing.assert_array_equal(of.efficiency_ratio, [NAN, NAN, NAN, 0.5])
    assert why_unknown(of) == {
        "use not measured": 1,
        "reservation not known": 1,
        "neither use nor reservation known": 1,
    }


def test_sums_take_who_is_known_and_count_the_others() -> None:
    run = fleet(
        {"a": [0.5], "b": [None], "c": [0.25], "d": [1.0]},
        {"a": [1.0], "b": [0.5], "c": [None], "d": [0.5]},
        capacity={"a": EIGHT, "b": EIGHT, "c": EIGHT, "d": UNKNOWN_CAPACITY},
    )

    sums = total(allotment(run, "cpu"))

    assert (sums.workers, sums.capacity, sums.reserved, sums.used) == (4, 24.0, 12.0, 6.0)
    assert (sums.idle, sums.free) == (4.0, 4.0)
    assert (sums.capacity_unknown, sums.reserved_unknown, sums.used_unknown) == (1, 1, 1)
    assert sums.efficiency_ratio == 0.5  # of a alone: the others lack a part


def test_efficiency_of_the_fleet_weighs_by_what_is_reserved() -> None:
    small = WorkerCapacity(cpu_millicores=2000)
    run = fleet({"a": [0.5], "b": [1.0]}, {"a": [1.0], "b": [1.0]}, capacity={"a": EIGHT, "b": small})

    assert total(allotment(run, "cpu")).efficiency_ratio == (4 + 2) / (8 + 2)


def test_without_any_capacity_efficiency_is_still_known() -> None:
    run = fleet({"a": [0.25], "b": [0.75]}, {"a": [1.0], "b": [1.0]}, capacity=UNKNOWN_CAPACITY)

    sums = total(allotment(run, "cpu"))

    assert (sums.capacity, sums.reserved, sums.idle, sums.efficiency_ratio) == (None, None, None, 0.5)


def test_a_worker_that_was_replaced_is_not_counted_twice() -> None:
    half = [0.5, 0.5, 0.5, 0.5]
    run = recorded(
        {"old": half, "new": half, "whole": half},
        more={"cpu_reserved_ratio": {"old": [1.0] * 4, "new": [1.0] * 4, "whole": [1.0] * 4}},
        absent={"old": [2, 3], "new": [0, 1]},
        capacity=EIGHT,
    )

    of = allotment(run, "cpu")
    sums = total(of)

    np.testing.assert_array_equal(of.lived_ratio, [0.5, 0.5, 1.0])
    np.testing.assert_array_equal(of.gone, [True, False, False])
    assert (sums.capacity, sums.reserved, sums.used, sums.idle) == (16.0, 16.0, 8.0, 8.0)
    assert sums.averaged


def test_highest_values_are_summed_in_full() -> None:
    run = recorded(
        {"a": [0.25, 1.0], "b": [0.5, None]},
        more={"cpu_reserved_ratio": {"a": [0.5, 0.5], "b": [1.0, 1.0]}},
        absent={"b": [1]},
        capacity=EIGHT,
    )

    of = allotment(run, "cpu", statistic="max")

    assert (of.used.tolist(), of.reserved.tolist()) == ([8.0, 4.0], [4.0, 8.0])
    assert (total(of).used, total(of).capacity, total(of).averaged) == (12.0, 16.0, False)


def test_the_mean_is_the_one_over_every_tick_not_the_one_of_the_columns() -> None:
    run = dataclasses.replace(
        fleet({"a": [0.5]}, {"a": [1.0]}),
        means={"cpu_ratio": np.array([0.125]), "cpu_reserved_ratio": np.array([0.25])},
    )

    of = allotment(run, "cpu")

    assert (of.used.tolist(), of.reserved.tolist()) == ([1.0], [2.0])


def test_who_has_no_gpu_is_left_out_and_counted_and_who_may_have_one_is_not() -> None:
    run = recorded(
        {"cpu": [0.5], "gpu": [0.5], "perhaps": [0.5]},
        more={"gpu_ratio": {"gpu": [0.5]}, "gpu_reserved_ratio": {"gpu": [1.0]}},
        capacity={"cpu": WorkerCapacity(gpu_count=0), "gpu": EIGHT, "perhaps": UNKNOWN_CAPACITY},
    )

    of = allotment(run, "gpu")

    assert ([worker.id for worker in of.workers], of.rows.tolist(), of.without) == (["gpu", "perhaps"], [1, 2], 1)
    assert total(of).workers == 2


def test_wasteful_is_less_than_half_of_a_reservation_worth_naming() -> None:
    run = fleet(
        {"a": [0.24], "b": [0.25], "c": [0.0], "d": [0.01], "e": [None]},
        {"a": [0.5], "b": [0.5], "c": [0.05], "d": [0.125], "e": [1.0]},
    )

    assert allotment(run, "cpu").wasteful.tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("why", ["finished", "recording ended"])
def test_who_left_because_all_was_over_is_not_gone(why: str) -> None:
    run = recorded({"a": [0.5, 0.5], "b": [0.5, 0.5]}, absent={"a": [1]})
    lives = [dataclasses.replace(worker.latest, why_left=why) for worker in run.workers]
    workers = [dataclasses.replace(w, incarnations=(life,)) for w, life in zip(run.workers, lives, strict=True)]

    of = allotment(dataclasses.replace(run, workers=tuple(workers)), "cpu")

    assert of.gone.tolist() == [False, False]


def test_where_everybody_left_nobody_is_told_apart_as_gone() -> None:
    run = recorded({"a": [0.5, 0.5], "b": [0.5, 0.5]}, absent={"a": [1], "b": [1]})

    assert allotment(run, "cpu").gone.tolist() == [False, False]


def test_gpu_memory_is_a_resource_that_nothing_reserves() -> None:
    run = recorded({"a": [0.5]}, more={"gpu_memory_ratio": {"a": [0.5]}}, capacity=WorkerCapacity(gpu_memory_bytes=100))

    of = allotment(run, "gpu_memory")

    assert (of.used.tolist(), of.is_reserved, metrics_of("gpu_memory")) == ([50.0], False, ("gpu_memory_ratio",))


@pytest.mark.parametrize(
    ("metric", "resource"),
    [("cpu_ratio", "cpu"), ("memory_reserved_ratio", "memory"), ("gpu_memory_ratio", "gpu_memory"),
     ("tasks_running", None)],
)  # fmt: skip
def test_a_metric_belongs_to_a_resource(metric: Metric, resource: Resource | None) -> None:
    assert resource_of(metric) == resource


def test_a_metric_that_was_not_read_is_said() -> None:
    run = dataclasses.replace(recorded({"a": [0.5]}), grids={})

    with pytest.raises(InvalidValueError, match=r"cpu_(reserved_)?ratio.*was not read"):
        allotment(run, "cpu")


def test_an_empty_run_has_nothing() -> None:
    of = allotment(Run.empty(recorded({}).header), "cpu")

    assert (of.workers, of.is_known, total(of).capacity, total(of).efficiency_ratio) == ((), False, None, None)


ratio = st.none() | st.floats(0, 2, width=32)


@given(st.lists(st.tuples(ratio, ratio, st.sampled_from([1000, 4000, 16000, None])), min_size=1, max_size=12))
def test_parts_are_never_negative_and_add_up_to_what_is_had(rows: list[tuple[float | None, float | None, int]]) -> None:
    names = [f"w{row}" for row in range(len(rows))]
    run = fleet(
        {name: [used] for name, (used, _, _) in zip(names, rows, strict=True)},
        {name: [reserved] for name, (_, reserved, _) in zip(names, rows, strict=True)},
        capacity={name: WorkerCapacity(cpu_millicores=has) for name, (_, _, has) in zip(names, rows, strict=True)},
    )

    of = allotment(run, "cpu")

    for part in (of.idle, of.free, of.efficiency_ratio):
        assert not (part < 0).any()
    taken = np.fmax(of.used, of.reserved)
    within = np.isfinite(of.idle) & (taken <= of.capacity)
    np.testing.assert_allclose((of.used + of.idle + of.free)[within & (of.used <= of.reserved)],
                               of.capacity[within & (of.used <= of.reserved)])  # fmt: skip
    known = np.isfinite(of.efficiency_ratio)
    assert sum(why_unknown(of).values()) == int((~known).sum())


def living(run: Run, **lives: tuple[tuple[float, float | None, int], ...]) -> Run:
    """Return the run with workers that joined and left at these seconds, with so many millicores in each life."""
    workers = []
    for worker in run.workers:
        told = [
            dataclasses.replace(
                worker.latest,
                ordinal=ordinal,
                joined_at_s=START_S + began,
                left_at_s=None if left is None else START_S + left,
                entry=dataclasses.replace(worker.latest.entry, capacity=WorkerCapacity(cpu_millicores=millicores)),
            )
            for ordinal, (began, left, millicores) in enumerate(lives[worker.id], start=1)
        ]
        workers.append(dataclasses.replace(worker, incarnations=tuple(told)))
    return dataclasses.replace(run, workers=tuple(workers))


def test_a_short_life_counts_by_its_seconds_and_not_by_the_columns_that_it_touched() -> None:
    run = recorded({"a": [0.5] * 2, "b": [0.5] * 2}, width_s=100.0)
    run = living(run, a=((0, None, 1000),), b=((95, 105, 1000),))

    sums = total(allotment(run, "cpu"))

    assert sums.capacity == pytest.approx(1.05)  # 200 s and 10 s of 200 s
    assert sums.used == pytest.approx(0.525)
    assert sums.averaged


def test_the_last_column_counts_as_far_as_was_recorded() -> None:
    run = recorded({"a": [0.5] * 2, "b": [0.5] * 2}, width_s=100.0)
    run = dataclasses.replace(living(run, a=((0, None, 1000),), b=((0, 55, 1000),)), end_s=START_S + 110)

    assert total(allotment(run, "cpu")).capacity == pytest.approx(1.5)


def test_while_nobody_lived_nothing_was_had() -> None:
    run = recorded({"a": [0.5] * 4, "b": [0.5] * 4}, width_s=10.0)
    run = living(run, a=((0, 10, 2000),), b=((30, 40, 4000),))

    assert total(allotment(run, "cpu")).capacity == pytest.approx(3.0)


def test_who_came_back_larger_had_on_average_what_it_had_while_it_lived() -> None:
    run = recorded({"a": [0.5] * 4}, width_s=10.0)
    run = living(run, a=((0, 10, 2000), (10, None, 8000)))

    mean, highest = allotment(run, "cpu"), allotment(run, "cpu", statistic="max")

    np.testing.assert_allclose(mean.capacity, [(2 * 10 + 8 * 30) / 40])
    np.testing.assert_array_equal(highest.capacity, [8.0])


def test_lives_of_a_moment_are_still_shares_of_the_whole() -> None:
    run = living(recorded({"a": [0.5], "b": [0.5]}), a=((0, 0, 1000),), b=((0, 0, 1000),))

    assert total(allotment(run, "cpu")).capacity == 2.0
