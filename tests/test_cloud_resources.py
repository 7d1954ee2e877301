"""The picture of clouds: exact layers and sums, nothing unknown drawn as zero, and a table that says the same."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from drmviz.figures.base import FigureOptions
from drmviz.figures.cloud_resources import NO_PROVIDER, arrange, describe, draw_plotly, means, needs
from drmviz.figures.cloud_room import ends_of, levels, written
from drmviz.figures.cloud_words import amount, money, rough, types_of
from drmviz.figures.providers import look_of, providers_of
from drmviz.figures.saving import content, write
from drmviz.figures.theme import DARK, LIGHT, mixed, rgb_of
from drmviz.model.cloud import CloudUsage
from drmviz.model.metrics import METRICS
from drmviz.model.run import Run
from tests.building import START_S, recorded
from tests.contact_sheet import hostile

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PLAIN = FigureOptions()


def told(
    provider: str,
    at_s: float = 0,
    *,
    workers: int | None = None,
    per_hour: str | None = None,
    currency: str | None = "USD",
    problem: str = "",
    types: Sequence[tuple[str, int]] = (),
) -> CloudUsage:
    return CloudUsage(
        at_s=START_S + at_s, provider=provider, workers=workers, currency=currency, basis="list" if currency else None,
        per_hour=None if per_hour is None else Decimal(per_hour), problem=problem, instance_types=tuple(types),
    )  # fmt: skip


def run_of(*cloud: CloudUsage, columns: int = 4, width_s: float = 900.0) -> Run:
    """Return an hour of one worker in four columns."""
    return recorded({"gw0": [0.5] * columns}, cloud=cloud, width_s=width_s)


def some_run() -> Run:
    return run_of(
        told("aws", workers=2, per_hour="8.00", types=[("m7i", 1), ("g6", 1)]),
        told("aws", 1800, workers=3, per_hour="12.00", types=[("m7i", 2), ("g6", 1)]),
        told("gcp", workers=1, per_hour="4.00"),
        told("gcp", 900, problem="get_active_workers failed (TimeoutError)"),
        told("gcp", 1800, workers=2, per_hour="22.25"),
    )


def figure_of(run: Run, options: FigureOptions = PLAIN) -> dict[str, Any]:
    figure: dict[str, Any] = json.loads(content("cloud_resources", run, "json", options))
    return figure


def trace_of(run: Run, name: str) -> dict[str, Any]:
    (trace,) = [trace for trace in figure_of(run)["data"] if trace["name"] == name]
    found: dict[str, Any] = trace
    return found


def texts_of(run: Run) -> list[str]:
    return [text["text"] for text in figure_of(run)["layout"]["annotations"]]


def test_layers_are_the_numbers_of_each_provider_the_largest_first() -> None:
    workers, cost = arrange(some_run(), PLAIN).panels

    assert [band.source.label for band in workers.bands] == ["aws", "gcp"]
    np.testing.assert_array_equal(workers.bands[0].values, [2, 2, 3, 3])
    np.testing.assert_array_equal(workers.bands[1].values, [1, np.nan, 2, 2])
    np.testing.assert_array_equal(cost.bands[0].values, [8, 8, 12, 12])
    np.testing.assert_array_equal(cost.bands[1].values, [4, np.nan, 22.25, 22.25])
    assert (workers.highest, cost.highest) == (5.0, 34.25)
    assert needs(PLAIN) == means(PLAIN) == ()


def test_totals_name_currency_month_and_kind_of_price() -> None:
    workers, cost = arrange(some_run(), PLAIN).panels

    assert workers.said == "5 workers at the end"
    assert cost.said == "USD 34.25 per hour, about 25.0 k per month at this rate (list prices)"


def test_what_failed_is_hatched_with_its_reason_and_no_zero_is_drawn() -> None:
    workers, _ = arrange(some_run(), PLAIN).panels
    figure = figure_of(some_run())

    np.testing.assert_array_equal(workers.unknown, [False, True, False, False])
    (gap,) = workers.gaps
    assert (gap.start_s, gap.end_s) == (START_S + 900, START_S + 1800)
    assert gap.text == "gcp: workers not known, 14:28:20–14:43:20 UTC: get_active_workers failed (TimeoutError)"
    assert trace_of(some_run(), "gcp workers")["y"] == [1, None, 2, 2, 2]
    assert trace_of(some_run(), "gcp workers")["marker"]["size"][1] == 0
    assert len(figure["layout"]["images"]) == 2
    assert next(text["hovertext"] for text in figure["layout"]["annotations"] if text["text"] == "?") == gap.text


def test_there_is_one_stepped_trace_for_each_provider_and_panel_over_iso_times() -> None:
    traces = figure_of(some_run())["data"]

    assert [trace["name"] for trace in traces] == ["aws workers", "gcp workers", "aws per hour", "gcp per hour"]
    for trace in traces:
        assert trace["line"]["shape"] == "hv"
        assert trace["x"] == [
            f"2026-09-21T{at}Z" for at in ("14:13:20", "14:28:20", "14:43:20", "14:58:20", "15:13:20")
        ]
    assert traces[2]["y"] == [8, 8, 12, 12, 12]
    assert traces[0]["meta"] == {"providers": ["aws"], "label": "● aws"}


def test_the_table_says_how_things_stand_at_the_end() -> None:
    told_rows = {row.source.label if row.source else "All": row.cells for row in arrange(some_run(), PLAIN).rows}

    assert arrange(some_run(), PLAIN).heads == ("By type", "Workers", "Per hour, USD", "Share", "In 1 h, USD")
    assert told_rows == {
        "aws": ("2 m7i, 1 g6", "3", "12.00", "35 %", "10.00"),
        "gcp": ("", "2", "22.25", "65 %", "≥ 12.12"),
        "All": ("", "5", "34.25", "100 %", "≥ 22.12"),
    }


def test_remarks_state_what_was_spent_at_which_prices_and_what_is_missing() -> None:
    remarks = arrange(some_run(), PLAIN).remarks

    assert remarks == (
        "Spent in 1 h: USD 22.12 at list prices; what ran at unknown prices is not in it.",
        "gcp: workers and price not known for 15 min: get_active_workers failed (TimeoutError).",
    )


def test_where_no_price_is_known_workers_are_shared_out_and_the_reason_is_said() -> None:
    run = run_of(told("aws", workers=3, problem="no price above zero is stated"), told("gcp", workers=1))

    cloud = arrange(run, PLAIN)

    assert [panel.name for panel in cloud.panels] == ["Workers"]
    assert [row.per_hour for row in cloud.rows] == ["price not known"] * 3
    assert [row.share for row in cloud.rows] == ["75 %", "25 %", "100 %"]
    assert "aws: price not known: no price above zero is stated." in cloud.remarks


def test_a_price_that_is_missing_leaves_at_least_and_no_shares() -> None:
    run = run_of(told("aws", workers=3, per_hour="6"), told("gcp", workers=1))

    cloud = arrange(run, PLAIN)

    assert cloud.panels[1].said.endswith("(list prices), price not known of gcp")
    assert [(row.per_hour, row.share) for row in cloud.rows] == [("6.00", ""), ("price not known", ""), ("≥ 6.00", "")]
    assert cloud.shares == ()


def test_each_currency_has_its_panel_and_no_sum_mixes_them() -> None:
    run = run_of(
        told("aws", workers=1, per_hour="1"),
        told("ovh", workers=1, per_hour="2", currency="EUR"),
        told("own", workers=1, per_hour="3", currency=None),
    )

    cloud = arrange(run, PLAIN)

    assert [(panel.name, panel.unit) for panel in cloud.panels[1:]] == [
        ("Cost per hour", "EUR"),
        ("Cost per hour", "USD"),
        ("Cost per hour", ""),
    ]
    assert cloud.panels[3].said == (
        "3.00 per hour, about 2.2 k per month at this rate (currency not stated, kind of price not stated)"
    )
    assert [row.per_hour for row in cloud.rows] == ["USD 1.00", "EUR 2.00", "3.00", ""]
    assert "ovh EUR per hour" in [trace["name"] for trace in figure_of(run)["data"]]


@pytest.mark.parametrize(("providers", "shown", "others"), [(6, 6, None), (7, 7, None), (30, 6, "24 others")])
def test_the_largest_six_are_shown_and_the_rest_as_one(providers: int, shown: int, others: str | None) -> None:
    run = run_of(*(told(f"p{i:02}", workers=i + 1, per_hour=str(i + 1)) for i in range(providers)))

    cloud = arrange(run, PLAIN)

    labels = [band.source.label for band in cloud.panels[0].bands]
    assert labels[0] == f"p{providers - 1:02}"
    assert len(labels) == shown + (others is not None)
    if others:
        rest = cloud.panels[0].bands[-1]
        assert (rest.source.label, rest.now) == (others, str(sum(range(1, 25))))
        np.testing.assert_array_equal(rest.values, [sum(range(1, 25))] * 4)
        assert trace_of(run, "24 others workers")["meta"]["providers"] == [f"p{i:02}" for i in range(24)]
        looks = {band.source.look(cloud.providers, "light").sign for band in cloud.panels[0].bands}
        assert len(looks) == 7
    assert sum(share for _, share in cloud.shares) == pytest.approx(1.0)


def test_the_largest_providers_of_a_run_have_looks_of_their_own_in_every_figure() -> None:
    run = run_of(*(told(f"p{i:02}", workers=i) for i in range(8)))

    providers = providers_of(run)

    assert providers == ("p02", "p03", "p04", "p05", "p06", "p07", "p00", "p01")
    assert look_of("p07", providers, "light").sign != look_of("p00", providers, "light").sign == "✕"


def test_labels_of_workers_do_where_no_cloud_was_asked_and_that_is_said() -> None:
    labels = {"a": {"provider": "aws", "price_per_hour": "0.40", "currency": "usd"}, "b": {}}
    run = recorded({"a": [0.5] * 4, "b": [0.5] * 4}, labels=labels, width_s=900.0)

    cloud = arrange(run, PLAIN)

    np.testing.assert_array_equal(cloud.panels[0].bands[0].values, [1, 1, 1, 1])
    assert cloud.panels[1].said == "USD 0.40 per hour, about 292 per month at this rate (kind of price not stated)"
    assert cloud.remarks[1:] == (
        "Numbers come from labels of workers: no cloud_provider_manager told of it.",
        "1 worker without a provider label is in none of them.",
    )


@pytest.mark.parametrize(
    ("run", "notice"),
    [
        (recorded({"gw0": [0.5]}), NO_PROVIDER),
        (recorded({"gw0": [0.5]}, notes=["the recorder was killed"]), f"{NO_PROVIDER} the recorder was killed"),
        (Run.empty(recorded({}).header), "Nothing has been recorded yet."),
    ],
)
def test_without_a_provider_a_notice_says_so_and_what_to_do(run: Run, notice: str) -> None:
    cloud = arrange(run, PLAIN)

    assert (cloud.notice, cloud.panels) == (notice, ())
    assert figure_of(run)["data"] == []
    assert describe(cloud).endswith(".")


def test_a_provider_that_never_answers_is_hatched_all_along_and_named() -> None:
    run = run_of(told("aws", problem="it is not reachable"))

    (workers,) = arrange(run, PLAIN).panels

    assert workers.unknown.all()
    assert workers.said == "their number is not known"
    assert [row.cells[1:3] for row in arrange(run, PLAIN).rows] == [("not known", "price not known")]


def test_a_metric_and_a_statistic_change_nothing() -> None:
    usual = content("cloud_resources", some_run(), "json")

    assert {content("cloud_resources", some_run(), "json", FigureOptions(metric=metric)) for metric in METRICS} == {
        usual
    }
    assert content("cloud_resources", some_run(), "json", FigureOptions(statistic="max")) == usual


def test_a_sentence_tells_it_to_those_who_cannot_see_it() -> None:
    said = describe(arrange(some_run(), PLAIN))

    assert said == (
        "Workers and cost by provider of pytest -n 2 · 2 providers · 1 h · from 2026-09-21 14:13 UTC: "
        "5 workers at the end; USD 34.25 per hour, about 25.0 k per month at this rate (list prices); "
        "at the end aws 3 workers, 12.00 per hour; gcp 2 workers, 22.25 per hour."
    )


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_still_picture_has_the_colours_of_its_layers_and_hatches_what_is_unknown(theme: Any) -> None:
    picture = Image.open(io.BytesIO(content("cloud_resources", some_run(), "png", FigureOptions(theme=theme.name))))
    colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24) or ()}

    for provider in ("aws", "gcp"):
        look = look_of(provider, ("aws", "gcp"), theme.name)
        assert rgb_of(mixed(look.colour, theme.surface, 0.42)) in colours
    assert rgb_of(theme.track) in colours


def test_both_themes_and_a_phone_have_the_same_parts() -> None:
    numbers = arrange(some_run(), PLAIN)
    light, dark = (draw_plotly(numbers, FigureOptions(theme=theme)) for theme in ("light", "dark"))

    assert len(light["layout"]["annotations"]) == len(dark["layout"]["annotations"])
    for path in light["narrow"]:
        part: Any = light["layout"]
        for name in path.split(".")[:-1]:
            part = part[int(name)] if isinstance(part, list) else part[name]
    assert light["narrow"]["height"] > light["layout"]["height"]


def test_a_small_figure_gives_up_its_table_before_its_panels() -> None:
    tall, small = (figure_of(some_run(), FigureOptions(height=height))["layout"] for height in (700, 300))

    assert (tall["height"], small["height"]) == (pytest.approx(700, abs=2), pytest.approx(300, abs=2))
    assert any(text["text"] == "Provider" and text["visible"] for text in tall["annotations"])
    assert not any(text["text"] == "Provider" and text["visible"] for text in small["annotations"])


def test_hostile_names_are_shown_as_they_are_and_stay_inside_their_element() -> None:
    page = content("cloud_resources", hostile(), "html").decode()

    assert page.count("</script>") == 3
    assert "<script>alert" not in page
    assert any("&lt;/script&gt;" in text for text in texts_of(hostile()))
    assert any("%&#123;" in text for text in texts_of(hostile()))
    assert len(page) < 2_300_000


def test_labels_at_the_ends_of_layers_keep_their_distance_and_stay_inside() -> None:
    many = run_of(*(told(f"p{i}", workers=1 if i else 100) for i in range(6)))
    (panel,) = arrange(many, PLAIN).panels

    heights = ends_of(panel, 150)

    assert np.diff(heights).min() >= 13 / 150 - 1e-9
    assert 0 <= heights[0] <= heights[-1] <= 1


@pytest.mark.parametrize(
    ("value", "text"),
    [("0", "0.00"), ("0.00001", "<0.0001"), ("0.00412", "0.0041"), ("0.0412", "0.041"), ("0.412", "0.41"),
     ("34.25", "34.25"), ("1249.6", "1,250")],
)  # fmt: skip
def test_amounts_have_the_digits_that_say_something(value: str, text: str) -> None:
    assert amount(Decimal(value)) == text
    assert money(Decimal(value), "USD") == f"USD {text}"
    assert money(Decimal(value), None) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(5.5, "5.50"), (301.4, "301"), (999.6, "1.0 k"), (25002.5, "25.0 k"), (1.2e6, "1.2 M"), (3e9, "3.0 G")],
)
def test_a_month_is_told_roughly(value: float, text: str) -> None:
    assert rough(value) == text


def test_many_instance_types_are_cut_to_those_that_fit() -> None:
    assert types_of((("m7i.2xlarge", 7), ("g6.2xlarge", 2))) == "7 m7i.2xlarge, 2 g6.2xlarge"
    assert (
        types_of((("m7i.2xlarge", 7), ("g6.2xlarge", 2), ("c7i", 1), ("r7i", 1)))
        == "7 m7i.2xlarge, 2 g6.2xlarge, 2 others"
    )


def test_axes_have_round_levels_and_whole_workers() -> None:
    few, cost = arrange(run_of(told("aws", workers=2, per_hour="0.3")), PLAIN).panels

    assert (levels(few), written(levels(few))) == ([0, 1, 2], ["0", "1", "2"])
    assert (levels(cost), written(levels(cost))) == ([0.0, 0.1, 0.2, 0.3], ["0.0", "0.1", "0.2", "0.3"])


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1200])
def test_every_text_lies_inside_the_page(browser: Browser, tmp_path: Path, width: int) -> None:
    path = write("cloud_resources", some_run(), tmp_path / "cloud.html")
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(path.as_uri())
    page.wait_for_selector("[data-drawn]")

    boxes = page.evaluate(
        "Array.from(document.querySelectorAll('.annotation-text'), e => e.getBoundingClientRect())"
        ".filter(b => b.width).map(b => [b.left, b.right])"
    )

    assert boxes
    assert min(left for left, _ in boxes) >= 0
    assert max(right for _, right in boxes) <= width
    page.close()


@pytest.mark.browser
def test_hovering_a_layer_names_provider_amount_and_unit(browser: Browser, tmp_path: Path) -> None:
    path = write("cloud_resources", some_run(), tmp_path / "cloud.html")
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(path.as_uri())
    page.wait_for_selector("[data-drawn]")
    box = page.locator(".nsewdrag").nth(1).bounding_box()
    assert box is not None

    page.mouse.move(box["x"] + box["width"] * 0.74, box["y"] + box["height"] / 2)
    page.wait_for_selector(".hoverlayer .legend")

    said = page.locator(".hoverlayer").text_content() or ""
    assert "■ gcp: USD 22.25 per hour" in said
    assert "● aws: USD 12 per hour" in said
    page.close()
