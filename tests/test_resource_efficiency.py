"""Marks of used against reserved: their numbers, their names, and what is said where efficiency is not known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from drmviz.figures.base import FigureOptions
from drmviz.figures.efficiency_labels import LETTER_PX, LINE_PX, ROOM_PX, placed
from drmviz.figures.resource_efficiency import MOST_MARKS, arrange, describe, draw_matplotlib, draw_plotly, means, needs
from drmviz.figures.saving import content
from drmviz.figures.theme import LIGHT
from drmviz.model.metrics import Metric
from drmviz.model.resources import UNKNOWN_CAPACITY, WorkerCapacity
from drmviz.model.run import Run
from tests.building import recorded
from tests.contact_sheet import fleet, hostile, reservations_only

CPU = FigureOptions(metric="cpu_ratio")
TEN = WorkerCapacity(cpu_millicores=10_000, gpu_count=0)


def cores(
    used: Mapping[str, float | None],
    reserved: Mapping[str, float | None],
    *,
    capacity: WorkerCapacity | Mapping[str, WorkerCapacity] = TEN,
    providers: Mapping[str, str] | None = None,
    gone: tuple[str, ...] = (),
) -> Run:
    """Return a run of two columns with these shares of each worker."""
    return recorded(
        {name: [value, value] for name, value in used.items()},
        more={"cpu_reserved_ratio": {name: [value, value] for name, value in reserved.items()}},
        capacity=capacity,
        labels={name: {"provider": provider} for name, provider in (providers or {}).items()},
        absent=dict.fromkeys(gone, (1,)),
    )


def many(number: int) -> Run:
    """Return workers all over the plane."""
    random = np.random.default_rng(7)
    names = [f"w{place}" for place in range(number)]
    used, reserved = (dict(zip(names, random.uniform(0, 1, number).tolist(), strict=True)) for _ in range(2))
    return cores(used, reserved)


def trace(run: Run, options: FigureOptions = CPU) -> dict[str, Any]:
    """Return the one trace of the one metric."""
    (only,) = json.loads(content("resource_efficiency", run, "json", options))["data"]
    assert isinstance(only, dict)
    return only


def texts(run: Run, options: FigureOptions = CPU) -> list[str]:
    return [mark["text"] for mark in draw_plotly(arrange(run, options), options)["layout"]["annotations"]]


def test_a_mark_lies_where_its_worker_reserves_and_uses() -> None:
    only = trace(cores({"a": 0.25, "b": 0.75}, {"a": 0.5, "b": 1.0}))

    assert (only["type"], only["mode"], only["name"]) == ("scatter", "markers", "CPU")
    assert (only["x"], only["y"], only["customdata"]) == ([50.0, 100.0], [25.0, 75.0], ["a", "b"])


def test_there_is_one_trace_for_each_resource_of_which_an_efficiency_is_known() -> None:
    spec = draw_plotly(arrange(fleet(6, 8), FigureOptions()), FigureOptions())
    without_gpu = draw_plotly(arrange(fleet(6, 8, gpu=False), FigureOptions()), FigureOptions())

    assert [part["name"] for part in spec["data"]] == ["CPU", "Memory", "GPU"]
    assert [part["name"] for part in without_gpu["data"]] == ["CPU", "Memory"]
    assert means(FigureOptions()) == needs(FigureOptions(statistic="max")) == (
        "cpu_ratio", "cpu_reserved_ratio", "memory_ratio", "memory_reserved_ratio", "gpu_ratio", "gpu_reserved_ratio",
    )  # fmt: skip


@pytest.mark.parametrize("metric", ["cpu_ratio", "memory_ratio", "gpu_ratio", "gpu_memory_ratio", "cpu_reserved_ratio"])
@pytest.mark.parametrize("run", [fleet(3, 4), fleet(3, 4, reserved=False), reservations_only()])
def test_one_metric_is_exactly_one_trace_whatever_is_known(metric: Metric, run: Run) -> None:
    name = {"cpu": "CPU", "memory": "Memory", "gpu": "GPU"}[metric.split("_")[0]]
    name = "GPU memory" if metric == "gpu_memory_ratio" else name

    assert trace(run, FigureOptions(metric=metric))["name"] == name


def test_full_numbers_let_a_machine_recompute_every_efficiency() -> None:
    run = fleet(30, 20)
    only = trace(run)

    by_hand = {
        worker.id: 100 * float(np.mean(run.values("cpu_ratio")[row], dtype=np.float64))
        for row, worker in enumerate(run.workers)
    }
    assert dict(zip(only["customdata"], only["y"], strict=True)) == pytest.approx(by_hand, rel=1e-9)


def test_the_highest_use_is_shown_against_the_highest_reservation() -> None:
    run = recorded({"a": [0.25, 1.0]}, more={"cpu_reserved_ratio": {"a": [1.0, 0.5]}}, capacity=TEN)
    options = FigureOptions(metric="cpu_ratio", statistic="max")

    only, numbers = trace(run, options), arrange(run, options)

    assert (only["x"], only["y"]) == ([100.0], [100.0])
    assert "highest use against highest reservation" in numbers.subtitle
    assert numbers.panels[0].heading == ("100 % of 10 reserved cores used", "0 idle, each at its highest")


def test_who_is_above_what_it_has_lies_beyond_a_hundred_percent() -> None:
    numbers = arrange(cores({"a": 1.5}, {"a": 1.2}), CPU)
    layout = draw_plotly(numbers, CPU)["layout"]

    assert numbers.panels[0].ends == (125.0, 175.0)
    assert (layout["xaxis"]["range"], layout["yaxis"]["range"]) == ([0, 125.0], [0, 175.0])
    assert sum(shape.get("line", {}).get("color") == LIGHT.line_strong for shape in layout["shapes"]) == 2


def test_the_wedge_is_where_less_than_half_of_a_reservation_worth_naming_is_used() -> None:
    (panel,) = arrange(cores({"a": 0.5}, {"a": 1.0}), CPU).panels

    assert panel.wedge == [(10.0, 0.0), (10.0, 5.0), (100.0, 50.0), (100.0, 0.0)]


def test_the_wasteful_are_named_and_listed_by_what_lies_idle() -> None:
    run = cores({"small": 0.1, "big": 0.0, "good": 0.9}, {"small": 0.3, "big": 0.875, "good": 1.0})

    (panel,) = arrange(run, CPU).panels

    assert [(worst.id, worst.idle, worst.shares) for worst in panel.worst] == [
        ("big", "8.8 cores idle", "used 0 % of 88 % reserved"),
        ("small", "2 cores idle", "used 10 % of 30 % reserved"),
    ]
    assert [label.text for label in panel.labels] == ["big", "small"]
    assert panel.waste == "2 of 3 used less than half"
    assert "<b>8.8 cores idle</b>" in texts(run)


def test_what_explains_the_wedge_makes_room_for_the_worst() -> None:
    in_the_corner = arrange(cores({"a": 0.03}, {"a": 0.8}), CPU).panels[0]
    elsewhere = arrange(cores({"a": 0.2}, {"a": 0.6}), CPU).panels[0]

    assert (in_the_corner.corner, [label.text for label in in_the_corner.labels]) == ("left", ["a"])
    assert (elsewhere.corner, [label.text for label in elsewhere.labels]) == ("right", ["a"])


def test_the_heading_is_the_efficiency_of_the_fleet() -> None:
    (panel,) = arrange(cores({"a": 0.25, "b": 0.5}, {"a": 0.75, "b": 0.5}), CPU).panels

    assert panel.heading == ("60 % of 12 reserved cores used", "5 idle")


def test_who_has_no_mark_is_counted_with_the_reason() -> None:
    run = cores(
        {"a": 0.5, "b": None, "c": None, "d": 0.5, "e": 0.0}, {"a": 0.5, "b": 0.5, "c": 0.5, "d": None, "e": 0.0}
    )

    (panel,) = arrange(run, CPU).panels

    assert panel.workers == ("a", "e")
    assert panel.notes == (
        "2 workers: use not measured", "1 worker: reservation not known", "1 worker: nothing reserved and nothing used",
    )  # fmt: skip


def test_a_resource_that_nothing_reserves_is_left_out_and_said() -> None:
    half = {"a": [0.5]}
    run = recorded(half, more={"cpu_reserved_ratio": half, "memory_ratio": half}, capacity=TEN)

    numbers = arrange(run, FigureOptions())

    assert [panel.name for panel in numbers.panels] == ["CPU"]
    assert "Memory: no reservation known" in numbers.subtitle


@pytest.mark.parametrize(
    ("run", "notice"),
    [
        (reservations_only(),
         "Use was not measured: this manager states reservations only, and efficiency is used over reserved."),
        (fleet(3, 4, reserved=False),
         "Nothing was reserved, as far as is known, and efficiency is used over reserved."),
        (cores({"a": 0.0}, {"a": 0.0}), "No worker's efficiency is known: nothing reserved and nothing used (1)."),
        (cores({"a": 0.5, "b": None}, {"a": None, "b": 0.5}),
         "No worker's efficiency is known: use not measured (1), reservation not known (1)."),
        (recorded({"a": [None]}), "Neither use nor reservations were recorded in this window."),
        (Run.empty(recorded({}).header), "Nothing has been recorded yet."),
    ],
)  # fmt: skip
def test_where_no_efficiency_is_known_the_picture_says_why(run: Run, notice: str) -> None:
    numbers = arrange(run, FigureOptions())
    spec = draw_plotly(numbers, FigureOptions())

    assert (numbers.panels, numbers.notice, spec["data"]) == ((), notice, [])
    assert spec["layout"]["annotations"][0]["text"].replace("<br>", " ") == notice
    assert draw_matplotlib(numbers, FigureOptions()).texts
    assert describe(numbers) == f"Efficiency without numbers: {notice.rstrip('.')}."


def test_tasks_are_no_resource() -> None:
    numbers = arrange(fleet(3, 4), FigureOptions(metric="tasks_running"))

    assert numbers.notice == "Tasks are counted and not reserved or used up; ask for cpu, memory or gpu."
    assert means(FigureOptions(metric="tasks_running")) == ()


def test_providers_have_a_shape_and_a_colour_and_are_named() -> None:
    run = cores(
        {"a": 0.5, "b": 0.5, "c": 0.5}, {"a": 0.6, "b": 0.7, "c": 0.8}, providers={"a": "aws", "b": "<i>gcp</i>"}
    )

    marker = trace(run)["marker"]

    assert len(set(marker["symbol"])) == len(set(marker["color"])) == 3
    (legend,) = [text for text in texts(run) if "aws" in text]
    assert "&lt;i&gt;gcp&lt;/i&gt;" in legend
    assert "provider not known" in legend


def test_without_a_provider_there_is_one_shape() -> None:
    marker = trace(cores({"a": 0.5, "b": 0.5}, {"a": 0.6, "b": 0.7}))["marker"]

    assert (marker["symbol"], marker["color"]) == ("circle", LIGHT.accent)


def test_who_left_has_a_hollow_mark() -> None:
    run = cores({"here": 0.5, "left": 0.1}, {"here": 0.6, "left": 0.7}, gone=("left",))

    assert trace(run)["marker"]["symbol"] == ["circle", "circle-open"]
    assert any("left before the end" in text for text in texts(run))
    assert arrange(run, CPU).panels[0].worst[0].shares == "used 10 % of 70 % reserved, left"


def test_who_left_is_listed_after_who_is_still_there() -> None:
    run = cores({"left": 0.0, "here": 0.1, "good": 0.9}, {"left": 1.0, "here": 0.5, "good": 1.0}, gone=("left",))

    assert [worst.id for worst in arrange(run, CPU).panels[0].worst] == ["here", "left"]


def test_marks_grow_with_capacity_in_three_steps() -> None:
    sizes = {
        name: WorkerCapacity(cpu_millicores=cores_of * 1000) for name, cores_of in zip("abc", (4, 8, 16), strict=True)
    }
    half = dict.fromkeys("abcd", 0.5)

    (panel,) = arrange(cores(half, half, capacity=sizes | {"d": UNKNOWN_CAPACITY}), CPU).panels

    assert panel.step.tolist() == [0, 1, 2, 1]
    assert list(panel.sizes_px) == sorted(panel.sizes_px)


def test_an_unknown_capacity_leaves_the_shares() -> None:
    (panel,) = arrange(cores({"a": 0.1}, {"a": 0.5}, capacity=UNKNOWN_CAPACITY), CPU).panels

    assert (panel.reserved.tolist(), panel.used.tolist()) == ([50.0], [pytest.approx(10.0)])
    assert panel.heading == ("20 % of what is reserved is used", "capacity not known")
    assert panel.worst[0].idle == "40 % of capacity idle"


def test_ten_thousand_workers_become_few_marks_that_say_for_how_many_they_stand() -> None:
    run = many(10_000)

    (panel,) = arrange(run, CPU).panels

    assert 500 < len(panel.workers) <= MOST_MARKS
    stand_for = [int(line.split()[1]) + 1 for lines in panel.hovers for line in lines if line.endswith("about here")]
    alone = sum(not lines[-1] for lines in panel.hovers)
    assert sum(stand_for) + alone == 10_000
    assert f"{len(panel.workers):,} marks stand for 10,000 workers" in panel.notes
    assert panel.waste.endswith("of 10,000 used less than half")
    assert len(content("resource_efficiency", run, "json", CPU)) < 500_000


def test_the_worst_of_a_cell_is_the_one_that_is_kept() -> None:
    names = [f"w{place}" for place in range(MOST_MARKS + 500)]
    used: dict[str, float | None] = {name: 0.9 - place * 1e-7 for place, name in enumerate(names)}
    run = cores(used | {"worst": 0.1}, dict.fromkeys([*names, "worst"], 0.9))

    (panel,) = arrange(run, CPU).panels

    assert "worst" in panel.workers
    assert panel.labels[0].text == "worst"
    assert names[-1] in panel.workers


def test_named_workers_keep_a_mark_each() -> None:
    options = FigureOptions(metric="cpu_ratio", workers_named=True)

    assert len(trace(many(MOST_MARKS + 100), options)["x"]) == MOST_MARKS + 100


def test_no_name_covers_another_or_leaves_the_panel() -> None:
    random = np.random.default_rng(3)
    x, y = random.uniform(0.4, 1, 60), random.uniform(0, 0.4, 60)

    labels, corner = placed(range(60), ["gcp-n2-e52b"] * 60, x, y, most=8)

    width, boxes = LETTER_PX * 11, []
    for label in labels:
        left = x[label.mark] * ROOM_PX[0] + {"right": 7, "left": -7 - width}.get(label.side, -width / 2)
        middle = (1 - y[label.mark]) * ROOM_PX[1] + {"above": -7 - LINE_PX / 2, "below": 7 + LINE_PX / 2}.get(
            label.side, 0
        )
        boxes.append((left, middle - LINE_PX / 2, left + width, middle + LINE_PX / 2))
    assert len(boxes) >= 4
    assert corner in ("right", "left")
    for place, one in enumerate(boxes):
        assert one[0] >= -0.01
        assert one[2] <= ROOM_PX[0] + 0.01
        for other in boxes[place + 1 :]:
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_the_still_picture_has_one_collection_for_each_shape() -> None:
    run = cores(
        {"a": 0.5, "b": 0.6, "c": 0.7}, {"a": 0.6, "b": 0.7, "c": 0.8}, providers={"a": "x", "b": "y", "c": "x"}
    )

    figure = draw_matplotlib(arrange(run, CPU), CPU)

    marks = [part for axes in figure.axes for part in axes.collections if isinstance(part, PathCollection)]
    drawn = sorted(tuple(point) for part in marks for point in np.asarray(part.get_offsets()).tolist())
    assert len(marks) == 2
    np.testing.assert_allclose(drawn, [(60, 50), (70, 60), (80, 70)], rtol=1e-6)


def test_panels_stand_beside_each_other_on_a_page_and_below_each_other_on_a_phone() -> None:
    spec = draw_plotly(arrange(fleet(6, 8), FigureOptions()), FigureOptions())
    layout, narrow = spec["layout"], spec["narrow"]

    assert layout["yaxis"]["domain"] == layout["yaxis3"]["domain"]
    assert layout["xaxis"]["domain"][1] < layout["xaxis2"]["domain"][0]
    assert narrow["xaxis2.domain"] == [0, 1]
    assert narrow["yaxis.domain"][0] > narrow["yaxis2.domain"][1]
    assert narrow["height"] > layout["height"]


def test_a_narrow_width_is_laid_out_like_a_phone_in_both_libraries() -> None:
    options = FigureOptions(width=400)
    numbers = arrange(fleet(6, 8), options)

    layout, figure = draw_plotly(numbers, options)["layout"], draw_matplotlib(numbers, options)

    assert layout["xaxis2"]["domain"] == [0, 1]
    assert figure.get_size_inches()[1] > 3 * figure.get_size_inches()[0]


def test_a_low_picture_lists_fewer() -> None:
    options = FigureOptions(metric="memory_ratio", height=500)
    numbers = arrange(fleet(30, 8), options)

    layout = draw_plotly(numbers, options)["layout"]

    assert abs(layout["height"] - 500) <= 2
    assert 0 < sum(" idle</b>" in mark["text"] for mark in layout["annotations"]) < len(numbers.panels[0].worst)


def test_hostile_names_stay_whole_in_the_numbers_and_harmless_in_the_texts() -> None:
    only = trace(hostile())

    assert "</script><script>alert(1)</script>" in only["customdata"]
    assert "n" * 10_000 in only["customdata"]
    assert not any("<script" in text or "<a " in text or "<b>bold" in text for text in only["hovertext"])
    assert not any("<script" in text or "<a " in text or "<b>bold" in text for text in texts(hostile()))


def test_hover_tells_all_of_a_mark() -> None:
    run = cores({"a": 0.25}, {"a": 1.0}, providers={"a": "aws"})

    assert trace(run)["hovertext"] == [
        "a<br>used 25 % of 100 % reserved, of its capacity<br>efficiency 25 %, 7.5 cores idle, of 10 cores<br>aws"
    ]


def test_the_description_says_the_efficiency_of_each_resource() -> None:
    said = describe(arrange(cores({"a": 0.25, "b": 0.5}, {"a": 0.75, "b": 0.5}), CPU))

    assert said.startswith("Marks of used against reserved; CPU: 60 % of 12 reserved cores used, 5 idle, 1 of 2 used")
    assert said.endswith(".")


def test_the_share_is_of_the_reservations_of_those_whose_use_is_known() -> None:
    (panel,) = arrange(cores({"a": 0.5, "b": None}, {"a": 1.0, "b": 1.0}), CPU).panels

    assert panel.heading == ("50 % of 10 reserved cores used", "5 idle")


def test_where_nothing_is_reserved_no_share_of_it_is_used() -> None:
    (panel,) = arrange(cores({"a": 0.5}, {"a": 0.0}), CPU).panels

    assert panel.heading == ("5 cores used, none reserved", "0 idle")
