"""Bars of what is used, reserved and free: their numbers, their order, and how both libraries draw them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drmviz.figures.amounts import amount
from drmviz.figures.base import FigureOptions
from drmviz.figures.resource_allocation import arrange, describe, draw_matplotlib, draw_plotly, means, needs
from drmviz.figures.saving import content
from drmviz.figures.theme import LIGHT, rgb_of
from drmviz.model.resources import UNKNOWN_CAPACITY, WorkerCapacity
from drmviz.model.run import Run
from tests.building import recorded
from tests.contact_sheet import fleet, hostile, reservations_only

CPU = FigureOptions(metric="cpu_ratio")
NAN = float("nan")
SIXTEEN = WorkerCapacity(cpu_millicores=16_000, memory_bytes=64 * 2**30, gpu_count=0)


def cores(
    used: Mapping[str, float | None],
    reserved: Mapping[str, float | None],
    *,
    capacity: WorkerCapacity | Mapping[str, WorkerCapacity] = SIXTEEN,
    absent: Mapping[str, Sequence[int]] | None = None,
) -> Run:
    """Return a run of two columns with these shares of each worker."""
    return recorded(
        {name: [value, value] for name, value in used.items()},
        more={"cpu_reserved_ratio": {name: [value, value] for name, value in reserved.items()}},
        capacity=capacity,
        absent=absent,
    )


def many(number: int) -> Run:
    """Return workers of which each later one has less idle."""
    names = [f"w{place}" for place in range(number)]
    return cores({name: place / number for place, name in enumerate(names)}, dict.fromkeys(names, 1.0))


def traces(run: Run, options: FigureOptions = CPU) -> dict[str, dict[str, Any]]:
    """Return the traces of one panel by name."""
    return {trace["name"]: trace for trace in json.loads(content("resource_allocation", run, "json", options))["data"]}


def test_each_bar_is_used_idle_and_free_in_true_cores() -> None:
    drawn_as = traces(cores({"a": 0.25}, {"a": 0.75}))

    assert [(name, trace["x"]) for name, trace in drawn_as.items()] == [
        ("used", [4.0]), ("reserved, idle", [8.0]), ("free", [4.0]),
    ]  # fmt: skip
    assert all(trace["y"] == ["a"] for trace in drawn_as.values())


def test_each_resource_has_its_panel_and_its_unit() -> None:
    half = {"a": [0.5]}
    run = recorded(
        half, more={"memory_ratio": half, "gpu_ratio": half},
        capacity=WorkerCapacity(cpu_millicores=8000, memory_bytes=3 * 2**30, gpu_count=2),
    )  # fmt: skip

    panels = arrange(run, FigureOptions()).panels

    assert [(panel.name, panel.unit, panel.used.tolist()) for panel in panels] == [
        ("CPU", "cores", [4.0]), ("Memory", "GiB", [1.5]), ("GPU", "devices", [1.0]),
    ]  # fmt: skip


def test_one_metric_is_one_panel_whether_it_names_use_or_reservation() -> None:
    run = fleet(3, 4)

    by_use, by_reservation = (
        arrange(run, FigureOptions(metric=metric)) for metric in ("memory_ratio", "memory_reserved_ratio")
    )

    assert [panel.name for panel in by_use.panels] == ["Memory"]
    assert by_use.panels[0].labels == by_reservation.panels[0].labels
    assert means(FigureOptions(metric="gpu_reserved_ratio")) == ("gpu_ratio", "gpu_reserved_ratio")
    assert needs(FigureOptions(metric="gpu_reserved_ratio", statistic="max")) == ("gpu_ratio", "gpu_reserved_ratio")
    assert needs(FigureOptions()) == ()


def test_most_idle_reservation_comes_first_then_what_is_free() -> None:
    run = cores({"full": 1.0, "b": 0.5, "free": 0.0, "a": 0.0}, {"full": 1.0, "b": 0.75, "free": 0.0, "a": 1.0})

    assert arrange(run, CPU).panels[0].labels == ("a", "b", "free", "full")


def test_who_left_comes_last_dimmed_and_said() -> None:
    run = cores({"left": 0.0, "here": 0.5}, {"left": 1.0, "here": 0.75}, absent={"left": [1]})

    numbers = arrange(run, CPU)
    spec = draw_plotly(numbers, CPU)

    assert numbers.panels[0].labels == ("here", "left")
    assert numbers.panels[0].gone.tolist() == [False, True]
    assert [trace["marker"]["opacity"] for trace in spec["data"]] == [[1, 0.4]] * 3
    assert "gone" in [mark["text"] for mark in spec["layout"]["annotations"]]
    assert "who left last and dimmed" in numbers.subtitle


def test_use_above_the_reservation_is_drawn_in_full_with_a_tick_at_the_reservation() -> None:
    run = cores({"a": 1.25}, {"a": 0.5})

    drawn_as = traces(run)

    assert drawn_as["used"]["x"] == [20.0]
    assert drawn_as["reserved, idle"]["x"] == drawn_as["free"]["x"] == [0.0]
    tick = drawn_as["reservation or capacity exceeded"]
    assert (tick["x"], tick["y"], tick["text"]) == ([8.0, 16.0], ["a", "a"], ["reservation", "capacity"])


def test_unmeasured_use_is_hatched_as_far_as_is_reserved() -> None:
    drawn_as = traces(cores({"a": None, "b": 0.5}, {"a": 0.75, "b": 0.5}))

    assert drawn_as["used"]["y"] == ["b", "a"]
    assert drawn_as["used"]["x"] == [8.0, None]
    assert drawn_as["use not measured"]["x"] == [None, 12.0]
    assert drawn_as["use not measured"]["marker"]["pattern"]["shape"] == "/"
    assert drawn_as["free"]["x"] == [8.0, 4.0]


def test_an_unknown_reservation_is_neither_idle_nor_free() -> None:
    drawn_as = traces(cores({"a": 0.25, "b": 0.5}, {"a": None, "b": 0.5}))

    assert drawn_as["no reservation known"]["x"] == [None, 12.0]
    assert drawn_as["free"]["x"] == [8.0, None]


def test_where_nothing_is_known_of_a_worker_its_whole_capacity_is_hatched() -> None:
    drawn_as = traces(cores({"a": None, "b": 0.5}, {"a": None, "b": 0.5}))

    assert drawn_as["use not measured"]["x"] == [None, 16.0]


def test_an_unknown_capacity_has_no_bar_and_says_its_shares() -> None:
    run = cores({"a": 0.25, "b": 0.5}, {"a": None, "b": 0.5}, capacity={"a": UNKNOWN_CAPACITY, "b": SIXTEEN})

    (panel,) = arrange(run, CPU).panels
    texts = [mark["text"] for mark in draw_plotly(arrange(run, CPU), CPU)["layout"]["annotations"]]

    assert panel.labels == ("b", "a")
    assert all(np.isnan(part[1]) for part in panel.segments.values())
    assert "capacity not known · used 25 % of it, reservation not known" in texts
    assert "capacity of 1 worker not known" in panel.notes


def test_where_nobody_has_a_known_capacity_bars_are_shares() -> None:
    run = cores({"a": 0.25}, {"a": 0.75}, capacity=UNKNOWN_CAPACITY)

    (panel,) = arrange(run, CPU).panels

    assert (panel.unit, panel.used.tolist(), panel.capacity.tolist()) == ("% of capacity", [25.0], [100.0])
    assert panel.heading == "nobody's capacity is known, so bars are shares of it"


def test_the_heading_is_the_sum_of_the_fleet() -> None:
    run = cores({"a": 0.25, "b": 0.5}, {"a": 0.75, "b": 0.5})

    (panel,) = arrange(run, CPU).panels

    assert panel.heading == "reserved 20 of 32 cores, 12 used, 8 reserved and idle (25 % of all)"
    assert [panel.at_right(row) for row in (0, 1)] == ["4 / 12", "8 / 8"]
    assert panel.right_heading == "used / reserved"


def test_a_resource_that_nothing_reserves_shows_used_and_free_and_says_so() -> None:
    run = recorded({"a": [0.5]}, more={"memory_ratio": {"a": [0.25]}}, capacity=SIXTEEN)

    cpu, memory = arrange(run, FigureOptions()).panels

    assert memory.heading == "16 of 64 GiB used, nothing is known to reserve it"
    assert {name: part.tolist() for name, part in memory.segments.items() if name != "reserved, idle"} == {
        "used": [16.0], "free": [48.0],
    }  # fmt: skip
    assert np.isnan(cpu.segments["reserved, idle"]).all()
    assert (memory.at_right(0), memory.right_heading) == ("16 / 64", "used / capacity")


def test_reservations_alone_say_that_use_was_not_measured() -> None:
    numbers = arrange(reservations_only(), FigureOptions())

    assert len(numbers.panels) == 3
    assert all("use not measured" in panel.heading for panel in numbers.panels)
    assert all(np.isnan(panel.segments["used"]).all() for panel in numbers.panels)


def test_who_has_no_gpu_has_no_bar_of_it_and_is_counted() -> None:
    numbers = arrange(fleet(6, 8), FigureOptions(metric="gpu_ratio"))

    assert set(numbers.panels[0].labels) == {"gw2", "gw5"}
    assert numbers.panels[0].notes == "4 workers without GPU"


def test_highest_values_are_called_so() -> None:
    run = fleet(3, 8)

    numbers = arrange(run, FigureOptions(statistic="max"))

    highest = np.nanmax(run.values("cpu_ratio", "max"), axis=1).astype(np.float64) * [4, 16, 8]
    assert sorted(numbers.panels[0].used.tolist()) == pytest.approx(sorted(highest.tolist()))
    assert numbers.panels[0].heading.startswith("each at its highest: reserved ")
    assert "highest values of 40 s" in numbers.subtitle


def test_sixty_workers_keep_a_row_each_and_every_other_has_a_name() -> None:
    numbers = arrange(many(60), CPU)

    ticks = draw_plotly(numbers, CPU)["layout"]["yaxis"]["tickvals"]

    assert len(numbers.panels[0].labels) == 60
    assert (ticks[:3], len(ticks)) == ([0, 2, 4], 30)


def test_a_thousand_workers_are_the_worst_by_themselves_and_means_of_the_others() -> None:
    (panel,) = arrange(many(1000), CPU).panels

    assert len(panel.labels) == 30
    assert panel.labels[:2] == ("w0", "w1")
    assert panel.labels[20] == "w20–w117 (98)"
    assert panel.counts.tolist() == [1] * 20 + [98] * 10
    np.testing.assert_allclose(panel.used[20], 16 * np.arange(20, 118).mean() / 1000)
    np.testing.assert_allclose(panel.segments["reserved, idle"][20], 16 - panel.used[20])
    assert "merged rows are means of up to 98" in arrange(many(1000), CPU).subtitle


def test_no_merged_row_mixes_what_is_known_with_what_is_not() -> None:
    names = [f"w{place}" for place in range(400)]
    used: dict[str, float | None] = {name: 0.5 if place % 2 else None for place, name in enumerate(names)}
    run = cores(used, dict.fromkeys(names, 1.0))

    (panel,) = arrange(run, CPU).panels

    known = np.isfinite(panel.used)
    assert int(panel.counts[known].sum()) == int(panel.counts[~known].sum()) == 200
    np.testing.assert_array_equal(panel.used[known], np.full(known.sum(), 8.0))
    np.testing.assert_array_equal(panel.segments["use not measured"][~known], np.full((~known).sum(), 16.0))


def test_every_row_of_a_merged_picture_has_its_own_label() -> None:
    names = ["x" * 90 + f"{place:03d}" + "y" * 90 for place in range(300)]
    run = cores(dict.fromkeys(names, 0.5), dict.fromkeys(names, 1.0))

    (panel,) = arrange(run, CPU).panels

    assert len(set(panel.labels)) == len(panel.labels) == 30


def test_named_workers_are_never_merged() -> None:
    options = FigureOptions(metric="cpu_ratio", workers_named=True)

    numbers = arrange(many(300), options)

    assert len(numbers.panels[0].labels) == 300
    assert draw_plotly(numbers, options)["layout"]["height"] > 300 * 12


def test_named_workers_are_never_merged_however_low_the_picture() -> None:
    options = FigureOptions(metric="cpu_ratio", workers_named=True, height=300)

    assert len(arrange(many(300), options).panels[0].labels) == 300


def test_a_low_picture_merges_more() -> None:
    options = FigureOptions(metric="cpu_ratio", height=400)

    numbers = arrange(many(100), options)

    assert 2 <= len(numbers.panels[0].labels) < 30
    assert sum(numbers.panels[0].counts) == 100


def test_segments_differ_without_their_colours() -> None:
    used, idle, free = (trace["marker"] for trace in draw_plotly(arrange(many(3), CPU), CPU)["data"])

    assert [marker["line"]["width"] for marker in (used, idle, free)] == [0, 1, 0]
    lightness = [sum(rgb_of(marker["color"])) for marker in (used, idle, free)]
    assert lightness == sorted(lightness)
    assert min(np.diff(lightness)) > 80


def test_the_still_picture_has_the_same_segments_at_the_same_places() -> None:
    run = cores({"a": 0.25}, {"a": 0.75})
    picture = Image.open(io.BytesIO(content("resource_allocation", run, "png", CPU))).convert("RGB")
    scale = picture.size[0] / 1200
    left, right, y = 22 + 6.7, 1200 - 20 - 5.5 * len("used / reserved"), 62 + 26 + 34 + 14

    def at(share: float) -> tuple[int, ...]:
        pixel = picture.getpixel((int((left + share * (right - left) / 1.01) * scale), int(y * scale)))
        assert isinstance(pixel, tuple)
        return pixel

    assert at(0.24) == rgb_of(LIGHT.accent)
    assert at(0.26) == at(0.74) != rgb_of(LIGHT.accent)
    assert at(0.76) == at(0.99) == rgb_of(LIGHT.track)


def test_the_legend_names_each_kind_once() -> None:
    spec = draw_plotly(arrange(fleet(6, 8), FigureOptions()), FigureOptions())

    named = [trace["name"] for trace in spec["data"] if trace["showlegend"]]

    assert len(named) == len(set(named))
    assert {"used", "reserved, idle", "free"} <= set(named)


def test_a_phone_gets_short_names_and_its_legend_as_text() -> None:
    spec = draw_plotly(arrange(hostile(), CPU), CPU)

    assert spec["narrow"]["showlegend"] is False
    assert spec["narrow"]["margin.l"] < spec["layout"]["margin"]["l"] / 2
    assert all(len(text) <= 60 for text in spec["narrow"]["yaxis.ticktext"])


def test_a_narrow_width_is_laid_out_like_a_phone() -> None:
    options = FigureOptions(metric="cpu_ratio", width=400)

    layout = draw_plotly(arrange(hostile(), options), options)["layout"]

    assert (layout["width"], layout["showlegend"]) == (400, False)
    assert draw_matplotlib(arrange(hostile(), options), options).get_size_inches()[0] == 4.0


def test_hostile_names_stay_whole_in_the_numbers_and_harmless_in_the_texts() -> None:
    spec = json.loads(content("resource_allocation", hostile(), "json", CPU))
    used = next(trace for trace in spec["data"] if trace["name"] == "used")

    assert "</script><script>alert(1)</script>" in used["y"]
    assert "n" * 10_000 in used["y"]
    assert "__proto__\u200b" in used["y"]
    texts = [*spec["layout"]["yaxis"]["ticktext"], *used["hovertext"]]
    assert not any("<script" in text or "<a " in text or "<b>bold" in text for text in texts)


def test_hover_tells_all_of_a_row() -> None:
    run = cores({"a": None, "<b>": 0.25}, {"a": 0.5, "<b>": 0.75})

    hovers = traces(run)["used"]["hovertext"]

    assert hovers == [
        "&lt;b&gt;<br>used 4, reserved 12 of 16 cores<br>reserved and idle 8, free 4",
        "a<br>used not known, reserved 8 of 16 cores<br>reserved and idle not known, free 8",
    ]


@pytest.mark.parametrize(
    ("run", "options", "notice"),
    [
        (Run.empty(recorded({}).header), FigureOptions(), "Nothing has been recorded yet."),
        (recorded({"a": [None]}), FigureOptions(), "Neither use nor reservations of CPU, memory or GPU were recorded."),
        (recorded({"a": [0.5]}), FigureOptions(metric="memory_ratio"),
         "Neither use nor reservations of Memory were recorded in this window."),
        (recorded({"a": [0.5]}, capacity=SIXTEEN), FigureOptions(metric="gpu_ratio"), "No worker here has a GPU."),
        (recorded({"a": [0.5]}), FigureOptions(metric="tasks_running"),
         "Tasks are counted and not reserved or used up; ask for cpu, memory or gpu."),
    ],
)  # fmt: skip
def test_without_numbers_the_picture_says_why(run: Run, options: FigureOptions, notice: str) -> None:
    numbers = arrange(run, options)
    spec = draw_plotly(numbers, options)

    assert (numbers.panels, numbers.notice, spec["data"]) == ((), notice, [])
    assert spec["layout"]["annotations"][0]["text"].replace("<br>", " ") == notice
    assert draw_matplotlib(numbers, options).texts
    assert notice.rstrip(".") in describe(numbers)


def test_the_description_says_the_sums() -> None:
    said = describe(arrange(cores({"a": 0.25}, {"a": 0.75}), CPU))

    assert said.startswith("Bars of what workers have, reserve and use of CPU: reserved 12 of 16 cores, 4 used, 8 ")
    assert said.endswith(".")


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, "–"), (NAN, "–"), (0.0, "0"), (0.001, "<0.01"), (0.3, "0.3"), (0.314, "0.31"), (0.996, "1"), (1.0, "1"),
     (7.26, "7.3"), (9.96, "10"), (45.4, "45"), (1250.0, "1,250")],
)  # fmt: skip
def test_amounts_have_about_two_digits(value: float | None, written: str) -> None:
    assert amount(value) == written


def test_ten_thousand_workers_make_a_small_file() -> None:
    run = fleet(10_000, 2, cloud=False, decisions=0)

    written = content("resource_allocation", run, "json")

    assert len(written) < 200_000
    assert all(len(panel.labels) == 30 for panel in arrange(run, FigureOptions()).panels)


def test_one_core_is_not_called_cores() -> None:
    one = WorkerCapacity(cpu_millicores=1000)

    (panel,) = arrange(cores({"a": 0.5}, {"a": 1.0}, capacity=one), CPU).panels

    assert panel.hover(0)[3] == "used 0.5, reserved 1 of 1 core"


def test_sums_that_nobody_knows_are_named_in_words() -> None:
    capacity = {"a": UNKNOWN_CAPACITY, "b": SIXTEEN}

    (reserved,) = arrange(cores({"a": 0.5, "b": 0.5}, {"a": 1.0, "b": None}, capacity=capacity), CPU).panels
    (used,) = arrange(cores({"a": 0.5, "b": None}, {"a": None, "b": None}, capacity=capacity), CPU).panels

    assert reserved.heading == "8 of 16 cores used, reservations are known only where no capacity is"
    assert used.heading == "use is known only where no capacity is, of 16 cores; nothing is known to reserve it"
