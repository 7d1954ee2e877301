"""Each advice in a run that calls for it, and the arithmetic it promises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drmviz.analysis.advice import Advice
from drmviz.analysis.study import study
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import Run
from drmviz.model.tasks import Task
from tests.building import ran, recorded

GIB = 2**30


def machine(columns: int, *, cores: int, cpu: float = 0.25, memory: float = 0.25, gib: int = 32) -> Run:
    return recorded(
        {"host-1": [cpu] * columns},
        more={"memory_ratio": {"host-1": [memory] * columns}},
        kind="host",
        capacity=WorkerCapacity(cpu_millicores=cores * 1000, memory_bytes=gib * GIB),
    )


def advised(*tasks: Task, workers: int = 2, columns: int = 40, host: Run | None = None) -> Advice:
    run = recorded({f"gw{i}": [0.9] * columns for i in range(workers)}, tasks=tasks)
    return study(run, host).advice


def row_of_tests(worker: str, count: int, *, lasts: float = 1.0, start: float = 0.0, cpu: float = 0.9) -> list[Task]:
    return [
        ran(f"{worker}-{i}", worker, start=start + i * lasts, end=start + (i + 1) * lasts, cpu_s=cpu * lasts)
        for i in range(count)
    ]


def test_a_long_test_that_starts_last_should_start_first() -> None:
    late = ran("long", "gw1", start=10, end=20, cpu_s=9.0)

    advice = advised(*row_of_tests("gw0", 10), *row_of_tests("gw1", 10), late)

    assert (advice.kind, advice.test) == ("tail", "long")
    assert advice.saves_s == pytest.approx(5.0)  # 30 s on two workers, longest first: 15 s instead of 20 s
    assert "20.0 s on 2 workers" in advice.why
    assert "15.0 s" in advice.why


def test_a_test_longer_than_all_others_together_should_be_split() -> None:
    advice = advised(ran("giant", "gw0", start=0, end=30, cpu_s=30.0), *row_of_tests("gw1", 4))

    assert (advice.kind, advice.test) == ("split", "giant")
    assert advice.saves_s == pytest.approx(
        13.0
    )  # halves of 15 s and 4 s of others on two workers: 17 s instead of 30 s


def test_cores_without_a_worker_ask_for_more_workers() -> None:
    advice = advised(*row_of_tests("gw0", 20), *row_of_tests("gw1", 20), host=machine(40, cores=8, cpu=0.225))

    assert advice.kind == "workers"
    assert advice.sentence.startswith("Use -n 8:")
    assert advice.saves_s == pytest.approx(15.0)  # 40 tests of 1 s: 5 s on 8 workers instead of 20 s on 2


def test_more_workers_never_promise_less_than_the_longest_test() -> None:
    tasks = [
        ran("long", "gw0", start=0, end=10, cpu_s=9.0),
        *row_of_tests("gw0", 5, start=10),
        *row_of_tests("gw1", 15),
    ]

    advice = advised(*tasks, host=machine(40, cores=16, cpu=0.1))

    assert advice.kind == "workers"
    assert advice.sentence.startswith("Use -n 3:")
    assert advice.saves_s == pytest.approx(5.0)


def test_more_workers_must_fit_into_memory() -> None:
    heavy = ran("heavy", "gw0", start=20, end=21, cpu_s=0.9, memory_bytes=GIB, peak_bytes=7 * GIB)

    advice = advised(
        *row_of_tests("gw0", 20), *row_of_tests("gw1", 20), heavy, host=machine(40, cores=16, cpu=0.1, gib=32)
    )

    assert advice.sentence.startswith("Use -n 4:")  # 90 % of 32 GiB at 7 GiB each
    assert "7.0 GiB per worker of 32.0 GiB, so 4 fit" in advice.why


def test_cores_that_others_use_are_not_promised() -> None:
    advice = advised(*row_of_tests("gw0", 20), *row_of_tests("gw1", 20), host=machine(40, cores=8, cpu=1.0))

    assert advice.kind == "nothing"


def test_tests_that_wait_want_more_workers_than_cores() -> None:
    tasks = [*row_of_tests("gw0", 20, cpu=0.1), *row_of_tests("gw1", 20, cpu=0.1)]
    run = recorded({"gw0": [0.1] * 40, "gw1": [0.1] * 40}, tasks=tasks)

    advice = study(run, machine(40, cores=2, cpu=0.1)).advice

    assert advice.kind == "waiting"
    assert advice.sentence.startswith("Use -n 8:")
    assert "mostly waited" in advice.sentence
    assert advice.saves_s == pytest.approx(15.0)


def test_memory_near_its_limit_goes_before_any_saving() -> None:
    late = ran("long", "gw1", start=10, end=20, memory_bytes=GIB, peak_bytes=4 * GIB)

    advice = advised(*row_of_tests("gw0", 10), *row_of_tests("gw1", 10), late, host=machine(40, cores=2, memory=0.97))

    assert (advice.kind, advice.test, advice.saves_s) == ("memory", "long", None)
    assert "-n 1" in advice.sentence
    assert "97 %" in advice.why


def test_a_long_start_is_named_where_nothing_else_costs_as_much() -> None:
    advice = advised(ran("a", "gw0", start=30, end=31), ran("b", "gw1", start=30, end=31))

    assert (advice.kind, advice.saves_s) == ("startup", None)
    assert "30.0 s of 40.0 s" in advice.sentence


def test_a_run_without_waste_is_told_so_with_the_number() -> None:
    advice = advised(*row_of_tests("gw0", 38), *row_of_tests("gw1", 38))

    assert advice.kind == "nothing"
    assert advice.sentence == "Nothing worth changing: workers ran tests 95 % of the time, the tail is 0.0 s"


def test_a_run_without_tests_says_what_is_missing() -> None:
    assert advised().kind == "unknown"


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0.01, 20)), min_size=1, max_size=30),
    st.integers(1, 32),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_no_advice_promises_more_than_the_tests_took(
    laid: list[tuple[int, float]], cores: int, cpu: float, used: float
) -> None:
    free_s = [0.0] * 4
    tasks = []
    for i, (worker, lasts) in enumerate(laid):
        tasks.append(ran(f"t{i}", f"gw{worker}", start=free_s[worker], end=free_s[worker] + lasts, cpu_s=lasts * used))
        free_s[worker] += lasts
    columns = int(max(free_s)) + 1
    run = recorded({f"gw{i}": [used] * columns for i in range(4)}, tasks=tasks)

    advice = study(run, machine(columns, cores=cores, cpu=cpu)).advice

    if advice.saves_s is not None:
        longest_s = max(lasts for _, lasts in laid)
        left_s = max(free_s) - advice.saves_s
        assert advice.saves_s > 0
        assert left_s >= (longest_s / 2 if advice.kind == "split" else longest_s) - 1e-6
    assert advice.sentence
    assert not advice.sentence.endswith(".")
