"""What tests cost, by hand-computed numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drmviz.analysis import tests as sums
from drmviz.analysis.schedule import longest_first, schedule
from drmviz.model.run import Run
from drmviz.model.tasks import Task
from drmviz.model.workers import Worker
from tests.building import START_S, header, ran, recorded

MIB = 2**20


def of(*tasks: Task, workers: int = 2) -> Run:
    return recorded({f"gw{i}": [0.5] * 10 for i in range(workers)}, tasks=tasks)


def test_a_rerun_counts_once_with_its_last_outcome_and_all_its_seconds() -> None:
    table = sums.tests(of(ran("t", start=0, end=1, outcome="failed"), ran("t", start=1, end=3), ran("u", "gw1")))

    (rerun, other) = sorted(table.rows, key=lambda row: row.last.name)
    assert (rerun.last.outcome, len(rerun.attempts), rerun.seconds) == ("passed", 2, 2.0)
    assert other.last.worker == "gw1"
    assert table.outcomes == {"passed": 2}
    assert table.total_s == 4.0
    assert [(w.worker, w.tests, w.seconds) for w in table.by_worker] == [("gw0", 1, 3.0), ("gw1", 1, 1.0)]


def test_the_same_test_on_another_worker_is_another_row() -> None:
    assert len(sums.tests(of(ran("t", "gw0"), ran("t", "gw1"))).rows) == 2


def test_slowest_hungriest_and_most_cpu_leave_out_the_unknown() -> None:
    table = sums.tests(
        of(
            ran("slow", start=0, end=5, cpu_s=1.0, memory_bytes=0),
            ran("hungry", start=5, end=6, cpu_s=0.5, memory_bytes=9 * MIB),
            ran("unknown", start=6, end=7),
        )
    )

    assert [row.last.name for row in table.slowest(1)] == ["slow"]
    assert [row.last.name for row in table.hungriest(9)] == ["hungry"]
    assert [row.last.name for row in table.most_cpu(9)] == ["slow", "hungry"]
    assert table.cpu_s == 1.5


def test_a_worker_without_tests_stands_in_the_table_with_unknown_cpu() -> None:
    (first, second) = sums.tests(of(ran("t", cpu_s=0.25))).by_worker

    assert (first.tests, first.cpu_s) == (1, 0.25)
    assert (second.tests, second.seconds, second.cpu_s) == (0, 0.0, None)


def test_the_peak_belongs_to_the_earliest_test_that_raised_the_mark_to_it() -> None:
    table = sums.tests(
        of(
            ran("before", start=0, end=1, memory_bytes=0, peak_bytes=100 * MIB),
            ran("raised", start=1, end=2, memory_bytes=50 * MIB, peak_bytes=150 * MIB),
            ran("after", start=2, end=3, memory_bytes=0, peak_bytes=150 * MIB),
            ran("other", "gw1", start=0, end=1, memory_bytes=20 * MIB, peak_bytes=120 * MIB),
        )
    )

    assert table.peak == sums.Peak(bytes=150 * MIB, worker="gw0", test="raised")


def test_a_peak_that_no_test_raised_has_no_test() -> None:
    table = sums.tests(of(ran("t", memory_bytes=0, peak_bytes=100 * MIB)))

    assert table.peak == sums.Peak(bytes=100 * MIB, worker="gw0", test=None)


def test_the_tail_runs_from_the_first_worker_out_of_tests_to_the_last_end() -> None:
    table = sums.tests(of(ran("a", end=2), ran("b", "gw1", end=1), ran("long", "gw1", start=1, end=7)))

    tail = table.tail
    assert tail is not None
    assert (tail.seconds, tail.from_s - START_S, tail.idle_worker_s) == (5.0, 2.0, 5.0)
    assert [task.name for task in tail.tests] == ["long"]


def test_the_test_that_took_most_of_the_tail_is_named_first() -> None:
    tail = sums.tests(of(ran("a", end=2), ran("long", "gw1", start=1, end=7), ran("short", "gw1", start=7, end=8))).tail

    assert tail is not None
    assert [task.name for task in tail.tests] == ["long", "short"]


def test_a_crashed_worker_did_not_run_out_of_tests() -> None:
    crash = ran("boom", "gw2", end=1, outcome="crashed")
    tail = sums.tests(of(crash, ran("a", end=6), ran("b", "gw1", end=7), workers=3)).tail

    assert tail is not None
    assert tail.seconds == 1.0


def test_a_lost_worker_did_not_run_out_of_tests() -> None:
    run = of(ran("a", end=1), ran("b", "gw1", end=7))
    life = replace(run.workers[0].incarnations[0], left_at_s=START_S + 2, why_left="lost")
    run = replace(run, workers=(Worker(id="gw0", incarnations=(life,)), run.workers[1]))

    tail = sums.tests(run).tail
    assert tail is not None
    assert tail.seconds == 0.0


def test_one_worker_has_no_tail_and_no_tests_leave_everything_unknown() -> None:
    one = sums.tests(of(ran("a", end=2), workers=1)).tail
    none = sums.tests(of())

    assert one is not None
    assert (one.seconds, one.idle_worker_s, one.tests) == (0.0, 0.0, ())
    assert (none.tail, none.peak, none.startup_s, none.cpu_s, none.first_start_s) == (None,) * 5
    assert (none.rows, none.total_s, none.outcomes) == ((), 0, {})
    assert sums.tests(Run.empty(header())).rows == ()


def test_startup_lasts_until_the_first_test() -> None:
    assert sums.tests(of(ran("a", start=3.5, end=4))).startup_s == 3.5


def test_longest_first_never_beats_the_longest_test() -> None:
    assert longest_first([3, 3, 2, 2, 2], 2) == 7.0
    assert longest_first([10, 1, 1], 8) == 10.0
    assert longest_first([], 4) == 0.0


def test_time_between_tests_is_the_mean_of_the_workers() -> None:
    plan = schedule(sums.tests(of(ran("a", end=1), ran("b", start=2, end=3), ran("c", "gw1", end=3))))

    assert plan is not None
    assert (plan.span_s, plan.between_s, plan.workers) == (3.0, 0.5, 2)
    assert plan.durations_s == (3.0, 1.0, 1.0)
    assert plan.expected_s(2) == 3.5
    assert plan.expected_s(4) == 3.25


ATTEMPTS = st.lists(
    st.builds(
        lambda name, worker, start, lasts, cpu, rise, peak: ran(
            name, f"gw{worker}", start=start, end=start + lasts, cpu_s=cpu, memory_bytes=rise, peak_bytes=peak
        ),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 3),
        st.floats(0, 50),
        st.floats(0, 9),
        st.none() | st.floats(0, 9),
        st.none() | st.integers(0, 9),
        st.none() | st.integers(0, 99),
    ),
    max_size=12,
)


@given(ATTEMPTS)
def test_sums_by_worker_equal_the_totals_and_the_tail_is_never_negative(tasks: list[Task]) -> None:
    table = sums.tests(of(*tasks, workers=3))

    assert sum(worker.tests for worker in table.by_worker) == len(table.rows) == sum(table.outcomes.values())
    assert sum(worker.seconds for worker in table.by_worker) == pytest.approx(table.total_s)
    assert sum(len(row.attempts) for row in table.rows) == len(tasks)
    assert sum(worker.cpu_s or 0.0 for worker in table.by_worker) == pytest.approx(table.cpu_s or 0.0)
    if table.tail is not None:
        assert 0 <= table.tail.seconds <= table.tail.to_s - START_S + 1e-6
        assert table.tail.idle_worker_s >= table.tail.seconds - 1e-6 or len(table.tail.tests) == 0
    plan = schedule(table)
    if plan is not None:
        assert plan.expected_s(5) >= plan.durations_s[0] - 1e-9
