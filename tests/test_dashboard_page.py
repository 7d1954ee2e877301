"""The one-file dashboard of a fleet: cards, figures, reasons; no failing figure and no hostile name spoils the page."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from drmviz.analysis.cost import cloud_cost
from drmviz.analysis.scaling import fleet_use
from drmviz.drawing import draw, write_dashboard
from drmviz.errors import OutputError, UsageError
from drmviz.figures import load
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import Action, FleetChange, ScalingDecision
from drmviz.model.metrics import METRICS, FloatArray, Metric, Statistic
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import Run
from drmviz.report import feed
from drmviz.report.behind import allotted, shares
from drmviz.report.cards import Card, with_line
from drmviz.report.dashboard import MEANS, NEEDS, render
from drmviz.report.fleet_cards import cards
from tests.building import START_S, ran, recorded
from tests.contact_sheet import fleet, hostile
from tests.fleets import KnownFleet, written
from tests.test_report_page import elements, opened, told
from tests.test_summary import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

POLICY = {"scale_up_threshold": 0.8, "scale_down_threshold": 0.3, "max_workers": 40, "scale_up_cooldown_s": 300}
FOUR_CORES = WorkerCapacity(cpu_millicores=4000, memory_bytes=2**33)


def decided(action: Action, at_s: float, *, count: int = 0, reason: str = "", **more: Any) -> ScalingDecision:
    return ScalingDecision(
        action=action, decided_at_s=START_S + at_s, count=count, reason=reason, metric="cpu_ratio", **more
    )


def some_run(**more: Any) -> Run:
    """Return an hour of two workers, of which the second joined after a quarter of it."""
    cpu: Mapping[str, Sequence[float | None]] = {"w1": [0.5, 0.9, 0.7, 0.6], "w2": [None, 0.3, 0.5, 0.4]}
    arguments: dict[str, Any] = {
        "more": {"cpu_reserved_ratio": {"w1": [0.75] * 4, "w2": [0.5] * 4}, "memory_ratio": {"w1": [0.25] * 4}},
        "absent": {"w2": [0]},
        "changes": [FleetChange(at_s=START_S + 900, worker="w2", change="joined", why="asked for")],
        "decisions": [decided("scale_up", 890, count=1, reason="CPU 90 % over 80 % for 90 s")],
        "cloud": [
            CloudUsage(at_s=START_S, provider="aws", workers=2, per_hour=Decimal("34.25"), currency="USD", basis="list")
        ],
        "width_s": 900.0,
        "capacity": FOUR_CORES,
        "scaling_policy": POLICY,
        "title": "ci-fleet",
    }
    return recorded(cpu, **(arguments | more))


def use_of(run: Run) -> dict[Metric, Any]:
    return {metric: fleet_use(run, metric) for metric in METRICS if run.is_measured(metric)}


def card_of(run: Run, label: str) -> Card:
    (card,) = [card for card in cards(run, cloud_cost(run), use_of(run)) if card.label == label]
    return card


def words_of(card: Card) -> str:
    return " ".join(part for part in (card.value, card.unit, card.lead, card.detail) if part)


def test_the_page_tells_how_the_fleet_stands_and_why() -> None:
    words = told(render(some_run()))

    for part in (
        "ci-fleet",
        "1 h as of 2026-09-21 15:13 UTC",
        "Workers 2 of 40 max ▲ 1 in 1 h",
        "CPU 50 % inside band, 30 pt to scale-up",
        "Cost 34.25 USD per hour about 25.0 k per month, list prices",
        "Fleet utilization 2 workers, 1 h, mean of 15 min per cell",
        "Scaling decisions 1 decision in 1 h",
        "+1 Add 1 worker CPU 90 % over 80 % for 90 s",
        "Next decision CPU 50 % hold between 30 % and 80 %",
        "Allocation most idle first",
        "Efficiency used against reserved",
        "Cloud usage and cost",
        "The numbers behind fleet utilization",
        "2 workers seen · 4 samples",
    ):
        assert part in words, part


@pytest.mark.parametrize(
    ("cpu", "words"),
    [
        ([0.5, 0.9], "90 % 10 pt over scale-up at 80 %"),
        ([0.5, 0.2], "20 % 10 pt under scale-down at 30 %"),
        ([0.5, 0.8], "80 % 0 pt over scale-up at 80 %"),
        ([0.5, 0.55], "55 % inside band, 25 pt to scale-up"),
        ([0.5, None], "50 % at 14:13:20, not measured since"),
        ([None, None], "– not measured"),
    ],
)
def test_a_level_says_how_far_it_is_from_the_thresholds(cpu: list[float | None], words: str) -> None:
    run = recorded({"w1": cpu}, scaling_policy=POLICY)

    assert words_of(card_of(run, "CPU")) == words


def test_a_level_without_a_policy_names_its_highest() -> None:
    card = card_of(recorded({"w1": [0.5, 0.75, 0.25]}), "CPU")

    assert words_of(card) == "25 % highest 75 % at 14:13:21"
    assert (card.level, card.line) == ("", "M0.0 12.7L100.0 3.0L200.0 22.3")


def test_a_sparkline_reaches_up_to_its_threshold() -> None:
    card = card_of(recorded({"w1": [0.4, 0.4]}, scaling_policy=POLICY), "CPU")

    assert (card.line, card.level) == ("M0.0 17.5L200.0 17.5", "3.0")


def test_a_stepped_sparkline_has_no_slopes() -> None:
    card = with_line(Card(label="Workers", value="2"), np.array([1.0, 2.0]), stepped=True)

    assert card.line == "M0.0 17.5H200.0V3.0"


def test_where_only_reservations_are_known_the_card_calls_them_so() -> None:
    run = recorded({"w1": [None, None]}, more={"cpu_reserved_ratio": {"w1": [0.5, 0.75]}})

    assert words_of(card_of(run, "CPU reserved")) == "75 % highest 75 % at 14:13:21"


def test_a_fleet_without_gpus_is_not_called_unmeasured() -> None:
    without = WorkerCapacity(cpu_millicores=1000, gpu_count=0)

    assert words_of(card_of(recorded({"w1": [0.5]}, capacity=without), "GPU")) == "– no worker has one"


def test_idle_reservations_are_cores_reserved_and_not_used() -> None:
    # now w1 leaves 0.6 of 3 idle and w2 0.4 of 2; over the hour 3.0 of 18, where using more makes up nothing
    card = card_of(some_run(), "Idle reservations")

    assert words_of(card) == "20 % of 5 reserved cores; 17 % on average"


@pytest.mark.parametrize(
    ("reserved", "cpu", "why"),
    [
        (None, 0.5, "– nothing is known to be reserved"),
        (0.0, 0.5, "– nothing is reserved"),
        (0.5, None, "– use of CPU not measured"),
    ],
)
def test_idle_reservations_that_are_not_known_say_why(reserved: float | None, cpu: float | None, why: str) -> None:
    run = recorded({"w1": [cpu] * 2}, more={"cpu_reserved_ratio": {"w1": [reserved] * 2}})

    assert words_of(card_of(run, "Idle reservations")) == why


def cloud_of(*stated: tuple[str, str | None, str | None], workers: int = 1) -> list[CloudUsage]:
    return [
        CloudUsage(
            at_s=START_S, provider=provider, workers=workers, currency=currency,
            per_hour=None if price is None else Decimal(price),
        )
        for provider, price, currency in stated
    ]  # fmt: skip


def test_the_cost_card_adds_no_currencies_and_says_what_is_not_priced() -> None:
    cloud = cloud_of(("aws", "1", "USD"), ("gcp", "2", "USD"), ("ovh", "4", "EUR"), ("own", None, None))

    card = card_of(some_run(cloud=cloud), "Cost")

    assert words_of(card) == (
        "≥ 3.00 USD per hour about 2.2 k per month, kind of price not stated; and EUR 4.00; price not known of own"
    )


def test_amounts_of_no_stated_currency_say_so() -> None:
    card = card_of(some_run(cloud=cloud_of(("aws", "12.5", None))), "Cost, currency not stated")

    assert (card.value, card.unit) == ("12.50", "per hour")


def test_without_a_cost_running_tasks_take_its_place() -> None:
    run = recorded({"w1": [0.5] * 2, "w2": [0.5] * 2}, more={"tasks_running": {"w1": [4, 1], "w2": [2, 2]}})

    assert words_of(card_of(run, "Tasks running")) == "3 at most 6, at 14:13:20"
    assert words_of(card_of(recorded({"w1": [0.5]}), "Tasks running")) == "– not recorded, and no cost is known"


def test_decisions_to_hold_are_folded_and_losses_stand_between_decisions() -> None:
    decisions = [decided("maintain", at_s, reason=f"CPU {at_s} % inside the band") for at_s in range(5)]
    decisions += [decided("maintain", 5, reason="cooldown"), decided("scale_down", 6, count=2, reason="idle")]
    changes = [
        FleetChange(at_s=START_S + at_s, worker=worker, change="left", why=why)
        for at_s, worker, why in ((7, "w1", "reclaimed"), (8, "w2", "reclaimed"), (9, "w3", "idle"))
    ]
    run = recorded({f"w{i}": [0.5] * 10 for i in range(1, 4)}, decisions=decisions, changes=changes)

    every = feed.entries(run, use_of(run))
    shown = feed.folded(every)

    assert [(entry.badge, entry.heading, entry.sentence) for entry in shown] == [
        ("−2", "Lost 2 workers", "w1, w2: reclaimed by the provider"),
        ("−2", "Remove 2 workers", "idle"),
        ("=", "Held 6 times", "cooldown"),
    ]
    assert shown[-1].when == "14:13:20–14:13:25"
    assert [entry.times for entry in every] == [1, 1, 1, 5]


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (decided("scale_up", 890, count=1), "over"),
        (decided("scale_up", 3500, count=1), "3 min 20 s left"),
        (decided("maintain", 3590, cooldown_remaining_s=45.0), "35 s left"),
        (decided("maintain", 3590), ""),
    ],
)
def test_the_cooldown_that_is_left_counts_down_from_the_last_decision(decision: ScalingDecision, words: str) -> None:
    run = some_run(decisions=[decision])

    coming = feed.next_decision(run, use_of(run))

    assert coming is not None
    assert (coming.cooldown, coming.up, coming.down) == (words, 0.8, 0.3)
    assert coming.value == pytest.approx(0.5)


def test_without_a_policy_and_without_decisions_nothing_comes_next() -> None:
    run = recorded({"w1": [0.5]})

    assert feed.next_decision(run, use_of(run)) is None
    assert "No scaling decision was recorded in this window. A DynamicResourceManager decides" in told(render(run))


def test_tables_behind_the_pictures_have_the_numbers_of_each_worker() -> None:
    run = some_run()

    of_cores, of_shares = allotted(run, "cpu"), shares(run, "cpu")

    assert of_cores.columns == ("CPU, cores", "has", "reserved", "used", "reserved, idle", "free", "efficiency")
    assert of_cores.rows == (("w2", "4", "2", "1.6", "0.4", "2", "80 %"), ("w1", "4", "3", "2.7", "0.3", "1", "90 %"))
    assert of_shares.columns == ("CPU, of capacity", "reserved", "used", "efficiency")
    assert of_shares.rows[0] == ("w2", "50 %", "40 %", "80 %")
    assert [row[0] for row in of_shares.rows] == ["w2", "w1"]


def test_many_workers_get_a_switch_for_the_metric_and_few_see_all_at_once() -> None:
    few, many = render(fleet(4, 20)), render(fleet(30, 20))

    assert few.count('aria-pressed="true"') == 1  # efficiency alone
    assert many.count('aria-pressed="true"') == 3
    assert re.findall(r'data-shows="v-figure-resource_utilization_heatmap-\d">(\w+)<', many) == ["CPU", "Memory", "GPU"]
    assert many.count('class="variant"') == 3 * 3 + 3


def test_one_figure_that_cannot_be_drawn_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a <b>bad</b> day")

    for stem in ("resource_efficiency", "resource_utilization_heatmap"):
        monkeypatch.setattr(load(stem), "arrange", broken)

    page = render(some_run())

    assert told(page).count("This figure could not be drawn (ZeroDivisionError: a <b>bad</b> day).") == 2
    assert "<b>bad</b>" not in page
    for stem in ("scaling_history", "resource_allocation", "cloud_resources"):
        assert f'id="figure-{stem}' in page


def test_an_empty_run_says_that_nothing_was_recorded_and_why() -> None:
    nobody = Run.empty(recorded({}, notes=[]).header)

    words = told(render(replace(nobody, notes=("machine: no answer yet.",))))

    assert "Nothing has been recorded yet The page fills as soon as a worker has been measured." in words
    assert "machine: no answer yet." in words
    assert "figure-" not in render(nobody)
    assert "No worker was seen in this window" in told(render(replace(nobody, measured_ticks=3)))


def test_a_cloud_without_workers_is_still_shown() -> None:
    run = recorded({}, cloud=cloud_of(("aws", "1", "USD")))
    timed = replace(
        run, starts_at_s=START_S + np.arange(3.0), end_s=START_S + 3, alive=np.zeros((0, 3), dtype=np.bool_),
        measured_ticks=3, grids={key: np.empty((0, 3), dtype=np.float32) for key in run.grids},
    )  # fmt: skip

    words = told(render(timed))

    assert "Cost 1.00 USD per hour" in words
    assert "CPU – not measured" in words


def test_only_what_is_stated_has_to_be_read() -> None:
    run = fleet(8, 30)
    grids: dict[tuple[Metric, Statistic], FloatArray] = {(metric, "mean"): run.values(metric) for metric in NEEDS}
    stated = replace(run, grids=grids, means={metric: run.mean_of(metric) for metric in MEANS})

    page = render(stated)

    assert "could not be drawn" not in page
    assert told(page).count("The numbers behind") == told(render(run)).count("The numbers behind")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_add_no_element_and_no_attribute(name: str) -> None:
    def run_of(word: str) -> Run:
        run = some_run(
            title=word,
            notes=[word],
            decisions=[decided("scale_up", 890, count=1, reason=word, worker_ids=(word,), worker_type=word)],
            changes=[FleetChange(at_s=START_S + 1000, worker="w2", change="left", why="crashed")],
            cloud=[
                CloudUsage(at_s=START_S, provider=word, workers=1, per_hour=Decimal(1), currency=word, problem=word)
            ],
            tasks=[ran(word, word, outcome=word)],
            labels={"w1": {"provider": word, "instance_type": word}},
        )
        return replace(run, workers=(replace(run.workers[0], id=word), run.workers[1]))

    hostile_page, harmless = elements(render(run_of(name))), elements(render(run_of("harmless")))

    assert hostile_page.counts == harmless.counts
    assert hostile_page.attributes == harmless.attributes
    words = told(render(run_of(name)))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]", words)


def test_a_title_and_a_theme_can_be_given_and_nothing_is_loaded_from_elsewhere() -> None:
    page = render(some_run(), theme="dark", title="Night run")

    assert '<html lang="en" data-theme="dark">' in page
    assert "<title>Night run</title>" in page
    assert not re.search(r"<(?:link|img|iframe|object)\b|<script[^>]*\ssrc=", page)
    assert "default-src 'none'" in page
    assert page.count('id="drmviz-plotly"') == 1


def test_a_thousand_workers_fit_into_six_megabytes() -> None:
    run = replace(fleet(1000, 600, gaps=True), tasks=())

    page = render(run)

    assert len(page.encode()) < 6_000_000
    assert "and 700 more workers" in told(page)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    known = KnownFleet()
    path = tmp_path / "fleet.drmviz"
    written(path, [known.tick(START_S + i, ["w1", "w2"]) for i in range(20)], title="recorded")
    return path


def test_a_recorded_run_becomes_one_file(store: Path, tmp_path: Path) -> None:
    path = write_dashboard(store, tmp_path / "page.html", title="Night run")
    (drawn,) = draw(store, figures=["dashboard"], output_dir=tmp_path / "out")

    assert "Night run" in told(path.read_text("utf-8"))
    assert drawn == tmp_path / "out" / "dashboard.html"
    assert "recorded" in told(drawn.read_text("utf-8"))
    assert 'data-theme="' not in drawn.read_text("utf-8").partition("<head>")[0]


def test_the_dashboard_beside_figures_is_one_more_file(store: Path, tmp_path: Path) -> None:
    paths = draw(store, figures=["all", "dashboard"], output_dir=tmp_path / "out", page_theme="dark")

    assert paths[-1].name == "dashboard.html"
    assert len(paths) > 5
    assert 'data-theme="dark"' in paths[-1].read_text("utf-8").partition("<head>")[0]


@pytest.mark.parametrize("formats", [["png"], ["html", "json"]])
def test_the_dashboard_is_html_only_and_says_so_before_anything_is_written(
    store: Path, tmp_path: Path, formats: list[str]
) -> None:
    with pytest.raises(UsageError, match="--format html"):
        draw(store, figures=["dashboard"], formats=formats, output_dir=tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_the_dashboard_never_replaces_the_history_itself(store: Path) -> None:
    before = store.read_bytes()

    with pytest.raises(OutputError, match="it is the recorded history itself"):
        write_dashboard(store, store)

    assert store.read_bytes() == before


def visible_are_drawn(tab: Any) -> None:
    for _ in range(100):
        if tab.evaluate(
            "Array.from(document.querySelectorAll('.drmviz-figure')).every(e => !e.clientWidth || e.dataset.drawn)"
        ):
            return
        tab.wait_for_timeout(100)
    raise AssertionError("not all figures were drawn")


def opened_dashboard(browser: Browser, path: Path, run: Run, *, width: int, scheme: str) -> tuple[Any, list[str]]:
    page = render(run)
    # What `opened` waits for is every figure; those behind a switch are drawn when they are shown.
    path.write_text(re.sub(r'class="variant"( id="[^"]*") hidden', r'class="variant"\1', page), "utf-8")
    tab, wrong = opened(browser, path, width=width, scheme=scheme)
    return tab, wrong


@pytest.mark.browser
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_offline_on_every_screen(browser: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    tab, wrong = opened_dashboard(browser, tmp_path / "d.html", hostile(), width=width, scheme=scheme)

    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.evaluate("document.documentElement.dataset.theme") == scheme
    assert tab.locator("h1").count() == 1
    assert wrong == []
    tab.context.close()


@pytest.mark.browser
def test_a_switch_shows_another_metric_and_the_theme_turns_what_is_hidden_too(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "d.html"
    path.write_text(render(fleet(30, 60, gaps=True)), "utf-8")
    wrong: list[str] = []
    tab = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light").new_page()
    tab.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto(path.as_uri())
    visible_are_drawn(tab)
    memory = tab.locator("#use .drmviz-figure").nth(1)
    assert memory.get_attribute("data-drawn") is None

    tab.click("#theme")
    tab.click("#use .seg >> text=Memory")
    visible_are_drawn(tab)

    assert memory.get_attribute("data-drawn") == "yes"
    assert not tab.locator("#use .drmviz-figure").nth(0).is_visible()
    assert tab.locator("#use .seg button[aria-pressed=true]").inner_text() == "Memory"
    grounds = tab.evaluate(
        "Array.from(document.querySelectorAll('.drmviz-figure[data-drawn]'), e => e.layout.paper_bgcolor)"
    )
    assert set(grounds) == {"#131922"}
    tab.click("#theme")
    tab.wait_for_timeout(500)
    assert tab.evaluate("document.querySelector('#cloud .drmviz-figure').layout.paper_bgcolor") == "#ffffff"
    assert wrong == []
    tab.context.close()


def test_words_of_the_page_are_escaped_once() -> None:
    page = render(some_run(title="R&D <fleet>"))

    assert "R&amp;D &lt;fleet&gt;" in page
    assert "R&D <fleet>" in html.unescape(page)
