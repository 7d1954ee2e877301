"""The scaling history as numbers: lines against thresholds, decisions, facts, workers, and the reasons in words."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drmviz.errors import InvalidValueError
from drmviz.figures.base import FigureOptions
from drmviz.figures.encoding import to_json
from drmviz.figures.saving import content
from drmviz.figures.scaling_history import arrange, describe, draw_plotly, needs
from drmviz.figures.scaling_places import places, spread, wrapped
from drmviz.figures.scaling_words import based_on
from drmviz.figures.theme import DARK, LIGHT, rgb_of
from drmviz.model.decisions import Action, FleetChange, ScalingDecision
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import Run
from tests.building import START_S, recorded
from tests.contact_sheet import POLICY, fleet, hostile, states

NAN = float("nan")
PLAIN = FigureOptions()
STATES = states()


def decided(
    action: Action, at: float, *, count: int = 0, reason: str = "", value: float | None = None,
    metric: str | None = "cpu_ratio", **more: Any,
) -> ScalingDecision:  # fmt: skip
    return ScalingDecision(
        action=action, decided_at_s=START_S + at, count=count, reason=reason, metric=metric, value=value, **more
    )


def changed(change: str, worker: str, at: float, why: str | None = None) -> FleetChange:
    return FleetChange(at_s=START_S + at, worker=worker, change=change, why=why)  # type: ignore[arg-type]


def drawn(run: Run, options: FigureOptions = PLAIN) -> dict[str, Any]:
    """Return the spec as a program that reads the JSON sees it."""
    spec: dict[str, Any] = json.loads(to_json(draw_plotly(arrange(run, options), options)))
    return spec


def trace_of(run: Run, name: str, options: FigureOptions = PLAIN) -> dict[str, Any]:
    (found,) = [trace for trace in drawn(run, options)["data"] if trace["name"] == name]
    return dict(found)


def texts(spec: dict[str, Any]) -> str:
    return "\n".join(annotation["text"] for annotation in spec["layout"]["annotations"])


def test_each_known_resource_is_a_line_in_percent_and_gaps_stay_gaps() -> None:
    run = recorded({"a": [0.25, None, 0.75]}, more={"memory_ratio": {"a": [0.5, 0.5, 0.125]}})

    history = arrange(run, PLAIN)
    cpu = trace_of(run, "CPU")

    assert [line.name for line in history.lines] == ["CPU", "Memory"]
    np.testing.assert_array_equal(history.lines[0].values, [25.0, NAN, 75.0])
    np.testing.assert_array_equal(history.lines[1].values, [50.0, 50.0, 12.5])
    assert (cpu["x"][0], cpu["y"]) == ("2026-09-21T14:13:20Z", [25.0, None, 75.0])
    assert cpu["connectgaps"] is False
    assert cpu["marker"]["size"] == [5, 0, 5], "a column between two unknown ones would not be seen"
    assert history.unmeasured.tolist() == [False, True, False]
    assert needs(PLAIN) == ("cpu_ratio", "memory_ratio", "gpu_ratio")


def test_what_nobody_measured_is_hatched_and_where_nobody_lived_it_is_not() -> None:
    run = recorded({"a": [0.5, None, None]}, absent={"a": [2]})

    assert arrange(run, PLAIN).unmeasured.tolist() == [False, True, False]
    assert len(drawn(run)["layout"]["images"]) == 1


def test_the_metric_that_decisions_name_is_the_strongest_line() -> None:
    run = recorded(
        {"a": [0.5, 0.5]}, more={"memory_ratio": {"a": [0.75, 0.75]}, "gpu_ratio": {"a": [0.25, 0.25]}},
        decisions=[decided("scale_up", 1, metric="memory")],
    )  # fmt: skip

    history = arrange(run, PLAIN)

    assert [line.name for line in history.lines] == ["Memory", "CPU", "GPU"]
    assert trace_of(run, "Memory")["line"]["width"] > trace_of(run, "CPU")["line"]["width"]
    assert len({trace["line"]["dash"] for trace in drawn(run)["data"][:3]}) == 3, "not told by colour alone"


def test_one_metric_asked_for_is_the_only_line() -> None:
    run = recorded({"a": [0.5]}, more={"memory_ratio": {"a": [0.75]}})
    options = FigureOptions(metric="memory_ratio")

    assert [line.name for line in arrange(run, options).lines] == ["Memory"]
    assert needs(options) == ("memory_ratio",)


def test_a_metric_that_was_never_measured_is_an_empty_line_that_says_so() -> None:
    run = recorded({"a": [0.5]})
    options = FigureOptions(metric="gpu_ratio")

    assert trace_of(run, "GPU", options)["y"] == [None]
    assert "not measured in this window" in texts(drawn(run, options))
    assert ": use not measured; no scaling decision; 1 to 1 workers." in describe(arrange(run, options))
    with pytest.raises(InvalidValueError, match="gpu_ratio"):
        arrange(replace(run, grids={}), options)


def test_where_nobody_has_a_gpu_nothing_is_missing() -> None:
    run, options = STATES["no GPU"], FigureOptions(metric="gpu_ratio")

    history = arrange(run, options)

    assert history.explained == "no worker has a GPU"
    assert not history.unmeasured.any()
    assert "no worker has a GPU" in texts(drawn(run, options))


def test_a_gpu_is_missing_only_while_somebody_lived_who_may_have_one() -> None:
    has, lacks = WorkerCapacity(gpu_count=1), WorkerCapacity(gpu_count=0)
    run = recorded(
        {"a": [0.5] * 4, "b": [0.5] * 4}, more={"gpu_ratio": {"a": [0.5, None, None, None]}},
        absent={"a": [2, 3]}, capacity={"a": has, "b": lacks},
    )  # fmt: skip

    assert arrange(run, FigureOptions(metric="gpu_ratio")).unmeasured.tolist() == [False, True, False, False]


def test_running_tasks_are_a_number_without_thresholds() -> None:
    run = recorded({"a": [0.5, 0.5], "b": [0.5, 0.5]}, more={"tasks_running": {"a": [2, 3], "b": [1, 4]}},
                   scaling_policy=POLICY)  # fmt: skip

    history = arrange(run, FigureOptions(metric="tasks_running"))

    assert history.lines[0].values.tolist() == [3.0, 7.0]
    assert (history.unit, history.thresholds) == ("", ())


def test_where_only_reservations_are_known_they_are_shown_and_called_by_their_name() -> None:
    run = recorded({"a": [None, None]}, more={"cpu_reserved_ratio": {"a": [0.5, 1.0]}})

    history = arrange(run, PLAIN)

    assert (history.heading, history.explained) == (
        "Fleet reservations",
        "use was not measured: what was reserved is shown",
    )
    assert trace_of(run, "CPU reserved")["y"] == [50.0, 100.0]


def test_thresholds_are_drawn_and_named_only_where_they_are_known() -> None:
    known = arrange(recorded({"a": [0.5]}, scaling_policy=POLICY), PLAIN)
    half = arrange(recorded({"a": [0.5]}, scaling_policy={"scale_up_threshold": 0.9}), PLAIN)
    none = arrange(recorded({"a": [0.5]}), PLAIN)

    assert [(each.text, each.percent) for each in known.thresholds] == [
        ("scale up at 80 %", 80.0),
        ("aims at 70 %", 70.0),
        ("scale down at 30 %", 30.0),
    ]
    assert [(zone.name, zone.low, zone.high) for zone in known.zones] == [
        ("above", 80.0, 100.0),
        ("between", 30.0, 80.0),
    ]
    assert [(zone.name, zone.low) for zone in half.zones] == [("above", 90.0)]
    assert (none.thresholds, none.zones) == ((), ())


def test_a_threshold_is_named_where_lines_leave_room() -> None:
    busy_at_the_end = recorded({"a": [0.1] * 50 + [0.85] * 50}, scaling_policy=POLICY)

    (up, *_) = arrange(busy_at_the_end, PLAIN).thresholds

    assert up.text_at == 0.0


def test_every_decision_is_a_point_with_all_that_is_known_of_it() -> None:
    run = recorded(
        {"a": [0.5] * 100, "b": [0.5] * 100},
        decisions=[
            decided("scale_up", 10.25, count=3, reason="CPU 86 % over 80 %", value=0.86, threshold=0.8, window_s=90.0,
                    cooldown_remaining_s=0.0, worker_type="cpu", utilization=0.86),
            decided("maintain", 40, reason="inside the band", value=0.55),
            decided("scale_down", 80, count=2, reason="idle", value=0.2, threshold=0.3, worker_ids=("a", "b")),
        ],
    )  # fmt: skip

    trace = trace_of(run, "decisions")

    assert trace["x"] == ["2026-09-21T14:13:30.250Z", "2026-09-21T14:14:00.000Z", "2026-09-21T14:14:40.000Z"]
    assert trace["y"] == pytest.approx([86.0, 55.0, 20.0])
    assert trace["text"] == ["+3", "hold", "−2"]
    assert trace["customdata"][0] == [
        "scale_up", 3, "CPU 86 % over 80 %", "cpu_ratio", 0.86, 0.8, 90.0, 0.0, [], "cpu", 0.86,
        "2026-09-21T14:13:30.250000Z"[:23] + "Z", 1,
    ]  # fmt: skip
    assert trace["customdata"][2][8] == ["a", "b"]
    assert trace["marker"]["symbol"] == ["triangle-up", "line-ns-open", "triangle-down"]
    assert trace["hovertext"][0].split("<br>") == [
        "<b>14:13:30 UTC · Add 3 workers</b>",
        "CPU 86 % over 80 %",
        "CPU 86 %, threshold 80 %, over 1 min 30 s",
        "no cooldown left",
        "utilization 86 %",
        "type cpu",
    ]


@pytest.mark.parametrize(
    ("decision", "level"),
    [
        (decided("scale_up", 10, value=0.9), 90.0),
        (decided("scale_up", 10, value=0.9, metric="memory"), 40.0),  # the line shown is another one
        (decided("scale_up", 10, value=112, metric="queue"), 40.0),
        (decided("scale_up", 10, metric=None), 40.0),
        (decided("scale_up", 25, metric=None), None),  # not measured then
        (decided("scale_up", 25, metric=None, utilization=0.7), 70.0),
        (decided("scale_up", -99, value=0.9), 90.0),
        (decided("scale_up", -99, metric=None), None),
    ],
)
def test_a_decision_stands_at_its_value_or_else_on_the_line(decision: ScalingDecision, level: float | None) -> None:
    run = recorded({"a": [0.4] * 20 + [None] * 20}, decisions=[decision])

    told = arrange(replace(run), FigureOptions(metric="cpu_ratio")).told[0]

    assert told.level == (None if level is None else pytest.approx(level))


def test_decisions_of_which_no_level_is_known_have_a_row_of_their_own() -> None:
    run = recorded({"a": [None, None]}, decisions=[decided("scale_up", 1, count=2, metric=None)])

    history = arrange(run, PLAIN)

    assert history.rows == ("decided",)
    assert trace_of(run, "decisions")["y"] == [None]
    assert trace_of(run, "decisions without a value")["y"] == [0]


def test_a_decision_before_the_window_stands_at_its_edge_with_its_true_time_and_stretches_nothing() -> None:
    days = 3 * 86400
    run = recorded({"a": [0.5] * 10}, decisions=[decided("scale_up", -days, count=1, value=0.9)])

    history = arrange(run, PLAIN)
    spec = drawn(run)

    assert history.told[0].at_s == START_S
    assert history.items[0].when == "2026-09-18 14:13"
    assert spec["layout"]["xaxis"]["range"] == ["2026-09-21T14:13:20Z", "2026-09-21T14:13:30Z"]
    assert trace_of(run, "decisions")["customdata"][0][11] == "2026-09-18T14:13:20Z"


def test_decisions_whose_marks_would_collide_share_one_that_counts_them() -> None:
    decisions = [decided("scale_up", at, count=2, value=0.9, reason=f"reason {at}") for at in (10, 11, 12, 13, 14, 60)]
    run = recorded({"a": [0.5] * 100}, decisions=decisions)

    history = arrange(run, PLAIN)
    marks = trace_of(run, "decisions together")

    assert [(mark.number, mark.label, mark.at_s - START_S) for mark in history.marks] == [
        (4, "+8 (4)", 12),
        (1, "+2", 14),
        (1, "+2", 60),
    ]
    assert history.marks[0].hover == (
        "14:13:30–14:13:33 UTC · 4 decisions to scale up, +8 workers in all",
        "14:13:30 +2 reason 10",
        "14:13:31 +2 reason 11",
        "14:13:32 +2 reason 12",
        "14:13:33 +2 reason 13",
    )
    assert marks["text"] == ["+8 (4)", "+2", "+2"]
    assert len(trace_of(run, "decisions")["x"]) == 6, "each one is still there to be read"


def test_marks_of_different_kinds_are_never_one() -> None:
    decisions = [decided("scale_up", 10, count=1, value=0.9), decided("scale_down", 10.5, count=1, value=0.1)]

    history = arrange(recorded({"a": [0.5] * 100}, decisions=decisions), PLAIN)

    assert [(mark.kind, mark.number) for mark in history.marks] == [("up", 1), ("down", 1)]


def test_two_hundred_decisions_are_at_most_twenty_five_marks_of_a_kind_and_every_decision_is_in_one() -> None:
    history = arrange(STATES["200 decisions"], PLAIN)

    counts = {kind: sum(mark.kind == kind for mark in history.marks) for kind in ("up", "down", "hold")}

    assert max(counts.values()) <= 25
    assert sum(mark.number for mark in history.marks) == 200


def test_thousands_of_decisions_to_hold_are_told_by_runs_of_equal_ones() -> None:
    holds = [decided("maintain", at / 50, reason=f"CPU {at} % inside") for at in range(5000)]
    run = recorded({"a": [0.5] * 100}, decisions=[*holds, decided("scale_up", 100, count=1)])

    trace = trace_of(run, "decisions")

    assert [fields[-1] for fields in trace["customdata"]] == [5000, 1]
    assert len(content("scaling_history", run, "json")) < 60_000


def test_facts_are_apart_from_intent_and_say_who_and_why() -> None:
    run = recorded(
        {name: [0.5] * 100 for name in ("a", "b", "c", "d")},
        changes=[
            changed("joined", "a", 0), changed("joined", "b", 40, "asked for"), changed("joined", "c", 41),
            changed("left", "d", 60, "idle"), changed("left", "b", 80, "reclaimed"),
            changed("left", "a", 99, "finished"),
        ],
    )  # fmt: skip

    history = arrange(run, PLAIN)
    trace = trace_of(run, "fleet changes")

    assert [(fact.fate, fact.number) for fact in history.facts] == [("joined", 2), ("left", 1), ("lost", 1)]
    assert history.facts[0].hover == ("14:14:00–14:14:01 UTC · 2 workers joined", "b, c", "why: asked for")
    assert history.rows == ("joined", "left", "lost")
    assert trace["customdata"][0] == ["joined", 2, ["b", "c"], ["asked for"]]
    assert trace["marker"]["symbol"] == ["triangle-up", "triangle-down", "x"]
    assert trace["y"] == [0, 1, 2]
    assert trace_of(run, "decisions")["x"] == []


def test_the_number_of_workers_is_whole_and_steps_at_the_moment() -> None:
    run = fleet(30, 120, gaps=True)

    trace = trace_of(run, "workers")
    axis = drawn(run)["layout"]["yaxis3"]

    assert trace["line"]["shape"] == "hv"
    assert all(isinstance(number, int) for number in trace["y"])
    assert axis["ticktext"] == ["0", str(max(trace["y"]))]
    assert len(trace["x"]) > 8


def test_a_fleet_that_changes_all_the_time_is_drawn_as_it_was_at_each_column() -> None:
    run = recorded({f"w{i}": [0.5] * 100 for i in range(3000)})
    workers = tuple(
        replace(worker, incarnations=(replace(worker.latest, joined_at_s=START_S + place / 40),))
        for place, worker in enumerate(run.workers)
    )

    size = arrange(replace(run, workers=workers), PLAIN).size

    assert len(size.at_s) == 101
    assert size.workers[[0, 1, 50, 100]].tolist() == [1, 41, 2001, 3000]


def test_the_list_gives_reasons_newest_first_and_folds_what_was_held() -> None:
    decisions = [
        decided("scale_up", 10, count=3, reason="CPU 86 % over 80 % for 90 s", value=0.86),
        *(decided("maintain", at, reason=f"CPU {at} % inside the band") for at in (40, 50, 60)),
        decided("scale_down", 80, count=1, reason="CPU 21 % under 30 %", value=0.21),
    ]
    run = recorded({"a": [0.5] * 100}, decisions=decisions, changes=[changed("joined", "a", 35)])

    items = arrange(run, PLAIN).items

    assert [(item.badge, item.heading, item.when, item.reason, item.after) for item in items] == [
        ("−1", "Remove 1 worker", "14:14:40", "CPU 21 % under 30 %", ()),
        ("=", "Held 3 times", "14:14:00–14:14:20", "CPU 60 % inside the band", ()),
        ("+3", "Add 3 workers", "14:13:30", "CPU 86 % over 80 % for 90 s", ("1 of 3 joined within 1 min 30 s",)),
    ]
    assert "CPU 86 % over 80 % for 90 s" in texts(drawn(run))
    assert "newest first" in texts(drawn(run))


def test_the_list_shows_eight_and_says_of_how_many_and_where_the_others_are() -> None:
    history = arrange(STATES["200 decisions"], PLAIN)

    assert len(history.items) == 8
    assert "showing 8 of 200; all: drmviz decisions" in texts(drawn(STATES["200 decisions"]))


def test_decisions_to_hold_do_not_push_those_to_scale_out_of_the_list() -> None:
    acting = [decided("scale_up", at, count=1) for at in range(5)]
    holds = [decided("maintain", 10 + at, reason="abc"[at % 3]) for at in range(30)]

    items = arrange(recorded({"a": [0.5] * 100}, decisions=[*acting, *holds]), PLAIN).items

    assert [item.badge for item in items] == ["="] * 3 + ["+1"] * 5


def test_a_run_in_which_nothing_decided_says_so_and_shows_the_rest() -> None:
    run = recorded({"gw0": [0.5, 0.75], "gw1": [0.5, 0.25]})

    spec = drawn(run)

    assert "Nothing decided about the fleet's size in this run." in texts(spec)
    assert [trace["name"] for trace in spec["data"]] == ["CPU", "workers", "fleet changes", "decisions"]
    assert trace_of(run, "workers")["y"] == [2, 2]
    assert "No scaling decision fell into this window." in texts(drawn(replace(run, header=fleet(1, 2).header)))


def test_nothing_recorded_is_a_notice_that_says_why() -> None:
    run = replace(Run.empty(recorded({}).header), notes=("The recorder was killed.",))

    history = arrange(run, PLAIN)

    assert history.notice == "Nothing has been recorded yet. The recorder was killed."
    assert drawn(run)["data"] == []
    assert describe(history).endswith("The recorder was killed.")


def test_decisions_are_shown_although_no_worker_was_ever_there() -> None:
    decision = decided("scale_up", 1, count=4, reason="0 of at least 4", metric="workers")
    nobody = np.empty((0, 10), dtype=np.bool_)
    run = replace(recorded({"a": [None] * 10}, decisions=[decision]), workers=(), grids={}, alive=nobody)

    spec = drawn(run)

    assert "0 of at least 4" in texts(spec)
    assert trace_of(run, "workers")["y"] == [0, 0]


def test_a_description_counts_decisions_and_workers() -> None:
    said = describe(arrange(STATES["30 workers, gaps and absences"], PLAIN))

    assert said.startswith("Scaling history of pytest -n 30 · 30 workers")
    assert "CPU (mean 51 %), Memory (mean 29 %), GPU (mean 40 %); " in said
    assert "2 decisions to scale up, 2 to scale down, 4 to hold; 22 to 30 workers." in said


def test_statistic_max_is_called_what_it_is() -> None:
    history = arrange(recorded({"a": [0.5]}), FigureOptions(statistic="max"))

    assert history.explained.startswith("the highest value of each worker, the mean over workers")


def test_names_and_reasons_from_outside_are_text_in_every_place() -> None:
    spec = drawn(hostile())
    shown = texts(spec) + "\n".join(text for trace in spec["data"] for text in trace.get("hovertext", ()))

    assert "<script>" not in shown
    assert "<a href" not in shown
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in shown
    assert "\u202e" not in shown
    assert content("scaling_history", hostile(), "html").decode().count("</script>") == 3


def test_a_height_takes_from_the_list_first_and_is_kept() -> None:
    history = arrange(STATES["3 workers"], PLAIN)

    heights = [places(history, height=height, letters=54) for height in (2000, 700, 500, 200)]

    assert [len(laid.items) for laid in heights] == [8, 7, 2, 0]
    assert [laid.top_px + laid.plot_px(split=True) + 16 for laid in heights[:3]] == [2000, 700, 500]


def test_on_a_phone_the_list_is_one_column_and_labels_that_would_collide_are_left_out() -> None:
    spec = draw_plotly(arrange(STATES["200 decisions"], PLAIN), PLAIN)
    layout, narrow = spec["layout"], spec["narrow"]

    hidden = [path for path, value in narrow.items() if path.endswith(".visible") and value is False]
    badges = [path for path, value in narrow.items() if path.endswith(".xanchor") and value == 0]

    assert narrow["height"] > layout["height"]
    assert hidden
    assert len(badges) == 8
    for path in narrow:
        part: Any = layout
        for name in path.split(".")[:-1]:
            part = part[int(name)] if isinstance(part, list) else part[name]
        assert path.split(".")[-1] in part, f"{path} has nothing to go back to on a wide page"


@pytest.mark.parametrize(
    ("ends", "apart"), [([50.0, 51.0, 52.0], 13), ([0.0, 0.0, 0.0], 13), ([230.0, 229.0], 13), ([10.0], 13), ([], 13)]
)
def test_labels_of_lines_stand_apart_and_inside(ends: list[float], apart: float) -> None:
    moved = sorted(spread(ends, apart=apart, most=230))

    assert all(0 <= place <= 230 for place in moved)
    assert all(b - a >= apart - 1e-9 for a, b in pairwise(moved))


def test_long_reasons_are_broken_and_cut() -> None:
    assert wrapped("one two three", letters=9, lines=2) == ("one two", "three")
    assert wrapped("one two three four five six", letters=9, lines=2)[-1].endswith("…")
    assert all(len(line) <= 20 for line in wrapped("x" * 10_000, letters=20, lines=2))
    assert len(wrapped("日本語" * 20, letters=20, lines=1)[0]) <= 12


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_the_still_picture_has_lines_zones_and_marks_in_their_colours(theme: Any) -> None:
    run = recorded({"a": [0.5] * 100}, scaling_policy=POLICY, decisions=[decided("scale_up", 50, count=3, value=0.9)])
    options = FigureOptions(theme=theme.name)
    picture = np.asarray(Image.open(io.BytesIO(content("scaling_history", run, "png", options))).convert("RGB"))
    scale = picture.shape[1] / 1200

    def column(x_px: float) -> set[tuple[int, ...]]:
        return {tuple(pixel) for pixel in picture[: int(400 * scale), int(x_px * scale)].tolist()}

    right_px = 18 + 10 + 6.7 * 3
    middle_px = 62 + (1200 - 62 - right_px) / 2

    assert rgb_of(theme.accent) in column(300)
    assert rgb_of(theme.up) in column(middle_px)
    assert rgb_of(theme.track) in {tuple(pixel) for pixel in picture[int(410 * scale)].tolist()}


def test_a_thousand_workers_are_a_small_page() -> None:
    plain, large = (len(content("scaling_history", run, "html")) for run in (fleet(1, 2), STATES["1000 workers"]))

    assert large - plain < 150_000


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        (decided("scale_up", 0, value=0.8002, threshold=0.8, window_s=60.0), "CPU 80.02 %, threshold 80 %, over 1 min"),
        (decided("scale_up", 0, value=0.8, threshold=0.8), "CPU 80 %, threshold 80 %"),
        (decided("scale_up", 0, value=0.86), "CPU 86 %"),
        (
            decided("scale_up", 0, value=112.0, threshold=100.0, metric="queue_length"),
            "queue length 112, threshold 100",
        ),
        (decided("scale_up", 0, value=float("inf"), metric="queue"), "queue"),
        (decided("scale_up", 0, metric=None), ""),
    ],
)
def test_a_value_is_written_exactly_enough_to_be_told_from_its_threshold(decision: ScalingDecision, said: str) -> None:
    assert based_on(decision) == said


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -1.0])
def test_numbers_that_make_no_sense_are_left_out_of_the_words(nonsense: float) -> None:
    decision = decided(
        "scale_up", 1, count=1, value=0.5, window_s=nonsense, cooldown_remaining_s=nonsense, utilization=nonsense
    )

    (told,) = arrange(recorded({"a": [0.5] * 4}, decisions=(decision,)), PLAIN).told

    assert told.hover == ("14:13:21 UTC · Add 1 worker", "CPU 50 %")


@pytest.mark.parametrize("at_s", [1.8e12, -1.8e12])
def test_a_moment_that_has_no_date_does_not_cost_the_picture(at_s: float) -> None:
    run = recorded({"a": [0.5] * 4}, decisions=(decided("scale_up", at_s, count=1),))

    spec = drawn(run)

    (decisions,) = [trace for trace in spec["data"] if trace["name"] == "decisions"]
    assert len(decisions["x"]) == 1


def test_a_pause_is_not_called_the_beginning() -> None:
    run = replace(recorded({}), starts_at_s=START_S + np.arange(4.0), measured_ticks=0)

    assert arrange(run, PLAIN).notice == "Nothing was recorded in this window."


def test_the_picture_lasts_as_long_as_was_recorded_and_not_as_its_columns_do() -> None:
    run = replace(recorded({"a": [0.5] * 4}, width_s=60.0), end_s=START_S + 200)

    assert "3 min 20 s" in arrange(run, PLAIN).subtitle
