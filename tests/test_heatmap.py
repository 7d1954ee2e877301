"""The heatmap as numbers: what is measured, what is not, who did not live, and which rows are merged."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from drmviz.errors import InvalidValueError
from drmviz.figures import load
from drmviz.figures.base import CellText, FigureOptions
from drmviz.figures.heatmap import Heatmap, absences, row_means
from drmviz.figures.resource_utilization_heatmap import arrange, describe, draw_plotly, needs
from drmviz.figures.theme import ramp
from drmviz.model.decisions import FleetChange
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import Run
from tests.building import START_S, ran, recorded

CPU = FigureOptions(metric="cpu_ratio")
NAN = float("nan")


def many(rows: int, columns: int = 2, *, value: float = 0.5) -> Run:
    return recorded({f"w{i}": [value + i / 1000] * columns for i in range(rows)})


def test_ratios_become_percent_in_the_order_of_the_run() -> None:
    run = recorded({"b": [0.25, 0.5], "a": [None, 1.0]})

    heatmap = arrange(run, CPU)

    assert heatmap.panels[0].rows.workers == ("b", "a")
    np.testing.assert_array_equal(heatmap.panels[0].values, [[25.0, 50.0], [NAN, 100.0]])


def test_a_cell_is_measured_or_not_measured_or_not_alive_and_zero_is_measured() -> None:
    run = recorded({"gw0": [0.0, None, None]}, absent={"gw0": [2]})

    heatmap = arrange(run, CPU)

    np.testing.assert_array_equal(heatmap.panels[0].values, [[0.0, NAN, NAN]])
    np.testing.assert_array_equal(heatmap.panels[0].gaps, [[False, True, False]])
    assert absences(heatmap.panels[0].rows.alive) == [(0, 2, 3)]


def test_a_number_recorded_while_a_worker_was_not_alive_is_not_drawn() -> None:
    run = recorded({"gw0": [0.5, 0.5]}, absent={"gw0": [0]})

    heatmap = arrange(run, CPU)

    np.testing.assert_array_equal(heatmap.panels[0].values, [[NAN, 50.0]])


def test_more_than_a_hundred_percent_is_kept_and_only_its_colour_ends() -> None:
    run = recorded({"gw0": [1.75]})

    spec = draw_plotly(arrange(run, CPU), CPU)

    assert spec["data"][0]["z"].tolist() == [[175.0]]
    assert spec["layout"]["coloraxis"]["cmax"] == 100


def test_without_a_metric_there_is_a_panel_for_each_usual_one_that_was_measured() -> None:
    run = recorded({"a": [0.5]}, more={"gpu_ratio": {"a": [0.25]}, "cpu_reserved_ratio": {"a": [1.0]}})

    heatmap = arrange(run, FigureOptions())

    assert [(panel.name, float(panel.values[0, 0])) for panel in heatmap.panels] == [("CPU", 50.0), ("GPU", 25.0)]
    assert needs(FigureOptions()) == ("cpu_ratio", "memory_ratio", "gpu_ratio")


def test_one_metric_is_exactly_one_named_trace_whose_cells_start_at_x() -> None:
    run = recorded({"a": [0.5, 0.25], "b": [None, 1.0]}, absent={"b": [0]}, width_s=5.0)
    options = FigureOptions(metric="cpu_ratio", workers_named=True)

    (trace,) = draw_plotly(arrange(run, options), options)["data"]

    assert (trace["type"], trace["name"], trace["y"]) == ("heatmap", "CPU", ["a", "b"])
    assert trace["x"] == ["2026-09-21T14:13:20Z", "2026-09-21T14:13:25Z"]
    assert (trace["xperiod"], trace["xperiod0"], trace["xperiodalignment"]) == (5000.0, trace["x"][0], "middle")


def test_a_metric_that_was_read_and_never_measured_is_one_hatched_panel_that_says_so() -> None:
    run = recorded({"a": [0.5]})
    options = FigureOptions(metric="gpu_ratio")

    heatmap = arrange(run, options)

    assert heatmap.notice == "GPU was not measured in this window."
    assert heatmap.panels[0].gaps.all()
    assert len(draw_plotly(heatmap, options)["layout"]["images"]) == 1


def test_a_metric_that_was_not_read_is_an_error_that_names_it() -> None:
    run = dataclasses.replace(recorded({"a": [0.5]}), grids={})

    with pytest.raises(InvalidValueError, match="cpu_ratio"):
        arrange(run, CPU)


def test_nothing_measured_says_so_and_why() -> None:
    run = recorded({"a": [None]}, notes=["The recorder was killed."])

    heatmap = arrange(run, FigureOptions())

    assert heatmap.panels == ()
    assert heatmap.notice == "None of CPU, memory and GPU was measured in this window. The recorder was killed."
    assert "None of CPU" in describe(heatmap)


def test_tasks_running_are_counted_and_not_percent() -> None:
    run = recorded({"a": [0.5, 0.5]}, more={"tasks_running": {"a": [1.0, 4.0]}})
    options = FigureOptions(metric="tasks_running")

    heatmap = arrange(run, options)

    assert heatmap.panels[0].values.tolist() == [[1.0, 4.0]]
    assert draw_plotly(heatmap, options)["layout"]["coloraxis"]["cmax"] == 4.0


def test_a_thousand_rows_are_merged_two_by_two_and_it_is_said() -> None:
    heatmap = arrange(many(1000), CPU)

    assert len(heatmap.panels[0].rows.workers) == 500
    assert heatmap.panels[0].rows.workers[0] == "w0–w1 (2)"
    assert heatmap.panels[0].rows.workers[-1] == "w998–w999 (2)"
    assert "1,000 workers, 2 per row" in heatmap.subtitle
    np.testing.assert_allclose(heatmap.panels[0].values[0], [50.05, 50.05], rtol=1e-6)


def test_merged_rows_take_the_mean_of_what_was_measured_or_the_highest() -> None:
    run = many(1001, 1)
    values = run.grids["cpu_ratio", "mean"]
    values[:] = NAN
    values[0], values[1], values[3], values[4] = 0.2, 0.4, 0.6, 0.5

    mean = arrange(run, FigureOptions(metric="cpu_ratio")).panels[0].values
    highest = arrange(run, FigureOptions(metric="cpu_ratio", statistic="max")).panels[0].values

    assert len(mean) == 334  # three per row, the last one has two
    np.testing.assert_allclose(mean[:3, 0], [30.0, 55.0, NAN], rtol=1e-6)
    np.testing.assert_allclose(highest[:3, 0], [40.0, 60.0, NAN], rtol=1e-6)


def test_a_merged_row_lives_while_any_of_its_workers_does() -> None:
    run = many(1000)
    run.alive[0, 0] = run.alive[2, 0] = run.alive[3, 0] = False

    heatmap = arrange(run, CPU)

    assert heatmap.panels[0].rows.alive[:3, 0].tolist() == [True, False, True]


def test_named_workers_are_never_merged() -> None:
    heatmap = arrange(many(1000), FigureOptions(metric="cpu_ratio", workers_named=True))

    assert len(heatmap.panels[0].rows.workers) == 1000


def test_a_low_figure_merges_rows_to_what_its_pixels_show() -> None:
    heatmap = arrange(many(300), FigureOptions(metric="cpu_ratio", height=260))

    assert len(heatmap.panels[0].rows.workers) == 150
    assert "300 workers, 2 per row" in heatmap.subtitle


@pytest.mark.parametrize(("rows", "named"), [(3, 3), (30, 30), (45, 45), (100, 20), (500, 25)])
def test_every_row_is_named_while_names_fit_and_then_every_nth(rows: int, named: int) -> None:
    spec = draw_plotly(arrange(many(rows), CPU), CPU)

    assert len(spec["layout"]["yaxis"]["tickvals"]) == named
    assert spec["layout"]["yaxis"]["tickvals"][0] == "w0"


def test_a_cell_names_the_test_that_covered_most_of_it_and_counts_the_others() -> None:
    tasks = [ran("short", end=0.3), ran("long", start=0.3, end=1.5), ran("third", start=1.5, end=1.6), ran("x", "b")]
    run = recorded({"a": [0.5] * 3, "gw0": [0.5] * 3}, tasks=tasks)

    tests = arrange(run, CPU).panels[0].rows.tests

    assert isinstance(tests, CellText)
    assert tests.rows() == [["<br>no test"] * 3, ["<br>long, +1 more", "<br>long, +1 more", "<br>no test"]]


def test_a_test_that_ends_where_a_cell_begins_is_not_in_it() -> None:
    run = recorded({"gw0": [0.5] * 3}, tasks=[ran("t", start=1.0, end=2.0)])

    tests = arrange(run, CPU).panels[0].rows.tests

    assert tests is not None
    assert tests.rows() == [["<br>no test", "<br>t", "<br>no test"]]


def test_tests_outside_of_the_window_name_no_cell() -> None:
    run = recorded({"gw0": [0.5] * 2}, tasks=[ran("before", start=-5, end=-1), ran("after", start=2, end=3)])

    assert arrange(run, CPU).panels[0].rows.tests is None


def test_changes_of_the_fleet_are_marked_and_the_first_joins_are_not() -> None:
    changes = [
        FleetChange(at_s=START_S, worker="a", change="joined"),
        FleetChange(at_s=START_S + 30, worker="b", change="joined", why="asked for"),
        FleetChange(at_s=START_S + 30.2, worker="c", change="joined"),
        FleetChange(at_s=START_S + 40, worker="c", change="left", why="crashed"),
        FleetChange(at_s=START_S + 59, worker="a", change="left", why="finished"),
        FleetChange(at_s=START_S + 50, worker="host-1", change="joined"),
    ]
    run = recorded({name: [0.5] * 60 for name in "abc"}, changes=changes)

    events = arrange(run, CPU).events

    assert [(event.at_s - START_S, event.kind, event.text) for event in events] == [
        (30.0, "added", "2 workers added: b, c (asked for)"),
        (40.0, "lost", "1 worker lost: c (crashed)"),
    ]


def test_whole_ids_stay_in_y_and_only_what_is_shown_is_cut_and_escaped() -> None:
    name = "<b>" + "n" * 10_000
    options = FigureOptions(metric="cpu_ratio")

    spec = draw_plotly(arrange(recorded({name: [0.5]}), options), options)

    assert spec["data"][0]["y"] == [name]
    (shown,) = spec["layout"]["yaxis"]["ticktext"]
    assert shown.startswith("&lt;b&gt;nnn")
    assert "…" in shown
    assert len(spec["layout"]["yaxis"]["labelalias"][name]) <= 64 + 6


def test_the_numbers_are_not_changed_by_drawing() -> None:
    run = recorded({"a": [0.5, None]}, absent={"a": [1]})
    before = run.grids["cpu_ratio", "mean"].copy()

    draw_plotly(arrange(run, CPU), CPU)

    np.testing.assert_array_equal(run.grids["cpu_ratio", "mean"], before)


@pytest.mark.parametrize(("theme", "direction"), [("light", -1), ("dark", 1)])
def test_the_ramp_goes_one_way_in_lightness_and_its_low_end_is_near_the_surface(theme: str, direction: int) -> None:
    colours = ramp(theme).astype(np.float64)

    lightness = colours @ [0.2126, 0.7152, 0.0722]

    assert (np.diff(lightness) * direction > -1.5).all()
    assert abs(lightness[0] - (255 if theme == "light" else 25)) < 30


def test_a_description_says_what_is_shown_and_how_much() -> None:
    heatmap: Heatmap = arrange(recorded({"a": [0.25, 0.75]}), FigureOptions())

    assert describe(heatmap) == (
        "Heatmap of CPU (mean 50 %) of pytest -n 2 · 1 worker · 2026-09-21 14:13 UTC · 2 s · mean of 1 s per cell."
    )


def test_json_holds_every_number_in_full_and_unknown_is_null() -> None:
    from drmviz.figures.encoding import to_json

    options = FigureOptions(metric="cpu_ratio")
    module = load("resource_utilization_heatmap")
    run = recorded({"a": [0.123, None], "b": [0.0, 1.5]})

    figure = json.loads(to_json(module.draw_plotly(module.arrange(run, options), options)))

    assert figure["data"][0]["z"] == [[12.3, None], [0.0, 150.0]]
    assert set(figure) == {"data", "layout"}


def test_where_only_reservations_are_known_they_are_shown_and_called_so() -> None:
    run = recorded({"a": [None, None]}, more={"cpu_reserved_ratio": {"a": [0.25, 0.75]}})

    numbers = arrange(run, FigureOptions())
    one = arrange(run, FigureOptions(metric="cpu_ratio"))

    assert [panel.name for panel in numbers.panels] == ["CPU reserved"]
    np.testing.assert_array_equal(numbers.panels[0].values, [[25.0, 75.0]])
    assert numbers.notice == "Use was not measured: what was reserved is shown."
    assert [panel.metric for panel in one.panels] == ["cpu_reserved_ratio"]
    assert describe(numbers).startswith("Heatmap of CPU reserved (mean 50 %)")


def test_reservations_do_not_stand_in_where_some_use_was_measured() -> None:
    run = recorded({"a": [0.5, None]}, more={"memory_reserved_ratio": {"a": [0.25, 0.75]}})

    numbers = arrange(run, FigureOptions())

    assert [panel.metric for panel in numbers.panels] == ["cpu_ratio"]


def test_workers_of_one_provider_stand_together_and_keep_their_numbers() -> None:
    labels = {"a": {"provider": "gcp"}, "b": {"provider": "AWS"}, "c": {"provider": "gcp"}, "d": {}}
    run = recorded({"a": [0.1], "b": [0.2], "c": [0.3], "d": [0.4]}, labels=labels)

    numbers = arrange(run, CPU)
    named = arrange(run, FigureOptions(metric="cpu_ratio", workers_named=True))

    assert numbers.panels[0].rows.workers == ("b", "a", "c", "d")
    np.testing.assert_allclose(numbers.panels[0].values, [[20], [10], [30], [40]])
    assert [(g.provider, g.first, g.end) for g in numbers.panels[0].rows.groups] == [
        ("AWS", 0, 1),
        ("gcp", 1, 3),
        ("not known", 3, 4),
    ]
    assert named.panels[0].rows.workers == ("a", "b", "c", "d")


def test_workers_that_run_at_one_place_have_no_rail() -> None:
    run = recorded({"a": [0.1], "b": [0.2]}, labels={"a": {"provider": "aws"}, "b": {"provider": "aws"}})

    spec = draw_plotly(arrange(run, CPU), CPU)

    assert arrange(run, CPU).panels[0].rows.groups == ()
    assert not [shape for shape in spec["layout"]["shapes"] if shape.get("name") == "provider"]


def test_a_worker_without_a_gpu_has_no_row_among_those_that_have_one() -> None:
    capacity = {"with": WorkerCapacity(gpu_count=1), "without": WorkerCapacity(gpu_count=0), "may": WorkerCapacity()}
    run = recorded(
        {"with": [0.1], "without": [0.2], "may": [0.3]},
        more={"gpu_ratio": {"with": [0.5]}},
        capacity=capacity,
    )

    numbers = arrange(run, FigureOptions(metric="gpu_ratio"))
    panel = numbers.panels[0]

    assert panel.rows.workers == ("with", "may")
    assert panel.note == "2 of 3 workers have one"
    np.testing.assert_array_equal(panel.gaps, [[False], [True]])
    assert row_means(panel)[0] == 50.0
