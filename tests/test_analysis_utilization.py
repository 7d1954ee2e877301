"""How busy workers and hosts were, by hand-computed numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drmviz.analysis.host import HostIdle, host_idle
from drmviz.analysis.utilization import busy, series, wall_s
from drmviz.model.resources import UNKNOWN_CAPACITY, WorkerCapacity
from drmviz.model.run import Run
from tests.building import START_S, header, ran, recorded

GIB = 2**30


def test_a_mean_is_over_what_was_measured_not_over_what_was_lived() -> None:
    run = recorded({"gw0": [0.5, None, None, 1.0], "gw1": [0.25, 0.25, 0.25, 0.25]})

    use = busy(run)

    assert use.cpu.mean_ratio == pytest.approx((0.75 * 2 + 0.25 * 4) / 6)
    assert use.cpu.max_ratio == 1.0
    assert (use.alive_s, use.measured_s) == (8.0, 6.0)
    assert use.cpu_core_s == pytest.approx(1.5 + 1.0)


def test_large_workers_weigh_more() -> None:
    small, large = recorded({"a": [1.0]}), WorkerCapacity(cpu_millicores=3000, memory_bytes=4 * GIB)
    run = recorded({"a": [1.0], "b": [0.0]})
    life = run.workers[1].incarnations[0]
    big = replace(run.workers[1], incarnations=(replace(life, entry=replace(life.entry, capacity=large)),))
    run = replace(run, workers=(small.workers[0], big))

    assert busy(run).cpu.mean_ratio == pytest.approx(0.25)
    np.testing.assert_allclose(series(run, "cpu_ratio"), [0.25])


def test_without_capacities_rows_weigh_the_same_and_core_seconds_are_unknown() -> None:
    use = busy(recorded({"a": [1.0], "b": [0.5]}, capacity=UNKNOWN_CAPACITY))

    assert use.cpu.mean_ratio == pytest.approx(0.75)
    assert use.cpu_core_s is None
    assert use.workers[0].memory_peak_bytes is None


def test_what_was_never_measured_is_unknown_and_not_zero() -> None:
    use = busy(recorded({"a": [None, None]}))

    assert use.cpu.mean_ratio is None
    assert use.cpu.max_ratio is None
    assert use.cpu_core_s is None
    assert use.gpu.mean_ratio is None
    assert use.testing_ratio is None
    assert (use.alive_s, use.measured_s) == (2.0, 0.0)


def test_a_worker_that_left_counts_only_while_it_lived() -> None:
    run = recorded({"a": [1.0, 1.0, None, None], "b": [0.5] * 4}, absent={"a": [2, 3]})

    use = busy(run)

    assert [worker.alive_s for worker in use.workers] == [2.0, 4.0]
    assert use.cpu.mean_ratio == pytest.approx((2 * 1.0 + 4 * 0.5) / 6)


def test_each_worker_has_its_tests_its_busy_and_its_idle_seconds() -> None:
    run = recorded(
        {"gw0": [1.0] * 4, "gw1": [0.5] * 4},
        more={"memory_ratio": {"gw0": [0.25, 0.5, 0.25, 0.25]}},
        tasks=[ran("a", start=0, end=1), ran("b", start=1, end=3), ran("b", start=3, end=3.5), ran("c", "gw1", end=1)],
    )

    first, second = busy(run).workers

    assert (first.tests, first.testing_s, first.idle_s) == (2, 3.5, 0.5)
    assert (second.tests, second.testing_s, second.idle_s) == (1, 1.0, 3.0)
    assert (first.memory_peak_ratio, first.memory_peak_bytes) == (0.5, 2 * GIB)
    assert second.memory_peak_bytes is None
    assert busy(run).testing_ratio == pytest.approx(4.5 / 8)


def test_processes_count_where_there_is_no_worker() -> None:
    use = busy(recorded({"make": [0.5]}, kind="process"))

    assert use.kind == "process"
    assert len(use.workers) == 1


def test_an_empty_run_knows_nothing() -> None:
    use = busy(Run.empty(header()))

    assert (use.workers, use.cpu.mean_ratio, use.cpu_core_s, use.alive_s) == ((), None, None, 0.0)
    assert host_idle(None, Run.empty(header())) == HostIdle()


def test_a_run_that_ended_inside_its_last_column_lasts_until_its_end() -> None:
    run = recorded({"a": [1.0, 1.0]})

    ended = replace(run, header=replace(run.header, ended_at_s=START_S + 1.25))

    assert wall_s(ended) == 1.25
    assert busy(ended).alive_s == 1.25


def host_of(*cpu: float | None, memory: float | None = None, cores: int = 8) -> Run:
    return recorded(
        {"host-1": list(cpu)},
        more={"memory_ratio": {"host-1": [memory] * len(cpu)}},
        kind="host",
        capacity=WorkerCapacity(cpu_millicores=cores * 1000, memory_bytes=32 * GIB),
    )


def test_cores_without_a_worker_and_idle_core_seconds() -> None:
    workers = recorded({"gw0": [1.0] * 4, "gw1": [0.5] * 4})

    idle = host_idle(host_of(0.25, 0.25, 0.5, 0.5, memory=0.5), workers)

    assert idle.cores == 8
    assert idle.cores_without_worker == 6
    assert idle.cpu_mean_ratio == pytest.approx(0.375)
    assert idle.idle_ratio == pytest.approx(0.625)
    assert idle.idle_core_s == pytest.approx(0.625 * 8 * 4)
    assert idle.others_cores == pytest.approx(8 * 0.375 - 1.5)
    assert idle.memory_max_ratio == 0.5


def test_a_host_that_was_not_measured_is_unknown_but_its_cores_are_not() -> None:
    idle = host_idle(host_of(None, None), recorded({"gw0": [1.0, 1.0]}))

    assert (idle.cores, idle.cores_without_worker) == (8, 7)
    assert (idle.idle_ratio, idle.idle_core_s, idle.memory_max_ratio) == (None, None, None)


def test_more_workers_than_cores_leave_no_core_not_a_negative_number() -> None:
    workers = recorded({f"gw{i}": [1.0] for i in range(4)})

    assert host_idle(host_of(1.0, cores=2), workers).cores_without_worker == 0.0


RATIOS = st.one_of(st.none(), st.floats(0, 2, width=32))


@given(st.lists(st.lists(RATIOS, min_size=5, max_size=5), min_size=1, max_size=4))
def test_means_lie_between_what_was_measured_and_parts_make_the_whole(rows: list[list[float | None]]) -> None:
    use = busy(recorded({f"w{i}": row for i, row in enumerate(rows)}))

    known = [value for row in rows for value in row if value is not None]
    if not known:
        assert use.cpu.mean_ratio is None
        return
    assert use.cpu.mean_ratio is not None
    assert use.cpu.mean_ratio == pytest.approx(sum(known) / len(known))
    assert use.cpu.max_ratio == pytest.approx(max(known))
    assert use.measured_s == pytest.approx(len(known)) == pytest.approx(sum(w.measured_s for w in use.workers))
    assert use.measured_s <= use.alive_s + 1e-9
    assert use.cpu_core_s == pytest.approx(sum(w.cpu_core_s for w in use.workers if w.cpu_core_s is not None))
