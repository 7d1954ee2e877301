"""The timeline of tests as numbers: bars, what is merged into them, and the rankings."""

from __future__ import annotations

import numpy as np
import pytest

from drmviz.figures.base import FigureOptions
from drmviz.figures.test_timeline import MOST_BARS, arrange, describe, draw_plotly, needs
from drmviz.figures.timeline import LOOKS, legend
from drmviz.model.run import Run
from drmviz.model.tasks import Task
from tests.building import START_S, ran, recorded

LIGHT = FigureOptions()


def run_of(*tasks: Task, seconds: int = 120, workers: tuple[str, ...] = ("gw0", "gw1")) -> Run:
    return recorded({worker: [0.5] * seconds for worker in workers}, tasks=tasks)


def test_each_test_is_a_bar_in_the_row_of_its_worker() -> None:
    timeline = arrange(run_of(ran("a", "gw1", start=10, end=30), ran("b", "gw0", start=5, end=6)), LIGHT)

    assert timeline.workers == ("gw0", "gw1")
    assert timeline.bars.row.tolist() == [0, 1]
    np.testing.assert_array_equal(timeline.bars.start_s - START_S, [5, 10])
    np.testing.assert_array_equal(timeline.bars.end_s - START_S, [6, 30])
    assert timeline.bars.texts == ("b · passed · 1 s", "a · passed · 20 s")
    assert needs(LIGHT) == ()


def test_neighbours_too_short_to_be_seen_become_one_bar_that_counts_them() -> None:
    short = [ran(f"t{i}", start=50 + i / 1000, end=50 + (i + 1) / 1000) for i in range(37)]

    bars = arrange(run_of(*short, ran("long", start=60, end=61)), LIGHT).bars

    assert bars.count.tolist() == [37, 1]
    assert bars.texts[0] == "37 tests, the first is t0"
    assert bars.start_s[0] - START_S == pytest.approx(50.0, abs=1e-6)
    assert bars.end_s[0] - START_S == pytest.approx(50.037, abs=1e-6)


def test_a_bad_outcome_is_never_merged_into_a_good_one() -> None:
    short = [ran(f"t{i}", start=50 + i / 1000, end=50 + (i + 1) / 1000) for i in range(10)]
    failed = ran("bad", start=50.0035, end=50.0039, outcome="failed")

    bars = arrange(run_of(*short, failed), LIGHT).bars

    assert [(LOOKS[look], n) for look, n in zip(bars.look.tolist(), bars.count.tolist(), strict=True)] == [
        ("passed", 10),
        ("failed", 1),
    ]


def test_a_hundred_thousand_tests_are_at_most_three_thousand_bars_and_none_is_lost() -> None:
    tasks = [ran(f"t{i}", f"gw{i % 50}", start=i / 1000, end=i / 1000 + 0.04) for i in range(100_000)]

    bars = arrange(run_of(*tasks, workers=tuple(f"gw{i}" for i in range(50))), LIGHT).bars

    assert len(bars.count) <= MOST_BARS
    assert bars.count.sum() == 100_000


def test_outcomes_are_told_by_mark_and_hatching_and_not_by_colour_alone() -> None:
    tasks = [ran(outcome, start=10 * i, end=10 * i + 9, outcome=outcome) for i, outcome in enumerate(LOOKS)]

    timeline = arrange(run_of(*tasks), LIGHT)
    traces = draw_plotly(timeline, LIGHT)["data"]

    assert [entry.number for entry in legend(timeline)] == [1, 1, 1, 1, 1]
    hatched = [trace["name"] for trace in traces if "pattern" in trace["marker"]]
    marks = {trace["name"].strip(): trace["marker"]["symbol"] for trace in traces if trace["type"] == "scatter"}
    assert hatched == ["failed", "error", "crashed"]
    assert marks == {"failed": "x", "error": "diamond", "crashed": "star"}


def test_skipped_and_expected_failures_are_neither_passed_nor_failed() -> None:
    tasks = [ran(o, start=10 * i, end=10 * i + 9, outcome=o) for i, o in enumerate(("skipped", "xfailed", "xpassed"))]

    assert arrange(run_of(*tasks), LIGHT).counts == (0, 3, 0, 0, 0)


def test_the_slowest_and_hungriest_twelve_are_ranked_most_first() -> None:
    tasks = [ran(f"t{i}", start=i, end=i + 0.5 + i / 10, memory_bytes=(20 - i) * 2**20) for i in range(20)]

    slowest, hungriest = arrange(run_of(*tasks), LIGHT).rankings

    assert slowest.names == tuple(f"t{i}" for i in range(19, 7, -1))
    assert slowest.written[0] == "2.4 s"
    assert hungriest.names == tuple(f"t{i}" for i in range(12))
    assert (hungriest.values[0], hungriest.written[0]) == (20 * 2**20, "20.0 MiB")


def test_where_no_memory_is_known_cpu_seconds_are_ranked() -> None:
    tasks = [ran("idle", start=0, end=9, cpu_s=0.25), ran("busy", start=9, end=11, cpu_s=2.0)]

    rankings = arrange(run_of(*tasks), LIGHT).rankings

    assert [(ranking.title, ranking.names) for ranking in rankings] == [
        ("Slowest tests", ("idle", "busy")),
        ("Most CPU time", ("busy", "idle")),
    ]


def test_where_neither_memory_nor_cpu_is_known_only_time_is_ranked() -> None:
    assert [ranking.title for ranking in arrange(run_of(ran("t")), LIGHT).rankings] == ["Slowest tests"]


def test_only_the_last_attempt_of_a_test_is_ranked_and_every_attempt_is_a_bar() -> None:
    tasks = [ran("flaky", start=0, end=50, outcome="failed"), ran("flaky", start=50, end=51)]

    timeline = arrange(run_of(*tasks), LIGHT)

    assert timeline.rankings[0].names == ("flaky",)
    assert timeline.rankings[0].values == (1.0,)
    assert len(timeline.bars.count) == 2


def test_a_worker_that_is_known_only_from_its_tests_has_a_row_too() -> None:
    assert arrange(run_of(ran("t", "gw9")), LIGHT).workers == ("gw0", "gw1", "gw9")


def test_a_test_that_outlasts_the_window_is_shown_whole() -> None:
    timeline = arrange(run_of(ran("t", start=-5, end=130)), LIGHT)

    assert (timeline.start_s - START_S, timeline.end_s - START_S) == (-5, 130)


def test_without_tests_it_says_so() -> None:
    timeline = arrange(run_of(), LIGHT)

    assert timeline.notice == "No tests were recorded in this window."
    assert draw_plotly(timeline, LIGHT)["data"] == []
    assert "No tests were recorded" in describe(timeline)


def test_a_description_names_outcomes_and_the_slowest_test() -> None:
    tasks = [ran("slow", start=0, end=9), ran("bad", start=9, end=10, outcome="failed")]

    said = describe(arrange(run_of(*tasks), LIGHT))

    assert "2 tests on 2 workers" in said
    assert "1 passed, 1 failed" in said
    assert "slowest tests: slow (9 s)" in said
